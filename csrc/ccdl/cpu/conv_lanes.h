// Depthwise convolution with channels in the lanes, of planes and of channels_last alike.
#pragma once
#include <ccdl/cpu/conv_parts.h>

namespace ccdl::cpu {

// One channel and one filter per group, planes only; w of any strides.
template <class T>
bool conv_fits_lanes(const View& x, const View& w, const View& y, const ConvGeometry& g);

// y from x, or dx from dy (adjoint): src and dst are x and y, or dy and dx; elements S, w and dw elements T.
template <class T, class S = T>
void conv_lanes_sweep(const View& src, const View& w, const View& dst, const T* bias, bool relu,
                      const ConvGeometry& g, bool adjoint);
template <class T, class S = T>
void conv_lanes_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

}  // namespace ccdl::cpu
