// Streams, events, graphs and error codes of the runtime API.
#include <emulator/machine.h>
#include <emulator/report.h>
#include <emulator/streams.h>

#include <algorithm>
#include <chrono>
#include <set>

using namespace ccdl::emu;

namespace {

double now_ms() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

std::set<cudaEvent_t>& events() {
  static auto* s = new std::set<cudaEvent_t>;
  return *s;
}

bool contains(const std::vector<size_t>& list, size_t v) {
  return std::find(list.begin(), list.end(), v) != list.end();
}

cudaError_t record(cudaEvent_t event, cudaStream_t stream) {
  const auto s = stream_of(stream);
  if (!s || !events().count(event)) return cudaErrorInvalidResourceHandle;
  if (s->capture) {
    if (s->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    event->captured = true;
    event->capture = s->capture;
    event->nodes = s->tails;
    return cudaSuccess;
  }
  event->captured = false;
  auto time = std::make_shared<double>(-1.0);
  event->time = time;
  const cudaError_t e = enqueue(s, [time] { *time = now_ms(); });
  event->point = tail_of(s);
  return e;
}

cudaError_t wait_event(cudaStream_t stream, cudaEvent_t event) {
  const auto s = stream_of(stream);
  if (!s || !events().count(event)) return cudaErrorInvalidResourceHandle;
  if (event->captured) {
    const auto capture = event->capture.lock();
    if (!capture) return cudaErrorCapturedEvent;
    if (s->capture && s->capture != capture) return cudaErrorStreamCaptureMerge;
    if (s->is_default) return cudaErrorStreamCaptureImplicit;
    if (!s->capture) {
      s->capture = capture;
      s->tails.clear();
      capture->members.push_back(s);
    }
    for (size_t n : event->nodes)
      if (!contains(s->tails, n)) s->tails.push_back(n);
    return cudaSuccess;
  }
  if (s->capture) {
    s->capture->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  if (!event->point.stream) return cudaSuccess;  // never recorded
  return enqueue(s, nullptr, {event->point});
}

// Everything a member stream recorded must have been joined back into the stream that ends the capture.
bool joined(const Capture& c, const StreamState& origin) {
  std::vector<bool> reached(c.nodes.size(), false);
  std::vector<size_t> open = origin.tails;
  while (!open.empty()) {
    const size_t n = open.back();
    open.pop_back();
    if (reached[n]) continue;
    reached[n] = true;
    for (size_t a : c.nodes[n].after) open.push_back(a);
  }
  return std::find(reached.begin(), reached.end(), false) == reached.end();
}

struct Name {
  cudaError_t code;
  const char* name;
  const char* text;
};
const Name kNames[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge",
     "too many blocks in cooperative launch"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorGraphExecUpdateFailure, "cudaErrorGraphExecUpdateFailure",
     "the graph update was not performed because it included changes which violated constraints"},
};

}  // namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
  for (const Name& n : kNames)
    if (n.code == error) return n.name;
  return "cudaErrorUnknown";
}
const char* cudaGetErrorString(cudaError_t error) {
  const bool of_kernel = error == cudaErrorIllegalAddress || error == cudaErrorMisalignedAddress ||
                         error == cudaErrorLaunchFailure || error == cudaErrorLaunchTimeout;
  if (of_kernel && fault_text()[0]) return fault_text();  // the report says more than the code
  for (const Name& n : kNames)
    if (n.code == error) return n.text;
  return "unknown error";
}
cudaError_t cudaGetLastError() {
  Guard guard(lock());
  result(cudaSuccess);
  return last_error_of_thread(true);
}
cudaError_t cudaPeekAtLastError() {
  Guard guard(lock());
  return pending_fault() != cudaSuccess ? pending_fault() : last_error_of_thread(false);
}

