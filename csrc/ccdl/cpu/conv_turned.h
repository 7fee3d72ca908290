// Planes that are better off with channels innermost: x and dy are turned, computed as conv_last.h does, and
// the result turned back. Images of few pixels and wide steps, whose pixels would be gathered element by
// element.
#pragma once
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/conv_last.h>
#include <ccdl/kernels/elementwise.h>

namespace ccdl::cpu {

// A buffer that lies as `like` would with channels innermost.
template <class T>
struct Turned {
  Buffer<T> data;
  View view;
  explicit Turned(const View& like) : data(like.numel()), view(like) {
    view.data = data.get();
    view.strides[1] = 1;
    int64_t stride = like.sizes[1];
    for (int d = 4; d >= 2; --d) {
      view.strides[d] = stride;
      stride *= like.sizes[d];
    }
    view.strides[0] = stride;
  }
  const Turned& filled(const View& from) const {
    copy_cast(from, view);
    return *this;
  }
};

// Of planes; adjoint: x and y are dx and dy.
bool conv_prefers_turned(const View& x, const View& w, const View& y, const ConvGeometry& g, bool adjoint);
template <class T>
void conv_turned_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                         bool relu);
template <class T>
void conv_turned_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
template <class T>
void conv_turned_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

// Groups of several channels, each turned by itself and seen as a convolution of one group.
bool conv_prefers_turned_groups(const View& x, const View& w, const View& y, const ConvGeometry& g,
                                bool adjoint);
template <class T>
void conv_turned_groups_forward(const View& x, const View& w, const void* bias, const View& y,
                                const ConvGeometry& g, bool relu);
template <class T>
void conv_turned_groups_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);

}  // namespace ccdl::cpu
