// The float vector as a mathematics for elementwise_functors.h, and the loops over contiguous blocks of
// either mathematics. A tail shorter than a vector runs through small buffers and the same loop body, so each
// formula is compiled once.
#pragma once
#include <ccdl/cpu/simd/elementwise.h>
#include <ccdl/cpu/simd/elementwise_double_math.h>
#include <ccdl/cpu/simd/vmath_special.h>
#include <ccdl/kernels/elementwise_functors.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef uint8_t vbyte __attribute__((vector_size(VL)));
typedef uint8_t vhalfbyte __attribute__((vector_size(VD)));

CCDL_SI vd fmod_half(vd a, vd b,
                     vl* far) {  // exact while the quotient stays below 2^29 (24 + 29 bits); |a|, |b|
  vd q = a / b;
  vd t = __builtin_convertvector(__builtin_convertvector(q, vl), vd);
  vd r = a - t * b;
  r = select(r < 0.0, r + b, r);
  r = select(r >= b, r - b, r);
  *far = (vl)(q < 536870912.0) == 0;
  return r;
}

struct VecMath {
  using S = float;
  using V = vf;
  using Mask = vi;
  static constexpr float k(double c) { return (float)c; }
  static constexpr float inf() { return kInfF; }
  static constexpr float nan() { return kNanF; }
  CCDL_SI vf sel(vi m, vf a, vf b) { return m ? a : b; }
  CCDL_SI vf sel(vi m, float a, vf b) { return m ? set1(a) : b; }
  CCDL_SI vf sel(vi m, vf a, float b) { return m ? a : set1(b); }
  CCDL_SI vf sel(vi m, float a, float b) { return m ? set1(a) : set1(b); }
  CCDL_SI vf fma(vf a, vf b, vf c) { return CCDL_ISA::fma(a, b, c); }
  CCDL_SI vf fma(vf a, float b, vf c) { return CCDL_ISA::fma(a, set1(b), c); }
#define CCDL_VEC1(name) \
  CCDL_SI vf name(vf x) { return v##name(x); }
  CCDL_VECTOR_FUNCTIONS(CCDL_VEC1)
  CCDL_VEC1(sqrt)
#undef CCDL_VEC1
  CCDL_SI vf pow(vf x, vf y) { return vpow(x, y); }
  CCDL_SI vf atan2(vf y, vf x) { return vatan2(y, x); }
  CCDL_SI vf copysign(vf x, vf y) { return vcopysign(x, y); }
  CCDL_SI vf copysign(float x, vf y) { return vcopysign(set1(x), y); }
  CCDL_SI vf digamma(vf x) { return narrow(ddigamma(widen_low(x)), ddigamma(widen_high(x))); }
  CCDL_SI vf trigamma(vf x) { return narrow(dtrigamma(widen_low(x)), dtrigamma(widen_high(x))); }
  CCDL_SI vf nextafter(vf x, vf y) { return vnextafter(x, y); }
  CCDL_SI vf hypot(vf x, vf y) {
    vd xl = widen_low(x), xh = widen_high(x), yl = widen_low(y), yh = widen_high(y);
    vd l = xl * xl + yl * yl, h = xh * xh + yh * yh;
    vi infinite = (vabs(x) == kInfF) | (vabs(y) == kInfF);
    return infinite ? set1(kInfF) : narrow(sqrt_double(l), sqrt_double(h));
  }
  CCDL_SI vf fmod(vf x, vf y) {
    vf a = vabs(x), b = vabs(y);
    vl fl, fh;
    vf r = narrow(fmod_half(widen_low(a), widen_low(b), &fl), fmod_half(widen_high(a), widen_high(b), &fh));
    r = vor(r, vsign_bit(x));
    r = ((b == kInfF) & (a < kInfF)) ? x : r;  // 0 * inf above would be NaN
    int64_t far = 0;
    for (int i = 0; i < VD; ++i) far |= fl[i] | fh[i];
    if (__builtin_expect(far != 0, 0)) return vlanes(__builtin_fmodf, x, y);
    return r;
  }
};

template <class M>
CCDL_SI functors::Params<typename M::S> vec_params(const ElementParams& p) {
  using S = typename M::S;
  return {(S)p.f[0], (S)p.f[1], (S)p.f[2]};
}

CCDL_SI void store_out(float* y, vf v) { storeu(y, v); }
CCDL_SI void store_out(double* y, vd v) { storeu(y, v); }
CCDL_SI void store_out(uint8_t* y, vi m) {
  const vbyte b = __builtin_convertvector(m & 1, vbyte);
  __builtin_memcpy(y, &b, VL);
}
CCDL_SI void store_out(uint8_t* y, vl m) {
  const vhalfbyte b = __builtin_convertvector(m & 1, vhalfbyte);
  __builtin_memcpy(y, &b, VD);
}

CCDL_SI void store_tail(float* y, const float* t, int n) { storen(y, loadu(t), n); }
CCDL_SI void store_tail(double* y, const double* t, int n) { storen(y, loadu(t), n); }
CCDL_SI void store_tail(uint8_t* y, const uint8_t* t, int n) {
  for (int i = 0; i < n; ++i) y[i] = t[i];
}

// out[i] = f(in0[i], in1[i], in2[i]) over M's scalars, with N inputs; f takes vectors, N of them are loaded.
template <class M, int N, class Out, class F>
CCDL_SI void block_loop(Out* out, const typename M::S* in0, const typename M::S* in1,
                        const typename M::S* in2, int64_t n, const F& f) {
  using S = typename M::S;
  using V = typename M::V;
  constexpr int kLanes = VB / (int)sizeof(S);
  const int64_t whole = n & ~(int64_t)(kLanes - 1), tail = n - whole;
  S t0[kLanes], t1[kLanes], t2[kLanes];
  Out t[kLanes];
  const S *a = in0, *b = in1, *c = in2;
  Out* y = out;
  int64_t m = whole;
  if (m == 0) goto rest;
  for (;;) {
    for (int64_t i = 0; i < m; i += kLanes)
      store_out(y + i, f(N > 0 ? loadu(a + i) : V{}, N > 1 ? loadu(b + i) : V{}, N > 2 ? loadu(c + i) : V{}));
    if (y == t) break;
  rest:
    if (tail == 0) return;
    if (N > 0) storeu(t0, loadn(in0 + whole, (int)tail));
    if (N > 1) storeu(t1, loadn(in1 + whole, (int)tail));
    if (N > 2) storeu(t2, loadn(in2 + whole, (int)tail));
    a = t0, b = t1, c = t2, y = t, m = kLanes;
  }
  store_tail(out + whole, t, (int)tail);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
