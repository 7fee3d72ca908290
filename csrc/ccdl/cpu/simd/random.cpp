// Vector twins of core/rng.h: the same operations in the same order, so the same bits as one element at a
// time. Philox runs one counter per 64-bit lane: the product of 32-bit halves is one instruction there, and
// whatever piles up in the upper halves is ignored by the next multiplication.
#include <ccdl/cpu/simd/random.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef uint64_t vq __attribute__((vector_size(VB)));

struct FloatLanes {
  using F = vf;
  using I = vi;
  CCDL_SI F convert(I i) { return to_float(i); }
  CCDL_SI I bits(F f) { return (I)f; }
  CCDL_SI F value(I i) { return (F)i; }
  CCDL_SI F mul(F a, F b) { return a * b; }
  CCDL_SI F div(F a, F b) { return a / b; }
  CCDL_SI F sqrt(F a) { return vsqrt(a); }
};
struct DoubleLanes {
  using F = vd;
  using I = vl;
  CCDL_SI F convert(I i) { return __builtin_convertvector(i, vd); }
  CCDL_SI I bits(F f) { return (I)f; }
  CCDL_SI F value(I i) { return (F)i; }
  CCDL_SI F mul(F a, F b) { return a * b; }
  CCDL_SI F div(F a, F b) { return a / b; }
  CCDL_SI F sqrt(F a) {
#if defined(__AVX512F__)
    return (F)_mm512_maskz_sqrt_pd((__mmask8)0xff, (__m512d)a);
#elif defined(__AVX2__)
    return (F)_mm256_sqrt_pd((__m256d)a);
#elif defined(__SSE2__)
    return (F)_mm_sqrt_pd((__m128d)a);
#else
    for (int i = 0; i < VD; ++i) a[i] = __builtin_sqrt(a[i]);
    return a;
#endif
  }
};

CCDL_SI vq mul_low(vq a, uint32_t m) {  // product of the lower 32 bits
#if defined(__AVX512F__)
  return (vq)_mm512_maskz_mul_epu32((__mmask8)0xff, (__m512i)a, _mm512_set1_epi64(m));
#elif defined(__AVX2__)
  return (vq)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
#elif defined(__SSE2__)
  return (vq)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
#else
  return (a & 0xffffffffu) * (uint64_t)m;
#endif
}

// Lane j of a and b become lanes 2j and 2j + 1 of the pair (lo, hi).
CCDL_SI void interleave(vq a, vq b, vq* lo, vq* hi) {
  vl first, second;
  for (int i = 0; i < VD; ++i) {
    first[i] = i / 2 + (i % 2) * VD;
    second[i] = VD / 2 + i / 2 + (i % 2) * VD;
  }
  *lo = __builtin_shuffle(a, b, first);
  *hi = __builtin_shuffle(a, b, second);
}

void philox(RandomState state, int64_t counters, uint32_t* w) {
  vq lane;
  for (int i = 0; i < VD; ++i) lane[i] = (uint64_t)i;
  int64_t j = 0;
  for (; j + VD <= counters; j += VD) {
    const vq counter = lane + (state.offset + (uint64_t)j);
    vq c0 = counter, c1 = counter >> 32, c2 = {}, c3 = {};
    uint32_t k0 = (uint32_t)state.seed, k1 = (uint32_t)(state.seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const vq p0 = mul_low(c0, rng::kMul0), p1 = mul_low(c2, rng::kMul1);
      c0 = (p1 >> 32) ^ c1 ^ (uint64_t)k0;
      c1 = p1;
      c2 = (p0 >> 32) ^ c3 ^ (uint64_t)k1;
      c3 = p0;
      k0 += rng::kKey0;
      k1 += rng::kKey1;
    }
    const vq a = (c0 & 0xffffffffu) | (c1 << 32), b = (c2 & 0xffffffffu) | (c3 << 32);
    vq lo, hi;
    interleave(a, b, &lo, &hi);
    __builtin_memcpy(w + 4 * j, &lo, VB);
    __builtin_memcpy(w + 4 * j + VL, &hi, VB);
  }
  for (; j < counters; ++j) {
    const rng::Words b = rng::block(state, (uint64_t)j);
    __builtin_memcpy(w + 4 * j, b.w, 16);
  }
}

CCDL_SI vu load_words(const uint32_t* w) {
  vu v;
  __builtin_memcpy(&v, w, VB);
  return v;
}
CCDL_SI vq load_draws(const uint32_t* w) {
  vq v;
  __builtin_memcpy(&v, w, VB);
  return v;
}

void uniform_f32(const uint32_t* w, int64_t n, float from, float span, float* y) {
  int64_t i = 0;
  for (; i + VL <= n; i += VL) {
    const vf u = to_float((vi)(load_words(w + i) >> 8)) * 0x1p-24f;
    storeu(y + i, u * span + from);
  }
  for (; i < n; ++i) y[i] = rng::uniform_float(w[i]) * span + from;
}

void uniform_f64(const uint32_t* w, int64_t n, double from, double span, double* y) {
  int64_t i = 0;
  for (; i + VD <= n; i += VD) {
    const vd u = __builtin_convertvector((vl)(load_draws(w + 2 * i) >> 11), vd) * 0x1p-53;
    storeu(y + i, u * span + from);
  }
  for (; i < n; ++i) {
    uint64_t d;
    __builtin_memcpy(&d, w + 2 * i, 8);
    y[i] = rng::uniform_double(d) * span + from;
  }
}

