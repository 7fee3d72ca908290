// Average pooling. Regular float32 windows go through vector rows; long windows (adaptive, global) sum
// contiguous runs. The backward spreads dy over the window plane by plane, so it needs no atomics.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <algorithm>

#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/pool.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/pool.h>
#include <ccdl/cpu/simd/resample.h>

namespace ccdl::cpu {
namespace {

struct Divisor {
  bool include_pad;
  int64_t fixed;  // 0: by window
  double operator()(const PoolSpan& d, const PoolSpan& h, const PoolSpan& w) const {
    if (fixed) return static_cast<double>(fixed);
    if (include_pad) return static_cast<double>(d.full * h.full * w.full);
    return static_cast<double>((d.end - d.begin) * (h.end - h.begin) * (w.end - w.begin));
  }
};

int64_t global_grain(int64_t n) { return n >= 65536 ? 1 : 65536 / (n < 1 ? 1 : n); }

float run_sum(const float* x, int64_t n, int64_t stride) {
  if (stride == 1 && n >= 8) return simd_pool().sum_run(x, n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i * stride];
  return sum;
}
template <class T>
ComputeOf<T> run_sum(const T* x, int64_t n, int64_t stride) {
  using S = ComputeOf<T>;
  constexpr int kParts = 8;
  S part[kParts] = {}, sum = 0;
  int64_t i = 0;
  if (stride == 1)
    for (; i + kParts <= n; i += kParts)
      for (int k = 0; k < kParts; ++k) part[k] += static_cast<S>(x[i + k]);
  for (; i < n; ++i) sum += static_cast<S>(x[i * stride]);
  for (int k = 0; k < kParts; ++k) sum += part[k];
  return sum;
}

template <class T>
ComputeOf<T> window_sum(const PoolGeometry& g, const T* x, const PoolSpan& d, const PoolSpan& h,
                        const PoolSpan& w) {
  const int64_t stride = g.position_stride();
  ComputeOf<T> sum = 0;
  for (int64_t i = d.begin; i < d.end; ++i) {
    if (w.end - w.begin == g.in[2]) {  // whole rows are one run
      if (h.end > h.begin)
        sum += run_sum(x + (i * g.in[1] + h.begin) * g.in[2] * stride, (h.end - h.begin) * g.in[2], stride);
      continue;
    }
    for (int64_t j = h.begin; j < h.end; ++j)
      if (w.end > w.begin)
        sum += run_sum(x + ((i * g.in[1] + j) * g.in[2] + w.begin) * stride, w.end - w.begin, stride);
  }
  return sum;
}

template <class T>
void plain_avg(const PoolGeometry& g, const View& x, const View& y, const Divisor& divisor) {
  const int64_t stride = g.position_stride();
  g.for_planes([&](int64_t image, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      const T* src = x.ptr<T>() + g.start(image, c, g.plane_in());
      T* out = y.ptr<T>() + g.start(image, c, g.plane_out());
      for (const PoolSpan& d : g.spans[0])
        for (const PoolSpan& h : g.spans[1])
          for (const PoolSpan& w : g.spans[2]) {
            *out = static_cast<T>(window_sum(g, src, d, h, w) / static_cast<ComputeOf<T>>(divisor(d, h, w)));
            out += stride;
          }
    }
  });
}

// float32 planes with stride 1 or 2: outputs [lo, hi) have their whole window row inside the input.
void vector_avg(const PoolGeometry& g, const PoolWindow& window, const View& x, const View& y,
                const Divisor& divisor) {
  int64_t lo = 0, hi = g.out[2];
  while (lo < hi && g.spans[2][lo].end - g.spans[2][lo].begin < window.kernel[2]) ++lo;
  while (hi > lo && g.spans[2][hi - 1].end - g.spans[2][hi - 1].begin < window.kernel[2]) --hi;
  g.for_planes([&](int64_t image, int64_t c, int64_t) {
    const float* src = x.ptr<float>() + g.start(image, c, g.plane_in());
    float* out = y.ptr<float>() + g.start(image, c, g.plane_out());
    for (const PoolSpan& d : g.spans[0])
      for (const PoolSpan& h : g.spans[1]) {
        const auto plain = [&](int64_t ow) {
          const PoolSpan& w = g.spans[2][ow];
          out[ow] = window_sum(g, src, d, h, w) / static_cast<float>(divisor(d, h, w));
        };
        for (int64_t ow = 0; ow < lo; ++ow) plain(ow);
        if (lo < hi) {
          const int64_t count = (d.end - d.begin) * (h.end - h.begin);
          const float** rows = scratch<const float*>(0, count > 0 ? count : 1);
          int n = 0;
          for (int64_t i = d.begin; i < d.end; ++i)
            for (int64_t j = h.begin; j < h.end; ++j)
              rows[n++] = src + (i * g.in[1] + j) * g.in[2] + g.spans[2][lo].begin;
          simd_pool().sum_row(rows, n, static_cast<int>(window.kernel[2]), static_cast<int>(window.stride[2]),
                              out + lo, static_cast<float>(1.0 / divisor(d, h, g.spans[2][lo])), hi - lo);
        }
        for (int64_t ow = hi; ow < g.out[2]; ++ow) plain(ow);
        out += g.out[2];
      }
  });
}

// float32, channels innermost: the window's points are the rows, outputs run over channels.
void vector_avg_channels(const PoolGeometry& g, const View& x, const View& y, const Divisor& divisor) {
  parallel_for(g.n * g.out[0] * g.out[1], 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const PoolSpan &h = g.spans[1][row % g.out[1]], &d = g.spans[0][row / g.out[1] % g.out[0]];
      const float* src = x.ptr<float>() + g.start(row / g.out[1] / g.out[0], 0, g.plane_in());
      for (int64_t ow = 0; ow < g.out[2]; ++ow) {
        const PoolSpan& w = g.spans[2][ow];
        const int64_t count = (d.end - d.begin) * (h.end - h.begin) * (w.end - w.begin);
        const float** points = scratch<const float*>(0, count > 0 ? count : 1);
        int n = 0;
        for (int64_t i = d.begin; i < d.end; ++i)
          for (int64_t j = h.begin; j < h.end; ++j)
            for (int64_t k = w.begin; k < w.end; ++k)
              points[n++] = src + ((i * g.in[1] + j) * g.in[2] + k) * g.c;
        simd_pool().sum_row(points, n, 1, 1, y.ptr<float>() + (row * g.out[2] + ow) * g.c,
                            static_cast<float>(1.0 / divisor(d, h, w)), g.c);
      }
    }
  });
}

