// Conversions of contiguous arrays. Integers and integer to float are plain loops for the vectoriser; float
// to integer takes the instruction where there is one, whose answer for what does not fit is the contract's;
// the half formats pass through a small block of floats.
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;
template <class T>
constexpr bool kHalf = kSame<T, float16> || kSame<T, bfloat16>;
template <class T>
constexpr bool kFloat = kSame<T, float> || kSame<T, double>;
constexpr int kBlock = 512;

CCDL_SI int32_t scalar_int32(float x) {
#if defined(__SSE2__)
  return _mm_cvttss_si32(_mm_set_ss(x));
#else
  return x >= -2147483648.0f && x < 2147483648.0f ? (int32_t)x : INT32_MIN;
#endif
}
CCDL_SI int32_t scalar_int32(double x) {
#if defined(__SSE2__)
  return _mm_cvttsd_si32(_mm_set_sd(x));
#else
  return x >= -2147483648.0 && x < 2147483648.0 ? (int32_t)x : INT32_MIN;
#endif
}
CCDL_SI int64_t scalar_int64(float x) {
#if defined(__x86_64__)
  return _mm_cvttss_si64(_mm_set_ss(x));
#else
  return x >= -9223372036854775808.0f && x < 9223372036854775808.0f ? (int64_t)x : INT64_MIN;
#endif
}
CCDL_SI int64_t scalar_int64(double x) {
#if defined(__x86_64__)
  return _mm_cvttsd_si64(_mm_set_sd(x));
#else
  return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
#endif
}

// Truncated integers.
CCDL_SI void truncated(const float* x, int32_t* y, int64_t n) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + VL <= n; i += VL)
    storeu(y + i, (vi)_mm512_maskz_cvttps_epi32((__mmask16)-1, _mm512_loadu_ps(x + i)));
#elif defined(__AVX2__)
  for (; i + VL <= n; i += VL) storeu(y + i, (vi)_mm256_cvttps_epi32(_mm256_loadu_ps(x + i)));
#elif defined(__SSE2__)
  for (; i + VL <= n; i += VL) storeu(y + i, (vi)_mm_cvttps_epi32(_mm_loadu_ps(x + i)));
#endif
  for (; i < n; ++i) y[i] = scalar_int32(x[i]);
}
CCDL_SI void truncated(const double* x, int32_t* y, int64_t n) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + VD <= n; i += VD)
    _mm256_storeu_si256((__m256i*)(y + i), _mm512_maskz_cvttpd_epi32((__mmask8)-1, _mm512_loadu_pd(x + i)));
#elif defined(__AVX2__)
  for (; i + VD <= n; i += VD)
    _mm_storeu_si128((__m128i*)(y + i), _mm256_cvttpd_epi32(_mm256_loadu_pd(x + i)));
#endif
  for (; i < n; ++i) y[i] = scalar_int32(x[i]);
}
CCDL_SI void truncated(const double* x, int64_t* y, int64_t n) {
  int64_t i = 0;
#if defined(__AVX512DQ__)
  for (; i + VD <= n; i += VD)
    _mm512_storeu_si512(y + i, _mm512_maskz_cvttpd_epi64((__mmask8)-1, _mm512_loadu_pd(x + i)));
#endif
  for (; i < n; ++i) y[i] = scalar_int64(x[i]);
}
CCDL_SI void truncated(const float* x, int64_t* y, int64_t n) {
  int64_t i = 0;
#if defined(__AVX512DQ__)
  for (; i + VD <= n; i += VD)
    _mm512_storeu_si512(y + i, _mm512_maskz_cvttps_epi64((__mmask8)-1, _mm256_loadu_ps(x + i)));
#endif
  for (; i < n; ++i) y[i] = scalar_int64(x[i]);
}

template <class T>
CCDL_SI void widen(const T* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + VL <= n; i += VL) storeu(y + i, load_half(x + i));
  for (; i < n; ++i) y[i] = (float)x[i];
}
template <class T>
CCDL_SI void narrow(const float* x, T* y, int64_t n) {
  int64_t i = 0;
  for (; i + VL <= n; i += VL) store_half(y + i, loadu(x + i));
  for (; i < n; ++i) y[i] = T(x[i]);
}

