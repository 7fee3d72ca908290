// One (sequence, hidden unit) of one step: reads of everything that does not depend on the recurrent product,
// then gates, activations, state and stores in one go; shared by step mode and the persistent kernels.
// Arithmetic in float (double for float64). The equations stand in ccdl/kernels/rnn.h.
#pragma once
#include <device/prelude.cuh>
#include <kernels/elementwise_math.cuh>

#include <ccdl/kernels/rnn.h>

namespace ccdl::cu {

enum class RnnCell { Simple, Lstm, Gru };
template <RnnCell kCell>
constexpr int kRnnGates = kCell == RnnCell::Simple ? 1
                          : kCell == RnnCell::Lstm ? 4
                                                   : 3;

CCDL_DEVICE float rnn_sigmoid(float v) { return FloatMath::sigmoid(v); }
CCDL_DEVICE double rnn_sigmoid(double v) { return DoubleMath::sigmoid(v); }
CCDL_DEVICE float rnn_tanh(float v) { return tanhf(v); }
CCDL_DEVICE double rnn_tanh(double v) { return ::tanh(v); }

template <class T>
CCDL_DEVICE Compute<T> value_or_zero(const T* p, int64_t at) {
  return p == nullptr ? Compute<T>(0) : convert<Compute<T>>(p[at]);
}

template <class T>
struct RnnForwardData {
  using C = Compute<T>;
  T* gates;
  const T *b_hh, *peephole;
  T* cn;
  C *cells, *extra;
  int64_t hidden;
  bool relu;
};

template <class T, RnnCell kCell>
struct RnnForwardItem {
  using C = Compute<T>;
  static constexpr int G = kRnnGates<kCell>;
  C a[G], bias[G], p[3];

  CCDL_DEVICE void load(const RnnForwardData<T>& d, int64_t row, int64_t u) {
    const T* gates = d.gates + row * G * d.hidden + u;
#pragma unroll
    for (int g = 0; g < G; ++g) {
      a[g] = convert<C>(gates[g * d.hidden]);
      bias[g] = value_or_zero(d.b_hh, g * d.hidden + u);
    }
    if constexpr (kCell == RnnCell::Lstm)
#pragma unroll
      for (int g = 0; g < 3; ++g) p[g] = value_or_zero(d.peephole, g * d.hidden + u);
  }

  // u_h: the product U h'. state: c', becomes c (Lstm); h', becomes h as stored (Gru). Returns h.
  CCDL_DEVICE C run(const RnnForwardData<T>& d, const C (&u_h)[G], C& state, int64_t row, int64_t b,
                    int64_t u, bool last) {
    C h;
    if constexpr (kCell == RnnCell::Simple) {
      const C v = a[0] + (u_h[0] + bias[0]);
      h = d.relu ? (v < C(0) ? C(0) : v) : rnn_tanh(v);
      a[0] = h;
    } else if constexpr (kCell == RnnCell::Lstm) {
#pragma unroll
      for (int g = 0; g < 4; ++g) a[g] += u_h[g] + bias[g];
      if (d.peephole != nullptr) {
        a[0] += p[0] * state;
        a[1] += p[1] * state;
      }
      a[0] = rnn_sigmoid(a[0]);
      a[1] = rnn_sigmoid(a[1]);
      a[2] = rnn_tanh(a[2]);
      state = a[1] * state + a[0] * a[2];
      if (d.peephole != nullptr) a[3] += p[2] * state;
      a[3] = rnn_sigmoid(a[3]);
      h = a[3] * rnn_tanh(state);
      if (d.cells != nullptr) d.cells[row * d.hidden + u] = state;
      if (last) d.cn[b * d.hidden + u] = convert<T>(state);
    } else {
      a[0] = rnn_sigmoid(a[0] + (u_h[0] + bias[0]));
      a[1] = rnn_sigmoid(a[1] + (u_h[1] + bias[1]));
      const C reset = u_h[2] + bias[2];
      a[2] = rnn_tanh(a[2] + a[0] * reset);
      h = (C(1) - a[1]) * a[2] + a[1] * state;
      if (d.extra != nullptr) d.extra[row * d.hidden + u] = reset;
      state = convert<C>(convert<T>(h));
    }
    T* gates = d.gates + row * G * d.hidden + u;
#pragma unroll
    for (int g = 0; g < G; ++g) gates[g * d.hidden] = convert<T>(a[g]);
    return h;
  }
};

template <class T>
struct RnnBackwardData {
  using C = Compute<T>;
  const T* gates;
  const C *cells, *extra;
  const T *y, *h0, *c0, *peephole, *dy;
  int64_t y_stride, dy_stride;
  T *dgates, *dgates_h;
  C* peephole_sums;  // [B, 3, H]
  int64_t hidden;
  bool relu;
};

template <class T, RnnCell kCell>
struct RnnBackwardItem {
  using C = Compute<T>;
  static constexpr int G = kRnnGates<kCell>;
  C act[G], dy;
  C before, now;  // Lstm: c' and c; Gru: h' and U_n h' + b_n

