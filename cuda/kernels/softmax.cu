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
    softmax_rows_kernel(const T* x, T* y, int64_t rows, int64_t n, int group, bool log, int phase) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const RowCut<V> cut(row < rows ? n : 0, phase + row * n);
  const int64_t edge = cut.edge(lane);
  x += row * n + cut.head;
  y += row * n + cut.head;
  C v[D][V], at_edge = edge >= 0 ? convert<C>(x[edge - cut.head]) : -C(kInfinity);
  Online<C> all{at_edge, C(0)};
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < cut.count) {
      load_row<V>(x + i * V, v[d]);
#pragma unroll
      for (int k = 0; k < V; ++k) all.max = v[d][k] > all.max ? v[d][k] : all.max;
    }
  }
  if (all.max != all.max) all.max = -C(kInfinity);  // the edge is NaN: the sum tells
  const C shift = online_shift(all.max);            // of this thread: one exponential per number
  const bool nothing = all.max == -C(kInfinity);
  if (edge >= 0) all.sum = exp_of(at_edge - shift);
#pragma unroll
  for (int d = 0; d < D; ++d)
    if (lane + static_cast<int64_t>(d) * group < cut.count) {
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const C e = exp_of(v[d][k] - shift);
        all.sum += e;
        if (!log) v[d][k] = e;
      }
    }
  const int64_t rest = lane + static_cast<int64_t>(D) * group;
  for (int64_t i = rest; i < cut.count; i += group) {
    C t[V];
    load_row<V>(x + i * V, t);
    online_add(all, t);
  }
  all = proper(group_reduce(all, OnlineJoin(), group, online_empty<C>()));
  const C scale = log ? log_of(all.sum) : C(1) / all.sum;
  const C mine = (log || nothing ? C(0) : exp_of(shift - all.max)) * scale;
  const auto value = [&](C t) { return log ? t - all.max - scale : exp_of(t - all.max) * scale; };
  if (edge >= 0) y[edge - cut.head] = convert<T>(value(at_edge));
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < cut.count) {
#pragma unroll
      for (int k = 0; k < V; ++k) v[d][k] = log ? v[d][k] - all.max - scale : v[d][k] * mine;
      store_row<V>(y + i * V, v[d]);
    }
  }
  for (int64_t i = rest; i < cut.count; i += group) {
    C t[V];
    load_row<V>(x + i * V, t);
#pragma unroll
    for (int k = 0; k < V; ++k) t[k] = value(t[k]);
    store_row<V>(y + i * V, t);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    softmax_rows_backward_kernel(const T* y, const T* dy, T* dx, int64_t rows, int64_t n, int group, bool log,
                                 int phase) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const RowCut<V> cut(row < rows ? n : 0, phase + row * n);
  const int64_t edge = cut.edge(lane), base = row * n + cut.head;
  Vec<T, V> vy[D], vg[D];
  C sum = 0;
  const auto add = [&](C v, C g) { sum = log ? sum + g : fma_of(v, g, sum); };
  const auto add_all = [&](const Vec<T, V>& a, const Vec<T, V>& g) {
#pragma unroll
    for (int k = 0; k < V; ++k) add(convert<C>(a[k]), convert<C>(g[k]));
  };
  C edge_y = 0, edge_g = 0;
  if (edge >= 0) {
    edge_y = convert<C>(y[row * n + edge]);
    edge_g = convert<C>(dy[row * n + edge]);
    add(edge_y, edge_g);
  }
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < cut.count) {
      vy[d] = load_vec<T, V>(y + base + i * V);
      vg[d] = load_vec<T, V>(dy + base + i * V);
      add_all(vy[d], vg[d]);
    }
  }
  const int64_t rest = lane + static_cast<int64_t>(D) * group;
  for (int64_t i = rest; i < cut.count; i += group)
    add_all(load_vec<T, V>(y + base + i * V), load_vec<T, V>(dy + base + i * V));
  sum = group_sum(sum, group);
  const auto value = [&](C v, C g) { return log ? fma_of(-exp_of(v), sum, g) : v * (g - sum); };
  const auto write = [&](int64_t i, const Vec<T, V>& a, const Vec<T, V>& g) {
    C out[V];
#pragma unroll
    for (int k = 0; k < V; ++k) out[k] = value(convert<C>(a[k]), convert<C>(g[k]));
    store_row<V>(dx + base + i * V, out);
  };
  if (edge >= 0) dx[row * n + edge] = convert<T>(value(edge_y, edge_g));
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < cut.count) write(i, vy[d], vg[d]);
  }
  for (int64_t i = rest; i < cut.count; i += group)
    write(i, load_vec<T, V>(y + base + i * V), load_vec<T, V>(dy + base + i * V));
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

bool few_long_rows(int64_t rows, int64_t n) { return n >= kLongRow && rows <= 128; }

