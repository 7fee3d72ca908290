// Planes copied with their borders of zeros, one copy per residue of the stride, so that every tap reads
// whole vectors. One channel per group works on such copies alone, at a fixed distance over rows and without
// masks; products of stride 2 gather from them.
#pragma once
#include <ccdl/cpu/conv_parts.h>

namespace ccdl::cpu {

// The sweep of one channel and one filter per group: w [groups, taps].
template <class T>
void conv_sweep_planes(const ConvGrid<T>& grid, const T* w, T* dst, const T* bias, bool relu);

// Filters of 20 taps and more, stride 1: smaller ones are not worth the copy.
template <class T>
bool conv_fits_planes(const ConvGrid<T>& grid) {
  bool fits = grid.groups > 1 && grid.channels == 1 && grid.src_size[0] == 1 && grid.pixels[0] == 1 &&
              grid.shift[0].size() == 1 && grid.shift[0][0] == 0 && grid.dst_stride[2] == 1 &&
              grid.step[1] == 1 && grid.step[2] == 1 && grid.shift[1].size() >= 3 && grid.taps() >= 20;
  for (size_t t = 1; t < grid.shift[1].size() && fits; ++t) {
    const int64_t by = grid.shift[1][t] - grid.shift[1][t - 1];
    fits = by == 1 || by == -1;
  }
  return fits;
}

// The source of a grid of stride 2, even and odd columns apart: while this lives, `grid` reads its copies.
template <class T>
class SplitColumns {
 public:
  explicit SplitColumns(ConvGrid<T>& grid);

 private:
  Buffer<T> data_;
};

// Few channels only: of many, the copies cost more than the gathering they spare.
template <class T>
bool conv_prefers_split(const ConvGrid<T>& grid) {
  return grid.channels <= 8 && grid.step[2] == 2 && grid.shift[2].size() > 1 && grid.shift[1].size() > 1 &&
         grid.pixels[2] >= 8;
}

}  // namespace ccdl::cpu
