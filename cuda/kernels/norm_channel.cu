// Batch norm and group norm: sums per channel, or per group, by the reduction kernels (moments in one pass,
// chunks joined in a fixed order), then one elementwise pass with precomputed coefficients. Contiguous [N, C,
// S] and channels innermost alike. Bound: 3 N C S s bytes forward (2 with given statistics), 5 backward; the
// second read of small tensors comes from L2.
#include <ccdl/kernels/norm.h>

#include <kernels/reduce.cuh>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 256;

// y = (x - mean) scale + shift;  dx = dy scale + (x - mean) slope + shift
template <class C>
struct Coefficients {
  C mean, scale, shift, slope;
};

CCDL_DEVICE double rstd_of(double var, double eps) { return 1.0 / sqrt(var + eps); }

// Geometry of [N, C, S] in either layout.
struct Channels {
  int64_t n, c, s;
  bool last;  // channel c of position r is at r C + c
  explicit Channels(const View& x) : n(x.sizes[0]), c(x.sizes[1]), s(x.sizes[2]) {
    last = c > 1 && (s == 1 || (x.strides[1] == 1 && x.strides[2] == c));
  }
};

// The view [N, C, S] is read through; results are numbered by channel.
View reduced_view(const View& x, int64_t kept_dim) {
  View y{};
  y.ndim = x.ndim;
  for (int d = 0; d < x.ndim; ++d) {
    y.sizes[d] = d == kept_dim ? x.sizes[d] : 1;
    y.strides[d] = 1;
  }
  return y;
}
// A contiguous tensor as [rows, n].
View as_rows(const View& x, int64_t rows, int64_t n) {
  View v = x;
  v.ndim = 2;
  v.sizes[0] = rows;
  v.sizes[1] = n;
  v.strides[0] = n;
  v.strides[1] = 1;
  return v;
}

// Where 16-byte accesses to both may start, or -1.
template <class T>
int same_phase(const View& x, const View& dy) {
  return phase_of<T>(x.data) == phase_of<T>(dy.data) ? phase_of<T>(x.data) : -1;
}

template <class T>
struct BatchStatistics : MomentsPolicy<T> {
  using C = Compute<T>;
  FloatRef weight, bias, running_mean, running_var, mean, rstd;
  double momentum, eps;
  Coefficients<C>* out;

  CCDL_DEVICE void store(const Moments& m, int64_t, const int64_t (&at)[3]) const {
    const int64_t c = at[1];
    const double r = rstd_of(m.n > 0 ? m.m2 / m.n : 0.0, eps);
    mean.set(c, m.mean);
    rstd.set(c, r);
    out[c] = {static_cast<C>(m.mean), static_cast<C>(r * weight.get_or(c, 1)),
              static_cast<C>(bias.get_or(c, 0)), C(0)};
    if (m.n == 0) return;
    if (running_mean.data) running_mean.set(c, (1 - momentum) * running_mean.get(c) + momentum * m.mean);
    if (running_var.data)
      running_var.set(c, (1 - momentum) * running_var.get(c) + momentum * (m.m2 / (m.n - 1)));
  }
};

template <class T>
struct GroupStatistics : MomentsPolicy<T> {
  FloatRef mean, rstd;
  double eps;
  CCDL_DEVICE void store(const Moments& m, int64_t, const int64_t (&at)[3]) const {
    mean.set(at[1], m.mean);
    rstd.set(at[1], rstd_of(m.m2 / m.n, eps));
  }
};

// sum dy and sum dy (x - mean); a 16-byte access is added in the compute type, then in double.
template <class T>
struct GradientSums {
  using C = Compute<T>;
  struct State {
    double sum, dot;
    C mean;
  };
  using Acc = Pair<double>;
  static constexpr int kVec = kLanes<T>;
  const T *x, *dy;
  const C* mean;
  Splitter per_mean;  // outputs that share a mean

