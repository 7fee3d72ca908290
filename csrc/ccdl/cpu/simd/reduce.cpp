// Inner loops of the reductions. Float sums run in eight vectors of float lanes over blocks of 2048 elements
// (at most 32 additions a lane: 1024 elements at 128 bits) whose totals are added in double; squares,
// variances and exponentials convert to double at once. Columns add eight rows in a tree in float, then go to
// the double accumulators.
#include <ccdl/cpu/simd/reduce.h>
#include <ccdl/cpu/simd/reduce_arg.h>
#include <ccdl/cpu/simd/reduce_direct.h>
#include <ccdl/cpu/simd/reduce_integer.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int64_t kLongRow = 8192;  // rows from here on come from memory

template <class Op, class T, bool kAhead = false>
CCDL_SI void row_float_inline(const void* xv, int64_t n, const double* c, void* accv) {
  using E = typename Arith<Op::kWide, T>::type;
  const T* x = static_cast<const T*>(xv);
  double* acc = static_cast<double*>(accv);
  const double c0 = c ? *c : 0.0;
  constexpr int64_t kTogether = VB >= 32 ? 2048 : 1024;
  while (n > 0) {
    const int64_t m = n < kTogether ? n : kTogether;
    *acc = Op::join(*acc, (double)block_total<Op, E, T, kAhead>(x, m, c0));
    x += m;
    n -= m;
  }
}
template <class Op, class T>
void row_float(const void* x, int64_t n, const double* c, void* acc) {
  if (n >= kLongRow)
    row_float_inline<Op, T, true>(x, n, c, acc);
  else
    row_float_inline<Op, T>(x, n, c, acc);
}

template <class Op, class T, int R>
CCDL_SI void col_rows(const T* x, int64_t rs, int64_t cols, const double* c, double* acc) {
  int64_t j = 0;
  if constexpr (Op::kWide || sizeof(T) == 8) {
    for (; j + VD <= cols; j += VD) {
      const vd cv = c ? loadu(c + j) : vd{};
      storeu(acc + j, Op::join(loadu(acc + j), col_tree<Op, double, T, R>(x + j, rs, cv)));
    }
  } else {
    for (; j + VL <= cols; j += VL) {
      const vf s = col_tree<Op, float, T, R>(x + j, rs, vf{});
      float t[VL];
      __builtin_memcpy(t, &s, VB);
      storeu(acc + j, Op::join(loadu(acc + j), load_wide(t)));
      storeu(acc + j + VD, Op::join(loadu(acc + j + VD), load_wide(t + VD)));
    }
  }
#if CCDL_VB == 64  // the last columns through masks
  const int n = (int)(cols - j);
  if constexpr (Op::kWide || sizeof(T) == 8) {
    if (n > 0) {
      const vd cv = c ? load_part(c + j, double{}, n) : vd{};
      const vd old = load_part((const double*)acc + j, double{}, n);
      store_part(acc + j, Op::join(old, col_tree<Op, double, T, R, true>(x + j, rs, cv, n)), n);
    }
  } else if (n > 0) {
    const vf s = col_tree<Op, float, T, R, true>(x + j, rs, vf{}, n);
    vhf half[2];
    __builtin_memcpy(half, &s, VB);
    const int low = n < VD ? n : VD;
    store_part(acc + j, Op::join(load_part((const double*)acc + j, double{}, low), widen(half[0])), low);
    if (n > VD)
      store_part(acc + j + VD,
                 Op::join(load_part((const double*)acc + j + VD, double{}, n - VD), widen(half[1])), n - VD);
  }
  return;
#endif
  for (; j < cols; ++j)
    for (int r = 0; r < R; ++r)
      acc[j] =
          Op::join(acc[j], Op::map((double)(typename Arith<false, T>::type)x[r * rs + j], c ? c[j] : 0.0));
}

template <class Op, class T>
void col_float(const void* xv, int64_t rows, int64_t rs, int64_t cols, const double* c, void* accv) {
  const T* x = static_cast<const T*>(xv);
  double* acc = static_cast<double*>(accv);
  for (; rows >= 8; rows -= 8, x += 8 * rs) col_rows<Op, T, 8>(x, rs, cols, c, acc);
  if (rows >= 4) col_rows<Op, T, 4>(x, rs, cols, c, acc), rows -= 4, x += 4 * rs;
  if (rows >= 2) col_rows<Op, T, 2>(x, rs, cols, c, acc), rows -= 2, x += 2 * rs;
  for (; rows > 0; --rows, x += rs) col_rows<Op, T, 1>(x, rs, cols, c, acc);
}