cudaError_t cudaDeviceSynchronize() {
  Guard guard(lock());
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureUnsupported);
  run_everything();
  return result(cudaSuccess);
}
cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  Guard guard(lock());
  *stream = new_stream(flags, std::clamp(priority, -1, 0))->handle;
  return result(cudaSuccess);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s || s->is_default) return result(cudaErrorInvalidResourceHandle);
  if (s->capture) end_capture(s->capture);
  run_until(tail_of(s));
  forget_stream(s);
  return result(cudaSuccess);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  if (s->capture) {
    s->capture->invalid = true;
    return result(cudaErrorStreamCaptureUnsupported);
  }
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureUnsupported);
  run_until(tail_of(s));
  return result(cudaSuccess);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  if (s->capture) {
    s->capture->invalid = true;
    return result(cudaErrorStreamCaptureUnsupported);
  }
  if (!tail_of(s).reached()) run_one();
  const cudaError_t e = result(cudaSuccess);
  if (e != cudaSuccess) return e;
  return tail_of(s).reached() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  *priority = s->priority;
  return cudaSuccess;
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  *flags = s->flags;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  if (s->is_default) return result(cudaErrorStreamCaptureUnsupported);
  if (s->capture) return result(cudaErrorIllegalState);
  begin_capture(s, mode);
  return result(cudaSuccess);
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Guard guard(lock());
  *graph = nullptr;
  const auto s = stream_of(stream);
  if (!s || !s->capture) return result(cudaErrorIllegalState);
  const auto capture = s->capture;
  if (capture->origin != s) return result(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return result(cudaErrorStreamCaptureWrongThread);
  const bool all = joined(*capture, *s);
  end_capture(capture);
  if (capture->invalid) return result(cudaErrorStreamCaptureInvalidated);
  if (!all) return result(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes), s->device};
  return result(cudaSuccess);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return cudaStreamGetCaptureInfo(stream, status);
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  *mode = exchange_capture_mode(*mode);
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void* user_data) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  return result(enqueue(s, [=] { fn(user_data); }));
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  Guard guard(lock());
  *event = new CUevent_st;
  (*event)->flags = flags;
  events().insert(*event);
  return result(cudaSuccess);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Guard guard(lock());
  if (!events().count(event)) return result(cudaErrorInvalidResourceHandle);
  if (event->captured) return result(cudaErrorCapturedEvent);
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureUnsupported);
  run_until(event->point);
  return result(cudaSuccess);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  Guard guard(lock());
  if (!events().count(event)) return result(cudaErrorInvalidResourceHandle);
  if (event->captured) return result(cudaErrorCapturedEvent);
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureUnsupported);
  if (!event->point.reached()) run_one();
  const cudaError_t e = result(cudaSuccess);
  if (e != cudaSuccess) return e;
  return event->point.reached() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t stop) {
  Guard guard(lock());
  if (!events().count(start) || !events().count(stop)) return result(cudaErrorInvalidResourceHandle);
  if (!start->time || !stop->time || ((start->flags | stop->flags) & cudaEventDisableTiming))
    return result(cudaErrorInvalidResourceHandle);
  if (*start->time < 0 || *stop->time < 0) return cudaErrorNotReady;
  *ms = static_cast<float>(*stop->time - *start->time);
  return result(cudaSuccess);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Guard guard(lock());
  if (events().erase(event) == 0) return result(cudaErrorInvalidResourceHandle);
  delete event;
  return result(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s || !exec) return result(cudaErrorInvalidResourceHandle);
  if (s->capture) return result(cudaErrorStreamCaptureUnsupported);
  return result(enqueue(s, [nodes = exec->nodes] { run_nodes(*nodes); }));
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t, cudaGraph_t, cudaGraphExecUpdateResultInfo* info) {
  if (info) *info = {cudaGraphExecUpdateErrorNotSupported, nullptr, nullptr};
  return result(cudaErrorGraphExecUpdateFailure);
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes)
    for (size_t i = 0; i < *count; ++i)
      nodes[i] = i < graph->nodes.size() ? reinterpret_cast<cudaGraphNode_t>(&graph->nodes[i]) : nullptr;
  *count = nodes ? std::min(*count, graph->nodes.size()) : graph->nodes.size();
  return cudaSuccess;
}

}  // extern "C"

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  Guard guard(lock());
  return result(wait_event(stream, event));
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Guard guard(lock());
  return result(record(event, stream));
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies, const cudaGraphEdgeData** edges,
                                     size_t* count) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  *status = !s->capture           ? cudaStreamCaptureStatusNone
            : s->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  if (id) *id = s->capture ? s->capture->id : 0;
  if (graph) *graph = nullptr;
  if (dependencies) *dependencies = nullptr;
  if (edges) *edges = nullptr;
  if (count) *count = 0;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  Guard guard(lock());
  if (!graph) return result(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{std::make_shared<const std::vector<Node>>(graph->nodes)};
  return result(cudaSuccess);
}

namespace ccdl::emu {

void set_seed_value(uint64_t value);
extern bool races_on;

void set_seed(uint64_t value) {
  Guard guard(lock());
  run_everything();
  set_seed_value(value);
}
bool races() { return races_on; }
void set_races(bool on) {
  Guard guard(lock());
  run_everything();
  races_on = on;
}

}  // namespace ccdl::emu
