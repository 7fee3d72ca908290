// Gate arithmetic of recurrent steps in one pass: activations, new state, and their derivatives. Equations in
// kernels/rnn.h; derivatives stand beside the code.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/rnn.h>
#include <ccdl/cpu/simd/vmath.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

// e^x - 1 = s (e^r - 1) + (s - 1) with s = 2^n and |r| <= ln2 / 2; exp_parts gives s and e^r - 1.
struct ExpParts {
  vd scale, minus_one;
};
CCDL_SI ExpParts exp_parts(vd x) {               // |x| <= 708; the Taylor remainder after r^13 is below 5e-18
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52 leaves the nearest integer in the low bits
  constexpr double kTaylor[] = {1.6059043836821613e-10, 2.08767569878681e-09,   2.505210838544172e-08,
                                2.755731922398589e-07,  2.7557319223985893e-06, 2.48015873015873e-05,
                                0.0001984126984126984,  0.001388888888888889,   0.008333333333333333,
                                0.041666666666666664,   0.16666666666666666,    0.5};
  const vd t = fma(x, set1(1.4426950408889634), set1(kMagic)), n = t - kMagic;
  const vd r = fma(n, set1(-1.9082149292705877e-10), fma(n, set1(-0.6931471803691238), x));
  vd q = set1(kTaylor[0]);
  for (int i = 1; i < 12; ++i) q = fma(q, r, set1(kTaylor[i]));
  const vd scale = (vd)(((vlu)t << 52) + (1023ull << 52));
  return {scale, fma(r * r, q, r)};
}

// 1 / (1 + e^-x), relatively exact on both sides, 0 at -inf; at most 2.5 ULP.
CCDL_SI vf gate_sigmoid(vf x) { return 1.0f / (1.0f + vexp(-x)); }
CCDL_SI vd gate_sigmoid(vd x) {
  const ExpParts e = exp_parts(vmin(set1(708.0), vmax(set1(-708.0), -x)));
  return select(x < -708.0, vd{}, 1.0 / (1.0 + fma(e.scale, e.minus_one, e.scale)));
}
// t / (t + 2) with t = e^(2|x|) - 1; at most 3 ULP.
CCDL_SI vf gate_tanh(vf x) {
  const vf t = expm1_scaled(vmin(set1(20.0f), vabs(x) * 2.0f), 0);
  return vor(t / (t + 2.0f), vsign_bit(x));
}
CCDL_SI vd gate_tanh(vd x) {
  const ExpParts e = exp_parts(vmin(set1(40.0), vabs(x) * 2.0));
  const vd t = fma(e.scale, e.minus_one, e.scale - 1.0), y = t / (t + 2.0);
  return (vd)((vlu)y | ((vlu)x & (1ull << 63)));
}
template <class V>
CCDL_SI V one_minus(V x) {
  return 1 - x;
}
template <class V>
CCDL_SI V sigmoid_slope(V y) {  // of its result
  return y * one_minus(y);
}

template <class T>
CCDL_SI void maybe_to(T* p, int64_t i, Vec<T> v, int k) {
  if (p != nullptr) to(p + i, v, k);
}

template <class T, bool Relu>
void plain_forward(const RnnRow<T>& r) {
  each_vector<T>(
      r.n, [&](int64_t i, int k) __attribute__((always_inline)) {
        const Vec<T> a = at(r.gates + i, k);
        const Vec<T> h = Relu ? (a < set1(T(0)) ? Vec<T>{} : a) : gate_tanh(a);  // relu keeps NaN
        to(r.gates + i, h, k);
        to(r.h + i, h, k);
        maybe_to(r.y, i, h, k);
      });
}

