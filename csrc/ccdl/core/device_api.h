// CUDA devices as core, ops and bindings see them: memory, copies, streams, events, graphs and pending
// faults, without any CUDA header. Declared always, implemented by cuda/runtime, linked only where
// CCDL_WITH_CUDA is defined. Nothing here touches the driver before its first use.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ccdl/core/ref.h>

namespace ccdl {
class Generator;
}

namespace ccdl::cu {

// ---- devices ----
bool is_built() noexcept;          // this library has CUDA kernels, real or emulated
int device_count() noexcept;       // 0 without driver or GPU; creates no context
std::string unavailable_reason();  // why device_count() is 0; empty where it is not
bool is_emulated() noexcept;       // the kernels run on the CPU
bool is_initialized() noexcept;    // a device was used
int64_t launch_count() noexcept;   // kernels queued since load, by all threads
int64_t sync_count() noexcept;     // waits of the host for a device since load, by all threads

// Of the calling thread; 0 at first. Setting checks the index, Error(Device).
int current_device() noexcept;
void set_current_device(int device);
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : before_(current_device()) {
    if (device != before_) set_current_device(device);
  }
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_;
};

struct DeviceProperties {
  std::string name;
  int major, minor, sm_count, max_threads_per_block, warp_size;
  int64_t total_memory, shared_per_block, shared_per_sm, l2_bytes, registers_per_sm;
};
DeviceProperties device_properties(int device);
void memory_info(int device, int64_t* free_bytes, int64_t* total_bytes);  // as the driver sees it

// ---- memory: caching, in the order of the current stream of `device` ----
// Never null, also for 0 bytes. *block identifies the block to the calls below. Error(Memory) when it cannot
// fit, after every cache was emptied.
void* allocate(int64_t bytes, int device, size_t* capacity, void** block);
void deallocate(void* p, size_t capacity, int device, void* block) noexcept;  // any thread
struct Stream;
// The block is used by `stream` as well: it is not handed out again before what is queued there now is done.
void record_stream(void* block, const Stream& stream);

struct DeviceMemoryStats {
  int64_t allocated, reserved, peak_allocated, peak_reserved;  // bytes: in live blocks, held from the driver
  int64_t allocations, frees, device_allocations, device_frees, retries, out_of_memory;  // counts
  int64_t limit;                                                                         // bytes
};
DeviceMemoryStats device_memory_stats(int device);
void reset_peak_device_memory_stats(int device);
void empty_device_cache();                                // gives unused blocks of all devices back
void set_device_memory_limit(int device, int64_t bytes);  // 0: all of the device
void set_device_alloc_fault(int64_t nth) noexcept;  // tests: the nth block from now on is refused; 0: off

// Page-locked host memory, cached; copies that still use it delay its reuse.
void* allocate_pinned(int64_t bytes, size_t* capacity);
void free_pinned(void* p, size_t capacity) noexcept;
bool is_pinned(const void* p) noexcept;

// ---- copies and waits: on the current stream of the device ----
// Inside a graph capture, host memory is refused where it would be read once instead of at every replay.
void copy_host_to_device(void* dst, const void* src, int64_t bytes, int device);  // src may change on return
void copy_device_to_host(void* dst, const void* src, int64_t bytes, int device);  // waits; raises faults
void copy_device_to_device(void* dst, int dst_device, const void* src, int src_device, int64_t bytes);
// Without waiting where host is pinned (then the caller must not change or read it before the stream is
// done), else as the two above.
void copy_async(void* dst, const void* src, int64_t bytes, int device, bool to_device);
void set_bytes(void* dst, int value, int64_t bytes, int device);

void synchronize(int device);          // the whole device; raises a pending fault
void raise_pending_fault(int device);  // what kernels that are done reported; waits for nothing

// Called around every wait of the host for a device, by the waiting thread; after() gets what before() gave.
// Set once by the Python binding, which lets other threads run meanwhile.
struct WaitHooks {
  void* (*before)();
  void (*after)(void* state);
};
void set_wait_hooks(const WaitHooks* hooks) noexcept;

// ---- streams: queues of one device, from a pool that lives as long as the process ----
struct Stream {
  int device = 0;
  void* handle = nullptr;  // cudaStream_t; null is the default stream

  static Stream make(int device, int priority);  // priority below 0: high
  static Stream current(int device);             // of the calling thread
  static Stream of_default(int device) { return {device, nullptr}; }
  void make_current() const;  // of its device, for this thread; the current device stays
  bool query() const;         // nothing queued; raises a pending fault when so
  void synchronize() const;   // raises a pending fault
  bool is_capturing() const;
  friend bool operator==(const Stream&, const Stream&) = default;
};

// ---- events ----
class Event : public RefCounted {
 public:
  explicit Event(bool timing) : timing_(timing) {}
  ~Event() override;
  void record(const Stream& stream);      // the first one decides the device
  void wait(const Stream& stream) const;  // what is queued there from now on waits for the event
  bool query() const;                     // true as well when never recorded
  void synchronize() const;
  double elapsed_ms(const Event& end) const;
  void* handle() const { return handle_; }
  int device() const { return device_; }  // -1 before the first record

 private:
  void* handle_ = nullptr;
  int device_ = -1;
  bool timing_;
};

// ---- graphs: what a thread queues between begin and end, to be queued again by one call ----
class Graph : public RefCounted {
 public:
  static Ref<Graph> make();
  // From here on this thread's current stream of the device is a side stream under capture, and its blocks
  // come from a private pool whose addresses stay valid as long as the graph. `share`: use that graph's pool.
  virtual void begin_capture(int device, Graph* share = nullptr) = 0;
  virtual void end_capture() = 0;               // Error(Runtime) naming what broke the capture
  virtual void abandon_capture() noexcept = 0;  // after an exception
  virtual void replay() = 0;                    // on the current stream
  virtual void reset() = 0;                     // forgets the graph and its pool
  // Device scalars that replay() fills from the values set last: 8 bytes each, while capturing.
  virtual void* add_scalar(double value) = 0;
  virtual void* add_scalar(int64_t value) = 0;
  virtual void set_scalar(void* device_scalar, double value) = 0;
  virtual void set_scalar(void* device_scalar, int64_t value) = 0;
  virtual void before_replay(std::function<void()> update) = 0;  // called by every replay
  virtual int64_t node_count() const = 0;
};
Graph* capturing_graph() noexcept;  // of the calling thread, or null
// Error(Runtime) when the calling thread captures a graph: `what` waits for the device, or reads host memory.
void check_not_capturing(const char* what);

}  // namespace ccdl::cu
