// Stacks of recurrent layers: arguments as PyTorch's functions take them, layer after layer, dropout between.
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/random.h>
#include <ccdl/ops/rnn.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// The flat list of weights, one entry per layer and direction.
std::vector<RnnWeights> grouped(const char* op, const RnnOptions& o, const TensorList& flat) {
  CCDL_CHECK(o.num_layers >= 1, Value, op, ": num_layers must be greater than zero, got ", o.num_layers);
  CCDL_CHECK(o.dropout >= 0 && o.dropout <= 1, Value, op, ": dropout must be between 0 and 1, got ",
             o.dropout);
  const size_t base = (o.has_biases ? 4 : 2) + (o.mode == RnnMode::LstmPeephole ? 1 : 0);
  const size_t cells = static_cast<size_t>(o.num_layers) * (o.bidirectional ? 2 : 1);
  const bool lstm = rnn_has_cell(o.mode);
  const bool fits = !flat.empty() && static_cast<size_t>(o.num_layers) <= flat.size();
  const bool projected = fits && lstm && flat.size() == cells * (base + 1);
  CCDL_CHECK(fits && (projected || flat.size() == cells * base), Runtime, op, ": expects ", base,
             lstm ? " (one more with a projection)" : "", " weights for each of ", cells,
             " layers and directions (num_layers=", o.num_layers, ", has_biases=", o.has_biases,
             ", bidirectional=", o.bidirectional, "), got ", flat.size());
  std::vector<RnnWeights> all;
  size_t at = 0;
  for (size_t i = 0; i < cells; ++i) {
    RnnWeights w;
    w.w_ih = flat[at++];
    w.w_hh = flat[at++];
    if (o.has_biases) {
      w.b_ih = flat[at++];
      w.b_hh = flat[at++];
    }
    if (projected) w.w_hr = flat[at++];
    if (o.mode == RnnMode::LstmPeephole) w.peephole = flat[at++];
    for (size_t k = i * (base + projected); k < at; ++k)
      CCDL_CHECK(flat[k].defined(), Type, op, ": weight ", k, " is None");
    all.push_back(w);
  }
  return all;
}

// x [N, I] packed by time through all layers.
RnnState layers(const char* op, const RnnOptions& o, Tensor x, const std::vector<int64_t>& sizes,
                const Tensor& hx, const Tensor& cx, const TensorList& flat) {
  const std::vector<RnnWeights> weights = grouped(op, o, flat);
  const int64_t directions = o.bidirectional ? 2 : 1;
  for (const auto& [name, state] : {std::pair<const char*, const Tensor*>{"hx", &hx}, {"cx", &cx}})
    CCDL_CHECK(!state->defined() || (state->dim() == 3 && state->size(0) == o.num_layers * directions), Shape,
               op, ": ", name, " must be [", o.num_layers * directions, " (num_layers * directions), ",
               sizes[0], " (batch), size], got ", describe(*state));
  const auto part = [&](const Tensor& state, int64_t layer) {
    return state.defined() && o.num_layers > 1 ? narrow(state, 0, layer * directions, directions) : state;
  };
  TensorList hn, cn;
  for (int64_t l = 0; l < o.num_layers; ++l) {
    if (l > 0 && o.train && o.dropout > 0) x = dropout(x, o.dropout, true);
    const auto first = weights.begin() + l * directions;
    const RnnState s = rnn_layer(op, o.mode, x, sizes, part(hx, l), part(cx, l), {first, first + directions});
    x = s.y;
    hn.push_back(s.hn);
    cn.push_back(s.cn);
  }
  if (o.num_layers == 1) return {x, hn[0], cn[0]};
  return {x, cat(hn, 0), rnn_has_cell(o.mode) ? cat(cn, 0) : Tensor()};
}

}  // namespace

