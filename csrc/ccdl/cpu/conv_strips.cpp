// Strips: blocks of output rows, each with a copy of the rows it reads (border of zeros included, columns
// sorted by the residue of the stride) in the first-level cache, or in the second where channels are many.
// Long sums go in parts of the channels.
#include <ccdl/cpu/conv_borders.h>
#include <ccdl/cpu/conv_strips.h>
#include <ccdl/cpu/simd/conv_copies.h>
#include <ccdl/cpu/simd/conv_strips.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kNear = 8192, kFar = 98304;  // elements of a block's copies in either cache
constexpr int64_t kSum = 1024;                 // most steps of a part of a sum

// The copies of what a block of output rows, and of columns where rows are long, reads:
// [channel][residue][row][pitch].
template <class T>
struct Copies {
  const ConvGrid<T>& grid;
  BorderedDim high, wide;
  int64_t across, pitch, block, rows;  // across, block: columns and rows of the output
  // per_row: what else a row of the block takes; whole: no blocks of columns
  Copies(const ConvGrid<T>& g, int64_t per_row, bool whole)
      : grid(g), high(g.shift[1], 1), wide(g.shift[2], g.step[2]), across(g.pixels[2]) {
    const int64_t lanes = conv_kernels<T>().lanes, lines = g.channels * wide.copies() * (high.reach + 1),
                  most = std::max(kFar / 2 / lines - wide.reach, 16 * lanes);
    if (!whole) across = std::min(across, round_up(ceil_div(across, ceil_div(across, most)), lanes));
    pitch = across + wide.reach;
    const int64_t row = g.channels * wide.copies() * pitch, by = g.step[1] * row + per_row,
                  first = lines * pitch + per_row, near = (kNear - first) / by, far = (kFar - first) / by;
    block = std::clamp<int64_t>(near >= 3 ? near : far, 1, g.pixels[1]);
    block = ceil_div(g.pixels[1], ceil_div(g.pixels[1], block));
    rows = (block - 1) * g.step[1] + high.reach + 1;
  }
  int64_t plane() const { return wide.copies() * rows * pitch; }
  int64_t size() const { return grid.channels * plane() + kSlack; }
  int64_t offset(int64_t c, int64_t h, int64_t w) const {  // of a tap
    const auto x = static_cast<size_t>(w);
    return c * plane() + (wide.residue[x] * rows + high.offset[static_cast<size_t>(h)]) * pitch +
           wide.offset[x];
  }
  std::vector<int64_t> offsets() const {
    std::vector<int64_t> out;
    for (int64_t c = 0; c < grid.channels; ++c)
      for (size_t h = 0; h < grid.shift[1].size(); ++h)
        for (size_t w = 0; w < grid.shift[2].size(); ++w)
          out.push_back(offset(c, static_cast<int64_t>(h), static_cast<int64_t>(w)));
    return out;
  }
  // For the output pixels from row h0 and column w0 on; src: the first of `channels` planes.
  void fill(const T* src, int64_t channels, int64_t h0, int64_t w0, T* out) const {
    const int64_t height = grid.src_size[1], width = grid.src_size[2], y0 = h0 * grid.step[1] + high.least;
    const bool as_it_is = wide.step == 1 && wide.least == 0 && pitch == width && y0 >= 0;
    for (int64_t c = 0; c < channels; ++c, src += grid.src_channel) {
      if (as_it_is && y0 + rows <= height) {
        std::memcpy(out, src + y0 * width, static_cast<size_t>(rows * pitch) * sizeof(T));
        out += rows * pitch;
        continue;
      }
      if (wide.step == 1) {
        copy_rows(src, y0, w0 + wide.least, out);
        out += plane();
        continue;
      }
      for (int64_t y = y0; y < y0 + rows; ++y) {
        const bool inside = y >= 0 && y < height;
        copy_columns(src + (inside ? y * width : 0), inside ? width : 0, w0 * wide.step + wide.least,
                     out + (y - y0) * pitch);
      }
      out += plane();
    }
  }

