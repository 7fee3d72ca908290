// Pixels x vectors of output channels: weights turned once, results turned to planes block by block. On
// lines, few output channels behind long filters fill a vector together with those of the pixels beside them.
#include <ccdl/cpu/conv_run_copies.h>
#include <ccdl/cpu/conv_runs.h>
#include <ccdl/cpu/simd/conv_rows.h>

namespace ccdl::cpu {
namespace {

// Rows [m, k] of a group as [run][element][column], columns rounded up to whole vectors.
template <class T>
void turn_rows(const Runs<T>& runs, int64_t m, const T* a, int64_t width, T* out) {
  const ConvGrid<T>& grid = runs.grid;
  const int64_t taps = grid.taps(), k = grid.channels * taps;
  std::fill_n(out, k * width, T(0));
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t c = 0; c < grid.channels; ++c, out += width)
      for (int64_t i = 0; i < m; ++i) out[i] = a[i * k + c * taps + t];
}

// place(dst of an image and group, h0, w0, rows, columns, pitch, tile): a block's sums, pixel after pixel.
template <class T, class F>
void sweep_blocks(const Runs<T>& runs, int64_t m, const T* weights, const T* biases, bool relu, T* dst,
                  int64_t dst_group, const F& place) {
  const auto& kernels = conv_row_kernels<T>();
  const ConvGrid<T>& grid = runs.grid;
  const int64_t width = round_up(m, kernels.lanes), k = grid.channels * grid.taps();
  const int64_t high = ceil_div(grid.pixels[1], runs.block), wide = ceil_div(grid.pixels[2], runs.across),
                units = ceil_div(grid.batch, runs.images) * high * wide,
                block = runs.images * runs.rows * runs.pitch,
                work = std::max<int64_t>(1, runs.images * runs.block * runs.pitch * k * width);
  // Worth it only where they come from memory: within the last cache it took 3 % more.
  const bool fetches =
      high * wide * grid.groups == 1 &&
      grid.batch * (grid.src_batch + grid.dst_batch) * static_cast<int64_t>(sizeof(T)) > 1 << 24;
  parallel_for(
      units * grid.groups, std::max<int64_t>(1, kConvChunkWork / 2 / work), [&](int64_t at, int64_t end) {
        Buffer<T> x(runs.size()), lines(runs.lines() * runs.line() + kRunSlack), tile(block * m);
        std::fill_n(x + runs.size() - kRunSlack, kRunSlack, T(0));
        std::vector<const T*> begin;
        for (int64_t r = 0; r < runs.count; ++r) begin.push_back(x + runs.begin(r));
        for (; at < end; ++at) {
          const int64_t g = at % grid.groups, u = at / grid.groups, first = u / (high * wide) * runs.images,
                        h0 = u / wide % high * runs.block, w0 = u % wide * runs.across,
                        images = std::min(runs.images, grid.batch - first),
                        live = std::min(runs.block, grid.pixels[1] - h0),
                        across = std::min(runs.across, grid.pixels[2] - w0);
          for (int64_t n = 0; n < images; ++n)
            runs.fill(grid.src + (first + n) * grid.src_batch + g * grid.channels * grid.src_channel, h0,
                      live, w0, n, lines, x);
          // Pixels between rows, and between images, are computed along.
          ConvRowSum<T> sum{begin.data(),
                            runs.count,
                            runs.length,
                            runs.pixel,
                            weights + g * k * width,
                            width,
                            biases != nullptr ? biases + g * width : nullptr,
                            relu,
                            tile,
                            m,
                            ((images - 1) * runs.rows + live - 1) * runs.pitch + across,
                            m};
          if (fetches) {  // the next images, and where these go
            sum.ahead[0] = grid.src + (first + images) * grid.src_batch;
            sum.ahead_count[0] = std::min(images, grid.batch - first - images) * grid.src_batch;
            sum.ahead[1] = dst + first * grid.dst_batch;
            sum.ahead_count[1] = images * grid.dst_batch;
          }
          kernels.sum(sum);
          for (int64_t n = 0; n < images; ++n)
            place(dst + (first + n) * grid.dst_batch + g * dst_group, h0, w0, live, across, runs.pitch,
                  tile + n * runs.rows * runs.pitch * m);
        }
      });
}

}  // namespace

template <class T>
bool conv_fits_run_sweep(const ConvGrid<T>& grid, int64_t m) {
  if (!conv_runs_planar(grid) || m < 12 || grid.step[1] * grid.step[2] == 1) return false;
  const Runs<T> runs(grid, m, false);
  const int64_t k = grid.channels * grid.taps(), width = round_up(m, runs.lanes);
  // Measured beside strips and panels: short sums are not worth turning the result, of long ones the weights
  // leave the first cache.
  if (k < 40 || k * width > 32768 || m * 4 < width * 3 || runs.pitch * 100 > runs.across * 108) return false;
  return k >= 100 || grid.step[2] > 4 || grid.pixels[2] * 4 < round_up(grid.pixels[2], runs.lanes) * 3;
}

