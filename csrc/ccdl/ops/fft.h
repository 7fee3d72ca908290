// Discrete Fourier transforms of float32 and float64 in host memory; complex numbers are a last dimension
// of 2.
#pragma once
#include <ccdl/kernels/fft.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// The transform of kernels/fft.h along dim, counted without the dimension of pairs; x takes part with the
// first numbers of each line, the result has `count` of them.
Tensor fft_transform(const Tensor& x, const FftSpec& spec, int64_t dim, int64_t count);

}  // namespace ccdl::ops