 private:
  // Rows from y0 on and columns from `first` on: a row's last zeros and the next one's first follow each
  // other.
  void copy_rows(const T* src, int64_t y0, int64_t first, T* out) const {
    const int64_t height = grid.src_size[1], width = grid.src_size[2],
                  lo = std::clamp<int64_t>(-first, 0, pitch),
                  hi = std::clamp<int64_t>(width - first, lo, pitch);
    const int64_t top = hi > lo ? std::clamp<int64_t>(-y0, 0, rows) : rows,
                  end = std::clamp<int64_t>(height - y0, top, rows);
    std::fill_n(out, top * pitch + (top < rows ? lo : 0), T(0));
    if (top < end) {
      const auto copy = [&](int64_t row, int64_t n, int64_t zeros) {
        conv_copy_kernels<T>().spread(src + (y0 + row) * width + first + lo, width, hi - lo, zeros, n,
                                      out + row * pitch + lo, pitch);
      };
      copy(top, end - top - 1, pitch - hi + lo);
      copy(end - 1, 1, pitch - hi);
    }
    std::fill_n(out + end * pitch, (rows - end) * pitch, T(0));
  }
  // A row to the copies of its residues.
  void copy_columns(const T* src, int64_t width, int64_t first, T* out) const {
    const int64_t copies = wide.copies(), step = wide.step, residue = rows * pitch;
    const int64_t lo = first >= 0 ? 0 : std::min(pitch, ceil_div(-first, step)),
                  hi = std::clamp<int64_t>((width - first) / step, lo, pitch);
    if (hi > lo)
      conv_copy_kernels<T>().split(src + first + lo * step, step, copies, hi - lo, out + lo, residue);
    for (int64_t r = 0; r < copies; ++r) {
      const auto one = [&](int64_t i) {
        const int64_t at = first + i * step + r;
        out[r * residue + i] = at >= 0 && at < width ? src[at] : T(0);
      };
      for (int64_t i = 0; i < lo; ++i) one(i);
      for (int64_t i = hi; i < pitch; ++i) one(i);
    }
  }
};

// The vectors of a block's pixels, row by row, so that fewer rows are fewer of them.
template <class T>
std::vector<ConvSpot> spots(const Copies<T>& copies, int64_t width, int64_t dst_row) {
  const int64_t lanes = conv_kernels<T>().lanes;
  std::vector<ConvSpot> out;
  for (int64_t y = 0; y < copies.block; ++y)
    for (int64_t x = 0; x < width; x += lanes)
      out.push_back(
          {y * copies.grid.step[1] * copies.pitch + x, y * dst_row + x, std::min(lanes, width - x)});
  return out;
}

// Rows [m, k] of a, `row` elements apart, as the tiles of ConvStrips.
template <class T>
void pack_tiles(const T* a, int64_t row, int64_t m, int64_t k, T* out) {
  const int64_t rows = conv_strip_kernels<T>().rows(m);
  for (int64_t i0 = 0; i0 < m; i0 += rows) {
    const int64_t n = std::min(rows, m - i0);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t t = 0; t < k; ++t) out[i0 * k + t * n + i] = a[(i0 + i) * row + t];
  }
}

double filled(int64_t n, int64_t lanes) {
  return static_cast<double>(n) / static_cast<double>(round_up(n, lanes));
}

template <class T>
bool is_planar(const ConvGrid<T>& grid) {
  return grid.src_size[0] == 1 && grid.pixels[0] == 1 && grid.shift[0].size() == 1 && grid.shift[0][0] == 0 &&
         grid.offsets.empty() && grid.dst_stride[2] == 1;
}

// Taps of one dim of a phase of the stride: positions phase + i * stride of dx read dy at i + shift.
struct PhaseTaps {
  std::vector<int64_t> tap, shift;
  PhaseTaps(int64_t taps, int64_t stride, int64_t dilation, int64_t padding, int64_t phase) {
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t at = phase + padding - t * dilation;
      if (at % stride != 0) continue;
      tap.push_back(t);
      shift.push_back(at / stride);
    }
  }
};

// out[q * parts + p] = part p's [q], size elements in all.
template <class T>
void join_row(const T* const* part, int64_t parts, int64_t size, T* out) {
  if (parts == 2) {
    const T *a = part[0], *b = part[1];
    for (int64_t q = 0; q < size / 2; ++q) {
      out[2 * q] = a[q];
      out[2 * q + 1] = b[q];
    }
    if (size % 2 != 0) out[size - 1] = a[size / 2];
    return;
  }
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t q = p, i = 0; q < size; q += parts, ++i) out[q] = part[p][i];
}

}  // namespace

