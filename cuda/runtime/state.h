// What the files of the runtime share: the calling thread's device and streams, the state kept per device,
// and the hooks between allocator, pinned memory, faults and graphs.
#pragma once
#include <ccdl/core/device_api.h>
#include <runtime/runtime.h>

#include <atomic>
#include <mutex>
#include <string>

namespace ccdl::cu {

constexpr int kMaxDevices = 64;

struct ThreadState {
  int device = 0;                          // as current_device() answers
  int bound = -1;                          // as cudaSetDevice was told
  cudaStream_t streams[kMaxDevices] = {};  // current stream of each device
  class CapturedGraph* capture = nullptr;  // the graph this thread records
};
ThreadState& thread_state() noexcept;

// Makes the thread's current device the one CUDA calls go to; Error(Device) where there is none,
// Error(Runtime) in a child of a process that had used CUDA.
void bind_device();
void check_device(int device);         // exists, or Error(Device)
bool in_forked_child() noexcept;       // of a process that had used CUDA
bool sync_after_launch() noexcept;     // CCDL_CUDA_SYNC=1
void count_sync() noexcept;            // the host waits for the device
std::string size_text(int64_t bytes);  // 1.50 GB

// Binds a device for a scope without touching current_device() beyond it.
class BoundDevice {
 public:
  explicit BoundDevice(int device);
  ~BoundDevice();

 private:
  int before_;
};

// CUDA calls that a capture in ThreadLocal mode forbids although they do not touch it (cudaMalloc, ...).
class RelaxedCapture {
 public:
  RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// The host waits for the device as long as this lives: counted, and other Python threads go on.
class Waiting {
 public:
  Waiting();
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  const WaitHooks* hooks_;
  void* state_ = nullptr;
};

// Waits for a stream of the bound device and raises what its kernels reported.
void synchronize_stream(cudaStream_t stream);

// ---- faults ----
void make_fault_state(int device);  // once per device, when it is first bound
void* empty_block(int device);      // device memory that nobody reads: the address of empty tensors

// ---- allocator ----
class MemoryPool;  // the blocks of a device, or those of one captured graph
MemoryPool* make_private_pool(int device);
void share_pool(MemoryPool* pool);
void release_pool(MemoryPool* pool) noexcept;  // by its last graph: blocks go back once nobody uses them
void* allocate_outside_graphs(int64_t bytes, int device, size_t* capacity, void** block);

// A stream for a capture, never one that Stream::make() gives out, and nobody else's until it is returned.
cudaStream_t take_capture_stream(int device);
void give_capture_stream(int device, cudaStream_t stream);

// ---- pinned memory ----
// A page-locked block that the copies queued on `stream` read; it is reused when they are done. During a
// capture it belongs to the graph.
void* take_staging(int64_t bytes, size_t* capacity);
void give_staging(void* p, size_t capacity, cudaStream_t stream);
void note_pinned_use(const void* p, cudaStream_t stream);
void release_held(void* p) noexcept;  // a block that a graph copies from or to, once the graph is gone

// ---- graphs ----
MemoryPool* capture_pool(int device) noexcept;       // of the graph that this thread records there, or null
bool keep_for_graph(void* pinned, size_t capacity);  // true: the graph owns the block now
bool hold_for_graph(void* pinned);                   // true: the graph uses it until release_held

}  // namespace ccdl::cu
