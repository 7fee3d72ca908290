// Average pooling. Planes: windows one or two apart are vectors of outputs, others sums of a row's columns,
// which serve all windows of the row. Channels innermost: vectors of channels. The backward spreads dy over
// the window plane by plane, so it needs no atomics.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <algorithm>

#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/pool.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/pool.h>
#include <ccdl/cpu/simd/pool_channels.h>
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

// Windows one or two apart: outputs [lo, hi) have their whole window row inside the input.
template <class T>
void vector_avg(const PoolGeometry& g, const PoolWindow& window, const View& x, const View& y,
                const Divisor& divisor) {
  int64_t lo = 0, hi = g.out[2];
  while (lo < hi && g.spans[2][lo].end - g.spans[2][lo].begin < window.kernel[2]) ++lo;
  while (hi > lo && g.spans[2][hi - 1].end - g.spans[2][hi - 1].begin < window.kernel[2]) --hi;
  g.for_planes([&](int64_t image, int64_t c, int64_t) {
    const T* src = x.ptr<T>() + g.start(image, c, g.plane_in());
    T* out = y.ptr<T>() + g.start(image, c, g.plane_out());
    for (const PoolSpan& d : g.spans[0])
      for (const PoolSpan& h : g.spans[1]) {
        const auto plain = [&](int64_t ow) {
          const PoolSpan& w = g.spans[2][ow];
          out[ow] = static_cast<T>(window_sum(g, src, d, h, w) / static_cast<ComputeOf<T>>(divisor(d, h, w)));
        };
        for (int64_t ow = 0; ow < lo; ++ow) plain(ow);
        if (lo < hi) {
          const int64_t count = (d.end - d.begin) * (h.end - h.begin);
          const void** rows = scratch<const void*>(0, count > 0 ? count : 1);
          int n = 0;
          for (int64_t i = d.begin; i < d.end; ++i)
            for (int64_t j = h.begin; j < h.end; ++j)
              rows[n++] = src + (i * g.in[1] + j) * g.in[2] + g.spans[2][lo].begin;
          simd_pool().mean_row[float_index(x.dtype)](rows, n, static_cast<int>(window.kernel[2]),
                                                     static_cast<int>(window.stride[2]), out + lo,
                                                     divisor(d, h, g.spans[2][lo]), hi - lo);
        }
        for (int64_t ow = hi; ow < g.out[2]; ++ow) plain(ow);
        out += g.out[2];
      }
  });
}

// Any windows: the sums of the columns of an output row, then the runs of them that its windows hold.
template <class T>
void column_avg(const PoolGeometry& g, const View& x, const View& y, const Divisor& divisor) {
  using S = ComputeOf<T>;
  const auto sum_columns = simd_pool_channels().columns[float_index(x.dtype)];
  g.for_planes([&](int64_t image, int64_t c, int64_t) {
    const T* src = x.ptr<const T>() + g.start(image, c, g.plane_in());
    T* out = y.ptr<T>() + g.start(image, c, g.plane_out());
    S* sums = scratch<S>(0, g.in[2]);
    for (const PoolSpan& d : g.spans[0])
      for (const PoolSpan& h : g.spans[1]) {
        const int64_t count = std::max<int64_t>(d.end - d.begin, 0) * std::max<int64_t>(h.end - h.begin, 0);
        const void** rows = scratch<const void*>(1, count + 1);
        int64_t n = 0;
        for (int64_t i = d.begin; i < d.end; ++i)
          for (int64_t j = h.begin; j < h.end; ++j) rows[n++] = src + (i * g.in[1] + j) * g.in[2];
        sum_columns(rows, n, sums, g.in[2]);
        for (const PoolSpan& w : g.spans[2]) {
          const S sum = w.end > w.begin ? run_sum(sums + w.begin, w.end - w.begin, 1) : S(0);
          *out++ = static_cast<T>(sum / static_cast<S>(divisor(d, h, w)));
        }
      }
  });
}

// Channels innermost: vectors of channels.
void channel_avg(const PoolGeometry& g, const View& x, const View& y, const Divisor& divisor) {
  const auto means = simd_pool_channels().means[float_index(x.dtype)];
  const int64_t work = g.plane_in() / (g.out[0] * g.out[1]) * g.c + 1;
  parallel_for(g.n * g.out[0] * g.out[1], 4096 / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const PoolSpan &h = g.spans[1][row % g.out[1]], &d = g.spans[0][row / g.out[1] % g.out[0]];
      const int64_t image = row / g.out[1] / g.out[0] * g.plane_in();
      for (int64_t ow = 0; ow < g.out[2]; ++ow) {
        const PoolSpan& w = g.spans[2][ow];
        const PoolWalk walk = g.walk(d, h, w);
        means(element(x, (image + g.position(d, h, w)) * g.c), walk, element(y, (row * g.out[2] + ow) * g.c),
              divisor(d, h, w), g.c);
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
  if (g.channels_last) return channel_avg(g, x, y, divisor);
  with_float(x.dtype, [&](auto t) { column_avg<decltype(t)>(g, x, y, divisor); });
}

// Whether vectors of outputs serve: windows one or two apart.
bool close_windows(const PoolWindow& w) { return w.stride[2] == 1 || (w.stride[2] == 2 && w.kernel[2] >= 2); }
void avg_windows(PoolGeometry& g, const PoolWindow& window, const View& x, const View& y, const Divisor& by) {
  g.windows(window);
  if (g.channels_last || !close_windows(window)) return avg_any(g, x, y, by);
  with_float(x.dtype, [&](auto t) { vector_avg<decltype(t)>(g, window, x, y, by); });
}

}  // namespace

void avg_pool_forward(const View& x, const View& y, const PoolWindow& window, bool include_pad,
                      int64_t divisor) {
  if (y.numel() == 0) return;
  PoolGeometry g(x, y);
  avg_windows(g, window, x, y, Divisor{include_pad, divisor});
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
  if (!g.channels_last && g.plane_out() == 1) {
    const int64_t n = g.plane_in();
    parallel_for(g.n * g.c, global_grain(n), [&](int64_t begin, int64_t end) {
      simd_pool_channels().plane_means[float_index(x.dtype)](element(x, begin * n), element(y, begin),
                                                             end - begin, n);
    });
    return;
  }
  PoolWindow even = {};  // where the sizes divide, regular windows
  bool divides = true;
  for (int i = 0; i < 3; ++i) {
    divides &= g.in[i] % g.out[i] == 0;
    even.kernel[i] = even.stride[i] = g.in[i] / g.out[i];
    even.dilation[i] = 1;
  }
  if (divides) return avg_windows(g, even, x, y, Divisor{false, 0});
  g.adaptive();
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
