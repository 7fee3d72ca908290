// Each array is read (and written) once per pass; sums are kept in double.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/optim_scaled.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class S_, class V, class I>
struct ScaledMath {
  using S = S_;
  CCDL_SI V sel(I m, V a, V b) { return m ? a : b; }
  CCDL_SI V fma(V a, V b, V c) { return CCDL_ISA::fma(a, b, c); }
  CCDL_SI V fma(V a, S b, V c) { return CCDL_ISA::fma(a, set1(b), c); }
  CCDL_SI V sqrt(V a) { return vsqrt(a); }
};
template <class T>
struct Types {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  typedef ScaledMath<S, V, typename Lanes<T>::M> M;
};

// Squares of a vector, added up in double: float vectors as two halves.
struct SquareSum {
  vd low = {}, high = {};
  __attribute__((always_inline)) void add(vf v) {
    typedef float half __attribute__((vector_size(VB / 2)));
    half part[2];
    __builtin_memcpy(part, &v, sizeof v);
    const vd a = __builtin_convertvector(part[0], vd), b = __builtin_convertvector(part[1], vd);
    low = fma(a, a, low);
    high = fma(b, b, high);
  }
  __attribute__((always_inline)) void add(vd v) { low = fma(v, v, low); }
  __attribute__((always_inline)) double total() const { return lane_sum(low + high); }
};

// The first k lanes, the others 0: dead lanes may have divided 0 by 0.
template <class T>
CCDL_SI typename Types<T>::V live(typename Types<T>::V v, int k) {
  if (k == Lanes<T>::kN) return v;
  typename Types<T>::S kept[Lanes<T>::kN];
  storeu(kept, v);
  for (int j = k; j < Lanes<T>::kN; ++j) kept[j] = 0;
  return loadu(kept);
}

template <class S>
CCDL_SI LambNumbers<S> numbers(const LambNumbers<double>& c) {
  return {(S)c.sign,        (S)c.weight1,     (S)c.beta2, (S)c.weight2,
          (S)c.correction1, (S)c.correction2, (S)c.eps,   (S)c.decay};
}

template <class T>
void lamb_sums(const void* pp, const void* pg, const void* pm, const void* pv, int64_t n,
               const LambNumbers<double>& exact, double* sums) {
  typedef typename Types<T>::V V;
  const T *p = static_cast<const T*>(pp), *g = static_cast<const T*>(pg), *m = static_cast<const T*>(pm),
          *v = static_cast<const T*>(pv);
  const LambNumbers<typename Types<T>::S> c = numbers<typename Types<T>::S>(exact);
  SquareSum p2, u2;
  each_vector<T>(n, [&](int64_t i, int k) {
    const V x = at(p + i, k);
    V mean = at(m + i, k), square = at(v + i, k);
    p2.add(x);
    const V u = optim_scaled::lamb_direction<typename Types<T>::M, V>(x, at(g + i, k), mean, square, c);
    u2.add(live<T>(u, k));
  });
  sums[0] = p2.total();
  sums[1] = u2.total();
}

template <class T>
void lamb_move(void* pp, const void* pg, void* pm, void* pv, int64_t n, const LambNumbers<double>& exact,
               double amount) {
  typedef typename Types<T>::V V;
  typedef typename Types<T>::S S;
  T *p = static_cast<T*>(pp), *m = static_cast<T*>(pm), *v = static_cast<T*>(pv);
  const T* g = static_cast<const T*>(pg);
  const LambNumbers<S> c = numbers<S>(exact);
  const V minus = set1((S)-amount);
  each_vector<T>(n, [&](int64_t i, int k) {
    const V x = at(p + i, k);
    V mean = at(m + i, k), square = at(v + i, k);
    const V u = optim_scaled::lamb_direction<typename Types<T>::M, V>(x, at(g + i, k), mean, square, c);
    to(m + i, mean, k);
    to(v + i, square, k);
    to(p + i, fma(u, minus, x), k);
  });
}

template <class T>
double sum_squares(const void* px, int64_t n) {
  const T* x = static_cast<const T*>(px);
  SquareSum sum;
  each_vector<T>(n, [&](int64_t i, int k) { sum.add(at(x + i, k)); });
  return sum.total();
}

