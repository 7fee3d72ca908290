// Layer norm and rms norm. Forward: part of a warp, a warp or a block per row, which stays in registers, so x
// is read once (what does not fit is read again). Backward: a fixed number of blocks walk the rows and keep
// the column sums of their rows in registers; one partial row per block, added in order by a second kernel.
// Rows too long for that take one pass for dx and one for the columns. Bound: 2 N C s forward, 3 N C s
// backward.
#include <ccdl/kernels/norm.h>

#include <algorithm>

#include <kernels/row_bricks.cuh>

namespace ccdl::cu {
namespace {

constexpr int kMostThreads = 512;
constexpr int kBackwardThreads = 256;
constexpr int64_t kPartialRows = 264;

// Accesses of a row per thread that stay in registers.
template <int V>
constexpr int kDepth = V == 1   ? 8
                       : V == 8 ? 2
                                : 4;
template <int V>
constexpr int kForwardDepth = V == 8 ? 4 : 8;

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    norm_rows_kernel(const T* x, const T* w, const T* b, T* y, Compute<T>* mean_out, Compute<T>* rstd_out,
                     int64_t rows, int64_t n, int group, Compute<T> part, Compute<T> eps) {
  using C = Compute<T>;
  constexpr int D = kForwardDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const int64_t count = row < rows ? n / V : 0, rest = lane + static_cast<int64_t>(D) * group;
  x += row * n;
  y += row * n;
  Vec<T, V> v[D];
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < count) v[d] = load_vec<T, V>(x + i * V);
  }
  const auto each = [&](const auto& f) {  // f(access number, its elements)
#pragma unroll
    for (int d = 0; d < D; ++d) {
      const int64_t i = lane + static_cast<int64_t>(d) * group;
      if (i < count) f(i, v[d]);
    }
    for (int64_t i = rest; i < count; i += group) f(i, load_vec<T, V>(x + i * V));
  };
  C mean = 0;
  if (mean_out) {
    C sum = 0;
    each([&](int64_t, const Vec<T, V>& e) {
#pragma unroll
      for (int k = 0; k < V; ++k) sum += convert<C>(e[k]);
    });
    mean = group_sum(sum, group) * part;
  }
  Pair<C> s{0, 0};  // of x - mean and its square: the first moves the rounded mean to the exact one
  each([&](int64_t, const Vec<T, V>& e) {
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const C d = convert<C>(e[k]) - mean;
      s.a += d;
      s.b = fma_of(d, d, s.b);
    }
  });
  s = group_sum(s, group);
  if (mean_out) {
    const C shift = s.a * part;
    mean += shift;
    s.b -= s.a * shift;
  }
  const C rstd = rsqrt_of((s.b < C(0) ? C(0) : s.b) * part + eps);
  if (lane == 0 && row < rows) {
    if (mean_out) mean_out[row] = mean;
    rstd_out[row] = rstd;
  }
  each([&](int64_t i, const Vec<T, V>& e) {
    Vec<T, V> scale, shift, out;
    if (w) scale = load_vec<T, V>(w + i * V);
    if (b) shift = load_vec<T, V>(b + i * V);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      C t = (convert<C>(e[k]) - mean) * rstd;
      if (w && b)
        t = fma_of(t, convert<C>(scale[k]), convert<C>(shift[k]));
      else if (w)
        t *= convert<C>(scale[k]);
      else if (b)
        t += convert<C>(shift[k]);
      out[k] = convert<T>(t);
    }
    store_vec(y + i * V, out);
  });
}

// What the backward reads; mean is null for rms norm, w and dx may be.
template <class T>
struct RowGradients {
  using C = Compute<T>;
  const T *x, *w, *dy;
  const C *mean, *rstd;
  T* dx;
  int64_t rows, n;
  C part;  // 1 / n
};

// The row's x, dy and w of one access: g w and xhat.
template <class T, int V>
struct Terms {
  using C = Compute<T>;
  C g[V], gw[V], xhat[V];
  CCDL_DEVICE Terms(const RowGradients<T>& p, const Vec<T, V>& vx, const Vec<T, V>& vg, int64_t i, C mean,
                    C rstd) {
    Vec<T, V> vw;
    if (p.w) vw = load_vec<T, V>(p.w + i * V);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      g[k] = convert<C>(vg[k]);
      xhat[k] = (convert<C>(vx[k]) - mean) * rstd;
      gw[k] = p.w ? g[k] * convert<C>(vw[k]) : g[k];
    }
  }
};

