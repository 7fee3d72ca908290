// Cross-entropy against class probabilities: a few threads per row (or per column when S > 1) take an online
// pass over the logits, then one over logits and targets. Bound: 3 N C S s bytes forward, 4 backward; the
// second read of a row comes from cache.
#include <kernels/cross_entropy.cuh>

namespace ccdl::cu {
namespace {

constexpr int64_t kRowsPerBlock = 8192;

// Target mass of class c after smoothing and weighting: (keep t + add) w_c.
template <class T>
struct SoftTarget {
  using C = Compute<T>;
  const T *t, *w;
  C keep, add;
  CCDL_DEVICE C at(int64_t i, int64_t c) const {
    const C p = keep * convert<C>(t[i]) + add;
    return w ? p * convert<C>(w[c]) : p;
  }
};

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    cross_entropy_prob_kernel(const T* x, SoftTarget<T> target, FloatRef lse, FloatRef losses, FloatRef each,
                              Columns s) {
  using C = Compute<T>;
  const ColumnPlace at(s);
  Online<C> all = online_empty<C>();
  for (int64_t j = at.lane; j < at.end; j += 4 * s.lanes) {
    C t[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t c = j + k * s.lanes;
      t[k] = c < at.end ? convert<C>(x[at.base + c * s.inner]) : -C(kInfinity);
    }
    online_add(all, t);
  }
  all = proper(column_reduce(all, OnlineJoin(), s));
  const double log_sum = static_cast<double>(all.max) + log(static_cast<double>(all.sum));
  double loss = 0;
#pragma unroll 4
  for (int64_t c = at.lane; c < at.end; c += s.lanes) {
    const int64_t i = at.base + c * s.inner;
    loss += static_cast<double>(target.at(i, c)) * (log_sum - static_cast<double>(convert<C>(x[i])));
  }
  loss = column_reduce(loss, SumOp(), s);
  if (at.lane != 0 || at.column >= s.inner) return;
  const int64_t row = at.slab * s.inner + at.column;
  lse.set(row, log_sum);
  losses.set(row, loss);
  if (each.data) each.set(row, loss);
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    cross_entropy_prob_backward_kernel(const T* x, SoftTarget<T> target, FloatRef lse, RowGradient dout,
                                       T* dx, Columns s) {
  using C = Compute<T>;
  const ColumnPlace at(s);
  const int64_t row = at.slab * s.inner + at.column;
  const double g = at.end > 0 ? dout.get(row) : 0;
  double mass = 0;
#pragma unroll 2
  for (int64_t c = at.lane; c < at.end; c += s.lanes)
    mass += static_cast<double>(target.at(at.base + c * s.inner, c));
  mass = column_reduce(mass, SumOp(), s);
  if (at.end == 0) return;
  const C l = static_cast<C>(lse.get(row)), scale = static_cast<C>(g * mass), slope = static_cast<C>(g);
#pragma unroll 2
  for (int64_t c = at.lane; c < at.end; c += s.lanes) {
    const int64_t i = at.base + c * s.inner;
    dx[i] = convert<T>(scale * exp_of(convert<C>(x[i]) - l) - slope * target.at(i, c));
  }
}

__global__ void __launch_bounds__(256) row_sums_kernel(FloatRef losses, int64_t rows, Pair<double>* partial) {
  Pair<double> sum{0, 0};
  const int64_t begin = blockIdx.x * kRowsPerBlock, end = least(rows, begin + kRowsPerBlock);
  for (int64_t r = begin + threadIdx.x; r < end; r += blockDim.x) sum.a += losses.get(r);
  sum = group_sum(sum, static_cast<int>(blockDim.x));
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(256)
    finish_loss_kernel(const Pair<double>* partial, int64_t blocks, FloatRef out, double* total,
                       LossReduction reduction, double count) {
  Pair<double> sum{0, 0};
  for (int64_t b = threadIdx.x; b < blocks; b += blockDim.x) sum = PairSum()(sum, partial[b]);
  sum = group_sum(sum, static_cast<int>(blockDim.x));
  if (threadIdx.x != 0) return;
  if (total) *total = sum.b;
  const double divisor = count >= 0 ? count : sum.b;
  if (out.data) out.set(0, reduction == LossReduction::Mean ? sum.a / divisor : sum.a);
}

template <class T>
SoftTarget<T> soft_target(const View& target, const View& weight, int64_t n, double smoothing) {
  using C = Compute<T>;
  return {target.ptr<const T>(), weight.ptr<const T>(), static_cast<C>(1 - smoothing),
          static_cast<C>(smoothing / static_cast<double>(n))};
}

}  // namespace

void finish_loss(const Pair<double>* partial, int64_t blocks, const View& out, double* total,
                 LossReduction reduction, double count) {
  LaunchConfig c;
  c.block = dim3(static_cast<unsigned>(most(kWarp, pow2_at_least(blocks, 256))));
  CCDL_LAUNCH(c, finish_loss_kernel, partial, blocks, FloatRef(out), total, reduction, count);
}

void cross_entropy_prob_forward(const View& x, const View& target, const View& weight, const View& out,
                                const View& lse, const View& losses, LossReduction reduction,
                                double smoothing) {
  const int64_t rows = x.sizes[0] * x.sizes[2];
  const bool none = reduction == LossReduction::None;
  const Columns s = columns_of(x.sizes[0], x.sizes[1], x.sizes[2]);
  if (rows > 0)
    by_float(x.dtype, [&](auto tag) {
      using T = decltype(tag);
      CCDL_LAUNCH(s.launch(), cross_entropy_prob_kernel<T>, x.ptr<const T>(),
                  soft_target<T>(target, weight, x.sizes[1], smoothing), FloatRef(lse), FloatRef(losses),
                  none ? FloatRef(out) : FloatRef(), s);
    });
  if (none) return;
  const int64_t blocks = ceil_div(rows, kRowsPerBlock);
  const Scratch partial(blocks * static_cast<int64_t>(sizeof(Pair<double>)));
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(blocks));
  c.block = dim3(256);
  CCDL_LAUNCH(c, row_sums_kernel, FloatRef(losses), rows, partial.ptr<Pair<double>>());
  finish_loss(partial.ptr<const Pair<double>>(), blocks, out, nullptr, reduction, static_cast<double>(rows));
}

void cross_entropy_prob_backward(const View& x, const View& target, const View& weight, const View& lse,
                                 const View& dout, const View& dx, LossReduction reduction,
                                 double smoothing) {
  if (x.numel() == 0) return;
  const Columns s = columns_of(x.sizes[0], x.sizes[1], x.sizes[2]);
  const RowGradient gradient{FloatRef(dout), nullptr, static_cast<double>(x.sizes[0] * x.sizes[2]),
                             reduction};
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    CCDL_LAUNCH(s.launch(), cross_entropy_prob_backward_kernel<T>, x.ptr<const T>(),
                soft_target<T>(target, weight, x.sizes[1], smoothing), FloatRef(lse), gradient, dx.ptr<T>(),
                s);
  });
}

}  // namespace ccdl::cu
