// Planes that are better off with channels innermost: x and dy are turned, computed as conv_last.h does, and
// the result turned back. Images of few pixels and wide steps, whose pixels would be gathered element by
// element.
#pragma once
#include <ccdl/cpu/conv_last.h>

namespace ccdl::cpu {

// Of planes; adjoint: x and y are dx and dy.
bool conv_prefers_turned(const View& x, const View& w, const View& y, const ConvGeometry& g, bool adjoint);
template <class T>
void conv_turned_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                         bool relu);
template <class T>
void conv_turned_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);

}  // namespace ccdl::cpu
