// Host interface of the emulator beyond the CUDA API: kernel launches, fault texts, and what the caching
// allocator tells about the blocks it cuts out of its slabs.
#pragma once
#include <cuda_runtime.h>

#include <functional>
#include <utility>

namespace ccdl::emu {

struct KernelSite {
  const char* name;
  const char* file;  // of the launch
  int line;
  const void* function = nullptr;  // the kernel, whose attributes hold; null: the default ones
};

cudaError_t enqueue_function(const KernelSite& site, dim3 grid, dim3 block, size_t smem, bool cooperative,
                             cudaStream_t stream, size_t body_bytes, std::function<void()> body);

// Queues the launch; body runs the kernel function once, for the thread that is current. Returns errors of
// the configuration, and faults of earlier work that have not been reported yet.
template <class F>
cudaError_t enqueue_kernel(const KernelSite& site, dim3 grid, dim3 block, size_t smem, bool cooperative,
                           cudaStream_t stream, F body) {
  return enqueue_function(site, grid, block, smem, cooperative, stream, sizeof(F), std::move(body));
}

// The last fault: kind ("out-of-bounds", "race", ...), and the whole report. "" when there was none. Kept
// until the next fault or clear_fault().
const char* fault_kind();
const char* fault_text();
void clear_fault();

// For allocators that cut blocks out of one cudaMalloc: after mark_allocated, bytes beyond the block (up to
// the next allocated block) are out of bounds, so leave kRedZone unused bytes behind each; mark_freed makes
// every later access a use after free. A whole cudaMalloc counts as one allocated block until the first mark.
// mark_allocated fills the block with 0xff bytes (NaN). Both take effect at the current point of stream's
// queue.
constexpr size_t kRedZone = 128;
void mark_allocated(void* p, size_t bytes, cudaStream_t stream);
void mark_freed(void* p, size_t bytes, cudaStream_t stream);

// Seed of the schedules (environment: CCDL_EMULATOR_SEED) and global race detection (CCDL_EMULATOR_RACES).
// set_* wait for queued work.
uint64_t seed();
void set_seed(uint64_t seed);
bool races();
void set_races(bool on);

// Compute capability times ten: 80, or what CCDL_EMULATOR_CAPABILITY says ("9.0": sm_90a instructions run).
int capability();
void set_capability(int value);

}  // namespace ccdl::emu
