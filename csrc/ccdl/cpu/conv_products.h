// Convolutions that are better seen as a product of whole matrices: filters as large as the input, and input
// gradients of few channels, whose products with the filters are added to dx tap by tap.
#pragma once
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

// One output position that reads all of the input: y [N, K] = x [N, C taps] * w'. Planes.
bool conv_is_whole(const View& x, const View& w, const View& y, const ConvGeometry& g);
void conv_whole_forward(const View& x, const View& w, const void* bias, const View& y, bool relu);
void conv_whole_backward_input(const View& dy, const View& w, const View& dx);
void conv_whole_backward_weight(const View& x, const View& dy, const View& dw);

// Windows nearly as large as the image (a filter over whole words, 33x33 over 40x40): most positions of a
// convolution of dy with turned filters would meet padding alone. dy' * w gives for every pixel of dy the
// window it adds to dx.
bool conv_prefers_windows(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
template <class T>
void conv_backward_input_windows(const View& dy, const View& w, const View& dx, const ConvGeometry& g);

// The input gradient of planes with few channels and many taps.
bool conv_prefers_added(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
template <class T>
void conv_backward_input_added(const View& dy, const View& w, const View& dx, const ConvGeometry& g);

}  // namespace ccdl::cpu
