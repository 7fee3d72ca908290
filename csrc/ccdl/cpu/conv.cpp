// Convolution on the CPU as an implicit matrix product: output channels x pixels, with the sum over (channel,
// tap). Blocks of about 384 pixels (flattened over the batch for small images) gather their inputs straight
// into panels, so no im2col buffer exists and borders are only mask bits. The input gradient is the same
// sweep over dy with turned weights, one sweep per stride phase. Few output channels use a direct kernel
// without panels.
#include <ccdl/core/parallel.h>
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
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kDepth = 320;  // K block of the packed sweep

// dst[n, g, i, pixel] = sum over (channel, tap) of a[g, i, k] * source (+ bias, relu)
template <class T>
struct Sweep {
  ConvGrid<T> grid;
  int64_t m;   // rows per group
  const T* a;  // [groups, m, channels * taps]
  T* dst;
  const T* bias;
  bool relu;
  int64_t k() const { return grid.channels * grid.taps(); }
};

// A dense block [rows, count] to the pixels' places.
template <class T>
void scatter(const T* block, int64_t rows, int64_t count, const int64_t* pixel_dst, T* dst, int64_t dst_row) {
  for (int64_t q = 0; q < count;) {
    int64_t n = 1;
    while (q + n < count && pixel_dst[q + n] == pixel_dst[q] + n) ++n;
    if (n > 1) {
      for (int64_t i = 0; i < rows; ++i)
        std::memcpy(dst + i * dst_row + pixel_dst[q], block + i * count + q,
                    static_cast<size_t>(n) * sizeof(T));
      q += n;
      continue;
    }
    while (q + n < count && pixel_dst[q + n] != pixel_dst[q + n - 1] + 1) ++n;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = q; j < q + n; ++j) dst[i * dst_row + pixel_dst[j]] = block[i * count + j];
    q += n;
  }
}

template <class T>
struct PackedPlan {
  PixelBlocks blocks;
  int64_t rows, row_blocks, depth, span;  // span: units per chunk
};

// Chunks of enough work, but at most about 128 of them, so that the tables of a chunk serve several images.
int64_t choose_span(int64_t units, int64_t others, int64_t unit_work) {
  const int64_t span =
      std::max(ceil_div(kConvChunkWork, std::max<int64_t>(unit_work, 1)), ceil_div(units * others, 128));
  return std::clamp<int64_t>(span, 1, std::max<int64_t>(1, units));
}

template <class T>
PackedPlan<T> plan_packed(const Sweep<T>& s) {
  const int64_t nr = gemm_kernels<T>().nr, target = 384 * 4 / static_cast<int64_t>(sizeof(T));
  PackedPlan<T> p{PixelBlocks(s.grid.batch, s.grid.image(), target, nr), 0, 0, 0, 1};
  p.depth = ceil_div(s.k(), ceil_div(s.k(), kDepth));
  p.row_blocks = ceil_div(s.m, kConvRows);
  const int64_t blocks = p.blocks.units * p.blocks.positions * s.grid.groups;
  while (blocks * p.row_blocks < 16 && s.m / p.row_blocks >= 128) p.row_blocks *= 2;
  p.rows = round_up(ceil_div(s.m, p.row_blocks), 8);
  p.row_blocks = ceil_div(s.m, p.rows);
  p.span = choose_span(p.blocks.units, p.blocks.positions * s.grid.groups * p.row_blocks,
                       std::min(p.rows, s.m) * p.blocks.size * s.k());
  return p;
}

// Wide steps: a vector of pixels would be gathered element by element, so each pixel's runs of taps are
// copied and the rows turned to panels.
template <class T>
bool by_patches(const ConvGrid<T>& grid) {
  bool follow = grid.step[2] > 2 && grid.shift[2].size() > 1;
  for (size_t t = 1; t < grid.shift[2].size() && follow; ++t)
    follow = grid.shift[2][t] == grid.shift[2][t - 1] + 1;
  return follow;
}

