// Distances between rows. Forward: a block makes a tile of 16 x 16 distances, both sides staged in shared
// memory 16 coordinates at a time. Backward: a warp adds up one element of the gradient over the columns.
// Bound: arithmetic; 2 M N K reads of the second operand, nearly all from cache, and no M N K intermediate.
#include <ccdl/core/error.h>
#include <ccdl/kernels/distance.h>

#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <device/warp.cuh>

namespace ccdl::cu {
namespace {

constexpr int kTile = 16;
constexpr int kWarps = 4;

CCDL_DEVICE float power(float x, float y) { return powf(x, y); }
CCDL_DEVICE double power(double x, double y) { return ::pow(x, y); }
CCDL_DEVICE float root(float x) { return sqrtf(x); }
CCDL_DEVICE double root(double x) { return ::sqrt(x); }

struct OrderZero {
  template <class T>
  CCDL_DEVICE static T add(T sum, T d, T) {
    return sum + (d == T(0) ? T(0) : d != d ? d : T(1));
  }
  template <class T>
  CCDL_DEVICE static T finish(T sum, T) {
    return sum;
  }
};
struct OrderOne : OrderZero {
  template <class T>
  CCDL_DEVICE static T add(T sum, T d, T) {
    return sum + (d < T(0) ? -d : d);
  }
  template <class T>
  CCDL_DEVICE static T slope(T d, T, T) {
    return d > T(0) ? T(1) : d < T(0) ? T(-1) : d;
  }
};
struct OrderTwo {
  template <class T>
  CCDL_DEVICE static T add(T sum, T d, T) {
    return sum + d * d;
  }
  template <class T>
  CCDL_DEVICE static T finish(T sum, T) {
    return root(sum);
  }
  template <class T>
  CCDL_DEVICE static T slope(T d, T, T) {
    return d;
  }
};
struct OrderInfinity : OrderZero {
  template <class T>
  CCDL_DEVICE static T add(T sum, T d, T) {
    return MaxOp()(sum, d < T(0) ? -d : d);
  }
  template <class T>
  CCDL_DEVICE static T slope(T d, T y, T) {
    return (d < T(0) ? -d : d) == y ? OrderOne::slope(d, y, y) : d - d;
  }
};
struct OrderAny {
  template <class T>
  CCDL_DEVICE static T add(T sum, T d, T p) {
    return sum + power(d < T(0) ? -d : d, p);
  }
  template <class T>
  CCDL_DEVICE static T finish(T sum, T p) {
    return power(sum, T(1) / p);
  }
  template <class T>
  CCDL_DEVICE static T slope(T d, T y, T p) {
    return d == T(0) ? T(0) : OrderOne::slope(d, y, p) * power(d < T(0) ? -d : d, p - T(1));
  }
};

struct DistanceShape {
  int64_t M, N, K, tiles_m, tiles_n;
};

template <class Order, class T>
__global__ void __launch_bounds__(kTile* kTile)
    distance_tile_kernel(const T* a, const T* bt, T* y, DistanceShape s, T p) {
  CCDL_SHARED(T, rows, [kTile][kTile + 1]);
  CCDL_SHARED(T, columns, [kTile][kTile + 1]);
  const int tx = static_cast<int>(threadIdx.x) % kTile, ty = static_cast<int>(threadIdx.x) / kTile;
  const int64_t tile = blockIdx.x, batch = tile / (s.tiles_m * s.tiles_n);
  const int64_t i0 = tile / s.tiles_n % s.tiles_m * kTile, j0 = tile % s.tiles_n * kTile;
  const int64_t i = i0 + ty, j = j0 + tx;
  a += batch * s.M * s.K;
  bt += batch * s.K * s.N;
  T sum = T(0);
  for (int64_t k0 = 0; k0 < s.K; k0 += kTile) {
    rows[ty][tx] = i < s.M && k0 + tx < s.K ? a[i * s.K + k0 + tx] : T(0);
    columns[ty][tx] = k0 + ty < s.K && j < s.N ? bt[(k0 + ty) * s.N + j] : T(0);
    __syncthreads();  // the tiles are complete
    const int64_t end = s.K - k0 < kTile ? s.K - k0 : kTile;
    for (int64_t k = 0; k < end; ++k) sum = Order::add(sum, rows[ty][k] - columns[k][tx], p);
    __syncthreads();  // all have read before the next ones come
  }
  if (i < s.M && j < s.N) y[(batch * s.M + i) * s.N + j] = Order::finish(sum, p);
}

template <class Order, class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    distance_gradient_kernel(const T* a, const T* bt, const T* y, const T* w, T* da, DistanceShape s,
                             int64_t count, T p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (at >= count) return;
  const int64_t row = at / s.K, k = at % s.K;
  const T x = a[at];
  const T* b = bt + (row / s.M * s.K + k) * s.N;
  T sum = T(0);
  for (int64_t j = lane; j < s.N; j += kWarp)
    sum += w[row * s.N + j] * Order::slope(x - b[j], y[row * s.N + j], p);
  sum = warp_sum(sum);
  if (lane == 0) da[at] = sum;
}

DistanceShape shape_of(const View& a, const View& bt) {
  const int64_t M = a.sizes[1], N = bt.sizes[2];
  return {M, N, a.sizes[2], ceil_div<int64_t>(M, kTile), ceil_div<int64_t>(N, kTile)};
}

template <class Order, class T>
void forward(const View& a, const View& bt, const View& y, double p) {
  const DistanceShape s = shape_of(a, bt);
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(a.sizes[0] * s.tiles_m * s.tiles_n));
  c.block = dim3(kTile * kTile);
  CCDL_LAUNCH(c, (distance_tile_kernel<Order, T>), a.ptr<T>(), bt.ptr<T>(), y.ptr<T>(), s, static_cast<T>(p));
}
template <class Order, class T>
void backward(const View& a, const View& bt, const View& y, const View& w, const View& da, double p) {
  const int64_t count = da.numel();
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(count, kWarps)));
  c.block = dim3(kWarps * kWarp);
  CCDL_LAUNCH(c, (distance_gradient_kernel<Order, T>), a.ptr<T>(), bt.ptr<T>(), y.ptr<T>(), w.ptr<T>(),
              da.ptr<T>(), shape_of(a, bt), count, static_cast<T>(p));
}

