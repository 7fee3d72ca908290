// Copies with channels innermost around conv_last.h: turning costs a tenth of a nanosecond an element, one
// output sums over hundreds.
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/conv_turned.h>

namespace ccdl::cpu {
namespace {

// One tap that steps over pixels: only those it reads.
bool reads_some(const View& w, const ConvGeometry& g) {
  return plane_size(w) == 1 && g.padding[0] + g.padding[1] + g.padding[2] == 0 &&
         g.stride[0] * g.stride[1] * g.stride[2] > 1;
}
View read_pixels(const View& x, const View& y, const ConvGeometry& g) {
  View v = x;
  for (int d = 0; d < 3; ++d) {
    v.sizes[d + 2] = y.sizes[d + 2];
    v.strides[d + 2] *= g.stride[d];
  }
  return v;
}
// Part `i` of `parts` of a dim.
template <class T>
View part_of(const View& v, int dim, int64_t i, int64_t parts) {
  View part = v;
  part.sizes[dim] = v.sizes[dim] / parts;
  part.data = v.ptr<T>() + i * part.sizes[dim] * v.strides[dim];
  return part;
}
ConvGeometry one_group(ConvGeometry g) {
  g.groups = 1;
  return g;
}
ConvGeometry without_steps(ConvGeometry g) {
  std::fill(g.stride, g.stride + 3, 1);
  return g;
}

}  // namespace

// Measured beside the panels of planes: ahead up to about 300 pixels an image (1.0 to 1.5, a matrix of few
// pixels and many channels up to 3), behind from 500 on. Wide steps of long sums: 1.2 to 1.9 for any image,
// to 4.5 for few filters (a patch is copied run by run).
bool conv_prefers_turned(const View& x, const View& w, const View& y, const ConvGeometry& g, bool adjoint) {
  if (g.groups != 1 || x.numel() == 0 || y.numel() == 0 || w.numel() == 0) return false;
  int64_t phases = 1;
  for (int d = 0; d < 3; ++d) phases *= std::min(g.stride[d], x.sizes[d + 2]);
  const int64_t pixels = adjoint ? ceil_div(plane_size(x), phases) : plane_size(y),
                k = adjoint ? ceil_div(w.sizes[0] * plane_size(w), phases) : w.sizes[1] * plane_size(w),
                m = adjoint ? w.sizes[1] * phases : w.sizes[0];
  if (k < 48 || m < 16) return false;
  // One panel of pixels and many filters: turning the filters costs as much as their product (0.6 to 0.8).
  if (!adjoint && plane_size(w) > 1 && m >= 128 && x.sizes[0] * pixels <= 48) return false;
  if (reads_some(w, g) && w.sizes[1] >= 96) return true;
  // Volumes of few channels: no strips of planes, but rows of pixels.
  if (!adjoint && x.sizes[2] > 1 && g.stride[2] == 2 && w.sizes[1] * w.sizes[4] < 64 && m >= 32) return true;
  return pixels <= 300 || (!adjoint && g.stride[2] > 2 && k >= 128);
}

template <class T>
void conv_turned_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                         bool relu) {
  if (reads_some(w, g)) {
    const Turned<T> some(read_pixels(x, y, g));
    some.filled(read_pixels(x, y, g));
    const Turned<T> to(y);
    conv_last_forward<T>(some.view, w, bias, to.view, without_steps(g), relu);
    return copy_cast(to.view, y);
  }
  const Turned<T> from(x), filters(w), to(y);
  conv_last_forward<T>(from.filled(x).view, filters.filled(w).view, bias, to.view, g, relu);
  copy_cast(to.view, y);
}

template <class T>
void conv_turned_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (reads_some(w, g)) {
    const Turned<T> from(dy), some(read_pixels(dx, dy, g));
    conv_last_backward_input<T>(from.filled(dy).view, w, some.view, without_steps(g));
    std::memset(dx.data, 0, static_cast<size_t>(dx.numel()) * sizeof(T));
    return copy_cast(some.view, read_pixels(dx, dy, g));
  }
  const Turned<T> from(dy), filters(w), to(dx);
  conv_last_backward_input<T>(from.filled(dy).view, filters.filled(w).view, to.view, g);
  copy_cast(to.view, dx);
}

template <class T>
void conv_turned_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  const Turned<T> from(x), other(dy);
  conv_last_backward_weight<T>(from.filled(x).view, other.filled(dy).view, dw, g);
}

// Few channels on either side, whose rows last_sweep_rows takes: half a vector is worth it only in place of
// the phases of a stride.
bool conv_prefers_turned_groups(const View& x, const View& w, const View& y, const ConvGeometry& g,
                                bool adjoint) {
  const int64_t each = g.groups > 0 ? w.sizes[0] / g.groups : 0, m = adjoint ? w.sizes[1] : each,
                k = (adjoint ? each : w.sizes[1]) * plane_size(w),
                width = adjoint ? x.sizes[4] / g.stride[2] : y.sizes[4];
  return g.groups > 1 && x.numel() > 0 && y.numel() > 0 && plane_size(w) > 1 && m <= 32 && k >= 64 &&
         k <= 2048 && width >= 7 && m >= (adjoint && g.stride[2] > 1 ? 8 : 12);
}

template <class T>
void conv_turned_groups_forward(const View& x, const View& w, const void* bias, const View& y,
                                const ConvGeometry& g, bool relu) {
  const Turned<T> from(part_of<T>(x, 1, 0, g.groups)), to(part_of<T>(y, 1, 0, g.groups)),
      filters(part_of<T>(w, 0, 0, g.groups));
  for (int64_t i = 0; i < g.groups; ++i) {
    const T* b = bias != nullptr ? static_cast<const T*>(bias) + i * to.view.sizes[1] : nullptr;
    conv_last_forward<T>(from.filled(part_of<T>(x, 1, i, g.groups)).view,
                         filters.filled(part_of<T>(w, 0, i, g.groups)).view, b, to.view, one_group(g), relu);
    copy_cast(to.view, part_of<T>(y, 1, i, g.groups));
  }
}

template <class T>
void conv_turned_groups_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const Turned<T> from(part_of<T>(dy, 1, 0, g.groups)), to(part_of<T>(dx, 1, 0, g.groups)),
      filters(part_of<T>(w, 0, 0, g.groups));
  for (int64_t i = 0; i < g.groups; ++i) {
    conv_last_backward_input<T>(from.filled(part_of<T>(dy, 1, i, g.groups)).view,
                                filters.filled(part_of<T>(w, 0, i, g.groups)).view, to.view, one_group(g));
    copy_cast(to.view, part_of<T>(dx, 1, i, g.groups));
  }
}

#define CCDL_CONV_TURNED(T)                                                                                 \
  template void conv_turned_forward<T>(const View&, const View&, const void*, const View&,                  \
                                       const ConvGeometry&, bool);                                          \
  template void conv_turned_backward_input<T>(const View&, const View&, const View&, const ConvGeometry&);  \
  template void conv_turned_backward_weight<T>(const View&, const View&, const View&, const ConvGeometry&); \
  template void conv_turned_groups_forward<T>(const View&, const View&, const void*, const View&,           \
                                              const ConvGeometry&, bool);                                   \
  template void conv_turned_groups_backward_input<T>(const View&, const View&, const View&,                 \
                                                     const ConvGeometry&);
CCDL_CONV_TURNED(float)
CCDL_CONV_TURNED(double)
#undef CCDL_CONV_TURNED

}  // namespace ccdl::cpu