// columns += the squares of v, and *total too.
CCDL_SI void add_squares(vf v, double* columns, vd* total) {
  typedef float half __attribute__((vector_size(VB / 2)));
  half part[2];
  __builtin_memcpy(part, &v, sizeof v);
  for (int h = 0; h < 2; ++h) {
    const vd a = __builtin_convertvector(part[h], vd), square = a * a;
    storeu(columns + h * VD, loadu(columns + h * VD) + square);
    total[h] += square;
  }
}
CCDL_SI void add_squares(vd v, double* columns, vd* total) {
  storeu(columns, loadu(columns) + v * v);
  total[0] += v * v;
}

template <class T>
double row_squares(const void* pg, int64_t n, double* columns) {
  const T* g = static_cast<const T*>(pg);
  constexpr int kN = Lanes<T>::kN;
  vd total[2] = {};
  int64_t i = 0;
  for (; i + kN <= n; i += kN) add_squares(ld(g + i), columns + i, total);
  double rest = 0;
  for (; i < n; ++i) {
    const double v = (double)get(g + i);
    columns[i] += v * v;
    rest += v * v;
  }
  return lane_sum(total[0] + total[1]) + rest;
}

template <class T>
CCDL_SI typename Types<T>::V direction(typename Types<T>::V g, typename Types<T>::V square, double floor) {
  typedef typename Types<T>::S S;
  return optim_scaled::adafactor_direction<typename Types<T>::M, typename Types<T>::V>(g, square, (S)floor);
}

template <class T>
double row_sum(const void* pg, const void* pc, int64_t n, double row, double floor) {
  const T *g = static_cast<const T*>(pg), *columns = static_cast<const T*>(pc);
  const typename Types<T>::V r = set1((typename Types<T>::S)row);
  SquareSum sum;
  each_vector<T>(n, [&](int64_t i, int k) {
    const typename Types<T>::V u = direction<T>(at(g + i, k), at(columns + i, k) * r, floor);
    sum.add(live<T>(u, k));
  });
  return sum.total();
}

template <class T>
void row_move(void* pp, const void* pg, const void* pc, int64_t n, double row, double floor, double shrink,
              double amount) {
  typedef typename Types<T>::V V;
  typedef typename Types<T>::S S;
  T* p = static_cast<T*>(pp);
  const T *g = static_cast<const T*>(pg), *columns = static_cast<const T*>(pc);
  const V r = set1((S)row), keep = set1((S)shrink), minus = set1((S)-amount);
  each_vector<T>(n, [&](int64_t i, int k) {
    const V u = direction<T>(at(g + i, k), at(columns + i, k) * r, floor);
    to(p + i, fma(u, minus, at(p + i, k) * keep), k);
  });
}

template <class T>
double plain_sum(const void* pg, void* pv, int64_t n, double weight, double floor) {
  typedef typename Types<T>::V V;
  const T* g = static_cast<const T*>(pg);
  T* v = static_cast<T*>(pv);
  const V w = set1((typename Types<T>::S)weight);
  SquareSum sum;
  each_vector<T>(n, [&](int64_t i, int k) {
    const V d = at(g + i, k), before = at(v + i, k);
    const V square = fma(d * d - before, w, before);
    to(v + i, square, k);
    const V u = direction<T>(d, square, floor);
    sum.add(live<T>(u, k));
  });
  return sum.total();
}

template <class T>
void plain_move(void* pp, const void* pg, const void* pv, int64_t n, double floor, double shrink,
                double amount) {
  typedef typename Types<T>::V V;
  typedef typename Types<T>::S S;
  T* p = static_cast<T*>(pp);
  const T *g = static_cast<const T*>(pg), *v = static_cast<const T*>(pv);
  const V keep = set1((S)shrink), minus = set1((S)-amount);
  each_vector<T>(n, [&](int64_t i, int k) {
    const V u = direction<T>(at(g + i, k), at(v + i, k), floor);
    to(p + i, fma(u, minus, at(p + i, k) * keep), k);
  });
}

}  // namespace

#define CCDL_TABLE(name) \
  { name<float16>, name<bfloat16>, name<float>, name<double> }
const OptimScaledKernels optim_scaled_kernels = {
    CCDL_TABLE(lamb_sums), CCDL_TABLE(lamb_move), CCDL_TABLE(sum_squares), CCDL_TABLE(row_squares),
    CCDL_TABLE(row_sum),   CCDL_TABLE(row_move),  CCDL_TABLE(plain_sum),   CCDL_TABLE(plain_move)};
#undef CCDL_TABLE

}  // namespace ccdl::cpu::CCDL_ISA