template <class T>
void pack_patches(const ConvGrid<T>& grid, const PixelTable<T>& table, const T* src, int64_t k0,
                  int64_t depth, int64_t count, T* patches, T* panels, int64_t panel) {
  const int64_t nr = gemm_kernels<T>().nr;
  const auto taps_w = static_cast<int64_t>(grid.shift[2].size()),
             taps_h = static_cast<int64_t>(grid.shift[1].size()),
             taps_d = static_cast<int64_t>(grid.shift[0].size());
  T* out = patches;
  for (int64_t q = table.begin(); q < table.begin() + count; ++q) {
    const int64_t pw = q % grid.pixels[2], ph = q / grid.pixels[2] % grid.pixels[1],
                  pd = q / (grid.pixels[2] * grid.pixels[1]) % grid.pixels[0];
    const T* image = src + q / grid.image() * grid.src_batch;
    const int64_t w = pw * grid.step[2] + grid.shift[2][0];
    for (int64_t k = k0; k < k0 + depth;) {
      const int64_t tw = k % taps_w, n = std::min(taps_w - tw, k0 + depth - k), th = k / taps_w % taps_h,
                    td = k / (taps_w * taps_h) % taps_d, c = k / (taps_w * taps_h * taps_d);
      const int64_t d = pd * grid.step[0] + grid.shift[0][static_cast<size_t>(td)],
                    h = ph * grid.step[1] + grid.shift[1][static_cast<size_t>(th)];
      const bool inside = d >= 0 && d < grid.src_size[0] && h >= 0 && h < grid.src_size[1];
      const T* row = image + c * grid.src_channel + (d * grid.src_size[1] + h) * grid.src_size[2];
      if (inside && w + tw >= 0 && w + tw + n <= grid.src_size[2])
        std::memcpy(out, row + w + tw, static_cast<size_t>(n) * sizeof(T));
      else
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = w + tw + i;
          out[i] = inside && at >= 0 && at < grid.src_size[2] ? row[at] : T(0);
        }
      out += n;
      k += n;
    }
  }
  for (int64_t j = 0; j < count; j += nr)
    gemm_kernels<T>().pack_b(panels + j / nr * panel, patches + j * depth, 1, depth, depth,
                             std::min(nr, count - j));
}

// Rows [i0, i0 + rows) of a group for the pixels of `table`, whose images begin at image `first`. The block
// after it has the same pixels of the next image, if `follows`.
template <class T>
void packed_block(const Sweep<T>& s, const PackedPlan<T>& plan, const PixelTable<T>& table, int64_t group,
                  int64_t i0, int64_t first, int64_t count, bool follows) {
  const auto& gemm = gemm_kernels<T>();
  const ConvGrid<T>& grid = s.grid;
  const int64_t rows = std::min(plan.rows, s.m - i0), k = s.k(), panel = plan.depth * gemm.nr;
  T* dst = s.dst + first * grid.dst_batch + (group * s.m + i0) * grid.dst_channel;
  const T* src = grid.src + first * grid.src_batch + group * grid.channels * grid.src_channel;
  const bool one = plan.blocks.images == 1, in_place = grid.dst_dense() && one,
             plain = grid.pointwise() && one;
  Buffer<T> panels(ceil_div(count, gemm.nr) * panel), weights(rows * plan.depth),
      tile(in_place ? 0 : rows * count), patches(by_patches(grid) ? count * plan.depth : 0);
  const T* a = s.a + (group * s.m + i0) * k;
  for (int64_t k0 = 0; k0 < k; k0 += plan.depth) {
    const int64_t depth = std::min(plan.depth, k - k0);
    if (plain)
      gemm.pack_b(panels, src + table.first_source() + k0 * grid.src_channel, grid.src_channel, 1, depth,
                  count);
    else if (patches.get() != nullptr)
      pack_patches(grid, table, src, k0, depth, count, patches.get(), panels.get(), panel);
    else
      conv_kernels<T>().pack({table.source_at(src), k0, k0 + depth, panels, gemm.nr});
    for (int64_t i = 0; i < rows;
         ++i)  // private copy: threads reading one weight stream slow each other down
      std::memcpy(weights + i * depth, a + i * k + k0, static_cast<size_t>(depth) * sizeof(T));
    const bool last = k0 + depth == k;
    GemmPost<T> post{T(1), k0 == 0 ? T(0) : T(1), nullptr, nullptr, last && s.relu};
    if (last && s.bias != nullptr) post.bias_row = s.bias + group * s.m + i0;
    GemmBlock<T> g{weights,
                   depth,
                   depth,
                   1,
                   false,
                   panels,
                   panel,
                   gemm.nr,
                   in_place ? dst + table.pixel_dst()[0] : tile.get(),
                   in_place ? grid.dst_channel : count,
                   rows,
                   count,
                   depth,
                   post};
    if (one && (!last || follows)) {
      const int64_t taps = grid.taps(), next = last ? 0 : (k0 + depth) / taps;
      fetch_ahead(g, grid, table, (last ? src + grid.src_batch : src) + next * grid.src_channel,
                  std::min(grid.channels - next, ceil_div(plan.depth, taps)));
    }
    gemm.block(g);
  }
  if (!in_place) scatter(tile.get(), rows, count, table.pixel_dst(), dst, grid.dst_channel);
}

