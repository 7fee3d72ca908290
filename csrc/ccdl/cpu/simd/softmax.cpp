// Softmax rows: maximum, then exp and sum, then scale; the rows stay in L1 between the passes. Half formats
// evaluate exp twice instead of storing rounded intermediates. Inner softmax walks vectors of neighbouring
// columns.
#include <ccdl/cpu/simd/exp.h>
#include <ccdl/cpu/simd/lines.h>
#include <ccdl/cpu/simd/softmax.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI float log_of(float x) { return __builtin_logf(x); }
CCDL_SI double log_of(double x) { return __builtin_log(x); }
CCDL_SI vd vlog(vd x) { return dlog(x); }
template <class T>
constexpr bool kWide = sizeof(T) >= 4;  // storing an intermediate in T loses nothing
constexpr int kGroup = 4;
constexpr int64_t kGroupElements = 2048;  // of a row, so that a group stays in L1 and L2
template <class T>
constexpr typename Lanes<T>::S kLow = -__builtin_inff();

// A group's maxima, exponentials and quotients go one after the other, so that the rows' horizontal sums
// overlap. The exponentials leave time to fetch what comes next.
template <class T, int kRows>
CCDL_SI void forward_group(const T* x, T* y, int64_t n, bool log) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  V m[kRows];
  S sum[kRows];
  for (int r = 0; r < kRows; ++r) m[r] = set1(max_of(x + r * n, n));
  for (int r = 0; r < kRows; ++r) {
    const T* row = x + r * n;
    T* out = y + r * n;
    const auto exponential = [&](int64_t i, int k) {
      if (kRows > 1) __builtin_prefetch(row + kRows * n + i);
      return vexp_down(at(row + i, k, kLow<T>) - m[r]);
    };
    if (kWide<T> && !log)
      sum[r] = sum_over<T>(n, [&](int64_t i, int k) {
        const V e = exponential(i, k);
        to(out + i, e, k);
        return e;
      });
    else
      sum[r] = sum_over<T>(n, exponential);
  }
  for (int r = 0; r < kRows; ++r) {
    const T* row = x + r * n;
    T* out = y + r * n;
    const V c = set1(log ? log_of(sum[r]) : S(1) / sum[r]);
    if (log)
      each_vector<T>(n, [&](int64_t i, int k) { to(out + i, at(row + i, k) - m[r] - c, k); });
    else if (kWide<T>)
      each_vector<T>(n, [&](int64_t i, int k) { to(out + i, at(out + i, k) * c, k); });
    else
      each_vector<T>(n, [&](int64_t i, int k) { to(out + i, vexp_down(at(row + i, k) - m[r]) * c, k); });
  }
}

template <class T>
void forward_rows(const void* px, void* py, int64_t rows, int64_t n, bool log) {
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  int64_t r = 0;
  for (; n <= kGroupElements && r + kGroup <= rows; r += kGroup)
    forward_group<T, kGroup>(x + r * n, y + r * n, n, log);
  for (; r < rows; ++r) forward_group<T, 1>(x + r * n, y + r * n, n, log);
}

template <class T, bool kPast>
CCDL_SI void backward_of(const T* y, const T* dy, T* dx, int64_t rows, int64_t n, bool log) {
  typedef typename Lanes<T>::V V;
  for (int64_t row = 0; row < rows; ++row, y += n, dy += n, dx += n) {
    if (log) {
      const V s = set1(sum_over<T>(n, [&](int64_t i, int k) { return at_halves(dy + i, k); }));
      each_vector<T>(n, [&](int64_t i, int k) {
        to_past<kPast>(dx + i, fma(-vexp(at(y + i, k)), s, at(dy + i, k)), k);
      });
    } else {
      const V s =
          set1(sum_over<T>(n, [&](int64_t i, int k) { return at_halves(y + i, k) * at_halves(dy + i, k); }));
      each_vector<T>(
          n, [&](int64_t i, int k) { to_past<kPast>(dx + i, at(y + i, k) * (at(dy + i, k) - s), k); });
    }
  }
}
template <class T>
void backward_rows(const void* py, const void* pdy, void* pdx, int64_t rows, int64_t n, bool log, bool past) {
  const T *y = static_cast<const T*>(py), *dy = static_cast<const T*>(pdy);
  T* dx = static_cast<T*>(pdx);
  if constexpr (kStoresPast<T>) {
    if (past && rows_on_lines(pdx, n * (int64_t)sizeof(T))) {
      backward_of<T, true>(y, dy, dx, rows, n, log);
      return fence_past();
    }
  }
  backward_of<T, false>(y, dy, dx, rows, n, log);
}