template <class T>
void forward_of(const View& a, const View& bt, const View& y, double p) {
  if (p == 0) return forward<OrderZero, T>(a, bt, y, p);
  if (p == 1) return forward<OrderOne, T>(a, bt, y, p);
  if (p == 2) return forward<OrderTwo, T>(a, bt, y, p);
  if (p == HUGE_VAL) return forward<OrderInfinity, T>(a, bt, y, p);
  forward<OrderAny, T>(a, bt, y, p);
}
template <class T>
void backward_of(const View& a, const View& bt, const View& y, const View& w, const View& da, double p) {
  if (p == 1) return backward<OrderOne, T>(a, bt, y, w, da, p);
  if (p == 2) return backward<OrderTwo, T>(a, bt, y, w, da, p);
  if (p == HUGE_VAL) return backward<OrderInfinity, T>(a, bt, y, w, da, p);
  backward<OrderAny, T>(a, bt, y, w, da, p);
}

}  // namespace

void pdist_forward(const View&, const View&, const View&, double) {
  fail(ErrorKind::Runtime, "pdist: pairs are picked from all distances on cuda");
}
void pdist_square(const View&, const View&) {
  fail(ErrorKind::Runtime, "pdist: pairs are picked from all distances on cuda");
}

void cdist_forward(const View& a, const View& bt, const View& y, double p) {
  if (y.numel() == 0) return;
  if (y.dtype == DType::Float32) return forward_of<float>(a, bt, y, p);
  forward_of<double>(a, bt, y, p);
}

void cdist_backward(const View& a, const View& bt, const View& y, const View& w, const View& da, double p) {
  if (da.numel() == 0 || y.numel() == 0) return;
  if (y.dtype == DType::Float32) return backward_of<float>(a, bt, y, w, da, p);
  backward_of<double>(a, bt, y, w, da, p);
}

}  // namespace ccdl::cu
