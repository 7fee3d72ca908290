// Free blocks of one stream in size classes: 32 exact classes of 512 bytes, then 32 per power of two, found
// by a bitmap of classes (two-level segregated fit: Masmano et al., "TLSF: a new dynamic memory allocator",
// 2004).
#pragma once
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include <cuda_runtime.h>

#include <ccdl/core/device_api.h>

namespace ccdl::cu {

constexpr int64_t kBlockStep = 512;

class MemoryPool;
class Heap;

struct Block {
  char* data = nullptr;
  int64_t size = 0, counted = 0;               // bytes: of the block, and as statistics count it
  Heap* heap = nullptr;                        // where it returns to
  Block *before = nullptr, *after = nullptr;   // neighbours in the slab
  Block *prev = nullptr, *next = nullptr;      // in the free list
  std::unique_ptr<std::vector<Stream>> users;  // other streams that use it, of any device
  int events = 0;                              // it waits for
  bool live = false;
  bool is_free() const { return !live && events == 0; }
};

class Heap {
 public:
  Heap(MemoryPool* pool, cudaStream_t stream, bool small) : pool(pool), stream(stream), small(small) {}

  MemoryPool* const pool;
  const cudaStream_t stream;
  const bool small;
  std::vector<Block*> held;  // freed inside a graph, used by several of its streams

  void insert(Block* b) {
    const int c = class_of(b->size);
    b->prev = nullptr;
    b->next = lists_[c];
    if (b->next) b->next->prev = b;
    lists_[c] = b;
    levels_ |= uint64_t{1} << (c / kSub);
    classes_[c / kSub] |= 1u << (c % kSub);
  }

  void remove(Block* b) {
    const int c = class_of(b->size);
    (b->prev ? b->prev->next : lists_[c]) = b->next;
    if (b->next) b->next->prev = b->prev;
    b->prev = b->next = nullptr;
    if (lists_[c] != nullptr) return;
    classes_[c / kSub] &= ~(1u << (c % kSub));
    if (classes_[c / kSub] == 0) levels_ &= ~(uint64_t{1} << (c / kSub));
  }

  // A block of at least `size` bytes: from its own class when one of the first few fits, else any of the next
  // class up that has one.
  Block* find(int64_t size) const {
    const int c = class_of(size);
    int tries = kTries;
    for (Block* b = lists_[c]; b != nullptr && tries-- > 0; b = b->next)
      if (b->size >= size) return b;
    const int above = c + 1;
    int level = above / kSub;
    if (level >= kLevels) return nullptr;
    uint32_t classes = classes_[level] & (~0u << (above % kSub));
    if (classes == 0) {
      const uint64_t levels = level + 1 < kLevels ? levels_ & (~uint64_t{0} << (level + 1)) : 0;
      if (levels == 0) return nullptr;
      level = std::countr_zero(levels);
      classes = classes_[level];
    }
    return lists_[level * kSub + std::countr_zero(classes)];
  }

  template <class F>
  void for_each(const F& f) const {
    for (Block* head : lists_)
      for (Block* b = head; b != nullptr; b = b->next) f(b);
  }

 private:
  static constexpr int kSub = 32, kLevels = 48, kTries = 8;

  static int class_of(int64_t size) {
    const auto units = static_cast<uint64_t>(size / kBlockStep);
    if (units < kSub) return static_cast<int>(units);
    const int top = 63 - std::countl_zero(units);  // >= 5
    return (top - 4) * kSub + static_cast<int>((units >> (top - 5)) - kSub);
  }

  Block* lists_[kLevels * kSub] = {};
  uint32_t classes_[kLevels] = {};
  uint64_t levels_ = 0;
};

}  // namespace ccdl::cu
