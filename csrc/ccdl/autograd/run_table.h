// What a backward pass keeps per node, found by the node's address. A thread keeps the memory of its last
// pass, so that a small pass allocates nothing.
#pragma once
#include <cstring>
#include <utility>
#include <vector>

#include <ccdl/autograd/node.h>

namespace ccdl::autograd {

struct Pending {  // a node that is part of this run
  Node* node = nullptr;
  int dependencies = 0;  // edges from nodes that have not run yet
  bool needed = true;    // leads to something wanted
  bool seen = false;     // reached from a root
  bool queued = false;
  bool execute = false;  // wanted for itself, whatever it leads to
  uint64_t owned = 0;    // bit i: grads[i] was made by this run's own addition and may be added into
  TensorList grads;
  std::vector<std::pair<int, size_t>> captures;  // (output_nr, position in the result)
};

// Open addressing over indices, at most half full.
class RunTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  Pending& operator[](uint32_t i) { return items_[i]; }
  uint32_t size() const { return static_cast<uint32_t>(items_.size()); }

  uint32_t find(const Node* node) const {
    if (slots_.empty()) return kNone;
    for (size_t at = home(node);; at = (at + 1) & (slots_.size() - 1)) {
      const uint32_t i = slots_[at];
      if (i == kNone || items_[i].node == node) return i;
    }
  }
  // Adds the node when it is new; references to others end then.
  uint32_t at(Node* node) {
    if (const uint32_t i = find(node); i != kNone) return i;
    if ((items_.size() + 1) * 2 > slots_.size()) widen();
    items_.emplace_back().node = node;
    const uint32_t i = size() - 1;
    place(i);
    return i;
  }
  void clear() {
    items_.clear();
    if (!slots_.empty()) std::memset(slots_.data(), 0xff, slots_.size() * sizeof(uint32_t));
  }
  bool is_large() const { return items_.capacity() > 4096; }

 private:
  size_t home(const Node* node) const {
    return (reinterpret_cast<uintptr_t>(node) * uint64_t{0x9e3779b97f4a7c15}) >> shift_;
  }
  void place(uint32_t i) {
    size_t at = home(items_[i].node);
    while (slots_[at] != kNone) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = i;
  }
  void widen() {
    const size_t n = slots_.empty() ? 32 : slots_.size() * 2;
    slots_.assign(n, kNone);
    shift_ = 64 - (63 - __builtin_clzll(n));
    for (uint32_t i = 0; i < items_.size(); ++i) place(i);
  }

  std::vector<Pending> items_;
  std::vector<uint32_t> slots_;
  int shift_ = 0;
};

struct RunMemory {
  RunTable table;
  std::vector<uint32_t> order;                       // nodes reached from the roots
  std::vector<std::pair<uint64_t, uint32_t>> ready;  // heap of (priority, node)
  std::vector<TensorList> lists;                     // empty, their memory to be used again
};

}  // namespace ccdl::autograd
