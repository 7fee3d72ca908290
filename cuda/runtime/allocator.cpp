// Caching allocator in stream order. Slabs of 2 MB (blocks up to 1 MB), 20 MB (up to 10 MB) or of the block's
// own size are cut into blocks of 512-byte granularity. Free blocks sit in size-class lists per stream and
// kind (two-level bitmaps: O(1)); neighbours coalesce. A block is reused at once on its own stream; other
// streams that used it are waited for by event. Each captured graph has a pool of its own. In emulated builds
// every block ends in a redzone and the emulator learns where blocks begin and end.
#include <runtime/heap.h>
#include <runtime/launch.h>
#include <runtime/state.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>

namespace ccdl::cu {

// The heaps of one owner: the device itself, or a captured graph (and the graphs that share its memory).
class MemoryPool {
 public:
  MemoryPool(int device, int graphs) : device(device), graphs(graphs) {}

  Heap* heap(cudaStream_t stream, bool small) {
    for (const auto& h : heaps_)
      if (h->stream == stream && h->small == small) return h.get();
    heaps_.push_back(std::make_unique<Heap>(this, stream, small));
    return heaps_.back().get();
  }
  const std::vector<std::unique_ptr<Heap>>& heaps() const { return heaps_; }

  const int device;
  int graphs;            // that use it; -1 for the pool of the device
  int64_t segments = 0;  // held from the driver

 private:
  std::vector<std::unique_ptr<Heap>> heaps_;
};

namespace {

constexpr int64_t kSmallMax = int64_t{1} << 20;
constexpr int64_t kSmallSlab = int64_t{2} << 20;
constexpr int64_t kMediumMax = int64_t{10} << 20;
constexpr int64_t kMediumSlab = int64_t{20} << 20;
constexpr int64_t kLargeStep = int64_t{2} << 20;
constexpr int64_t kMaxBytes = int64_t{1} << 60;
#ifdef CCDL_CUDA_EMULATED
constexpr int64_t kRedZone = static_cast<int64_t>(emu::kRedZone);
#else
constexpr int64_t kRedZone = 0;
#endif

std::atomic<int64_t> g_fault{0};

// CCDL_CUDA_CACHE=0: every block comes from the driver and returns to it, so that memory checkers see the
// exact borders. Captured graphs keep their pools.
bool bypass() {
  static const bool on = [] {
    const char* v = std::getenv("CCDL_CUDA_CACHE");
    return v != nullptr && v[0] == '0' && v[1] == '\0';
  }();
  return on;
}

int64_t round_up(int64_t bytes, int64_t step) { return (bytes + step - 1) / step * step; }

void mark_allocated([[maybe_unused]] const Block* b, [[maybe_unused]] int64_t bytes) {
#ifdef CCDL_CUDA_EMULATED
  emu::mark_allocated(b->data, static_cast<size_t>(bytes), b->heap->stream);
#endif
}
void mark_freed([[maybe_unused]] const Block* b) {
#ifdef CCDL_CUDA_EMULATED
  const BoundDevice bound(b->heap->pool->device);  // whose default stream may be meant
  emu::mark_freed(b->data, static_cast<size_t>(b->size), b->heap->stream);
#endif
}

struct PendingEvent {
  cudaEvent_t event;
  Block* block;
  int device;  // of the event
};

// Events recorded now on that stream would become part of a graph and never happen.
bool is_captured(const Stream& s) {
  const BoundDevice bound(s.device);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(static_cast<cudaStream_t>(s.handle), &status) != cudaSuccess) cudaGetLastError();
  return status != cudaStreamCaptureStatusNone;
}

class DeviceAllocator {
 public:
  void* allocate(int64_t bytes, int device, MemoryPool* pool, cudaStream_t stream, size_t* capacity,
                 void** handle);
  void deallocate(Block* b) noexcept;
  void record_stream(Block* b, const Stream& stream);
  DeviceMemoryStats stats();
  void reset_peaks();
  void empty_cache();
  bool is_used() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !pools_.empty();
  }
  void set_limit(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    limit_ = bytes;
  }
  MemoryPool* make_pool(int device) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pools_.empty()) pools_.push_back(new MemoryPool(device, -1));
    pools_.push_back(new MemoryPool(device, 1));
    return pools_.back();
  }
  void share(MemoryPool* pool) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pool->graphs += 1;
  }
  void release(MemoryPool* pool) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    pool->graphs -= 1;
    sweep_pools();
  }

 private:
  Block* take(Heap* heap, int64_t size);
  Block* new_segment(Heap* heap, int64_t size, int64_t requested);
  Block* from_driver(int64_t bytes, int device);
  void to_driver(Block* b);
  void make_free(Block* b);
  void defer(Block* b);
  void defer_captured();
  void collect(bool wait);
  void free_segments(MemoryPool* pool);
  void sweep_pools();
  void release_caches();
  Block* make_block();
  void drop_block(Block* b) { spare_blocks_.push_back(b); }
  [[noreturn]] void out_of_memory(int device, int64_t bytes, const char* why);
  int64_t total_memory(int device) {
    if (total_ == 0) total_ = device_properties(device).total_memory;
    return total_;
  }

  std::mutex mutex_;
  std::vector<MemoryPool*> pools_;  // the first is the device's own
  std::deque<PendingEvent> pending_;
  std::vector<Block*> captured_;  // freed while a stream that uses them was under capture
  std::vector<cudaEvent_t> spare_events_;
  std::vector<Block*> spare_blocks_;
  std::vector<Block*> leaving_;  // bypassed blocks that a capture kept from leaving
  DeviceMemoryStats stats_{};
  int64_t limit_ = 0, total_ = 0;
};

