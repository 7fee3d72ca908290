// Distances between rows: the lanes are columns of bt, so that a short K costs no horizontal sums. A strip of
// columns stays in cache over all rows.
#include <ccdl/cpu/simd/distance.h>
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/vmath_double_binary.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

enum class Order { Zero, One, Two, Infinity, Any };

CCDL_SI vf power(vf x, vf y) { return vpow(x, y); }
CCDL_SI vd power(vd x, vd y) { return dpow(x, y); }

// Of numbers without a sign, whose bits order as they do, with NaN above all.
CCDL_SI vf larger(vf x, vf y) {
  const vi a = (vi)x, b = (vi)y;
  return (vf)(a > b ? a : b);
}
CCDL_SI vd larger(vd x, vd y) {
  const vl a = (vl)x, b = (vl)y;
  return (vd)(a > b ? a : b);
}

template <Order O, class V>
CCDL_SI V add_difference(V sum, V d, V p) {
  const V a = vabs(d);
  if constexpr (O == Order::Zero) return sum + ((a == 0) ? V{} : (a != a) ? a : V{} + 1);  // NaN stays
  if constexpr (O == Order::One) return sum + a;
  if constexpr (O == Order::Two) return fma(d, d, sum);
  if constexpr (O == Order::Infinity) return larger(sum, a);
  return sum + power(a, p);
}
template <Order O, class V>
CCDL_SI V finish(V sum, V p) {
  if constexpr (O == Order::Two) return vsqrt(sum);
  if constexpr (O == Order::Any) return power(sum, 1 / p);
  return sum;
}
// s |d|^(p-1)
template <Order O, class V>
CCDL_SI V slope(V d, V y, V p) {
  const V a = vabs(d), one = V{} + 1, sign = d > 0 ? one : d < 0 ? -one : d;  // NaN stays
  if constexpr (O == Order::One) return sign;
  if constexpr (O == Order::Two) return d;
  if constexpr (O == Order::Infinity) return a == y ? sign : d - d;
  return d == 0 ? V{} : sign * power(a, p - 1);
}

template <class T>
CCDL_SI typename Lanes<T>::V live(typename Lanes<T>::V v, int count) {  // lanes from count on become 0
  T t[Lanes<T>::kN];
  st(t, v);
  return ldn(t, count);
}

constexpr int64_t kPart = 128;     // coordinates added up before they join the sum, which bounds rounding
constexpr int64_t kColumns = 512;  // of a strip in the gradient

template <Order O, class T, int W>
CCDL_SI void forward_strip(const T* a, const T* bt, int64_t bt_row, T* y, int64_t rows, int64_t K, int64_t N,
                           int64_t j, int count, typename Lanes<T>::S order) {
  using V = typename Lanes<T>::V;
  constexpr int kN = Lanes<T>::kN;
  const V p = set1(order);
  for (int64_t i = 0; i < rows; ++i) {
    V total[W] = {};
    for (int64_t k0 = 0; k0 < K; k0 += kPart) {
      const int64_t end = k0 + kPart < K ? k0 + kPart : K;
      V sum[W] = {};
      for (int64_t k = k0; k < end; ++k) {
        const V x = set1(a[i * K + k]);
        for (int v = 0; v < W; ++v)
          sum[v] = add_difference<O, V>(sum[v], x - at(bt + k * bt_row + j + v * kN, count), p);
      }
      for (int v = 0; v < W; ++v)
        total[v] = O == Order::Infinity ? add_difference<O, V>(total[v], sum[v], p) : total[v] + sum[v];
    }
    for (int v = 0; v < W; ++v) to(y + i * N + j + v * kN, finish<O, V>(total[v], p), count);
  }
}
template <Order O, class T>
void forward_of(const T* a, const T* bt, int64_t bt_row, T* y, int64_t rows, int64_t K, int64_t N,
                double order) {
  constexpr int kN = Lanes<T>::kN;
  using S = typename Lanes<T>::S;
  int64_t j = 0;
  for (; j + 4 * kN <= N; j += 4 * kN) forward_strip<O, T, 4>(a, bt, bt_row, y, rows, K, N, j, kN, (S)order);
  for (; j < N; j += kN)
    forward_strip<O, T, 1>(a, bt, bt_row, y, rows, K, N, j, N - j < kN ? (int)(N - j) : kN, (S)order);
}

template <Order O, class T>
void backward_of(const T* a, const T* bt, const T* y, const T* w, T* da, int64_t rows, int64_t K, int64_t N,
                 double order) {
  using V = typename Lanes<T>::V;
  const V p = set1((typename Lanes<T>::S)order);
  for (int64_t j0 = 0; j0 < N; j0 += kColumns) {
    const int64_t columns = N - j0 < kColumns ? N - j0 : kColumns;
    for (int64_t i = 0; i < rows; ++i) {
      const T *wi = w + i * N + j0, *yi = y + i * N + j0;
      for (int64_t k = 0; k < K; ++k) {
        const V x = set1(a[i * K + k]);
        const T* b = bt + k * N + j0;
        const T sum = sum_over<T>(
            columns, [&](int64_t j, int count) __attribute__((always_inline)) {
              const V s =
                  slope<O, V>(x - at(b + j, count), O == Order::Infinity ? at(yi + j, count) : V{}, p);
              const V term = at(wi + j, count) * s;
              return count == Lanes<T>::kN ? term : live<T>(term, count);
            });
        T* out = da + i * K + k;
        *out = j0 == 0 ? sum : *out + sum;
      }
    }
  }
}

template <class T>
void forward(const void* a, const void* bt, int64_t bt_row, void* y, int64_t rows, int64_t K, int64_t N,
             double p) {
  const auto fn = p == 0                 ? forward_of<Order::Zero, T>
                  : p == 1               ? forward_of<Order::One, T>
                  : p == 2               ? forward_of<Order::Two, T>
                  : p == __builtin_inf() ? forward_of<Order::Infinity, T>
                                         : forward_of<Order::Any, T>;
  fn((const T*)a, (const T*)bt, bt_row, (T*)y, rows, K, N, p);
}
template <class T>
void backward(const void* a, const void* bt, const void* y, const void* w, void* da, int64_t rows, int64_t K,
              int64_t N, double p) {
  const auto fn = p == 1                 ? backward_of<Order::One, T>
                  : p == 2               ? backward_of<Order::Two, T>
                  : p == __builtin_inf() ? backward_of<Order::Infinity, T>
                                         : backward_of<Order::Any, T>;
  fn((const T*)a, (const T*)bt, (const T*)y, (const T*)w, (T*)da, rows, K, N, p);
}

}  // namespace

extern constinit const DistanceKernels distance = {{forward<float>, forward<double>},
                                                   {backward<float>, backward<double>}};

}  // namespace ccdl::cpu::CCDL_ISA
