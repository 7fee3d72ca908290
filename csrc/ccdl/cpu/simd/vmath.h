// Elementary functions over the float vector of one instruction-set level; same rules of inclusion as vec.h.
// Each is one range reduction and one near-minimax polynomial (fitted by weighted least squares in 40-digit
// arithmetic), written with explicit fma(). Error at most 2 ULP (2.5 for atan2); NaN, infinities, zeros and
// subnormals come out as in the C library. Functions too rare to be worth it run lane by lane in the C
// library (vlanes).
#pragma once
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr float kInfF = __builtin_inff();
constexpr float kNanF = __builtin_nanf("");
constexpr float kRoundMagic =
    12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits

typedef uint64_t vlu __attribute__((vector_size(VB)));
typedef float vhf __attribute__((vector_size(VB / 2)));  // half as many floats: what widens to one vd

CCDL_SI vf vsign_bit(vf x) { return (vf)((vi)x & (int32_t)0x80000000); }
CCDL_SI vf vor(vf a, vf b) { return (vf)((vi)a | (vi)b); }
CCDL_SI vf vxor(vf a, vf b) { return (vf)((vi)a ^ (vi)b); }
CCDL_SI vf vcopysign(vf magnitude, vf sign) { return vor(vabs(magnitude), vsign_bit(sign)); }
CCDL_SI vf pow2_bits(vi n) { return (vf)(((vu)n + 127u) << 23); }  // 2^n for -126 <= n <= 127

CCDL_SI vd widen_low(vf x) {
#if defined(__AVX512F__)
  return (vd)_mm512_maskz_cvtps_pd((__mmask8)-1,
                                   (__m256)__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7));
#elif defined(__AVX2__)
  return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
#else
  vhf h;
  __builtin_memcpy(&h, &x, VB / 2);
  return __builtin_convertvector(h, vd);
#endif
}
CCDL_SI vd widen_high(vf x) {
#if defined(__AVX512F__)
  return (vd)_mm512_maskz_cvtps_pd(
      (__mmask8)-1, _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd((__mmask8)-1, (__m512d)x, 1)));
#elif defined(__AVX2__)
  return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#else
  vhf h;
  __builtin_memcpy(&h, (const char*)&x + VB / 2, VB / 2);
  return __builtin_convertvector(h, vd);
#endif
}
CCDL_SI vf narrow(vd low, vd high) {
  vhf a = __builtin_convertvector(low, vhf), b = __builtin_convertvector(high, vhf);
  vf r;
  __builtin_memcpy(&r, &a, VB / 2);
  __builtin_memcpy((char*)&r + VB / 2, &b, VB / 2);
  return r;
}

CCDL_SI vf vlanes(float (*fn)(float), vf x) {
  vf r;
  for (int i = 0; i < VL; ++i) r[i] = fn(x[i]);
  return r;
}
CCDL_SI vf vlanes(float (*fn)(float, float), vf x, vf y) {
  vf r;
  for (int i = 0; i < VL; ++i) r[i] = fn(x[i], y[i]);
  return r;
}

