// A recurrent layer as a time loop of ops: the second oracle of the fused layer and its double backward.
#include <algorithm>

#include <ccdl/ops/activation.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/rnn.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

struct Step {
  Tensor h, c;
};

// One time step: `a` is the input projection with its bias.
Step step(RnnMode mode, const Tensor& a, const Step& before, const RnnWeights& w) {
  const Tensor& h = before.h;
  const int64_t size = w.w_hh.size(0) / rnn_gates(mode);
  const auto rows = [&](const Tensor& v, int64_t first, int64_t gates) {
    return v.defined() ? narrow(v, 0, first * size, gates * size) : v;
  };
  if (mode == RnnMode::Gru) {  // n = tanh(a_n + r (U_n h + b_n)); h' = (1 - z) n + z h
    const TensorList x = chunk(a, 3, 1), u = chunk(linear(h, w.w_hh, w.b_hh), 3, 1);
    const Tensor r = sigmoid(add(x[0], u[0])), z = sigmoid(add(x[1], u[1]));
    const Tensor n = tanh(add(x[2], mul(r, u[2])));
    return {add(n, mul(z, sub(h, n))), {}};
  }
  if (mode == RnnMode::GruBefore) {  // n = tanh(a_n + U_n (r h) + b_n)
    const TensorList x = chunk(a, 3, 1), u = chunk(linear(h, rows(w.w_hh, 0, 2), rows(w.b_hh, 0, 2)), 2, 1);
    const Tensor r = sigmoid(add(x[0], u[0])), z = sigmoid(add(x[1], u[1]));
    const Tensor n = tanh(add(x[2], linear(mul(r, h), rows(w.w_hh, 2, 1), rows(w.b_hh, 2, 1))));
    return {add(n, mul(z, sub(h, n))), {}};
  }
  const Tensor sum = add(a, linear(h, w.w_hh, w.b_hh));
  if (mode == RnnMode::Tanh) return {tanh(sum), {}};
  if (mode == RnnMode::Relu) return {relu(sum), {}};
  TensorList s = chunk(sum, 4, 1);  // i f g o
  const bool peephole = mode == RnnMode::LstmPeephole;
  const auto seen = [&](const Tensor& v, int64_t row, const Tensor& c) {
    return sigmoid(peephole ? add(v, mul(select(w.peephole, 0, row), c)) : v);
  };
  const Tensor i = seen(s[0], 0, before.c), f = seen(s[1], 1, before.c), g = tanh(s[2]);
  const Tensor c = add(mul(f, before.c), mul(i, g));
  Tensor out = mul(seen(s[3], 2, c), tanh(c));
  if (w.w_hr.defined()) out = linear(out, w.w_hr);
  return {out, c};
}

Tensor rows_of(const Tensor& x, int64_t first, int64_t count) {
  return x.defined() ? narrow(x, 0, first, count) : x;
}
Tensor joined(const Tensor& x, const Tensor& more) { return x.defined() ? cat({x, more}, 0) : x; }

struct Direction {
  Tensor y;
  Step last;
};

Direction run(RnnMode mode, const Tensor& x, const std::vector<int64_t>& sizes, const Step& first,
              const RnnWeights& w, bool reverse) {
  const int64_t steps = static_cast<int64_t>(sizes.size());
  std::vector<int64_t> offsets(sizes.size() + 1, 0);
  for (size_t t = 0; t < sizes.size(); ++t) offsets[t + 1] = offsets[t] + sizes[t];
  const Tensor projected = linear(x, w.w_ih, w.b_ih);
  TensorList ys(sizes.size()), done_h, done_c;
  Step s = {rows_of(first.h, 0, sizes[reverse ? sizes.size() - 1 : 0]),
            rows_of(first.c, 0, sizes[reverse ? sizes.size() - 1 : 0])};
  for (int64_t k = 0; k < steps; ++k) {
    const size_t t = static_cast<size_t>(reverse ? steps - 1 - k : k);
    const int64_t live = s.h.size(0);
    if (sizes[t] > live) {  // reverse: sequences whose last element is here
      s.h = joined(s.h, narrow(first.h, 0, live, sizes[t] - live));
      s.c = s.c.defined() ? joined(s.c, narrow(first.c, 0, live, sizes[t] - live)) : s.c;
    } else if (sizes[t] < live) {  // forward: sequences that ended
      done_h.push_back(narrow(s.h, 0, sizes[t], live - sizes[t]));
      if (s.c.defined()) done_c.push_back(narrow(s.c, 0, sizes[t], live - sizes[t]));
      s = {rows_of(s.h, 0, sizes[t]), rows_of(s.c, 0, sizes[t])};
    }
    s = step(mode, narrow(projected, 0, offsets[t], sizes[t]), s, w);
    ys[t] = s.h;
  }
  done_h.push_back(s.h);
  std::reverse(done_h.begin(), done_h.end());
  if (s.c.defined()) done_c.push_back(s.c);
  std::reverse(done_c.begin(), done_c.end());
  return {cat(ys, 0), {cat(done_h, 0), s.c.defined() ? cat(done_c, 0) : Tensor()}};
}

}  // namespace

RnnState rnn_layer_composite(RnnMode mode, const Tensor& x, const std::vector<int64_t>& batch_sizes,
                             const Tensor& h0, const Tensor& c0, const std::vector<RnnWeights>& weights) {
  const bool cell = rnn_has_cell(mode);
  const int64_t batch = batch_sizes[0], hidden = weights[0].w_hh.size(0) / rnn_gates(mode);
  TensorList y, h, c;
  for (size_t d = 0; d < weights.size(); ++d) {
    const auto state = [&](const Tensor& given, int64_t size) {
      return given.defined() ? select(given, 0, static_cast<int64_t>(d))
                             : zeros(Dims{batch, size}, x.dtype(), x.device());
    };
    const Step first = {state(h0, weights[d].w_hh.size(1)), cell ? state(c0, hidden) : Tensor()};
    Direction r = run(mode, x, batch_sizes, first, weights[d], d == 1);
    y.push_back(r.y);
    h.push_back(r.last.h);
    c.push_back(r.last.c);
  }
  return {y.size() > 1 ? cat(y, 1) : y[0], stack(h, 0), cell ? stack(c, 0) : Tensor()};
}

}  // namespace ccdl::ops