  CCDL_DEVICE State start(int64_t o) const { return {0, 0, mean[per_mean.div(o)]}; }
  CCDL_DEVICE Acc close(const State& s) const { return {s.sum, s.dot}; }
  CCDL_DEVICE Acc empty() const { return {0, 0}; }
  CCDL_DEVICE Acc join(const Acc& a, const Acc& b) const { return {a.a + b.a, a.b + b.b}; }
  CCDL_DEVICE void vec(State& s, int64_t at, int64_t) const {
    C v[kVec], g[kVec], sum = 0, dot = 0;
    load_row<kVec>(x + at, v);
    load_row<kVec>(dy + at, g);
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      sum += g[k];
      dot = fma_of(g[k], v[k] - s.mean, dot);
    }
    s.sum += static_cast<double>(sum);
    s.dot += static_cast<double>(dot);
  }
  CCDL_DEVICE void one(State& s, int64_t at, int64_t) const {
    const C g = convert<C>(dy[at]);
    s.sum += static_cast<double>(g);
    s.dot += static_cast<double>(g * (convert<C>(x[at]) - s.mean));
  }
};

template <class T>
struct BatchGradients : GradientSums<T> {
  using C = Compute<T>;
  FloatRef weight, rstd, dweight, dbias;
  double count;
  bool train;
  Coefficients<C>* out;

  CCDL_DEVICE void store(const Pair<double>& sums, int64_t, const int64_t (&at)[3]) const {
    const int64_t c = at[1];
    const double r = rstd.get(c), scale = r * weight.get_or(c, 1);
    if (dweight.data) dweight.set(c, sums.b * r);
    if (dbias.data) dbias.set(c, sums.a);
    out[c] = {this->mean[c], static_cast<C>(scale), train ? static_cast<C>(-scale * sums.a / count) : C(0),
              train ? static_cast<C>(-scale * r * r * sums.b / count) : C(0)};
  }
};

template <class T>
struct PlaneGradients : GradientSums<T> {
  double* out;  // [planes, 2]
  CCDL_DEVICE void store(const Pair<double>& sums, int64_t, const int64_t (&at)[3]) const {
    out[2 * at[1]] = sums.a;
    out[2 * at[1] + 1] = sums.b;
  }
};

// Which coefficients an element takes: channels innermost, its place in the row of C; else its plane of S
// elements, modulo the number of coefficients.
struct Selector {
  Splitter row;  // C, or S
  Splitter period;
  bool last;
};

// dy == nullptr: y from x; else dx from x and dy.
template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    norm_apply_kernel(const T* x, const T* dy, T* y, const Coefficients<Compute<T>>* coefficients, Selector s,
                      int64_t n) {
  using C = Compute<T>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
  if (i >= n) return;
  const int64_t first = s.last ? s.row.mod(i) : s.period.mod(s.row.div(i));
  C v[V], g[V];
  load_row<V>(x + i, v);
  if (dy) load_row<V>(dy + i, g);
  Coefficients<C> c = coefficients[first];
#pragma unroll
  for (int k = 0; k < V; ++k) {
    if (s.last && k > 0) c = coefficients[first + k];
    const C d = v[k] - c.mean;
    v[k] = dy ? fma_of(g[k], c.scale, fma_of(d, c.slope, c.shift)) : fma_of(d, c.scale, c.shift);
  }
  store_row<V>(y + i, v);
}

template <class T, int V>
void launch_apply(const View& x, const View& dy, const View& y, const Coefficients<Compute<T>>* coefficients,
                  const Selector& s) {
  const int64_t n = x.numel();
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(n, int64_t{kThreads} * V)));
  c.block = dim3(kThreads);
  CCDL_LAUNCH(c, (norm_apply_kernel<T, V>), x.ptr<const T>(), dy.ptr<const T>(), y.ptr<T>(), coefficients, s,
              n);
}

template <class T>
void apply(const Channels& g, bool last, int64_t period, const View& x, const View& dy, const View& y,
           const Coefficients<Compute<T>>* coefficients) {
  const int64_t n = x.numel(), row = last ? g.c : g.s;
  if (n == 0) return;
  const Selector s{Splitter(row, n), Splitter(period, n), last};
  const bool vector = row % kLanes<T> == 0 && aligned16(x.data) && aligned16(dy.data) && aligned16(y.data);
  vector ? launch_apply<T, kLanes<T>>(x, dy, y, coefficients, s)
         : launch_apply<T, 1>(x, dy, y, coefficients, s);
}