// dx and one partial row of column sums per block. D V group >= n; `group` threads per row. partial:
// [blocks][2][n].
template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    norm_backward_kernel(RowGradients<T> p, int group, Compute<T>* partial) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group, mine = static_cast<int>(threadIdx.x) / group;
  const int groups = static_cast<int>(blockDim.x) / group;
  const int64_t count = p.n / V, step = static_cast<int64_t>(gridDim.x) * groups;
  C dw[D][V] = {}, db[D][V] = {};
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * groups; first < p.rows; first += step) {
    const int64_t row = first + mine;
    const bool live = row < p.rows;
    const C mean = p.mean && live ? p.mean[row] : C(0), rstd = live ? p.rstd[row] : C(0);
    Vec<T, V> vx[D], vg[D];
#pragma unroll
    for (int d = 0; d < D; ++d) {
      const int64_t i = lane + d * group;
      if (live && i < count) {
        vx[d] = load_vec<T, V>(p.x + row * p.n + i * V);
        vg[d] = load_vec<T, V>(p.dy + row * p.n + i * V);
      }
    }
    Pair<C> s{0, 0};
#pragma unroll
    for (int d = 0; d < D; ++d) {
      const int64_t i = lane + d * group;
      if (!live || i >= count) continue;
      const Terms<T, V> t(p, vx[d], vg[d], i, mean, rstd);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        s.a += t.gw[k];
        s.b = fma_of(t.gw[k], t.xhat[k], s.b);
        dw[d][k] = fma_of(t.g[k], t.xhat[k], dw[d][k]);
        db[d][k] += t.g[k];
      }
    }
    if (!p.dx) continue;
    s = group_sum(s, group);
    const C c = p.mean ? s.a * p.part : C(0), slope = s.b * p.part;
#pragma unroll
    for (int d = 0; d < D; ++d) {
      const int64_t i = lane + d * group;
      if (!live || i >= count) continue;
      const Terms<T, V> t(p, vx[d], vg[d], i, mean, rstd);
      C out[V];
#pragma unroll
      for (int k = 0; k < V; ++k) out[k] = rstd * (t.gw[k] - c - t.xhat[k] * slope);
      store_row<V>(p.dx + row * p.n + i * V, out);
    }
  }
  // groups of one warp meet by shuffles, then the warps (or larger groups) one after the other in shared
  // memory
  for (int offset = group; offset < kWarp; offset *= 2) {
#pragma unroll
    for (int d = 0; d < D; ++d)
#pragma unroll
      for (int k = 0; k < V; ++k) {
        dw[d][k] += shuffle_xor(dw[d][k], offset);
        db[d][k] += shuffle_xor(db[d][k], offset);
      }
  }
  const int wide = most(group, kWarp), turns = static_cast<int>(blockDim.x) / wide;
  C* sums = turns == 1 ? partial + static_cast<int64_t>(blockIdx.x) * 2 * p.n : dyn_smem<C>();
  const int turn = static_cast<int>(threadIdx.x) / wide;
  const bool speaks = static_cast<int>(threadIdx.x) % wide < group;
  for (int now = 0; now < turns; ++now) {
#pragma unroll
    for (int d = 0; d < D; ++d) {
      const int64_t i = lane + d * group;
      if (now != turn || !speaks || i >= count) continue;
#pragma unroll
      for (int k = 0; k < V; ++k) {
        C *w = sums + i * V + k, *b = w + p.n;
        *w = now == 0 ? dw[d][k] : *w + dw[d][k];
        *b = now == 0 ? db[d][k] : *b + db[d][k];
      }
    }
    if (turns > 1) __syncthreads();  // the next one adds to these
  }
  if (turns == 1) return;
  for (int64_t i = threadIdx.x; i < 2 * p.n; i += blockDim.x)
    partial[static_cast<int64_t>(blockIdx.x) * 2 * p.n + i] = sums[i];
}

