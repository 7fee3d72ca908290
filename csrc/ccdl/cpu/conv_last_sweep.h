// One sweep with channels innermost: pixels of the result that read shifted pixels of the source.
#pragma once
#include <ccdl/cpu/conv_parts.h>

#include <cstring>

namespace ccdl::cpu {

// Taps of one dim in increasing shift: source position = pixel * step + shift.
struct Taps {
  std::vector<int64_t> shift, index;  // index: of the tap in w
  int64_t size() const { return static_cast<int64_t>(shift.size()); }
};

// dst[n, pixel, j] = sum over (tap, channel) of src[n, pixel * step + shift(tap), channel] * w[tap, channel,
// j] for every group, whose channels and columns lie beside those of the group before.
template <class T>
struct LastSweep {
  int64_t batch, groups, channels, m;  // channels of a group; m: columns of its product
  const T* src;
  int64_t src_pixel, src_size[3], step[3], pixels[3];  // src_pixel: elements between pixels
  Taps taps[3];
  T* dst;
  int64_t dst_batch, dst_stride[3];  // elements between pixels; a pixel is m adjacent elements
  const T* w;
  int64_t w_group, w_channel, w_column, w_tap[3];
  const T* bias;
  bool relu;

  int64_t count() const { return taps[0].size() * taps[1].size() * taps[2].size(); }
  int64_t k() const { return count() * channels; }
  int64_t image() const { return pixels[0] * pixels[1] * pixels[2]; }
  int64_t src_batch() const { return src_size[0] * src_size[1] * src_size[2] * src_pixel; }
  bool even() const {  // all pixels of the result are dst_stride[2] apart
    return dst_stride[1] == dst_stride[2] * pixels[2] && dst_stride[0] == dst_stride[1] * pixels[1] &&
           dst_batch == dst_stride[2] * image();
  }
  LastSweep group(int64_t g) const {
    LastSweep one = *this;
    one.groups = 1;
    one.src += g * channels;
    one.dst += g * m;
    one.w += g * w_group;
    if (bias != nullptr) one.bias += g * m;
    return one;
  }
  bool pointwise() const {  // rows of the product are the source itself
    bool same = count() == 1;
    for (int d = 0; d < 3 && same; ++d)
      same = taps[d].shift[0] == 0 && step[d] == 1 && src_size[d] == pixels[d];
    return same;
  }
  const T* tap_weights() const {  // those of its one tap, of a filter that may have more
    return w + taps[0].index[0] * w_tap[0] + taps[1].index[0] * w_tap[1] + taps[2].index[0] * w_tap[2];
  }
  bool apart() const { return src_pixel != channels; }  // channels of other groups lie between
  // Taps along a row that follow each other read adjacent pixels: one run.
  bool rows_follow() const {
    for (size_t t = 1; t < taps[2].shift.size(); ++t)
      if (taps[2].shift[t] != taps[2].shift[t - 1] + 1) return false;
    return true;
  }
};

template <class T>
void copy_run(T* dst, const T* src, int64_t n) {
  constexpr int64_t kShort = 64 / sizeof(T);
  if (n < kShort / 4) {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i];
  } else if (n < kShort / 2) {
    std::memcpy(dst, src, 16);
    std::memcpy(dst + n - kShort / 4, src + n - kShort / 4, 16);
  } else if (n < kShort) {
    std::memcpy(dst, src, 32);
    std::memcpy(dst + n - kShort / 2, src + n - kShort / 2, 32);
  } else if (n <= 2 * kShort) {
    std::memcpy(dst, src, 64);
    std::memcpy(dst + n - kShort, src + n - kShort, 64);
  } else {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(T));
  }
}

}  // namespace ccdl::cpu
