// Output channels x elements of the runs, summed over pixels: one product from one row of a block to the
// next, where dy has zeros for what lies between them.
#include <ccdl/cpu/conv_run_copies.h>
#include <ccdl/cpu/conv_runs.h>

namespace ccdl::cpu {
namespace {

// One block of output rows and columns of one or several images: copies and products.
template <class T>
class Worker {
 public:
  explicit Worker(const Runs<T>& r)
      : r_(r),
        x_(r.size()),
        lines_(r.lines() * r.line() + kRunSlack),
        dy_(in_place() ? 0 : r.m * r.images * r.block * r.pitch) {
    std::fill_n(x_ + r.size() - kRunSlack, kRunSlack, T(0));
  }
  // Adds rows [i0, i0 + m) of a group; `first`: of the images; src and dy of the group and row.
  void add(const T* src, const T* dy, int64_t m, int64_t first, int64_t h0, int64_t w0, bool is_first,
           T* sums) const {
    const auto& gemm = gemm_kernels<T>();
    const ConvGrid<T>& g = r_.grid;
    const int64_t images = std::min(r_.images, g.batch - first), live = std::min(r_.block, g.pixels[1] - h0),
                  width = std::min(r_.across, g.pixels[2] - w0);
    const int64_t steps = images > 1 && r_.joined ? images * live * r_.pitch : (live - 1) * r_.pitch + width;
    for (int64_t n = 0; n < images; ++n)
      r_.fill(src + (first + n) * g.src_batch, h0, live, w0, n, lines_, x_);
    const T* rows = dy + first * g.dst_batch + h0 * g.pixels[2] + w0;
    int64_t row = g.dst_channel;
    if (!in_place()) {
      row = r_.images * r_.block * r_.pitch;
      for (int64_t n = 0; n < images; ++n)
        for (int64_t i = 0; i < m; ++i)
          conv_copy_kernels<T>().spread(rows + n * g.dst_batch + i * g.dst_channel, g.pixels[2], width,
                                        r_.pitch - width, live, dy_ + i * row + n * r_.block * r_.pitch,
                                        r_.pitch);
      rows = dy_;
    }
    for (int64_t k = 0; k < r_.count; ++k)
      for (int64_t j = 0; j < r_.padded;
           j += gemm.nr)  // a panel stays near for all rows, its sums for all images
        for (int64_t n = 0; n < (r_.joined ? 1 : images); ++n)
          gemm.block({rows + n * r_.block * r_.pitch,
                      row,
                      row,
                      1,
                      false,
                      x_ + r_.begin(k) + n * r_.rows * r_.row() + j,
                      gemm.nr,
                      r_.pixel,
                      sums + k * r_.padded + j,
                      r_.sums(),
                      m,
                      std::min<int64_t>(gemm.nr, r_.padded - j),
                      steps,
                      {T(1), is_first && n == 0 ? T(0) : T(1), nullptr, nullptr, false}});
  }

 private:
  bool in_place() const { return r_.images == 1 && (r_.dense() || r_.block == 1); }
  const Runs<T>& r_;
  Buffer<T> x_, lines_, dy_;
};

}  // namespace

template <class T>
bool conv_fits_runs(const ConvGrid<T>& grid, int64_t m) {
  if (!conv_runs_planar(grid) || !grid.dst_dense() || m < 4) return false;
  Runs<T> runs(grid, m, true);
  // Of many rows the panels of the other way cost less: measured even at 0.8 of 128 rows.
  return runs.efficiency() >= 0.6 + 0.25 * std::min(1.0, static_cast<double>(m) / 128) &&
         (runs.joined ? runs.images : 1) * runs.block * runs.across >= 48;
}

template <class T>
bool conv_backward_weight_runs(const ConvGrid<T>& grid, int64_t m, const T* dy, T* dw) {
  const Runs<T> runs(grid, m, true);
  const int64_t high = ceil_div(grid.pixels[1], runs.block), wide = ceil_div(grid.pixels[2], runs.across),
                units = ceil_div(grid.batch, runs.images) * high * wide, size = m * runs.sums(),
                pixels = grid.batch * grid.image();
  // Parts of the pixels, whose sums are added in order, as many as that is worth; else parts of the rows, for
  // which the copies are made again.
  const int64_t most = std::min<int64_t>(16, pixels * size / kConvChunkWork),
                parts = std::clamp<int64_t>(std::min(ceil_div(most, grid.groups), pixels / 512), 1, units),
                row_parts =
                    std::clamp<int64_t>(most / (grid.groups * parts), 1, std::max<int64_t>(1, m / 64)),
                each = round_up(ceil_div(m, row_parts), 8);
  Buffer<T> sums(grid.groups * parts * size);
  parallel_for(grid.groups * parts * row_parts, 1, [&](int64_t chunk, int64_t end) {
    const Worker<T> worker(runs);
    for (; chunk < end; ++chunk) {
      const int64_t i0 = chunk % row_parts * each, rest = chunk / row_parts, g = rest / parts,
                    part = rest % parts, begin = units * part / parts;
      for (int64_t u = begin; u < units * (part + 1) / parts && i0 < m; ++u)
        worker.add(grid.src + g * grid.channels * grid.src_channel, dy + (g * m + i0) * grid.dst_channel,
                   std::min(each, m - i0), u / (high * wide) * runs.images, u / wide % high * runs.block,
                   u % wide * runs.across, u == begin, sums + rest * size + i0 * runs.sums());
    }
  });
  const int64_t taps = grid.taps(), k = grid.channels * taps;
  std::vector<int64_t> place;
  for (int64_t h = 0; h < runs.taps_h; ++h)
    for (int64_t w = 0; w < runs.taps_w; ++w) place.push_back(runs.place(h, w));
  parallel_for(grid.groups * m, std::max<int64_t>(1, (1 << 14) / k), [&](int64_t row, int64_t end) {
    Buffer<T> line(k), turned(k + kRunSlack);
    for (; row < end; ++row) {
      const T* from = sums + row / m * parts * size + row % m * runs.sums();
      for (int64_t t = 0; t < taps; ++t) {
        const T* part = from + place[static_cast<size_t>(t)];
        T* out = line + t * grid.channels;
        for (int64_t c = 0; c < grid.channels; ++c) out[c] = part[c];
        for (int64_t p = 1; p < parts; ++p)
          for (int64_t c = 0; c < grid.channels; ++c) out[c] += part[p * size + c];
      }
      conv_copy_kernels<T>().interleave(line, grid.channels, taps, grid.channels, turned);
      std::memcpy(dw + row * k, turned, static_cast<size_t>(k) * sizeof(T));
    }
  });
  if (runs.dense()) return true;
  T odd = T(0);  // of what is not finite, no difference is zero
  for (int64_t i = 0; i < grid.groups * m * k; ++i) odd += dw[i] - dw[i];
  return odd == T(0);
}

template bool conv_fits_runs(const ConvGrid<float>&, int64_t);
template bool conv_fits_runs(const ConvGrid<double>&, int64_t);
template bool conv_backward_weight_runs(const ConvGrid<float>&, int64_t, const float*, float*);
template bool conv_backward_weight_runs(const ConvGrid<double>&, int64_t, const double*, double*);

}  // namespace ccdl::cpu
