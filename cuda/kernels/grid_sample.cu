// Samples of images at positions: a thread makes one point of a few channels, or one point's gradient by the
// grid over all channels. The input's gradient is gathered: the taps are sorted by the pixel they use
// (stable, so in the order of the points, as the CPU adds them), then each thread sums one pixel's list for a
// channel. Bound: taps times channels reads, mostly from the cache.
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <kernels/index_walk.cuh>
#include <kernels/radix_sort.cuh>

#include <ccdl/kernels/grid_sample.h>

namespace ccdl::cu {
namespace {

using namespace moving;

constexpr int kChannels = 4;  // of a thread, forward

// Sizes with the fastest dimension first.
struct Image {
  int dims, combinations;
  int64_t size[3], images, channels, plane, points;
  GridSampleOptions options;
};

template <class A>
struct GridMath {
  using S = A;
  CCDL_DEVICE static A sel(bool m, A a, A b) { return m ? a : b; }
  CCDL_DEVICE static A floor(A a) { return ::floor(a); }
  CCDL_DEVICE static A fma(A a, A b, A c) { return ::fma(a, b, c); }
  CCDL_DEVICE static A round(A a) { return ::rint(a); }
};

// One point in D dimensions with K taps each: pixel (-1 outside) and weight of every combination of taps, the
// fastest dimension's tap changing first. Everything is unrolled, so that the arrays stay in registers.
template <class A, int D, int K>
struct Point {
  static constexpr int kCount = D == 2 ? K * K : K * K * K;
  A tap_weight[D][K], tap_slope[D][K];
  int32_t at[D][K];

