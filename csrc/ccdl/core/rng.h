// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011). Key = seed. Element i in logical order takes word i % 4 of counter offset + i / 4; 64-bit draws take
// words 2 (i % 2) and 2 (i % 2) + 1 of counter offset + i / 2. Every transform uses only + - * / sqrt and
// integer operations, each rounded once and never contracted, so the same bits come out on every instruction
// set and device.
#pragma once
#include <ccdl/core/dtype.h>

namespace ccdl {

struct RandomState {
  uint64_t seed, offset;
  const uint64_t* base = nullptr;  // device memory added to offset when a captured CUDA graph replays
};

namespace rng {

struct Words {
  uint32_t w[4];
};

constexpr uint32_t kMul0 = 0xD2511F53u, kMul1 = 0xCD9E8D57u;  // multipliers and key increments of the paper
constexpr uint32_t kKey0 = 0x9E3779B9u, kKey1 = 0xBB67AE85u;

CCDL_HD CCDL_INLINE Words philox4x32(Words c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(kMul0) * c.w[0], p1 = static_cast<uint64_t>(kMul1) * c.w[2];
    c = Words{{static_cast<uint32_t>(p1 >> 32) ^ c.w[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ c.w[3] ^ k1, static_cast<uint32_t>(p0)}};
    k0 += kKey0;
    k1 += kKey1;
  }
  return c;
}
CCDL_HD CCDL_INLINE Words block(RandomState s, uint64_t index) {
  const uint64_t counter = s.offset + index;
  return philox4x32(Words{{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}},
                    static_cast<uint32_t>(s.seed), static_cast<uint32_t>(s.seed >> 32));
}
CCDL_HD CCDL_INLINE uint32_t draw32(RandomState s, uint64_t i) { return block(s, i / 4).w[i % 4]; }
CCDL_HD CCDL_INLINE uint64_t draw64(RandomState s, uint64_t i) {
  const Words b = block(s, i / 2);
  return b.w[2 * (i % 2)] | static_cast<uint64_t>(b.w[2 * (i % 2) + 1]) << 32;
}

// [0, 1): 24 and 53 bits.
CCDL_HD CCDL_INLINE float uniform_float(uint32_t w) {
  return static_cast<float>(static_cast<int32_t>(w >> 8)) * 0x1p-24f;
}
CCDL_HD CCDL_INLINE double uniform_double(uint64_t w) {
  return static_cast<double>(static_cast<int64_t>(w >> 11)) * 0x1p-53;
}
// (0, 1]: safe for a logarithm.
CCDL_HD CCDL_INLINE double positive_double(uint64_t w) {
  return static_cast<double>(static_cast<int64_t>(w >> 11) + 1) * 0x1p-53;
}

// Smallest 24-bit value that survives dropout: the element is kept when uniform_float(w) >= p.
CCDL_HD CCDL_INLINE uint32_t keep_threshold(double p) {
  const double scaled = p * 0x1p24;
  const uint32_t floor = static_cast<uint32_t>(scaled);
  return floor + (static_cast<double>(floor) < scaled ? 1u : 0u);
}
CCDL_HD CCDL_INLINE bool kept(uint32_t w, uint32_t threshold) { return (w >> 8) >= threshold; }

// Floor of w / 2^64 * range (bias below range / 2^64); range 0 stands for 2^64.
CCDL_HD CCDL_INLINE uint64_t bounded(uint64_t w, uint64_t range) {
  if (range == 0) return w;
#if defined(__CUDA_ARCH__)
  return __umul64hi(w, range);
#else
  return static_cast<uint64_t>((static_cast<unsigned __int128>(w) * range) >> 64);
#endif
}

// What the transforms below need of a number type; simd/random.cpp has the same over vectors. mul() is never
// fused.
struct FloatLane {
  using F = float;
  using I = int32_t;
  static CCDL_HD CCDL_INLINE F convert(I i) { return static_cast<F>(i); }
  static CCDL_HD CCDL_INLINE I bits(F f) {
    I i;
    __builtin_memcpy(&i, &f, sizeof f);
    return i;
  }
  static CCDL_HD CCDL_INLINE F value(I i) {
    F f;
    __builtin_memcpy(&f, &i, sizeof f);
    return f;
  }
#if defined(__CUDA_ARCH__)
  static __device__ CCDL_INLINE F mul(F a, F b) { return __fmul_rn(a, b); }
  static __device__ CCDL_INLINE F div(F a, F b) { return __fdiv_rn(a, b); }
  static __device__ CCDL_INLINE F sqrt(F a) { return __fsqrt_rn(a); }
#else
  static CCDL_HD CCDL_INLINE F mul(F a, F b) { return a * b; }
  static CCDL_HD CCDL_INLINE F div(F a, F b) { return a / b; }
  static CCDL_HD CCDL_INLINE F sqrt(F a) { return __builtin_sqrtf(a); }
#endif
};
struct DoubleLane {
  using F = double;
  using I = int64_t;
  static CCDL_HD CCDL_INLINE F convert(I i) { return static_cast<F>(i); }
  static CCDL_HD CCDL_INLINE I bits(F f) {
    I i;
    __builtin_memcpy(&i, &f, sizeof f);
    return i;
  }
  static CCDL_HD CCDL_INLINE F value(I i) {
    F f;
    __builtin_memcpy(&f, &i, sizeof f);
    return f;
  }
#if defined(__CUDA_ARCH__)
  static __device__ CCDL_INLINE F mul(F a, F b) { return __dmul_rn(a, b); }
  static __device__ CCDL_INLINE F div(F a, F b) { return __ddiv_rn(a, b); }
  static __device__ CCDL_INLINE F sqrt(F a) { return __dsqrt_rn(a); }
#else
  static CCDL_HD CCDL_INLINE F mul(F a, F b) { return a * b; }
  static CCDL_HD CCDL_INLINE F div(F a, F b) { return a / b; }
  static CCDL_HD CCDL_INLINE F sqrt(F a) { return __builtin_sqrt(a); }
#endif
};

template <class L>
struct Pair {
  typename L::F cos_part, sin_part;
};

// log(x), x normal and positive: x = 2^e m with m in [sqrt 1/2, sqrt 2), log m = 2 atanh((m - 1) / (m + 1))
// by series.
template <class L>
CCDL_HD CCDL_INLINE typename L::F log_float(typename L::F x) {
  using F = typename L::F;
  const typename L::I b = L::bits(x), e = (b - 0x3f3504f3) >> 23;
  const F m = L::value(b - (e << 23));
  const F s = L::div(m - 1.0f, m + 1.0f), z = L::mul(s, s);
  F p = L::mul(z, F{} + 0.11111111f) + 0.14285714f;
  p = L::mul(p, z) + 0.2f;
  p = L::mul(p, z) + 0.33333333f;
  p = L::mul(p, z) + 1.0f;
  return L::mul(L::mul(s, F{} + 2.0f), p) + L::mul(L::convert(e), F{} + 0.69314718f);
}
template <class L>
CCDL_HD CCDL_INLINE typename L::F log_double(typename L::F x) {
  using F = typename L::F;
  const typename L::I b = L::bits(x), e = (b - 0x3fe6a09e667f3bcdLL) >> 52;
  const F m = L::value(b - (e << 52));
  const F s = L::div(m - 1.0, m + 1.0), z = L::mul(s, s);
  F p = L::mul(z, F{} + 1.0 / 21) + 1.0 / 19;
  p = L::mul(p, z) + 1.0 / 17;
  p = L::mul(p, z) + 1.0 / 15;
  p = L::mul(p, z) + 1.0 / 13;
  p = L::mul(p, z) + 1.0 / 11;
  p = L::mul(p, z) + 1.0 / 9;
  p = L::mul(p, z) + 1.0 / 7;
  p = L::mul(p, z) + 1.0 / 5;
  p = L::mul(p, z) + 1.0 / 3;
  p = L::mul(p, z) + 1.0;
  return L::mul(L::mul(s, F{} + 2.0), p) + L::mul(L::convert(e), F{} + 0.69314718055994530942);
}

// cos and sin of a turn fraction: the nearest quarter q comes off exactly in integers, Taylor on [-pi/4,
// pi/4].
template <class L>
CCDL_HD CCDL_INLINE Pair<L> by_quadrant(typename L::I q, typename L::F s, typename L::F c, int sign_shift) {
  using I = typename L::I;
  const I swap = -(q & 1), sb = L::bits(s), cb = L::bits(c);
  const I sine = ((sb & ~swap) | (cb & swap)) ^ ((q & 2) << sign_shift);
  const I cosine = ((cb & ~swap) | (sb & swap)) ^ (((q + 1) & 2) << sign_shift);
  return {L::value(cosine), L::value(sine)};
}
template <class L>
CCDL_HD CCDL_INLINE Pair<L> sincos_float(typename L::I t) {  // t / 2^24 turns, 0 <= t < 2^24
  using F = typename L::F;
  const typename L::I q = (t + (1 << 21)) >> 22;
  const F x = L::mul(L::convert(t - (q << 22)), F{} + 3.7450703e-7f), z = L::mul(x, x);  // pi / 2 / 2^22
  F s = L::mul(z, F{} + 2.7557319e-6f) - 1.9841270e-4f;
  s = L::mul(s, z) + 8.3333333e-3f;
  s = L::mul(s, z) - 0.16666667f;
  s = L::mul(L::mul(s, z), x) + x;
  F c = L::mul(z, F{} - 2.7557319e-7f) + 2.4801587e-5f;
  c = L::mul(c, z) - 1.3888889e-3f;
  c = L::mul(c, z) + 4.1666667e-2f;
  c = L::mul(c, z) - 0.5f;
  c = L::mul(c, z) + 1.0f;
  return by_quadrant<L>(q, s, c, 30);
}
template <class L>
CCDL_HD CCDL_INLINE Pair<L> sincos_double(typename L::I t) {  // t / 2^53 turns
  using F = typename L::F;
  const typename L::I q = (t + (1LL << 50)) >> 51;
  const F x = L::mul(L::convert(t - (q << 51)), F{} + 1.5707963267948966192 / 0x1p51), z = L::mul(x, x);
  F s = L::mul(z, F{} + 2.8114572543455206e-15) - 7.6471637318198165e-13;
  s = L::mul(s, z) + 1.6059043836821615e-10;
  s = L::mul(s, z) - 2.5052108385441719e-8;
  s = L::mul(s, z) + 2.7557319223985891e-6;
  s = L::mul(s, z) - 1.9841269841269841e-4;
  s = L::mul(s, z) + 8.3333333333333333e-3;
  s = L::mul(s, z) - 1.0 / 6;
  s = L::mul(L::mul(s, z), x) + x;
  F c = L::mul(z, F{} - 1.5619206968586226e-16) + 4.7794773323873853e-14;
  c = L::mul(c, z) - 1.1470745597729725e-11;
  c = L::mul(c, z) + 2.0876756987868099e-9;
  c = L::mul(c, z) - 2.7557319223985891e-7;
  c = L::mul(c, z) + 2.4801587301587302e-5;
  c = L::mul(c, z) - 1.3888888888888889e-3;
  c = L::mul(c, z) + 4.1666666666666667e-2;
  c = L::mul(c, z) - 0.5;
  c = L::mul(c, z) + 1.0;
  return by_quadrant<L>(q, s, c, 62);
}

// Box-Muller: elements 2j and 2j + 1 from the words of both; u is in (0, 1], the radius at most 6.7
// (float), 8.6 (double).
template <class L>
CCDL_HD CCDL_INLINE Pair<L> normal_pair_float(typename L::I half_word, typename L::I turn24) {
  using F = typename L::F;  // half_word: the first word >> 1, turn24: the second >> 8
  const F u = L::mul(L::convert(half_word), F{} + 0x1p-31f) + 0x1p-32f;
  const F radius = L::sqrt(L::mul(log_float<L>(u), F{} - 2.0f));
  const Pair<L> cs = sincos_float<L>(turn24);
  return {L::mul(radius, cs.cos_part), L::mul(radius, cs.sin_part)};
}
template <class L>
CCDL_HD CCDL_INLINE Pair<L> normal_pair_double(typename L::I word53, typename L::I turn53) {
  using F = typename L::F;  // both: a 64-bit draw >> 11
  const F u = L::mul(L::convert(word53 + 1), F{} + 0x1p-53);
  const F radius = L::sqrt(L::mul(log_double<L>(u), F{} - 2.0));
  const Pair<L> cs = sincos_double<L>(turn53);
  return {L::mul(radius, cs.cos_part), L::mul(radius, cs.sin_part)};
}

}  // namespace rng
}  // namespace ccdl
