// Page-locked host memory: power-of-two blocks from 4 KB, kept in free lists. A block that a queued copy
// still uses waits behind an event before it is handed out again.
#include <runtime/state.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

namespace ccdl::cu {
namespace {

constexpr int kClasses = 48;
constexpr int kLeastBits = 12;

struct Use {
  int device;
  cudaStream_t stream;
};
struct Pinned {
  char* data;
  size_t size;
  int cls;
  bool live = false;
  int held = 0;  // by graphs, whose replays copy from it or to it
  std::vector<Use> uses;
  std::vector<std::pair<int, cudaEvent_t>> events;
};

struct PinnedCache {
  std::mutex mutex;
  std::map<uintptr_t, Pinned*> blocks;  // by address: finds the block around a pointer
  std::vector<Pinned*> free_lists[kClasses];
  std::deque<Pinned*> waiting;
  std::vector<cudaEvent_t> spare_events[kMaxDevices];
};
PinnedCache& cache() {
  static auto* c = new PinnedCache;
  return *c;
}

Pinned* find(PinnedCache& c, const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  auto it = c.blocks.upper_bound(address);
  if (it == c.blocks.begin()) return nullptr;
  Pinned* b = (--it)->second;
  return address < it->first + b->size ? b : nullptr;
}

// Blocks whose copies are done return to the free lists.
void collect(PinnedCache& c) {
  for (size_t n = c.waiting.size(); n > 0; --n) {
    Pinned* b = c.waiting.front();
    while (!b->events.empty()) {
      const auto [device, event] = b->events.back();
      const cudaError_t status = cudaEventQuery(event);
      if (status == cudaErrorNotReady) break;
      c.spare_events[device].push_back(event);
      b->events.pop_back();
    }
    cudaGetLastError();
    c.waiting.pop_front();
    if (b->events.empty())
      c.free_lists[b->cls].push_back(b);
    else
      c.waiting.push_back(b);
  }
}

void add_event(PinnedCache& c, Pinned* b, const Use& use) {
  const BoundDevice bound(use.device);
  cudaEvent_t event = nullptr;
  if (!c.spare_events[use.device].empty()) {
    event = c.spare_events[use.device].back();
    c.spare_events[use.device].pop_back();
  } else {
    CCDL_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  b->events.emplace_back(use.device, event);
  CCDL_CUDA_CHECK(cudaEventRecord(event, use.stream));
}

void release(PinnedCache& c, Pinned* b) {
  b->live = false;
  if (b->held > 0) return;
  std::vector<Use> uses;
  uses.swap(b->uses);
  for (const Use& use : uses) add_event(c, b, use);
  if (b->events.empty())
    c.free_lists[b->cls].push_back(b);
  else
    c.waiting.push_back(b);
}

void note(Pinned* b, int device, cudaStream_t stream) {
  for (const Use& u : b->uses)
    if (u.device == device && u.stream == stream) return;
  b->uses.push_back({device, stream});
}

}  // namespace

void* allocate_pinned(int64_t bytes, size_t* capacity) {
  bind_device();
  PinnedCache& c = cache();
  int cls = 0;
  while ((int64_t{1} << (cls + kLeastBits)) < bytes && cls + 1 < kClasses) ++cls;
  const size_t size = size_t{1} << (cls + kLeastBits);
  CCDL_CHECK(bytes >= 0 && static_cast<size_t>(bytes) <= size, Memory, "pinned memory: a request of ",
             size_text(bytes), " is too large");
  const std::lock_guard<std::mutex> lock(c.mutex);
  if (thread_state().capture == nullptr) collect(c);
  Pinned* b = nullptr;
  if (!c.free_lists[cls].empty()) {
    b = c.free_lists[cls].back();
    c.free_lists[cls].pop_back();
  } else {
    void* p = nullptr;
    const RelaxedCapture relaxed;
    const cudaError_t status = cudaHostAlloc(&p, size, cudaHostAllocPortable);
    if (status != cudaSuccess) cudaGetLastError();
    CCDL_CHECK(status == cudaSuccess, Memory, "pinned memory: the system refused ", size_text(bytes), ": ",
               cudaGetErrorString(status));
    b = new Pinned{static_cast<char*>(p), size, cls, false, 0, {}, {}};
    c.blocks.emplace(reinterpret_cast<uintptr_t>(p), b);
  }
  b->live = true;
  *capacity = size;
  return b->data;
}

void free_pinned(void* p, size_t) noexcept {
  if (p == nullptr || in_forked_child()) return;
  try {
    PinnedCache& c = cache();
    const std::lock_guard<std::mutex> lock(c.mutex);
    if (Pinned* b = find(c, p)) release(c, b);
  } catch (...) {  // the event could not be recorded: the block is given up
  }
}

bool is_pinned(const void* p) noexcept {
  if (!is_initialized() || in_forked_child()) return false;
  PinnedCache& c = cache();
  const std::lock_guard<std::mutex> lock(c.mutex);
  const Pinned* b = find(c, p);
  return b != nullptr && b->live;
}

void note_pinned_use(const void* p, cudaStream_t stream) {
  PinnedCache& c = cache();
  const std::lock_guard<std::mutex> lock(c.mutex);
  Pinned* b = find(c, p);
  if (b == nullptr) return;
  if (hold_for_graph(b->data))
    b->held += 1;
  else
    note(b, thread_state().device, stream);
}

void release_held(void* p) noexcept {
  PinnedCache& c = cache();
  const std::lock_guard<std::mutex> lock(c.mutex);
  Pinned* b = find(c, p);
  if (b == nullptr || --b->held > 0 || b->live) return;
  try {
    release(c, b);
  } catch (...) {  // the event could not be recorded: the block is given up
  }
}

void* take_staging(int64_t bytes, size_t* capacity) { return allocate_pinned(bytes, capacity); }

void give_staging(void* p, size_t capacity, cudaStream_t stream) {
  if (keep_for_graph(p, capacity)) return;
  PinnedCache& c = cache();
  const std::lock_guard<std::mutex> lock(c.mutex);
  if (Pinned* b = find(c, p)) {
    note(b, thread_state().device, stream);
    release(c, b);
  }
}

}  // namespace ccdl::cu