// Lane i of the result joins all lanes of r[i]: neighbours meet in every round.
template <class Op, class I, int L, class V>
CCDL_SI V join_lanes(V* r) {
  I even, odd;
  for (int i = 0; i < L; ++i) even[i] = 2 * i, odd[i] = 2 * i + 1;
#pragma GCC unroll 4
  for (int m = L / 2; m > 0; m /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < m; ++i)
      r[i] = Op::join(__builtin_shuffle(r[2 * i], r[2 * i + 1], even),
                      __builtin_shuffle(r[2 * i], r[2 * i + 1], odd));
  return r[0];
}

template <class E>
struct LaneInts {
  typedef vi type;
};
template <>
struct LaneInts<double> {
  typedef vl type;
};

// L rows at a time, a vector of partial results each, which meet across the rows. What lies behind a row is
// read and dropped as long as it is in front of the last row's end. Returns the rows done.
template <class Op, class E, class T>
CCDL_SI int64_t short_rows_lanes(const T* x, int64_t rows, int64_t rs, int64_t n, const double* c,
                                 double* acc) {
  using V = typename Lanes<E>::Vec;
  using I = typename LaneInts<E>::type;
  constexpr int L = Lanes<E>::n;
  const int64_t rest = n % L, up = rest ? n - rest + L : n, spare = (rows - 1) * rs + n - up;
  if (spare < 0) return 0;
  const int64_t safe = spare / rs + 1 < rows ? spare / rs + 1 : rows;
  const V id = V{} + (E)Op::kId;
  I live;
  for (int i = 0; i < L; ++i) live[i] = i < rest ? -1 : 0;
  int64_t r = 0;
  for (; r + L <= safe; r += L) {
    V t[L];
    for (int k = 0; k < L; ++k) {
      const T* row = x + (r + k) * rs;
      const V cv = V{} + (c ? (E)c[r + k] : E{});
      V a = id;
      int64_t i = 0;
      if (n >= L) {
        a = Op::map(load_as(row, E{}), cv);
        for (i = L; i + L <= n; i += L) a = Op::join(a, Op::map(load_as(row + i, E{}), cv));
      }
      if (rest) a = Op::join(a, live ? Op::map(load_as(row + i, E{}), cv) : id);
      t[k] = a;
    }
    const V total = join_lanes<Op, I, L>(t);
    if constexpr (sizeof(E) == 8) {
      storeu(acc + r, Op::join(loadu(acc + r), total));
    } else {
      float f[L];
      __builtin_memcpy(f, &total, VB);
      storeu(acc + r, Op::join(loadu(acc + r), load_wide(f)));
      storeu(acc + r + VD, Op::join(loadu(acc + r + VD), load_wide(f + VD)));
    }
  }
  return r;
}

template <int kBytes>
struct BitsOf {
  using type = uint64_t;
};
template <>
struct BitsOf<4> {
  using type = uint32_t;
};
template <>
struct BitsOf<2> {
  using type = uint16_t;
};

// The shortest rows (n at most kShortest), 64 at a time as the columns of a panel. Returns the rows done.
constexpr int64_t kShortest = 4;
template <class Op, class E, class T>
CCDL_SI int64_t short_rows_panel(const T* x, int64_t rows, int64_t rs, int64_t n, const double* c,
                                 double* acc) {
  using V = typename Lanes<E>::Vec;
  using Bits = typename BitsOf<sizeof(T)>::type;
  constexpr int L = Lanes<E>::n;
  constexpr int64_t kRows = 64;
  alignas(64) T panel[kShortest * kRows];
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    panel_from_rows((const Bits*)(x + r * rs), kRows, rs, n, (Bits*)panel, kRows);
    for (int64_t j = 0; j < kRows; j += L) {
      double* to = acc + r + j;
      V cv = {};
      if constexpr (sizeof(E) == 8)
        if (c) cv = loadu(c + r + j);
      V total = Op::map(load_as(panel + j, E{}), cv);
      for (int64_t i = 1; i < n; ++i)
        total = Op::join(total, Op::map(load_as(panel + i * kRows + j, E{}), cv));
      if constexpr (sizeof(E) == 8) {
        storeu(to, Op::join(loadu(to), total));
      } else {
        float f[L];
        __builtin_memcpy(f, &total, VB);
        storeu(to, Op::join(loadu(to), load_wide(f)));
        storeu(to + VD, Op::join(loadu(to + VD), load_wide(f + VD)));
      }
    }
  }
  return r;
}

