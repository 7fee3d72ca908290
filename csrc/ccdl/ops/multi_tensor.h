// Passes over lists of tensors of one device, in place and outside the graph: gradient norms, clipping, and
// the loss scaling of mixed precision. Nothing here waits for the device.
#pragma once
#include <ccdl/kernels/multi_tensor.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// The p-norm (p > 0, or infinity) of all elements as one vector, 0-d, of the widest dtype of the list.
Tensor total_norm(const TensorList& tensors, double p);
// x *= min(1, max_norm / (total_norm + 1e-6)) for every x.
void clip_by_norm_(const TensorList& tensors, const Tensor& total_norm, double max_norm);
void clamp_list_(const TensorList& tensors, double limit);  // to [-limit, limit]

// x *= inv_scale for every x; found_inf becomes 1 when an element was infinite or NaN. Both float32 numbers.
void amp_unscale_(const TensorList& grads, const Tensor& found_inf, const Tensor& inv_scale);
// One step of the loss scale's growth or backoff, see the contract.
void amp_update_scale_(const Tensor& scale, const Tensor& growth_tracker, const Tensor& found_inf,
                       const ScaleRule& rule);

}  // namespace ccdl::ops
