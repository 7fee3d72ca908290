// One channel per group with channels innermost, read where it lies (conv.cpp chooses between this
// and conv_lanes.h): x, y (dx, dy) as in
// conv_last.h, w of any strides.
#pragma once
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

// y from x, or dx from dy (adjoint).
template <class T>
void conv_last_depthwise_sweep(const View& src, const View& w, const View& dst, const T* bias, bool relu,
                               const ConvGeometry& g, bool adjoint);
// The same of rows that roll (simd/conv_roll.h), weights and sums in float; false for others.
template <class S>
bool conv_last_depthwise_roll(const View& src, const View& w, const View& dst, const float* bias, bool relu,
                              const ConvGeometry& g, bool adjoint);
// x and dy of elements S, dw of T.
template <class T, class S = T>
void conv_last_depthwise_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

}  // namespace ccdl::cpu
