// A chunk is a block of pixels of one region, over the batch: tap by tap their source pixels are copied to
// rows of a product that adds to the block's results. The weight gradient goes the other way around: per tap
// the rectangle of pixels that read inside.
#include <ccdl/cpu/conv_last_regions.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kPixels = 128;  // of a block
constexpr int64_t kDepth = 512;   // channels copied at a time

// Pixels [begin, begin + count) of a dim and the taps that read inside for all of them.
struct Run {
  int64_t begin, count;
  std::vector<size_t> taps;
};

bool inside(int64_t pixel, int64_t step, int64_t shift, int64_t size) {
  return pixel * step + shift >= 0 && pixel * step + shift < size;
}

template <class T>
std::vector<Run> runs_of(const LastSweep<T>& s, int d) {
  std::vector<Run> runs;
  for (int64_t p = 0; p < s.pixels[d]; ++p) {
    std::vector<size_t> taps;
    for (size_t t = 0; t < s.taps[d].shift.size(); ++t)
      if (inside(p, s.step[d], s.taps[d].shift[t], s.src_size[d])) taps.push_back(t);
    if (runs.empty() || runs.back().taps != taps)
      runs.push_back({p, 1, std::move(taps)});
    else
      ++runs.back().count;
  }
  return runs;
}

// The pixels of a tap in a dim that read inside.
template <class T>
Run run_of_tap(const LastSweep<T>& s, int d, size_t t) {
  Run run{0, 0, {t}};
  for (int64_t p = 0; p < s.pixels[d]; ++p)
    if (inside(p, s.step[d], s.taps[d].shift[t], s.src_size[d])) {
      if (run.count == 0) run.begin = p;
      ++run.count;
    }
  return run;
}

// A box of pixels in every image, and the taps they read through.
struct Region {
  const Run* run[3];
  int64_t image() const { return run[0]->count * run[1]->count * run[2]->count; }
};

// Where the pixels of a block lie: offsets of the source without a tap's shift, and of the result.
struct Places {
  int64_t count;
  int64_t src[kPixels], dst[kPixels];
  template <class T>
  Places(const LastSweep<T>& s, const Region& r, int64_t begin, int64_t end) : count(end - begin) {
    const int64_t wide = r.run[2]->count, high = r.run[1]->count;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / r.image(), rest = i % r.image(),
                    at[3] = {r.run[0]->begin + rest / (high * wide), r.run[1]->begin + rest / wide % high,
                             r.run[2]->begin + rest % wide};
      src[i - begin] =
          n * s.src_batch() +
          ((at[0] * s.step[0] * s.src_size[1] + at[1] * s.step[1]) * s.src_size[2] + at[2] * s.step[2]) *
              s.src_pixel;
      dst[i - begin] =
          n * s.dst_batch + at[0] * s.dst_stride[0] + at[1] * s.dst_stride[1] + at[2] * s.dst_stride[2];
    }
  }
};

template <class T>
int64_t shift_of(const LastSweep<T>& s, size_t d, size_t h, size_t w) {
  return ((s.taps[0].shift[d] * s.src_size[1] + s.taps[1].shift[h]) * s.src_size[2] + s.taps[2].shift[w]) *
         s.src_pixel;
}

template <class T>
int64_t tap_of(const LastSweep<T>& s, size_t d, size_t h, size_t w) {
  return (static_cast<int64_t>(d) * s.taps[1].size() + static_cast<int64_t>(h)) * s.taps[2].size() +
         static_cast<int64_t>(w);
}

// Rows [count][n] of the pixels' elements from `from` on.
template <class T>
void copy_rows(const T* from, const int64_t* at, int64_t count, int64_t n, T* rows) {
  for (int64_t q = 0; q < count; ++q, rows += n) copy_run(rows, from + at[q], n);
}

// w as [tap][panel][channel][nr].
template <class T>
void pack_taps(const LastSweep<T>& s, T* out) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t panels = ceil_div(s.m, kernels.nr), panel = s.channels * kernels.nr;
  parallel_for(s.count() * panels, std::max<int64_t>(1, 65536 / panel), [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const int64_t tap = i / panels, column = i % panels * kernels.nr;
      const int64_t w = tap % s.taps[2].size(), h = tap / s.taps[2].size() % s.taps[1].size(),
                    d = tap / (s.taps[2].size() * s.taps[1].size());
      const T* from = s.w + s.taps[0].index[static_cast<size_t>(d)] * s.w_tap[0] +
                      s.taps[1].index[static_cast<size_t>(h)] * s.w_tap[1] +
                      s.taps[2].index[static_cast<size_t>(w)] * s.w_tap[2];
      kernels.pack_b(out + i * panel, from + column * s.w_column, s.w_channel, s.w_column, s.channels,
                     std::min<int64_t>(kernels.nr, s.m - column));
    }
  });
}