LaunchConfig chunk_launch(int64_t rows, const LongRows& s) {
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(rows * s.chunks));
  c.block = dim3(kMostThreads);
  return c;
}

template <class T, int V>
void forward_long(const View& x, const View& y, bool log) {
  const int64_t rows = x.sizes[0];
  const LongRows s = long_rows(rows, x.sizes[1]);
  const Scratch partial(rows * s.chunks * static_cast<int64_t>(sizeof(Online<Compute<T>>)));
  const LaunchConfig c = chunk_launch(rows, s);
  CCDL_LAUNCH(c, (softmax_chunks_kernel<T, V>), x.ptr<const T>(), partial.ptr<Online<Compute<T>>>(), s);
  CCDL_LAUNCH(c, (softmax_apply_chunk_kernel<T, V>), x.ptr<const T>(), y.ptr<T>(),
              partial.ptr<Online<Compute<T>>>(), s, log);
}

template <class T, int V>
void backward_long(const View& y, const View& dy, const View& dx, bool log) {
  const int64_t rows = y.sizes[0];
  const LongRows s = long_rows(rows, y.sizes[1]);
  const Scratch partial(rows * s.chunks * static_cast<int64_t>(sizeof(double)));
  const LaunchConfig c = chunk_launch(rows, s);
  CCDL_LAUNCH(c, (softmax_backward_chunks_kernel<T, V>), y.ptr<const T>(), dy.ptr<const T>(),
              partial.ptr<double>(), s, log);
  CCDL_LAUNCH(c, (softmax_backward_apply_chunk_kernel<T, V>), y.ptr<const T>(), dy.ptr<const T>(),
              dx.ptr<T>(), partial.ptr<double>(), s, log);
}

// whole: every row starts and ends at an aligned address.
template <class T, int V>
void forward_rows(const View& x, const View& y, bool log, bool whole) {
  const int64_t rows = x.sizes[0], n = x.sizes[1];
  const RowConfig r = row_config(rows, n / V, kDepth<V>, kMostThreads, whole ? 1 : V);
  CCDL_LAUNCH(r.launch(rows), (softmax_rows_kernel<T, V>), x.ptr<const T>(), y.ptr<T>(), rows, n, r.group,
              log, phase_of<T>(x.data));
}

template <class T, int V>
void backward_rows(const View& y, const View& dy, const View& dx, bool log, bool whole) {
  const int64_t rows = y.sizes[0], n = y.sizes[1];
  const RowConfig r = row_config(rows, n / V, kDepth<V>, kMostThreads, whole ? 1 : V);
  CCDL_LAUNCH(r.launch(rows), (softmax_rows_backward_kernel<T, V>), y.ptr<const T>(), dy.ptr<const T>(),
              dx.ptr<T>(), rows, n, r.group, log, phase_of<T>(y.data));
}

}  // namespace

void softmax_forward(const View& x, const View& y, bool log) {
  if (x.numel() == 0) return;
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int V = kLanes<T>;
    const int64_t n = x.sizes[1];
    const int phase = phase_of<T>(x.data);
    const bool alike = phase == phase_of<T>(y.data), whole = alike && phase == 0 && n % V == 0;
    if (x.sizes[2] != 1) {
      const Columns s = columns_of(x.sizes[0], n, x.sizes[2]);
      CCDL_LAUNCH(s.launch(), softmax_columns_kernel<T>, x.ptr<const T>(), y.ptr<T>(), s, log);
    } else if (few_long_rows(x.sizes[0], n)) {
      whole ? forward_long<T, V>(x, y, log) : forward_long<T, 1>(x, y, log);
    } else if (whole || (alike && row_accesses<T>(n))) {
      forward_rows<T, V>(x, y, log, whole);
    } else {
      forward_rows<T, 1>(x, y, log, true);
    }
  });
}

void softmax_backward(const View& y, const View& dy, const View& dx, bool log) {
  if (y.numel() == 0) return;
  by_float(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int V = kLanes<T>;
    const int64_t n = y.sizes[1];
    const int phase = phase_of<T>(y.data);
    const bool alike = phase == phase_of<T>(dy.data) && phase == phase_of<T>(dx.data);
    const bool whole = alike && phase == 0 && n % V == 0;
    if (y.sizes[2] != 1) {
      const Columns s = columns_of(y.sizes[0], n, y.sizes[2]);
      CCDL_LAUNCH(s.launch(), softmax_columns_backward_kernel<T>, y.ptr<const T>(), dy.ptr<const T>(),
                  dx.ptr<T>(), s, log);
    } else if (few_long_rows(y.sizes[0], n)) {
      whole ? backward_long<T, V>(y, dy, dx, log) : backward_long<T, 1>(y, dy, dx, log);
    } else if (whole || (alike && row_accesses<T>(n))) {
      backward_rows<T, V>(y, dy, dx, log, whole);
    } else {
      backward_rows<T, 1>(y, dy, dx, log, true);
    }
  });
}

}  // namespace ccdl::cu
