// Softmax and log-softmax. Rows (inner == 1): part of a warp, a warp or a block per row; the first kDepth
// accesses of a thread stay in registers, what is longer is taken online and read once more. Few very long
// rows are cut into chunks whose (max, sum) meet in a fixed order. Columns (inner > 1): neighbouring columns
// in neighbouring threads, several rows per block, online. Bound: 2 (forward) or 3 (backward) passes of
// bytes.
#include <ccdl/kernels/softmax.h>

#include <algorithm>

#include <kernels/row_bricks.cuh>

namespace ccdl::cu {
namespace {

constexpr int kMostThreads = 512;
constexpr int64_t kLongRow = 1 << 16;  // rows at least this long may be cut
constexpr int kMostChunks = 128;
// Accesses a thread keeps in registers: 16 to 32 numbers.
template <int V>
constexpr int kDepth = V == 1 ? 8 : 4;

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_rows_kernel(const T* x, T* y, int64_t rows, int64_t n, int group, bool log) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const int64_t count = row < rows ? n / V : 0;  // accesses
  x += row * n;
  y += row * n;
  C v[D][V];
  Online<C> all = online_empty<C>();
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < count) {
      load_row<V>(x + i * V, v[d]);
#pragma unroll
      for (int k = 0; k < V; ++k) all.max = v[d][k] > all.max ? v[d][k] : all.max;
    }
  }
  const C shift = online_shift(all.max);  // of this thread: one exponential per number
  const bool nothing = all.max == -C(kInfinity);
#pragma unroll
  for (int d = 0; d < D; ++d)
    if (lane + static_cast<int64_t>(d) * group < count) {
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const C e = exp_of(v[d][k] - shift);
        all.sum += e;
        if (!log) v[d][k] = e;
      }
    }
  const int64_t rest = lane + static_cast<int64_t>(D) * group;
  for (int64_t i = rest; i < count; i += group) {
    C t[V];
    load_row<V>(x + i * V, t);
    online_add(all, t);
  }
  all = proper(group_reduce(all, OnlineJoin(), group, online_empty<C>()));
  const C scale = log ? log_of(all.sum) : C(1) / all.sum;
  const C mine = (log || nothing ? C(0) : exp_of(shift - all.max)) * scale;
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < count) {
#pragma unroll
      for (int k = 0; k < V; ++k) v[d][k] = log ? v[d][k] - all.max - scale : v[d][k] * mine;
      store_row<V>(y + i * V, v[d]);
    }
  }
  for (int64_t i = rest; i < count; i += group) {
    C t[V];
    load_row<V>(x + i * V, t);
#pragma unroll
    for (int k = 0; k < V; ++k) t[k] = log ? t[k] - all.max - scale : exp_of(t[k] - all.max) * scale;
    store_row<V>(y + i * V, t);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_rows_backward_kernel(const T* y, const T* dy, T* dx, int64_t rows, int64_t n, int group,
                                 bool log) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const int64_t count = row < rows ? n / V : 0;
  y += row * n;
  dy += row * n;
  dx += row * n;
  Vec<T, V> vy[D], vg[D];
  C sum = 0;
  const auto add = [&](const Vec<T, V>& a, const Vec<T, V>& g) {
#pragma unroll
    for (int k = 0; k < V; ++k)
      sum = log ? sum + convert<C>(g[k]) : fma_of(convert<C>(a[k]), convert<C>(g[k]), sum);
  };
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < count) {
      vy[d] = load_vec<T, V>(y + i * V);
      vg[d] = load_vec<T, V>(dy + i * V);
      add(vy[d], vg[d]);
    }
  }
  const int64_t rest = lane + static_cast<int64_t>(D) * group;
  for (int64_t i = rest; i < count; i += group) add(load_vec<T, V>(y + i * V), load_vec<T, V>(dy + i * V));
  sum = group_sum(sum, group);
  const auto write = [&](int64_t i, const Vec<T, V>& a, const Vec<T, V>& g) {
    C out[V];
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const C v = convert<C>(a[k]), dv = convert<C>(g[k]);
      out[k] = log ? fma_of(-exp_of(v), sum, dv) : v * (dv - sum);
    }
    store_row<V>(dx + i * V, out);
  };
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < count) write(i, vy[d], vg[d]);
  }
  for (int64_t i = rest; i < count; i += group)
    write(i, load_vec<T, V>(y + i * V), load_vec<T, V>(dy + i * V));
}