// Results of a block no tap reads for, or the last pass over the others.
template <class T>
GemmPost<T> post_of(const LastSweep<T>& s, bool first, bool last) {
  return {T(1), first ? T(0) : T(1), nullptr, last ? s.bias : nullptr, last && s.relu};
}

template <class T>
void region_block(const LastSweep<T>& s, const Region& r, const T* panels, int64_t begin, int64_t end,
                  T* rows, T* tile) {
  const auto& kernels = gemm_kernels<T>();
  const Places at(s, r, begin, end);
  const int64_t parts = ceil_div(s.channels, kDepth), panel = s.channels * kernels.nr,
                per_tap = ceil_div(s.m, kernels.nr) * panel,
                passes = static_cast<int64_t>(r.run[0]->taps.size() * r.run[1]->taps.size() *
                                              r.run[2]->taps.size()) *
                         parts;
  int64_t pass = 0;
  for (const size_t d : r.run[0]->taps)
    for (const size_t h : r.run[1]->taps)
      for (const size_t w : r.run[2]->taps)
        for (int64_t part = 0; part < parts; ++part, ++pass) {
          const int64_t c = s.channels * part / parts, n = s.channels * (part + 1) / parts - c;
          copy_rows(s.src + shift_of(s, d, h, w) + c, at.src, at.count, n, rows);
          kernels.block({rows, n, n, 1, false, panels + tap_of(s, d, h, w) * per_tap + c * kernels.nr, panel,
                         kernels.nr, tile, s.m, at.count, s.m, n, post_of(s, pass == 0, pass + 1 == passes)});
        }
  if (passes == 0)
    for (int64_t i = 0; i < at.count * s.m; ++i) {
      const T v = s.bias != nullptr ? s.bias[i % s.m] : T(0);
      tile[i] = s.relu && v < T(0) ? T(0) : v;
    }
  for (int64_t q = 0; q < at.count; ++q) copy_run(s.dst + at.dst[q], tile + q * s.m, s.m);
}

}  // namespace

double conv_inside_share(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  double share = 1;
  for (int d = 0; d < 3; ++d) {
    int64_t pairs = 0;
    const int64_t size = x.sizes[d + 2], step = g.stride[d];
    for (int64_t t = 0; t < w.sizes[d + 2]; ++t) {
      const int64_t shift = t * g.dilation[d] - g.padding[d], first = shift >= 0 ? 0 : ceil_div(-shift, step),
                    end = size > shift ? std::min(y.sizes[d + 2], (size - 1 - shift) / step + 1) : 0;
      pairs += std::max<int64_t>(0, end - first);
    }
    share *= static_cast<double>(pairs) / static_cast<double>(w.sizes[d + 2] * y.sizes[d + 2]);
  }
  return share;
}

bool conv_prefers_regions(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  if (g.groups != 1 || x.numel() == 0 || y.numel() == 0 || w.numel() == 0) return false;
  int64_t regions = 1;
  for (int d = 0; d < 3; ++d) {
    if (g.stride[d] != 1) return false;
    regions *= std::min(2 * w.sizes[d + 2] - 1, y.sizes[d + 2]);
  }
  return std::min(w.sizes[0], w.sizes[1]) >= 32 && x.sizes[0] * plane_size(y) >= 16 * regions &&
         conv_inside_share(x, w, y, g) <= 0.8;
}

template <class T>
bool last_fits_regions(const LastSweep<T>& s) {
  if (s.groups != 1 || std::min(s.channels, s.m) < 32 || s.count() < 2) return false;
  double share = 1;
  int64_t regions = 1;
  for (int d = 0; d < 3; ++d) {
    int64_t pairs = 0;
    const auto runs = runs_of(s, d);
    for (const Run& run : runs) pairs += run.count * static_cast<int64_t>(run.taps.size());
    share *= static_cast<double>(pairs) / static_cast<double>(s.taps[d].size() * s.pixels[d]);
    regions *= static_cast<int64_t>(runs.size());
  }
  return s.batch * s.image() >= 16 * regions && share <= 0.8;
}

