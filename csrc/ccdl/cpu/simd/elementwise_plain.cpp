// Arithmetic, bit operations and comparisons directly in each integer width and in double: plain loops left
// to the compiler's vectoriser. Signed arithmetic is done unsigned, so it wraps.
#include <ccdl/cpu/simd/elementwise.h>
#include <ccdl/cpu/simd/vec.h>
#include <ccdl/kernels/elementwise_functors.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
struct Wrap {
  using U = T;
};
template <>
struct Wrap<int8_t> {
  using U = uint8_t;
};
template <>
struct Wrap<int16_t> {
  using U = uint16_t;
};
template <>
struct Wrap<int32_t> {
  using U = uint32_t;
};
template <>
struct Wrap<int64_t> {
  using U = uint64_t;
};

template <class T>
T factor(const ElementParams& p) {
  return (T)p.i[0];
}
template <>
double factor<double>(const ElementParams& p) {
  return p.f[0];
}

#define CCDL_LOOP(Name, Out, FORMULA)                            \
  template <class T>                                             \
  bool Name(void* const* ptr, int64_t n, const ElementParams&) { \
    using U [[maybe_unused]] = typename Wrap<T>::U;              \
    Out* y = (Out*)ptr[0];                                       \
    const T *pa = (const T*)ptr[1], *pb = (const T*)ptr[2];      \
    for (int64_t i = 0; i < n; ++i) {                            \
      const T a = pa[i], b = pb[i];                              \
      y[i] = (Out)(FORMULA);                                     \
    }                                                            \
    return false;                                                \
  }
CCDL_LOOP(add, T, (U)a + (U)b)
CCDL_LOOP(sub, T, (U)a - (U)b)
CCDL_LOOP(mul, T, sizeof(T) == 2 ? (U)(1u * (U)a * (U)b) : (U)((U)a * (U)b))
CCDL_LOOP(bit_and, T, a& b)
CCDL_LOOP(bit_or, T, a | b)
CCDL_LOOP(bit_xor, T, a ^ b)
CCDL_LOOP(maximum, T, a > b ? a : b)
CCDL_LOOP(minimum, T, a < b ? a : b)
CCDL_LOOP(quotient, T, a / b)
CCDL_LOOP(double_max, T, (a > b) | (a != a) ? a : b)
CCDL_LOOP(double_min, T, (a < b) | (a != a) ? a : b)
CCDL_LOOP(eq, uint8_t, a == b)
CCDL_LOOP(ne, uint8_t, a != b)
CCDL_LOOP(lt, uint8_t, a < b)
CCDL_LOOP(le, uint8_t, a <= b)
CCDL_LOOP(gt, uint8_t, a > b)
CCDL_LOOP(ge, uint8_t, a >= b)

CCDL_LOOP(logical_and, uint8_t, (a != T(0)) & (b != T(0)))
CCDL_LOOP(logical_or, uint8_t, (a != T(0)) | (b != T(0)))
CCDL_LOOP(logical_xor, uint8_t, (a != T(0)) ^ (b != T(0)))
CCDL_LOOP(sign_from, T, (a & T(0x7fff)) | (b & T(0x8000)))

template <class T>
struct Limits {
  static constexpr bool kSigned = T(-1) < T(0);
  static constexpr T kMost = kSigned ? T((typename Wrap<T>::U)(-1) >> 1) : T(-1);
  static constexpr T kLeast = kSigned ? T(-kMost - 1) : T(0);
};
// Lanes whose shift no instruction takes: narrower numbers are shifted as 32 bits.
template <class T>
struct Shifted {
  using S = int32_t;
  using U = uint32_t;
};
template <>
struct Shifted<int64_t> {
  using S = int64_t;
  using U = uint64_t;
};
// Bits beyond the width p.i[0] fall out; so they do when the count is negative.
template <class T>
bool shift_left(void* const* ptr, int64_t n, const ElementParams& p) {
  using U = typename Shifted<T>::U;
  const U width = (U)p.i[0];
  T* __restrict y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) {
    const U count = (U)b[i], v = (U)a[i] << (count & (sizeof(U) * 8 - 1));
    y[i] = (T)(count < width ? v : U(0));
  }
  return false;
}
template <class T>
bool shift_right(void* const* ptr, int64_t n, const ElementParams& p) {
  using S = typename Shifted<T>::S;
  using U = typename Shifted<T>::U;
  const U width = (U)p.i[0], whole = sizeof(U) * 8 - 1;
  T* __restrict y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) {
    const U count = (U)b[i];
    y[i] = (T)((S)a[i] >> (count < width ? count : whole));
  }
  return false;
}