// dx alone, rows of any length.
template <class T, int V>
__global__ void __launch_bounds__(kMostThreads, 1) norm_dx_kernel(RowGradients<T> p, int group) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const int64_t count = row < p.rows ? p.n / V : 0, rest = lane + static_cast<int64_t>(D) * group;
  const C mean = p.mean && count ? p.mean[row] : C(0), rstd = count ? p.rstd[row] : C(0);
  const T *x = p.x + row * p.n, *dy = p.dy + row * p.n;
  Vec<T, V> vx[D], vg[D];
  Pair<C> s{0, 0};
  const auto add = [&](const Terms<T, V>& t) {
#pragma unroll
    for (int k = 0; k < V; ++k) {
      s.a += t.gw[k];
      s.b = fma_of(t.gw[k], t.xhat[k], s.b);
    }
  };
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i >= count) continue;
    vx[d] = load_vec<T, V>(x + i * V);
    vg[d] = load_vec<T, V>(dy + i * V);
    add(Terms<T, V>(p, vx[d], vg[d], i, mean, rstd));
  }
  for (int64_t i = rest; i < count; i += group)
    add(Terms<T, V>(p, load_vec<T, V>(x + i * V), load_vec<T, V>(dy + i * V), i, mean, rstd));
  s = group_sum(s, group);
  const C c = p.mean ? s.a * p.part : C(0), slope = s.b * p.part;
  const auto write = [&](int64_t i, const Terms<T, V>& t) {
    C out[V];
#pragma unroll
    for (int k = 0; k < V; ++k) out[k] = rstd * (t.gw[k] - c - t.xhat[k] * slope);
    store_row<V>(p.dx + row * p.n + i * V, out);
  };
#pragma unroll
  for (int d = 0; d < D; ++d) {
    const int64_t i = lane + static_cast<int64_t>(d) * group;
    if (i < count) write(i, Terms<T, V>(p, vx[d], vg[d], i, mean, rstd));
  }
  for (int64_t i = rest; i < count; i += group)
    write(i, Terms<T, V>(p, load_vec<T, V>(x + i * V), load_vec<T, V>(dy + i * V), i, mean, rstd));
}

// Column sums of the rows blockIdx.y, blockIdx.y + gridDim.y, ... into partial row blockIdx.y. 32 columns, 8
// rows at a time.
template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    norm_columns_kernel(RowGradients<T> p, Compute<T>* partial) {
  using C = Compute<T>;
  Columns s{1, p.rows, p.n, kWarp, kColumnThreads / kWarp};
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x % kWarp;
  const int lane = static_cast<int>(threadIdx.x) / kWarp;
  Pair<C> sum{0, 0};
  if (column < p.n) {
#pragma unroll 4
    for (int64_t r = blockIdx.y * s.lanes + lane; r < p.rows;
         r += static_cast<int64_t>(gridDim.y) * s.lanes) {
      const C g = convert<C>(p.dy[r * p.n + column]);
      const C mean = p.mean ? p.mean[r] : C(0);
      sum.a = fma_of(g, (convert<C>(p.x[r * p.n + column]) - mean) * p.rstd[r], sum.a);
      sum.b += g;
    }
  }
  sum = column_reduce(sum, PairSum(), s);
  if (lane != 0 || column >= p.n) return;
  partial[(static_cast<int64_t>(blockIdx.y) * 2) * p.n + column] = sum.a;
  partial[(static_cast<int64_t>(blockIdx.y) * 2 + 1) * p.n + column] = sum.b;
}

// Partial rows [blocks][2 n] added in order: columns below n are dw, the others db.
template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    norm_finish_kernel(const Compute<T>* partial, T* dw, T* db, int64_t n, Columns s) {
  const ColumnPlace at(s);
  double sum = 0;
#pragma unroll 4
  for (int64_t r = at.lane; r < at.end; r += s.lanes)
    sum += static_cast<double>(partial[at.base + r * s.inner]);
  sum = column_reduce(sum, SumOp(), s);
  if (at.lane != 0 || at.column >= s.inner) return;
  T* out = at.column < n ? dw : db;
  if (out) out[at.column < n ? at.column : at.column - n] = convert<T>(static_cast<Compute<T>>(sum));
}

int64_t partial_rows(int64_t m, int64_t n) {
  return std::clamp<int64_t>(ceil_div<int64_t>(m, 16), 1, n <= 4096 ? kPartialRows : kPartialRows / 2);
}

template <class T, int V>
void forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
             const View& rstd, double eps) {
  using C = Compute<T>;
  const int64_t rows = x.sizes[0], n = x.sizes[1];
  const RowConfig r = row_config(rows, n / V, kForwardDepth<V>, kMostThreads);
  CCDL_LAUNCH(r.launch(rows), (norm_rows_kernel<T, V>), x.ptr<const T>(), weight.ptr<const T>(),
              bias.ptr<const T>(), y.ptr<T>(), mean.ptr<C>(), rstd.ptr<C>(), rows, n, r.group,
              static_cast<C>(1.0 / static_cast<double>(n)), static_cast<C>(eps));
}