// x to y without the half formats; y never overlaps x. To is uint8_t for bool too: `boolean` says which.
template <class From, class To, bool boolean>
CCDL_SI void plain(const From* __restrict x, To* __restrict y, int64_t n) {
  if constexpr (boolean) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] != From(0);
  } else if constexpr (kFloat<From> && !kFloat<To>) {
    if constexpr (sizeof(To) >= 4) {
      truncated(x, y, n);
    } else {
      int32_t t[kBlock];
      for (int64_t b = 0; b < n; b += kBlock) {
        const int64_t m = n - b < kBlock ? n - b : kBlock;
        truncated(x + b, t, m);
        for (int64_t i = 0; i < m; ++i) y[b + i] = (To)t[i];
      }
    }
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (To)x[i];
  }
}

template <class From, class To, bool boolean>
void convert(const void* from, void* to, int64_t n) {
  const From* x = (const From*)from;
  To* y = (To*)to;
  if constexpr (kHalf<From> && kSame<To, float>) {
    widen(x, y, n);
  } else if constexpr (kSame<From, float> && kHalf<To>) {
    narrow(x, y, n);
  } else if constexpr (kHalf<From> || kHalf<To>) {
    float t[kBlock];
    for (int64_t b = 0; b < n; b += kBlock) {
      const int64_t m = n - b < kBlock ? n - b : kBlock;
      if constexpr (kHalf<From>)
        widen(x + b, t, m);
      else
        plain<From, float, false>(x + b, t, m);
      if constexpr (kHalf<To>)
        narrow(t, y + b, m);
      else
        plain<float, To, boolean>(t, y + b, m);
    }
  } else {
    plain<From, To, boolean>(x, y, n);
  }
}

template <class T>
void fill(const void* value, void* y, int64_t n) {
  T v;
  __builtin_memcpy(&v, value, sizeof(T));
  T* p = (T*)y;
  for (int64_t i = 0; i < n; ++i) p[i] = v;
}
template <class T, int kStep>
CCDL_SI void every(const void* x, void* y, int64_t n) {
  const T* __restrict p = (const T*)x;
  T* __restrict q = (T*)y;
  for (int64_t i = 0; i < n; ++i) q[i] = p[kStep * i];
}
template <class T>
void every_second(const void* x, void* y, int64_t n) {
  every<T, 2>(x, y, n);
}
template <class T>
void every_third(const void* x, void* y, int64_t n) {
  every<T, 3>(x, y, n);
}
template <class T>
void every_fourth(const void* x, void* y, int64_t n) {
  every<T, 4>(x, y, n);
}
template <class T>
void deal(const void* x, int64_t x_step, int64_t count, void* to, int64_t n) {
  const T* __restrict p = (const T*)x;
  T* __restrict y = (T*)to;
  if (count == 2) {
    const T* __restrict q = p + x_step;
    for (int64_t i = 0; i < n; ++i) y[2 * i] = p[i], y[2 * i + 1] = q[i];
  } else if (count == 3) {
    const T* __restrict q = p + x_step, * __restrict r = q + x_step;
    for (int64_t i = 0; i < n; ++i) y[3 * i] = p[i], y[3 * i + 1] = q[i], y[3 * i + 2] = r[i];
  } else {
    const T* __restrict q = p + x_step, * __restrict r = q + x_step, * __restrict s = r + x_step;
    for (int64_t i = 0; i < n; ++i)
      y[4 * i] = p[i], y[4 * i + 1] = q[i], y[4 * i + 2] = r[i], y[4 * i + 3] = s[i];
  }
}
template <class T>
void reverse(const void* x, void* y, int64_t n) {
  const T* __restrict p = (const T*)x;
  T* __restrict q = (T*)y;
  for (int64_t i = 0; i < n; ++i) q[i] = p[-i];
}