template <class T>
void conv_sweep_runs(const ConvGrid<T>& grid, int64_t m, const T* a, T* dst, const T* bias, bool relu) {
  const Runs<T> runs(grid, m, false);
  const int64_t width = round_up(m, runs.lanes), k = grid.channels * grid.taps();
  Buffer<T> weights(grid.groups * k * width), biases(bias != nullptr ? grid.groups * width : 0);
  for (int64_t g = 0; g < grid.groups; ++g) {
    turn_rows(runs, m, a + g * m * k, width, weights + g * k * width);
    if (bias == nullptr) continue;
    std::fill_n(biases + g * width, width, T(0));
    std::copy_n(bias + g * m, m, biases + g * width);
  }
  sweep_blocks<T>(
      runs, m, weights, biases, relu, dst, m * grid.dst_channel,
      [&grid, m](T* to, int64_t h0, int64_t w0, int64_t rows, int64_t columns, int64_t pitch, const T* from) {
        to += h0 * grid.dst_stride[1] + w0;
        const bool whole = pitch == columns && grid.dst_stride[1] == columns;
        for (int64_t y = 0; y < (whole ? 1 : rows); ++y)
          conv_copy_kernels<T>().split(from + y * pitch * m, m, m, whole ? rows * columns : columns,
                                       to + y * grid.dst_stride[1], grid.dst_channel);
      });
}

// Outputs side by side: not so many that those of a tile read the same set of the first cache.
template <class T>
int64_t neighbours(const ConvGrid<T>& grid, int64_t m) {
  const int64_t each = conv_kernels<T>().lanes / m;
  return each * grid.channels * static_cast<int64_t>(sizeof(T)) % 2048 == 0 && each > 4 ? each - 1 : each;
}

template <class T>
bool conv_fits_run_lines(const ConvGrid<T>& grid, int64_t m) {
  const int64_t lanes = conv_kernels<T>().lanes, taps = static_cast<int64_t>(grid.shift[2].size());
  bool fits = grid.src_size[0] == 1 && grid.pixels[0] == 1 && grid.pixels[1] == 1 && grid.taps() == taps &&
              grid.shift[0][0] == 0 && grid.shift[1][0] == 0 && grid.src_size[1] == 1 &&
              grid.offsets.empty() && grid.dst_stride[2] == 1 && grid.step[2] == 1 && grid.groups == 1;
  if (!fits || m < 1 || m > 4 || 2 * m > lanes) return false;
  const int64_t each = neighbours(grid, m), by = taps > 1 ? grid.shift[2][1] - grid.shift[2][0] : 0;
  for (int64_t t = 1; t < taps; ++t)
    fits = fits && grid.shift[2][static_cast<size_t>(t)] - grid.shift[2][static_cast<size_t>(t - 1)] == by;
  return fits && (by == 1 || by == -1) && taps >= 2 * each && grid.channels * taps >= 64 &&
         grid.channels * (taps + each) * each * m <= 1 << 20 && grid.pixels[2] >= 16 * each;
}

template <class T>
void conv_sweep_run_lines(const ConvGrid<T>& grid, int64_t m, const T* a, T* dst, const T* bias, bool relu) {
  const int64_t lanes = conv_kernels<T>().lanes, each = neighbours(grid, m), rows = each * m,
                taps = static_cast<int64_t>(grid.shift[2].size()), channels = grid.channels;
  const bool back = taps > 1 && grid.shift[2][1] < grid.shift[2][0];
  const int64_t least = back ? grid.shift[2].back() : grid.shift[2].front(), size = grid.pixels[2];
  ConvGrid<T> several = grid;
  several.step[2] = each;
  several.pixels[2] = ceil_div(size, each);
  several.shift[2].clear();
  for (int64_t t = 0; t < taps + each - 1; ++t) several.shift[2].push_back(least + t);
  // Neighbour e of a pixel meets tap t where a pixel itself would meet tap t + e.
  Buffer<T> weights((taps + each - 1) * channels * lanes), biases(bias != nullptr ? lanes : 0);
  std::fill_n(weights.get(), (taps + each - 1) * channels * lanes, T(0));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t e = 0; e < each; ++e)
          weights[((t + e) * channels + c) * lanes + i * each + e] =
              a[(i * channels + c) * taps + (back ? taps - 1 - t : t)];
  if (bias != nullptr)
    for (int64_t l = 0; l < lanes; ++l) biases[l] = l < rows ? bias[l / each] : T(0);
  const Runs<T> runs(several, rows, false);
  sweep_blocks<T>(runs, rows, weights, biases, relu, dst, 0,
                  [&](T* to, int64_t, int64_t w0, int64_t, int64_t columns, int64_t, const T* from) {
                    const int64_t whole = std::min(columns, size / each - w0);
                    for (int64_t i = 0; i < m; ++i) {
                      T* out = to + i * grid.dst_channel + w0 * each;
                      const T* sums = from + i * each;
                      conv_copy_kernels<T>().spread(sums, rows, each, 0, whole, out, each);
                      for (int64_t e = whole * each; e < std::min(columns * each, size - w0 * each); ++e)
                        out[e] = sums[whole * rows + e - whole * each];
                    }
                  });
}

#define CCDL_CONV_RUNS(T)                                                                   \
  template bool conv_fits_run_sweep(const ConvGrid<T>&, int64_t);                           \
  template void conv_sweep_runs(const ConvGrid<T>&, int64_t, const T*, T*, const T*, bool); \
  template bool conv_fits_run_lines(const ConvGrid<T>&, int64_t);                           \
  template void conv_sweep_run_lines(const ConvGrid<T>&, int64_t, const T*, T*, const T*, bool);
CCDL_CONV_RUNS(float)
CCDL_CONV_RUNS(double)
#undef CCDL_CONV_RUNS

}  // namespace ccdl::cpu