// ---- few long rows: chunk totals, then every block joins its row's totals and writes one chunk ----
struct LongRows {
  int64_t n, chunk;  // chunk is a multiple of every V
  int chunks;
};

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_chunks_kernel(const T* x, Online<Compute<T>>* partial, LongRows s) {
  using C = Compute<T>;
  const int64_t row = blockIdx.x / s.chunks, begin = (blockIdx.x - row * s.chunks) * s.chunk;
  const int64_t end = least(s.n, begin + s.chunk);
  x += row * s.n;
  Online<C> all = online_empty<C>();
#pragma unroll 2
  for (int64_t i = begin + static_cast<int>(threadIdx.x) * V; i < end;
       i += static_cast<int>(blockDim.x) * V) {
    C t[V];
    load_row<V>(x + i, t);
    online_add(all, t);
  }
  all = group_reduce(all, OnlineJoin(), static_cast<int>(blockDim.x), online_empty<C>());
  if (threadIdx.x == 0) partial[blockIdx.x] = all;
}

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_apply_chunk_kernel(const T* x, T* y, const Online<Compute<T>>* partial, LongRows s, bool log) {
  using C = Compute<T>;
  const int64_t row = blockIdx.x / s.chunks, begin = (blockIdx.x - row * s.chunks) * s.chunk;
  const int64_t end = least(s.n, begin + s.chunk);
  const int me = static_cast<int>(threadIdx.x);
  Online<C> all = me < s.chunks ? partial[row * s.chunks + me] : online_empty<C>();  // kMostChunks <= threads
  all = proper(group_reduce(all, OnlineJoin(), static_cast<int>(blockDim.x), online_empty<C>()));
  const C scale = log ? log_of(all.sum) : C(1) / all.sum;
  x += row * s.n;
  y += row * s.n;
#pragma unroll 2
  for (int64_t i = begin + static_cast<int64_t>(me) * V; i < end; i += static_cast<int>(blockDim.x) * V) {
    C t[V];
    load_row<V>(x + i, t);
#pragma unroll
    for (int k = 0; k < V; ++k) t[k] = log ? t[k] - all.max - scale : exp_of(t[k] - all.max) * scale;
    store_row<V>(y + i, t);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_backward_chunks_kernel(const T* y, const T* dy, double* partial, LongRows s, bool log) {
  using C = Compute<T>;
  const int64_t row = blockIdx.x / s.chunks, begin = (blockIdx.x - row * s.chunks) * s.chunk;
  const int64_t end = least(s.n, begin + s.chunk);
  double sum = 0;
#pragma unroll 2
  for (int64_t i = begin + static_cast<int>(threadIdx.x) * V; i < end;
       i += static_cast<int>(blockDim.x) * V) {
    C a[V], g[V], part = 0;
    load_row<V>(y + row * s.n + i, a);
    load_row<V>(dy + row * s.n + i, g);
#pragma unroll
    for (int k = 0; k < V; ++k) part += log ? g[k] : a[k] * g[k];
    sum += static_cast<double>(part);
  }
  sum = group_sum(sum, static_cast<int>(blockDim.x));
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_backward_apply_chunk_kernel(const T* y, const T* dy, T* dx, const double* partial, LongRows s,
                                        bool log) {
  using C = Compute<T>;
  const int64_t row = blockIdx.x / s.chunks, begin = (blockIdx.x - row * s.chunks) * s.chunk;
  const int64_t end = least(s.n, begin + s.chunk);
  const int me = static_cast<int>(threadIdx.x);
  const C sum = static_cast<C>(
      group_sum(me < s.chunks ? partial[row * s.chunks + me] : 0.0, static_cast<int>(blockDim.x)));
#pragma unroll 2
  for (int64_t i = begin + static_cast<int64_t>(me) * V; i < end; i += static_cast<int>(blockDim.x) * V) {
    C a[V], g[V];
    load_row<V>(y + row * s.n + i, a);
    load_row<V>(dy + row * s.n + i, g);
#pragma unroll
    for (int k = 0; k < V; ++k) g[k] = log ? fma_of(-exp_of(a[k]), sum, g[k]) : a[k] * (g[k] - sum);
    store_row<V>(dx + row * s.n + i, g);
  }
}

// ---- inner > 1 ----
template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    softmax_columns_kernel(const T* x, T* y, Columns s, bool log) {
  using C = Compute<T>;
  const ColumnPlace at(s);
  Online<C> all = online_empty<C>();
  for (int64_t j = at.lane; j < at.end; j += 4 * s.lanes) {
    C t[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t r = j + k * s.lanes;
      t[k] = r < at.end ? convert<C>(x[at.base + r * s.inner]) : -C(kInfinity);
    }
    online_add(all, t);
  }
  all = proper(column_reduce(all, OnlineJoin(), s));
  const C scale = log ? log_of(all.sum) : C(1) / all.sum;
#pragma unroll 4
  for (int64_t j = at.lane; j < at.end; j += s.lanes) {
    const C v = convert<C>(x[at.base + j * s.inner]);
    y[at.base + j * s.inner] = convert<T>(log ? v - all.max - scale : exp_of(v - all.max) * scale);
  }
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    softmax_columns_backward_kernel(const T* y, const T* dy, T* dx, Columns s, bool log) {
  using C = Compute<T>;
  const ColumnPlace at(s);
  C sum = 0;
#pragma unroll 4
  for (int64_t j = at.lane; j < at.end; j += s.lanes) {
    const C g = convert<C>(dy[at.base + j * s.inner]);
    sum = log ? sum + g : fma_of(convert<C>(y[at.base + j * s.inner]), g, sum);
  }
  sum = column_reduce(sum, SumOp(), s);
#pragma unroll 4
  for (int64_t j = at.lane; j < at.end; j += s.lanes) {
    const C v = convert<C>(y[at.base + j * s.inner]), g = convert<C>(dy[at.base + j * s.inner]);
    dx[at.base + j * s.inner] = convert<T>(log ? fma_of(-exp_of(v), sum, g) : v * (g - sum));
  }
}

// Few rows of at least kLongRow elements are cut so that about 512 blocks share them.
LongRows long_rows(int64_t rows, int64_t n) {
  const int64_t wanted = std::min<int64_t>(n / (kLongRow / 8), 512 / rows);
  const int64_t chunk =
      ceil_div<int64_t>(ceil_div(n, std::clamp<int64_t>(wanted, 1, kMostChunks)), kMostThreads * 8) *
      (kMostThreads * 8);
  return {n, chunk, static_cast<int>(ceil_div(n, chunk))};
}

template <class T, int V>
void forward_rows(const View& x, const View& y, bool log) {
  const int64_t rows = x.sizes[0], n = x.sizes[1];
  if (n >= kLongRow && rows <= 128) {
    const LongRows s = long_rows(rows, n);
    const Scratch partial(rows * s.chunks * static_cast<int64_t>(sizeof(Online<Compute<T>>)));
    LaunchConfig c;
    c.grid = dim3(static_cast<unsigned>(rows * s.chunks));
    c.block = dim3(kMostThreads);
    CCDL_LAUNCH(c, (softmax_chunks_kernel<T, V>), x.ptr<const T>(), partial.ptr<Online<Compute<T>>>(), s);
    CCDL_LAUNCH(c, (softmax_apply_chunk_kernel<T, V>), x.ptr<const T>(), y.ptr<T>(),
                partial.ptr<Online<Compute<T>>>(), s, log);
    return;
  }
  const RowConfig r = row_config(rows, n / V, kDepth<V>, kMostThreads);
  CCDL_LAUNCH(r.launch(rows), (softmax_rows_kernel<T, V>), x.ptr<const T>(), y.ptr<T>(), rows, n, r.group,
              log);
}

template <class T, int V>
void backward_rows(const View& y, const View& dy, const View& dx, bool log) {
  const int64_t rows = y.sizes[0], n = y.sizes[1];
  if (n >= kLongRow && rows <= 128) {
    const LongRows s = long_rows(rows, n);
    const Scratch partial(rows * s.chunks * static_cast<int64_t>(sizeof(double)));
    LaunchConfig c;
    c.grid = dim3(static_cast<unsigned>(rows * s.chunks));
    c.block = dim3(kMostThreads);
    CCDL_LAUNCH(c, (softmax_backward_chunks_kernel<T, V>), y.ptr<const T>(), dy.ptr<const T>(),
                partial.ptr<double>(), s, log);
    CCDL_LAUNCH(c, (softmax_backward_apply_chunk_kernel<T, V>), y.ptr<const T>(), dy.ptr<const T>(),
                dx.ptr<T>(), partial.ptr<double>(), s, log);
    return;
  }
  const RowConfig r = row_config(rows, n / V, kDepth<V>, kMostThreads);
  CCDL_LAUNCH(r.launch(rows), (softmax_rows_backward_kernel<T, V>), y.ptr<const T>(), dy.ptr<const T>(),
              dx.ptr<T>(), rows, n, r.group, log);
}

}  // namespace

void softmax_forward(const View& x, const View& y, bool log) {
  if (x.numel() == 0) return;
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (x.sizes[2] != 1) {
      const Columns s = columns_of(x.sizes[0], x.sizes[1], x.sizes[2]);
      CCDL_LAUNCH(s.launch(), softmax_columns_kernel<T>, x.ptr<const T>(), y.ptr<T>(), s, log);
    } else if (x.sizes[1] % kLanes<T> == 0 && aligned16(x.data) && aligned16(y.data)) {
      forward_rows<T, kLanes<T>>(x, y, log);
    } else {
      forward_rows<T, 1>(x, y, log);
    }
  });
}

void softmax_backward(const View& y, const View& dy, const View& dx, bool log) {
  if (y.numel() == 0) return;
  by_float(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (y.sizes[2] != 1) {
      const Columns s = columns_of(y.sizes[0], y.sizes[1], y.sizes[2]);
      CCDL_LAUNCH(s.launch(), softmax_columns_backward_kernel<T>, y.ptr<const T>(), dy.ptr<const T>(),
                  dx.ptr<T>(), s, log);
    } else if (y.sizes[1] % kLanes<T> == 0 && aligned16(y.data) && aligned16(dy.data) && aligned16(dx.data)) {
      backward_rows<T, kLanes<T>>(y, dy, dx, log);
    } else {
      backward_rows<T, 1>(y, dy, dx, log);
    }
  });
}

}  // namespace ccdl::cu