template <class T>
void last_sweep_regions(const LastSweep<T>& s) {
  const auto& kernels = gemm_kernels<T>();
  Buffer<T> panels(s.count() * round_up(s.m, kernels.nr) * s.channels);
  pack_taps(s, panels.get());
  const std::vector<Run> runs[3] = {runs_of(s, 0), runs_of(s, 1), runs_of(s, 2)};
  struct Block {
    Region region;
    int64_t begin, end;
  };
  std::vector<Block> blocks;
  for (const Run& d : runs[0])
    for (const Run& h : runs[1])
      for (const Run& w : runs[2]) {
        const Region r{{&d, &h, &w}};
        const int64_t total = s.batch * r.image(), count = ceil_div(total, kPixels);
        for (int64_t b = 0; b < count; ++b) blocks.push_back({r, total * b / count, total * (b + 1) / count});
      }
  parallel_for(static_cast<int64_t>(blocks.size()),
               std::max<int64_t>(1, kConvChunkWork / std::max<int64_t>(1, kPixels * s.m * s.k())),
               [&](int64_t i, int64_t end) {
                 Buffer<T> rows(kPixels * std::min(s.channels, kDepth)), tile(kPixels * s.m);
                 for (; i < end; ++i) {
                   const Block& b = blocks[static_cast<size_t>(i)];
                   region_block(s, b.region, panels.get(), b.begin, b.end, rows.get(), tile.get());
                 }
               });
}

template <class T>
void last_regions_weight(const LastSweep<T>& s, const T* dy, T* dw) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t c = s.channels, m = s.m, k = s.k(), columns = ceil_div(c, kDepth), taps = s.count(),
                blocks = ceil_div(s.batch * s.image(), kPixels),
                parts = std::clamp<int64_t>(
                    std::min(ceil_div(16, taps * columns), blocks * kPixels * m * c / kConvChunkWork), 1,
                    blocks);
  std::vector<Run> runs[3];
  for (int d = 0; d < 3; ++d)
    for (size_t t = 0; t < s.taps[d].shift.size(); ++t) runs[d].push_back(run_of_tap(s, d, t));
  Buffer<T> partial(parts > 1 ? parts * m * k : 0);
  T* target = parts > 1 ? partial.get() : dw;
  parallel_for(taps * columns * parts, 1, [&](int64_t chunk, int64_t end) {
    const int64_t most = round_up(ceil_div(c, columns) + 1, kernels.nr);
    const bool pack = !kernels.masked || m > 96 || c > 96;  // short rows are read where they lie
    Buffer<T> d_rows(kPixels * m), rows(kPixels * most), panels(pack ? kPixels * most : 0),
        a(pack ? kPixels * round_up(m, kernels.mr) : 0);
    for (; chunk < end; ++chunk) {
      const int64_t part = chunk % parts, tap = chunk / parts % taps, column = chunk / (parts * taps),
                    c0 = c * column / columns, n = c * (column + 1) / columns - c0;
      const auto w = static_cast<size_t>(tap % s.taps[2].size()),
                 h = static_cast<size_t>(tap / s.taps[2].size() % s.taps[1].size()),
                 d = static_cast<size_t>(tap / (s.taps[2].size() * s.taps[1].size()));
      const Region r{{&runs[0][d], &runs[1][h], &runs[2][w]}};
      const int64_t total = s.batch * r.image(), count = ceil_div(total, kPixels);
      T* out = target + part * m * k + tap * c + c0;
      const int64_t first = count * part / parts, last = count * (part + 1) / parts;
      if (first == last)
        for (int64_t i = 0; i < m; ++i) std::fill_n(out + i * k, n, T(0));
      for (int64_t b = first; b < last; ++b) {
        const Places at(s, r, total * b / count, total * (b + 1) / count);
        GemmBlock<T> g{};
        copy_rows(dy, at.dst, at.count, m, d_rows.get());
        copy_rows(s.src + shift_of(s, d, h, w) + c0, at.src, at.count, n, rows.get());
        g.a = d_rows;
        g.a_tile = g.a_row = 1;
        g.a_k = m;
        if (pack) {
          kernels.pack_a(a, d_rows, 1, m, m, at.count);
          kernels.pack_b(panels, rows, n, 1, at.count, n);
          g.a = a;
          g.a_tile = at.count;
          g.a_packed = true;
        }
        g.b = pack ? panels.get() : rows.get();
        g.b_panel = pack ? kernels.nr * at.count : kernels.nr;
        g.b_k = pack ? kernels.nr : n;
        g.c = out;
        g.c_row = k;
        g.m = m;
        g.n = n;
        g.k = at.count;
        g.post = {T(1), b == first ? T(0) : T(1), nullptr, nullptr, false};
        kernels.block(g);
      }
    }
  });
  if (parts == 1) return;
  parallel_for(m * k, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T v = partial[i];
      for (int64_t p = 1; p < parts; ++p) v += partial[p * m * k + i];
      dw[i] = v;
    }
  });
}

#define CCDL_CONV_LAST_REGIONS(T)                        \
  template bool last_fits_regions(const LastSweep<T>&);  \
  template void last_sweep_regions(const LastSweep<T>&); \
  template void last_regions_weight(const LastSweep<T>&, const T*, T*);
CCDL_CONV_LAST_REGIONS(float)
CCDL_CONV_LAST_REGIONS(double)
#undef CCDL_CONV_LAST_REGIONS

}  // namespace ccdl::cpu
