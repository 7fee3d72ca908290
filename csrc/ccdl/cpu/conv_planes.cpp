// Depthwise convolution of planes, four output rows at a time, so that a loaded vector serves four rows of
// the filter; blocks of rows keep the copies in L1. And the split copies of stride 2.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/conv_borders.h>
#include <ccdl/cpu/conv_planes.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kCopied = 6144;  // elements of a block's copies
// Rows and columns of one copy of a plane for SplitColumns.
struct SplitSize {
  BorderedDim wide;
  int64_t least, rows, pitch;
  template <class T>
  explicit SplitSize(const ConvGrid<T>& grid) : wide(grid.shift[2], grid.step[2]) {
    const auto [low, high] = std::minmax_element(grid.shift[1].begin(), grid.shift[1].end());
    least = *low;
    rows = (grid.pixels[1] - 1) * grid.step[1] + *high - *low + 1;
    pitch = grid.pixels[2] + wide.reach;
  }
  int64_t plane() const { return wide.copies() * rows * pitch; }
};

}  // namespace

template <class T>
SplitColumns<T>::SplitColumns(ConvGrid<T>& grid)
    : data_(grid.batch * grid.groups * grid.channels * grid.src_size[0] * SplitSize(grid).plane() + kSlack) {
  const SplitSize size(grid);
  const int64_t depth = grid.src_size[0], copies = size.wide.copies(),
                all = grid.groups * grid.channels * depth;
  parallel_for(grid.batch * all, std::max<int64_t>(1, (1 << 16) / size.plane()),
               [&](int64_t at, int64_t end) {
                 for (; at < end; ++at) {
                   const T* src = grid.src + at / all * grid.src_batch + at % all / depth * grid.src_channel +
                                  at % depth * grid.src_size[1] * grid.src_size[2];
                   T* out = data_ + at * size.plane();
                   for (int64_t r = 0; r < copies; ++r)
                     for (int64_t i = 0; i < size.rows; ++i, out += size.pitch) {
                       const int64_t y = i + size.least;
                       const bool inside = y >= 0 && y < grid.src_size[1];
                       copy_row(src + (inside ? y * grid.src_size[2] : 0), inside ? grid.src_size[2] : 0,
                                size.wide.least + r, size.wide.step, size.pitch, out);
                     }
                 }
               });
  std::fill_n(data_ + grid.batch * all * size.plane(), kSlack, T(0));
  for (int64_t d : grid.shift[0])
    for (int64_t h : grid.shift[1])
      for (size_t w = 0; w < grid.shift[2].size(); ++w)
        grid.offsets.push_back(((d * copies + size.wide.residue[w]) * size.rows + h - size.least) *
                                   size.pitch +
                               size.wide.offset[w]);
  // A depth of the source is all its copies; nothing but depth lies outside any more.
  grid.src = data_;
  grid.src_size[1] = copies * size.rows;
  grid.src_size[2] = size.pitch;
  grid.src_channel = depth * size.plane();
  grid.src_batch = grid.groups * grid.channels * grid.src_channel;
  grid.step[2] = 1;
  std::fill(grid.shift[1].begin(), grid.shift[1].end(), 0);
  std::fill(grid.shift[2].begin(), grid.shift[2].end(), 0);
}

template class SplitColumns<float>;
template class SplitColumns<double>;

template <class T>
void conv_sweep_planes(const ConvGrid<T>& grid, const T* w, T* dst, const T* bias, bool relu) {
  const BorderedDim high(grid.shift[1], 1), wide(grid.shift[2], 1);
  const int64_t height = grid.pixels[1], width = grid.pixels[2], pitch = width + wide.reach,
                taps = grid.taps(), taps_h = static_cast<int64_t>(grid.shift[1].size()),
                taps_w = static_cast<int64_t>(grid.shift[2].size());
  const int64_t block = std::min(round_up(height, 4),
                                 std::max<int64_t>(8, (kCopied / pitch - high.reach) / 4 * 4)),
                blocks = ceil_div(height, block), rows = block + high.reach;
  std::vector<int64_t> tap(static_cast<size_t>(taps_h));  // by row of the copy
  for (int64_t h = 0; h < taps_h; ++h)
    tap[static_cast<size_t>(high.offset[static_cast<size_t>(h)])] = h * taps_w;
  const int64_t planes = grid.batch * grid.groups, work = std::max<int64_t>(1, block * pitch * (taps + 4));
  parallel_for(
      planes * blocks, std::max<int64_t>(1, kConvChunkWork / 2 / work), [&](int64_t at, int64_t end) {
        Buffer<T> bordered(rows * pitch + kSlack), out(4 * (width + kSlack));
        std::fill_n(bordered + rows * pitch, kSlack, T(0));
        for (; at < end; ++at) {
          const int64_t plane = at / blocks, h0 = at % blocks * block, live = std::min(block, height - h0),
                        n = plane / grid.groups, c = plane % grid.groups;
          const T* src = grid.src + n * grid.src_batch + c * grid.src_channel;
          for (int64_t i = 0; i < rows; ++i) {
            const int64_t y = h0 + i + high.least;
            const bool inside = y >= 0 && y < grid.src_size[1];
            copy_row(src + (inside ? y * grid.src_size[2] : 0), inside ? grid.src_size[2] : 0, wide.least, 1,
                     pitch, bordered + i * pitch);
          }
          T* y = dst + n * grid.dst_batch + c * grid.dst_channel + h0 * grid.dst_stride[1];
          for (int64_t i = 0; i < live; i += 4) {
            conv_kernels<T>().plane_rows({bordered + i * pitch, pitch, tap.data(), taps_h, wide.offset.data(),
                                          taps_w, w + c * taps, bias != nullptr ? bias[c] : T(0), relu, out,
                                          width + kSlack, width});
            for (int64_t r = i; r < std::min(live, i + 4); ++r)
              std::memcpy(y + r * grid.dst_stride[1], out + (r - i) * (width + kSlack),
                          static_cast<size_t>(width) * sizeof(T));
          }
        }
      });
}

template void conv_sweep_planes(const ConvGrid<float>&, const float*, float*, const float*, bool);
template void conv_sweep_planes(const ConvGrid<double>&, const double*, double*, const double*, bool);

}  // namespace ccdl::cpu
