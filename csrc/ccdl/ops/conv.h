// Convolution (cross-correlation) in one to three dims and its transpose. The input may lack the batch dim;
// the output follows a channels_last input. Lists hold one entry for all dims or one per dim.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

struct ConvOptions {
  Dims stride{1};
  Dims padding{0};
  Dims dilation{1};
  int64_t groups = 1;
  bool same = false;       // padding 'same' (stride 1 only); the odd element goes behind
  Dims output_padding{0};  // transposed only
};

// dims = 1, 2, 3; w [K, C / groups, kernel...], bias [K] or undefined.
Tensor conv(int dims, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& options);
// w [C, K / groups, kernel...]
Tensor conv_transpose(int dims, const Tensor& x, const Tensor& w, const Tensor& bias,
                      const ConvOptions& options);

inline Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                     const ConvOptions& options = {}) {
  return conv(2, x, w, bias, options);
}

}  // namespace ccdl::ops
