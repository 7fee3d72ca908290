// Every element type as an unsigned key that orders as the values do (NaN highest, -0 as +0), packed with its
// position into a unique number: then any sort is stable. Types up to 32 bits pack into 64 bits, others into
// 128.
#pragma once
#include <algorithm>
#include <cstring>

#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {

CCDL_INLINE uint64_t sort_key(bool v) { return v ? 1 : 0; }
CCDL_INLINE uint64_t sort_key(uint8_t v) { return v; }
CCDL_INLINE uint64_t sort_key(int8_t v) { return static_cast<uint8_t>(v) ^ 0x80u; }
CCDL_INLINE uint64_t sort_key(int16_t v) { return static_cast<uint16_t>(v) ^ 0x8000u; }
CCDL_INLINE uint64_t sort_key(int32_t v) { return static_cast<uint32_t>(v) ^ 0x80000000u; }
CCDL_INLINE uint64_t sort_key(int64_t v) { return static_cast<uint64_t>(v) ^ (uint64_t{1} << 63); }
CCDL_INLINE uint64_t sort_key(float v) {
  uint32_t b;
  std::memcpy(&b, &v, 4);
  b = v != v ? 0x7fffffffu : v == 0 ? 0u : b;
  return b ^ (b >> 31 ? 0xffffffffu : 0x80000000u);
}
CCDL_INLINE uint64_t sort_key(double v) {
  uint64_t b;
  std::memcpy(&b, &v, 8);
  b = v != v ? ~uint64_t{0} >> 1 : v == 0 ? 0 : b;
  return b ^ (b >> 63 ? ~uint64_t{0} : uint64_t{1} << 63);
}
CCDL_INLINE uint64_t half_key(uint16_t b, uint16_t infinity) {
  const uint16_t magnitude = b & 0x7fffu;
  if (magnitude > infinity) return 0xffffu;
  if (magnitude == 0) return 0x8000u;
  return b & 0x8000u ? static_cast<uint16_t>(~b) : b | 0x8000u;
}
CCDL_INLINE uint64_t sort_key(float16 v) { return half_key(v.bits, 0x7c00u); }
CCDL_INLINE uint64_t sort_key(bfloat16 v) { return half_key(v.bits, 0x7f80u); }
inline uint64_t key_limit(DType t) {  // the largest key; equals the key of NaN for floats
  const int bits = t == DType::Bool ? 1 : static_cast<int>(8 * item_size(t));
  return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}
template <class T>
CCDL_INLINE bool is_nan_value(T v) {
  if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>)
    return static_cast<float>(v) != static_cast<float>(v);
  else
    return v != v;
}

struct WidePack {
  uint64_t key, position;
  friend bool operator<(const WidePack& a, const WidePack& b) {
    return a.key != b.key ? a.key < b.key : a.position < b.position;
  }
};
using NarrowPack = uint64_t;
CCDL_INLINE void set_pack(NarrowPack& p, uint64_t key, int64_t i) {
  p = key << 32 | static_cast<uint64_t>(i);
}
CCDL_INLINE void set_pack(WidePack& p, uint64_t key, int64_t i) { p = {key, static_cast<uint64_t>(i)}; }
CCDL_INLINE uint64_t key_of(NarrowPack p) { return p >> 32; }
CCDL_INLINE uint64_t key_of(const WidePack& p) { return p.key; }
CCDL_INLINE int64_t position_of(NarrowPack p) { return static_cast<int64_t>(p & 0xffffffffu); }
CCDL_INLINE int64_t position_of(const WidePack& p) { return static_cast<int64_t>(p.position); }

// fn(Pack{}) with the pack type for rows of n elements.
template <class F>
inline void by_pack(DType t, int64_t n, const F& fn) {
  if (item_size(t) <= 4 && n <= int64_t{0xffffffff})
    fn(NarrowPack{});
  else
    fn(WidePack{});
}

// Rows from this length on are shared out among the threads, in pieces that depend on the length alone.
constexpr int64_t kLongRow = int64_t{1} << 18;
inline int64_t row_piece(int64_t n) { return std::max<int64_t>(int64_t{1} << 16, (n + 31) / 32); }
// fn(begin, end) over the elements of a row: at once, or piece by piece.
template <class F>
inline void over_row(int64_t n, const F& fn) {
  if (n < kLongRow)
    fn(int64_t{0}, n);
  else
    parallel_for(n, row_piece(n), fn);
}

// flip: keys are inverted, so that the smallest pack is the largest value (lowest position among equals).
template <class P>
inline void pack_keys(DType t, const void* x, int64_t stride, int64_t n, bool flip, P* out) {
  const uint64_t mask = flip ? key_limit(t) : 0;
  by_dtype(t, [&](auto tag) {
    const auto* p = static_cast<const decltype(tag)*>(x);
    over_row(n, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) set_pack(out[i], sort_key(p[i * stride]) ^ mask, i);
    });
  });
}

// Ascending order of n packs whose keys have `bits` bits; tmp of the same size. Returns where the result
// lies.
template <class P>
P* sort_packs(P* a, P* tmp, int64_t n, int bits);

}  // namespace ccdl::cpu
