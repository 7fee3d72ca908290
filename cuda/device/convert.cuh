// Conversions between element types; included by prelude.cuh.
#pragma once

namespace ccdl::cu {
namespace detail {

template <class A, class B>
constexpr bool kSame = false;
template <class A>
inline constexpr bool kSame<A, A> = true;
template <class T>
constexpr bool kIsFloating = kSame<T, float> || kSame<T, double> || kIsHalf<T>;

CCDL_DEVICE float half_to_float(float16 v) {
#if defined(__CUDA_ARCH__)
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
#else
  return static_cast<float>(v);
#endif
}
CCDL_DEVICE float half_to_float(bfloat16 v) { return static_cast<float>(v); }
CCDL_DEVICE float16 float_to_half(float f, float16) {
#if defined(__CUDA_ARCH__)
  float16 h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(f));
  return h;
#else
  return float16(f);
#endif
}
CCDL_DEVICE bfloat16 float_to_half(float f, bfloat16) {
#if defined(__CUDA_ARCH__)
  bfloat16 h;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(f));
  return h;
#else
  return bfloat16(f);
#endif
}

// x86 semantics: out of range and NaN give the most negative value. int64 and uint8 ... int16 go through
// int64 and int32.
template <class F>
CCDL_DEVICE int64_t float_to_int64(F f) {
  return f >= F(-9223372036854775808.0) && f < F(9223372036854775808.0) ? static_cast<int64_t>(f) : INT64_MIN;
}
template <class F>
CCDL_DEVICE int32_t float_to_int32(F f) {
  return f > F(-2147483649.0) && f < F(2147483648.0) ? static_cast<int32_t>(f) : INT32_MIN;
}

}  // namespace detail

template <class To, class From>
CCDL_DEVICE To convert(From v) {
  using namespace detail;
  if constexpr (kSame<To, From>) {
    return v;
  } else if constexpr (kIsHalf<From>) {
    return convert<To>(half_to_float(v));
  } else if constexpr (kIsHalf<To>) {
    return float_to_half(static_cast<float>(v), To());
  } else if constexpr (kSame<To, bool>) {
    return v != From(0);
  } else if constexpr (kIsFloating<From> && !kIsFloating<To>) {
    if constexpr (sizeof(To) == 8)
      return static_cast<To>(float_to_int64(v));
    else
      return static_cast<To>(float_to_int32(v));
  } else {
    return static_cast<To>(v);
  }
}

}  // namespace ccdl::cu