  // before_row: the row of the previous state, -1 for the initial one
  CCDL_DEVICE void load(const RnnBackwardData<T>& d, int64_t row, int64_t before_row, int64_t b, int64_t u) {
    const T* gates = d.gates + row * G * d.hidden + u;
#pragma unroll
    for (int g = 0; g < G; ++g) act[g] = convert<C>(gates[g * d.hidden]);
    dy = value_or_zero(d.dy, row * d.dy_stride + u);
    if constexpr (kCell == RnnCell::Lstm) {
      now = d.cells[row * d.hidden + u];
      before = before_row >= 0 ? d.cells[before_row * d.hidden + u] : value_or_zero(d.c0, b * d.hidden + u);
    } else if constexpr (kCell == RnnCell::Gru) {
      now = d.extra[row * d.hidden + u];
      before = before_row >= 0 ? convert<C>(d.y[before_row * d.y_stride + u])
                               : value_or_zero(d.h0, b * d.hidden + u);
    }
  }

  // dh: gradient of h but for dy. state: gradient of c, becomes that of c' (Lstm); becomes the part of h's
  // gradient that passes beside the product (Gru). da: gradients of U h', also stored.
  CCDL_DEVICE void run(const RnnBackwardData<T>& d, C dh, C& state, int64_t row, int64_t b, int64_t u,
                       T (&da)[G]) {
    dh += dy;
    const int64_t at = row * G * d.hidden + u;
    if constexpr (kCell == RnnCell::Simple) {
      const C slope = d.relu ? (act[0] > C(0) ? C(1) : C(0)) : C(1) - act[0] * act[0];
      da[0] = convert<T>(dh * slope);
    } else if constexpr (kCell == RnnCell::Lstm) {
      const C i = act[0], f = act[1], g = act[2], o = act[3], tanh_c = rnn_tanh(now);
      const C d_o = dh * tanh_c * (o * (C(1) - o));
      C dc = state + dh * o * (C(1) - tanh_c * tanh_c);
      if (d.peephole != nullptr) dc += d_o * convert<C>(d.peephole[2 * d.hidden + u]);
      const C d_i = dc * g * (i * (C(1) - i)), d_f = dc * before * (f * (C(1) - f));
      state = dc * f;
      if (d.peephole != nullptr)
        state += d_i * convert<C>(d.peephole[u]) + d_f * convert<C>(d.peephole[d.hidden + u]);
      da[0] = convert<T>(d_i);
      da[1] = convert<T>(d_f);
      da[2] = convert<T>(dc * i * (C(1) - g * g));
      da[3] = convert<T>(d_o);
      if (d.peephole_sums != nullptr) {  // this (b, u) always belongs to this thread
        C* sums = d.peephole_sums + b * 3 * d.hidden + u;
        sums[0] += d_i * before;
        sums[d.hidden] += d_f * before;
        sums[2 * d.hidden] += d_o * now;
      }
    } else {
      const C r = act[0], z = act[1], n = act[2];
      const C d_n = dh * (C(1) - z) * (C(1) - n * n);
      da[0] = convert<T>(d_n * now * (r * (C(1) - r)));
      da[1] = convert<T>(dh * (before - n) * (z * (C(1) - z)));
      da[2] = convert<T>(d_n * r);
      state = dh * z;
      d.dgates[at + 2 * d.hidden] = convert<T>(d_n);
    }
    T* to = kCell == RnnCell::Gru ? d.dgates_h : d.dgates;
#pragma unroll
    for (int g = 0; g < G; ++g) {
      to[at + g * d.hidden] = da[g];
      if (kCell == RnnCell::Gru && g < 2) d.dgates[at + g * d.hidden] = da[g];
    }
  }
};

}  // namespace ccdl::cu