template <class T>
bool conv_fits_strips(const ConvGrid<T>& grid, int64_t m) {
  const int64_t width = grid.pixels[2], k = grid.channels * grid.taps();
  if (!is_planar(grid) || (grid.groups > 1 && m < 4) || grid.step[2] > 4 || grid.taps() == 1 ||
      grid.taps() > kSum || m > 512)
    return false;
  const double fill = filled(width, conv_kernels<T>().lanes);
  // Beside panels: 1.2 to 4.5 times as fast for up to 48 rows, 1.1 for more.
  if (k > kSum) return fill >= (m <= 48 ? 0.8 : 0.95);
  if (m <= 2 && k >= 100 && fill >= 0.85) return true;     // the direct kernel loads once for every product
  if (conv_prefers_direct(grid, m) && grid.pixels[1] > 1)  // of a line they would be a table for each pixel
    return width >= (grid.groups > 1 ? 8 : 32) && fill >= 0.95 * DirectFill<T>(grid).best() &&
           (m * grid.taps() >= 64 || k >= 256);
  return fill >= (grid.step[2] > 1 ? 0.75 : 0.85);
}

template <class T>
void conv_sweep_strips(const ConvGrid<T>& grid, int64_t m, const T* a, T* dst, const T* bias, bool relu) {
  const auto& kernels = conv_strip_kernels<T>();
  const int64_t taps = grid.taps(), all = grid.channels * taps,
                each = ceil_div(grid.channels, ceil_div(grid.channels, kSum / taps)),
                parts = ceil_div(grid.channels, each);  // of so many channels, the last may have fewer
  ConvGrid<T> part = grid;
  part.channels = each;
  const Copies<T> copies(part, 0, false);
  const std::vector<int64_t> offset = copies.offsets();
  const auto channels = [&](int64_t p) { return std::min(each, grid.channels - p * each); };
  Buffer<T> tiles(grid.groups * m * all);
  for (int64_t g = 0; g < grid.groups; ++g)
    for (int64_t p = 0; p < parts; ++p)
      pack_tiles(a + g * m * all + p * each * taps, all, m, channels(p) * taps,
                 tiles + m * (g * all + p * each * taps));
  const int64_t blocks = ceil_div(grid.pixels[1], copies.block),
                columns = ceil_div(grid.pixels[2], copies.across), planes = grid.batch * grid.groups;
  const std::vector<ConvSpot> spot = spots(copies, copies.across, grid.dst_stride[1]),
                              last = spots(copies, grid.pixels[2] - (columns - 1) * copies.across,
                                           grid.dst_stride[1]);
  const int64_t work = std::max<int64_t>(1, m * all * copies.block * copies.across);
  parallel_for(
      planes * blocks * columns, std::max<int64_t>(1, kConvChunkWork / 2 / work),
      [&](int64_t at, int64_t end) {
        Buffer<T> source(copies.size());
        std::fill_n(source + copies.size() - kSlack, kSlack, T(0));
        for (; at < end; ++at) {
          const int64_t w = at % columns, h0 = at / columns % blocks * copies.block,
                        plane = at / (columns * blocks), n = plane / grid.groups, g = plane % grid.groups,
                        live = std::min(copies.block, grid.pixels[1] - h0);
          const auto& at_spots = w + 1 < columns ? spot : last;
          for (int64_t p = 0; p < parts; ++p) {
            const bool ends = p + 1 == parts;
            copies.fill(grid.src + n * grid.src_batch + (g * grid.channels + p * each) * grid.src_channel,
                        channels(p), h0, w * copies.across, source);
            kernels.sweep({source, offset.data(), channels(p) * taps, tiles + m * (g * all + p * each * taps),
                           m, kernels.rows(m), at_spots.data(),
                           static_cast<int64_t>(at_spots.size()) / copies.block * live,
                           dst + n * grid.dst_batch + g * m * grid.dst_channel + h0 * grid.dst_stride[1] +
                               w * copies.across,
                           grid.dst_channel, ends && bias != nullptr ? bias + g * m : nullptr, ends && relu,
                           p > 0});
          }
        }
      });
}

bool conv_fits_strip_phases(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const int64_t lanes =
      dy.dtype == DType::Float64 ? conv_kernels<double>().lanes : conv_kernels<float>().lanes;
  const int64_t width = ceil_div(dx.sizes[4], g.stride[2]);
  return g.groups == 1 && dx.sizes[2] == 1 && w.sizes[2] == 1 && dy.sizes[2] == 1 && g.padding[0] == 0 &&
         g.stride[1] * g.stride[2] > 1 && g.stride[1] <= 4 && g.stride[2] <= 4 && dx.sizes[1] < 8 &&
         dx.sizes[3] >= g.stride[1] && dx.sizes[4] >= g.stride[2] && dy.sizes[3] > 0 && dy.sizes[4] > 0 &&
         w.sizes[0] > 0 && plane_size(w) > 1 && w.sizes[0] * width <= 1 << 17 && filled(width, lanes) >= 0.75;
}

