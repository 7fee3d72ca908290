// One sweep with channels innermost: pixels of the result that read shifted pixels of the source.
#pragma once
#include <ccdl/cpu/conv_parts.h>

namespace ccdl::cpu {

// Taps of one dim in increasing shift: source position = pixel * step + shift.
struct Taps {
  std::vector<int64_t> shift, index;  // index: of the tap in w
  int64_t size() const { return static_cast<int64_t>(shift.size()); }
};

// dst[n, pixel, j] = sum over (tap, channel) of src[n, pixel * step + shift(tap), channel] * w[tap, channel,
// j]
template <class T>
struct LastSweep {
  int64_t batch, channels, m;  // m: columns of the product
  const T* src;
  int64_t src_size[3], step[3], pixels[3];
  Taps taps[3];
  T* dst;
  int64_t dst_batch, dst_stride[3];  // elements between pixels; a pixel is m adjacent elements
  const T* w;
  int64_t w_channel, w_column, w_tap[3];
  const T* bias;
  bool relu;

  int64_t count() const { return taps[0].size() * taps[1].size() * taps[2].size(); }
  int64_t k() const { return count() * channels; }
  int64_t image() const { return pixels[0] * pixels[1] * pixels[2]; }
  int64_t src_batch() const { return src_size[0] * src_size[1] * src_size[2] * channels; }
  bool dense() const {
    return dst_stride[2] == m && dst_stride[1] == m * pixels[2] &&
           dst_stride[0] == m * pixels[2] * pixels[1] && dst_batch == m * image();
  }
  bool pointwise() const {  // rows of the product are the source itself
    bool same = count() == 1;
    for (int d = 0; d < 3 && same; ++d)
      same = taps[d].shift[0] == 0 && step[d] == 1 && src_size[d] == pixels[d];
    return same;
  }
  // Taps along a row that follow each other read adjacent pixels: one run.
  bool rows_follow() const {
    for (size_t t = 1; t < taps[2].shift.size(); ++t)
      if (taps[2].shift[t] != taps[2].shift[t - 1] + 1) return false;
    return true;
  }
};

}  // namespace ccdl::cpu
