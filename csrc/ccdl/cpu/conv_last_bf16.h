// Convolution of bfloat16 with channels innermost where the processor multiplies bfloat16 pairs: one group,
// summed in float, rounded once.
#pragma once
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

// x of `channels`, y of `rows`: whether the processor has instructions for it and the shape fills them.
bool conv_takes_bfloat16(const ConvGeometry& g, int64_t channels, int64_t rows, bool input_gradient);

void conv_bf16_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                       bool relu);
void conv_bf16_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
void conv_bf16_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

}  // namespace ccdl::cpu