void rows_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                  const View& rstd, double eps) {
  if (x.sizes[0] == 0) return;
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const bool vector = x.sizes[1] % kLanes<T> == 0 && aligned16(x.data) && aligned16(y.data) &&
                        aligned16(weight.data) && aligned16(bias.data);
    vector ? forward<T, kLanes<T>>(x, weight, bias, y, mean, rstd, eps)
           : forward<T, 1>(x, weight, bias, y, mean, rstd, eps);
  });
}

template <class T, int V>
void backward(const RowGradients<T>& p, const View& dweight, const View& dbias, void* workspace) {
  using C = Compute<T>;
  constexpr int D = kDepth<V>;
  const bool columns = (dweight.data || dbias.data) && p.n > 0;
  const bool together = columns && p.rows > 0 && p.n <= int64_t{D} * V * kMostThreads;
  const int64_t blocks = p.rows > 0 ? partial_rows(p.rows, p.n) : 0;
  C* partial = static_cast<C*>(workspace);
  if (together) {
    const int64_t accesses = ceil_div<int64_t>(p.n / V, D);
    const int threads = accesses > kBackwardThreads ? kMostThreads : kBackwardThreads;
    const int group = pow2_at_least(accesses, threads);
    LaunchConfig c;
    c.grid = dim3(static_cast<unsigned>(blocks));
    c.block = dim3(static_cast<unsigned>(threads));
    c.smem = group < threads ? static_cast<size_t>(2 * p.n) * sizeof(C) : 0;
    CCDL_LAUNCH(c, (norm_backward_kernel<T, V>), p, group, partial);
  } else if (p.dx && p.rows > 0) {
    const RowConfig r = row_config(p.rows, p.n / V, D, kMostThreads);
    CCDL_LAUNCH(r.launch(p.rows), (norm_dx_kernel<T, V>), p, r.group);
  }
  if (!columns) return;
  if (!together && p.rows > 0) {
    LaunchConfig c;
    c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(p.n, kWarp)), static_cast<unsigned>(blocks));
    c.block = dim3(kColumnThreads);
    CCDL_LAUNCH(c, norm_columns_kernel<T>, p, partial);
  }
  Columns s{1, blocks, 2 * p.n, 0, 0};
  s.lanes = pow2_at_least(ceil_div<int64_t>(blocks, 8), 8);
  s.width = kWarp;
  CCDL_LAUNCH(s.launch(), norm_finish_kernel<T>, partial, dweight.ptr<T>(), dbias.ptr<T>(), p.n, s);
}

// Shared by layer norm and rms norm (mean.data == null).
void rows_backward(const View& x, const View& weight, const View& mean, const View& rstd, const View& dy,
                   const View& dx, const View& dweight, const View& dbias, void* workspace) {
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    const RowGradients<T> p{x.ptr<const T>(),
                            weight.ptr<const T>(),
                            dy.ptr<const T>(),
                            mean.ptr<const C>(),
                            rstd.ptr<const C>(),
                            dx.ptr<T>(),
                            x.sizes[0],
                            x.sizes[1],
                            static_cast<C>(1.0 / static_cast<double>(x.sizes[1]))};
    const bool vector = p.n % kLanes<T> == 0 && aligned16(x.data) && aligned16(weight.data) &&
                        aligned16(dy.data) && aligned16(dx.data);
    vector ? backward<T, kLanes<T>>(p, dweight, dbias, workspace)
           : backward<T, 1>(p, dweight, dbias, workspace);
  });
}

}  // namespace

int64_t layer_norm_workspace_bytes(int64_t m, int64_t n, DType t) {
  return partial_rows(m, n) * 2 * n * (t == DType::Float64 ? 8 : 4);
}

void layer_norm_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, double eps) {
  rows_forward(x, weight, bias, y, mean, rstd, eps);
}

void layer_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         void* workspace) {
  rows_backward(x, weight, mean, rstd, dy, dx, dweight, dbias, workspace);
}

void rms_norm_forward(const View& x, const View& weight, const View& y, const View& rstd, double eps) {
  rows_forward(x, weight, View{}, y, View{}, rstd, eps);
}

void rms_norm_backward(const View& x, const View& weight, const View& rstd, const View& dy, const View& dx,
                       const View& dweight, void* workspace) {
  rows_backward(x, weight, View{}, rstd, dy, dx, dweight, View{}, workspace);
}

}  // namespace ccdl::cu