template <class T>
void sweep_packed(const Sweep<T>& s) {
  const PackedPlan<T> plan = plan_packed(s);
  const PixelBlocks& blocks = plan.blocks;
  const int64_t lanes = conv_kernels<T>().lanes, nr = gemm_kernels<T>().nr, per_panel = nr / lanes,
                spans = ceil_div(blocks.units, plan.span);
  const auto prepare = [&](PixelTable<T>& table, int64_t begin, int64_t count) {
    table.build(begin, count, false);
    for (size_t v = 0; v < table.vectors().size(); ++v) {
      const auto at = static_cast<int64_t>(v);
      table.vectors()[v].dst = at / per_panel * plan.depth * nr + at % per_panel * lanes;
    }
  };
  const BlockTables tables(s.grid, blocks.size, static_cast<int>(lanes), blocks.positions == 1, prepare);
  parallel_for(s.grid.groups * plan.row_blocks * blocks.positions * spans, 1,
               [&](int64_t chunk, int64_t end) {
                 for (; chunk < end; ++chunk) {
                   const int64_t position = chunk % blocks.positions, rest = chunk / blocks.positions;
                   const int64_t first = rest / plan.row_blocks % spans * plan.span,
                                 last = std::min(blocks.units, first + plan.span);
                   std::unique_ptr<PixelTable<T>> own;
                   for (int64_t unit = first; unit < last; ++unit) {
                     const int64_t count = blocks.count(position, unit);
                     packed_block(s, plan, tables.get(own, blocks.begin(position), count),
                                  rest / (plan.row_blocks * spans), rest % plan.row_blocks * plan.rows,
                                  unit * blocks.images, count, unit + 1 < last);
                   }
                 }
               });
}

template <class T>
void sweep_direct(const Sweep<T>& s) {
  const auto& conv = conv_kernels<T>();
  const ConvGrid<T>& grid = s.grid;
  const int64_t rows = grid.pixels[2], image = grid.image();
  const int64_t size =
      rows >= 1024 ? 1024 : std::min(image, std::max<int64_t>(1, 1024 / rows) * rows);  // whole rows
  const int64_t blocks = ceil_div(image, size), units = grid.batch * grid.groups;
  const int64_t work = std::max<int64_t>(1, s.m * s.k() * size);
  int64_t span =
      std::clamp<int64_t>(ceil_div(kConvChunkWork, work), 1, units);  // (image, group) pairs per chunk
  span = std::clamp<int64_t>(units * blocks / 64, span, std::max(span, std::min<int64_t>(8 * span, units)));
  const int64_t spans = ceil_div(units, span);
  const bool windowed = DirectFill<T>(grid).windowed();
  const auto prepare = [windowed](PixelTable<T>& table, int64_t begin, int64_t count) {
    table.build(begin, count, true, windowed);
  };
  const BlockTables tables(grid, size, conv.lanes, blocks == 1, prepare);
  parallel_for(blocks * spans, 1, [&](int64_t first, int64_t end) {
    for (int64_t c = first; c < end; ++c) {
      const int64_t begin = c % blocks * size, count = std::min(size, image - begin);
      std::unique_ptr<PixelTable<T>> own;
      const PixelTable<T>& table = tables.get(own, begin, count);
      for (int64_t u = c / blocks * span; u < std::min(units, c / blocks * span + span); ++u) {
        const int64_t n = u / grid.groups, g = u % grid.groups;
        conv.direct({table.source_at(grid.src + n * grid.src_batch + g * grid.channels * grid.src_channel),
                     grid.channels, s.a + g * s.m * s.k(), s.k(), s.m,
                     s.dst + n * grid.dst_batch + g * s.m * grid.dst_channel, grid.dst_channel,
                     s.bias != nullptr ? s.bias + g * s.m : nullptr, s.relu});
      }
    }
  });
}