template <class Op, class T>
void short_rows_float(const void* xv, int64_t rows, int64_t rs, int64_t n, const double* c, void* accv) {
  using E = typename Arith<Op::kWide, T>::type;
  const T* x = static_cast<const T*>(xv);
  double* acc = static_cast<double*>(accv);
  if constexpr (!Op::kCostly)
    if (n <= 8 * Lanes<E>::n && n > 1) {
      const int64_t done = n <= kShortest ? short_rows_panel<Op, E>(x, rows, rs, n, c, acc)
                                          : short_rows_lanes<Op, E>(x, rows, rs, n, c, acc);
      rows -= done, x += done * rs, acc += done, c += c ? done : 0;
    }
  if (n >= 16) {
    for (int64_t r = 0; r < rows; ++r, x += rs) row_float_inline<Op, T>(x, n, c ? c + r : nullptr, acc + r);
    return;
  }
  if constexpr (!Op::kCostly) {
    for (int64_t r = 0; r < rows; ++r, x += rs) {
      const E cr = c ? (E)c[r] : E{};
      E total = Op::map((E)x[0], cr);
      for (int64_t i = 1; i < n; ++i) total = Op::join(total, Op::map((E)x[i], cr));
      acc[r] = Op::join(acc[r], (double)total);
    }
    return;
  }
  // Rows become lanes: element i of L rows side by side.
  using V = typename Lanes<E>::Vec;
  constexpr int L = Lanes<E>::n;
  E block[16 * L];
  for (; rows >= L; rows -= L, x += L * rs, acc += L, c += c ? L : 0) {
    for (int64_t r = 0; r < L; ++r)
      for (int64_t i = 0; i < n; ++i) block[i * L + r] = (E)x[r * rs + i];
    V cv = {};
    if constexpr (sizeof(E) == 8)
      if (c) cv = loadu(c);
    V total = Op::map(loadu(block), cv);
    for (int64_t i = 1; i < n; ++i) total = Op::join(total, Op::map(loadu(block + i * L), cv));
    for (int r = 0; r < L; ++r) acc[r] = Op::join(acc[r], (double)total[r]);
  }
  for (int64_t r = 0; r < rows; ++r, x += rs) {
    const E cr = c ? (E)c[r] : E{};
    E total = Op::map((E)x[0], cr);
    for (int64_t i = 1; i < n; ++i) total = Op::join(total, Op::map((E)x[i], cr));
    acc[r] = Op::join(acc[r], (double)total);
  }
}

template <class T, class O>
CCDL_SI void pack_as(const void* xv, int64_t stride, int64_t n, void* out) {
  const T* __restrict x = static_cast<const T*>(xv);
  O* __restrict y = static_cast<O*>(out);
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = (O)x[i];
  } else if (stride == 2) {
    for (int64_t i = 0; i < n; ++i) y[i] = (O)x[i * 2];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (O)x[i * stride];
  }
}
template <class T>
CCDL_SI void pack_half(const void* xv, int64_t stride, int64_t n, void* out) {
  const T* x = static_cast<const T*>(xv);
  float* y = static_cast<float*>(out);
  int64_t i = 0;
  if (stride == 1)
    for (; i + VL <= n; i += VL) storeu(y + i, load_half(x + i));
  for (; i < n; ++i) y[i] = (float)x[i * stride];
}
void pack(DType t, const void* x, int64_t stride, int64_t n, void* out) {
  switch (t) {
    case DType::Bool:
    case DType::UInt8:
      return pack_as<uint8_t, int64_t>(x, stride, n, out);
    case DType::Int8:
      return pack_as<int8_t, int64_t>(x, stride, n, out);
    case DType::Int16:
      return pack_as<int16_t, int64_t>(x, stride, n, out);
    case DType::Int32:
      return pack_as<int32_t, int64_t>(x, stride, n, out);
    case DType::Int64:
      return pack_as<int64_t, int64_t>(x, stride, n, out);
    case DType::Float16:
      return pack_half<float16>(x, stride, n, out);
    case DType::BFloat16:
      return pack_half<bfloat16>(x, stride, n, out);
    case DType::Float32:
      return pack_as<float, float>(x, stride, n, out);
    default:
      return pack_as<double, double>(x, stride, n, out);
  }
}

}  // namespace