RnnState rnn(const char* op, const RnnOptions& o, const Tensor& input, const Tensor& hx, const Tensor& cx,
             const TensorList& weights) {
  CCDL_CHECK(input.dim() == 3, Shape, op, ": input must have 3 dimensions, got ", describe(input));
  const Tensor x = o.batch_first ? transpose(input, 0, 1) : input;
  const int64_t steps = x.size(0), batch = x.size(1), features = x.size(2);
  CCDL_CHECK(steps > 0, Runtime, op, ": Expected sequence length to be larger than 0 in RNN, got input ",
             describe(input));
  CCDL_CHECK(features > 0, Shape, op, ": input must have at least one feature, got ", describe(input));
  // In memory of its own before anything of the number of steps is made: an expanded input may claim any.
  const Tensor rows = contiguous(reshape(x, Dims{steps * batch, features}));
  const std::vector<int64_t> sizes(batch == 0 ? 1 : static_cast<size_t>(steps), batch);
  RnnState s = layers(op, o, rows, sizes, hx, cx, weights);
  s.y = reshape(s.y, Dims{steps, batch, s.y.size(1)});
  if (o.batch_first) s.y = transpose(s.y, 0, 1);
  return s;
}

RnnState rnn_packed(const char* op, const RnnOptions& o, const Tensor& data, const Tensor& batch_sizes,
                    const Tensor& hx, const Tensor& cx, const TensorList& weights) {
  CCDL_CHECK(data.dim() == 2 && data.size(1) > 0, Shape, op, ": packed data must have 2 dimensions, got ",
             describe(data));
  CCDL_CHECK(batch_sizes.dim() == 1 && batch_sizes.dtype() == DType::Int64 && batch_sizes.device().is_cpu() &&
                 batch_sizes.numel() > 0,
             Runtime, op, ": batch_sizes must be a 1-d int64 tensor on the CPU, got ", describe(batch_sizes));
  std::vector<int64_t> sizes;
  int64_t rows = 0;
  for (int64_t t = 0; t < batch_sizes.numel(); ++t) {
    const int64_t n = batch_sizes.ptr<int64_t>()[t * batch_sizes.stride(0)];
    CCDL_CHECK(n > 0 && (t == 0 || n <= sizes.back()), Runtime, op,
               ": batch_sizes must be positive and never grow, got ", n, " at step ", t);
    CCDL_CHECK(n <= data.size(0) - rows, Runtime, op, ": batch_sizes add up to more than the ", data.size(0),
               " rows of data");
    sizes.push_back(n);
    rows += n;
  }
  CCDL_CHECK(rows == data.size(0), Runtime, op, ": batch_sizes add up to ", rows, " but data has ",
             data.size(0), " rows");
  return layers(op, o, data, sizes, hx, cx, weights);
}

RnnState rnn_cell(const char* op, RnnMode mode, const Tensor& input, const Tensor& hx, const Tensor& cx,
                  const RnnWeights& weights) {
  CCDL_CHECK(input.dim() == 1 || input.dim() == 2, Shape, op, ": input must be 1-d or 2-d, got ",
             describe(input));
  const bool single = input.dim() == 1;
  for (const auto& [name, state] : {std::pair<const char*, const Tensor*>{"hx", &hx}, {"cx", &cx}}) {
    if (!state->defined()) continue;
    CCDL_CHECK(state->dim() == input.dim(), Shape, op, ": ", name,
               " must have as many dimensions as input, got ", describe(*state), " and input ",
               describe(input));
    CCDL_CHECK(single || state->size(0) == input.size(0), Shape, op, ": Input batch size ", input.size(0),
               " doesn't match ", name, " batch size ", state->size(0));
  }
  const Tensor x = single ? unsqueeze(input, 0) : input;
  if (hx.size(-1) == 0 && weights.w_hh.numel() == 0 && weights.w_ih.dim() == 2 && weights.w_ih.size(0) == 0) {
    const auto nothing = [&] { return matmul(input, transpose(weights.w_ih, 0, 1)); };  // no hidden values
    return {Tensor(), nothing(), cx.defined() ? nothing() : Tensor()};
  }
  const auto layered = [&](const Tensor& state) {
    if (!state.defined()) return state;
    return unsqueeze(single ? unsqueeze(state, 0) : state, 0);
  };
  const RnnState s = rnn_layer(op, mode, x, {x.size(0)}, layered(hx), layered(cx), {weights});
  const auto bare = [&](const Tensor& state) {
    if (!state.defined()) return state;
    const Tensor rows = select(state, 0, 0);
    return single ? select(rows, 0, 0) : rows;
  };
  return {Tensor(), bare(s.hn), bare(s.cn)};
}

}  // namespace ccdl::ops
