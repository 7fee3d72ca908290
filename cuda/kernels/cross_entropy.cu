// Cross-entropy with class numbers and the negative log likelihood. Forward: one online pass over the logits
// (part of a warp, a warp or a block per row; columns when S > 1), the loss of the row at its end; losses and
// target weights are then summed in double in a fixed order. Backward: one elementwise pass from the saved
// logsumexp; nll writes zeros and the one slope together. Bound: N C S s bytes forward, 2 N C S s backward.
#include <algorithm>

#include <kernels/cross_entropy.cuh>

namespace ccdl::cu {
namespace {

constexpr int kMostThreads = 512;
constexpr int kDepth = 8;  // accesses per lane that still fit a warp per row

struct Labels {
  const int64_t* target;
  int64_t ignore, n;
  FloatRef weight;
  double smoothing;
  const double* weights;  // their sum on the device; null: all ones
  FaultSink sink;

  CCDL_DEVICE bool valid(int64_t c) const { return c >= 0 && c < n; }
  CCDL_DEVICE double weight_sum() const { return weights ? *weights : static_cast<double>(n); }
  CCDL_DEVICE double share() const { return smoothing / static_cast<double>(n); }
};

// What the forward writes for each row.
struct RowLoss {
  FloatRef lse, losses, each;  // each: the unreduced output, or nothing
  // x(c) reads class c of the row.
  template <class F>
  CCDL_DEVICE void finish(const Labels& l, int64_t row, double log_sum, double weighted, const F& x) const {
    const int64_t c = l.target[row];
    double loss = 0;
    if (c != l.ignore && !l.valid(c)) {
      l.sink.report(FaultKind::Label, c, l.n);
    } else if (c != l.ignore) {
      loss = (1 - l.smoothing) * l.weight.get_or(c, 1) * (log_sum - static_cast<double>(x(c)));
      if (l.smoothing != 0) loss += l.share() * (l.weight_sum() * log_sum - weighted);
    }
    lse.set(row, log_sum);
    losses.set(row, loss);
    if (each.data) each.set(row, loss);
  }
};

template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    cross_entropy_rows_kernel(const T* x, const T* w, Labels labels, RowLoss out, int64_t rows, int group,
                              int phase) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                      static_cast<int>(threadIdx.x) / group;
  const RowCut<V> cut(row < rows ? labels.n : 0, phase + row * labels.n);
  x += row * labels.n;
  Online<C> all = online_empty<C>();
  C weighted = 0;
  const bool smooth = labels.smoothing != 0;
  if (const int64_t i = cut.edge(lane); i >= 0) {
    const C t[1] = {convert<C>(x[i])};
    online_add(all, t);
    if (smooth) weighted = w ? convert<C>(w[i]) * t[0] : t[0];
  }
#pragma unroll 2
  for (int64_t a = lane; a < cut.count; a += group) {
    const int64_t i = cut.head + a * V;
    C t[V];
    load_row<V>(x + i, t);
    online_add(all, t);
    if (smooth) {
#pragma unroll
      for (int k = 0; k < V; ++k)
        weighted = w ? fma_of(convert<C>(w[i + k]), t[k], weighted) : weighted + t[k];
    }
  }
  all = proper(group_reduce(all, OnlineJoin(), group, online_empty<C>()));
  if (smooth) weighted = group_sum(weighted, group);
  if (lane != 0 || row >= rows) return;
  out.finish(labels, row, static_cast<double>(all.max) + log(static_cast<double>(all.sum)),
             static_cast<double>(weighted), [&](int64_t c) { return convert<C>(x[c]); });
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    cross_entropy_columns_kernel(const T* x, const T* w, Labels labels, RowLoss out, Columns s) {
  using C = Compute<T>;
  const ColumnPlace at(s);
  Online<C> all = online_empty<C>();
  C weighted = 0;
  for (int64_t j = at.lane; j < at.end; j += 4 * s.lanes) {
    C t[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t c = j + k * s.lanes;
      t[k] = c < at.end ? convert<C>(x[at.base + c * s.inner]) : -C(kInfinity);
      if (labels.smoothing != 0 && c < at.end)
        weighted = w ? fma_of(convert<C>(w[c]), t[k], weighted) : weighted + t[k];
    }
    online_add(all, t);
  }
  all = proper(column_reduce(all, OnlineJoin(), s));
  if (labels.smoothing != 0) weighted = column_reduce(weighted, SumOp(), s);
  if (at.lane != 0 || at.column >= s.inner) return;
  out.finish(labels, at.slab * s.inner + at.column,
             static_cast<double>(all.max) + log(static_cast<double>(all.sum)), static_cast<double>(weighted),
             [&](int64_t c) { return convert<C>(x[at.base + c * s.inner]); });
}

// dx_c = scale exp(x_c - lse) - minus w_c - hit [c == target]
template <class C>
struct Slope {
  C lse, scale, minus, hit;
  int64_t target;  // -1: the row is ignored or its class is bad, all zeros

