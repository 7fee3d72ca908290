// Resampling of the spatial dimensions of [N, C, ...].
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Exactly one of size and scale_factor; one entry stands for all spatial dimensions. mode: nearest,
// nearest-exact, linear, bilinear, trilinear, bicubic, area. Every mode is a sum of a few neighbours per
// dimension, one dimension after another.
Tensor interpolate(const Tensor& x, const std::optional<Dims>& size, const std::vector<double>& scale_factor,
                   const std::string& mode, std::optional<bool> align_corners = std::nullopt,
                   std::optional<bool> recompute_scale_factor = std::nullopt, bool antialias = false);

}  // namespace ccdl::ops
