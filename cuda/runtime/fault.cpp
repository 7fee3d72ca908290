// Bad input met inside a kernel: one device word that the first report takes and one record in mapped host
// memory per device. The host looks at the record whenever it has waited for the device anyway.
#include <ccdl/core/dispatch.h>
#include <runtime/state.h>

#include <cstring>

namespace ccdl::cu {
namespace {

constexpr size_t kTakenBytes =
    512;  // device block: the taken word, and from 256 on what empty tensors point to

struct FaultState {
  std::mutex mutex;
  FaultRecord* host = nullptr;    // written by kernels
  FaultRecord* mapped = nullptr;  // the same as the device addresses it
  unsigned char* device = nullptr;
  cudaStream_t clearing = nullptr;  // of its own: it never waits for kernels
};
FaultState g_faults[kMaxDevices];

std::string text(const FaultRecord& r) {
  switch (r.kind) {
    case FaultKind::Index:
      return str(r.op, ": index ", r.value, " is out of bounds for dimension ", r.axis, " with size ",
                 r.bound);
    case FaultKind::Label:
      return str(r.op, ": Target ", r.value, " is out of bounds: targets must be in [0, ", r.bound,
                 ") or ignore_index");
    case FaultKind::IntegerDivision:
      return str(r.op, ": \"ZeroDivisionError\": integer division or modulo by zero");
    case FaultKind::Probability:
      return str(r.op, ": every element must be between 0 and 1, in [0, 1]; element ", r.value, " is not");
    case FaultKind::Negative:
      return str(r.op, ": expected numbers >= 0 but got ", r.value);
    case FaultKind::Weights:
      if (r.value == 4)
        return str(r.op, ": a row has fewer non-zero categories than num_samples=", r.bound,
                   " and replacement is False");
      return str(r.op, r.value == 1 ? ": probability tensor contains either `inf`, `nan` or element < 0"
                                    : ": invalid multinomial distribution (sum of probabilities <= 0)");
    case FaultKind::Offsets:
      return str(r.op, ": offsets must start at 0, not decrease and lie within the input's length ", r.bound,
                 ", got ", r.value);
    case FaultKind::None:
      break;
  }
  return str(r.op, ": a kernel met bad input");
}

ErrorKind kind_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::Index:
    case FaultKind::Label:
      return ErrorKind::Index;
    case FaultKind::Negative:
    case FaultKind::Weights:
      return ErrorKind::Value;
    default:
      return ErrorKind::Runtime;
  }
}

}  // namespace

void make_fault_state(int device) {
  const RelaxedCapture relaxed;
  FaultState& f = g_faults[device];
  void* host = nullptr;
  void* mapped = nullptr;
  void* block = nullptr;
  CCDL_CUDA_CHECK(cudaHostAlloc(&host, sizeof(FaultRecord), cudaHostAllocMapped | cudaHostAllocPortable));
  std::memset(host, 0, sizeof(FaultRecord));
  CCDL_CUDA_CHECK(cudaHostGetDevicePointer(&mapped, host, 0));
  CCDL_CUDA_CHECK(cudaMalloc(&block, kTakenBytes));
  CCDL_CUDA_CHECK(cudaMemsetAsync(block, 0, kTakenBytes, nullptr));
  CCDL_CUDA_CHECK(cudaStreamSynchronize(nullptr));
  CCDL_CUDA_CHECK(cudaStreamCreateWithPriority(&f.clearing, cudaStreamNonBlocking, 0));
  f.host = static_cast<FaultRecord*>(host);
  f.mapped = static_cast<FaultRecord*>(mapped);
  f.device = static_cast<unsigned char*>(block);
}

void* empty_block(int device) { return g_faults[device].device + 256; }

FaultSink fault_sink() {
  bind_device();
  const FaultState& f = g_faults[thread_state().device];
  return {reinterpret_cast<unsigned*>(f.device), f.mapped, current_op_name()};
}

void raise_pending_fault(int device) {
  FaultState& f = g_faults[device];
  if (f.host == nullptr) return;
  const volatile FaultKind* kind = &f.host->kind;  // written by kernels
  if (*kind == FaultKind::None) [[likely]]
    return;
  if (thread_state().capture != nullptr) return;  // raised at the first wait after the capture
  FaultRecord record;
  {
    const std::lock_guard<std::mutex> lock(f.mutex);
    if (*kind == FaultKind::None) return;
    std::atomic_thread_fence(std::memory_order_acquire);
    record = *f.host;
    f.host->kind = FaultKind::None;
    const BoundDevice bound(device);
    // Done when this returns, whatever is queued on any stream: kernels from here on can report again.
    CCDL_CUDA_CHECK(cudaMemsetAsync(f.device, 0, sizeof(unsigned), f.clearing));
    CCDL_CUDA_CHECK(cudaStreamSynchronize(f.clearing));
  }
  fail(kind_of(record.kind), text(record));
}

}  // namespace ccdl::cu