template <class T>
void conv_backward_input_strips(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const auto& kernels = conv_strip_kernels<T>();
  const int64_t channels = w.sizes[0], m = dx.sizes[1], sh = g.stride[1], sw = g.stride[2],
                rows = ceil_div(dx.sizes[3], sh), width = ceil_div(dx.sizes[4], sw), taps_w = w.sizes[4];
  ConvGrid<T> grid{dx.sizes[0],
                   1,
                   channels,
                   dy.ptr<T>(),
                   channels * plane_size(dy),
                   plane_size(dy),
                   {1, dy.sizes[3], dy.sizes[4]},
                   {{0}, {}, {}},
                   {1, rows, width},
                   {1, 1, 1},
                   0,
                   0,
                   {0, 0, 1}};
  struct Phase {
    PhaseTaps high, wide;
    std::vector<int64_t> offset = {};
    int64_t weights = 0;  // where its tiles begin
  };
  std::vector<Phase> phases;
  for (int64_t p = 0; p < sh * sw; ++p) {
    phases.push_back({{w.sizes[3], sh, g.dilation[1], g.padding[1], p / sw},
                      {taps_w, sw, g.dilation[2], g.padding[2], p % sw}});
    for (const int64_t s : phases.back().high.shift) grid.shift[1].push_back(s);
    for (const int64_t s : phases.back().wide.shift) grid.shift[2].push_back(s);
  }
  const int64_t lanes = conv_kernels<T>().lanes, pitch = round_up(width, lanes);
  const Copies<T> copies(grid, sh * sw * m * pitch, true);
  const int64_t part = copies.block * pitch;  // elements of a channel of a phase
  Buffer<T> tiles(m * channels * plane_size(w));
  int64_t used = 0;
  for (Phase& p : phases) {
    const auto n = static_cast<int64_t>(p.high.tap.size() * p.wide.tap.size()), k = channels * n;
    Buffer<T> turned(m * k);
    int64_t t = 0;
    for (size_t h = 0; h < p.high.tap.size(); ++h)
      for (size_t x = 0; x < p.wide.tap.size(); ++x, ++t)
        for (int64_t c = 0; c < channels; ++c)
          for (int64_t i = 0; i < m; ++i)
            turned[i * k + c * n + t] =
                w.ptr<T>()[(c * m + i) * plane_size(w) + p.high.tap[h] * taps_w + p.wide.tap[x]];
    for (int64_t c = 0; c < channels; ++c)
      for (const int64_t h : p.high.shift)
        for (const int64_t x : p.wide.shift)
          p.offset.push_back(c * copies.plane() + (h - copies.high.least) * copies.pitch + x -
                             copies.wide.least);
    p.weights = used;
    pack_tiles(turned.get(), k, m, k, tiles + used);
    used += m * k;
  }
  const std::vector<ConvSpot> spot = spots(copies, width, pitch);
  const int64_t blocks = ceil_div(rows, copies.block),
                per_row = static_cast<int64_t>(spot.size()) / copies.block;
  parallel_for(dx.sizes[0] * blocks, 1, [&](int64_t at, int64_t end) {
    Buffer<T> source(copies.size()), parts(sh * sw * m * part);
    std::fill_n(source + copies.size() - kSlack, kSlack, T(0));
    for (; at < end; ++at) {
      const int64_t n = at / blocks, h0 = at % blocks * copies.block,
                    live = std::min(copies.block, rows - h0);
      copies.fill(grid.src + n * grid.src_batch, channels, h0, 0, source);
      for (int64_t p = 0; p < sh * sw; ++p) {
        const Phase& phase = phases[static_cast<size_t>(p)];
        kernels.sweep({source, phase.offset.data(), static_cast<int64_t>(phase.offset.size()),
                       tiles + phase.weights, m, kernels.rows(m), spot.data(), live * per_row,
                       parts + p * m * part, part, nullptr, false, false});
      }
      for (int64_t i = 0; i < m; ++i)
        for (int64_t y = h0 * sh; y < std::min((h0 + live) * sh, dx.sizes[3]); ++y) {
          const T* from[4];
          for (int64_t p = 0; p < sw; ++p)
            from[p] = parts + ((y % sh * sw + p) * m + i) * part + (y / sh - h0) * pitch;
          join_row(from, sw, dx.sizes[4], dx.ptr<T>() + ((n * m + i) * dx.sizes[3] + y) * dx.sizes[4]);
        }
    }
  });
}

