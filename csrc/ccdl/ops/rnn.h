// Recurrent layers over whole sequences: vanilla (tanh, relu), LSTM with projections or peepholes, and GRU
// with the reset gate after (PyTorch's) or before the recurrent product. Equations in kernels/rnn.h.
#pragma once
#include <string>
#include <vector>

#include <ccdl/kernels/rnn.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// One layer in one direction, H = hidden size, G gates, R = P with a projection and H without.
struct RnnWeights {
  Tensor w_ih, w_hh;  // [G H, I], [G H, R]
  Tensor b_ih, b_hh;  // [G H] or undefined, both or none
  Tensor w_hr;        // [P, H] or undefined (LSTM modes)
  Tensor peephole;    // [3, H] rows i f o (LstmPeephole only)
};

struct RnnState {
  Tensor y, hn, cn;  // cn: LSTM modes only
};

// One layer, one or two directions (weights.size()), rows packed by time as kernels/rnn.h says: x [N, I], h0
// [D, B, R] and c0 [D, B, H] or undefined (zeros), B = batch_sizes[0]. y [N, D R], hn [D, B, R], cn [D, B,
// H].
RnnState rnn_layer(const char* op, RnnMode mode, const Tensor& x, const std::vector<int64_t>& batch_sizes,
                   const Tensor& h0, const Tensor& c0, const std::vector<RnnWeights>& weights);

struct RnnOptions {
  RnnMode mode = RnnMode::Tanh;
  bool has_biases = true;
  int64_t num_layers = 1;
  double dropout = 0;  // between layers, when train
  bool train = false, bidirectional = false;
  bool batch_first = false;  // padded input and output only
};

// Stacked layers. weights: per layer and direction w_ih, w_hh, [b_ih, b_hh], [w_hr], [peephole]. hx [L D, B,
// R], cx [L D, B, H] (LSTM modes). input [T, B, I] or [B, T, I]; the result's y has the same layout.
RnnState rnn(const char* op, const RnnOptions& options, const Tensor& input, const Tensor& hx,
             const Tensor& cx, const TensorList& weights);
// data [N, I] packed by time, batch_sizes 1-d int64 on the CPU.
RnnState rnn_packed(const char* op, const RnnOptions& options, const Tensor& data, const Tensor& batch_sizes,
                    const Tensor& hx, const Tensor& cx, const TensorList& weights);
// One step: input [B, I] or [I], hx [B, H] or [H]. Result: the new states in hn and cn; y undefined.
RnnState rnn_cell(const char* op, RnnMode mode, const Tensor& input, const Tensor& hx, const Tensor& cx,
                  const RnnWeights& weights);

// The same layer from elementwise ops and products, step by step: what is differentiated twice.
RnnState rnn_layer_composite(RnnMode mode, const Tensor& x, const std::vector<int64_t>& batch_sizes,
                             const Tensor& h0, const Tensor& c0, const std::vector<RnnWeights>& weights);

}  // namespace ccdl::ops
