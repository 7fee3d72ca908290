// Taps at either end of a filter that meet nothing but padding (3x3 over one pixel, a dilation as large as
// the image) are left out: the convolution of what remains of w, with as much less padding.
#pragma once
#include <ccdl/cpu/buffer.h>
#include <ccdl/kernels/conv.h>
#include <ccdl/kernels/elementwise.h>

#include <algorithm>

namespace ccdl::cpu {

struct ConvTrim {
  ConvGeometry geometry;
  int64_t first[3], count[3];  // taps that remain

  ConvTrim(const View& x, const View& w, const View& y, const ConvGeometry& g) : geometry(g) {
    for (int d = 0; d < 3; ++d) {
      const int64_t size = x.sizes[d + 2], last = (y.sizes[d + 2] - 1) * g.stride[d], taps = w.sizes[d + 2],
                    by = g.dilation[d], padding = g.padding[d];
      int64_t lo = 0, hi = taps;
      // Tap t lies in front of x for the last pixel, or behind it for the first one.
      while (lo < taps && last + lo * by - padding < 0 && (lo + 1) * by <= padding) ++lo;
      while (hi > lo && (hi - 1) * by - padding >= size) --hi;
      if (hi == lo) lo = 0, hi = taps;
      first[d] = lo;
      count[d] = hi - lo;
      geometry.padding[d] -= lo * by;
      useful_ = useful_ || hi - lo < taps;
    }
  }
  bool useful() const { return useful_; }
  View part(const View& w) const {
    View v = w;
    int64_t offset = 0;
    for (int d = 0; d < 3; ++d) {
      offset += first[d] * w.strides[d + 2];
      v.sizes[d + 2] = count[d];
    }
    v.data = static_cast<char*>(w.data) + offset * (w.dtype == DType::Float64 ? 8 : 4);
    return v;
  }

 private:
  bool useful_ = false;
};

// A contiguous buffer of a view's sizes.
struct Compact {
  Buffer<char> data;
  View view;
  explicit Compact(const View& like)
      : data(like.numel() * (like.dtype == DType::Float64 ? 8 : 4)), view(like) {
    view.data = data.get();
    int64_t stride = 1;
    for (int d = like.ndim - 1; d >= 0; --d) {
      view.strides[d] = stride;
      stride *= like.sizes[d];
    }
  }
};

}  // namespace ccdl::cpu