template <class T>
void sweep_split(Sweep<T> s) {
  const SplitColumns<T> columns(s.grid);
  sweep_packed(s);
}

// Whether none of the kernels without panels takes the sweep.
template <class T>
bool is_packed(const Sweep<T>& s) {
  return !(s.m == 1 && conv_fits_planes(s.grid)) && !conv_fits_run_lines(s.grid, s.m) &&
         !conv_fits_run_sweep(s.grid, s.m) && !conv_fits_strips(s.grid, s.m) &&
         !conv_prefers_direct(s.grid, s.m);
}

template <class T>
void run_sweep(const Sweep<T>& s) {
  if (s.grid.batch == 0 || s.m == 0 || s.grid.image() == 0) return;
  if (s.m == 1 && conv_fits_planes(s.grid))
    conv_sweep_planes(s.grid, s.a, s.dst, s.bias, s.relu);
  else if (conv_fits_run_lines(s.grid, s.m))
    conv_sweep_run_lines(s.grid, s.m, s.a, s.dst, s.bias, s.relu);
  else if (conv_fits_run_sweep(s.grid, s.m))
    conv_sweep_runs(s.grid, s.m, s.a, s.dst, s.bias, s.relu);
  else if (conv_fits_strips(s.grid, s.m))
    conv_sweep_strips(s.grid, s.m, s.a, s.dst, s.bias, s.relu);
  else if (conv_prefers_direct(s.grid, s.m))
    sweep_direct(s);
  else if (conv_prefers_split(s.grid))
    sweep_split(s);
  else
    sweep_packed(s);
}

// Depthwise with channels innermost: read where it lies, but for images whose pixels each meet other taps.
bool prefers_summed(const View& x, const View& w, const View& y) {
  return conv_is_last(x, y) && (plane_size(w) <= 9 || y.sizes[4] >= 3 * w.sizes[4]);
}

template <class T>
void forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
             bool relu) {
  if constexpr (sizeof(T) == 4) {
    WinogradShape shape;
    if (winograd_shape(x, w, y, g, &shape)) {
      if (winograd_fits(shape) && winograd_forward(shape, x.ptr<T>(), winograd_filters(w, false),
                                                   static_cast<const T*>(bias), relu, y.ptr<T>()))
        return;
    } else if (conv_fits_slices(x, w, y, g) &&
               conv_slices_forward(x, w, static_cast<const T*>(bias), y, g, relu)) {
      return;
    }
  }
  if (!prefers_summed(x, w, y) && conv_fits_lanes<T>(x, w, y, g))
    return conv_lanes_sweep<T>(x, w, y, static_cast<const T*>(bias), relu, g, false);
  if (conv_is_last(x, y)) return conv_last_forward<T>(x, w, bias, y, g, relu);
  if (conv_prefers_turned_groups(x, w, y, g, false))
    return conv_turned_groups_forward<T>(x, w, bias, y, g, relu);
  if (conv_is_whole(x, w, y, g)) return conv_whole_forward(x, w, bias, y, relu);
  Sweep<T> s{forward_grid<T>(x, w, y, g),
             w.sizes[0] / g.groups,
             w.ptr<T>(),
             y.ptr<T>(),
             static_cast<const T*>(bias),
             relu};
  if (s.k() == 0)
    return fill(s.dst, y.numel(), s.bias, y.sizes[1], std::max<int64_t>(1, plane_size(y)), relu);
  if (conv_prefers_regions(x, w, y, g) || (is_packed(s) && conv_prefers_turned(x, w, y, g, false)))
    return conv_turned_forward<T>(x, w, bias, y, g, relu);
  run_sweep(s);
}

