// Average pooling over [images, D, H, W, channels] (a contiguous tensor is N * C images of one channel), a
// thread per output or 16-byte vector of channels, a block where windows are long (global pooling). The
// backward gathers dy over the windows that cover an input, in output order, so nothing is zeroed first.
// Bound: bytes of the two tensors once.
#include <kernels/pool.cuh>

namespace ccdl::cu {
namespace {

// 1 / n of a positive count: reciprocal square root, squared, and Newton steps; no division routine.
CCDL_DEVICE float reciprocal(float n) {
  const float root = rsqrtf(n), r = root * root;
  return fmaf(r, fmaf(-n, r, 1.0f), r);
}
CCDL_DEVICE double reciprocal(double n) {
  double r = static_cast<double>(reciprocal(static_cast<float>(n)));
  r = fma(r, fma(-n, r, 1.0), r);
  return fma(r, fma(-n, r, 1.0), r);
}

// One over what a window's sum is divided by. A fixed divisor counts as every window's.
struct AvgScale {
  bool include_pad, fixed;
  int64_t whole;  // elements of an unclipped window, 0 if they differ
  double scale;   // of an unclipped window
  template <class S, class I>
  CCDL_DEVICE S at(const PoolSpan<I>& d, const PoolSpan<I>& h, const PoolSpan<I>& w) const {
    const int64_t n = include_pad ? int64_t{d.full} * h.full * w.full
                                  : int64_t{d.end - d.begin} * (h.end - h.begin) * (w.end - w.begin);
    return fixed || n == whole ? static_cast<S>(scale) : reciprocal(static_cast<S>(n));
  }
};
AvgScale avg_scale(const PoolWindow* window, bool include_pad, int64_t divisor) {
  AvgScale s{include_pad, divisor != 0, 0, 1};
  if (window != nullptr) s.whole = window->kernel[0] * window->kernel[1] * window->kernel[2];
  if (divisor != 0)
    s.scale = 1 / static_cast<double>(divisor);
  else if (s.whole != 0)
    s.scale = 1 / static_cast<double>(s.whole);
  return s;
}

template <class T, int V, class I>
__global__ void __launch_bounds__(kPoolThreads, 2)
    avg_pool_kernel(const T* x, T* y, PoolShape<I> g, AvgScale scale, int64_t total) {
  using S = Compute<T>;
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const PoolPlace<I> p = g.output_place(static_cast<I>(i));
  const PoolSpan<I> d = g.d.span(p.d), h = g.h.span(p.h), w = g.w.span(p.w);
  const T* plane = x + g.input_start(p) * V;
  S sum[V];
#pragma unroll
  for (int l = 0; l < V; ++l) sum[l] = S(0);
  for (I id = d.begin; id < d.end; ++id)
    for (I ih = h.begin; ih < h.end; ++ih) {
      const I row = (id * g.h.in + ih) * g.w.in;
      for (I iw = w.begin; iw < w.end; ++iw) {
        const Vec<T, V> v = load_vec<T, V>(plane + int64_t{row + iw} * g.channels * V);
#pragma unroll
        for (int l = 0; l < V; ++l) sum[l] += convert<S>(v[l]);
      }
    }
  const S by = scale.at<S>(d, h, w);
  Vec<T, V> out;
#pragma unroll
  for (int l = 0; l < V; ++l) out[l] = convert<T>(sum[l] * by);
  store_vec(y + i * V, out);
}

// Elements of the window dealt to the parts of a block, partial sums added pairwise.
template <class T, int V, class I>
__global__ void __launch_bounds__(kPoolThreads, 2)
    avg_pool_wide_kernel(const T* x, T* y, PoolShape<I> g, AvgScale scale, int lanes_log2) {
  using S = Compute<T>;
  CCDL_SHARED(S, sums, [kPoolThreads * V]);
  const int thread = static_cast<int>(threadIdx.x), lanes = 1 << lanes_log2,
            parts = kPoolThreads >> lanes_log2;
  const PoolPlace<I> p = pool_wide_place(g, lanes_log2);
  const PoolSpan<I> d = g.d.span(p.d), h = g.h.span(p.h), w = g.w.span(p.w);
  const int nw = w.count(g.w), nh = h.count(g.h), count = d.count(g.d) * nh * nw;
  const T* plane = x + g.input_start(p) * V;
  S sum[V];
#pragma unroll
  for (int l = 0; l < V; ++l) sum[l] = S(0);
  for (int e = thread >> lanes_log2; e < count && p.channel < g.channels; e += parts) {
    const int row = e / nw, layer = row / nh;
    const I at =
        ((d.begin + layer) * g.h.in + h.begin + (row - layer * nh)) * g.w.in + w.begin + (e - row * nw);
    const Vec<T, V> v = load_vec<T, V>(plane + int64_t{at} * g.channels * V);
#pragma unroll
    for (int l = 0; l < V; ++l) sum[l] += convert<S>(v[l]);
  }
#pragma unroll
  for (int l = 0; l < V; ++l) sums[l * kPoolThreads + thread] = sum[l];
  for (int half = parts / 2; half > 0; half /= 2) {
    __syncthreads();  // both halves have their sums
    if (thread >= half * lanes) continue;
#pragma unroll
    for (int l = 0; l < V; ++l)
      sums[l * kPoolThreads + thread] += sums[l * kPoolThreads + thread + half * lanes];
  }
  if (thread >= lanes || p.channel >= g.channels) return;
  const S by = scale.at<S>(d, h, w);
  Vec<T, V> out;
#pragma unroll
  for (int l = 0; l < V; ++l) out[l] = convert<T>(sums[l * kPoolThreads + thread] * by);
  const int64_t position = (int64_t{p.d} * g.h.out + p.h) * g.w.out + p.w;
  store_vec(y + (g.output_start(p) + position * g.channels) * V, out);
}

template <class T, int V, class I>
__global__ void __launch_bounds__(kPoolThreads, 2)
    avg_pool_backward_kernel(const T* dy, T* dx, PoolShape<I> g, AvgScale scale, int64_t total) {
  using S = Compute<T>;
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const PoolPlace<I> p = g.input_place(static_cast<I>(i));
  I d0, d1, h0, h1, w0, w1;
  g.d.covering(p.d, d0, d1);
  g.h.covering(p.h, h0, h1);
  g.w.covering(p.w, w0, w1);
  const int64_t start = g.output_start(p);
  S sum[V];
#pragma unroll
  for (int l = 0; l < V; ++l) sum[l] = S(0);
  for (I od = d0; od <= d1; ++od) {
    const PoolSpan<I> d = g.d.span(od);
    for (I oh = h0; oh <= h1; ++oh) {
      const PoolSpan<I> h = g.h.span(oh);
      for (I ow = w0; ow <= w1; ++ow) {
        const S by = scale.at<S>(d, h, g.w.span(ow));
        const int64_t at = start + int64_t{(od * g.h.out + oh) * g.w.out + ow} * g.channels;
        const Vec<T, V> v = load_vec<T, V>(dy + at * V);
#pragma unroll
        for (int l = 0; l < V; ++l) sum[l] += convert<S>(v[l]) * by;
      }
    }
  }
  Vec<T, V> out;
#pragma unroll
  for (int l = 0; l < V; ++l) out[l] = convert<T>(sum[l]);
  store_vec(dx + i * V, out);
}

void run_avg_pool(const View& x, const View& y, const PoolWindow* window, const AvgScale& scale) {
  if (y.numel() == 0) return;
  const bool small = pool_is_small(x, y, window ? *window : PoolWindow{}, window == nullptr);
  with_pool_dtype(x.dtype, pool_vectors(x, y), small, [&](auto t, auto vector, auto index) {
    using T = decltype(t);
    using I = decltype(index);
    constexpr int V = decltype(vector)::kValue;
    const PoolShape<I> g = pool_shape<I>(x, y, window, V);
    if (pool_is_wide(g)) {
      CCDL_LAUNCH(pool_wide_config(g), (avg_pool_wide_kernel<T, V, I>), x.ptr<T>(), y.ptr<T>(), g, scale,
                  pool_lanes_log2(g));
    } else {
      const int64_t total = y.numel() / V;
      CCDL_LAUNCH(pool_config(total), (avg_pool_kernel<T, V, I>), x.ptr<T>(), y.ptr<T>(), g, scale, total);
    }
  });
}

void run_avg_pool_backward(const View& dy, const View& dx, const PoolWindow* window, const AvgScale& scale) {
  if (dx.numel() == 0) return;
  if (dy.numel() == 0) {
    CCDL_CUDA_CHECK(
        cudaMemsetAsync(dx.data, 0, static_cast<size_t>(dx.numel() * item_size(dx.dtype)), current_stream()));
    return;
  }
  const bool small = pool_is_small(dx, dy, window ? *window : PoolWindow{}, window == nullptr);
  with_pool_dtype(dx.dtype, pool_vectors(dx, dy), small, [&](auto t, auto vector, auto index) {
    using T = decltype(t);
    using I = decltype(index);
    constexpr int V = decltype(vector)::kValue;
    const int64_t total = dx.numel() / V;
    CCDL_LAUNCH(pool_config(total), (avg_pool_backward_kernel<T, V, I>), dy.ptr<T>(), dx.ptr<T>(),
                pool_shape<I>(dx, dy, window, V), scale, total);
  });
}

}  // namespace

void avg_pool_forward(const View& x, const View& y, const PoolWindow& window, bool include_pad,
                      int64_t divisor) {
  run_avg_pool(x, y, &window, avg_scale(&window, include_pad, divisor));
}
void avg_pool_backward(const View& dy, const View& dx, const PoolWindow& window, bool include_pad,
                       int64_t divisor) {
  run_avg_pool_backward(dy, dx, &window, avg_scale(&window, include_pad, divisor));
}
void adaptive_avg_pool_forward(const View& x, const View& y) {
  run_avg_pool(x, y, nullptr, avg_scale(nullptr, false, 0));
}
void adaptive_avg_pool_backward(const View& dy, const View& dx) {
  run_avg_pool_backward(dy, dx, nullptr, avg_scale(nullptr, false, 0));
}

}  // namespace ccdl::cu
