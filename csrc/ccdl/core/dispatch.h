// The one seam between ops and kernels: CCDL_KERNEL(tensor, call) runs cpu::call or cu::call by the tensor's
// device.
#pragma once
#include <ccdl/core/tensor.h>

#ifdef CCDL_WITH_CUDA
#define CCDL_KERNEL(tensor, ...) \
  ((tensor).device().is_cpu() ? ::ccdl::cpu::__VA_ARGS__ : ::ccdl::cu::__VA_ARGS__)
#else
#define CCDL_KERNEL(tensor, ...) (::ccdl::cpu::__VA_ARGS__)
#endif

namespace ccdl {
// Same device for all, or Error(Device) naming op, arguments and devices.
void check_same_device(const char* op, std::initializer_list<std::pair<const char*, const Tensor*>> args);
}  // namespace ccdl
