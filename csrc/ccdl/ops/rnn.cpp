// A layer is one node: the input projection of all steps is one product, the kernel runs the recurrent part
// of each direction into its half of the output, and backward forms the weight gradients by one product each
// over all steps. CPU kernels see float32 or float64: halves are widened whole and rounded once.
#include <ccdl/ops/rnn.h>

#include <ccdl/kernels/gemm.h>
#include <ccdl/kernels/rnn.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

using Sizes = std::vector<int64_t>;

// What a kernel takes of an operand: contiguous, halves as float on the CPU; never recorded.
Tensor operand(const Tensor& x) {
  if (!x.defined()) return x;
  NoGradGuard no_grad;
  return dense(is_half(x.dtype()) && x.device().is_cpu() ? to(x, DType::Float32) : x);
}
RnnWeights operands(const RnnWeights& w) {
  return {operand(w.w_ih), operand(w.w_hh), operand(w.b_ih),
          operand(w.b_hh), operand(w.w_hr), operand(w.peephole)};
}
Tensor rounded(const Tensor& x, DType dtype) {
  NoGradGuard no_grad;
  return to(x, dtype);
}

// Columns [first, first + count) of a contiguous matrix, rows [row, row + rows).
View block(const Tensor& x, int64_t row, int64_t rows, int64_t first, int64_t count) {
  View v = x.view();
  const int64_t width = x.size(1);
  v.data = static_cast<char*>(v.data) + (row * width + first) * item_size(x.dtype());
  v.ndim = 2;
  v.sizes[0] = rows;
  v.sizes[1] = count;
  v.strides[0] = width;
  v.strides[1] = 1;
  return v;
}
// Matrix d of a contiguous [D, B, S], or absent.
View plane(const Tensor& x, int64_t d) {
  if (!x.defined()) return View{};
  View v = x.view();
  v.data = static_cast<char*>(v.data) + d * x.size(1) * x.size(2) * item_size(x.dtype());
  v.ndim = 2;
  v.sizes[0] = x.size(1);
  v.sizes[1] = v.strides[0] = x.size(2);
  v.strides[1] = 1;
  return v;
}

View turned(View v) {
  std::swap(v.sizes[0], v.sizes[1]);
  std::swap(v.strides[0], v.strides[1]);
  return v;
}
View batch_of_one(View v) {
  v.ndim = 3;
  for (int i = 2; i > 0; --i) {
    v.sizes[i] = v.sizes[i - 1];
    v.strides[i] = v.strides[i - 1];
  }
  v.sizes[0] = 1;
  v.strides[0] = 0;
  return v;
}
// c = a b + beta c (+ bias per column); `at` says where.
void multiply([[maybe_unused]] const Tensor& at, const View& a, const View& b, const View& c, double beta,
              const Tensor& bias = {}) {
  GemmEpilogue e;
  if (bias.defined()) {
    e.bias = bias.data();
    e.column_stride = 1;
  }
  CCDL_KERNEL(at, gemm(batch_of_one(a), batch_of_one(b), batch_of_one(c), 1.0, beta, e));
}

// Shapes of one layer, and what its kernels are told.
struct Layer {
  RnnMode mode;
  Sizes sizes;
  int64_t rows = 0, batch = 0, hidden = 0, state = 0;  // N, B, H, R
  RnnSteps steps(int64_t d) const { return {mode, d == 1, sizes.data(), static_cast<int64_t>(sizes.size())}; }
  int64_t gates() const { return rnn_gates(mode) * hidden; }
};

// What the forward of one direction leaves for backward.
struct Trace {
  Tensor gates, cells, extra;
};

