// Elementwise losses: the value (reduced in one pass: each block sums a fixed piece in double, a second
// kernel adds the pieces in order) and its slope. 16-byte accesses where aligned. Bound: 2 n s bytes reduced,
// 3 n s unreduced and backward.
#include <ccdl/kernels/loss.h>

#include <kernels/cross_entropy.cuh>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPiece = 16384;  // elements of one block of a reduction, at least

CCDL_DEVICE float log1p_of(float v) { return log1pf(v); }
CCDL_DEVICE double log1p_of(double v) { return log1p(v); }

template <class C>
CCDL_DEVICE C huber_clamped(const PointLoss& loss, C d) {  // NaN stays
  const C delta = static_cast<C>(loss.delta), low = d < -delta ? -delta : d;
  return low > delta ? delta : low;
}
template <class C>
CCDL_DEVICE C loss_value(const PointLoss& loss, C x, C t) {
  if (loss.kind == PointLossKind::SquaredError) return (x - t) * (x - t);
  if (loss.kind == PointLossKind::Huber) {
    const C d = x - t, c = huber_clamped(loss, d);
    return c * (d - c * C(0.5)) * static_cast<C>(loss.scale);
  }
  return (x < C(0) ? C(0) : x) - x * t + log1p_of(exp_of(-fabs(x)));  // NaN stays
}
template <class C>
CCDL_DEVICE C loss_slope(const PointLoss& loss, C x, C t) {
  if (loss.kind == PointLossKind::SquaredError) return C(2) * (x - t);
  if (loss.kind == PointLossKind::Huber) return huber_clamped(loss, x - t) * static_cast<C>(loss.scale);
  const C e = exp_of(-fabs(x));  // sigmoid without overflow on either side
  return (x >= C(0) ? C(1) : e) / (C(1) + e) - t;
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    point_loss_kernel(PointLoss loss, const T* x, const T* t, T* y, int64_t n) {
  using C = Compute<T>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
  if (i >= n) return;
  C a[V], b[V];
  load_row<V>(x + i, a);
  load_row<V>(t + i, b);
#pragma unroll
  for (int k = 0; k < V; ++k) a[k] = loss_value(loss, a[k], b[k]);
  store_row<V>(y + i, a);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    point_loss_sum_kernel(PointLoss loss, const T* x, const T* t, int64_t n, int64_t piece,
                          Pair<double>* partial) {
  using C = Compute<T>;
  const int64_t begin = blockIdx.x * piece, end = least(n, begin + piece);
  double sum = 0;
#pragma unroll 2
  for (int64_t i = begin + static_cast<int>(threadIdx.x) * V; i < end; i += kThreads * V) {
    C a[V], b[V], part = 0;
    load_row<V>(x + i, a);
    load_row<V>(t + i, b);
#pragma unroll
    for (int k = 0; k < V; ++k) part += loss_value(loss, a[k], b[k]);
    sum += static_cast<double>(part);
  }
  sum = group_sum(sum, kThreads);
  if (threadIdx.x == 0) partial[blockIdx.x] = {sum, 0};
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    point_loss_backward_kernel(PointLoss loss, const T* x, const T* t, const T* dout, T* dx, int64_t n,
                               LossReduction reduction) {
  using C = Compute<T>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
  if (i >= n) return;
  const bool each = reduction == LossReduction::None;
  C g = C(1);
  if (!each) g = convert<C>(dout[0]);
  if (reduction == LossReduction::Mean) g = static_cast<C>(static_cast<double>(g) / static_cast<double>(n));
  C a[V], b[V], d[V];
  load_row<V>(x + i, a);
  load_row<V>(t + i, b);
  if (each) load_row<V>(dout + i, d);
#pragma unroll
  for (int k = 0; k < V; ++k) a[k] = (each ? d[k] : g) * loss_slope(loss, a[k], b[k]);
  store_row<V>(dx + i, a);
}

LaunchConfig elementwise(int64_t n, int lanes) {
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(n, int64_t{kThreads} * lanes)));
  c.block = dim3(kThreads);
  return c;
}

template <class T, int V>
void forward(PointLoss loss, const View& x, const View& t, const View& out, LossReduction reduction) {
  const int64_t n = x.numel();
  if (reduction == LossReduction::None) {
    CCDL_LAUNCH(elementwise(n, V), (point_loss_kernel<T, V>), loss, x.ptr<const T>(), t.ptr<const T>(),
                out.ptr<T>(), n);
    return;
  }
  const int64_t piece = most(kPiece, ceil_div<int64_t>(ceil_div<int64_t>(n, 2048), kPiece) * kPiece);
  const int64_t blocks = ceil_div(n, piece);
  const Scratch partial(blocks * static_cast<int64_t>(sizeof(Pair<double>)));
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(blocks));
  c.block = dim3(kThreads);
  CCDL_LAUNCH(c, (point_loss_sum_kernel<T, V>), loss, x.ptr<const T>(), t.ptr<const T>(), n, piece,
              partial.ptr<Pair<double>>());
  finish_loss(partial.ptr<const Pair<double>>(), blocks, out, nullptr, reduction, static_cast<double>(n));
}

}  // namespace

void point_loss_forward(PointLoss loss, const View& x, const View& t, const View& out,
                        LossReduction reduction) {
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const bool vector = x.numel() % kLanes<T> == 0 && aligned16(x.data) && aligned16(t.data) &&
                        (reduction != LossReduction::None || aligned16(out.data));
    vector ? forward<T, kLanes<T>>(loss, x, t, out, reduction) : forward<T, 1>(loss, x, t, out, reduction);
  });
}

void point_loss_backward(PointLoss loss, const View& x, const View& t, const View& dout, const View& dx,
                         LossReduction reduction) {
  const int64_t n = x.numel();
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int V = kLanes<T>;
    const bool vector = n % V == 0 && aligned16(x.data) && aligned16(t.data) && aligned16(dx.data) &&
                        (reduction != LossReduction::None || aligned16(dout.data));
    if (vector)
      CCDL_LAUNCH(elementwise(n, V), (point_loss_backward_kernel<T, V>), loss, x.ptr<const T>(),
                  t.ptr<const T>(), dout.ptr<const T>(), dx.ptr<T>(), n, reduction);
    else
      CCDL_LAUNCH(elementwise(n, 1), (point_loss_backward_kernel<T, 1>), loss, x.ptr<const T>(),
                  t.ptr<const T>(), dout.ptr<const T>(), dx.ptr<T>(), n, reduction);
  });
}

}  // namespace ccdl::cu