DeviceAllocator& allocator_of(int device) {
  static auto* allocators = new DeviceAllocator[kMaxDevices];
  return allocators[device];
}

Block* DeviceAllocator::make_block() {
  if (spare_blocks_.empty()) {
    auto* chunk = new Block[64];  // lives as long as the process
    for (int i = 0; i < 64; ++i) spare_blocks_.push_back(chunk + i);
  }
  Block* b = spare_blocks_.back();
  spare_blocks_.pop_back();
  *b = Block{};
  return b;
}

void DeviceAllocator::out_of_memory(int device, int64_t bytes, const char* why) {
  stats_.out_of_memory += 1;
  size_t free_now = 0, total = 0;
  if (cudaMemGetInfo(&free_now, &total) != cudaSuccess) cudaGetLastError();
  fail(ErrorKind::Memory, str("CUDA out of memory: a request of ", size_text(bytes), " on cuda:", device, " ",
                              why, "; the device has ", size_text(static_cast<int64_t>(free_now)),
                              " free of ", size_text(static_cast<int64_t>(total)), "; in use by tensors ",
                              size_text(stats_.allocated), ", reserved by ccdl ", size_text(stats_.reserved),
                              ", limit ", limit_ > 0 ? size_text(limit_) : std::string("none"),
                              ". Use a smaller batch, or release tensors that are not needed"));
}

// Cross-stream blocks whose other streams are done become free. Waits for them when asked to.
void DeviceAllocator::collect(bool wait) {
  if (thread_state().capture != nullptr) return;  // events may not be queried while this thread captures
  if (!captured_.empty()) defer_captured();
  while (!pending_.empty()) {
    const PendingEvent e = pending_.front();
    const cudaError_t status = wait ? cudaEventSynchronize(e.event) : cudaEventQuery(e.event);
    if (status == cudaErrorNotReady) {
      cudaGetLastError();
      return;
    }
    if (status != cudaSuccess) cudaGetLastError();
    pending_.pop_front();
    if (e.device == e.block->heap->pool->device)
      spare_events_.push_back(e.event);
    else if (cudaEventDestroy(e.event) != cudaSuccess)
      cudaGetLastError();
    if (--e.block->events == 0) make_free(e.block);
  }
}

Block* DeviceAllocator::take(Heap* heap, int64_t size) {
  Block* b = heap->find(size);
  if (b != nullptr) heap->remove(b);
  return b;
}