  CCDL_DEVICE static constexpr int tap(int k, int d) {
    return d == 0 ? k % K : d == 1 ? k / K % K : k / (K * K);
  }
  template <class T>
  CCDL_DEVICE Point(const Image& s, const T* grid) {
    const GridSampleOptions o = {K == 1   ? GridMode::Nearest
                                 : K == 2 ? GridMode::Bilinear
                                          : GridMode::Bicubic,
                                 s.options.padding, s.options.align_corners};
#pragma unroll
    for (int d = 0; d < D; ++d) {
      A place[kMaxGridTaps], weight[kMaxGridTaps], slope[kMaxGridTaps];
      const A n = static_cast<A>(s.size[d]);
      grid_sample::taps<GridMath<A>, A>(convert<A>(grid[d]), n, o, place, weight, slope);
#pragma unroll
      for (int k = 0; k < K; ++k) {
        at[d][k] = place[k] >= A(0) && place[k] <= n - A(1) ? static_cast<int32_t>(place[k]) : -1;
        tap_weight[d][k] = weight[k];
        tap_slope[d][k] = slope[k];
      }
    }
  }
  CCDL_DEVICE int32_t pixel(const Image& s, int k) const {
    int32_t pixel = at[0][tap(k, 0)], step = 1;
    bool inside = pixel >= 0;
#pragma unroll
    for (int d = 1; d < D; ++d) {
      step *= static_cast<int32_t>(s.size[d - 1]);
      const int32_t mine = at[d][tap(k, d)];
      inside = inside && mine >= 0;
      pixel += (mine < 0 ? 0 : mine) * step;
    }
    return inside ? pixel : -1;
  }
  CCDL_DEVICE A weight(int k) const {
    A w = tap_weight[0][tap(k, 0)];
#pragma unroll
    for (int d = 1; d < D; ++d) w *= tap_weight[d][tap(k, d)];
    return w;
  }
  // of the weight by the coordinate of dimension d
  CCDL_DEVICE A slope(int k, int d) const {
    A w = tap_slope[d][tap(k, d)];
#pragma unroll
    for (int e = 0; e < D; ++e)
      if (e != d) w *= tap_weight[e][tap(k, e)];
    return w;
  }
};

template <class T, int D, int K>
__global__ void __launch_bounds__(kThreads, 4)
    grid_sample_kernel(const __grid_constant__ Image s, int64_t total, const T* x, const T* grid, T* y) {
  using A = Compute<T>;
  using P = Point<A, D, K>;
  const int64_t i = global_thread();
  if (i >= total) return;
  const int64_t place = i % s.points, rest = i / s.points, groups = ceil_div<int64_t>(s.channels, kChannels);
  const int64_t image = rest / groups, c = rest % groups * kChannels;
  const P point(s, grid + (image * s.points + place) * D);
  const T* from = x + (image * s.channels + c) * s.plane;
  A sum[kChannels] = {};
#pragma unroll
  for (int k = 0; k < P::kCount; ++k) {
    const int32_t pixel = point.pixel(s, k);
    if (pixel < 0) continue;
    const A w = point.weight(k);
#pragma unroll
    for (int j = 0; j < kChannels; ++j)
      if (c + j < s.channels) sum[j] = ::fma(w, convert<A>(from[j * s.plane + pixel]), sum[j]);
  }
  T* to = y + (image * s.channels + c) * s.points + place;
#pragma unroll
  for (int j = 0; j < kChannels; ++j)
    if (c + j < s.channels) to[j * s.points] = convert<T>(sum[j]);
}

template <class T, int D, int K>
__global__ void __launch_bounds__(kThreads)
    grid_sample_slopes_kernel(const __grid_constant__ Image s, int64_t total, const T* x, const T* grid,
                              const T* dy, T* dgrid) {
  using A = Compute<T>;
  using P = Point<A, D, K>;
  const int64_t i = global_thread();
  if (i >= total) return;
  const int64_t image = i / s.points, place = i % s.points;
  const P point(s, grid + i * D);
  const T* from = x + image * s.channels * s.plane;
  const T* g = dy + image * s.channels * s.points + place;
  int32_t pixel[P::kCount];
  A dot[P::kCount] = {};  // over channels of dy and the pixel
#pragma unroll
  for (int k = 0; k < P::kCount; ++k) pixel[k] = point.pixel(s, k);
#pragma unroll 1
  for (int64_t c = 0; c < s.channels; ++c) {
    const A dyc = convert<A>(g[c * s.points]);
#pragma unroll
    for (int k = 0; k < P::kCount; ++k)
      if (pixel[k] >= 0) dot[k] = ::fma(dyc, convert<A>(from[c * s.plane + pixel[k]]), dot[k]);
  }
#pragma unroll
  for (int d = 0; d < D; ++d) {
    A sum = 0;
#pragma unroll
    for (int k = 0; k < P::kCount; ++k) sum = ::fma(point.slope(k, d), dot[k], sum);
    dgrid[i * D + d] = convert<T>(sum);
  }
}

// Taps of the images of one round: key = pixel within the round (bound where outside), value = its number,
// weight.
template <class T, int D, int K>
__global__ void __launch_bounds__(kThreads)
    grid_sample_keys_kernel(const __grid_constant__ Image s, int64_t points, uint32_t bound, const T* grid,
                            uint32_t* keys, uint32_t* values, Compute<T>* weights) {
  using P = Point<Compute<T>, D, K>;
  const int64_t i = global_thread();
  if (i >= points) return;
  const int64_t image = i / s.points;
  const P point(s, grid + i * D);
#pragma unroll
  for (int k = 0; k < P::kCount; ++k) {
    const int32_t pixel = point.pixel(s, k);
    const int64_t entry = i * P::kCount + k;
    keys[entry] = pixel < 0 ? bound : static_cast<uint32_t>(image * s.plane + pixel);
    values[entry] = static_cast<uint32_t>(entry);
    weights[entry] = point.weight(k);
  }
}

// starts[v] = first of the ascending keys not below v
__global__ void __launch_bounds__(kThreads)
    grid_sample_starts_kernel(const uint32_t* keys, int64_t entries, int64_t bound, uint32_t* starts) {
  const int64_t v = global_thread();
  if (v > bound) return;
  int64_t low = 0, high = entries;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] < v)
      low = middle + 1;
    else
      high = middle;
  }
  starts[v] = static_cast<uint32_t>(low);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    grid_sample_sums_kernel(const __grid_constant__ Image s, int64_t total, const T* dy,
                            const uint32_t* entries, const uint32_t* starts, const Compute<T>* weights,
                            T* dx) {
  using A = Compute<T>;
  const int64_t i = global_thread();
  if (i >= total) return;
  const int64_t pixel = i % s.plane, row = i / s.plane, image = row / s.channels;
  const T* g = dy + row * s.points;
  const int64_t v = image * s.plane + pixel, first = image * s.points;
  A sum = 0;
  for (uint32_t e = starts[v]; e < starts[v + 1]; ++e) {
    const uint32_t entry = entries[e];
    sum = ::fma(weights[entry], convert<A>(g[entry / static_cast<uint32_t>(s.combinations) - first]), sum);
  }
  dx[i] = convert<T>(sum);
}

