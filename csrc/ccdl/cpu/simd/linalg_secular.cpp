// The secular equation of divide and conquer: each root by rational interpolation at its two poles (Li,
// Solving secular equations stably and efficiently, 1994), kept inside a bracket. Everything is relative to
// the nearer pole, so that differences are accurate (Gu and Eisenstat, 1995).
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/linalg.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

CCDL_SI float magnitude(float x) { return __builtin_fabsf(x); }
CCDL_SI double magnitude(double x) { return __builtin_fabs(x); }
CCDL_SI float root_of(float x) { return __builtin_sqrtf(x); }
CCDL_SI double root_of(double x) { return __builtin_sqrt(x); }

template <class T>
CCDL_SI T pole(const T* d, int64_t i, int64_t origin, bool squares) {
  return squares ? (d[i] - d[origin]) * (d[i] + d[origin]) : d[i] - d[origin];
}

template <class T>
void fill_poles(const T* d, int64_t k, int64_t origin, bool squares, T* poles) {
  const Vec<T> o = set1(d[origin]);
  each_vector<T>(
      k, [&](int64_t i, int n) __attribute__((always_inline)) {
        const Vec<T> v = at(d + i, n);
        to(poles + i, squares ? (v - o) * (v + o) : v - o, n);
      });
}

template <class T>
struct Sums {
  T value, slope;
};
// sum z_i^2 / (p_i - tau) over [0, n) and its derivative
template <class T>
CCDL_SI Sums<T> pole_sums(const T* poles, const T* z2, int64_t n, T tau) {
  Vec<T> value = {}, slope = {};
  const Vec<T> t = set1(tau);
  each_vector<T>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) {
        const Vec<T> r = set1(T(1)) / (at(poles + i, k, T(4) * magnitude(tau) + T(1)) - t);
        const Vec<T> q = at(z2 + i, k) * r;
        value += q;
        slope = fma(q, r, slope);
      });
  return {lane_sum(value), lane_sum(slope)};
}

template <class T>
SecularRoot<T> root(const T* d, const T* z2, int64_t k, int64_t j, T rho, T sum, bool squares, T* poles) {
  constexpr T kEps = sizeof(T) == 4 ? T(0x1p-24f) : T(0x1p-53);
  if (k == 1) return {0, rho * z2[0]};
  const T base = T(1) / rho;
  const bool last = j == k - 1;
  const int64_t left = last ? k - 2 : j, right = left + 1;  // the two poles of the interpolation
  int64_t origin = j;
  fill_poles(d, k, origin, squares, poles);
  const T width = pole(d, right, left, squares);
  T low, high, tau;
  {
    const T middle = (last ? rho * sum : width) / 2;
    const Sums<T> a = pole_sums(poles, z2, right, middle),
                  b = pole_sums(poles + right, z2 + right, k - right, middle);
    const T f = base + a.value + b.value;
    const T c = f - z2[left] / (poles[left] - middle) - z2[right] / (poles[right] - middle);
    if (last) {
      low = f <= 0 ? middle : T(0);
      high = f <= 0 ? rho * sum : middle;
      const T p = -c * width + z2[left] + z2[right], q = z2[right] * width,
              s = root_of(magnitude(p * p + 4 * q * c));
      tau = p < 0 ? 2 * q / (s - p) : (p + s) / (2 * c);
    } else if (f >= 0) {
      low = 0, high = middle;
      const T p = c * width + z2[left] + z2[right], q = z2[left] * width,
              s = root_of(magnitude(p * p - 4 * q * c));
      tau = p > 0 ? 2 * q / (p + s) : (p - s) / (2 * c);
    } else {
      origin = j + 1;
      fill_poles(d, k, origin, squares, poles);
      low = -middle, high = 0;
      const T p = c * width - z2[left] - z2[right], q = z2[right] * width,
              s = root_of(magnitude(p * p + 4 * q * c));
      tau = p < 0 ? 2 * q / (p - s) : -(p + s) / (2 * c);
    }
    if (!(tau > low && tau < high)) tau = (low + high) / 2;
  }
  for (int step = 0; step < 100; ++step) {
    const Sums<T> psi = pole_sums(poles, z2, right, tau),
                  phi = pole_sums(poles + right, z2 + right, k - right, tau);
    const T w = base + psi.value + phi.value, slope = psi.slope + phi.slope;
    const T error = (T(8) + T(k) / 8) * (phi.value - psi.value) + 2 * base + magnitude(tau) * slope;
    if (last) {  // phi is negative as well
      if (magnitude(w) <= kEps * (error - (T(16) + T(k) / 4) * phi.value)) break;
    } else if (magnitude(w) <= kEps * error) {
      break;
    }
    (w < 0 ? low : high) = tau;
    const T dl = poles[left] - tau, dr = poles[right] - tau;
    const T c = w - dl * psi.slope - dr * phi.slope;
    const T a = (dl + dr) * w - dl * dr * slope, b = dl * dr * w;
    const T s = root_of(magnitude(a * a - 4 * b * c));
    T eta;
    if (last)
      eta = a >= 0 ? (a + s) / (2 * c) : 2 * b / (a - s);
    else
      eta = a <= 0 ? (a - s) / (2 * c) : 2 * b / (a + s);
    if (!(w * eta < 0)) eta = -w / slope;
    T next = tau + eta;
    if (!(next > low && next < high) || step % 12 == 11) next = low + (high - low) / 2;
    if (next == tau || next == low || next == high) break;
    tau = next;
  }
  return {origin, tau};
}

template <class T>
void rebuild(const T* d, const T* gaps, int64_t k, bool squares, T* f) {
  typedef typename Lanes<T>::M M;
  typedef decltype(M{}[0] + 0) I;
  constexpr int L = Lanes<T>::kN;
  M lane;
  for (int i = 0; i < L; ++i) lane[i] = (I)i;
  each_vector<T>(
      k, [&](int64_t i, int n) __attribute__((always_inline)) {
        const Vec<T> own = at(d + i, n, T(1));
        Vec<T> product = set1(T(1));
        for (int64_t j = 0; j < k; ++j) {
          const Vec<T> other = set1(d[j]);
          Vec<T> difference = other - own;
          if (squares) difference *= other + own;
          const M same = lane == (I)(j - i);
          product *= at(gaps + j * k + i, n) / select(same, set1(T(-1)), difference);
        }
        to(f + i, vabs(product), n);
      });
}

template <class T>
void quotients(const T* z, const T* gaps, int64_t k, T* u) {
  const T square = sum_over<T>(
      k, [&](int64_t i, int n) __attribute__((always_inline)) {
        const Vec<T> v = at(z + i, n) / at(gaps + i, n, T(1));
        to(u + i, v, n);
        return v * v;
      });
  const Vec<T> f = set1(T(1) / root_of(square));
  each_vector<T>(
      k, [&](int64_t i, int n) __attribute__((always_inline)) { to(u + i, at(u + i, n) * f, n); });
}

template <class T>
constexpr LinalgSecularKernels<T> kernels() {
  return {root<T>, rebuild<T>, quotients<T>};
}

}  // namespace

extern const SecularKernels secular;
const SecularKernels secular = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