// Other types, channels innermost: a row of sums over the channels.
template <class T>
void plain_avg_channels(const PoolGeometry& g, const View& x, const View& y, const Divisor& divisor) {
  using S = ComputeOf<T>;
  const int64_t c = g.c;
  parallel_for(g.n * g.out[0] * g.out[1], 1, [&](int64_t begin, int64_t end) {
    S* __restrict sum = scratch<S>(0, c);
    for (int64_t row = begin; row < end; ++row) {
      const PoolSpan &h = g.spans[1][row % g.out[1]], &d = g.spans[0][row / g.out[1] % g.out[0]];
      const T* src = x.ptr<const T>() + g.start(row / g.out[1] / g.out[0], 0, g.plane_in());
      T* __restrict to = y.ptr<T>() + row * g.out[2] * c;
      for (int64_t ow = 0; ow < g.out[2]; ++ow, to += c) {
        const PoolSpan& w = g.spans[2][ow];
        std::fill_n(sum, c, S(0));
        for (int64_t i = d.begin; i < d.end; ++i)
          for (int64_t j = h.begin; j < h.end; ++j)
            for (int64_t k = w.begin; k < w.end; ++k) {
              const T* __restrict point = src + ((i * g.in[1] + j) * g.in[2] + k) * c;
              for (int64_t m = 0; m < c; ++m) sum[m] += static_cast<S>(point[m]);
            }
        const S by = static_cast<S>(divisor(d, h, w));
        for (int64_t m = 0; m < c; ++m) to[m] = static_cast<T>(sum[m] / by);
      }
    }
  });
}