#define CCDL_RED_HALVES(fn, Op) fn##_float<Op, float16>, fn##_float<Op, bfloat16>
#define CCDL_RED_NONE nullptr, nullptr, nullptr, nullptr
#define CCDL_RED_SMALL(fn, Op) \
  fn##_int<Op, uint8_t>, fn##_int<Op, int8_t>, fn##_int<Op, int16_t>, fn##_int<Op, int32_t>
#define CCDL_RED_NARROW(fn, Op) \
  { fn##_float<Op, float>, fn##_float<Op, double>, nullptr, CCDL_RED_HALVES(fn, Op), CCDL_RED_NONE }
#define CCDL_RED_FLOAT(fn, Op) \
  { fn##_float<Op, float>, fn##_float<Op, double>, nullptr, nullptr, nullptr, CCDL_RED_NONE }
#define CCDL_RED_BOTH(fn, Op, IntOp)                                                                  \
  {                                                                                                   \
    fn##_float<Op, float>, fn##_float<Op, double>, fn##_int<IntOp, int64_t>, CCDL_RED_HALVES(fn, Op), \
        CCDL_RED_SMALL(fn, IntOp)                                                                     \
  }
#define CCDL_RED_PROD(fn, Op, IntOp)                                                           \
  {                                                                                            \
    fn##_float<Op, float>, fn##_float<Op, double>, fn##_int<IntOp, int64_t>, nullptr, nullptr, \
        CCDL_RED_SMALL(fn, IntOp)                                                              \
  }
#define CCDL_RED_COUNT(fn, Op, ByteOp)                                                  \
  {                                                                                     \
    fn##_int<Op, float>, fn##_int<Op, double>, fn##_int<Op, int64_t>, nullptr, nullptr, \
        fn##_int<ByteOp, uint8_t>, nullptr, nullptr, fn##_int<Op, int32_t>              \
  }
#define CCDL_RED_TABLE(fn)                                                                             \
  {                                                                                                    \
    CCDL_RED_BOTH(fn, SumOp, ISum), CCDL_RED_FLOAT(fn, SumDOp), CCDL_RED_NARROW(fn, NanSumOp),         \
        CCDL_RED_NARROW(fn, SumAbsOp), CCDL_RED_FLOAT(fn, SumSqOp), CCDL_RED_FLOAT(fn, SqDiffOp),      \
        CCDL_RED_FLOAT(fn, SumPowOp), CCDL_RED_FLOAT(fn, SumExpOp), CCDL_RED_PROD(fn, ProdOp, IProd),  \
        CCDL_RED_BOTH(fn, MaxOp, IMax), CCDL_RED_BOTH(fn, MinOp, IMin), CCDL_RED_NARROW(fn, MaxAbsOp), \
        CCDL_RED_NARROW(fn, MinAbsOp), CCDL_RED_COUNT(fn, CountOp, CountOp),                           \
        CCDL_RED_COUNT(fn, AnyOp, AnyByte), CCDL_RED_COUNT(fn, AllOp, AllByte)                         \
  }
#define CCDL_ARG_TABLE(fn, largest) \
  { fn<largest, float, double>, fn<largest, double, double>, fn<largest, int64_t, int64_t> }

const ReduceKernels reduce = {
    CCDL_RED_TABLE(row),
    CCDL_RED_TABLE(col),
    CCDL_RED_TABLE(short_rows),
    row_byte<false>,
    row_byte<true>,
    {CCDL_ARG_TABLE(arg_row, false), CCDL_ARG_TABLE(arg_row, true)},
    {CCDL_ARG_TABLE(arg_col, false), CCDL_ARG_TABLE(arg_col, true)},
    {CCDL_ARG_TABLE(arg_short_rows, false), CCDL_ARG_TABLE(arg_short_rows, true)},
    pack,
    {{direct<SumOp, float>, direct<SumOp, double>, direct<WholeSumOp, int64_t>, direct<SumOp, float16>,
      direct<SumOp, bfloat16>},
     {direct<MaxOp, float>, direct<MaxOp, double>, direct<WholeBestOp<true>, int64_t>, direct<MaxOp, float16>,
      direct<MaxOp, bfloat16>},
     {direct<MinOp, float>, direct<MinOp, double>, direct<WholeBestOp<false>, int64_t>,
      direct<MinOp, float16>, direct<MinOp, bfloat16>},
     {direct<ProdOp, float>, direct<ProdOp, double>, nullptr, nullptr, nullptr}},
};

}  // namespace ccdl::cpu::CCDL_ISA