Block* DeviceAllocator::new_segment(Heap* heap, int64_t size, int64_t requested) {
  MemoryPool* pool = heap->pool;
  const int64_t slab = heap->small          ? kSmallSlab
                       : size <= kMediumMax ? kMediumSlab
                                            : round_up(size, kLargeStep);
  const RelaxedCapture relaxed;
  for (int attempt = 0; attempt < 3; ++attempt) {
    // Last of all, no more than the block itself needs.
    const int64_t want = attempt < 2 ? slab : std::min(slab, round_up(size, kLargeStep));
    if (limit_ == 0 || stats_.reserved + want <= limit_) {
      void* p = nullptr;
      const cudaError_t status = cudaMalloc(&p, static_cast<size_t>(want));
      if (status == cudaSuccess) {
        Block* b = make_block();
        b->data = static_cast<char*>(p);
        b->size = want;
        b->heap = heap;
        stats_.reserved += want;
        stats_.peak_reserved = std::max(stats_.peak_reserved, stats_.reserved);
        stats_.device_allocations += 1;
        pool->segments += 1;
        return b;
      }
      cudaGetLastError();
      if (status != cudaErrorMemoryAllocation) check_cuda(status, "cudaMalloc");
    }
    if (attempt == 0) {
      stats_.retries += 1;
      release_caches();
      if (Block* b = take(heap, size)) return b;  // what other streams held is free now
    }
  }
  const bool limited = limit_ > 0 && stats_.reserved + round_up(size, kLargeStep) > limit_;
  out_of_memory(pool->device, requested, limited ? "would exceed the memory limit" : "does not fit");
}

void* DeviceAllocator::allocate(int64_t bytes, int device, MemoryPool* pool, cudaStream_t stream,
                                size_t* capacity, void** handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (g_fault.load(std::memory_order_relaxed) > 0 && g_fault.fetch_sub(1) == 1) [[unlikely]]
    out_of_memory(device, bytes, "was refused by the fault injection of a test");
  if (bytes > kMaxBytes || (limit_ > 0 && bytes > limit_) || bytes > total_memory(device)) [[unlikely]]
    out_of_memory(
        device, bytes,
        limit_ > 0 && bytes > limit_ ? "exceeds the memory limit" : "exceeds the memory of the device");
  if (!pending_.empty() || !captured_.empty()) collect(false);
  if (bypass() && pool == nullptr) {
    Block* b = from_driver(bytes, device);
    *capacity = static_cast<size_t>(bytes);
    *handle = b;
    return b->data;
  }
  if (pools_.empty()) pools_.push_back(new MemoryPool(device, -1));
  if (pool == nullptr) pool = pools_.front();
  const int64_t size = round_up(bytes + kRedZone, kBlockStep);
  Heap* heap = pool->heap(stream, size <= kSmallMax);
  Block* b = take(heap, size);
  if (b == nullptr) b = new_segment(heap, size, bytes);
  if (b->size - size >= (heap->small ? kBlockStep : kSmallMax + kBlockStep)) {
    Block* rest = make_block();
    rest->data = b->data + size;
    rest->size = b->size - size;
    rest->heap = heap;
    rest->before = b;
    rest->after = b->after;
    if (rest->after) rest->after->before = rest;
    b->after = rest;
    b->size = size;
    heap->insert(rest);
  }
  b->live = true;
  b->counted = round_up(bytes, kBlockStep);
  stats_.allocated += b->counted;
  stats_.peak_allocated = std::max(stats_.peak_allocated, stats_.allocated);
  stats_.allocations += 1;
  mark_allocated(b, bytes);
  *capacity = static_cast<size_t>(b->size - kRedZone);
#ifdef CCDL_CUDA_EMULATED
  *capacity = static_cast<size_t>(bytes);  // the redzone begins right behind what was asked for
#endif
  *handle = b;
  return b->data;
}

Block* DeviceAllocator::from_driver(int64_t bytes, int device) {
  const RelaxedCapture relaxed;
  void* p = nullptr;
  const bool allowed = limit_ == 0 || stats_.reserved + bytes <= limit_;
  if (!allowed || cudaMalloc(&p, static_cast<size_t>(bytes)) != cudaSuccess) {
    cudaGetLastError();
    out_of_memory(device, bytes, allowed ? "does not fit" : "would exceed the memory limit");
  }
  Block* b = make_block();
  b->data = static_cast<char*>(p);
  b->size = b->counted = bytes;
  b->live = true;
  stats_.allocated += bytes;
  stats_.reserved += bytes;
  stats_.peak_allocated = std::max(stats_.peak_allocated, stats_.allocated);
  stats_.peak_reserved = std::max(stats_.peak_reserved, stats_.reserved);
  stats_.allocations += 1;
  stats_.device_allocations += 1;
  return b;
}

