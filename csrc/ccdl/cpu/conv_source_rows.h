// The source rows that a block of result rows of a LastSweep reads, copied with their borders or in place.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

template <class T>
struct SourceRows {
  static constexpr int64_t kSourceBytes = 3 << 18;  // of a block's pixels with all their channels
  const LastSweep<T>& s;
  int64_t pixel;              // elements of a copied one; bytes: of a block's copy
  int64_t run, least, reach;  // run: taps that read adjacent pixels; least, reach: pixels of a row
  bool in_place;
  int64_t low, high, depths, pitch, block, blocks, rows;  // pitch: elements from row to row

  SourceRows(const LastSweep<T>& sweep, int64_t elements, int64_t bytes, bool copied)
      : s(sweep),
        pixel(elements),
        run(s.rows_follow() ? s.taps[2].size() : 1),
        least(s.taps[2].shift.front()),
        reach((s.pixels[2] - 1) * s.step[2] + s.taps[2].shift.back() - least + 1),
        in_place(!copied && (!s.apart() || s.taps[2].size() == 1) && least >= 0 &&
                 least + reach <= s.src_size[2]),
        low(s.taps[1].shift.front()),
        high(s.taps[1].shift.back() - low + 1),
        depths(s.taps[0].size()),
        pitch(in_place ? s.src_size[2] * s.src_pixel : reach * pixel) {
    const int64_t size = static_cast<int64_t>(sizeof(T)) * depths,
                  most =
                      std::min(bytes / (size * pitch), kSourceBytes / (size * s.src_size[2] * s.src_pixel));
    block = in_place ? 8 : std::clamp<int64_t>((most - high) / s.step[1] + 1, 1, s.pixels[1]);
    blocks = ceil_div(s.pixels[1], block);
    rows = (block - 1) * s.step[1] + high;
  }
  int64_t size() const { return depths * rows * pitch; }
  // Row y of depth tap td under result depth d, from a channel on; null outside.
  const T* at(int64_t n, int64_t d, int64_t td, int64_t y, int64_t channel) const {
    const int64_t z = d * s.step[0] + s.taps[0].shift[static_cast<size_t>(td)];
    if (z < 0 || z >= s.src_size[0] || y < 0 || y >= s.src_size[1]) return nullptr;
    return s.src + n * s.src_batch() + (z * s.src_size[1] + y) * s.src_size[2] * s.src_pixel + channel;
  }
  // Rows under `live` result rows from h0 on, zeros in their borders; those outside only if asked for.
  // move(to, from, pixels) copies pixels.
  template <class F>
  void copy(int64_t n, int64_t d, int64_t h0, int64_t live, int64_t channel, bool outside, T* out,
            const F& move) const {
    const int64_t lo = std::clamp<int64_t>(-least, 0, reach),
                  hi = std::clamp<int64_t>(s.src_size[2] - least, lo, reach);
    for (int64_t td = 0; td < depths; ++td)
      for (int64_t i = 0; i < (live - 1) * s.step[1] + high; ++i) {
        const T* from = at(n, d, td, h0 * s.step[1] + low + i, channel);
        T* to = out + (td * rows + i) * pitch;
        if (from == nullptr) {
          if (outside) std::fill_n(to, pitch, T(0));
          continue;
        }
        std::fill_n(to, lo * pixel, T(0));
        move(to + lo * pixel, from + (lo + least) * s.src_pixel, hi - lo);
        std::fill(to + hi * pixel, to + pitch, T(0));
      }
  }
};

}  // namespace ccdl::cpu
