// The one seam between ops and kernels: CCDL_KERNEL(tensor, call) runs cpu::call, or cu::call on the tensor's
// CUDA device and the thread's current stream of it.
#pragma once
#include <ccdl/core/tensor.h>

#ifdef CCDL_WITH_CUDA
#include <ccdl/core/device_api.h>
#define CCDL_KERNEL(tensor, ...)                         \
  ((tensor).device().is_cpu() ? ::ccdl::cpu::__VA_ARGS__ \
                              : (::ccdl::cu::DeviceGuard((tensor).device().index), ::ccdl::cu::__VA_ARGS__))
#else
#define CCDL_KERNEL(tensor, ...) (::ccdl::cpu::__VA_ARGS__)
#endif

namespace ccdl {

// Same device for all, or Error(Device) naming op, arguments and devices.
void check_same_device(const char* op, std::initializer_list<std::pair<const char*, const Tensor*>> args);

// Names the op that runs on this thread for as long as it lives: CUDA kernels that meet bad input report it.
class OpName {
 public:
  explicit OpName(const char* name);
  ~OpName();
  OpName(const OpName&) = delete;
  OpName& operator=(const OpName&) = delete;

 private:
  const char* before_;
};
const char* current_op_name();  // "op" outside any

}  // namespace ccdl