  CCDL_DEVICE Slope(const Labels& l, const FloatRef& lse_of, const RowGradient& dout, int64_t row) {
    target = l.target[row];
    if (target == l.ignore || !l.valid(target)) target = -1;
    const double g = target >= 0 ? dout.get(row) : 0;
    const double h = target >= 0 ? g * (1 - l.smoothing) * l.weight.get_or(target, 1) : 0;
    lse = lse_of.data ? static_cast<C>(lse_of.get(row)) : C(0);
    scale = static_cast<C>(h + g * l.share() * l.weight_sum());
    minus = static_cast<C>(g * l.share());
    hit = static_cast<C>(h);
  }
  CCDL_DEVICE C probability_part(C x) const { return scale * exp_of(x - lse); }
  template <class T>
  CCDL_DEVICE C at(int64_t c, C rest, const T* w) const {
    if (target < 0) return C(0);
    if (minus != C(0)) rest -= w ? minus * convert<C>(w[c]) : minus;
    return c == target ? rest - hit : rest;
  }
};

// x == nullptr: nll. `group` threads take `chunk` accesses of a row; its first ones take the edges too.
template <class T, int V>
__global__ void __launch_bounds__(kMostThreads)
    cross_entropy_rows_backward_kernel(const T* x, const T* w, Labels labels, FloatRef lse, RowGradient dout,
                                       T* dx, int64_t rows, int group, int64_t chunk, int phase) {
  using C = Compute<T>;
  const int64_t n = labels.n, pieces = most<int64_t>(ceil_div<int64_t>(n / V, chunk), 1);
  const int lane = static_cast<int>(threadIdx.x) % group;
  const int64_t unit = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / group) +
                       static_cast<int>(threadIdx.x) / group;
  const int64_t row = pieces == 1 ? unit : unit / pieces;
  if (row >= rows) return;
  const int64_t begin = (unit - row * pieces) * chunk;
  const RowCut<V> cut(n, phase + row * n);
  const int64_t end = least(cut.count, begin + chunk);
  const Slope<C> slope(labels, lse, dout, row);
  const int64_t base = row * n;
  if (const int64_t i = cut.edge(lane); i >= 0 && begin == 0)
    dx[base + i] = convert<T>(slope.at(i, x ? slope.probability_part(convert<C>(x[base + i])) : C(0), w));
#pragma unroll 2
  for (int64_t a = begin + lane; a < end; a += group) {
    const int64_t i = cut.head + a * V;
    C t[V];
    if (x) load_row<V>(x + base + i, t);
#pragma unroll
    for (int k = 0; k < V; ++k) t[k] = slope.at(i + k, x ? slope.probability_part(t[k]) : C(0), w);
    store_row<V>(dx + base + i, t);
  }
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    cross_entropy_columns_backward_kernel(const T* x, const T* w, Labels labels, FloatRef lse,
                                          RowGradient dout, T* dx, Columns s) {
  using C = Compute<T>;
  const ColumnPlace at(s);
  if (at.end == 0) return;
  const Slope<C> slope(labels, lse, dout, at.slab * s.inner + at.column);
#pragma unroll 4
  for (int64_t c = at.lane; c < at.end; c += s.lanes) {
    const int64_t i = at.base + c * s.inner;
    dx[i] = convert<T>(slope.at(c, x ? slope.probability_part(convert<C>(x[i])) : C(0), w));
  }
}

// ---- sums over the rows ----
constexpr int64_t kRowsPerBlock = 8192;
constexpr int kSumThreads = 256;

// Sum of losses and of target weights; for nll (x given) the losses are gathered here.
template <class T>
__global__ void __launch_bounds__(kSumThreads)
    loss_sums_kernel(const T* x, Labels labels, FloatRef losses, FloatRef each, int64_t rows, int64_t inner,
                     Pair<double>* partial) {
  Pair<double> sum{0, 0};
  const int64_t begin = blockIdx.x * kRowsPerBlock, end = least(rows, begin + kRowsPerBlock);
  for (int64_t r = begin + threadIdx.x; r < end; r += blockDim.x) {
    const int64_t c = labels.target[r];
    const bool used = c != labels.ignore && labels.valid(c);
    const double w = used ? labels.weight.get_or(c, 1) : 0;
    double loss = 0;
    if (!x) {
      loss = losses.get(r);
    } else if (used) {
      loss = -w * static_cast<double>(convert<Compute<T>>(x[(r / inner * labels.n + c) * inner + r % inner]));
    } else if (c != labels.ignore) {
      labels.sink.report(FaultKind::Label, c, labels.n);
    }
    if (each.data) each.set(r, loss);
    sum.a += loss;
    sum.b += w;
  }
  sum = group_sum(sum, kSumThreads);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kSumThreads) weight_sum_kernel(FloatRef weight, int64_t n, double* sum) {
  double total = 0;
  for (int64_t c = threadIdx.x; c < n; c += kSumThreads) total += weight.get(c);
  total = group_sum(total, kSumThreads);
  if (threadIdx.x == 0) *sum = total;
}

// The sum of the weights on the device, where smoothing needs it.
struct WeightSum {
  Scratch memory;
  const double* ptr = nullptr;
  WeightSum(const View& weight, int64_t n, double smoothing) : memory(sizeof(double)) {
    if (smoothing == 0 || !weight.data) return;
    LaunchConfig c;
    c.block = dim3(kSumThreads);
    CCDL_LAUNCH(c, weight_sum_kernel, FloatRef(weight), n, memory.ptr<double>());
    ptr = memory.ptr<const double>();
  }
};

Labels labels_of(const View& target, const View& weight, int64_t n, int64_t ignore, double smoothing,
                 const double* weights) {
  return {target.ptr<const int64_t>(), ignore, n, FloatRef(weight), smoothing, weights, fault_sink()};
}

template <class T>
void sum_losses(const View* x, const Labels& labels, const View& losses, const View& out, const View& total,
                int64_t rows, int64_t inner, LossReduction reduction) {
  const int64_t blocks = std::max<int64_t>(ceil_div(rows, kRowsPerBlock), 1);
  const Scratch partial(blocks * static_cast<int64_t>(sizeof(Pair<double>)));
  const bool none = reduction == LossReduction::None;
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(blocks));
  c.block = dim3(kSumThreads);
  CCDL_LAUNCH(c, loss_sums_kernel<T>, x ? x->ptr<const T>() : nullptr, labels, FloatRef(losses),
              x && none ? FloatRef(out) : FloatRef(), rows, inner, partial.ptr<Pair<double>>());
  finish_loss(partial.ptr<const Pair<double>>(), blocks, none ? View{} : out, total.ptr<double>(), reduction,
              -1);
}

template <class T, int V>
void forward_rows(const View& x, const View& weight, const Labels& labels, const RowLoss& out) {
  const RowConfig r = row_config(x.sizes[0], x.sizes[1] / V, kDepth, kMostThreads, V);
  CCDL_LAUNCH(r.launch(x.sizes[0]), (cross_entropy_rows_kernel<T, V>), x.ptr<const T>(),
              weight.ptr<const T>(), labels, out, x.sizes[0], r.group, phase_of<T>(x.data));
}

template <class T, int V>
void backward_rows(const View& x, const View& weight, const Labels& labels, const View& lse,
                   const RowGradient& dout, const View& dx) {
  const int64_t rows = dx.sizes[0], accesses = dx.sizes[1] / V;
  const RowConfig r = row_config(rows, accesses, kDepth, kMostThreads, V);
  const int64_t chunk = r.group <= kWarp ? std::max<int64_t>(accesses, 1) : int64_t{r.group} * kDepth;
  CCDL_LAUNCH(r.launch(rows * std::max<int64_t>(ceil_div(accesses, chunk), 1)),
              (cross_entropy_rows_backward_kernel<T, V>), x.ptr<const T>(), weight.ptr<const T>(), labels,
              FloatRef(lse), dout, dx.ptr<T>(), rows, r.group, chunk, phase_of<T>(dx.data));
}

void backward(const View& x, const View& weight, const Labels& labels, const View& lse,
              const RowGradient& dout, const View& dx) {
  if (dx.numel() == 0) return;
  by_float(dx.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (dx.sizes[2] != 1) {
      const Columns s = columns_of(dx.sizes[0], dx.sizes[1], dx.sizes[2]);
      CCDL_LAUNCH(s.launch(), cross_entropy_columns_backward_kernel<T>, x.ptr<const T>(),
                  weight.ptr<const T>(), labels, FloatRef(lse), dout, dx.ptr<T>(), s);
    } else if (row_accesses<T>(dx.sizes[1]) && (!x.data || phase_of<T>(x.data) == phase_of<T>(dx.data))) {
      backward_rows<T, kLanes<T>>(x, weight, labels, lse, dout, dx);
    } else {
      backward_rows<T, 1>(x, weight, labels, lse, dout, dx);
    }
  });
}

}  // namespace