Trace forward_direction(const Layer& layer, int64_t d, const Tensor& x, const RnnWeights& w, const Tensor& h0,
                        const Tensor& c0, const RnnState& out, bool keep) {
  const DType t = x.dtype(), stat = stat_dtype(t);
  Trace trace;
  trace.gates = empty(Dims{layer.rows, layer.gates()}, t, x.device());
  multiply(x, x.view(), turned(w.w_ih.view()), trace.gates.view(), 0, w.b_ih);
  if (layer.rows == 0) return trace;
  const auto kept = [&](bool wanted) {
    return keep && wanted ? empty(Dims{layer.rows, layer.hidden}, stat, x.device()) : Tensor();
  };
  trace.cells = kept(rnn_has_cell(layer.mode));
  trace.extra = kept(layer.mode == RnnMode::Gru);
  const RnnSteps steps = layer.steps(d);
  const int64_t bytes = CCDL_KERNEL(x, rnn_forward_workspace_bytes(steps, layer.hidden, layer.state, t));
  const Tensor workspace = empty(Dims{bytes}, DType::UInt8, x.device());
  RnnForward f;
  f.gates = trace.gates.view();
  f.w_hh = w.w_hh.view();
  f.b_hh = maybe_view(w.b_hh);
  f.peephole = maybe_view(w.peephole);
  f.w_hr = maybe_view(w.w_hr);
  f.h0 = plane(h0, d);
  f.c0 = plane(c0, d);
  f.y = block(out.y, 0, layer.rows, d * layer.state, layer.state);
  f.hn = plane(out.hn, d);
  f.cn = plane(out.cn, d);
  f.cells = maybe_view(trace.cells);
  f.extra = maybe_view(trace.extra);
  f.workspace = workspace.data();
  CCDL_KERNEL(x, rnn_forward(steps, f));
  return trace;
}

// Where the state before a run of rows is: in rows of the output (from >= 0), or the first states of
// sequences -1 - from and on. It is the neighbouring step's output wherever the sequence has one.
struct Before {
  int64_t row, rows, from;
};
std::vector<Before> before_rows(const Layer& layer, int64_t d) {
  std::vector<Before> runs;
  const auto push = [&](int64_t row, int64_t rows, int64_t from) {
    if (rows <= 0) return;
    if (!runs.empty() && from >= 0 && runs.back().from >= 0 && runs.back().from + runs.back().rows == from)
      runs.back().rows += rows;
    else
      runs.push_back({row, rows, from});
  };
  int64_t row = 0;
  for (size_t t = 0; t < layer.sizes.size(); row += layer.sizes[t++]) {
    const int64_t n = layer.sizes[t];
    if (d == 0) {
      push(row, n, t == 0 ? -1 : row - layer.sizes[t - 1]);
    } else {
      const int64_t next = t + 1 < layer.sizes.size() ? layer.sizes[t + 1] : 0;
      push(row, next, row + n);
      push(row + next, n - next, -1 - next);
    }
  }
  return runs;
}

// [N, R]: the state before every row. y [N, D R], h0 [D, B, R] or undefined.
Tensor states_before(const Layer& layer, int64_t d, const Tensor& y, const Tensor& h0) {
  const Tensor own = narrow(y, 1, d * layer.state, layer.state);
  TensorList parts;
  for (const Before& run : before_rows(layer, d)) {
    if (run.from >= 0)
      parts.push_back(narrow(own, 0, run.from, run.rows));
    else if (h0.defined())
      parts.push_back(narrow(select(h0, 0, d), 0, -1 - run.from, run.rows));
    else
      parts.push_back(zeros(Dims{run.rows, layer.state}, y.dtype(), y.device()));
  }
  return parts.empty() ? zeros(Dims{0, layer.state}, y.dtype(), y.device()) : cat(parts, 0);
}

// a[:, :columns]^T times the states before a's rows: [columns, R].
Tensor times_before(const Layer& layer, int64_t d, const Tensor& a, int64_t columns, const Tensor& y,
                    const Tensor& h0) {
  const Tensor result = empty(Dims{columns, layer.state}, a.dtype(), a.device());
  const std::vector<Before> runs = before_rows(layer, d);
  if (runs.size() > 2) {  // many lengths: one copy instead of many thin products
    const Tensor before = states_before(layer, d, y, h0);
    multiply(a, turned(block(a, 0, layer.rows, 0, columns)), before.view(), result.view(), 0);
    return result;
  }
  double beta = 0;
  for (const Before& run : runs) {
    if (run.from < 0 && !h0.defined()) continue;
    View before = run.from >= 0 ? block(y, run.from, run.rows, d * layer.state, layer.state) : plane(h0, d);
    before.sizes[0] = run.rows;  // of two runs at most, first states begin at sequence 0
    multiply(a, turned(block(a, run.row, run.rows, 0, columns)), before, result.view(), beta);
    beta = 1;
  }
  if (beta == 0) zero_(result);
  return result;
}

