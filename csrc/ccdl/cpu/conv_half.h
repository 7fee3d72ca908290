// Convolution of float16 and bfloat16, summed in float and rounded once.
#pragma once
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

void conv_half_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                       Activation activation);
void conv_half_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
void conv_half_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

}  // namespace ccdl::cpu