void normal_f32(const uint32_t* w, int64_t n, float mean, float std, float* y) {
  vi even, odd, low, high;
  for (int i = 0; i < VL; ++i) {
    even[i] = 2 * i;
    odd[i] = 2 * i + 1;
    low[i] = i / 2 + (i % 2) * VL;
    high[i] = VL / 2 + i / 2 + (i % 2) * VL;
  }
  int64_t i = 0;
  for (; i + 2 * VL <= n; i += 2 * VL) {
    const vu a = load_words(w + i), b = load_words(w + i + VL);
    const vu first = __builtin_shuffle(a, b, even), second = __builtin_shuffle(a, b, odd);
    const auto z = rng::normal_pair_float<FloatLanes>((vi)(first >> 1), (vi)(second >> 8));
    const vf c = z.cos_part * std + mean, s = z.sin_part * std + mean;
    storeu(y + i, __builtin_shuffle(c, s, low));
    storeu(y + i + VL, __builtin_shuffle(c, s, high));
  }
  for (; i < n; i += 2) {
    const auto z = rng::normal_pair_float<rng::FloatLane>((int32_t)(w[i] >> 1), (int32_t)(w[i + 1] >> 8));
    y[i] = z.cos_part * std + mean;
    y[i + 1] = z.sin_part * std + mean;
  }
}

void normal_f64(const uint32_t* w, int64_t n, double mean, double std, double* y) {
  vl even, odd, low, high;
  for (int i = 0; i < VD; ++i) {
    even[i] = 2 * i;
    odd[i] = 2 * i + 1;
    low[i] = i / 2 + (i % 2) * VD;
    high[i] = VD / 2 + i / 2 + (i % 2) * VD;
  }
  int64_t i = 0;
  for (; i + 2 * VD <= n; i += 2 * VD) {
    const vq a = load_draws(w + 2 * i), b = load_draws(w + 2 * i + VL);
    const vq first = __builtin_shuffle(a, b, even), second = __builtin_shuffle(a, b, odd);
    const auto z = rng::normal_pair_double<DoubleLanes>((vl)(first >> 11), (vl)(second >> 11));
    const vd c = z.cos_part * std + mean, s = z.sin_part * std + mean;
    storeu(y + i, __builtin_shuffle(c, s, low));
    storeu(y + i + VD, __builtin_shuffle(c, s, high));
  }
  for (; i < n; i += 2) {
    uint64_t d[2];
    __builtin_memcpy(d, w + 2 * i, 16);
    const auto z = rng::normal_pair_double<rng::DoubleLane>((int64_t)(d[0] >> 11), (int64_t)(d[1] >> 11));
    y[i] = z.cos_part * std + mean;
    y[i + 1] = z.sin_part * std + mean;
  }
}

void exponential_f64(const uint32_t* w, int64_t n, double lambda, double* y) {
  int64_t i = 0;
  for (; i + VD <= n; i += VD) {
    const vd u = __builtin_convertvector((vl)(load_draws(w + 2 * i) >> 11) + 1, vd) * 0x1p-53;
    storeu(y + i, -rng::log_double<DoubleLanes>(u) / lambda);
  }
  for (; i < n; ++i) {
    uint64_t d;
    __builtin_memcpy(&d, w + 2 * i, 8);
    y[i] = -rng::log_double<rng::DoubleLane>(rng::positive_double(d)) / lambda;
  }
}

void integers_i64(const uint32_t* w, int64_t n, int64_t low, uint32_t range, int64_t* y) {
  int64_t i = 0;
  for (; i + VD <= n; i += VD) {  // the upper half of a 64 x 32 bit product, by halves of the draw
    const vq d = load_draws(w + 2 * i);
    const vq v = ((mul_low(d >> 32, range) + (mul_low(d, range) >> 32)) >> 32) + (uint64_t)low;
    __builtin_memcpy(y + i, &v, VB);
  }
  for (; i < n; ++i) {
    uint64_t d;
    __builtin_memcpy(&d, w + 2 * i, 8);
    y[i] = (int64_t)(rng::bounded(d, range) + (uint64_t)low);
  }
}

void bernoulli_u8(const uint32_t* w, int64_t n, uint32_t threshold, uint8_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = w[i] < threshold;
}

void bernoulli_f32(const uint32_t* w, int64_t n, uint32_t threshold, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = w[i] < threshold ? 1.0f : 0.0f;
}

void dropout_f32(const uint32_t* w, int64_t n, uint32_t threshold, float scale, const float* x, float* y) {
  int64_t i = 0;
  for (; i + VL <= n; i += VL) {
    const vi u = (vi)(load_words(w + i) >> 8);
    const vi keep = u >= (int32_t)threshold;
    storeu(y + i, loadu(x + i) * (vf)(keep & (vi)set1(scale)));
  }
  for (; i < n; ++i) y[i] = x[i] * (rng::kept(w[i], threshold) ? scale : 0.0f);
}

}  // namespace

extern const RandomKernels random = {philox,          uniform_f32,  uniform_f64,  normal_f32,    normal_f64,
                                     exponential_f64, integers_i64, bernoulli_u8, bernoulli_f32, dropout_f32};

}  // namespace ccdl::cpu::CCDL_ISA