// Weights [K, C/g, taps] of one phase turned to [g, C/g, K/g * phase taps].
template <class T>
void turn_weights(const T* w, int64_t groups, int64_t rows, int64_t channels, int64_t taps,
                  const std::vector<int64_t>& chosen, T* out) {
  const auto n = static_cast<int64_t>(chosen.size());
  // Channels at a time: rows of `out` often lie a multiple of 2 KB apart, in two sets of the first cache.
  constexpr int64_t kBlock = 16;
  const int64_t blocks = ceil_div(channels, kBlock);
  const bool all3x3 = n == 9 && taps == 9;  // then in their order
  parallel_for(groups * blocks, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, kBlock * rows * n)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t b = begin; b < end; ++b) {
                   const int64_t g = b / blocks, c0 = b % blocks * kBlock,
                                 c1 = std::min(channels, c0 + kBlock);
                   for (int64_t r = 0; r < rows; ++r)
                     for (int64_t c = c0; c < c1; ++c) {
                       const T* src = w + ((g * rows + r) * channels + c) * taps;
                       T* dst = out + ((g * channels + c) * rows + r) * n;
                       if (all3x3)
                         std::memcpy(dst, src, 9 * sizeof(T));
                       else
                         for (int64_t t = 0; t < n; ++t) dst[t] = src[chosen[t]];
                     }
                 }
               });
}

// One phase of the input gradient: the dx positions congruent to `phase` modulo the stride, as planes of
// their own at dst. Null if no tap reaches them.
template <class T>
struct Phase {
  Sweep<T> sweep{};
  Buffer<T> turned;  // weights
  explicit Phase(int64_t count) : turned(count) {}
};

template <class T>
std::unique_ptr<Phase<T>> backward_phase(const View& dy, const View& w, const View& dx, const ConvGeometry& g,
                                         const int64_t* phase, T* dst) {
  Sweep<T> s{};
  ConvGrid<T>& grid = s.grid;
  const int64_t rows = w.sizes[0] / g.groups;
  grid.batch = dx.sizes[0];
  grid.groups = g.groups;
  grid.channels = rows;
  grid.src = dy.ptr<T>();
  grid.src_channel = plane_size(dy);
  grid.src_batch = dy.sizes[1] * grid.src_channel;
  std::vector<int64_t> chosen_dim[3];
  int64_t stride = 1;
  for (int d = 2; d >= 0; --d) {
    grid.src_size[d] = dy.sizes[d + 2];
    grid.step[d] = 1;
    grid.pixels[d] = ceil_div(dx.sizes[d + 2] - phase[d], g.stride[d]);
    grid.dst_stride[d] = stride;
    stride *= grid.pixels[d];
    for (int64_t t = 0; t < w.sizes[d + 2]; ++t) {
      const int64_t at = phase[d] + g.padding[d] - t * g.dilation[d];
      if (at % g.stride[d] != 0) continue;
      grid.shift[d].push_back(at / g.stride[d]);
      chosen_dim[d].push_back(t);
    }
  }
  grid.dst_channel = stride;
  grid.dst_batch = dx.sizes[1] * stride;
  std::vector<int64_t> chosen;
  for (int64_t a : chosen_dim[0])
    for (int64_t b : chosen_dim[1])
      for (int64_t c : chosen_dim[2]) chosen.push_back((a * w.sizes[3] + b) * w.sizes[4] + c);
  if (chosen.empty() || w.sizes[0] == 0) return nullptr;
  auto made = std::make_unique<Phase<T>>(g.groups * w.sizes[1] * rows * static_cast<int64_t>(chosen.size()));
  turn_weights(w.ptr<T>(), g.groups, rows, w.sizes[1], plane_size(w), chosen, made->turned.get());
  s.m = w.sizes[1];
  s.a = made->turned;
  s.dst = dst;
  made->sweep = std::move(s);
  return made;
}

