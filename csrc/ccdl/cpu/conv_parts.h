// What the passes of convolution share: work per chunk, the grid of a problem, which shapes take which
// kernel, and what a product fetches for the pack after it.
#pragma once
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/conv_grid.h>
#include <ccdl/cpu/conv_last.h>
#include <ccdl/cpu/conv_winograd.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

constexpr int64_t kConvChunkWork = int64_t{1} << 21;  // multiply-adds worth a chunk
constexpr int64_t kConvRows = 256;                    // output channels per chunk

inline int64_t plane_size(const View& v) { return v.sizes[2] * v.sizes[3] * v.sizes[4]; }

// The grid of a convolution: source x, pixels of y.
template <class T>
ConvGrid<T> forward_grid(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  ConvGrid<T> grid;
  grid.batch = x.sizes[0];
  grid.groups = g.groups;
  grid.channels = w.sizes[1];
  grid.src = x.ptr<T>();
  grid.src_channel = plane_size(x);
  grid.src_batch = x.sizes[1] * grid.src_channel;
  grid.dst_channel = plane_size(y);
  grid.dst_batch = y.sizes[1] * grid.dst_channel;
  int64_t stride = 1;
  for (int d = 2; d >= 0; --d) {
    grid.src_size[d] = x.sizes[d + 2];
    grid.pixels[d] = y.sizes[d + 2];
    grid.step[d] = g.stride[d];
    grid.dst_stride[d] = stride;
    stride *= y.sizes[d + 2];
    for (int64_t t = 0; t < w.sizes[d + 2]; ++t) grid.shift[d].push_back(t * g.dilation[d] - g.padding[d]);
  }
  return grid;
}

// The float 3x3 convolutions of stride 1 that minimal filtering may take, seen forward.
inline bool winograd_shape(const View& x, const View& w, const View& y, const ConvGeometry& g,
                           WinogradShape* s) {
  if (x.dtype != DType::Float32 || g.groups != 1 || x.sizes[2] != 1 || y.sizes[2] != 1 || w.sizes[2] != 1 ||
      g.padding[0] != 0 || w.sizes[3] != 3 || w.sizes[4] != 3)
    return false;
  *s = {x.sizes[0], w.sizes[1], w.sizes[0], {}, {}, {}, conv_is_last(x, y)};
  for (int d = 0; d < 2; ++d) {
    if (g.stride[d + 1] != 1 || g.dilation[d + 1] != 1) return false;
    s->in[d] = x.sizes[d + 3];
    s->out[d] = y.sizes[d + 3];
    s->padding[d] = g.padding[d + 1];
    if (s->out[d] != s->in[d] + 2 * s->padding[d] - 2) return false;
  }
  return true;
}

inline WinogradFilterView winograd_filters(const View& w, bool turned) {
  WinogradFilterView f{w.ptr<float>(), w.strides[0], w.strides[1], w.strides[4], turned};
  if (turned) std::swap(f.row, f.channel);
  return f;
}

template <class T>
void fill(T* p, int64_t n, const T* bias, int64_t channels, int64_t plane, bool relu) {
  parallel_for(n, 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T v = bias != nullptr ? bias[i / plane % channels] : T(0);
      p[i] = relu && v < T(0) ? T(0) : v;
    }
  });
}

// How well the direct kernels' vectors are filled: row by row, or with rows joined where source and
// destination follow each other; by windows over the whole image.
template <class T>
struct DirectFill {
  double rows, windows;
  explicit DirectFill(const ConvGrid<T>& grid) {
    const auto& conv = conv_kernels<T>();
    const bool joined = grid.step[2] == 1 && grid.step[1] == 1 && grid.pixels[2] == grid.src_size[2] &&
                        grid.dst_stride[1] == grid.pixels[2];
    const auto filled = [&conv](int64_t n) {
      return static_cast<double>(n) / static_cast<double>(round_up(n, conv.lanes));
    };
    rows = filled(joined ? grid.pixels[1] * grid.pixels[2] : grid.pixels[2]);
    windows = conv.masked && grid.step[2] == 1 && grid.dst_dense() ? filled(grid.image()) : 0;
  }
  bool windowed() const { return windows > rows * 1.1; }
  double best() const { return windowed() ? windows : rows; }
};

// Few rows: the direct kernel, without panels or copies.
template <class T>
bool conv_prefers_direct(const ConvGrid<T>& grid, int64_t m) {
  const auto& conv = conv_kernels<T>();
  if (grid.dst_stride[2] != 1 || m > 16) return false;
  if (m <= 2 && grid.groups > 1) return true;  // depthwise: a panel would be used once
  return conv.masked && grid.channels * grid.taps() <= (m <= 8 ? 2048 : 256) &&
         DirectFill<T>(grid).best() >= 0.6 && (grid.step[2] == 1 || m <= 6);
}

// Asks a product to fetch what the pack after it reads: `channels` planes from src on, under the pixels of
// the table. One tap: a line of every plane per tile; several: a plane per tile, as often as it is read.
template <class T>
void fetch_ahead(GemmBlock<T>& g, const ConvGrid<T>& grid, const PixelTable<T>& table, const T* src,
                 int64_t channels) {
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t first = table.first_source(), extent = table.last_source() - first;
  g.ahead = src + first;
  if (grid.taps() == 1 && g.k <= channels) {
    g.ahead_tile = kLine;
    g.ahead_k = grid.src_channel;
    g.ahead_tiles = ceil_div(extent, kLine);
  } else {
    g.ahead_tile = grid.src_channel;
    g.ahead_k = ceil_div(extent, g.k);
    g.ahead_tiles = channels;
  }
}

}  // namespace ccdl::cpu