template <class T>
bool conv_fits_strip_weight(const ConvGrid<T>& grid, int64_t m) {
  const auto& conv = conv_kernels<T>();
  const int64_t k = grid.channels * grid.taps();
  return conv.masked && DirectFill<T>(grid).windowed() && is_planar(grid) && grid.step[1] == 1 &&
         grid.step[2] == 1 && grid.taps() > 1 && m <= 16 && k <= 256 && m * k >= 64 &&
         grid.pixels[2] <= 512 && filled(grid.pixels[2], conv.lanes) >= 0.6;
}

template <class T>
void conv_backward_weight_strips(const ConvGrid<T>& grid, int64_t m, const T* dy, T* dw) {
  const auto& conv = conv_kernels<T>();
  const Copies<T> copies(grid, m * grid.pixels[2], true);
  const std::vector<int64_t> offset = copies.offsets();
  const auto k = static_cast<int64_t>(offset.size());
  const int64_t blocks = ceil_div(grid.pixels[1], copies.block);
  // Whole images several at a time: the sums come and go once for each call.
  const int64_t image = copies.size() + m * copies.block * grid.pixels[2],
                at_once = blocks > 1 ? 1 : std::clamp<int64_t>(4 * kNear / image, 1, grid.batch);
  std::vector<ConvSpot> spot = spots(copies, grid.pixels[2], grid.dst_stride[1]);
  const auto per_image = static_cast<int64_t>(spot.size());
  for (int64_t i = per_image; i < at_once * per_image; ++i) {
    const ConvSpot& s = spot[static_cast<size_t>(i - per_image)];
    spot.push_back({s.src + copies.size(), s.dst + grid.dst_batch, s.lanes});
  }
  const int64_t units = blocks > 1 ? grid.batch * blocks : ceil_div(grid.batch, at_once);
  const int64_t work = std::max<int64_t>(1, at_once * m * k * copies.block * grid.pixels[2]),
                splits = std::clamp<int64_t>(
                    std::min(ceil_div(16, grid.groups), units * work / kConvChunkWork), 1, units);
  Buffer<T> partial(grid.groups * splits * m * k);
  parallel_for(grid.groups * splits, 1, [&](int64_t chunk, int64_t end) {
    Buffer<T> x(at_once * copies.size()), sums(m * k * conv.lanes);
    for (; chunk < end; ++chunk) {
      const int64_t g = chunk / splits, split = chunk % splits;
      std::fill_n(sums.get(), m * k * conv.lanes, T(0));
      for (int64_t u = units * split / splits; u < units * (split + 1) / splits; ++u) {
        const int64_t n0 = blocks > 1 ? u / blocks : u * at_once, images = std::min(at_once, grid.batch - n0),
                      h0 = blocks > 1 ? u % blocks * copies.block : 0,
                      live = std::min(copies.block, grid.pixels[1] - h0);
        for (int64_t n = 0; n < images; ++n)
          copies.fill(grid.src + (n0 + n) * grid.src_batch + g * grid.channels * grid.src_channel,
                      grid.channels, h0, 0, x + n * copies.size());
        conv_strip_kernels<T>().weight(
            {x, offset.data(), k,
             dy + n0 * grid.dst_batch + g * m * grid.dst_channel + h0 * grid.dst_stride[1], grid.dst_channel,
             m, spot.data(), images * per_image * live / copies.block, sums});
      }
      conv.sum_lanes(sums, m * k, partial + (g * splits + split) * m * k);
    }
  });
  for (int64_t g = 0; g < grid.groups; ++g)
    for (int64_t i = 0; i < m * k; ++i) {
      T v = partial[g * splits * m * k + i];
      for (int64_t s = 1; s < splits; ++s) v += partial[(g * splits + s) * m * k + i];
      dw[g * m * k + i] = v;
    }
}

#define CCDL_CONV_STRIPS(T)                                                                                \
  template bool conv_fits_strips(const ConvGrid<T>&, int64_t);                                             \
  template void conv_sweep_strips(const ConvGrid<T>&, int64_t, const T*, T*, const T*, bool);              \
  template void conv_backward_input_strips<T>(const View&, const View&, const View&, const ConvGeometry&); \
  template bool conv_fits_strip_weight(const ConvGrid<T>&, int64_t);                                       \
  template void conv_backward_weight_strips(const ConvGrid<T>&, int64_t, const T*, T*);
CCDL_CONV_STRIPS(float)
CCDL_CONV_STRIPS(double)
#undef CCDL_CONV_STRIPS

}  // namespace ccdl::cpu
