// Streams and events. Side streams come from a pool per device and priority, made when first asked for and
// never destroyed, so that a block of the allocator can always wait for the streams that used it.
#include <runtime/state.h>

#include <vector>

namespace ccdl::cu {
namespace {

constexpr int kPoolStreams = 32;

struct StreamPool {
  std::mutex mutex;
  cudaStream_t streams[2][kPoolStreams] = {};
  unsigned next[2] = {};
  std::vector<cudaStream_t> idle_captures;
};
StreamPool& pool_of(int device) {
  static auto* pools = new StreamPool[kMaxDevices];
  return pools[device];
}

cudaStream_t raw(const Stream& s) { return static_cast<cudaStream_t>(s.handle); }

cudaStream_t make_stream(bool high) {  // on the bound device
  const RelaxedCapture relaxed;
  int least = 0, greatest = 0;
  cudaStream_t s = nullptr;
  CCDL_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  CCDL_CUDA_CHECK(cudaStreamCreateWithPriority(&s, cudaStreamNonBlocking, high ? greatest : least));
  return s;
}

}  // namespace

cudaStream_t take_capture_stream(int device) {
  const BoundDevice bound(device);
  StreamPool& pool = pool_of(device);
  const std::lock_guard<std::mutex> lock(pool.mutex);
  if (pool.idle_captures.empty()) return make_stream(false);
  const cudaStream_t s = pool.idle_captures.back();
  pool.idle_captures.pop_back();
  return s;
}

void give_capture_stream(int device, cudaStream_t stream) {
  StreamPool& pool = pool_of(device);
  const std::lock_guard<std::mutex> lock(pool.mutex);
  pool.idle_captures.push_back(stream);
}

Stream Stream::make(int device, int priority) {
  const BoundDevice bound(device);
  StreamPool& pool = pool_of(device);
  const int high = priority < 0;
  const std::lock_guard<std::mutex> lock(pool.mutex);
  cudaStream_t& s = pool.streams[high][pool.next[high]++ % kPoolStreams];
  if (s == nullptr) s = make_stream(high != 0);
  return {device, s};
}

Stream Stream::current(int device) {
  check_device(device);
  return {device, thread_state().streams[device]};
}

void Stream::make_current() const {
  check_device(device);
  thread_state().streams[device] = raw(*this);
}

bool Stream::query() const {
  const BoundDevice bound(device);
  check_not_capturing("Stream.query");
  const cudaError_t status = cudaStreamQuery(raw(*this));
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check_cuda(status, "cudaStreamQuery");
  raise_pending_fault(device);
  return true;
}

void Stream::synchronize() const {
  const BoundDevice bound(device);
  check_not_capturing("Stream.synchronize");
  synchronize_stream(raw(*this));
}

bool Stream::is_capturing() const {
  if (!is_initialized()) return false;
  const BoundDevice bound(device);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CCDL_CUDA_CHECK(cudaStreamIsCapturing(raw(*this), &status));
  return status != cudaStreamCaptureStatusNone;
}

Event::~Event() {
  if (handle_ == nullptr || in_forked_child()) return;
  cudaEventDestroy(static_cast<cudaEvent_t>(handle_));
  cudaGetLastError();
}

void Event::record(const Stream& stream) {
  CCDL_CHECK(device_ < 0 || device_ == stream.device, Device,
             "Event.record: the event belongs to cuda:", device_, " and the stream to cuda:", stream.device,
             "; make one event per device");
  const BoundDevice bound(stream.device);
  if (handle_ == nullptr) {
    const RelaxedCapture relaxed;
    cudaEvent_t event = nullptr;
    CCDL_CUDA_CHECK(cudaEventCreateWithFlags(&event, timing_ ? cudaEventDefault : cudaEventDisableTiming));
    handle_ = event;
    device_ = stream.device;
  }
  CCDL_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(handle_), raw(stream)));
}

void Event::wait(const Stream& stream) const {
  if (handle_ == nullptr) return;
  const BoundDevice bound(stream.device);
  CCDL_CUDA_CHECK(cudaStreamWaitEvent(raw(stream), static_cast<cudaEvent_t>(handle_), 0));
}

bool Event::query() const {
  if (handle_ == nullptr) return true;
  const BoundDevice bound(device_);
  check_not_capturing("Event.query");
  const cudaError_t status = cudaEventQuery(static_cast<cudaEvent_t>(handle_));
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check_cuda(status, "cudaEventQuery");
  return true;
}

void Event::synchronize() const {
  if (handle_ == nullptr) return;
  const BoundDevice bound(device_);
  check_not_capturing("Event.synchronize");
  cudaError_t status;
  {
    const Waiting waiting;
    status = cudaEventSynchronize(static_cast<cudaEvent_t>(handle_));
  }
  check_cuda(status, "cudaEventSynchronize");
  raise_pending_fault(device_);
}

double Event::elapsed_ms(const Event& end) const {
  CCDL_CHECK(timing_ && end.timing_, Value,
             "Event.elapsed_time: both events must be made with enable_timing=True");
  CCDL_CHECK(handle_ != nullptr && end.handle_ != nullptr, Value,
             "Event.elapsed_time: both events must be recorded first");
  const BoundDevice bound(device_);
  float ms = 0;
  const cudaError_t status =
      cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(handle_), static_cast<cudaEvent_t>(end.handle_));
  if (status == cudaErrorNotReady) cudaGetLastError();
  CCDL_CHECK(status != cudaErrorNotReady, Runtime,
             "Event.elapsed_time: an event has not happened yet; call end.synchronize() first");
  check_cuda(status, "cudaEventElapsedTime");
  return static_cast<double>(ms);
}

}  // namespace ccdl::cu