void DeviceAllocator::to_driver(Block* b) {
  leaving_.push_back(b);
  if (thread_state().capture != nullptr) return;
  for (Block* gone : leaving_) {  // waits for the device: other streams may still use them
    if (cudaFree(gone->data) != cudaSuccess) cudaGetLastError();
    stats_.reserved -= gone->size;
    stats_.device_frees += 1;
    drop_block(gone);
  }
  leaving_.clear();
}

// Joins free neighbours and enters the free list.
void DeviceAllocator::make_free(Block* b) {
  mark_freed(b);
  Heap* heap = b->heap;
  if (Block* a = b->before; a != nullptr && a->is_free()) {
    heap->remove(a);
    a->size += b->size;
    a->after = b->after;
    if (a->after) a->after->before = a;
    drop_block(b);
    b = a;
  }
  if (Block* c = b->after; c != nullptr && c->is_free()) {
    heap->remove(c);
    b->size += c->size;
    b->after = c->after;
    if (b->after) b->after->before = b;
    drop_block(c);
  }
  heap->insert(b);
}

// Other streams used the block: it is free once all of them have passed this point.
void DeviceAllocator::defer(Block* b) {
  const int home = b->heap->pool->device;
  std::vector<Stream> users;
  users.swap(*b->users);
  for (const Stream& user : users) {
    const BoundDevice bound(user.device);
    cudaEvent_t event = nullptr;
    if (user.device == home && !spare_events_.empty()) {
      event = spare_events_.back();
      spare_events_.pop_back();
    } else {
      const RelaxedCapture relaxed;
      CCDL_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    }
    CCDL_CUDA_CHECK(cudaEventRecord(event, static_cast<cudaStream_t>(user.handle)));
    pending_.push_back({event, b, user.device});
    b->events += 1;
  }
}

// The same for blocks that had to wait for a capture's end first.
void DeviceAllocator::defer_captured() {
  std::vector<Block*> blocks;
  blocks.swap(captured_);
  for (Block* b : blocks) {
    if (std::any_of(b->users->begin(), b->users->end(), is_captured)) {
      captured_.push_back(b);
      continue;
    }
    defer(b);
    b->events -= 1;  // what kept it out of use until now
  }
}

void DeviceAllocator::deallocate(Block* b) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.allocated -= b->counted;
  stats_.frees += 1;
  b->live = false;
  if (b->heap == nullptr) return to_driver(b);
  if (b->users == nullptr || b->users->empty()) return make_free(b);
  // Within a graph the whole block waits for the graph's end: its pool is only used by replays in order.
  if (b->heap->pool->graphs >= 0 && thread_state().capture != nullptr) {
    b->users->clear();
    b->events = 1;
    b->heap->held.push_back(b);
    return;
  }
  try {
    if (std::any_of(b->users->begin(), b->users->end(), is_captured)) {
      b->events += 1;
      captured_.push_back(b);
      return;
    }
    defer(b);
  } catch (...) {  // no event could be recorded: keep the block out of use for good
    b->events += 1;
  }
}

void DeviceAllocator::record_stream(Block* b, const Stream& stream) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stream == Stream{b->heap->pool->device, b->heap->stream}) return;
  if (b->users == nullptr) b->users = std::make_unique<std::vector<Stream>>();
  if (std::find(b->users->begin(), b->users->end(), stream) == b->users->end()) b->users->push_back(stream);
}

// Gives slabs without a used block back to the driver.
void DeviceAllocator::free_segments(MemoryPool* pool) {
  for (const auto& heap : pool->heaps()) {
    std::vector<Block*> whole;
    heap->for_each([&](Block* b) {
      if (b->before == nullptr && b->after == nullptr) whole.push_back(b);
    });
    for (Block* b : whole) {
      heap->remove(b);
      if (cudaFree(b->data) != cudaSuccess) cudaGetLastError();
      stats_.reserved -= b->size;
      stats_.device_frees += 1;
      pool->segments -= 1;
      drop_block(b);
    }
  }
}