LaunchConfig per_item(int64_t items, int threads_each) {
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(items * threads_each, kThreads)));
  c.block = dim3(kThreads);
  return c;
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    running_coefficients_kernel(FloatRef weight, FloatRef bias, FloatRef mean, FloatRef var, double eps,
                                int64_t channels, Coefficients<C>* out) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (c >= channels) return;
  out[c] = {static_cast<C>(mean.get(c)), static_cast<C>(rstd_of(var.get(c), eps) * weight.get_or(c, 1)),
            static_cast<C>(bias.get_or(c, 0)), C(0)};
}

// One thread per plane of [N, C].
template <class C>
__global__ void __launch_bounds__(kThreads)
    group_coefficients_kernel(FloatRef weight, FloatRef bias, const C* mean, const C* rstd, int64_t planes,
                              int64_t channels, int64_t per_group, Coefficients<C>* out) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (k >= planes) return;
  const int64_t c = k % channels, row = k / per_group;
  out[k] = {mean[row], static_cast<C>(static_cast<double>(rstd[row]) * weight.get_or(c, 1)),
            static_cast<C>(bias.get_or(c, 0)), C(0)};
}

// One warp per group: its planes' sums, weighted, give the coefficients of all its planes.
template <class C>
__global__ void __launch_bounds__(kThreads)
    group_gradient_coefficients_kernel(FloatRef weight, const C* mean, const C* rstd, const double* sums,
                                       int64_t rows, int64_t groups, int64_t per_group, double size,
                                       Coefficients<C>* out) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (row >= rows) return;  // whole warps
  const int64_t first = row % groups * per_group;
  Pair<double> s{0, 0};
  for (int64_t j = lane; j < per_group; j += kWarp) {
    const int64_t k = row * per_group + j;
    const double w = weight.get_or(first + j, 1);
    s.a += w * sums[2 * k];
    s.b += w * sums[2 * k + 1];
  }
  s = group_sum(s, kWarp);
  const double r = static_cast<double>(rstd[row]);
  for (int64_t j = lane; j < per_group; j += kWarp)
    out[row * per_group + j] = {mean[row], static_cast<C>(r * weight.get_or(first + j, 1)),
                                static_cast<C>(-r * s.a / size), static_cast<C>(-r * r * r * s.b / size)};
}

// dweight and dbias of group norm: the planes' sums over the images.
template <class C>
__global__ void __launch_bounds__(kColumnThreads)
    group_weight_gradient_kernel(const double* sums, const C* rstd, int64_t per_group, FloatRef dweight,
                                 FloatRef dbias, Columns s) {
  const ColumnPlace at(s);
  Pair<double> sum{0, 0};
  for (int64_t i = at.lane; i < at.end; i += s.lanes) {
    const int64_t k = at.base + i * s.inner;
    sum.a += sums[2 * k + 1] * static_cast<double>(rstd[k / per_group]);
    sum.b += sums[2 * k];
  }
  sum = column_reduce(sum, PairSum(), s);
  if (at.lane != 0 || at.column >= s.inner) return;
  if (dweight.data) dweight.set(at.column, sum.a);
  if (dbias.data) dbias.set(at.column, sum.b);
}

}  // namespace

void batch_norm_forward_train(const View& x, const View& weight, const View& bias, const View& running_mean,
                              const View& running_var, const View& y, const View& mean, const View& rstd,
                              double momentum, double eps) {
  const Channels g(x);
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    const Scratch coefficients(g.c * static_cast<int64_t>(sizeof(Coefficients<C>)));
    BatchStatistics<T> policy;
    policy.x = x.ptr<const T>();
    policy.weight = FloatRef(weight);
    policy.bias = FloatRef(bias);
    policy.running_mean = FloatRef(running_mean);
    policy.running_var = FloatRef(running_var);
    policy.mean = FloatRef(mean);
    policy.rstd = FloatRef(rstd);
    policy.momentum = momentum;
    policy.eps = eps;
    policy.out = coefficients.ptr<Coefficients<C>>();
    run_reduction(x, reduced_view(x, 1), View{}, policy, phase_of<T>(x.data));
    apply<T>(g, g.last, g.c, x, View{}, y, policy.out);
  });
}