// Channels innermost: dx of a point is a weighted sum of the rows of dy whose windows hold it, in order.
template <class S>
void spread_channels(const PoolGeometry& g, const View& dy, const View& dx, const Divisor& divisor) {
  const int64_t points = g.plane_in(), windows = g.plane_out();
  int64_t* starts = scratch<int64_t>(0, points + 2);
  std::fill_n(starts, points + 2, int64_t{0});
  const auto each = [&](const auto& fn) {  // fn(point, window, weight)
    int64_t window = 0;
    for (const PoolSpan& d : g.spans[0])
      for (const PoolSpan& h : g.spans[1])
        for (const PoolSpan& w : g.spans[2]) {
          const S scale = S(1) / static_cast<S>(divisor(d, h, w));
          for (int64_t i = d.begin; i < d.end; ++i)
            for (int64_t j = h.begin; j < h.end; ++j)
              for (int64_t k = w.begin; k < w.end; ++k) fn((i * g.in[1] + j) * g.in[2] + k, window, scale);
          ++window;
        }
  };
  each([&](int64_t point, int64_t, S) { ++starts[point + 2]; });  // two ahead: filling makes starts of them
  for (int64_t p = 0; p < points; ++p) starts[p + 2] += starts[p + 1];
  const int64_t entries = starts[points + 1];
  int64_t* index = scratch<int64_t>(1, entries * 2 + 1);
  S* weight = reinterpret_cast<S*>(index + entries);
  each([&](int64_t point, int64_t window, S scale) {
    const int64_t at = starts[point + 1]++;
    index[at] = window;
    weight[at] = scale;
  });
  const ResampleTable table{windows, points, starts, index, weight, nullptr};
  const int64_t grain = 8192 / (g.c * (entries / points + 1) + 1) + 1;
  parallel_for(g.n * points, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t image = begin / points, first = begin % points;
      const int64_t stop = std::min(end, (image + 1) * points);
      simd_resample().rows[float_index(dx.dtype)](table, element(dy, image * windows * g.c), g.c, first,
                                                  stop - image * points, element(dx, image * points * g.c));
      begin = stop;
    }
  });
}

template <class T>
void spread(const PoolGeometry& g, const View& dy, const View& dx, const Divisor& divisor) {
  using S = ComputeOf<T>;
  const int64_t stride = g.position_stride();
  g.for_planes([&](int64_t image, int64_t first, int64_t last) {
    const int64_t channels = last - first, size = g.plane_in() * channels;
    T* to = dx.ptr<T>() + g.start(image, first, g.plane_in());
    const T* from = dy.ptr<T>() + g.start(image, first, g.plane_out());
    S* sum;
    if constexpr (sizeof(T) >= 4)
      sum = to;
    else
      sum = scratch<S>(0, size);  // sums of overlapping windows round once
    for (int64_t i = 0; i < size; ++i) sum[i] = S(0);
    for (const PoolSpan& d : g.spans[0])
      for (const PoolSpan& h : g.spans[1])
        for (const PoolSpan& w : g.spans[2]) {
          const S scale = S(1) / static_cast<S>(divisor(d, h, w));
          for (int64_t i = d.begin; i < d.end; ++i)
            for (int64_t j = h.begin; j < h.end; ++j) {
              S* row = sum + ((i * g.in[1] + j) * g.in[2] + w.begin) * stride;
              if (channels == 1) {
                const S v = static_cast<S>(*from) * scale;
                for (int64_t k = 0; k < w.end - w.begin; ++k) row[k] += v;
              } else {
                for (int64_t k = 0; k < w.end - w.begin; ++k)
                  for (int64_t c = 0; c < channels; ++c)
                    row[k * stride + c] += static_cast<S>(from[c]) * scale;
              }
            }
          from += stride;
        }
    if constexpr (sizeof(T) < 4)
      for (int64_t i = 0; i < size; ++i) to[i] = static_cast<T>(sum[i]);
  });
}