constexpr size_t kShared = 3,
                 kPerDirection = 6;  // inputs of the node: x h0 c0, then per direction the weights

TensorList inputs_of(const Tensor& x, const Tensor& h0, const Tensor& c0,
                     const std::vector<RnnWeights>& weights) {
  TensorList all = {x, h0, c0};
  for (const RnnWeights& w : weights)
    for (const Tensor& v : {w.w_ih, w.w_hh, w.b_ih, w.b_hh, w.w_hr, w.peephole}) all.push_back(v);
  return all;
}
std::vector<RnnWeights> weights_of(const TensorList& all) {
  std::vector<RnnWeights> weights;
  for (size_t i = kShared; i < all.size(); i += kPerDirection)
    weights.push_back({all[i], all[i + 1], all[i + 2], all[i + 3], all[i + 4], all[i + 5]});
  return weights;
}

// With dG the gradient of the input projections: dx = dG W_ih, dW_ih = dG^T x, dW_hh = dG_h^T h_before,
// biases the column sums, dW_hr = dproj^T (o tanh c); dG itself comes from the kernel's walk back in time.
struct RnnLayerBackward : Node {
  const char* name() const override { return "RnnLayerBackward"; }
  Layer layer;
  std::vector<SavedTensor> inputs;  // in the order of inputs_of
  SavedTensor output;
  std::vector<Trace> traces;

  TensorList apply(const TensorList& grads) override {
    TensorList in;
    for (SavedTensor& s : inputs) in.push_back(s.defined() ? s.get(this) : Tensor());
    if (grad_enabled()) return composite(in, grads);
    const Tensor x = operand(in[0]), h0 = operand(in[1]), c0 = operand(in[2]), y = operand(output.get(this));
    const Tensor dy = operand(grads[0]), dhn = operand(grads[1]),
                 dcn = grads.size() > 2 ? operand(grads[2]) : Tensor();
    const auto weights = weights_of(in);
    const int64_t directions = static_cast<int64_t>(weights.size());
    const auto wanted = [&](bool want, const Dims& sizes) {
      return want ? empty(sizes, x.dtype(), x.device()) : Tensor();
    };
    TensorList result(in.size());
    result[0] = wanted(needs(0), x.sizes());
    result[1] = wanted(needs(1), Dims{directions, layer.batch, layer.state});
    result[2] = wanted(needs(2), Dims{directions, layer.batch, layer.hidden});
    for (int64_t d = 0; d < directions; ++d) {
      RnnWeights w = operands(weights[static_cast<size_t>(d)]);
      direction(d, {x, h0, c0}, w, y, dy, dhn, dcn, result);
    }
    return result;
  }