// |a - b| <= p.f[1] + p.f[0] |b| in double
template <class T>
bool is_close(void* const* ptr, int64_t n, const ElementParams& p) {
  const double relative = p.f[0], absolute = p.f[1];
  uint8_t* __restrict y = (uint8_t*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) {
    const double u = (double)a[i], v = (double)b[i];
    y[i] = (a[i] == b[i]) | (__builtin_fabs(u - v) <= absolute + __builtin_fabs(relative * v));
  }
  return false;
}

// The neighbour of a towards b in a half format whose infinity has the bits p.i[0].
bool next_half(void* const* ptr, int64_t n, const ElementParams& p) {
  const int32_t infinity = (int32_t)p.i[0];
  int16_t* __restrict y = (int16_t*)ptr[0];
  const int16_t *a = (const int16_t*)ptr[1], *b = (const int16_t*)ptr[2];
  for (int64_t i = 0; i < n; ++i) y[i] = (int16_t)functors::next_half(a[i], b[i], infinity);
  return false;
}

// Short formulas of a half format, converted on the way in and out.
template <class H, class F>
CCDL_SI bool half_block(void* const* ptr, int64_t n, const F& f) {
  H* y = (H*)ptr[0];
  const H* x = (const H*)ptr[1];
  int64_t i = 0;
  for (; i + VL <= n; i += VL) store_half(y + i, f(load_half(x + i)));
  if (i < n) {
    H t[VL] = {};
    for (int64_t k = i; k < n; ++k) t[k - i] = x[k];
    store_half(t, f(load_half(t)));
    for (int64_t k = i; k < n; ++k) y[k] = t[k - i];
  }
  return false;
}
template <class H>
bool half_square(void* const* ptr, int64_t n, const ElementParams&) {
  return half_block<H>(
      ptr, n, [](vf x) __attribute__((always_inline)) { return x * x; });
}
template <class H>
bool half_sqrt(void* const* ptr, int64_t n, const ElementParams&) {
  return half_block<H>(
      ptr, n, [](vf x) __attribute__((always_inline)) { return vsqrt(x); });
}
template <class H>
bool half_reciprocal(void* const* ptr, int64_t n, const ElementParams&) {
  return half_block<H>(
      ptr, n, [](vf x) __attribute__((always_inline)) { return 1.0f / x; });
}

template <class T>
bool addcmul(void* const* ptr, int64_t n, const ElementParams& p) {
  using U = typename Wrap<T>::U;
  const U scale = (U)p.i[0];
  T* y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2], *c = (const T*)ptr[3];
  for (int64_t i = 0; i < n; ++i) y[i] = (T)((U)a[i] + (U)(1u * scale * (U)(1u * (U)b[i] * (U)c[i])));
  return false;
}
template <class T>
bool clamp_between(void* const* ptr, int64_t n, const ElementParams&) {
  T* y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2], *c = (const T*)ptr[3];
  for (int64_t i = 0; i < n; ++i) {
    const T t = a[i] < b[i] ? b[i] : a[i], high = c[i];
    y[i] = t > high ? high : t;
  }
  return false;
}
template <class T>
bool clamp(void* const* ptr, int64_t n, const ElementParams& p) {
  T* y = (T*)ptr[0];
  const T* x = (const T*)ptr[1];
  int64_t low = p.i[0], high = p.i[1];
  if (low > (int64_t)Limits<T>::kMost) low = high = low < high ? low : high;  // one number for all, wrapped
  if (high < (int64_t)Limits<T>::kLeast) low = high;
  if (low == high) {
    for (int64_t i = 0; i < n; ++i) y[i] = (T)low;
    return false;
  }
  const T from = low < (int64_t)Limits<T>::kLeast ? Limits<T>::kLeast : (T)low;
  const T to = high > (int64_t)Limits<T>::kMost ? Limits<T>::kMost : (T)high;
  for (int64_t i = 0; i < n; ++i) {
    const T t = x[i] < from ? from : x[i];
    y[i] = t > to ? to : t;
  }
  return false;
}
bool bytes(void* const* ptr, int64_t n, const ElementParams& p) {
  __builtin_memset(ptr[0], (int)p.i[0], (unsigned long)n);
  return false;
}

