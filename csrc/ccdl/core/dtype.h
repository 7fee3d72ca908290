// Element types. Plain data only: kernels of every instruction-set level include this header, so every
// function is always_inline and nothing here has linkage of its own.
// Half-precision formats are storage formats: arithmetic on them happens in float.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define CCDL_HD __host__ __device__
#define CCDL_INLINE __forceinline__
#else
#define CCDL_HD
#define CCDL_INLINE inline __attribute__((always_inline))
#endif

namespace ccdl {

enum class DType : uint8_t {
  Bool,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  Float16,
  BFloat16,
  Float32,
  Float64,
  Complex64,
  Complex128,  // reserved: every op rejects them
};
constexpr int kNumDTypes = 10;

// IEEE binary16; conversions round to nearest even and keep NaN.
struct float16 {
  uint16_t bits;
  float16() = default;
  CCDL_HD CCDL_INLINE explicit float16(float f) : bits(from_float(f)) {}
  CCDL_HD CCDL_INLINE explicit operator float() const { return to_float(bits); }
  CCDL_HD static CCDL_INLINE uint16_t from_float(float f) {
    uint32_t x;
    __builtin_memcpy(&x, &f, 4);
    const uint32_t sign = (x >> 16) & 0x8000u;
    x &= 0x7fffffffu;
    if (x > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((x >> 13) & 0x1ffu));
    if (x >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (x < 0x38800000u) {  // subnormal half: let the float adder round at 2^-24
      float r;
      __builtin_memcpy(&r, &x, 4);
      r += 0.5f;
      uint32_t y;
      __builtin_memcpy(&y, &r, 4);
      return static_cast<uint16_t>(sign | (y - 0x3f000000u));
    }
    const uint32_t odd = (x >> 13) & 1u;
    return static_cast<uint16_t>(sign | ((x - 0x38000000u + 0xfffu + odd) >> 13));
  }
  CCDL_HD static CCDL_INLINE float to_float(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
    uint32_t x = static_cast<uint32_t>(h & 0x7fffu) << 13;
    const uint32_t exponent = x & 0x0f800000u;
    float f;
    if (exponent == 0x0f800000u) {
      x += 0x70000000u;
    } else if (exponent == 0) {
      x += 0x38800000u;
      __builtin_memcpy(&f, &x, 4);
      f -= 6.103515625e-05f;
      __builtin_memcpy(&x, &f, 4);
    } else {
      x += 0x38000000u;
    }
    x |= sign;
    __builtin_memcpy(&f, &x, 4);
    return f;
  }
};

// Upper half of a float; conversion rounds to nearest even and keeps NaN.
struct bfloat16 {
  uint16_t bits;
  bfloat16() = default;
  CCDL_HD CCDL_INLINE explicit bfloat16(float f) : bits(from_float(f)) {}
  CCDL_HD CCDL_INLINE explicit operator float() const { return to_float(bits); }
  CCDL_HD static CCDL_INLINE uint16_t from_float(float f) {
    uint32_t x;
    __builtin_memcpy(&x, &f, 4);
    if ((x & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((x >> 16) | 0x40u);
    return static_cast<uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
  }
  CCDL_HD static CCDL_INLINE float to_float(uint16_t b) {
    const uint32_t x = static_cast<uint32_t>(b) << 16;
    float f;
    __builtin_memcpy(&f, &x, 4);
    return f;
  }
};

CCDL_HD CCDL_INLINE constexpr int64_t item_size(DType t) {
  constexpr int64_t table[] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return table[static_cast<int>(t)];
}
CCDL_HD CCDL_INLINE constexpr bool is_floating(DType t) {
  return t == DType::Float16 || t == DType::BFloat16 || t == DType::Float32 || t == DType::Float64;
}
CCDL_HD CCDL_INLINE constexpr bool is_half(DType t) { return t == DType::Float16 || t == DType::BFloat16; }
CCDL_HD CCDL_INLINE constexpr bool is_integral(DType t, bool with_bool = true) {
  return t <= DType::Int64 && (with_bool || t != DType::Bool);
}
CCDL_HD CCDL_INLINE constexpr const char* dtype_name(DType t) {
  constexpr const char* table[] = {"bool",    "uint8",    "int8",    "int16",   "int32",     "int64",
                                   "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};
  return table[static_cast<int>(t)];
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::Bool;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::UInt8;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::Int8;
};
template <>
struct DTypeOf<int16_t> {
  static constexpr DType value = DType::Int16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::Int32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::Int64;
};
template <>
struct DTypeOf<float16> {
  static constexpr DType value = DType::Float16;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::BFloat16;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::Float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::Float64;
};

}  // namespace ccdl