// Rows of dx put together from the planes of their phases: phase (d, h, w) at parts[(d * sh + h) * sw + w],
// null where it is zero.
template <class T>
void merge_phases(const std::vector<const T*>& parts, const int64_t* stride, const View& dx) {
  const int64_t size_d = dx.sizes[2], size_h = dx.sizes[3], size_w = dx.sizes[4], sw = stride[2];
  const auto count = [&dx, stride](int d, int64_t p) { return ceil_div(dx.sizes[d + 2] - p, stride[d]); };
  parallel_for(dx.sizes[0] * dx.sizes[1] * size_d * size_h, std::max<int64_t>(1, (1 << 15) / size_w),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   const int64_t h = r % size_h, d = r / size_h % size_d, plane = r / size_h / size_d,
                                 pd = d % stride[0], ph = h % stride[1];
                   const auto source = [&](int64_t pw) -> const T* {
                     const T* part = parts[static_cast<size_t>((pd * stride[1] + ph) * sw + pw)];
                     if (part == nullptr) return nullptr;
                     return part + ((plane * count(0, pd) + d / stride[0]) * count(1, ph) + h / stride[1]) *
                                       count(2, pw);
                   };
                   T* out = dx.ptr<T>() + r * size_w;
                   const T *a = source(0), *b = sw == 2 && size_w > 1 ? source(1) : nullptr;
                   if (a != nullptr && b != nullptr) {
                     for (int64_t i = 0; i < size_w / 2; ++i) {
                       out[2 * i] = a[i];
                       out[2 * i + 1] = b[i];
                     }
                     if (size_w % 2 != 0) out[size_w - 1] = a[size_w / 2];
                     continue;
                   }
                   for (int64_t pw = 0; pw < std::min(sw, size_w); ++pw) {
                     const T* x = source(pw);
                     for (int64_t w = pw, i = 0; w < size_w; w += sw, ++i)
                       out[w] = x != nullptr ? x[i] : T(0);
                   }
                 }
               });
}

