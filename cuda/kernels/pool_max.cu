// Max pooling over [images, D, H, W, channels] (a contiguous tensor is N * C images of one channel), a thread
// per output or 16-byte vector of channels, a block where windows are long. The backward gathers: an input
// asks the windows that cover it whether they chose it, so every sum runs in output order and nothing is
// zeroed first. Indices from elsewhere (max_unpool) are scattered by one warp per plane, in order.
// Bound: bytes of x, y and indices once (forward), of dy, indices and dx once (backward).
#include <kernels/pool.cuh>

namespace ccdl::cu {
namespace {

// The first maximum wins; the last NaN wins over everything.
template <class S>
CCDL_DEVICE bool beats(S v, S best) {
  return v > best || v != v;
}

struct MaxIndices {
  int64_t* flat;  // plane positions, or
  uint8_t* code;  // positions in the window
};

template <class T, int V, class I>
CCDL_DEVICE void store_max(T* y, const MaxIndices& to, int64_t at, const Compute<T>* best, const I* mark) {
  Vec<T, V> v;
#pragma unroll
  for (int l = 0; l < V; ++l) v[l] = convert<T>(best[l]);
  store_vec(y + at * V, v);
  if (to.code != nullptr) {
    Vec<uint8_t, V> c;
#pragma unroll
    for (int l = 0; l < V; ++l) c[l] = static_cast<uint8_t>(mark[l]);
    store_vec(to.code + at * V, c);
  }
  if (to.flat != nullptr)
#pragma unroll
    for (int l = 0; l < V; ++l) to.flat[at * V + l] = mark[l];
}

template <class T, int V, class I>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_pool_kernel(const T* x, T* y, MaxIndices indices, PoolShape<I> g, int64_t total) {
  using S = Compute<T>;
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const PoolPlace<I> p = g.output_place(static_cast<I>(i));
  const PoolSpan<I> d = g.d.span(p.d), h = g.h.span(p.h), w = g.w.span(p.w);
  const bool coded = indices.code != nullptr;
  const I step = coded ? 1 : g.w.dilation;  // of the mark along a window row
  S best[V];
  I mark[V];
#pragma unroll
  for (int l = 0; l < V; ++l) {
    best[l] = -static_cast<S>(INFINITY);
    mark[l] = coded ? (d.tap * g.h.kernel + h.tap) * g.w.kernel + w.tap
                    : (d.begin * g.h.in + h.begin) * g.w.in + w.begin;
  }
  const T* plane = x + g.input_start(p) * V;
  I td = d.tap;
  for (I id = d.begin; id < d.end; id += g.d.dilation, ++td) {
    I th = h.tap;
    for (I ih = h.begin; ih < h.end; ih += g.h.dilation, ++th) {
      const I row = (id * g.h.in + ih) * g.w.in;
      I at = coded ? (td * g.h.kernel + th) * g.w.kernel + w.tap : row + w.begin;
      for (I iw = w.begin; iw < w.end; iw += g.w.dilation, at += step) {
        const Vec<T, V> v = load_vec<T, V>(plane + int64_t{row + iw} * g.channels * V);
#pragma unroll
        for (int l = 0; l < V; ++l) {
          const S s = convert<S>(v[l]);
          if (!beats(s, best[l])) continue;
          best[l] = s;
          mark[l] = at;
        }
      }
    }
  }
  store_max<T, V>(y, indices, i, best, mark);
}

// Elements of the window dealt to the parts of a block, their winners compared pairwise: the order of the
// comparisons does not matter because position breaks ties.
template <class T, int V, class I>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_pool_wide_kernel(const T* x, T* y, MaxIndices indices, PoolShape<I> g, int lanes_log2) {
  using S = Compute<T>;
  CCDL_SHARED(S, values, [kPoolThreads * V]);
  CCDL_SHARED(int, marks, [kPoolThreads * V]);  // element of the clipped window
  const int thread = static_cast<int>(threadIdx.x), lanes = 1 << lanes_log2,
            parts = kPoolThreads >> lanes_log2;
  const PoolPlace<I> p = pool_wide_place(g, lanes_log2);
  const PoolSpan<I> d = g.d.span(p.d), h = g.h.span(p.h), w = g.w.span(p.w);
  const int nw = w.count(g.w), nh = h.count(g.h), count = d.count(g.d) * nh * nw;
  S best[V];
  int chosen[V];
#pragma unroll
  for (int l = 0; l < V; ++l) {
    best[l] = -static_cast<S>(INFINITY);
    chosen[l] = 0;
  }
  const T* plane = x + g.input_start(p) * V;
  for (int e = thread >> lanes_log2; e < count && p.channel < g.channels; e += parts) {
    const int row = e / nw, layer = row / nh;
    const I at =
        ((d.begin + layer * g.d.dilation) * g.h.in + h.begin + (row - layer * nh) * g.h.dilation) * g.w.in +
        w.begin + (e - row * nw) * g.w.dilation;
    const Vec<T, V> v = load_vec<T, V>(plane + int64_t{at} * g.channels * V);
#pragma unroll
    for (int l = 0; l < V; ++l) {
      const S s = convert<S>(v[l]);
      if (!beats(s, best[l])) continue;
      best[l] = s;
      chosen[l] = e;
    }
  }
#pragma unroll
  for (int l = 0; l < V; ++l) {
    values[l * kPoolThreads + thread] = best[l];
    marks[l * kPoolThreads + thread] = chosen[l];
  }
  for (int half = parts / 2; half > 0; half /= 2) {
    __syncthreads();  // both halves have their winners
    if (thread >= half * lanes) continue;
#pragma unroll
    for (int l = 0; l < V; ++l) {
      const int mine = l * kPoolThreads + thread, other = mine + half * lanes;
      const S a = values[mine], b = values[other];
      const bool tie = a == b || (a != a && b != b);
      const bool take =
          tie ? (a != a ? marks[other] > marks[mine] : marks[other] < marks[mine]) : beats(b, a) && a == a;
      if (!take) continue;
      values[mine] = b;
      marks[mine] = marks[other];
    }
  }
  if (thread >= lanes || p.channel >= g.channels) return;
  I mark[V];
#pragma unroll
  for (int l = 0; l < V; ++l) {
    best[l] = values[l * kPoolThreads + thread];
    const int e = marks[l * kPoolThreads + thread], row = e / most(nw, 1), iw = e - row * nw;
    const int id = row / most(nh, 1), ih = row - id * nh;
    mark[l] = indices.code != nullptr
                  ? ((d.tap + id) * g.h.kernel + h.tap + ih) * g.w.kernel + w.tap + iw
                  : ((d.begin + id * g.d.dilation) * g.h.in + h.begin + ih * g.h.dilation) * g.w.in +
                        w.begin + iw * g.w.dilation;
  }
  const int64_t position = (int64_t{p.d} * g.h.out + p.h) * g.w.out + p.w;
  store_max<T, V>(y, indices, g.output_start(p) + position * g.channels, best, mark);
}

template <class T, int V, class I>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_pool_backward_kernel(const T* dy, const int64_t* flat, const uint8_t* code, T* dx, PoolShape<I> g,
                             int64_t total) {
  using S = Compute<T>;
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const PoolPlace<I> p = g.input_place(static_cast<I>(i));
  I d0, d1, h0, h1, w0, w1;
  g.d.covering(p.d, d0, d1);
  g.h.covering(p.h, h0, h1);
  g.w.covering(p.w, w0, w1);
  const int64_t position = (int64_t{p.d} * g.h.in + p.h) * g.w.in + p.w, start = g.output_start(p);
  S sum[V];
#pragma unroll
  for (int l = 0; l < V; ++l) sum[l] = S(0);
  for (I od = d0; od <= d1; ++od) {
    const I td = g.d.tap_of(od, p.d);
    for (I oh = h0; oh <= h1 && td >= 0; ++oh) {
      const I th = g.h.tap_of(oh, p.h);
      for (I ow = w0; ow <= w1 && th >= 0; ++ow) {
        const I tw = g.w.tap_of(ow, p.w);
        if (tw < 0) continue;
        const int64_t at = start + int64_t{(od * g.h.out + oh) * g.w.out + ow} * g.channels;
        const Vec<T, V> v = load_vec<T, V>(dy + at * V);
        if (code != nullptr) {
          const I mine = (td * g.h.kernel + th) * g.w.kernel + tw;
          const Vec<uint8_t, V> c = load_vec<uint8_t, V>(code + at * V);
#pragma unroll
          for (int l = 0; l < V; ++l) sum[l] += c[l] == mine ? convert<S>(v[l]) : S(0);
        } else {
#pragma unroll
          for (int l = 0; l < V; ++l) sum[l] += flat[at * V + l] == position ? convert<S>(v[l]) : S(0);
        }
      }
    }
  }
  Vec<T, V> out;
#pragma unroll
  for (int l = 0; l < V; ++l) out[l] = convert<T>(sum[l]);
  store_vec(dx + i * V, out);
}

// Any positions: a warp walks the outputs of its plane in order, 32 at a time; lanes with one target hand
// their values to the lowest of them, which adds them up in lane order. sums [images, plane, channels] is
// zero before. Positions outside the plane (windows without elements) take part nowhere.
template <class T>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_pool_scatter_kernel(const T* dy, const int64_t* flat, Compute<T>* sums, PoolShape<int64_t> g) {
  using S = Compute<T>;
  const int64_t warp = (int64_t{blockIdx.x} * kPoolThreads + threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (warp >= g.images * g.channels) return;
  const int64_t image = g.by_channels.div(warp), channel = warp - image * g.channels, in = g.plane_in(),
                out = g.plane_out();
  for (int64_t first = 0; first < out; first += kWarp) {
    const int64_t o = first + lane, at = (image * out + o) * g.channels + channel;
    int64_t target = o < out ? flat[at] : -1;
    if (target < 0 || target >= in) target = -1 - lane;  // alone
    const S v = target >= 0 ? convert<S>(dy[at]) : S(0);
    const unsigned same = __match_any_sync(kFullWarp, static_cast<unsigned long long>(target));
    S sum = S(0);
    for (int l = 0; l < kWarp; ++l) {
      const S other = __shfl_sync(kFullWarp, v, l);
      if (same >> l & 1u) sum += other;
    }
    S* to = sums + (image * in + target) * g.channels + channel;
    if (target >= 0 && lane == __ffs(same) - 1) *to += sum;
    __syncwarp();  // the next round may meet the same target in another lane
  }
}
template <class T>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_pool_round_kernel(const Compute<T>* sums, T* dx, int64_t total) {
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i < total) dx[i] = convert<T>(sums[i]);
}

template <class T>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_pool_gather_kernel(const T* src, const int64_t* flat, const uint8_t* code, T* out,
                           PoolShape<int64_t> g, int64_t total) {
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const PoolPlace<int64_t> p = g.output_place(i);
  const int64_t at = code != nullptr ? plane_of_code(g, p, code[i]) : flat[i];
  out[i] = at >= 0 && at < g.plane_in() ? src[g.input_start(p) + at * g.channels] : convert<T>(0.0f);
}

// The last output that names a position owns it: an integer maximum, so the order of arrival does not matter.
template <class W>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_unpool_claim_kernel(const int64_t* flat, W* owner, int64_t plane_in, int64_t plane_out,
                            Divider<int64_t> by_plane_out, int64_t total, FaultSink sink) {
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const int64_t at = flat[i];
  if (at < 0 || at >= plane_in) {
    sink.report(FaultKind::Index, at, plane_in);
    return;
  }
  const int64_t plane = by_plane_out.div(i);
  atomicMax(owner + plane * plane_in + at, static_cast<W>(i - plane * plane_out + 1));
}
template <class T, class W>
__global__ void __launch_bounds__(kPoolThreads, 2)
    max_unpool_fill_kernel(const T* x, const W* owner, T* y, Divider<int64_t> by_plane_in, int64_t plane_out,
                           int64_t total) {
  const int64_t i = int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (i >= total) return;
  const W from = owner[i];
  y[i] = from == 0 ? convert<T>(0.0f) : x[by_plane_in.div(i) * plane_out + static_cast<int64_t>(from) - 1];
}

void zero(void* p, int64_t bytes) {
  CCDL_CUDA_CHECK(cudaMemsetAsync(p, 0, static_cast<size_t>(bytes), current_stream()));
}

void run_max_pool(const View& x, const View& y, const View& indices, const PoolWindow* window) {
  if (y.numel() == 0) return;
  const bool flat = indices.data != nullptr && indices.dtype == DType::Int64;
  const MaxIndices to{flat ? indices.ptr<int64_t>() : nullptr, flat ? nullptr : indices.ptr<uint8_t>()};
  const bool small = pool_is_small(x, y, window ? *window : PoolWindow{}, window == nullptr);
  with_pool_dtype(x.dtype, pool_vectors(x, y, to.code), small, [&](auto t, auto vector, auto index) {
    using T = decltype(t);
    using I = decltype(index);
    constexpr int V = decltype(vector)::kValue;
    const PoolShape<I> g = pool_shape<I>(x, y, window, V);
    if (pool_is_wide(g)) {
      CCDL_LAUNCH(pool_wide_config(g), (max_pool_wide_kernel<T, V, I>), x.ptr<T>(), y.ptr<T>(), to, g,
                  pool_lanes_log2(g));
    } else {
      const int64_t total = y.numel() / V;
      CCDL_LAUNCH(pool_config(total), (max_pool_kernel<T, V, I>), x.ptr<T>(), y.ptr<T>(), to, g, total);
    }
  });
}

template <class T>
void scatter_max(const View& dy, const View& indices, const View& dx) {
  using S = Compute<T>;
  const PoolShape<int64_t> g = pool_shape<int64_t>(dx, dy, nullptr, 1);
  const int64_t total = dx.numel();
  const Scratch scratch(kIsHalf<T> ? total * static_cast<int64_t>(sizeof(S)) : 1);
  S* sums = scratch.ptr<S>();
  if constexpr (!kIsHalf<T>) sums = dx.ptr<T>();
  zero(sums, total * static_cast<int64_t>(sizeof(S)));
  CCDL_LAUNCH(pool_config(g.images * g.channels * kWarp), max_pool_scatter_kernel<T>, dy.ptr<T>(),
              indices.ptr<int64_t>(), sums, g);
  if constexpr (kIsHalf<T>)
    CCDL_LAUNCH(pool_config(total), max_pool_round_kernel<T>, sums, dx.ptr<T>(), total);
}

template <class T, class W>
void unpool(const View& x, const View& indices, const View& y) {
  const int64_t outputs = x.numel(), total = y.numel(), plane_out = x.sizes[2] * x.sizes[3] * x.sizes[4],
                plane_in = y.sizes[2] * y.sizes[3] * y.sizes[4];
  const Scratch owner(total * static_cast<int64_t>(sizeof(W)));
  zero(owner.ptr(), total * static_cast<int64_t>(sizeof(W)));
  CCDL_LAUNCH(pool_config(outputs), max_unpool_claim_kernel<W>, indices.ptr<int64_t>(), owner.ptr<W>(),
              plane_in, plane_out, Divider<int64_t>(most<int64_t>(plane_out, 1)), outputs, fault_sink());
  CCDL_LAUNCH(pool_config(total), (max_unpool_fill_kernel<T, W>), x.ptr<T>(), owner.ptr<W>(), y.ptr<T>(),
              Divider<int64_t>(plane_in), plane_out, total);
}

template <class F>
void with_float(DType dtype, const F& fn) {
  switch (dtype) {
    case DType::Float16:
      return fn(float16());
    case DType::BFloat16:
      return fn(bfloat16());
    case DType::Float64:
      return fn(double());
    default:
      return fn(float());
  }
}

}  // namespace

void max_pool_forward(const View& x, const View& y, const View& indices, const PoolWindow& window) {
  run_max_pool(x, y, indices, &window);
}
void adaptive_max_pool_forward(const View& x, const View& y, const View& indices) {
  run_max_pool(x, y, indices, nullptr);
}

void max_pool_backward(const View& dy, const View& indices, const View& dx, const PoolWindow& window) {
  if (dx.numel() == 0) return;
  if (dy.numel() == 0) return zero(dx.data, dx.numel() * item_size(dx.dtype));
  const bool flat = indices.dtype == DType::Int64, adaptive = flat && window.origin == PoolWindow::kAdaptive;
  if (flat && window.origin == PoolWindow::kUnknown)
    return with_float(dx.dtype, [&](auto t) { scatter_max<decltype(t)>(dy, indices, dx); });
  const int64_t* positions = flat ? indices.ptr<int64_t>() : nullptr;
  const uint8_t* codes = flat ? nullptr : indices.ptr<uint8_t>();
  const bool small = pool_is_small(dx, dy, window, adaptive);
  with_pool_dtype(dx.dtype, pool_vectors(dx, dy, codes), small, [&](auto t, auto vector, auto index) {
    using T = decltype(t);
    using I = decltype(index);
    constexpr int V = decltype(vector)::kValue;
    const int64_t total = dx.numel() / V;
    CCDL_LAUNCH(pool_config(total), (max_pool_backward_kernel<T, V, I>), dy.ptr<T>(), positions, codes,
                dx.ptr<T>(), pool_shape<I>(dx, dy, adaptive ? nullptr : &window, V), total);
  });
}

void max_pool_gather(const View& src, const View& indices, const View& out, const PoolWindow& window) {
  const int64_t total = out.numel();
  if (total == 0) return;
  const bool flat = indices.dtype == DType::Int64;
  with_float(src.dtype, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(pool_config(total), max_pool_gather_kernel<T>, src.ptr<T>(),
                flat ? indices.ptr<int64_t>() : nullptr, flat ? nullptr : indices.ptr<uint8_t>(),
                out.ptr<T>(), pool_shape<int64_t>(src, out, &window, 1), total);
  });
}

int64_t max_unpool_forward(const View& x, const View& indices, const View& y) {
  if (y.numel() == 0) return -1;
  with_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    if (x.sizes[2] * x.sizes[3] * x.sizes[4] < INT32_MAX)
      unpool<T, unsigned>(x, indices, y);
    else
      unpool<T, unsigned long long>(x, indices, y);
  });
  return -1;
}

}  // namespace ccdl::cu