void batch_norm_forward_eval(const View& x, const View& weight, const View& bias, const View& running_mean,
                             const View& running_var, const View& y, double eps) {
  const Channels g(x);
  if (g.c == 0) return;
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    const Scratch coefficients(g.c * static_cast<int64_t>(sizeof(Coefficients<C>)));
    CCDL_LAUNCH(per_item(g.c, 1), running_coefficients_kernel<C>, FloatRef(weight), FloatRef(bias),
                FloatRef(running_mean), FloatRef(running_var), eps, g.c, coefficients.ptr<Coefficients<C>>());
    apply<T>(g, g.last, g.c, x, View{}, y, coefficients.ptr<Coefficients<C>>());
  });
}

void batch_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias, bool train) {
  const Channels g(x);
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    const Scratch coefficients(g.c * static_cast<int64_t>(sizeof(Coefficients<C>)));
    BatchGradients<T> policy;
    policy.x = x.ptr<const T>();
    policy.dy = dy.ptr<const T>();
    policy.mean = mean.ptr<const C>();
    policy.weight = FloatRef(weight);
    policy.rstd = FloatRef(rstd);
    policy.dweight = FloatRef(dweight);
    policy.dbias = FloatRef(dbias);
    policy.count = static_cast<double>(g.n * g.s);
    policy.train = train;
    policy.out = coefficients.ptr<Coefficients<C>>();
    policy.per_mean = Splitter(1, g.c);
    run_reduction(x, reduced_view(x, 1), View{}, policy, same_phase<T>(x, dy));
    if (dx.data) apply<T>(g, g.last, g.c, x, dy, dx, policy.out);
  });
}

void group_norm_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, int64_t groups, double eps) {
  const Channels g(x);
  const int64_t planes = g.n * g.c, per_group = g.c / groups;
  if (planes == 0) return;
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    const Scratch coefficients(planes * static_cast<int64_t>(sizeof(Coefficients<C>)));
    const View rows = as_rows(x, g.n * groups, per_group * g.s);
    GroupStatistics<T> policy;
    policy.x = x.ptr<const T>();
    policy.mean = FloatRef(mean);
    policy.rstd = FloatRef(rstd);
    policy.eps = eps;
    run_reduction(rows, reduced_view(rows, 0), View{}, policy, phase_of<T>(x.data));
    CCDL_LAUNCH(per_item(planes, 1), group_coefficients_kernel<C>, FloatRef(weight), FloatRef(bias),
                mean.ptr<const C>(), rstd.ptr<const C>(), planes, g.c, per_group,
                coefficients.ptr<Coefficients<C>>());
    apply<T>(g, false, planes, x, View{}, y, coefficients.ptr<Coefficients<C>>());
  });
}

void group_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         int64_t groups, void* workspace) {
  const Channels g(x);
  const int64_t planes = g.n * g.c, per_group = g.c / groups;
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    const View rows = as_rows(x, planes, g.s);
    PlaneGradients<T> policy;
    policy.x = x.ptr<const T>();
    policy.dy = dy.ptr<const T>();
    policy.mean = mean.ptr<const C>();
    policy.per_mean = Splitter(per_group > 0 ? per_group : 1, planes);
    policy.out = static_cast<double*>(workspace);
    run_reduction(rows, reduced_view(rows, 0), View{}, policy, same_phase<T>(x, dy));
    if (dx.data && planes > 0) {
      const Scratch coefficients(planes * static_cast<int64_t>(sizeof(Coefficients<C>)));
      CCDL_LAUNCH(per_item(g.n * groups, kWarp), group_gradient_coefficients_kernel<C>, FloatRef(weight),
                  mean.ptr<const C>(), rstd.ptr<const C>(), policy.out, g.n * groups, groups, per_group,
                  static_cast<double>(per_group * g.s), coefficients.ptr<Coefficients<C>>());
      apply<T>(g, false, planes, x, dy, dx, coefficients.ptr<Coefficients<C>>());
    }
    if ((!dweight.data && !dbias.data) || g.c == 0) return;
    const Columns s = columns_of(1, g.n, g.c);
    CCDL_LAUNCH(s.launch(), group_weight_gradient_kernel<C>, policy.out, rstd.ptr<const C>(), per_group,
                FloatRef(dweight), FloatRef(dbias), s);
  });
}

}  // namespace ccdl::cu
