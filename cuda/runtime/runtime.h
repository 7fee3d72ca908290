// What kernel launchers need from the runtime: the current stream and device, scratch memory, and the sink
// through which a kernel reports bad input without stopping.
#pragma once
#include <cuda_runtime.h>

#ifdef CCDL_CUDA_EMULATED
#include <emulator/device.h>
#endif

#include <ccdl/core/error.h>
#include <ccdl/core/rng.h>
#include <ccdl/core/view.h>

namespace ccdl::cu {

// Of the calling thread. The device is the one the stream belongs to.
cudaStream_t current_stream();
int current_device() noexcept;

struct DeviceTraits {
  int sm_count;
  int shared_per_block;  // largest dynamic shared memory of one block, bytes
  int shared_per_sm;
  int major, minor;  // compute capability
  int64_t l2_bytes;
};
const DeviceTraits& device_traits();  // of the current device
bool wants_sm90();                    // CCDL_SM90=1 on a device of compute capability 9: the Hopper kernels

// CUDA call or Error(Runtime) with the failing expression, CUDA's name and text for it, and the device.
void check_cuda(cudaError_t status, const char* expression);
#define CCDL_CUDA_CHECK(expression) ::ccdl::cu::check_cuda((expression), #expression)

// Device memory for the length of a launcher, from the caching allocator; 256-byte aligned. Stream order
// makes it safe to let go as soon as the kernels that use it are queued.
class Scratch {
 public:
  explicit Scratch(int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T = void>
  T* ptr() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  void* block_ = nullptr;
  int device_ = 0;
};

// Copies bytes from the device and waits for them: a host synchronisation, for data-dependent sizes only.
// Raises a pending device fault, and a clear Error(Runtime) during graph capture.
void read_back(void* host, const void* device, int64_t bytes);
// host may be reused when this returns; the copy runs in stream order.
void write_to_device(void* device, const void* host, int64_t bytes);

// ---- faults: bad input met inside a kernel (DESIGN 6.12) ----
enum class FaultKind : int32_t {
  None,
  Index,            // value outside [0, bound), axis = dimension: IndexError
  Label,            // class target outside [0, bound): IndexError
  IntegerDivision,  // division by zero: ZeroDivisionError's cousin, Error(Runtime)
  Probability,      // outside [0, 1]: Error(Runtime)
  Negative,         // a count below zero: Error(Value)
  Weights,          // of multinomial; value 1: negative, inf or NaN, 2: a row of zeros, 4: fewer than bound:
                    // Error(Value)
  Offsets,  // of bags: not from 0, decreasing, or beyond the bound entries of the input: Error(Runtime)
};

struct FaultRecord {
  const char* op;
  int64_t value, bound, axis;
  FaultKind kind;
};

// Passed to kernels by value. The first report since the last check wins; the kernel skips the access and
// goes on.
struct FaultSink {
  unsigned* taken;      // device memory
  FaultRecord* record;  // host memory mapped into the device
  const char* op;

  CCDL_HD inline void report([[maybe_unused]] FaultKind kind, [[maybe_unused]] int64_t value,
                             [[maybe_unused]] int64_t bound, [[maybe_unused]] int64_t axis = 0) const {
#if defined(__CUDA_ARCH__) || defined(CCDL_CUDA_EMULATED)
    if (atomicCAS(taken, 0u, 1u) != 0u) return;
    record->op = op;
    record->value = value;
    record->bound = bound;
    record->axis = axis;
    __threadfence_system();
    const_cast<volatile FaultKind&>(record->kind) = kind;
#endif
  }
};

// The sink of the current device, tagged with the op that runs now on this thread (ccdl/core/dispatch.h).
FaultSink fault_sink();

// Random state as a kernel sees it. In a captured graph `base` holds what the generator stands at when the
// graph is replayed: its offset, to which s.offset counts from, and its seed.
CCDL_HD CCDL_INLINE RandomState resolve(RandomState s) {
#if defined(__CUDA_ARCH__) || defined(CCDL_CUDA_EMULATED)
  if (s.base) {
    s.offset += s.base[0];
    s.seed = s.base[1];
  }
  s.base = nullptr;
#endif
  return s;
}

}  // namespace ccdl::cu