// Two pieces of P's size that may overlap: sizeof(P) <= bytes <= 2 sizeof(P).
template <class P>
CCDL_SI void copy_ends(const char* x, int64_t x_step, char* y, int64_t y_step, int64_t rows, int64_t bytes) {
  for (int64_t r = 0; r < rows; ++r, x += x_step, y += y_step) {
    P a, b;
    __builtin_memcpy(&a, x, sizeof(P));
    __builtin_memcpy(&b, x + bytes - sizeof(P), sizeof(P));
    __builtin_memcpy(y, &a, sizeof(P));
    __builtin_memcpy(y + bytes - sizeof(P), &b, sizeof(P));
  }
}
void copy_rows(const void* from, int64_t x_step, void* to, int64_t y_step, int64_t rows, int64_t bytes) {
  typedef char Sixteen __attribute__((vector_size(16)));
  typedef char Whole __attribute__((vector_size(VB)));
  const char* x = (const char*)from;
  char* y = (char*)to;
  if (bytes < 4) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < bytes; ++i) y[r * y_step + i] = x[r * x_step + i];
  } else if (bytes < 8) {
    copy_ends<uint32_t>(x, x_step, y, y_step, rows, bytes);
  } else if (bytes < 16) {
    copy_ends<uint64_t>(x, x_step, y, y_step, rows, bytes);
  } else if (bytes <= 32) {
    copy_ends<Sixteen>(x, x_step, y, y_step, rows, bytes);
  } else if (VB == 64 && bytes < VB) {
    typedef char ThirtyTwo __attribute__((vector_size(32)));
    copy_ends<ThirtyTwo>(x, x_step, y, y_step, rows, bytes);
  } else if (bytes < VB) {
    for (int64_t r = 0; r < rows; ++r) __builtin_memcpy(y + r * y_step, x + r * x_step, (unsigned long)bytes);
  } else {
    for (int64_t r = 0; r < rows; ++r, x += x_step, y += y_step) {
      Whole last, v;
      __builtin_memcpy(&last, x + bytes - VB, VB);
      for (int64_t i = 0; i + VB <= bytes; i += VB) {
        __builtin_memcpy(&v, x + i, VB);
        __builtin_memcpy(y + i, &v, VB);
      }
      __builtin_memcpy(y + bytes - VB, &last, VB);
    }
  }
}

// Whole vectors where they fit: what they write past a row is the next ones', which come later.
template <class T>
void spread_rows(const void* from, int64_t x_step, void* to, int64_t rows, int64_t n) {
  constexpr int64_t kN = VB / (int64_t)sizeof(T);
  typedef T Lanes __attribute__((vector_size(VB)));
  const T* x = (const T*)from;
  T *y = (T*)to, *end = y + rows * n;
  for (int64_t r = 0; r < rows; ++r, x += x_step, y += n) {
    const Lanes v = Lanes{} + *x;
    if (end - y >= n + kN) {
      for (int64_t i = 0; i < n; i += kN) __builtin_memcpy(y + i, &v, VB);
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = *x;
    }
  }
}

#define CCDL_FROM(T)                                                                        \
  {                                                                                         \
    convert<T, uint8_t, true>, convert<T, uint8_t, false>, convert<T, int8_t, false>,       \
        convert<T, int16_t, false>, convert<T, int32_t, false>, convert<T, int64_t, false>, \
        convert<T, float16, false>, convert<T, bfloat16, false>, convert<T, float, false>,  \
        convert<T, double, false>                                                           \
  }
#define CCDL_WIDTHS(fn) \
  { fn<uint8_t>, fn<uint16_t>, fn<uint32_t>, fn<uint64_t> }

}  // namespace

extern const ElementwiseConvertKernels elementwise_convert = {
    {CCDL_FROM(uint8_t), CCDL_FROM(uint8_t), CCDL_FROM(int8_t), CCDL_FROM(int16_t), CCDL_FROM(int32_t),
     CCDL_FROM(int64_t), CCDL_FROM(float16), CCDL_FROM(bfloat16), CCDL_FROM(float), CCDL_FROM(double)},
    CCDL_WIDTHS(fill),
    CCDL_WIDTHS(every_second),
    CCDL_WIDTHS(every_third),
    CCDL_WIDTHS(every_fourth),
    CCDL_WIDTHS(reverse),
    CCDL_WIDTHS(deal),
    copy_rows,
    CCDL_WIDTHS(spread_rows),
};

}  // namespace ccdl::cpu::CCDL_ISA
