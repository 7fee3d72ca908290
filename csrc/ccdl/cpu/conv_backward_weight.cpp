// The weight gradient of convolution on the CPU: output channels x (channel, tap), summed over pixels, on
// copies with channels innermost (conv_runs.h), or in blocks whose inputs are gathered as in the forward
// sweep and turned into panels. Few channels keep sums per lane.
#include <ccdl/cpu/conv_half.h>
#include <ccdl/cpu/conv_lanes.h>
#include <ccdl/cpu/conv_last_regions.h>
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/conv_planes.h>
#include <ccdl/cpu/conv_products.h>
#include <ccdl/cpu/conv_runs.h>
#include <ccdl/cpu/conv_slices.h>
#include <ccdl/cpu/conv_strips.h>
#include <ccdl/cpu/conv_trim.h>
#include <ccdl/cpu/conv_turned.h>

namespace ccdl::cpu {
namespace {

// dw[g, i, k] = sum over pixels of dy[g, i, pixel] * source[g, k, pixel]. Chunks are blocks of dw and, where
// these are few, parts of the pixels, whose partial results are added in order.
template <class T>
struct WeightPlan {
  PixelBlocks blocks;
  bool direct;
  int64_t rows, row_blocks, columns, column_blocks, splits;
};

template <class T>
WeightPlan<T> plan_weight(const ConvGrid<T>& grid, int64_t m, int64_t k) {
  const auto& gemm = gemm_kernels<T>();
  const auto& conv = conv_kernels<T>();
  const bool direct = conv.masked ? m <= 16 && k <= 256 : m * k <= 64;
  WeightPlan<T> p{direct ? PixelBlocks(1, grid.image(), 2048, grid.pixels[2])
                         : PixelBlocks(grid.batch, grid.image(), 256, conv.lanes),
                  direct,
                  m,
                  1,
                  k,
                  1,
                  1};
  if (direct) {
    p.blocks.units = grid.batch;
  } else {
    p.rows = round_up(ceil_div(m, ceil_div(m, kConvRows)), 8);
    p.row_blocks = ceil_div(m, p.rows);
    p.columns = round_up(ceil_div(k, ceil_div(k, 4 * gemm.nr)), gemm.nr);
    p.column_blocks = ceil_div(k, p.columns);
  }
  const int64_t chunks = grid.groups * p.row_blocks * p.column_blocks,
                total = p.blocks.units * p.blocks.positions;
  const int64_t work = std::min(p.rows, m) * std::min(p.columns, k) * p.blocks.size;  // per pixel block
  const int64_t fewest = ceil_div(kConvChunkWork, std::max<int64_t>(work, 1));
  p.splits = std::clamp<int64_t>(std::min(ceil_div(16, chunks), total / fewest), 1, total);
  return p;
}

template <class T>
void copy_rows(const T* src, int64_t src_row, const int64_t* pixel, int64_t rows, int64_t count, T* out) {
  for (int64_t q = 0; q < count;) {
    int64_t n = 1;
    while (q + n < count && pixel[q + n] == pixel[q] + n) ++n;
    for (int64_t i = 0; i < rows; ++i)
      std::memcpy(out + i * count + q, src + i * src_row + pixel[q], static_cast<size_t>(n) * sizeof(T));
    q += n;
  }
}

// Pixel blocks of one part, position by position so that tables are built once: fn(position, unit, is_first).
template <class F>
void for_part(const PixelBlocks& blocks, int64_t splits, int64_t split, const F& fn) {
  const int64_t total = blocks.units * blocks.positions, begin = total * split / splits,
                end = total * (split + 1) / splits;
  for (int64_t b = begin; b < end; ++b) fn(b / blocks.units, b % blocks.units, b == begin);
}

template <class T, class F>
void weight_chunk(const BlockTables<T, F>& tables, const ConvGrid<T>& grid, const WeightPlan<T>& plan,
                  const T* dy, int64_t m, int64_t k, int64_t group, int64_t i0, int64_t k0, int64_t split,
                  T* out) {
  const auto& gemm = gemm_kernels<T>();
  const auto& conv = conv_kernels<T>();
  const int64_t rows = std::min(plan.rows, m - i0), columns = std::min(plan.columns, k - k0);
  const int64_t width = round_up(plan.blocks.size, conv.lanes);
  Buffer<T> pixels(columns * width), panels(round_up(columns, gemm.nr) * width), a(rows * plan.blocks.size);
  std::unique_ptr<PixelTable<T>> own;
  for_part(plan.blocks, plan.splits, split, [&](int64_t position, int64_t unit, bool is_first) {
    const int64_t count = plan.blocks.count(position, unit), image = unit * plan.blocks.images;
    const PixelTable<T>& table = tables.get(own, plan.blocks.begin(position), count);
    const T* src = grid.src + image * grid.src_batch + group * grid.channels * grid.src_channel;
    if (plan.blocks.images == 1 && grid.pointwise()) {
      gemm.pack_b(panels, src + table.first_source() + k0 * grid.src_channel, 1, grid.src_channel, count,
                  columns);
    } else {
      conv.pack({table.source_at(src), k0, k0 + columns, pixels, width});
      gemm.pack_b(panels, pixels, 1, width, count, columns);
    }
    const T* dy_rows = dy + image * grid.dst_batch + (group * m + i0) * grid.dst_channel;
    int64_t a_row = grid.dst_channel;
    if (plan.blocks.images == 1) {
      dy_rows += table.pixel_dst()[0];
    } else {
      copy_rows(dy_rows, grid.dst_channel, table.pixel_dst(), rows, count, a.get());
      dy_rows = a;
      a_row = count;
    }
    const GemmPost<T> post{T(1), is_first ? T(0) : T(1), nullptr, nullptr, false};
    GemmBlock<T> product{dy_rows, a_row, a_row, 1,    false,   panels, gemm.nr * count,
                         gemm.nr, out,   k,     rows, columns, count,  post};
    if (plan.blocks.images == 1 && unit + 1 < plan.blocks.units)
      fetch_ahead(product, grid, table, src + grid.src_batch + k0 / grid.taps() * grid.src_channel,
                  ceil_div(columns, grid.taps()));
    gemm.block(product);
  });
}

// Few channels: partial sums per lane, no panels.
template <class T, class F>
void weight_chunk_direct(const BlockTables<T, F>& tables, const ConvGrid<T>& grid, const WeightPlan<T>& plan,
                         const T* dy, int64_t m, int64_t k, int64_t group, int64_t split, T* out) {
  const auto& conv = conv_kernels<T>();
  Buffer<T> sums(m * k * conv.lanes);
  std::fill_n(sums.get(), m * k * conv.lanes, T(0));
  std::unique_ptr<PixelTable<T>> own;
  for_part(plan.blocks, plan.splits, split, [&](int64_t position, int64_t unit, bool) {
    const PixelTable<T>& table =
        tables.get(own, plan.blocks.begin(position), plan.blocks.count(position, unit));
    const T* src = grid.src + unit * grid.src_batch + group * grid.channels * grid.src_channel;
    conv.weight({table.source_at(src), k, dy + unit * grid.dst_batch + group * m * grid.dst_channel,
                 grid.dst_channel, m, sums});
  });
  conv.sum_lanes(sums, m * k, out);
}

template <class T>
void backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  const int64_t size = dw.numel();
  if (size == 0) return;
  const bool last = conv_is_last(x, dy);
  ConvGrid<T> grid = forward_grid<T>(x, dw, dy, g);
  const int64_t m = dw.sizes[0] / g.groups, k = dw.sizes[1] * plane_size(dw);
  if (grid.batch == 0 || grid.image() == 0) return fill<T>(dw.ptr<T>(), size, nullptr, 1, 1, false);
  if constexpr (sizeof(T) == 4) {
    WinogradShape shape;
    if (winograd_shape(x, dw, dy, g, &shape)) {
      if (winograd_fits(shape) &&
          winograd_backward_weight(shape, x.ptr<T>(), dy.ptr<T>(), dw.ptr<T>(), dw.strides[1] == 1))
        return;
    } else if (conv_fits_slices(x, dw, dy, g, true) && conv_slices_backward_weight(x, dy, dw, g)) {
      return;
    }
  }
  if (!(last && plane_size(dw) <= 9 && x.sizes[0] > 1) && conv_fits_lanes<T>(x, dw, dy, g))
    return conv_lanes_backward_weight<T>(x, dy, dw, g);
  if (last) return conv_last_backward_weight<T>(x, dy, dw, g);
  if (conv_prefers_regions(x, dw, dy, g)) return conv_turned_backward_weight<T>(x, dy, dw, g);
  if (conv_is_whole(x, dw, dy, g)) return conv_whole_backward_weight(x, dy, dw);
  if (conv_fits_runs(grid, m) && conv_backward_weight_runs(grid, m, dy.ptr<T>(), dw.ptr<T>())) return;
  if (conv_fits_strip_weight(grid, m)) return conv_backward_weight_strips(grid, m, dy.ptr<T>(), dw.ptr<T>());
  const WeightPlan<T> plan = plan_weight(grid, m, k);
  std::unique_ptr<SplitColumns<T>> columns;
  if (!plan.direct && conv_prefers_split(grid)) columns = std::make_unique<SplitColumns<T>>(grid);
  const int lanes = conv_kernels<T>().lanes;
  const bool windowed = plan.direct && DirectFill<T>(grid).windowed();
  const auto prepare = [&plan, lanes, windowed](PixelTable<T>& table, int64_t begin, int64_t count) {
    table.build(begin, count, plan.direct, windowed);
    if (plan.direct) return;
    for (size_t v = 0; v < table.vectors().size(); ++v)
      table.vectors()[v].dst = static_cast<int64_t>(v) * lanes;
  };
  const BlockTables tables(grid, plan.blocks.size, lanes, plan.blocks.positions == 1, prepare);
  Buffer<T> partial(plan.splits > 1 ? plan.splits * size : 0);
  T* target = plan.splits > 1 ? partial.get() : dw.ptr<T>();
  const int64_t work = std::min(plan.rows, m) * std::min(plan.columns, k) *
                       (plan.blocks.units * plan.blocks.positions / plan.splits * plan.blocks.size);
  const int64_t grain = std::max<int64_t>(1, kConvChunkWork / std::max<int64_t>(work, 1));
  parallel_for(
      g.groups * plan.row_blocks * plan.column_blocks * plan.splits, grain, [&](int64_t begin, int64_t end) {
        for (int64_t c = begin; c < end; ++c) {
          const int64_t split = c % plan.splits, k0 = c / plan.splits % plan.column_blocks * plan.columns;
          const int64_t r = c / plan.splits / plan.column_blocks, i0 = r % plan.row_blocks * plan.rows,
                        group = r / plan.row_blocks;
          T* out = target + split * size + (group * m + i0) * k + k0;
          if (plan.direct)
            weight_chunk_direct(tables, grid, plan, dy.ptr<T>(), m, k, group, split, out);
          else
            weight_chunk(tables, grid, plan, dy.ptr<T>(), m, k, group, i0, k0, split, out);
        }
      });
  if (plan.splits == 1) return;
  parallel_for(size, 1 << 14, [&](int64_t begin, int64_t end) {
    T* out = dw.ptr<T>();
    for (int64_t i = begin; i < end; ++i) {
      T v = partial[i];
      for (int64_t s = 1; s < plan.splits; ++s) v += partial[s * size + i];
      out[i] = v;
    }
  });
}

}  // namespace

void conv_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& geometry) {
  if (is_half(x.dtype)) return conv_half_backward_weight(x, dy, dw, geometry);
  const ConvTrim trim(x, dw, dy, geometry);
  if (trim.useful()) {
    const Compact some(trim.part(dw));
    conv_backward_weight(x, dy, some.view, trim.geometry);
    std::memset(dw.data, 0, static_cast<size_t>(dw.numel() * (dw.dtype == DType::Float64 ? 8 : 4)));
    return copy_cast(some.view, trim.part(dw));
  }
  if (x.dtype == DType::Float64)
    backward_weight<double>(x, dy, dw, geometry);
  else
    backward_weight<float>(x, dy, dw, geometry);
}

}  // namespace ccdl::cpu
