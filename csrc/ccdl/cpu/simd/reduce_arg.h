// Inner loops that keep the best element and where it is; same rules of inclusion as vec.h. Uses block_total
// of reduce.cpp.
#pragma once
#include <ccdl/cpu/simd/reduce_total.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// b beats a: larger (or smaller), or NaN against a number.
template <bool kLargest, class T>
CCDL_SI bool beats(T b, T a) {
  return (kLargest ? b > a : b < a) | ((b != b) & (a == a));
}
template <bool kLargest, class T>
struct ArgOp {
  using Op = MaxOp;
};
template <class T>
struct ArgOp<false, T> {
  using Op = MinOp;
};

template <bool kLargest, class T>
CCDL_SI T block_best(const T* x, int64_t n) {
  if constexpr (kIsInt<T>) {
    T best = x[0];
    for (int64_t i = 1; i < n; ++i) best = (kLargest ? x[i] > best : x[i] < best) ? x[i] : best;
    return best;
  } else {
    return block_total<typename ArgOp<kLargest, T>::Op, T, T>(x, n, 0.0);
  }
}
template <bool kLargest, class T, class Acc>
void arg_row(const void* xv, int64_t n, int64_t base, void* bestv, int64_t* idx) {
  const T* x = static_cast<const T*>(xv);
  Acc best = *static_cast<Acc*>(bestv);
  for (int64_t i = 0; i < n; i += 512) {
    const int64_t m = n - i < 512 ? n - i : 512;
    const T b = block_best<kLargest, T>(x + i, m);
    if (!(beats<kLargest, Acc>((Acc)b, best) || *idx < 0)) continue;
    const bool nan = b != b;
    const auto found = [&](int64_t at) __attribute__((always_inline)) {
      return (x[at] == b) | (nan & (x[at] != x[at]));
    };
    int64_t k = 0;
    for (; k + 32 <= m; k += 32) {
      int any = 0;
      for (int64_t j = 0; j < 32; ++j) any |= found(i + k + j);
      if (any) break;
    }
    while (!found(i + k)) ++k;
    best = (Acc)b;
    *idx = base + i + k;
  }
  *static_cast<Acc*>(bestv) = best;
}
template <bool kLargest, class T, class Acc>
void arg_col(const void* xv, int64_t rows, int64_t rs, int64_t cols, int64_t base, void* bestv,
             int64_t* __restrict idx) {
  const T* x = static_cast<const T*>(xv);
  Acc* __restrict best = static_cast<Acc*>(bestv);
  for (int64_t r = 0; r < rows; ++r, x += rs)
    for (int64_t j = 0; j < cols; ++j) {
      const Acc v = (Acc)x[j], b = best[j];
      const bool better = beats<kLargest, Acc>(v, b) | (idx[j] < 0);
      best[j] = better ? v : b;
      idx[j] = better ? base + r : idx[j];
    }
}

template <int kBytes>
struct WholeOf {
  using type = int64_t;
};
template <>
struct WholeOf<4> {
  using type = int32_t;
};
template <int kBytes>
using Whole = typename WholeOf<kBytes>::type;  // an integer as wide as an element

template <bool kLargest, class T, class Acc>
void arg_short_rows(const void* xv, int64_t rows, int64_t rs, int64_t n, int64_t base, void* bestv,
                    int64_t* idx) {
  const T* x = static_cast<const T*>(xv);
  Acc* best = static_cast<Acc*>(bestv);
  if (n >= 16) {
    for (int64_t r = 0; r < rows; ++r, x += rs) arg_row<kLargest, T, Acc>(x, n, base, best + r, idx + r);
    return;
  }
  // Rows become lanes: element i of `lanes` rows side by side.
  using At = Whole<sizeof(T)>;
  constexpr int64_t lanes = 32;
  T block[16][lanes] = {};
  for (; rows > 0; rows -= lanes, x += lanes * rs, best += lanes, idx += lanes) {
    const int64_t m = rows < lanes ? rows : lanes;
    for (int64_t r = 0; r < m; ++r)
      for (int64_t i = 0; i < n; ++i) block[i][r] = x[r * rs + i];
    T b[lanes];
    At at[lanes];
    for (int64_t r = 0; r < lanes; ++r) b[r] = block[0][r], at[r] = 0;
    for (int64_t i = 1; i < n; ++i)
      for (int64_t r = 0; r < lanes; ++r) {
        const T v = block[i][r];
        const bool better = beats<kLargest, T>(v, b[r]);
        b[r] = better ? v : b[r];
        at[r] = better ? (At)i : at[r];
      }
    for (int64_t r = 0; r < m; ++r) {
      if (idx[r] >= 0 && !beats<kLargest, Acc>((Acc)b[r], best[r])) continue;
      best[r] = (Acc)b[r];
      idx[r] = base + at[r];
    }
  }
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
