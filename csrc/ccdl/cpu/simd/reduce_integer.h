// Inner loops of the reductions over integers and of the counting ones over any type; same rules of inclusion
// as vec.h.
#pragma once
#include <ccdl/cpu/simd/panel_moves.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// Integer operations, and the counting ones for every element type: plain loops that the compiler vectorises.
// merge joins two results; kNarrow: join works in the element type.
struct ISum {
  static constexpr bool kNarrow = false;
  static constexpr int64_t kId = 0;
  CCDL_SI int64_t join(int64_t a, int64_t x) { return (int64_t)((uint64_t)a + (uint64_t)x); }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return join(a, b); }
};
struct IProd {
  static constexpr bool kNarrow = false;
  static constexpr int64_t kId = 1;
  CCDL_SI int64_t join(int64_t a, int64_t x) { return (int64_t)((uint64_t)a * (uint64_t)x); }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return join(a, b); }
};
struct IMax {
  static constexpr bool kNarrow = true;
  static constexpr int64_t kId = INT64_MIN;
  template <class A, class B>
  CCDL_SI A join(A a, B x) {
    return (A)x > a ? (A)x : a;
  }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return join(a, b); }
};
struct IMin {
  static constexpr bool kNarrow = true;
  static constexpr int64_t kId = INT64_MAX;
  template <class A, class B>
  CCDL_SI A join(A a, B x) {
    return (A)x < a ? (A)x : a;
  }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return join(a, b); }
};
struct CountOp {
  static constexpr bool kNarrow = false;
  static constexpr int64_t kId = 0;
  template <class T>
  CCDL_SI int64_t join(int64_t a, T x) {
    return a + (x != 0 ? 1 : 0);
  }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return a + b; }
};
// Any and All of bytes keep the bytes themselves until the end: their bits or-ed, their smallest.
struct AnyOp {
  static constexpr bool kNarrow = false;
  static constexpr int64_t kId = 0;
  template <class T>
  CCDL_SI int64_t join(int64_t a, T x) {
    return a | (x != 0 ? 1 : 0);
  }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return a | (b != 0 ? 1 : 0); }
};
struct AllOp {
  static constexpr bool kNarrow = false;
  static constexpr int64_t kId = 1;
  template <class T>
  CCDL_SI int64_t join(int64_t a, T x) {
    return a & (x != 0 ? 1 : 0);
  }
  CCDL_SI int64_t merge(int64_t a, int64_t b) { return a & (b != 0 ? 1 : 0); }
};
struct AnyByte : AnyOp {
  static constexpr bool kNarrow = true;
  CCDL_SI uint8_t join(uint8_t a, uint8_t x) { return a | x; }
  CCDL_SI int64_t join(int64_t a, uint8_t x) { return a | (x != 0 ? 1 : 0); }
};
struct AllByte : AllOp {
  static constexpr bool kNarrow = true;
  CCDL_SI uint8_t join(uint8_t a, uint8_t x) { return x < a ? x : a; }
  CCDL_SI int64_t join(int64_t a, uint8_t x) { return a & (x != 0 ? 1 : 0); }
};

// A run short enough for a partial result in a narrower type: the extremes and the counts in the element
// type, everything else in int64.
template <class Op, class T>
CCDL_SI int64_t piece_int(const T* x, int64_t n) {
  if constexpr (Op::kNarrow && sizeof(T) < 8) {
    T best = x[0];
    for (int64_t i = 1; i < n; ++i) best = (T)Op::join(best, x[i]);
    return (int64_t)best;
  } else {
    int64_t acc = Op::kId;
    for (int64_t i = 0; i < n; ++i) acc = Op::join(acc, x[i]);
    return acc;
  }
}
template <class Op, class T>
void row_int(const void* xv, int64_t n, const double*, void* accv) {
  const T* x = static_cast<const T*>(xv);
  int64_t acc = *static_cast<int64_t*>(accv);
  if (n > 0) acc = Op::merge(acc, piece_int<Op>(x, n));
  *static_cast<int64_t*>(accv) = acc;
}
template <class Op, class T>
void col_int(const void* xv, int64_t rows, int64_t rs, int64_t cols, const double*, void* accv) {
  const T* x = static_cast<const T*>(xv);
  int64_t* __restrict acc = static_cast<int64_t*>(accv);
  if constexpr (Op::kNarrow && sizeof(T) < 8) {
    constexpr int kPiece = 2048 / sizeof(T);
    T best[kPiece];
    for (int64_t b = 0; b < cols; b += kPiece) {
      const int m = cols - b < kPiece ? (int)(cols - b) : kPiece;
      for (int j = 0; j < m; ++j) best[j] = x[b + j];
      for (int64_t r = 1; r < rows; ++r) {
        const T* row = x + r * rs + b;
        for (int j = 0; j < m; ++j) best[j] = (T)Op::join(best[j], row[j]);
      }
      for (int j = 0; j < m; ++j) acc[b + j] = Op::merge(acc[b + j], (int64_t)best[j]);
    }
  } else {
    for (; rows >= 4; rows -= 4, x += 4 * rs)  // the accumulators are fetched once for four rows
      for (int64_t j = 0; j < cols; ++j)
        acc[j] =
            Op::join(Op::join(Op::join(Op::join(acc[j], x[j]), x[rs + j]), x[2 * rs + j]), x[3 * rs + j]);
    for (; rows > 0; --rows, x += rs)
      for (int64_t j = 0; j < cols; ++j) acc[j] = Op::join(acc[j], x[j]);
  }
}
template <class Op, class T>
void short_rows_int(const void* xv, int64_t rows, int64_t rs, int64_t n, const double*, void* accv) {
  const T* x = static_cast<const T*>(xv);
  int64_t* acc = static_cast<int64_t*>(accv);
  if constexpr (sizeof(T) == 4 && (T)0.5f == 0) {  // integers; the shortest ones as the columns of a panel
    constexpr int64_t kRows = 64;
    alignas(64) uint32_t panel[7 * kRows];
    for (; n < 8 && rows >= kRows; rows -= kRows, x += kRows * rs, acc += kRows) {
      panel_from_rows((const uint32_t*)x, kRows, rs, n, panel, kRows);
      col_int<Op, T>(panel, n, kRows, kRows, nullptr, acc);
    }
  }
  for (int64_t r = 0; r < rows; ++r, x += rs) {
    if (n >= 16) {
      acc[r] = Op::merge(acc[r], piece_int<Op>(x, n));
      continue;
    }
    int64_t total = acc[r];
    for (int64_t i = 0; i < n; ++i) total = Op::join(total, x[i]);
    acc[r] = total;
  }
}
// Bytes in runs of 4096 keep the inner sum in 32 bits.
template <bool kCount>
void row_byte(const void* xv, int64_t n, const double*, void* accv) {
  const uint8_t* x = static_cast<const uint8_t*>(xv);
  int64_t acc = *static_cast<int64_t*>(accv);
  for (; n > 0; n -= 4096, x += 4096) {
    const int m = n < 4096 ? (int)n : 4096;
    uint32_t s = 0;
    for (int i = 0; i < m; ++i) s += kCount ? (x[i] != 0) : x[i];
    acc += s;
  }
  *static_cast<int64_t*>(accv) = acc;
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