template <class T, bool Peephole>
void lstm_forward(const RnnRow<T>& r) {
  T *gi = r.gates, *gf = gi + r.hidden, *gg = gf + r.hidden, *go = gg + r.hidden;
  const T *pi = r.peephole, *pf = pi + r.hidden, *po = pf + r.hidden;
  each_vector<T>(
      r.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> before = at(r.c_before + j, k);
        Vec<T> ai = at(gi + j, k), af = at(gf + j, k), ao = at(go + j, k);
        if (Peephole) {
          ai = fma(at(pi + j, k), before, ai);
          af = fma(at(pf + j, k), before, af);
        }
        const Vec<T> i = gate_sigmoid(ai), f = gate_sigmoid(af), g = gate_tanh(at(gg + j, k));
        const Vec<T> c = fma(f, before, i * g);
        if (Peephole) ao = fma(at(po + j, k), c, ao);
        const Vec<T> o = gate_sigmoid(ao), h = o * gate_tanh(c);
        to(gi + j, i, k);
        to(gf + j, f, k);
        to(gg + j, g, k);
        to(go + j, o, k);
        to(r.c + j, c, k);
        maybe_to(r.cells, j, c, k);
        to(r.h + j, h, k);
        maybe_to(r.y, j, h, k);
      });
}

template <class T>
void gru_forward(const RnnRow<T>& row) {
  T *gr = row.gates, *gz = gr + row.hidden, *gn = gz + row.hidden;
  const T *ur = row.recurrent, *uz = ur + row.hidden, *un = uz + row.hidden;
  each_vector<T>(
      row.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> u = at(un + j, k), before = at(row.h_before + j, k);
        const Vec<T> r = gate_sigmoid(at(gr + j, k) + at(ur + j, k)),
                     z = gate_sigmoid(at(gz + j, k) + at(uz + j, k));
        const Vec<T> n = gate_tanh(fma(r, u, at(gn + j, k)));
        const Vec<T> h = fma(z, before - n, n);
        to(gr + j, r, k);
        to(gz + j, z, k);
        to(gn + j, n, k);
        maybe_to(row.extra, j, u, k);
        to(row.h + j, h, k);
        maybe_to(row.y, j, h, k);
      });
}

template <class T>
void gru_before_forward(const RnnRow<T>& row) {
  T *gr = row.gates, *gz = gr + row.hidden;
  each_vector<T>(
      row.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> r = gate_sigmoid(at(gr + j, k));
        to(gr + j, r, k);
        to(gz + j, gate_sigmoid(at(gz + j, k)), k);
        to(row.reset + j, r * at(row.h_before + j, k), k);
      });
}

template <class T>
void gru_candidate(const RnnRow<T>& row) {
  const T* gz = row.gates + row.hidden;
  T* gn = row.gates + 2 * row.hidden;
  each_vector<T>(
      row.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> n = gate_tanh(at(gn + j, k)), before = at(row.h_before + j, k);
        const Vec<T> h = fma(at(gz + j, k), before - n, n);
        to(gn + j, n, k);
        to(row.h + j, h, k);
        maybe_to(row.y, j, h, k);
      });
}

template <class T>
CCDL_SI Vec<T> incoming(const RnnRowBack<T>& r, int64_t j, int k) {
  const Vec<T> dh = at(r.dh + j, k);
  return r.dy != nullptr ? dh + at(r.dy + j, k) : dh;
}

// da = dh h' with tanh' = 1 - h^2 and relu' = [h > 0] (NaN passes)
template <class T, bool Relu>
void plain_backward(const RnnRowBack<T>& r) {
  each_vector<T>(
      r.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> h = at(r.gates + j, k), dh = incoming(r, j, k);
        to(r.dgates + j, Relu ? (h <= set1(T(0)) ? Vec<T>{} : dh) : dh * one_minus(h * h), k);
      });
}