// Rounding. Magnitudes of 2^23 and more are integers already; the sign of zero is kept.
CCDL_SI vf vround_even(vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_roundscale_ps((__mmask16)-1, (__m512)x,
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  vf a = vabs(x);
  vf r = (a + 8388608.0f) - 8388608.0f;
  return select(a < 8388608.0f, vor(r, vsign_bit(x)), x);
#endif
}
CCDL_SI vf vfloor(vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_roundscale_ps((__mmask16)-1, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  vf r = vround_even(x);
  r = r - select(r > x, set1(1.0f), vf{});
  return vor(r, vsign_bit(x));
#endif
}
CCDL_SI vf vceil(vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_roundscale_ps((__mmask16)-1, (__m512)x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
#else
  vf r = vround_even(x);
  r = r + select(r < x, set1(1.0f), vf{});
  return vor(r, vsign_bit(x));
#endif
}
CCDL_SI vf vtrunc(vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_roundscale_ps((__mmask16)-1, (__m512)x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#else
  return vcopysign(vfloor(vabs(x)), x);
#endif
}

// exp. x = n ln2 + r with |r| <= ln2/2; n ln2 is subtracted in two pieces, the first exact for |n| < 2^14.
constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;

// Longer polynomials are summed in pairs of coefficients, which shortens the chain of dependent
// multiply-adds.
CCDL_SI vf pair(float high, vf x, float low) { return fma(set1(high), x, set1(low)); }

CCDL_SI vf exp_reduced(vf r) {  // e^r
  vf z = r * r;
  vf q = fma(set1(0.00138201378f), z, pair(0.00836868584f, r, 0.0416682735f));
  q = fma(q, z, pair(0.166665211f, r, 0.49999994f));
  return fma(q, z, r) + 1.0f;
}
// p * 2^n for integer-valued n with |n| <= 250 and 0.5 < p < 2: rounds once into the subnormals, overflows to
// inf.
CCDL_SI vf scale_pow2(vf p, vf n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)p, (__m512)n);
#else
  vi i = (vi)((vu)(n + kRoundMagic) - 0x4b400000u);
  vi h = i >> 1;
  return p * pow2_bits(h) * pow2_bits(i - h);
#endif
}
CCDL_SI vf exp_scaled(vf x, float k) {  // e^x * 2^k, |k| <= 8
  x = vmin(set1(104.0f), vmax(set1(-106.0f), x));
  vf n = fma(x, set1(kLog2E), set1(kRoundMagic)) - kRoundMagic;
  vf r = fma(n, set1(-kLn2High), x);
  r = fma(n, set1(-kLn2Low), r);
  return scale_pow2(exp_reduced(r), n + k);
}
CCDL_SI vf vexp(vf x) {
  x = vmin(set1(104.0f), vmax(set1(-106.0f), x));
  vf n = fma(x, set1(kLog2E), set1(kRoundMagic)) - kRoundMagic;
  vf r = fma(n, set1(-kLn2High), x);
  r = fma(n, set1(-kLn2Low), r);
  return scale_pow2(exp_reduced(r), n);
}
CCDL_SI vf exp_near(vf x) {  // e^x where it is a normal number, |x| <= 87: n is added to the exponent
  vf t = fma(x, set1(kLog2E), set1(kRoundMagic)), n = t - kRoundMagic;
  vf r = fma(n, set1(-kLn2Low), fma(n, set1(-kLn2High), x));
  return (vf)((vi)exp_reduced(r) + ((vi)t << 23));
}
CCDL_SI vf vexp2(vf x) {
  x = vmin(set1(150.0f), vmax(set1(-152.0f), x));
  vf n = vround_even(x);
  return scale_pow2(exp_reduced((x - n) * 0.693147182f), n);
}

// (e^x - 1) * 2^-k for x < 88 + k ln2 (k = 0, 1, 2): with s = 2^(n-k) it is s (e^r - 1) + (s - 2^-k), no
// cancellation.
CCDL_SI vf expm1_scaled(vf x, int k) {
  vf t = fma(x, set1(kLog2E), set1(kRoundMagic));
  vf n = t - kRoundMagic;
  vf r = fma(n, set1(-kLn2High), x);
  r = fma(n, set1(-kLn2Low), r);
  vf z = r * r;
  vf q = fma(pair(0.00019763397f, r, 0.00139323424f), z, pair(0.00833354425f, r, 0.0416664928f));
  q = fma(q, z, pair(0.166666657f, r, 0.5f));
  vf p = fma(z, q, r);
  vf s = (vf)(((vu)t << 23) + (uint32_t)((127 - k) << 23));  // the shift drops all of t but n
  return fma(s, p, s - __builtin_ldexpf(1.0f, -k));
}
CCDL_SI vf vexpm1(vf x) {
  vf r = expm1_scaled(vmin(set1(89.0f), vmax(set1(-18.0f), x)), 1);
  return select(x == 0.0f, x, r + r);
}

// r = num / den where den stands for den + den_rest: one step of residual correction, so that the quotient is
// rounded about once; inverse is about 1 / den. Without fma r is taken as rounded already.
CCDL_SI vf corrected_quotient(vf num, vf den, vf den_rest, vf r, vf inverse) {
#if defined(__FMA__) || defined(__AVX512F__)
  return fma(fma(-r, den_rest, fma(-r, den, num)), inverse, r);
#else
  (void)num, (void)den;
  return r - r * den_rest * inverse;
#endif
}
#if defined(__AVX512F__)
// On intervals that widen with a + 1 (four of width 1/4, four of 1/2, four of 1, then 2, from 9 on it is 1) a
// polynomial of degree 6 in the distance from the middle, the last row: of tanh(a) / a - 1 below 1, of
// tanh(a) above. A row of the table is one coefficient for all intervals and fits a register, so a look-up is
// one permute.
alignas(64) constexpr float kTanhTable[8][16] = {
    {0.848283648f, 0.941375554f, 0.978026092f, 0.991859734f, 0.998177886f, 0.999753237f, 0.999966621f,
     0.99999547f, 0.999999762f, 1.0f, 1.0f, 1.0f, -0.00517598586f, -0.0443802699f, -0.112640448f,
     -0.19553645f},
    {0.28041476f, 0.113812044f, 0.0434649177f, 0.0162142888f, 0.00364095601f, 0.000493528205f,
     6.68060602e-05f, 9.04147782e-06f, 4.50836211e-07f, 0.0f, 0.0f, 0.0f, -0.0823014602f, -0.224105999f,
     -0.311904639f, -0.342796177f},
    {-0.237872481f, -0.107141815f, -0.0425069146f, -0.0160835125f, -0.00363390567f, -0.000494229665f,
     -6.75787378e-05f, -8.74358102e-06f, -3.43648054e-07f, 0.0f, 0.0f, 0.0f, -0.32102862f, -0.235283569f,
     -0.115375429f, -0.0140999909f},
    {0.108325422f, 0.0629281774f, 0.0270876922f, 0.0105463034f, 0.00241172477f, 0.000328423048f,
     4.44844809e-05f, 6.02101318e-06f, 2.94592752e-07f, 0.0f, 0.0f, 0.0f, 0.0645917431f, 0.151153386f,
     0.156070232f, 0.109609567f},
    {-0.0125485398f, -0.0234614946f, -0.0124158831f, -0.00506113935f, -0.00120052486f, -0.000157476839f,
     -1.6041713e-05f, -5.39353141e-06f, -3.61874612e-07f, 0.0f, 0.0f, 0.0f, 0.121042885f, 0.0452894419f,
     -0.0293239914f, -0.0555841848f},
    {-0.0196827259f, 0.00348290615f, 0.0039777956f, 0.00191433425f, 0.000490378181f, 6.83039834e-05f,
     9.27990459e-06f, 1.25652787e-06f, 7.07665819e-08f, 0.0f, 0.0f, 0.0f, -0.0376369134f, -0.0701016039f,
     -0.0415175967f, -0.00380225782f},
    {0.0147580663f, 0.00151916931f, 0.000131010296f, -0.000900667335f, -0.000150278778f, -3.76767857e-05f,
     -1.7254808e-05f, 5.02858074e-06f, 9.91044971e-08f, 0.0f, 0.0f, 0.0f, -0.044204101f, 0.00016356619f,
     0.0369341634f, 0.0117255049f},
    {1.25f, 1.75f, 2.25f, 2.75f, 3.5f, 4.5f, 5.5f, 6.5f, 8.0f, 10.0f, 0.0f, 0.0f, 0.125f, 0.375f, 0.625f,
     0.875f},
};
CCDL_SI vf vtanh(vf x) {
  vf a = vmin(set1(10.0f), vabs(x)), w = a + 1.0f;  // NaN stays
  vi index = (vi)((vu)w >> 21);                     // a permute takes its low four bits
  auto row = [&](int k) __attribute__((always_inline)) {
    return (vf)_mm512_maskz_permutexvar_ps((__mmask16)-1, (__m512i)index, _mm512_load_ps(kTanhTable[k]));
  };
  vf t = a - row(7), z = t * t;
  vf g = fma(row(6), z, fma(row(5), t, row(4)));
  g = fma(g, z, fma(row(3), t, row(2)));
  g = fma(g, z, fma(row(1), t, row(0)));
  return vor(select(w < 2.0f, fma(a, g, a), g), vsign_bit(x));
}
#else
// With t = e^(2|x|) - 1: t / (t + 2), corrected, up to t = 2, and 1 - 2 / (t + 2) above.
CCDL_SI vf vtanh(vf x) {
  vf t = expm1_scaled(vmin(set1(20.0f), vabs(x) * 2.0f), 0), den = t + 2.0f;
  vi large = t > 2.0f;
  vf r = select(large, set1(-2.0f), t) / den;
  vf small = corrected_quotient(t, den, t - (den - 2.0f), r, fma(r, set1(-0.5f), set1(0.5f)));
  return vor(vabs(select(large, r + 1.0f, small)), vsign_bit(x));
}
#endif
CCDL_SI vf product_rest(vf a, vf b, vf p) {  // a b - p without rounding, where p = a * b
#if defined(__FMA__) || defined(__AVX512F__)
  return fma(a, b, -p);
#else
  vf ah = (vf)((vi)a & ~0xfff), bh = (vf)((vi)b & ~0xfff), al = a - ah, bl = b - bh;
  return ((ah * bh - p) + (ah * bl + al * bh)) + al * bl;
#endif
}
// x u / (1 + e) for 0 <= e <= 1; what rounding lost is put right: x u - q is exact, as q is between half of
// x u and x u.
CCDL_SI vf over_one_plus(vf x, vf u, vf e) {
  vf den = e + 1.0f, num = x * u;
#if defined(__FMA__) || defined(__AVX512F__)
  vf inverse = 1.0f / den, q = num * inverse;
  return fma(fma(-q, e, fma(x, u, -q)), inverse, q);
#else
  vf q = num / den, inverse = 1.5f - den * 0.5f;  // about
  return q + (product_rest(x, u, num) - q * (e - (den - 1.0f))) * inverse;
#endif
}
CCDL_SI vf exp_minus_abs(vf x) {  // e^-|x|
  vf a = vmax(set1(-106.0f), (vf)((vi)x | (int32_t)0x80000000));
  vf n = fma(a, set1(kLog2E), set1(kRoundMagic)) - kRoundMagic;
  return scale_pow2(exp_reduced(fma(n, set1(-kLn2Low), fma(n, set1(-kLn2High), a))), n);
}
// 1 / (1 + e) or e / (1 + e) with e = e^-|x|, so that small results keep their digits
CCDL_SI vf vsigmoid(vf x) {
  vf e = exp_minus_abs(x);
  return over_one_plus(set1(1.0f), select(x < 0.0f, e, set1(1.0f)), e);
}
CCDL_SI vf vsilu(vf x) {
  vf e = exp_minus_abs(x), u = select(x < 0.0f, e, set1(1.0f)), r = over_one_plus(x, u, e);
#if defined(__FMA__) || defined(__AVX512F__)
  r = select(x == kInfF, x, r);
#else
  r = select(vabs(x) < 1e38f, r, x * u);  // where the halves of x would overflow
#endif
  return vor(r, vsign_bit(x));
}
CCDL_SI vf vsinh(vf x) {  // x + x^3 p(x^2) up to 1; above, with q = expm1(|x|) / 4: 2 (q + q / (4 q + 1))
  vf a = vabs(x), z = a * a;
  vf p = fma(pair(2.7822132e-06f, z, 0.00019842896f), z * z, pair(0.0083333105f, z, 0.16666667f));
  vf q = expm1_scaled(vmin(set1(89.6f), a), 2);
  vf h = q + q / fma(q, set1(4.0f), set1(1.0f));
  return vor(select(a <= 1.0f, fma(p * z, a, a), h + h), vsign_bit(x));
}
CCDL_SI vf vcosh(vf x) {
  vf h = exp_scaled(vabs(x), -1.0f);
  return h + 0.25f / h;
}

// log. x = 2^e m with m in [sqrt(1/2), sqrt(2)), f = m - 1; log1p(f) = f - f^2/2 + f^3 q(f).
struct LogParts {
  vf f, e;
};
CCDL_SI LogParts log_split(vf x) {  // x > 0, subnormals too; anything else gives finite garbage
  vi tiny = x < 1.17549435e-38f;
  x = select(tiny, x * 8388608.0f, x);
  vi i = (vi)((vu)x - 0x3f3504f3u);
  vf m = (vf)((i & 0x7fffff) + 0x3f3504f3);
  return {m - 1.0f, to_float(i >> 23) - select(tiny, set1(23.0f), vf{})};
}
CCDL_SI vf log_tail(vf f) {  // log1p(f) - f
  vf y = f * f, y2 = y * y;
  vf a = fma(pair(0.118834712f, f, -0.124062084f), y, pair(0.142203629f, f, -0.166679904f));
  vf b = fma(pair(0.200020716f, f, -0.250000089f), y, pair(0.333333135f, f, -0.5f));
  vf q = fma(pair(0.0674953908f, f, -0.116701826f), y2, a);
  return fma(q, y2, b) * y;
}
CCDL_SI vf log_special(vf x, vf r) {
  r = select(x > 0.0f, r, select(x == 0.0f, set1(-kInfF), set1(kNanF)));
  return select(x == kInfF, x, r);
}
CCDL_SI vf log_join(LogParts p) {
  vf t = fma(p.e, set1(kLn2Low), log_tail(p.f));
  return fma(p.e, set1(kLn2High), p.f + t);
}
CCDL_SI vf vlog(vf x) { return log_special(x, log_join(log_split(x))); }
CCDL_SI vf vlog2(vf x) {
  LogParts p = log_split(x);
  vf t = log_tail(p.f);
  vf z = fma(t, set1(0.442695041f), p.f * 0.442695041f);  // log2(e) = 1 + 0.4427
  return log_special(x, ((z + t) + p.f) + p.e);
}
CCDL_SI vf vlog10(vf x) {  // log10(e) and log10(2), each as an exact short number and a rest
  LogParts p = log_split(x);
  vf t = log_tail(p.f);
  vf z = fma(p.f, set1(7.00731903e-4f), p.e * 2.48745664e-4f);
  z = fma(t, set1(0.434294482f), z);
#if defined(__FMA__) || defined(__AVX512F__)
  z = fma(p.f, set1(0.43359375f), z);
#else
  vf high = (vf)((vi)p.f & ~0xff);        // 16 bits: its product is exact
  z = z + (p.f - high) * 0.43359375f + high * 0.43359375f;
#endif
  return log_special(x, fma(p.e, set1(0.30078125f), z));
}
// log(1 + x + low): u = 1 + x rounded; what rounding lost is added to f at the scale of the mantissa
CCDL_SI vf vlog1p(vf x, vf low = vf{}) {
  vf u = x + 1.0f;
  vf lost = (x - (u - 1.0f)) + low;
  vi i = (vi)((vu)u - 0x3f3504f3u);
  vi e = i >> 23;
  vf m = (vf)((i & 0x7fffff) + 0x3f3504f3);
  vf unscale = select(e <= 25, (vf)((127u - (vu)e) << 23), vf{});
  LogParts p{fma(lost, unscale, m - 1.0f), to_float(e)};
  return select(x == 0.0f, x, log_special(u, log_join(p)));
}
CCDL_SI vf
vasinh(vf x) {  // log1p(a + a^2 / (1 + sqrt(a^2 + 1))); log(a) + log(2) once 1 / (4 a^2) is nothing
  vf a = vabs(x), y = a * a;
  vi big = a > 1.0e6f;
  vf small = a + y / (vsqrt(y + 1.0f) + 1.0f);
  vf r = vlog1p(select(big, a - 1.0f, small)) + select(big, set1(0.693147182f), vf{});
  return vor(r, vsign_bit(x));
}
CCDL_SI vf
vacosh(vf x) {  // log1p(t + sqrt(t (t + 2))), t = x - 1; the root and the sum with what rounding lost
  vi big = x > 1.0e8f;
  vf t = x - 1.0f, y = fma(t, t, t + t), root = vsqrt(y), s = t + root;
  vf lost = (root - (s - t));
#if defined(__FMA__) || defined(__AVX512F__)
  lost = lost + fma(-root, root, y) / fma(root, set1(2.0f), set1(1e-30f));
#endif
  vf r = vlog1p(select(big, t, s), select(big, vf{}, lost)) + select(big, set1(0.693147182f), vf{});
  return select(x < 1.0f, set1(kNanF), r);
}
CCDL_SI vf vatanh(vf x) {  // a + a^3 q(a^2) up to 1/2, log1p(2 a / (1 - a)) / 2 above
  vf a = vabs(x), z = a * a;
  vf q = fma(pair(0.1763785f, z, 0.05160436f), z * z, pair(0.11816386f, z, 0.14223786f));
  q = fma(q, z * z, pair(0.20002453f, z, 0.33333302f));
  vf r = select(a <= 0.5f, fma(q * z, a, a), vlog1p((a + a) / (1.0f - a)) * 0.5f);
  return vor(r, vsign_bit(x));
}

#if defined(__AVX512F__)
// [0, 4) in sixteen intervals of width 1/4, on each a polynomial of degree 5 in the distance from its middle:
// of erf(a) / a - 1 below 1, of erf(a) above. A row of the table is one coefficient for all intervals and
// fits a register, so a look-up is one permute.
alignas(64) constexpr float kErfTable[6][16] = {
    {0.122529633f, 0.0776450932f, -0.00281458744f, -0.103914216f, 0.888388216f, 0.948170066f, 0.978443742f,
     0.99199003f, 0.997345984f, 0.999217033f, 0.999794602f, 0.999952137f, 0.999990106f, 0.999998212f,
     0.999999702f, 0.99999994f},
    {-0.0931549519f, -0.259446084f, -0.373897403f, -0.424389422f, 0.318273962f, 0.170359775f, 0.0804722607f,
     0.0335458256f, 0.0123408204f, 0.00400647754f, 0.0011478751f, 0.000290228287f, 6.47586858e-05f,
     1.27517405e-05f, 2.21592018e-06f, 3.3982235e-07f},
    {-0.365641266f, -0.288496017f, -0.165264815f, -0.0397302434f, -0.358052731f, -0.234244406f, -0.130773231f,
     -0.0628851801f, -0.0262306165f, -0.0095009692f, -0.00300208619f, -0.000830465287f, -0.000203482588f,
     -5.64366164e-05f, -6.60256092e-06f, 7.13310783e-06f},
    {0.0553784631f, 0.142985806f, 0.175345629f, 0.151602581f, 0.162452236f, 0.157938138f, 0.114840649f,
     0.0674425587f, 0.0330376364f, 0.0137306163f, 0.00489035342f, 0.00150246883f, 0.000399984943f,
     9.25696731e-05f, 1.86696889e-05f, 3.28745386e-06f},
    {0.105991095f, 0.0627388284f, 0.00197687047f, -0.0444388315f, 0.0278757829f, -0.0301716998f,
     -0.0491306446f, -0.043014355f, -0.0259949975f, -0.0140873957f, -0.00614589173f, -0.00214718608f,
     -0.000495921064f, 0.000697836047f, -0.000121658726f, -0.000537062821f},
    {-0.0195116308f, -0.0462413616f, -0.0464814641f, -0.0255650207f, -0.061201483f, -0.0306670554f,
     -0.00223667827f, 0.0113015287f, 0.0124535561f, 0.00835489202f, 0.00423327461f, 0.00172558136f,
     0.000583248097f, 0.000166238111f, 4.03504928e-05f, 8.40241773e-06f},
};
CCDL_SI vf verf(vf x) {
  vf a = vabs(x);
  vf c = vmin(set1(3.99999976f), a);  // NaN stays in a
  vi index = (vi)((vu)(fma(c, set1(4.0f), set1(-0.5f)) + kRoundMagic) & 15u);
  vf t = c - fma(to_float(index), set1(0.25f), set1(0.125f));
  auto row = [&](int k) __attribute__((always_inline)) {
    return (vf)_mm512_maskz_permutexvar_ps((__mmask16)-1, (__m512i)index, _mm512_load_ps(kErfTable[k]));
  };
  vf z = t * t;
  vf g = fma(fma(row(5), t, row(4)), z, fma(row(3), t, row(2)));
  g = fma(g, z, fma(row(1), t, row(0)));
  vf r = select(a < 1.0f, fma(a, g, a), select(a > 3.92f, set1(1.0f), g));
  return vor(select(x != x, a, r), vsign_bit(x));
}
#else
// x + x g(x^2) below 3/4, and above 1 - exp(-P(x)) with P(x) = x (c0 + c1 x + ...).
CCDL_SI vf verf(vf x) {
  vf a = vmin(set1(3.92f), vabs(x));
  vf z = a * a;
  vf g = fma(pair(-0.0006737584f, z, 0.005113157f), z * z, pair(-0.026834335f, z, 0.11283379f));
  g = fma(g, z * z, pair(-0.3761262f, z, 0.12837917f));
  vf q = fma(pair(-9.33725914e-06f, a, 0.000118386866f), z, pair(-0.000635589997f, a, 0.00167227641f));
  vf l = fma(pair(-0.000165937556f, a, -0.019149838f), z, pair(0.102776863f, a, 0.636619508f));
  q = fma(fma(q, z * z, l), a, set1(-5.8635383e-08f));  // 2/sqrt(pi) less its float
  vf p = fma(a, set1(-1.12837923f), a * -q);
  vf r = select(a < 0.75f, fma(a, g, a), vabs(expm1_scaled(p, 0)));
  return vor(r, vsign_bit(x));
}
#endif

// sin, cos, tan. r = x - n pi/2, with pi/2 in three floats where fma keeps the products exact, else in two
// doubles (33 bits and the rest). Beyond kTrigLimit the C library's reduction is used lane by lane.
constexpr float kTrigLimit = 65536.0f;

CCDL_SI vf trig_reduce(vf x, vf n) {
#if defined(__FMA__) || defined(__AVX512F__)
  vf r = fma(n, set1(-1.57079637f), x);
  r = fma(n, set1(4.37113883e-08f), r);
  return fma(n, set1(1.71512451e-15f), r);
#else
  const vd high = set1(-1.57079632673412561417), low = set1(-6.07710050650619224932e-11);
  vd nl = widen_low(n), nh = widen_high(n);
  return narrow(fma(nl, low, fma(nl, high, widen_low(x))), fma(nh, low, fma(nh, high, widen_high(x))));
#endif
}
// The same with what rounding r to float leaves out.
CCDL_SI vf trig_reduce_pair(vf x, vf n, vf* low) {
#if defined(__FMA__) || defined(__AVX512F__)
  vf a = fma(n, set1(-1.57079637f), x), p = n * 4.37113883e-08f;
  vf r = a + p, back = r - a;
  vf error = (a - (r - back)) + (p - back);
  *low = error + fma(n, set1(1.71512451e-15f), fma(n, set1(4.37113883e-08f), -p));
  return r;
#else
  const vd high = set1(-1.57079632673412561417), rest = set1(-6.07710050650619224932e-11);
  vd nl = widen_low(n), nh = widen_high(n);
  vd dl = fma(nl, rest, fma(nl, high, widen_low(x))), dh = fma(nh, rest, fma(nh, high, widen_high(x)));
  vf r = narrow(dl, dh);
  *low = narrow(dl - widen_low(r), dh - widen_high(r));
  return r;
#endif
}
struct TrigParts {
  vf sin, cos;
  vi n;
};
CCDL_SI TrigParts trig_parts(vf x) {  // sin and cos of x - n pi/2
  vf t = fma(x, set1(0.636619772f), set1(kRoundMagic));
  vf r = trig_reduce(x, t - kRoundMagic), z = r * r;
  vf s = fma(set1(2.83272493e-06f), z, set1(-0.000198530732f));
  s = fma(s, z, set1(0.0083333794f));
  s = fma(s, z, set1(-0.166666672f));
  s = fma(s * z, r, r);
  vf c = fma(set1(-2.88798475e-07f), z, set1(2.48220149e-05f));
  c = fma(c, z, set1(-0.001388898f));
  c = fma(c, z, set1(0.0416666679f));
  c = fma(c * z, z, fma(z, set1(-0.5f), set1(1.0f)));
  return {s, c, (vi)t};
}
CCDL_SI bool any_lane(vi m) {  // of what a comparison yields
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#elif defined(__SSE2__)
  return _mm_movemask_ps((__m128)m) != 0;
#else
  int32_t r = 0;
  for (int i = 0; i < VL; ++i) r |= m[i];
  return r != 0;
#endif
}
CCDL_SI vf trig_far(float (*fn)(float), vf x, vf r) {  // lanes beyond kTrigLimit, inf and NaN
  vi far = (vi)(vabs(x) < kTrigLimit) == 0;
  if (__builtin_expect(any_lane(far), 0))
    for (int i = 0; i < VL; ++i)
      if (far[i]) r[i] = fn(x[i]);
  return r;
}
CCDL_SI vf vsin(vf x) {
  TrigParts p = trig_parts(x);
  vf r = select((p.n & 1) != 0, p.cos, p.sin);
  r = vxor(r, (vf)(((vu)p.n & 2u) << 30));
  return trig_far(__builtin_sinf, x, select(x == 0.0f, x, r));
}
CCDL_SI vf vcos(vf x) {
  TrigParts p = trig_parts(x);
  vf r = select((p.n & 1) != 0, p.sin, p.cos);
  r = vxor(r, (vf)((((vu)p.n + 1u) & 2u) << 30));
  return trig_far(__builtin_cosf, x, r);
}
// tan r = r + r^3 P(r^2) on |r| <= pi/4, -1 / tan r in odd quadrants; what the reduction rounded off is added
// through the derivative 1 + tan^2.
CCDL_SI vf vtan(vf x) {
  vf t = fma(x, set1(0.636619772f), set1(kRoundMagic)), n = t - kRoundMagic;
  vf low, r = trig_reduce_pair(x, n, &low), z = r * r;
  vf p = fma(set1(0.00437735068f), z, set1(8.74033576e-05f));
  p = fma(p, z, set1(0.0108374562f));
  p = fma(p, z, set1(0.0212815683f));
  p = fma(p, z, set1(0.0540600345f));
  p = fma(p, z, set1(0.13332662f));
  p = fma(p, z, set1(0.333333492f));
  vf c = r * z, y = fma(c, p, r);
  vf rest = fma(c, p, r - y) + low * fma(y, y, set1(1.0f));  // y + rest is tan to about 30 bits
  vi odd = ((vi)t & 1) != 0;
  vf q = -1.0f / y;
  vf corrected = fma(q * q, rest, fma(fma(q, y, set1(1.0f)), q, q));  // -1 / (y + rest)
  y = select(odd, corrected, y + rest);
  return trig_far(__builtin_tanf, x, select(x == 0.0f, x, y));
}

// atan: |x| above tan(3 pi/8) through -1/x, above tan(1/2) through (x - 1) / (x + 1), whose error is then
// small beside a result of more than 1/2; one division in all.
CCDL_SI vf atan_positive(vf num, vf den) {  // atan(num / den), num, den >= 0, not both 0 and not both inf
  vi high = num > den * 2.41421356f;
  vi mid = num > den * 0.546302497f;
  vf n = select(high, -den, select(mid, num - den, num));
  vf d = select(high, num, select(mid, num + den, den));
  vf t = n / d, z = t * t;
  vf base = select(high, set1(1.57079637f), select(mid, set1(0.785398185f), vf{}));
  vf rest = select(high, set1(-4.37113883e-08f), select(mid, set1(-2.18556941e-08f), vf{}));
  vf q = fma(set1(0.034186438f), z, set1(-0.07647459f));
  q = fma(q, z, set1(0.10848571f));
  q = fma(q, z, set1(-0.14260644f));
  q = fma(q, z, set1(0.19998878f));
  q = fma(q, z, set1(-0.33333316f));
  return base + (fma(q * z, t, t) + rest);
}
CCDL_SI vf vatan(vf x) {
  vf a = vabs(x);
  return vor(atan_positive(a, set1(1.0f)), vsign_bit(x));
}
CCDL_SI vf vatan2(vf y, vf x) {
  vf a = vabs(y), b = vabs(x);
  vi same = ((a == kInfF) & (b == kInfF));
  vi zero = (a == 0.0f) & (b == 0.0f);
  // Large operands are scaled down so that num + den and the thresholds stay finite.
  vf scale = select((a > 1.0e37f) | (b > 1.0e37f), set1(0.0009765625f), set1(1.0f));
  vf r = atan_positive(select(same, set1(1.0f), a * scale), select(same | zero, set1(1.0f), b * scale));
  vi negative = (vi)x < 0;
  r = select(negative, (3.14159274f - r) - 8.74227766e-08f, r);
  r = vor(r, vsign_bit(y));
  return select((x == x) & (y == y), r, x + y);
}

// asin: x + x^3 q(x^2) up to 1/2, pi/2 - 2 asin(sqrt((1 - |x|) / 2)) above.
CCDL_SI vf asin_tail(vf z, vf s) {  // s^3 q(z) with z = s^2
  vf q = fma(set1(0.0376964621f), z, set1(0.0143149635f));
  q = fma(q, z, set1(0.0318390839f));
  q = fma(q, z, set1(0.0445133746f));
  q = fma(q, z, set1(0.0750052184f));
  q = fma(q, z, set1(0.166666597f));
  return q * z * s;
}
CCDL_SI vf vasin(vf x) {
  vf a = vabs(x);
  vi big = a > 0.5f;
  vf z = select(big, fma(a, set1(-0.5f), set1(0.5f)), a * a);
  vf s = select(big, vsqrt(z), a);
  vf t = asin_tail(z, s);
  vf far = 1.57079637f - ((s + s) + ((t + t) + 4.37113883e-08f));
  return vor(select(big, far, s + t), vsign_bit(x));
}
CCDL_SI vf vacos(vf x) {
  vf a = vabs(x);
  vi big = a > 0.5f;
  vf z = select(big, fma(a, set1(-0.5f), set1(0.5f)), a * a);
  vf s = select(big, vsqrt(z), x);
  vf t = asin_tail(z, s);
  vf twice = (t + s) * 2.0f;
  vf far = select(x < 0.0f, (3.14159274f - twice) - 8.74227766e-08f, twice);
  return select(big, far, 1.57079637f - (s + (t + 4.37113883e-08f)));
}

// pow through log2 and exp2 in double (about 1e-11), rounded once to float.
CCDL_SI vd sqrt_double(vd x) {
#if defined(__AVX512F__)
  return (vd)_mm512_maskz_sqrt_pd((__mmask8)-1, (__m512d)x);
#elif defined(__AVX2__)
  return (vd)_mm256_sqrt_pd((__m256d)x);
#elif defined(__SSE2__)
  return (vd)_mm_sqrt_pd((__m128d)x);
#else
  for (int i = 0; i < VD; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
#endif
}
CCDL_SI vd pow_half(vd f, vd e, vd y) {  // f = m - 1, x = 2^e m; x^y
  vd s = f / (f + 2.0), z = s * s;
  vd q = fma(set1(0.28292056100710822), z, set1(0.31990434263207207));
  q = fma(q, z, set1(0.41220928352097952));
  q = fma(q, z, set1(0.57707794207556784));
  q = fma(q, z, set1(0.96179669411427859));
  q = fma(q, z, set1(2.8853900817778495));
  vd t = y * fma(q, s, e);
  t = vmin(set1(400.0), vmax(set1(-400.0), t));
  vd magic = t + 6755399441055744.0;
  vd r = t - (magic - 6755399441055744.0);
  vd p = fma(set1(1.3175842387925271e-06), r, set1(1.5309737531313838e-05));
  p = fma(p, r, set1(0.00015403851829585806));
  p = fma(p, r, set1(0.0013333452061663729));
  p = fma(p, r, set1(0.0096181285427253422));
  p = fma(p, r, set1(0.055504109393426301));
  p = fma(p, r, set1(0.24022650698881234));
  p = fma(p, r, set1(0.69314718054651381));
  p = fma(p, r, set1(0.99999999999976219));
  return (vd)((vlu)p + ((vlu)magic << 52));
}
CCDL_SI vf vpow(vf x, vf y) {
  vf a = vabs(x);
  LogParts l = log_split(a);
  l.e = select(a == 0.0f, set1(-kInfF), select(a == kInfF, a, l.e));
  vf r = narrow(pow_half(widen_low(l.f), widen_low(l.e), widen_low(y)),
                pow_half(widen_high(l.f), widen_high(l.e), widen_high(y)));
  vf half = y * 0.5f;
  vi integer = vtrunc(y) == y;
  vi odd = integer & (vtrunc(half) != half);
  vi negative = (vi)x < 0;
  r = select(negative & odd, -r, r);
  r = select((x < 0.0f) & (integer == 0) & (a != kInfF), set1(kNanF), r);
  r = select((x != x) | (y != y), x + y, r);
  vi one = (y == 0.0f) | (x == 1.0f) | ((x == -1.0f) & (vabs(y) == kInfF));
  return select(one, set1(1.0f), r);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
