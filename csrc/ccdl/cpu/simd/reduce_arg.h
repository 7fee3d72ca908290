// Inner loops that keep the best element and where it is; same rules of inclusion as vec.h. Uses block_total
// of reduce.cpp.
#pragma once
#include <ccdl/cpu/simd/panel_moves.h>
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

template <class T>
struct ArgLanes {  // a vector of elements, and one of integers as wide
  typedef vf V;
  typedef vi I;
  typedef uint32_t Bits;
};
template <>
struct ArgLanes<double> {
  typedef vd V;
  typedef vl I;
  typedef uint64_t Bits;
};
template <>
struct ArgLanes<int64_t> {
  typedef vl V;
  typedef vl I;
  typedef uint64_t Bits;
};

// Rows of their own: every accumulator is still empty. Short ones become the columns of a panel.
template <bool kLargest, class T, class Acc>
void arg_short_rows(const void* xv, int64_t rows, int64_t rs, int64_t n, int64_t base, void* bestv,
                    int64_t* idx) {
  const T* x = static_cast<const T*>(xv);
  Acc* best = static_cast<Acc*>(bestv);
  constexpr int64_t kRows = 64, kWidth = 32;
  if (n > kWidth) {
    for (int64_t r = 0; r < rows; ++r, x += rs) arg_row<kLargest, T, Acc>(x, n, base, best + r, idx + r);
    return;
  }
  using V = typename ArgLanes<T>::V;
  using I = typename ArgLanes<T>::I;
  using Bits = typename ArgLanes<T>::Bits;
  constexpr int kN = VB / (int)sizeof(T);
  alignas(64) T panel[kWidth * kRows] = {};
  alignas(64) T b[kRows];
  alignas(64) Bits at[kRows];
  for (; rows > 0; rows -= kRows, x += kRows * rs, best += kRows, idx += kRows) {
    const int64_t m = rows < kRows ? rows : kRows;
    panel_from_rows((const Bits*)x, m, rs, n, (Bits*)panel, kRows);
    for (int64_t j = 0; j < kRows; j += kN) {
      V top;
      __builtin_memcpy(&top, panel + j, VB);
      I where = {};
      for (int64_t i = 1; i < n; ++i) {
        V v;
        __builtin_memcpy(&v, panel + i * kRows + j, VB);
        I better = kLargest ? v > top : v < top;
        if constexpr (!kIsInt<T>) better |= (v != v) & (top == top);
        top = better ? v : top;
        where = better ? I{} + (decltype(where[0] + where[0]))i : where;
      }
      __builtin_memcpy(b + j, &top, VB);
      __builtin_memcpy(at + j, &where, VB);
    }
    for (int64_t r = 0; r < m; ++r) {
      best[r] = (Acc)b[r];
      idx[r] = base + (int64_t)at[r];
    }
  }
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