template <class T>
void backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (dx.numel() == 0) return;
  if constexpr (sizeof(T) == 4) {  // the convolution of dy with turned filters
    WinogradShape f;
    if (winograd_shape(dx, w, dy, g, &f)) {
      const WinogradShape shape{f.batch,
                                f.rows,
                                f.channels,
                                {f.out[0], f.out[1]},
                                {f.in[0], f.in[1]},
                                {2 - f.padding[0], 2 - f.padding[1]},
                                f.last};
      if (winograd_fits(shape) &&
          winograd_forward(shape, dy.ptr<T>(), winograd_filters(w, true), nullptr, false, dx.ptr<T>()))
        return;
    } else if (conv_fits_slices(dx, w, dy, g) && conv_slices_backward_input(dy, w, dx, g)) {
      return;
    }
  }
  if (!prefers_summed(dx, w, dy) && conv_fits_lanes<T>(dx, w, dy, g))
    return conv_lanes_sweep<T>(dy, w, dx, nullptr, false, g, true);
  if (conv_is_last(dx, dy)) return conv_last_backward_input<T>(dy, w, dx, g);
  if (conv_prefers_turned_groups(dx, w, dy, g, true))
    return conv_turned_groups_backward_input<T>(dy, w, dx, g);
  if (conv_is_whole(dx, w, dy, g)) return conv_whole_backward_input(dy, w, dx);
  if (conv_prefers_regions(dx, w, dy, g)) return conv_turned_backward_input<T>(dy, w, dx, g);
  if (dx.sizes[1] <= 4 && dx.sizes[2] * dx.sizes[3] == 1 && g.stride[2] == 1) {
    const int64_t all[3] = {0, 0, 0};
    const auto only = backward_phase(dy, w, dx, g, all, dx.ptr<T>());
    if (only && conv_fits_run_lines(only->sweep.grid, only->sweep.m)) return run_sweep(only->sweep);
  }
  if (conv_fits_strip_phases(dy, w, dx, g)) return conv_backward_input_strips<T>(dy, w, dx, g);
  if (conv_prefers_added(dy, w, dx, g)) return conv_backward_input_added<T>(dy, w, dx, g);
  if (conv_prefers_windows(dy, w, dx, g)) return conv_backward_input_windows<T>(dy, w, dx, g);
  if (conv_prefers_turned(dx, w, dy, g, true)) return conv_turned_backward_input<T>(dy, w, dx, g);
  int64_t phases[3], phase[3] = {0, 0, 0};  // those that dx has positions of
  for (int d = 0; d < 3; ++d) phases[d] = std::min(g.stride[d], dx.sizes[d + 2]);
  if (phases[0] * phases[1] * phases[2] == 1) {
    if (const auto only = backward_phase(dy, w, dx, g, phase, dx.ptr<T>()))
      run_sweep(only->sweep);
    else
      fill<T>(dx.ptr<T>(), dx.numel(), nullptr, 1, 1, false);
    return;
  }
  Buffer<T> planes(dx.numel());
  T* next = planes;
  std::vector<std::unique_ptr<Phase<T>>> sweeps;
  std::vector<const T*> parts;
  for (phase[0] = 0; phase[0] < phases[0]; ++phase[0])
    for (phase[1] = 0; phase[1] < phases[1]; ++phase[1])
      for (phase[2] = 0; phase[2] < phases[2]; ++phase[2]) {
        sweeps.push_back(backward_phase(dy, w, dx, g, phase, next));
        parts.push_back(sweeps.back() != nullptr ? next : nullptr);
        int64_t size = dx.sizes[0] * dx.sizes[1];
        for (int d = 0; d < 3; ++d) size *= ceil_div(dx.sizes[d + 2] - phase[d], g.stride[d]);
        next += size;
      }
  // Every phase reads all of dy: a few images at a time stay in the cache for all phases.
  const int64_t batch = dx.sizes[0], bytes = dy.numel() / batch * static_cast<int64_t>(sizeof(T)),
                slices = std::clamp<int64_t>(batch * bytes >> 22, 1, batch);
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t first = batch * i / slices, count = batch * (i + 1) / slices - first;
    for (const auto& p : sweeps) {
      if (p == nullptr) continue;
      Sweep<T> slice = p->sweep;
      slice.grid.batch = count;
      slice.grid.src += first * slice.grid.src_batch;
      slice.dst += first * slice.grid.dst_batch;
      run_sweep(slice);
    }
  }
  merge_phases(parts, phases, dx);
}

}  // namespace

void conv_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& geometry,
                  Activation activation) {
  if (is_half(x.dtype)) return conv_half_forward(x, w, bias, y, geometry, activation);
  const ConvTrim trim(x, w, y, geometry);
  if (trim.useful()) {
    const Compact some(trim.part(w));
    copy_cast(trim.part(w), some.view);
    return conv_forward(x, some.view, bias, y, trim.geometry, activation);
  }
  const bool relu = activation == Activation::Relu;
  if (x.dtype == DType::Float64)
    forward<double>(x, w, bias, y, geometry, relu);
  else
    forward<float>(x, w, bias, y, geometry, relu);
}

void conv_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& geometry) {
  if (is_half(dy.dtype)) return conv_half_backward_input(dy, w, dx, geometry);
  const ConvTrim trim(dx, w, dy, geometry);
  if (trim.useful()) {
    const Compact some(trim.part(w));
    copy_cast(trim.part(w), some.view);
    return conv_backward_input(dy, some.view, dx, trim.geometry);
  }
  if (dy.dtype == DType::Float64)
    backward_input<double>(dy, w, dx, geometry);
  else
    backward_input<float>(dy, w, dx, geometry);
}

}  // namespace ccdl::cpu
