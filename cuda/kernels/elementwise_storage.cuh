// Elements by run-time storage type: one at a time, and four neighbours at a time (a quad) for what
// elementwise_walk.cuh streams; and the numbers that stay on the host.
#pragma once
#include <device/vec.cuh>

namespace ccdl::cu {

// ---- storage to compute type and back, by run-time type ----

CCDL_DEVICE uint64_t load_raw(const void* p, int item, int64_t offset) {
  switch (item) {
    case 1:
      return static_cast<const uint8_t*>(p)[offset];
    case 2:
      return static_cast<const uint16_t*>(p)[offset];
    case 4:
      return static_cast<const uint32_t*>(p)[offset];
    default:
      return static_cast<const uint64_t*>(p)[offset];
  }
}
CCDL_DEVICE void store_raw(void* p, int item, int64_t offset, uint64_t v) {
  switch (item) {
    case 1:
      static_cast<uint8_t*>(p)[offset] = static_cast<uint8_t>(v);
      break;
    case 2:
      static_cast<uint16_t*>(p)[offset] = static_cast<uint16_t>(v);
      break;
    case 4:
      static_cast<uint32_t*>(p)[offset] = static_cast<uint32_t>(v);
      break;
    default:
      static_cast<uint64_t*>(p)[offset] = v;
  }
}

template <class C, class H>
CCDL_DEVICE C from_half_bits(uint32_t bits) {
  H h;
  h.bits = static_cast<uint16_t>(bits);
  return convert<C>(h);
}

template <class C>
CCDL_DEVICE C from_raw(uint64_t raw, DType t) {
  switch (t) {
    case DType::Bool:
    case DType::UInt8:
      return convert<C>(static_cast<uint8_t>(raw));
    case DType::Int8:
      return convert<C>(static_cast<int8_t>(raw));
    case DType::Int16:
      return convert<C>(static_cast<int16_t>(raw));
    case DType::Int32:
      return convert<C>(static_cast<int32_t>(raw));
    case DType::Int64:
      return convert<C>(static_cast<int64_t>(raw));
    case DType::Float16:
      return from_half_bits<C, float16>(static_cast<uint32_t>(raw));
    case DType::BFloat16:
      return from_half_bits<C, bfloat16>(static_cast<uint32_t>(raw));
    case DType::Float32:
      return convert<C>(__uint_as_float(static_cast<uint32_t>(raw)));
    default:
      return convert<C>(__longlong_as_double(static_cast<long long>(raw)));
  }
}

template <class C>
CCDL_DEVICE C load_as(const void* p, DType t, int item, int64_t offset) {
  return from_raw<C>(load_raw(p, item, offset), t);
}

// A bool result goes to a bool output.
template <class R>
CCDL_DEVICE void store_as(void* p, DType t, int64_t offset, R v) {
  if constexpr (detail::kSame<R, bool>) {
    static_cast<bool*>(p)[offset] = v;
  } else {
#define CCDL_STORE(Type, T)                     \
  case DType::Type:                             \
    static_cast<T*>(p)[offset] = convert<T>(v); \
    break;
    switch (t) {
      CCDL_STORE(Bool, bool)
      CCDL_STORE(UInt8, uint8_t)
      CCDL_STORE(Int8, int8_t)
      CCDL_STORE(Int16, int16_t)
      CCDL_STORE(Int32, int32_t)
      CCDL_STORE(Int64, int64_t)
      CCDL_STORE(Float16, float16)
      CCDL_STORE(BFloat16, bfloat16)
      CCDL_STORE(Float32, float)
      default:
        static_cast<double*>(p)[offset] = convert<double>(v);
    }
#undef CCDL_STORE
  }
}

// ---- four neighbours at a time, items of 1, 2 or 4 bytes ----

struct alignas(16) RawQuad {
  uint32_t w[4];
};

// One element four times.
CCDL_DEVICE RawQuad spread_quad(uint32_t element, int item) {
  const uint32_t w = element * (item == 1 ? 0x01010101u : item == 2 ? 0x00010001u : 1u);
  return {{w, w, w, w}};
}
CCDL_DEVICE RawQuad load_quad(const void* p, int item, int64_t offset, bool constant) {
  if (constant) return spread_quad(static_cast<uint32_t>(load_raw(p, item, offset)), item);
  RawQuad r{};
  if (item == 4) {
    const Vec<uint32_t> v = load_vec(static_cast<const uint32_t*>(p) + offset);
#pragma unroll
    for (int i = 0; i < 4; ++i) r.w[i] = v[i];
  } else if (item == 2) {
    const Vec<uint32_t, 2> v =
        load_vec<uint32_t, 2>(reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(p) + offset));
    r.w[0] = v[0], r.w[1] = v[1];
  } else {
    r.w[0] = *reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(p) + offset);
  }
  return r;
}
CCDL_DEVICE void store_raw_quad(void* p, int item, int64_t offset, const RawQuad& r) {
  if (item == 4)
    store_vec(static_cast<uint32_t*>(p) + offset, Vec<uint32_t>{{r.w[0], r.w[1], r.w[2], r.w[3]}});
  else if (item == 2)
    store_vec(reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(p) + offset),
              Vec<uint32_t, 2>{{r.w[0], r.w[1]}});
  else
    *reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(p) + offset) = r.w[0];
}

