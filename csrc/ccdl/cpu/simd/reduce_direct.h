// Columns of few rows straight into the result: the accumulators never leave the registers. Floats are added
// eight rows in a tree, the trees in double; extremes stay in their type. Same rules of inclusion as vec.h.
#pragma once
#include <ccdl/cpu/simd/reduce_ops.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef uint64_t vul __attribute__((vector_size(VB)));
template <>
struct Lanes<int64_t> {
  using Vec = vl;
  static constexpr int n = VD;
};
CCDL_SI vl load_as(const int64_t* p, int64_t) {
  vl v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI void store_as(float* y, vf v) { storeu(y, v); }
CCDL_SI void store_as(float16* y, vf v) { store_half(y, v); }
CCDL_SI void store_as(bfloat16* y, vf v) { store_half(y, v); }
CCDL_SI void store_as(double* y, vd v) { storeu(y, v); }
CCDL_SI void store_as(int64_t* y, vl v) { __builtin_memcpy(y, &v, VB); }
CCDL_SI void store_as(float* y, vd v) {
  const vhf h = __builtin_convertvector(v, vhf);
  __builtin_memcpy(y, &h, VB / 2);
}
#if CCDL_VB == 64
CCDL_SI vl load_part(const int64_t* p, int64_t, int n) {
  return (vl)_mm512_maskz_loadu_epi64((__mmask8)((1u << n) - 1u), p);
}
CCDL_SI void store_part(float* y, vf v, int n) { storen(y, v, n); }
template <class H>
CCDL_SI void store_part_half(H* y, vf v, int n) {
  H t[VL];
  store_half(t, v);
  _mm256_mask_storeu_epi16(y, (__mmask16)((1u << n) - 1u), _mm256_loadu_si256((const __m256i*)t));
}
CCDL_SI void store_part(float16* y, vf v, int n) { store_part_half(y, v, n); }
CCDL_SI void store_part(bfloat16* y, vf v, int n) { store_part_half(y, v, n); }
CCDL_SI void store_part(int64_t* y, vl v, int n) {
  _mm512_mask_storeu_epi64(y, (__mmask8)((1u << n) - 1u), (__m512i)v);
}
CCDL_SI void store_part(float* y, vd v, int n) {
  _mm256_mask_storeu_ps(y, (__mmask8)((1u << n) - 1u), _mm512_maskz_cvtpd_ps((__mmask8)-1, (__m512d)v));
}
#endif

struct WholeSumOp {
  static constexpr bool kWide = false;
  static constexpr double kId = 0;
  CCDL_SI vl map(vl x, vl) { return x; }
  CCDL_SI vl join(vl a, vl b) { return (vl)((vul)a + (vul)b); }
  CCDL_SI int64_t join(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
};
template <bool kLargest>
struct WholeBestOp {
  static constexpr bool kWide = false;
  static constexpr double kId = 1;
  CCDL_SI vl map(vl x, vl) { return x; }
  CCDL_SI vl join(vl a, vl b) { return (kLargest ? a > b : a < b) ? a : b; }
  CCDL_SI int64_t join(int64_t a, int64_t b) { return (kLargest ? a > b : a < b) ? a : b; }
};

// What the elements are joined in: float sums meet in double.
template <class Op, class T>
struct DirectType {
  using E = typename Arith<Op::kWide, T>::type;
};
template <class Op>
struct DirectType<Op, int64_t> {
  using E = int64_t;
};
template <class Op, class T>
constexpr bool kDirectPairs = Op::kId == 0 && sizeof(typename DirectType<Op, T>::E) == 4;

// One vector of columns over R rows, joined in a tree; kPart: only `n` of them.
template <class Op, class E, class T, int R, bool kPart = false>
CCDL_SI typename Lanes<E>::Vec col_tree(const T* x, int64_t rs, typename Lanes<E>::Vec cv, int n = 0) {
  typename Lanes<E>::Vec a[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#if CCDL_VB == 64
    if constexpr (kPart) {
      a[r] = Op::map(load_part(x + r * rs, E{}, n), cv);
      continue;
    }
#endif
    (void)n;
    a[r] = Op::map(load_as(x + r * rs, E{}), cv);
  }
#pragma GCC unroll 3
  for (int h = R / 2; h > 0; h /= 2)
#pragma GCC unroll 4
    for (int r = 0; r < h; ++r) a[r] = Op::join(a[r], a[r + h]);
  return a[0];
}

// Rows joined within one vector of columns.
template <class Op, class T, bool kPart>
CCDL_SI void direct_rows(const T* x, int64_t rows, int64_t rs, int n, double scale, T* y) {
  using E = typename DirectType<Op, T>::E;
  using V = typename Lanes<E>::Vec;
  if constexpr (kDirectPairs<Op, T>) {
    vd low = {}, high = {};
    const auto add = [&](vf s) __attribute__((always_inline)) {
      vhf half[2];
      __builtin_memcpy(half, &s, VB);
      low += widen(half[0]), high += widen(half[1]);
    };
    for (; rows >= 8; rows -= 8, x += 8 * rs) add(col_tree<Op, E, T, 8, kPart>(x, rs, V{}, n));
    if (rows >= 4) add(col_tree<Op, E, T, 4, kPart>(x, rs, V{}, n)), rows -= 4, x += 4 * rs;
    if (rows >= 2) add(col_tree<Op, E, T, 2, kPart>(x, rs, V{}, n)), rows -= 2, x += 2 * rs;
    if (rows) add(col_tree<Op, E, T, 1, kPart>(x, rs, V{}, n));
    const vhf half[2] = {__builtin_convertvector(low * scale, vhf),
                         __builtin_convertvector(high * scale, vhf)};
    vf all;
    __builtin_memcpy(&all, half, VB);
#if CCDL_VB == 64
    if constexpr (kPart) return store_part(y, all, n);
#endif
    store_as(y, all);
  } else {
    V total;
    if (rows >= 8) {
      total = col_tree<Op, E, T, 8, kPart>(x, rs, V{}, n), rows -= 8, x += 8 * rs;
    } else {
      total = col_tree<Op, E, T, 1, kPart>(x, rs, V{}, n), rows -= 1, x += rs;
    }
    for (; rows >= 8; rows -= 8, x += 8 * rs)
      total = Op::join(total, col_tree<Op, E, T, 8, kPart>(x, rs, V{}, n));
    if (rows >= 4)
      total = Op::join(total, col_tree<Op, E, T, 4, kPart>(x, rs, V{}, n)), rows -= 4, x += 4 * rs;
    for (; rows > 0; --rows, x += rs) total = Op::join(total, col_tree<Op, E, T, 1, kPart>(x, rs, V{}, n));
    if constexpr (sizeof(E) == 8 && sizeof(T) == 8 && !kIsInt<T>)
      if (scale != 1) total = total / scale;
#if CCDL_VB == 64
    if constexpr (kPart) return store_part(y, total, n);
#endif
    store_as(y, total);
  }
}

// Units of rows x cols elements, unit u at x + u * us, row r of it at r * rs: cols results each, one unit
// behind the other. scale: sums of floats are multiplied by it, those of doubles divided (1: neither).
template <class Op, class T>
void direct(const void* xv, int64_t units, int64_t us, int64_t rows, int64_t rs, int64_t cols, double scale,
            void* yv) {
  using E = typename DirectType<Op, T>::E;
  constexpr int L = Lanes<E>::n;
  const T* x = static_cast<const T*>(xv);
  T* y = static_cast<T*>(yv);
  for (int64_t u = 0; u < units; ++u, x += us, y += cols) {
    int64_t j = 0;
    for (; j + L <= cols; j += L) direct_rows<Op, T, false>(x + j, rows, rs, L, scale, y + j);
#if CCDL_VB == 64
    if (j < cols) direct_rows<Op, T, true>(x + j, rows, rs, (int)(cols - j), scale, y + j);
#else
    if constexpr (kIsInt<T>) {
      for (; j < cols; ++j) {
        T total = x[j];
        for (int64_t r = 1; r < rows; ++r) total = Op::join(total, x[r * rs + j]);
        y[j] = total;
      }
    } else {
      using S = typename Arith<false, T>::type;
      for (; j < cols; ++j) {
        double total = (double)(S)x[j];
        for (int64_t r = 1; r < rows; ++r) total = Op::join(total, (double)(S)x[r * rs + j]);
        y[j] = T((S)(sizeof(T) == 8 ? total / scale : total * scale));
      }
    }
#endif
  }
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