// a + alpha b; alpha is 1 nearly always.
template <class T>
bool add_scaled(void* const* ptr, int64_t n, const ElementParams& p) {
  using U = typename Wrap<T>::U;
  const U alpha = (U)factor<T>(p);
  if (alpha == (U)1) return add<T>(ptr, n, p);
  T* y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) y[i] = (T)((U)a[i] + (U)((U)b[i] * alpha));
  return false;
}
template <class T>
bool sub_scaled(void* const* ptr, int64_t n, const ElementParams& p) {
  using U = typename Wrap<T>::U;
  const U alpha = (U)factor<T>(p);
  if (alpha == (U)1) return sub<T>(ptr, n, p);
  T* y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) y[i] = (T)((U)a[i] - (U)((U)b[i] * alpha));
  return false;
}

#define CCDL_LOOP1(Name, Out, FORMULA)                           \
  template <class T>                                             \
  bool Name(void* const* ptr, int64_t n, const ElementParams&) { \
    using U [[maybe_unused]] = typename Wrap<T>::U;              \
    Out* y = (Out*)ptr[0];                                       \
    const T* px = (const T*)ptr[1];                              \
    for (int64_t i = 0; i < n; ++i) {                            \
      const T x = px[i];                                         \
      y[i] = (Out)(FORMULA);                                     \
    }                                                            \
    return false;                                                \
  }
CCDL_LOOP1(negative, T, (U)0 - (U)x)
CCDL_LOOP1(magnitude, T, x < T(0) ? (U)0 - (U)x : (U)x)
CCDL_LOOP1(sign, T, (x > T(0)) - (x < T(0)))
CCDL_LOOP1(square, T, sizeof(T) == 2 ? (U)(1u * (U)x * (U)x) : (U)((U)x * (U)x))
CCDL_LOOP1(relu, T, x > T(0) ? x : T(0))
CCDL_LOOP1(bit_not, T, ~x)
CCDL_LOOP1(logical_not, uint8_t, x == T(0))
CCDL_LOOP1(sign_bit, uint8_t, x < T(0))
CCDL_LOOP1(flip_sign, T, x ^ T(0x8000))
CCDL_LOOP1(drop_sign, T, x& T(0x7fff))

// The floating type whose rounded quotient, cut to an integer, is exact for T: the true quotient a / b is a
// whole number or at least 1 / |b| away from one, which is 1 / |a| of itself, more than the type's rounding.
template <class T>
struct Ratio {
  using type = float;
  using whole = int32_t;
};
template <>
struct Ratio<int32_t> {
  using type = double;
  using whole = int32_t;
};
template <>
struct Ratio<int64_t> {
  using type = double;
  using whole = int64_t;
};
enum class Division { Floor, Trunc, Remainder, Fmod };

template <Division D, class T>
CCDL_SI T divided(T a, T b, T q) {  // q = a / b towards zero
  using U = typename Wrap<T>::U;
  const T r = (T)((U)a - (U)((U)(1u * (U)q) * (U)(1u * (U)b)));
  const bool below = (r != 0) & ((r < 0) != (b < 0));
  switch (D) {
    case Division::Trunc:
      return q;
    case Division::Floor:
      return (T)((U)q - (U)below);
    case Division::Fmod:
      return r;
    default:
      return (T)((U)r + (U)(below ? b : T(0)));
  }
}

// Whole numbers beyond 2^51 are divided one by one.
CCDL_SI bool small(const int64_t* a, const int64_t* b, int64_t n) {
  uint64_t far = 0;
  for (int64_t i = 0; i < n; ++i) {
    far |= ((uint64_t)a[i] + ((uint64_t)1 << 51)) >> 52;
    far |= ((uint64_t)b[i] + ((uint64_t)1 << 51)) >> 52;
  }
  return far == 0;
}