void spread_any(const PoolGeometry& g, const View& dy, const View& dx, const Divisor& divisor) {
  if (g.channels_last && dx.numel() > 0)
    return dx.dtype == DType::Float64 ? spread_channels<double>(g, dy, dx, divisor)
                                      : spread_channels<float>(g, dy, dx, divisor);
  with_float(dx.dtype, [&](auto t) { spread<decltype(t)>(g, dy, dx, divisor); });
}

void avg_any(const PoolGeometry& g, const View& x, const View& y, const Divisor& divisor) {
  with_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    g.channels_last ? plain_avg_channels<T>(g, x, y, divisor) : plain_avg<T>(g, x, y, divisor);
  });
}

}  // namespace

void avg_pool_forward(const View& x, const View& y, const PoolWindow& window, bool include_pad,
                      int64_t divisor) {
  if (y.numel() == 0) return;
  PoolGeometry g(x, y);
  g.windows(window);
  const Divisor by{include_pad, divisor};
  if (x.dtype == DType::Float32) {
    if (g.channels_last) return vector_avg_channels(g, x, y, by);
    if (window.stride[2] == 1 || (window.stride[2] == 2 && window.kernel[2] >= 2))
      return vector_avg(g, window, x, y, by);
  }
  avg_any(g, x, y, by);
}

void avg_pool_backward(const View& dy, const View& dx, const PoolWindow& window, bool include_pad,
                       int64_t divisor) {
  PoolGeometry g(dx, dy);
  g.windows(window);
  spread_any(g, dy, dx, Divisor{include_pad, divisor});
}

void adaptive_avg_pool_forward(const View& x, const View& y) {
  if (y.numel() == 0) return;
  PoolGeometry g(x, y);
  g.adaptive();
  if (x.dtype == DType::Float32 && g.channels_last) return vector_avg_channels(g, x, y, Divisor{false, 0});
  if (x.dtype == DType::Float32 && g.plane_out() == 1) {
    const int64_t n = g.plane_in();
    parallel_for(g.n * g.c, global_grain(n), [&](int64_t begin, int64_t end) {
      simd_pool().sum_planes(x.ptr<float>() + begin * n, y.ptr<float>() + begin, end - begin, n,
                             1.0f / static_cast<float>(n));
    });
    return;
  }
  avg_any(g, x, y, Divisor{false, 0});
}

void adaptive_avg_pool_backward(const View& dy, const View& dx) {
  PoolGeometry g(dx, dy);
  if (dx.dtype == DType::Float32 && !g.channels_last && g.plane_out() == 1) {
    const int64_t n = g.plane_in();
    parallel_for(g.n * g.c, global_grain(n), [&](int64_t begin, int64_t end) {
      simd_pool().fill_planes(dy.ptr<float>() + begin, dx.ptr<float>() + begin * n, end - begin, n,
                              1.0f / static_cast<float>(n));
    });
    return;
  }
  if (!g.channels_last && g.plane_out() == 1) {
    const int64_t n = g.plane_in();
    with_float(dx.dtype, [&](auto t) {
      using T = decltype(t);
      using S = ComputeOf<T>;
      parallel_for(g.n * g.c, global_grain(n), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const auto v = static_cast<T>(static_cast<S>(dy.ptr<const T>()[p]) * (S(1) / static_cast<S>(n)));
          std::fill_n(dx.ptr<T>() + p * n, n, v);
        }
      });
    });
    return;
  }
  g.adaptive();
  spread_any(g, dy, dx, Divisor{false, 0});
}

}  // namespace ccdl::cpu
