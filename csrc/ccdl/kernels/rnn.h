// Recurrent layers: the recurrent part of one layer in one direction over a whole sequence. The input
// projections of all steps (x W_ih^T + b_ih) and the weight gradients are products made by the op; the
// kernels do, per step, the product with the recurrent weights and everything pointwise in one pass.
//
// Rows are packed by time: step t owns rows [offset_t, offset_t + batch_sizes[t]), sequences sorted by
// length, so batch_sizes never grows; a padded batch has batch_sizes[t] == B. reverse walks from the last
// step, each sequence from its own last element. N = sum of batch_sizes, H hidden size, R = size of the
// output state (H, or P with a projection), G = rnn_gates(mode).
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

// Gate order of the G blocks of size H (PyTorch's): Lstm i f g o, Gru r z n.
//   Relu, Tanh    h = act(a + U h' + b)
//   Lstm          i f o = sigmoid, g = tanh; c = f c' + i g; h = o tanh(c)
//   LstmPeephole  i, f also see p_i c', p_f c', o sees p_o c (rows i f o of `peephole`)
//   Gru           n = tanh(a_n + r (U_n h' + b_n)); h = (1 - z) n + z h'       (reset after the product)
//   GruBefore     n = tanh(a_n + U_n (r h') + b_n); h = (1 - z) n + z h'       (reset before the product)
enum class RnnMode : int32_t { Relu, Tanh, Lstm, LstmPeephole, Gru, GruBefore };

CCDL_HD CCDL_INLINE constexpr int64_t rnn_gates(RnnMode m) {
  return m == RnnMode::Lstm || m == RnnMode::LstmPeephole ? 4
         : m == RnnMode::Gru || m == RnnMode::GruBefore   ? 3
                                                          : 1;
}
CCDL_HD CCDL_INLINE constexpr bool rnn_has_cell(RnnMode m) {
  return m == RnnMode::Lstm || m == RnnMode::LstmPeephole;
}

struct RnnSteps {
  RnnMode mode;
  bool reverse;
  const int64_t* batch_sizes;  // [steps], host memory, non-increasing, each >= 1
  int64_t steps;
};

// All views have one floating dtype T and are contiguous unless said otherwise; `cells` and `extra` have the
// stat dtype (float32, or float64 for float64). data == null: absent. On the CPU T is float32 or float64: the
// op widens halves.
struct RnnForward {
  View gates;     // [N, G H]: in the input projections, out the activated gates (for Relu, Tanh: h)
  View w_hh;      // [G H, R]
  View b_hh;      // [G H] or absent
  View peephole;  // [3, H], LstmPeephole only
  View w_hr;      // [P, H], Lstm modes only: h = W_hr (o tanh c); absent: R == H
  View h0, c0;    // [B, R], [B, H] (c0 for Lstm modes); absent: zeros
  View y;         // [N, R], unit column stride, any row stride: the states of every step
  View hn, cn;    // [B, R], [B, H]: each sequence's state after its last processed step
  View cells;     // [N, H] c of every step (Lstm modes), or absent when no backward follows
  View extra;     // [N, H] U_n h' + b_n (Gru only), or absent when no backward follows
  void* workspace;
};

struct RnnBackward {
  View gates, cells, extra;              // as the forward left them
  View y, h0, c0, w_hh, peephole, w_hr;  // as in the forward
  View dy;                               // [N, R], unit column stride, any row stride, or absent: zeros
  View dhn, dcn;                         // [B, R], [B, H], or absent: zeros
  View dgates;     // [N, G H]: gradient of the input projections (may be `gates`' memory)
  View dgates_h;   // [N, G H]: Gru only, gradient of U h' + b; its r and z blocks equal those of dgates
  View dproj;      // [N, R]: with w_hr only, gradient of h of every step (for dW_hr)
  View dh0, dc0;   // [B, R], [B, H], or absent
  View dpeephole;  // [3, H] in the stat dtype, or absent
  void* workspace;
};
}  // namespace ccdl

#define CCDL_RNN_CONTRACT                                                                               \
  void rnn_forward(const RnnSteps& steps, const RnnForward& f);                                         \
  int64_t rnn_forward_workspace_bytes(const RnnSteps& steps, int64_t hidden, int64_t state, DType t);   \
  /* Deterministic; everything named is overwritten. The weight gradients follow from dgates, dgates_h, \
     dproj by one product each. */                                                                      \
  void rnn_backward(const RnnSteps& steps, const RnnBackward& b);                                       \
  int64_t rnn_backward_workspace_bytes(const RnnSteps& steps, int64_t hidden, int64_t state, DType t);

namespace ccdl::cpu {
CCDL_RNN_CONTRACT
}
namespace ccdl::cu {
CCDL_RNN_CONTRACT
}
#undef CCDL_RNN_CONTRACT