template <Division D, class T>
bool divide(void* const* ptr, int64_t n, const ElementParams&) {
  using F = typename Ratio<T>::type;
  using W = typename Ratio<T>::whole;
  using U = typename Wrap<T>::U;
  T* y = (T*)ptr[0];
  const T *pa = (const T*)ptr[1], *pb = (const T*)ptr[2];
  bool zero = false;
  constexpr int kPiece = 256;
  for (int64_t at = 0; at < n; at += kPiece) {
    const T *a = pa + at, *b = pb + at;
    const int m = n - at < kPiece ? (int)(n - at) : kPiece;
    W q[kPiece];
    int none = 0;
    bool exact = true;
    if constexpr (sizeof(T) == 8) exact = small(a, b, m);
    if (exact) {
      for (int i = 0; i < m; ++i) {  // -1 and 0 are put right below: their quotients need not fit
        const T d = (b[i] == 0) | (b[i] == (T)-1) ? T(1) : b[i];
        q[i] = (W)((F)a[i] / (F)d);
      }
    } else if constexpr (sizeof(T) == 8) {
      for (int i = 0; i < m; ++i) {
        const T d = (b[i] == 0) | (b[i] == (T)-1) ? T(1) : b[i];
        q[i] = a[i] / d;
      }
    }
    for (int i = 0; i < m; ++i) {
      const T u = a[i], v = b[i];
      none |= v == 0;
      const bool minus = (T)-1 < (T)0 && v == (T)-1;
      const T t = (T)-1 > (T)0 && v == (T)-1 ? (T)(u == v) : minus ? (T)((U)0 - (U)u) : (T)q[i];
      y[at + i] = v == 0 ? T(0) : divided<D, T>(u, v, t);
    }
    zero |= none != 0;
  }
  return zero;
}

#define CCDL_INTEGERS(T)                                                                                    \
  add_scaled<T>, sub_scaled<T>, mul<T>, nullptr, maximum<T>, minimum<T>, bit_and<T>, bit_or<T>, bit_xor<T>, \
      eq<T>, ne<T>, lt<T>, le<T>, gt<T>, ge<T>, divide<Division::Floor, T>, divide<Division::Trunc, T>,     \
      divide<Division::Remainder, T>, divide<Division::Fmod, T>, maximum<T>, minimum<T>, logical_and<T>,    \
      logical_or<T>, logical_xor<T>, is_close<T>, shift_left<T>, shift_right<T>
#define CCDL_INTEGER(T) \
  { CCDL_INTEGERS(T) }
#define CCDL_INTEGER1(T)                                                                          \
  {                                                                                               \
    negative<T>, magnitude<T>, sign<T>, square<T>, relu<T>, bit_not<T>, logical_not<T>, clamp<T>, \
        sign_bit<T>                                                                               \
  }

}  // namespace

extern const ElementwisePlainKernels elementwise_plain = {
    {
        {nullptr,
         nullptr,
         bit_and<uint8_t>,
         nullptr,
         bit_or<uint8_t>,
         bit_and<uint8_t>,
         bit_and<uint8_t>,
         bit_or<uint8_t>,
         bit_xor<uint8_t>,
         eq<uint8_t>,
         ne<uint8_t>,
         lt<uint8_t>,
         le<uint8_t>,
         gt<uint8_t>,
         ge<uint8_t>,
         nullptr,
         nullptr,
         nullptr,
         nullptr,
         bit_or<uint8_t>,
         bit_and<uint8_t>,
         logical_and<uint8_t>,
         logical_or<uint8_t>,
         logical_xor<uint8_t>,
         is_close<uint8_t>},
        CCDL_INTEGER(uint8_t),
        CCDL_INTEGER(int8_t),
        {CCDL_INTEGERS(int16_t), next_half},
        CCDL_INTEGER(int32_t),
        CCDL_INTEGER(int64_t),
        {add_scaled<double>, sub_scaled<double>, mul<double>, quotient<double>, double_max<double>,
         double_min<double>, nullptr, nullptr, nullptr, eq<double>, ne<double>, lt<double>, le<double>,
         gt<double>, ge<double>, nullptr, nullptr, nullptr, nullptr},
    },
    {
        {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, logical_not<uint8_t>, nullptr,
         sign_bit<uint8_t>},
        CCDL_INTEGER1(uint8_t),
        CCDL_INTEGER1(int8_t),
        CCDL_INTEGER1(int16_t),
        CCDL_INTEGER1(int32_t),
        CCDL_INTEGER1(int64_t),
    },
    {nullptr, addcmul<uint8_t>, addcmul<int8_t>, addcmul<int16_t>, addcmul<int32_t>, addcmul<int64_t>},
    {nullptr, clamp_between<uint8_t>, clamp_between<int8_t>, clamp_between<int16_t>, clamp_between<int32_t>,
     clamp_between<int64_t>},
    flip_sign<uint16_t>,
    drop_sign<uint16_t>,
    sign_from<uint16_t>,
    {half_square<float16>, half_square<bfloat16>},
    {half_sqrt<float16>, half_sqrt<bfloat16>},
    {half_reciprocal<float16>, half_reciprocal<bfloat16>},
    bytes,
};

}  // namespace ccdl::cpu::CCDL_ISA