  void direction(int64_t d, const TensorList& shared, const RnnWeights& w, const Tensor& y, const Tensor& dy,
                 const Tensor& dhn, const Tensor& dcn, TensorList& result) {
    const Tensor &x = shared[0], &h0 = shared[1], &c0 = shared[2];
    const Trace& trace = traces[static_cast<size_t>(d)];
    const size_t at = kShared + static_cast<size_t>(d) * kPerDirection;
    const DType t = x.dtype();
    const bool gru = layer.mode == RnnMode::Gru;
    const auto matrix = [&](bool wanted, int64_t width) {
      return wanted ? empty(Dims{layer.rows, width}, t, x.device()) : Tensor();
    };
    const Tensor dgates = matrix(true, layer.gates()), dgates_h = matrix(gru, layer.gates()),
                 dproj = matrix(w.w_hr.defined(), layer.state);
    const Tensor dpeephole = w.peephole.defined() && needs(at + 5)
                                 ? zeros(Dims{3, layer.hidden}, stat_dtype(t), x.device())
                                 : Tensor();
    if (layer.rows > 0) {
      const RnnSteps steps = layer.steps(d);
      const int64_t bytes = CCDL_KERNEL(x, rnn_backward_workspace_bytes(steps, layer.hidden, layer.state, t));
      const Tensor workspace = empty(Dims{bytes}, DType::UInt8, x.device());
      RnnBackward b;
      b.gates = trace.gates.view();
      b.cells = maybe_view(trace.cells);
      b.extra = maybe_view(trace.extra);
      b.y = block(y, 0, layer.rows, d * layer.state, layer.state);
      b.h0 = plane(h0, d);
      b.c0 = plane(c0, d);
      b.w_hh = w.w_hh.view();
      b.peephole = maybe_view(w.peephole);
      b.w_hr = maybe_view(w.w_hr);
      b.dy = dy.defined() ? block(dy, 0, layer.rows, d * layer.state, layer.state) : View{};
      b.dhn = plane(dhn, d);
      b.dcn = plane(dcn, d);
      b.dgates = dgates.view();
      b.dgates_h = maybe_view(dgates_h);
      b.dproj = maybe_view(dproj);
      b.dh0 = plane(result[1], d);
      b.dc0 = plane(result[2], d);
      b.dpeephole = maybe_view(dpeephole);
      b.workspace = workspace.data();
      CCDL_KERNEL(x, rnn_backward(steps, b));
    }
    if (needs(0)) multiply(x, dgates.view(), w.w_ih.view(), result[0].view(), d == 0 ? 0.0 : 1.0);
    if (needs(at)) {
      result[at] = empty(w.w_ih.sizes(), t, x.device());
      multiply(x, turned(dgates.view()), x.view(), result[at].view(), 0);
    }
    const Tensor& recurrent = gru ? dgates_h : dgates;
    if (needs(at + 1)) result[at + 1] = recurrent_weight(d, recurrent, trace, y, h0);
    if (needs(at + 2)) result[at + 2] = sum(dgates, Dims{0});
    if (needs(at + 3))
      result[at + 3] = !gru && result[at + 2].defined() ? clone(result[at + 2]) : sum(recurrent, Dims{0});
    if (needs(at + 4)) {
      result[at + 4] = empty(w.w_hr.sizes(), t, x.device());
      if (layer.rows == 0) {
        zero_(result[at + 4]);
      } else {
        const Tensor out = mul(narrow(trace.gates, 1, 3 * layer.hidden, layer.hidden), tanh(trace.cells));
        multiply(x, turned(dproj.view()), operand(to(out, t)).view(), result[at + 4].view(), 0);
      }
    }
    result[at + 5] = dpeephole;
  }

  Tensor recurrent_weight(int64_t d, const Tensor& recurrent, const Trace& trace, const Tensor& y,
                          const Tensor& h0) const {
    const int64_t h = layer.hidden;
    if (layer.mode != RnnMode::GruBefore) return times_before(layer, d, recurrent, layer.gates(), y, h0);
    // The candidate's product saw r h instead of h.
    const Tensor reset = mul(narrow(trace.gates, 1, 0, h), states_before(layer, d, y, h0));
    const Tensor lower = empty(Dims{h, h}, y.dtype(), y.device());
    multiply(y, turned(block(recurrent, 0, layer.rows, 2 * h, h)), reset.view(), lower.view(), 0);
    return cat({times_before(layer, d, recurrent, 2 * h, y, h0), lower}, 0);
  }

  TensorList composite(const TensorList& in, const TensorList& grads) {
    return autograd::differentiate(
        [&](const TensorList& now) {
          const RnnState s =
              rnn_layer_composite(layer.mode, now[0], layer.sizes, now[1], now[2], weights_of(now));
          return s.cn.defined() ? TensorList{s.y, s.hn, s.cn} : TensorList{s.y, s.hn};
        },
        in, grads);
  }

  void release_saved() override {
    for (SavedTensor& s : inputs) s.reset();
    output.reset();
    traces.assign(traces.size(), {});
  }
};

// "weight_hh_l0_reverse"-like names are the caller's; here a weight is named by its role.
void check_weight(const char* op, const char* name, const Tensor& w, const Dims& sizes, const Tensor& x) {
  if (!w.defined()) return;
  CCDL_CHECK(w.sizes() == sizes, Shape, op, ": ", name, " must be ", sizes, ", got ", describe(w), " (input ",
             describe(x), ")");
  CCDL_CHECK(w.dtype() == x.dtype(), DType, op, ": input and ", name, " must have the same dtype, got ",
             dtype_name(x.dtype()), " and ", dtype_name(w.dtype()), "; convert one of them with .to()");
  check_same_device(op, {{"input", &x}, {name, &w}});
}