int64_t cross_entropy_forward(const View& x, const View& target, const View& weight, const View& out,
                              const View& lse, const View& losses, const View& total, LossReduction reduction,
                              int64_t ignore_index, double smoothing) {
  const int64_t rows = x.sizes[0] * x.sizes[2];
  const WeightSum weights(weight, x.sizes[1], smoothing);
  const Labels labels = labels_of(target, weight, x.sizes[1], ignore_index, smoothing, weights.ptr);
  const RowLoss row_loss{FloatRef(lse), FloatRef(losses),
                         reduction == LossReduction::None ? FloatRef(out) : FloatRef()};
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (rows > 0 && x.sizes[2] != 1) {
      const Columns s = columns_of(x.sizes[0], x.sizes[1], x.sizes[2]);
      CCDL_LAUNCH(s.launch(), cross_entropy_columns_kernel<T>, x.ptr<const T>(), weight.ptr<const T>(),
                  labels, row_loss, s);
    } else if (rows > 0 && row_accesses<T>(x.sizes[1])) {
      forward_rows<T, kLanes<T>>(x, weight, labels, row_loss);
    } else if (rows > 0) {
      forward_rows<T, 1>(x, weight, labels, row_loss);
    }
    sum_losses<T>(nullptr, labels, losses, out, total, rows, x.sizes[2], reduction);
  });
  return -1;
}

