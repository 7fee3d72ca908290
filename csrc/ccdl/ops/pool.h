// Pooling over the last `nd` dims (1, 2 or 3) of [N, C, ...] or [C, ...]. Window arguments hold nd numbers or
// one for all; an empty stride means the kernel size. The output follows a channels_last input. Indices are
// int64 positions in the plane of the input.
#pragma once
#include <optional>
#include <tuple>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

struct PoolArgs {
  Dims kernel_size, stride, padding = {0}, dilation = {1};
  bool ceil_mode = false;
};

// The one shape function: output size along one dim.
int64_t pool_output_size(const char* op, int64_t input, int64_t kernel, int64_t stride, int64_t padding,
                         int64_t dilation, bool ceil_mode);

Tensor max_pool(int nd, const Tensor& x, const PoolArgs& args);
std::tuple<Tensor, Tensor> max_pool_with_indices(int nd, const Tensor& x, const PoolArgs& args);
std::tuple<Tensor, Tensor> adaptive_max_pool(int nd, const Tensor& x, const Dims& output_size);
Tensor avg_pool(int nd, const Tensor& x, const PoolArgs& args, bool count_include_pad = true,
                std::optional<int64_t> divisor_override = std::nullopt);
Tensor adaptive_avg_pool(int nd, const Tensor& x, const Dims& output_size);
// Values at their indices in an else zero tensor whose last nd sizes are output_size.
Tensor max_unpool(int nd, const Tensor& x, const Tensor& indices, const Dims& output_size);

inline Tensor max_pool2d(const Tensor& x, const PoolArgs& args) { return max_pool(2, x, args); }
inline Tensor avg_pool2d(const Tensor& x, const PoolArgs& args) { return avg_pool(2, x, args); }

}  // namespace ccdl::ops