// Types a quad may hold: float32, the half formats, bool and uint8.
CCDL_HD CCDL_INLINE bool fits_quad(DType t) {
  return t == DType::Float32 || is_half(t) || t == DType::Bool || t == DType::UInt8;
}

CCDL_DEVICE void unpack_quad(const RawQuad& r, DType t, float (&v)[4]) {
  switch (t) {
    case DType::Float32:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = __uint_as_float(r.w[i]);
      break;
    case DType::Float16:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = from_half_bits<float, float16>(r.w[i / 2] >> (16 * (i % 2)));
      break;
    case DType::BFloat16:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = from_half_bits<float, bfloat16>(r.w[i / 2] >> (16 * (i % 2)));
      break;
    default:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = static_cast<float>((r.w[0] >> (8 * i)) & 255u);
  }
}

template <class H>
CCDL_DEVICE uint32_t pack_halves(float lo, float hi) {
  return convert<H>(lo).bits | static_cast<uint32_t>(convert<H>(hi).bits) << 16;
}

// To float32, a half format, or (a bool result) bool.
template <class R>
CCDL_DEVICE void store_quad(void* p, DType t, int64_t offset, const R (&v)[4]) {
  if constexpr (detail::kSame<R, bool>) {
    uint32_t w = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) w |= static_cast<uint32_t>(v[i]) << (8 * i);
    store_raw_quad(p, 1, offset, {{w, 0, 0, 0}});
  } else if (t == DType::Float32) {
    store_vec(static_cast<float*>(p) + offset, Vec<float>{{v[0], v[1], v[2], v[3]}});
  } else if (t == DType::Float16) {
    store_raw_quad(p, 2, offset,
                   {{pack_halves<float16>(v[0], v[1]), pack_halves<float16>(v[2], v[3]), 0, 0}});
  } else {
    store_raw_quad(p, 2, offset,
                   {{pack_halves<bfloat16>(v[0], v[1]), pack_halves<bfloat16>(v[2], v[3]), 0, 0}});
  }
}

// ---- numbers on the host ----

template <class C, class F>
C host_number(F v) {
  if constexpr (sizeof(C) == 8 && C(0.5) == C(0)) {  // int64: as convert() does
    const double d = static_cast<double>(v);
    return d >= -9223372036854775808.0 && d < 9223372036854775808.0 ? static_cast<C>(v) : INT64_MIN;
  } else {
    return static_cast<C>(v);
  }
}
// The number of a view on the host.
template <class C>
C host_value(const View& v) {
  switch (v.dtype) {
    case DType::Bool:
    case DType::UInt8:
      return static_cast<C>(*v.ptr<uint8_t>());
    case DType::Int8:
      return static_cast<C>(*v.ptr<int8_t>());
    case DType::Int16:
      return static_cast<C>(*v.ptr<int16_t>());
    case DType::Int32:
      return static_cast<C>(*v.ptr<int32_t>());
    case DType::Int64:
      return static_cast<C>(*v.ptr<int64_t>());
    case DType::Float16:
      return host_number<C>(static_cast<float>(*v.ptr<float16>()));
    case DType::BFloat16:
      return host_number<C>(static_cast<float>(*v.ptr<bfloat16>()));
    case DType::Float32:
      return host_number<C>(*v.ptr<float>());
    default:
      return host_number<C>(*v.ptr<double>());
  }
}

template <class To, class From>
To bits_as(From v) {
  To bits;
  __builtin_memcpy(&bits, &v, sizeof bits);
  return bits;
}
// Its bits as an element of dtype t.
inline uint64_t host_bits(const View& v, DType t) {
  switch (t) {
    case DType::Float64:
      return bits_as<uint64_t>(host_value<double>(v));
    case DType::Float16:
      return float16(host_value<float>(v)).bits;
    case DType::BFloat16:
      return bfloat16(host_value<float>(v)).bits;
    case DType::Float32:
      return bits_as<uint32_t>(host_value<float>(v));
    case DType::Bool:
      return is_floating(v.dtype) ? host_value<double>(v) != 0 : host_value<int64_t>(v) != 0;
    case DType::Int64:
      return static_cast<uint64_t>(host_value<int64_t>(v));
    default: {  // narrower integers: floats as x86 converts them to int32, then wrapped
      if (!is_floating(v.dtype)) return static_cast<uint64_t>(host_value<int64_t>(v));
      const double d = host_value<double>(v);
      return static_cast<uint64_t>(
          static_cast<int64_t>(d > -2147483649.0 && d < 2147483648.0 ? static_cast<int32_t>(d) : INT32_MIN));
    }
  }
}

}  // namespace ccdl::cu