void cross_entropy_backward(const View& x, const View& target, const View& weight, const View& lse,
                            const View& total, const View& dout, const View& dx, LossReduction reduction,
                            int64_t ignore_index, double smoothing) {
  const WeightSum weights(weight, x.sizes[1], smoothing);
  backward(x, weight, labels_of(target, weight, x.sizes[1], ignore_index, smoothing, weights.ptr), lse,
           {FloatRef(dout), total.ptr<const double>(), 1, reduction}, dx);
}

int64_t nll_loss_forward(const View& x, const View& target, const View& weight, const View& out,
                         const View& total, LossReduction reduction, int64_t ignore_index) {
  by_float(x.dtype, [&](auto tag) {
    sum_losses<decltype(tag)>(&x, labels_of(target, weight, x.sizes[1], ignore_index, 0, nullptr), View{},
                              out, total, x.sizes[0] * x.sizes[2], x.sizes[2], reduction);
  });
  return -1;
}

void nll_loss_backward(const View& target, const View& weight, const View& total, const View& dout,
                       const View& dx, LossReduction reduction, int64_t ignore_index) {
  backward(View{}, weight, labels_of(target, weight, dx.sizes[1], ignore_index, 0, nullptr), View{},
           {FloatRef(dout), total.ptr<const double>(), 1, reduction}, dx);
}

}  // namespace ccdl::cu