// fn(T{}, dimensions, taps of one dimension); the numbers are integral constants.
template <int N>
struct Constant {
  static constexpr int value = N;
};
template <class F>
void by_case(const View& x, const GridSampleOptions& o, const F& fn) {
  by_floating(x.dtype, [&](auto t) {
    if (x.ndim == 5)
      return o.mode == GridMode::Nearest ? fn(t, Constant<3>(), Constant<1>())
                                         : fn(t, Constant<3>(), Constant<2>());
    if (o.mode == GridMode::Bicubic) return fn(t, Constant<2>(), Constant<4>());
    o.mode == GridMode::Nearest ? fn(t, Constant<2>(), Constant<1>()) : fn(t, Constant<2>(), Constant<2>());
  });
}

Image image_of(const View& x, const View& y, const GridSampleOptions& o) {
  Image s{x.ndim - 2, 1, {1, 1, 1}, x.sizes[0], x.sizes[1], 1, 1, o};
  for (int d = 0; d < s.dims; ++d) {
    s.size[d] = x.sizes[x.ndim - 1 - d];
    s.combinations *= grid_taps_of(o.mode);
    s.plane *= s.size[d];
    s.points *= y.sizes[y.ndim - 1 - d];
  }
  return s;
}

}  // namespace

void grid_sample_forward(const View& x, const View& grid, const View& y, const GridSampleOptions& o) {
  const Image s = image_of(x, y, o);
  const int64_t total = s.images * ceil_div<int64_t>(s.channels, kChannels) * s.points;
  if (total == 0) return;
  by_case(x, o, [&](auto t, auto dims, auto taps) {
    using T = decltype(t);
    constexpr int D = decltype(dims)::value, K = decltype(taps)::value;
    CCDL_LAUNCH(plain(total), (grid_sample_kernel<T, D, K>), s, total, x.ptr<const T>(), grid.ptr<const T>(),
                y.ptr<T>());
  });
}

void grid_sample_backward_grid(const View& x, const View& grid, const View& dy, const View& dgrid,
                               const GridSampleOptions& o) {
  const Image s = image_of(x, dy, o);
  const int64_t total = s.images * s.points;
  if (total == 0) return;
  by_case(x, o, [&](auto t, auto dims, auto taps) {
    using T = decltype(t);
    constexpr int D = decltype(dims)::value, K = decltype(taps)::value;
    CCDL_LAUNCH(plain(total), (grid_sample_slopes_kernel<T, D, K>), s, total, x.ptr<const T>(),
                grid.ptr<const T>(), dy.ptr<const T>(), dgrid.ptr<T>());
  });
}

void grid_sample_backward_input(const View& grid, const View& dy, const View& dx,
                                const GridSampleOptions& o) {
  const Image whole = image_of(dx, dy, o);
  if (dx.numel() == 0) return;
  // as many images a round as 31-bit tables hold, and their memory stays moderate
  const int64_t per = most<int64_t>(whole.points * whole.combinations, whole.plane);
  const int64_t round = least<int64_t>(whole.images, most<int64_t>(1, (int64_t{1} << 26) / per));
  const int64_t most_entries = round * whole.points * whole.combinations;
  by_case(dx, o, [&](auto t, auto dims, auto taps) {
    using T = decltype(t);
    constexpr int D = decltype(dims)::value, K = decltype(taps)::value;
    using A = Compute<T>;
    const Scratch table(16 * most_entries), starts(4 * (round * whole.plane + 1));
    const Scratch weights(static_cast<int64_t>(sizeof(A)) * most_entries);
    for (int64_t first = 0; first < whole.images; first += round) {
      Image s = whole;
      s.images = least(round, whole.images - first);
      const int64_t points = s.images * s.points, entries = points * s.combinations;
      const int64_t bound = s.images * s.plane, total = s.channels * bound;
      uint32_t* p = table.ptr<uint32_t>();
      RadixPairs<uint32_t, uint32_t> pairs{p, p + entries, p + 2 * entries, p + 3 * entries};
      if (entries > 0) {
        CCDL_LAUNCH(plain(points), (grid_sample_keys_kernel<T, D, K>), s, points,
                    static_cast<uint32_t>(bound), grid.ptr<const T>() + first * s.points * s.dims, pairs.keys,
                    pairs.values, weights.ptr<A>());
        radix_sort_pairs(pairs, entries, 1, bits_below(static_cast<uint64_t>(bound) + 1));
      }
      CCDL_LAUNCH(plain(bound + 1), grid_sample_starts_kernel, pairs.keys, entries, bound,
                  starts.ptr<uint32_t>());
      CCDL_LAUNCH(plain(total), grid_sample_sums_kernel<T>, s, total,
                  dy.ptr<const T>() + first * s.channels * s.points, pairs.values, starts.ptr<uint32_t>(),
                  weights.ptr<A>(), dx.ptr<T>() + first * s.channels * s.plane);
    }
  });
}

}  // namespace ccdl::cu