// Pools whose graphs are gone lose their free slabs, and vanish with the last one.
void DeviceAllocator::sweep_pools() {
  for (size_t i = 1; i < pools_.size();) {
    MemoryPool* pool = pools_[i];
    if (pool->graphs == 0) {
      for (const auto& heap : pool->heaps()) {
        std::vector<Block*> held;
        held.swap(heap->held);
        for (Block* b : held) {
          b->events = 0;
          make_free(b);
        }
      }
      free_segments(pool);
      if (pool->segments == 0) {
        delete pool;
        pools_.erase(pools_.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
    }
    ++i;
  }
}

void DeviceAllocator::release_caches() {
  if (thread_state().capture != nullptr) return;  // a capture may neither wait nor unmap
  collect(true);
  if (cudaDeviceSynchronize() != cudaSuccess) cudaGetLastError();
  if (!pools_.empty()) free_segments(pools_.front());
  sweep_pools();
}

void DeviceAllocator::empty_cache() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!pools_.empty()) release_caches();
}

DeviceMemoryStats DeviceAllocator::stats() {
  const std::lock_guard<std::mutex> lock(mutex_);
  DeviceMemoryStats s = stats_;
  s.limit = limit_;
  return s;
}

void DeviceAllocator::reset_peaks() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.peak_allocated = stats_.allocated;
  stats_.peak_reserved = stats_.reserved;
}

void* allocate_from(MemoryPool* pool, int64_t bytes, int device, size_t* capacity, void** block) {
  const BoundDevice bound(device);
  if (bytes == 0) {
    *capacity = 0;
    *block = nullptr;
    return empty_block(device);
  }
  return allocator_of(device).allocate(bytes, device, pool, current_stream(), capacity, block);
}

}  // namespace

void* allocate(int64_t bytes, int device, size_t* capacity, void** block) {
  return allocate_from(capture_pool(device), bytes, device, capacity, block);
}

void* allocate_outside_graphs(int64_t bytes, int device, size_t* capacity, void** block) {
  return allocate_from(nullptr, bytes, device, capacity, block);
}

void deallocate(void*, size_t, int device, void* block) noexcept {
  if (block == nullptr || in_forked_child()) return;
  allocator_of(device).deallocate(static_cast<Block*>(block));
}

void record_stream(void* block, const Stream& stream) {
  auto* b = static_cast<Block*>(block);
  if (b == nullptr || b->heap == nullptr) return;  // a bypassed block leaves when the device is done with it
  check_device(stream.device);
  allocator_of(b->heap->pool->device).record_stream(b, stream);
}

Scratch::Scratch(int64_t bytes) : device_(current_device()) {
  size_t capacity = 0;
  data_ = allocate(bytes, device_, &capacity, &block_);
}
Scratch::~Scratch() { deallocate(data_, 0, device_, block_); }

DeviceMemoryStats device_memory_stats(int device) {
  check_device(device);
  return allocator_of(device).stats();
}
void reset_peak_device_memory_stats(int device) {
  check_device(device);
  allocator_of(device).reset_peaks();
}

void empty_device_cache() {
  if (!is_initialized() || in_forked_child()) return;
  check_not_capturing("empty_cache");
  for (int d = 0; d < device_count(); ++d) {
    if (!allocator_of(d).is_used()) continue;  // makes no context where there is none
    const BoundDevice bound(d);
    allocator_of(d).empty_cache();
  }
}

void set_device_memory_limit(int device, int64_t bytes) {
  check_device(device);
  CCDL_CHECK(bytes >= 0, Value, "set_device_memory_limit: expected a number of bytes >= 0 but got ", bytes);
  allocator_of(device).set_limit(bytes);
}

void set_device_alloc_fault(int64_t nth) noexcept { g_fault.store(nth > 0 ? nth : 0); }

MemoryPool* make_private_pool(int device) { return allocator_of(device).make_pool(device); }
void share_pool(MemoryPool* pool) { allocator_of(pool->device).share(pool); }
void release_pool(MemoryPool* pool) noexcept { allocator_of(pool->device).release(pool); }

}  // namespace ccdl::cu
