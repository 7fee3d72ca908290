// Convolution with channels innermost (x, y and their gradients as pixels of adjacent channels).
// Pixels are the rows of a matrix product, so nothing is turned around.
#pragma once
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

// Whether x and y (either of them a gradient) lie with channels innermost.
bool conv_is_last(const View& x, const View& y);

template <class T>
void conv_last_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                       bool relu);
template <class T>
void conv_last_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
template <class T>
void conv_last_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

}  // namespace ccdl::cpu
