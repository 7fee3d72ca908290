// Mixed precision of the calling thread: per device type a switch and a low-precision dtype, and per op the
// dtype its floating-point arguments are brought to first. float64 and integers are left alone. Casts are
// recorded, so gradients arrive in the dtype of the original; those of fp32 leaves (weights) are kept until
// the outermost region ends. Lists after PyTorch's op reference.
#pragma once
#include <string>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

enum class CastPolicy : uint8_t {
  None,
  Low,         // the region's low-precision dtype
  Float32,     // float32
  SetFloat32,  // as a dtype argument of float32 would, unless one is given: the first tensor
  Promote,     // float32 if a tensor is, else the low precision
  Pad,         // float32 where the padding copies elements (reflect, replicate)
  Banned,      // an error
};
struct CastPolicies {
  CastPolicy of[2] = {CastPolicy::None, CastPolicy::None};  // by DeviceKind
  bool any() const { return of[0] != CastPolicy::None || of[1] != CastPolicy::None; }
};
CastPolicies cast_policies(const std::string& op);

bool autocast_active() noexcept;  // some device type is switched on in this thread
bool autocast_enabled(DeviceKind kind) noexcept;
void set_autocast_enabled(DeviceKind kind, bool on);
DType autocast_dtype(DeviceKind kind) noexcept;  // bfloat16 on the CPU, float16 on CUDA, unless set
void set_autocast_dtype(DeviceKind kind, DType dtype);
bool autocast_cache_enabled() noexcept;
void set_autocast_cache_enabled(bool on);
void clear_autocast_cache();
int autocast_enter();  // the nesting depth afterwards
int autocast_leave();

// Whether x takes part: floating point but not float64, on that kind of device.
bool autocast_eligible(const Tensor& x, DeviceKind kind);
// The dtype an op of this policy runs in, given its eligible tensors.
DType autocast_target(CastPolicy policy, DeviceKind kind, bool any_float32);
Tensor autocast_to(const Tensor& x, DType dtype);  // recorded, cached for fp32 leaves

}  // namespace ccdl::ops