Layer check_layer(const char* op, RnnMode mode, const Tensor& x, const Sizes& sizes, const Tensor& h0,
                  const Tensor& c0, const std::vector<RnnWeights>& weights) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(x),
             "; convert it with .float()");
  const int64_t g = rnn_gates(mode), features = x.size(1);
  Layer layer{mode, sizes};
  layer.rows = x.size(0);
  layer.batch = sizes[0];
  for (const RnnWeights& w : weights) {
    CCDL_CHECK(w.w_hh.dim() == 2 && w.w_hh.size(0) > 0 && w.w_hh.size(0) % g == 0, Shape, op,
               ": weight_hh must be [", g, " * hidden_size, hidden_size], got ", describe(w.w_hh));
    const int64_t h = w.w_hh.size(0) / g, r = w.w_hr.defined() ? w.w_hr.size(0) : h;
    layer.hidden = h;
    layer.state = r;
    CCDL_CHECK(w.w_ih.dim() == 2, Shape, op, ": weight_ih must be [", g, " * hidden_size, input_size], got ",
               describe(w.w_ih));
    CCDL_CHECK(w.w_ih.size(1) == features, Shape, op, ": input has inconsistent input_size: got ", features,
               " expected ", w.w_ih.size(1), " (input ", describe(x), ", weight_ih ", describe(w.w_ih), ")");
    check_weight(op, "weight_ih", w.w_ih, Dims{g * h, features}, x);
    check_weight(op, "weight_hh", w.w_hh, Dims{g * h, r}, x);
    check_weight(op, "bias_ih", w.b_ih, Dims{g * h}, x);
    check_weight(op, "bias_hh", w.b_hh, Dims{g * h}, x);
    check_weight(op, "weight_hr", w.w_hr, Dims{r, h}, x);
    check_weight(op, "weight_ph", w.peephole, Dims{3, h}, x);
    CCDL_CHECK(w.w_hh.sizes() == weights[0].w_hh.sizes(), Shape, op,
               ": the two directions must have the same hidden size, got weight_hh ",
               describe(weights[0].w_hh), " and ", describe(w.w_hh));
  }
  const int64_t directions = static_cast<int64_t>(weights.size());
  check_weight(op, "hx", h0, Dims{directions, layer.batch, layer.state}, x);
  check_weight(op, "cx", c0, Dims{directions, layer.batch, layer.hidden}, x);
  return layer;
}

}  // namespace

RnnState rnn_layer(const char* op, RnnMode mode, const Tensor& x, const Sizes& batch_sizes, const Tensor& h0,
                   const Tensor& c0, const std::vector<RnnWeights>& weights) {
  const Layer layer = check_layer(op, mode, x, batch_sizes, h0, c0, weights);
  const TensorList inputs = inputs_of(x, h0, c0, weights);
  const bool keep = needs_graph(inputs);
  const Tensor xc = operand(x), h = operand(h0), c = operand(c0);
  const DType t = xc.dtype();
  const int64_t directions = static_cast<int64_t>(weights.size());
  RnnState out;
  out.y = empty(Dims{layer.rows, directions * layer.state}, t, x.device());
  out.hn = empty(Dims{directions, layer.batch, layer.state}, t, x.device());
  if (rnn_has_cell(mode)) out.cn = empty(Dims{directions, layer.batch, layer.hidden}, t, x.device());
  std::vector<Trace> traces;
  for (int64_t d = 0; d < directions; ++d)
    traces.push_back(
        forward_direction(layer, d, xc, operands(weights[static_cast<size_t>(d)]), h, c, out, keep));
  out = {rounded(out.y, x.dtype()), rounded(out.hn, x.dtype()),
         out.cn.defined() ? rounded(out.cn, x.dtype()) : Tensor()};
  if (keep) {
    auto node = make_ref<RnnLayerBackward>();
    node->layer = layer;
    for (const Tensor& input : inputs)
      node->inputs.push_back(input.defined() ? SavedTensor(input) : SavedTensor());
    node->traces = std::move(traces);
    TensorList outputs = {out.y, out.hn};
    if (out.cn.defined()) outputs.push_back(out.cn);
    record(node.get(), inputs, outputs);
    node->output = SavedTensor(out.y, node.get(), 0);
  }
  return out;
}

}  // namespace ccdl::ops