template <class T>
void forward_columns(const void* px, void* py, int64_t n, int64_t inner, int64_t begin, int64_t end,
                     bool log) {
  typedef typename Lanes<T>::V V;
  each_vector<T>(end - begin, [&](int64_t offset, int k) {
    const T* x = static_cast<const T*>(px) + begin + offset;
    T* y = static_cast<T*>(py) + begin + offset;
    V m = set1(kLow<T>), sum = {};
    for (int64_t j = 0; j < n; ++j) m = vmax(at(x + j * inner, k), m);
    for (int64_t j = 0; j < n; ++j) {
      const V e = vexp(at(x + j * inner, k) - m);
      if (!log && kWide<T>) to(y + j * inner, e, k);
      sum += e;
    }
    const V c = log ? vlog(sum) : set1(typename Lanes<T>::S(1)) / sum;
    for (int64_t j = 0; j < n; ++j) {
      V v;
      if (log)
        v = at(x + j * inner, k) - m - c;
      else if (kWide<T>)
        v = at(y + j * inner, k) * c;
      else
        v = vexp(at(x + j * inner, k) - m) * c;
      to(y + j * inner, v, k);
    }
  });
}

template <class T>
void backward_columns(const void* py, const void* pdy, void* pdx, int64_t n, int64_t inner, int64_t begin,
                      int64_t end, bool log) {
  typedef typename Lanes<T>::V V;
  each_vector<T>(end - begin, [&](int64_t offset, int k) {
    const T* y = static_cast<const T*>(py) + begin + offset;
    const T* dy = static_cast<const T*>(pdy) + begin + offset;
    T* dx = static_cast<T*>(pdx) + begin + offset;
    V s = {};
    for (int64_t j = 0; j < n; ++j) {
      const V g = at(dy + j * inner, k);
      s += log ? g : g * at(y + j * inner, k);
    }
    for (int64_t j = 0; j < n; ++j) {
      const V g = at(dy + j * inner, k), v = at(y + j * inner, k);
      to(dx + j * inner, log ? fma(-vexp(v), s, g) : v * (g - s), k);
    }
  });
}

template <class T>
void log_sum_exp_columns(const void* px, void* py, int64_t n, int64_t inner, int64_t columns) {
  typedef typename Lanes<T>::V V;
  each_vector<T>(columns, [&](int64_t offset, int k) {
    const T* x = static_cast<const T*>(px) + offset;
    V m = set1(kLow<T>), sum = {};
    for (int64_t j = 0; j < n; ++j) m = vmax(at(x + j * inner, k), m);
    m = select(vabs(m) < -kLow<T>, m, V{});
    for (int64_t j = 0; j < n; ++j) sum += vexp(at(x + j * inner, k) - m);
    to(static_cast<T*>(py) + offset, m + vlog(sum), k);
  });
}

}  // namespace

const SoftmaxKernels softmax = {
    {forward_rows<float16>, forward_rows<bfloat16>, forward_rows<float>, forward_rows<double>},
    {backward_rows<float16>, backward_rows<bfloat16>, backward_rows<float>, backward_rows<double>},
    {forward_columns<float16>, forward_columns<bfloat16>, forward_columns<float>, forward_columns<double>},
    {backward_columns<float16>, backward_columns<bfloat16>, backward_columns<float>,
     backward_columns<double>},
    {log_sum_exp_columns<float16>, log_sum_exp_columns<bfloat16>, log_sum_exp_columns<float>,
     log_sum_exp_columns<double>},
};

}  // namespace ccdl::cpu::CCDL_ISA
