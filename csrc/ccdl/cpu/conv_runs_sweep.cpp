// Pixels x vectors of output channels: weights turned once, results turned to planes block by block.
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
  const auto& kernels = conv_row_kernels<T>();
  const Runs<T> runs(grid, m, false);
  const int64_t width = round_up(m, kernels.lanes), k = grid.channels * grid.taps();
  Buffer<T> weights(grid.groups * k * width), biases(bias != nullptr ? grid.groups * width : 0);
  for (int64_t g = 0; g < grid.groups; ++g) {
    turn_rows(runs, m, a + g * m * k, width, weights + g * k * width);
    if (bias == nullptr) continue;
    std::fill_n(biases + g * width, width, T(0));
    std::copy_n(bias + g * m, m, biases + g * width);
  }
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
                            bias != nullptr ? biases + g * width : nullptr,
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
          for (int64_t n = 0; n < images; ++n) {
            T* to =
                dst + (first + n) * grid.dst_batch + g * m * grid.dst_channel + h0 * grid.dst_stride[1] + w0;
            const T* from = tile + n * runs.rows * runs.pitch * m;
            const bool whole = runs.dense() && grid.dst_stride[1] == across;
            for (int64_t y = 0; y < (whole ? 1 : live); ++y)
              conv_copy_kernels<T>().split(from + y * runs.pitch * m, m, m, whole ? live * across : across,
                                           to + y * grid.dst_stride[1], grid.dst_channel);
          }
        }
      });
}

#define CCDL_CONV_RUNS(T)                                         \
  template bool conv_fits_run_sweep(const ConvGrid<T>&, int64_t); \
  template void conv_sweep_runs(const ConvGrid<T>&, int64_t, const T*, T*, const T*, bool);
CCDL_CONV_RUNS(float)
CCDL_CONV_RUNS(double)
#undef CCDL_CONV_RUNS

}  // namespace ccdl::cpu
