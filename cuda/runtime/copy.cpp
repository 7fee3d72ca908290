// Copies between host and device and within devices, on the current stream. Host memory goes through pinned
// staging blocks, so that the caller may change it at once and nothing waits; only copies too large for
// staging, and reads, wait for the stream.
#include <ccdl/core/dispatch.h>
#include <runtime/state.h>

#include <algorithm>
#include <cstring>

namespace ccdl::cu {
namespace {

constexpr int64_t kStagedMax = int64_t{16} << 20;
constexpr int64_t kConstantMax = 8;  // host bytes that a capture may take as a constant: one number

void staged_copy(void* dst, const void* src, int64_t bytes, cudaStream_t stream) {
  size_t capacity = 0;
  void* staging = take_staging(bytes, &capacity);
  std::memcpy(staging, src, static_cast<size_t>(bytes));
  const cudaError_t status =
      cudaMemcpyAsync(dst, staging, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream);
  give_staging(staging, capacity, stream);
  check_cuda(status, "cudaMemcpyAsync (host to device)");
}

void direct_copy(void* dst, const void* src, int64_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check_cuda(cudaMemcpyAsync(dst, src, static_cast<size_t>(bytes), kind, stream),
             kind == cudaMemcpyHostToDevice   ? "cudaMemcpyAsync (host to device)"
             : kind == cudaMemcpyDeviceToHost ? "cudaMemcpyAsync (device to host)"
                                              : "cudaMemcpyAsync (device to device)");
}

// A copy that the host waits for; with pageable memory the waiting is in the copy itself.
void copy_and_wait(void* dst, const void* src, int64_t bytes, cudaMemcpyKind kind) {
  const cudaStream_t stream = current_stream();
  cudaError_t copied = cudaSuccess, waited = cudaSuccess;
  {
    const Waiting waiting;
    if (bytes > 0) copied = cudaMemcpyAsync(dst, src, static_cast<size_t>(bytes), kind, stream);
    if (kind == cudaMemcpyHostToDevice && is_pinned(src)) note_pinned_use(src, stream);
    if (copied == cudaSuccess) waited = cudaStreamSynchronize(stream);
  }
  check_cuda(copied, kind == cudaMemcpyHostToDevice ? "cudaMemcpyAsync (host to device)"
                                                    : "cudaMemcpyAsync (device to host)");
  check_cuda(waited, "cudaStreamSynchronize");
  raise_pending_fault(current_device());
}

// What is queued on `later` from now on starts after all that is queued on `earlier`.
void order(cudaStream_t earlier, int device, cudaStream_t later, int later_device) {
  cudaEvent_t event = nullptr;
  {
    const BoundDevice bound(device);
    CCDL_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    CCDL_CUDA_CHECK(cudaEventRecord(event, earlier));
  }
  const BoundDevice bound(later_device);
  CCDL_CUDA_CHECK(cudaStreamWaitEvent(later, event, 0));
  CCDL_CUDA_CHECK(cudaEventDestroy(event));
}

}  // namespace

void copy_host_to_device(void* dst, const void* src, int64_t bytes, int device) {
  if (bytes == 0) return;
  const BoundDevice bound(device);
  if (bytes > kConstantMax) check_not_capturing("a copy from host memory, which replays would not repeat,");
  if (bytes <= kStagedMax) return staged_copy(dst, src, bytes, current_stream());
  copy_and_wait(dst, src, bytes, cudaMemcpyHostToDevice);
}

void copy_device_to_host(void* dst, const void* src, int64_t bytes, int device) {
  const BoundDevice bound(device);
  check_not_capturing("a copy to host memory");
  copy_and_wait(dst, src, bytes, cudaMemcpyDeviceToHost);
}

void copy_device_to_device(void* dst, int dst_device, const void* src, int src_device, int64_t bytes) {
  if (bytes == 0 || dst == src) return;
  if (dst_device == src_device) {
    const BoundDevice bound(dst_device);
    return direct_copy(dst, src, bytes, cudaMemcpyDeviceToDevice, current_stream());
  }
  const Stream from = Stream::current(src_device), to = Stream::current(dst_device);
  const auto source = static_cast<cudaStream_t>(from.handle), target = static_cast<cudaStream_t>(to.handle);
  order(target, dst_device, source, src_device);
  {
    const BoundDevice bound(src_device);
    CCDL_CUDA_CHECK(
        cudaMemcpyPeerAsync(dst, dst_device, src, src_device, static_cast<size_t>(bytes), source));
  }
  order(source, src_device, target, dst_device);
}

void copy_async(void* dst, const void* src, int64_t bytes, int device, bool to_device) {
  const void* host = to_device ? src : dst;
  if (!is_pinned(host))
    return to_device ? copy_host_to_device(dst, src, bytes, device)
                     : copy_device_to_host(dst, src, bytes, device);
  if (bytes == 0) return;
  const BoundDevice bound(device);
  direct_copy(dst, src, bytes, to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, current_stream());
  note_pinned_use(host, current_stream());
}

void set_bytes(void* dst, int value, int64_t bytes, int device) {
  if (bytes == 0) return;
  const BoundDevice bound(device);
  CCDL_CUDA_CHECK(cudaMemsetAsync(dst, value, static_cast<size_t>(bytes), current_stream()));
}

void read_back(void* host, const void* device, int64_t bytes) {
  copy_device_to_host(host, device, bytes, current_device());
}

void write_to_device(void* device, const void* host, int64_t bytes) {
  if (bytes == 0) return;
  const cudaStream_t stream = current_stream();
  auto* to = static_cast<char*>(device);
  const auto* from = static_cast<const char*>(host);
  for (int64_t at = 0; at < bytes; at += kStagedMax)
    staged_copy(to + at, from + at, std::min(kStagedMax, bytes - at), stream);
}

}  // namespace ccdl::cu
