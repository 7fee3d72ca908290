// Sampling of images at real-valued positions.
#pragma once
#include <string>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// input [N, C, H, W] or [N, C, D, H, W]; grid [N, (D',) H', W', 2 or 3], values in [-1, 1], x first. mode:
// bilinear, nearest, bicubic (4-d); padding_mode: zeros, border, reflection.
Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode = "bilinear",
                   const std::string& padding_mode = "zeros", bool align_corners = false);

// The same made of differentiable ops: second derivatives, and images too large for the kernel.
Tensor grid_sample_composite(const Tensor& input, const Tensor& grid, const std::string& mode,
                             const std::string& padding_mode, bool align_corners);

}  // namespace ccdl::ops