// dc += dh o (1 - tanh^2 c) [+ p_o da_o]; da_o = dh tanh c o', da_i = dc g i', da_f = dc c' f', da_g = dc i
// g'; dc' = dc f [+ p_i da_i + p_f da_f]
template <class T, bool Peephole>
void lstm_backward(const RnnRowBack<T>& r) {
  const T *gi = r.gates, *gf = gi + r.hidden, *gg = gf + r.hidden, *go = gg + r.hidden;
  T *di = r.dgates, *df = di + r.hidden, *dg = df + r.hidden, *d_o = dg + r.hidden;
  const T *pi = r.peephole, *pf = pi + r.hidden, *po = pf + r.hidden;
  each_vector<T>(
      r.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> i = at(gi + j, k), f = at(gf + j, k), g = at(gg + j, k), o = at(go + j, k);
        const Vec<T> c = at(r.cells + j, k), before = at(r.c_before + j, k), dh = incoming(r, j, k);
        const Vec<T> t = gate_tanh(c), ao = dh * t * sigmoid_slope(o);
        Vec<T> dc = fma(dh * o, one_minus(t * t), at(r.dc + j, k));
        if (Peephole) dc = fma(at(po + j, k), ao, dc);
        const Vec<T> ai = dc * g * sigmoid_slope(i), af = dc * before * sigmoid_slope(f);
        Vec<T> dc_before = dc * f;
        if (Peephole) {
          dc_before = fma(at(pi + j, k), ai, fma(at(pf + j, k), af, dc_before));
          if (r.dpeephole != nullptr) {
            T* sums = r.dpeephole + j;
            to(sums, fma(ai, before, at(sums, k)), k);
            to(sums + r.hidden, fma(af, before, at(sums + r.hidden, k)), k);
            to(sums + 2 * r.hidden, fma(ao, c, at(sums + 2 * r.hidden, k)), k);
          }
        }
        to(di + j, ai, k);
        to(df + j, af, k);
        to(dg + j, dc * i * one_minus(g * g), k);
        to(d_o + j, ao, k);
        to(r.dc + j, dc_before, k);
      });
}

// da_n = dh (1 - z) n', da_z = dh (h' - n) z', da_r = da_n (U_n h' + b_n) r', d(U_n h' + b_n) = da_n r,
// dh' = dh z + products
template <class T>
void gru_backward(const RnnRowBack<T>& row) {
  const T *gr = row.gates, *gz = gr + row.hidden, *gn = gz + row.hidden;
  const int64_t second = row.hidden, third = 2 * row.hidden;
  each_vector<T>(
      row.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> r = at(gr + j, k), z = at(gz + j, k), n = at(gn + j, k), dh = incoming(row, j, k);
        const Vec<T> an = dh * one_minus(z) * one_minus(n * n);
        const Vec<T> az = dh * (at(row.h_before + j, k) - n) * sigmoid_slope(z);
        const Vec<T> ar = an * at(row.extra + j, k) * sigmoid_slope(r);
        to(row.dgates + j, ar, k);
        to(row.dgates + second + j, az, k);
        to(row.dgates + third + j, an, k);
        to(row.dgates_h + j, ar, k);
        to(row.dgates_h + second + j, az, k);
        to(row.dgates_h + third + j, an * r, k);
        to(row.dh + j, dh * z, k);
      });
}

template <class T>
void gru_before_backward(const RnnRowBack<T>& row) {
  const T *gz = row.gates + row.hidden, *gn = gz + row.hidden;
  T *dz = row.dgates + row.hidden, *dn = dz + row.hidden;
  each_vector<T>(
      row.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> z = at(gz + j, k), n = at(gn + j, k), dh = incoming(row, j, k);
        to(dn + j, dh * one_minus(z) * one_minus(n * n), k);
        to(dz + j, dh * (at(row.h_before + j, k) - n) * sigmoid_slope(z), k);
        to(row.dh + j, dh * z, k);
      });
}

// With q = U_n^T da_n the gradient of r h': da_r = q h' r', dh' += q r
template <class T>
void reset_backward(const RnnRowBack<T>& row) {
  each_vector<T>(
      row.n, [&](int64_t j, int k) __attribute__((always_inline)) {
        const Vec<T> r = at(row.gates + j, k), q = at(row.dreset + j, k);
        to(row.dgates + j, q * at(row.h_before + j, k) * sigmoid_slope(r), k);
        to(row.dh + j, fma(q, r, at(row.dh + j, k)), k);
      });
}

template <class T>
constexpr RnnTypeKernels<T> kernels() {
  return {{plain_forward<T, true>, plain_forward<T, false>, lstm_forward<T, false>, lstm_forward<T, true>,
           gru_forward<T>, gru_before_forward<T>},
          gru_candidate<T>,
          {plain_backward<T, true>, plain_backward<T, false>, lstm_backward<T, false>, lstm_backward<T, true>,
           gru_backward<T>, gru_before_backward<T>},
          reset_backward<T>};
}

}  // namespace

extern const RnnKernels rnn;
const RnnKernels rnn = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
