#include <ccdl/ops/cross_entropy.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/softmax.h>

namespace ccdl::ops {
namespace {

// What both losses share after the checks: input seen as [N, C, S].
struct Problem {
  const char* op;
  Tensor x;       // contiguous, as given otherwise
  Tensor target;  // contiguous int64, or probabilities
  Tensor weight;  // contiguous [C] or undefined
  Dims shape;     // [N, C, S]
  Dims rows;      // sizes of the unreduced loss
  int64_t class_dim;
  LossReduction reduction;
  int64_t ignore_index;
  double smoothing;
  bool probabilities;

  Dims out_sizes() const { return reduction == LossReduction::None ? rows : Dims{}; }
  View x_view(const Tensor& t) const { return shaped(t, shape); }
  View row_view(const Tensor& t) const { return shaped(t, Dims{shape[0], shape[2]}); }
  View target_view() const { return probabilities ? shaped(target, shape) : row_view(target); }
};

// w_c t'_c for every class, zero where ignored; and the divisor of the mean. Neither carries history of the
// logits.
std::pair<Tensor, Tensor> soft_target(const Problem& p, const Tensor& target, bool nll) {
  const int64_t classes = p.shape[1];
  Dims per_class(p.rows.size() + 1, 1);
  per_class[p.class_dim] = classes;
  const DType t = p.x.dtype();
  const Tensor w = p.weight.defined() ? reshape(p.weight, per_class) : Tensor();
  Tensor q, divisor;
  if (p.probabilities) {
    q = target;
    divisor = full(Dims{}, Scalar(static_cast<double>(p.shape[0] * p.shape[2])), t, p.x.device());
  } else {
    NoGradGuard no_grad;
    const Tensor used = ne(target, Scalar(p.ignore_index));
    const Tensor index = unsqueeze(where(used, target, Scalar(0)), p.class_dim);
    const Tensor live = to(unsqueeze(used, p.class_dim), t);
    q = scatter(zeros(p.x.sizes(), t, p.x.device()), p.class_dim, index, Operand(live));
    divisor = sum(w.defined() ? mul(q, w) : q);
    if (p.smoothing != 0 && !nll)
      q = add(mul(q, Scalar(1 - p.smoothing)), mul(live, Scalar(p.smoothing / static_cast<double>(classes))));
  }
  if (p.probabilities && p.smoothing != 0)
    q = add(mul(q, Scalar(1 - p.smoothing)), Scalar(p.smoothing / static_cast<double>(classes)));
  if (w.defined()) q = mul(q, w);
  return {q, divisor};
}

// The loss from ops alone: second derivatives, and probability targets or their weights that need a gradient.
Tensor composite(const Problem& p, const Tensor& x, const Tensor& target, bool nll) {
  const Tensor log_p = nll ? x : log_softmax(x, p.class_dim);
  const auto [q, divisor] = soft_target(p, target, nll);
  // ignored and zero-weight classes must not turn -inf into NaN; a probability or weight of 0 has a gradient
  const Tensor none = eq(q, Scalar(0.0));
  const Tensor terms = p.probabilities ? mul(q, where(logical_and(none, isinf(log_p)), Operand(0.0), log_p))
                                       : where(none, mul(q, Scalar(0.0)), mul(q, log_p));
  const Tensor loss = neg(sum(terms, Dims{p.class_dim}));
  if (p.reduction == LossReduction::None) return loss;
  const Tensor total = sum(loss);
  return p.reduction == LossReduction::Sum ? total : div(total, divisor);
}

// index targets: dx_c = g ((1 - s) w_t (p_c - [c == t]) + s / C (p_c sum(w) - w_c)), p = exp(x - lse)
struct CrossEntropyBackward : Node {
  const char* name() const override { return "CrossEntropyBackward"; }
  SavedTensor input, target, weight;
  Tensor lse, total;
  Problem p;

  TensorList apply(const TensorList& grads) override {
    Problem q = p;
    q.target = target.get(this);
    q.weight = weight.defined() ? weight.get(this) : Tensor();
    const Tensor x = input.get(this);
    q.x = dense(x);
    if (grad_enabled())
      return autograd::differentiate(
          [&](const TensorList& in) { return TensorList{composite(q, in[0], q.target, false)}; }, {x}, grads);
    const Tensor dy = dense(grads[0]);
    Tensor dx = empty(x.sizes(), x.dtype(), x.device());
    const View w = maybe_view(q.weight),
               dout = q.reduction == LossReduction::None ? q.row_view(dy) : dy.view();
    if (q.probabilities)
      CCDL_KERNEL(dx, cross_entropy_prob_backward(q.x_view(q.x), q.target_view(), w, q.row_view(lse), dout,
                                                  q.x_view(dx), q.reduction, q.smoothing));
    else
      CCDL_KERNEL(dx, cross_entropy_backward(q.x_view(q.x), q.target_view(), w, q.row_view(lse), total.view(),
                                             dout, q.x_view(dx), q.reduction, q.ignore_index, q.smoothing));
    return {dx};
  }
  void release_saved() override {
    input.reset();
    target.reset();
    weight.reset();
    lse = total = Tensor();
  }
};

// dx[t] = -g w_t, zero elsewhere
struct NllLossBackward : Node {
  const char* name() const override { return "NllLossBackward"; }
  SavedTensor target, weight;
  Tensor total;
  Problem p;

  TensorList apply(const TensorList& grads) override {
    Problem q = p;
    q.target = target.get(this);
    q.weight = weight.defined() ? weight.get(this) : Tensor();
    if (grad_enabled()) return {composite_gradient(q, grads[0])};
    const Tensor dy = dense(grads[0]);
    Tensor dx = empty(sizes, dy.dtype(), dy.device());
    CCDL_KERNEL(dx, nll_loss_backward(q.target_view(), maybe_view(q.weight), total.view(),
                                      q.reduction == LossReduction::None ? q.row_view(dy) : dy.view(),
                                      q.x_view(dx), q.reduction, q.ignore_index));
    return {dx};
  }
  // linear in the input: the gradient is dy times a constant
  Tensor composite_gradient(Problem& q, const Tensor& dy) {
    q.x = empty(sizes, dy.dtype(), dy.device());
    const auto [t, divisor] = soft_target(q, q.target, true);
    const Tensor g = q.reduction == LossReduction::None ? unsqueeze(dy, q.class_dim) : dy;
    const Tensor dx = neg(mul(t, g));
    if (q.reduction != LossReduction::Mean) return dx;
    return where(eq(t, Scalar(0.0)), Operand(0.0), div(dx, divisor));  // not 0 / 0 where all are ignored
  }
  Dims sizes;
  void release_saved() override {
    target.reset();
    weight.reset();
    total = Tensor();
  }
};

Problem check(const char* op, const Tensor& input, const Tensor& target, const Tensor& weight,
              LossReduction reduction, int64_t ignore_index, double smoothing, bool may_be_probabilities) {
  CCDL_CHECK(input.dim() >= 1, Value, op, ": input has no class dimension, got ", describe(input),
             "; it must be [C], [N, C] or [N, C, d1, ...]");
  CCDL_CHECK(is_floating(input.dtype()), DType, op, ": input must be floating point, got ", describe(input));
  Problem p;
  p.op = op;
  p.class_dim = input.dim() == 1 ? 0 : 1;
  p.reduction = reduction;
  p.ignore_index = ignore_index;
  p.smoothing = smoothing;
  p.probabilities = may_be_probabilities && target.sizes() == input.sizes();
  check_same_device(op, {{"input", &input}, {"target", &target}});
  const int64_t classes = input.size(p.class_dim);
  p.rows = input.sizes();
  p.rows.erase(static_cast<size_t>(p.class_dim));
  p.shape = {input.dim() == 1 ? 1 : input.size(0), classes, 1};
  for (int64_t i = 2; i < input.dim(); ++i) p.shape[2] *= input.size(i);
  if (p.probabilities) {
    CCDL_CHECK(is_floating(target.dtype()), DType, op,
               ": Expected floating point type for target with class probabilities, got ", describe(target),
               " for input ", describe(input));
    p.target = target.dtype() == input.dtype() ? target : to(target, input.dtype());
  } else {
    CCDL_CHECK(target.dim() != input.dim() - 1 || target.dim() < 1 || target.size(0) == input.size(0), Value,
               op, ": Expected input batch_size (", input.size(0), ") to match target batch_size (",
               target.size(0), "), input ", describe(input), ", target ", describe(target));
    CCDL_CHECK(target.sizes() == p.rows, Shape, op, ": Expected target size ", p.rows, ", got ",
               target.sizes(), " (input ", input.sizes(),
               "): class numbers have the input's size without the class dimension");
    CCDL_CHECK(target.dtype() == DType::Int64 || target.dtype() == DType::UInt8, DType, op,
               ": target must hold class numbers as int64, got ", describe(target),
               "; convert it with .long()");
    p.target = to(target, DType::Int64);
  }
  if (weight.defined()) {
    CCDL_CHECK(weight.dim() == 1 && weight.size(0) == classes, Shape, op,
               ": weight tensor should be defined for all ", classes, " classes as a 1-d tensor, got ",
               describe(weight));
    CCDL_CHECK(weight.dtype() == input.dtype(), DType, op, ": weight must have the input's dtype ",
               dtype_name(input.dtype()), ", got ", describe(weight));
    CCDL_CHECK(p.probabilities || !requires_grad(weight), NotImplemented, op,
               ": the derivative for weight is not implemented; detach it");
    check_same_device(op, {{"input", &input}, {"weight", &weight}});
    p.weight = dense(weight);
  }
  p.x = dense(input);
  p.target = dense(p.target);
  return p;
}

void check_class(const Problem& p, int64_t bad) {
  CCDL_CHECK(bad < 0, Index, p.op, ": Target ", p.target.ptr<int64_t>()[bad < 0 ? 0 : bad],
             " is out of bounds: element ", bad, " of target must be in [0, ", p.shape[1],
             ") or ignore_index ", p.ignore_index);
}

}  // namespace

LossReduction parse_reduction(const char* op, const std::string& name) {
  if (name == "none") return LossReduction::None;
  if (name == "mean") return LossReduction::Mean;
  CCDL_CHECK(name == "sum", Value, op, ": ", name,
             " is not a valid value for reduction; use 'none', 'mean' or 'sum'");
  return LossReduction::Sum;
}

Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, LossReduction reduction,
                     int64_t ignore_index, double label_smoothing) {
  CCDL_CHECK(label_smoothing >= 0 && label_smoothing <= 1, Runtime,
             "cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: ", label_smoothing);
  Problem p = check("cross_entropy", input, target, weight, reduction, ignore_index, label_smoothing, true);
  CCDL_CHECK(!p.probabilities || ignore_index < 0, Runtime,
             "cross_entropy: ignore_index is not supported for floating point target, got ", ignore_index);
  if (p.probabilities && needs_graph(target, weight)) {
    p.weight = weight;
    return composite(p, input, to(target, input.dtype()), false);
  }
  const DType stat = stat_dtype(input.dtype());
  Tensor out = empty(p.out_sizes(), input.dtype(), input.device());
  Tensor lse = empty(p.rows, stat, input.device()), losses = empty(p.rows, stat, input.device());
  Tensor total = empty(Dims{}, DType::Float64, input.device());
  const View w = maybe_view(p.weight), y = reduction == LossReduction::None ? p.row_view(out) : out.view();
  if (p.probabilities) {
    CCDL_KERNEL(out, cross_entropy_prob_forward(p.x_view(p.x), p.target_view(), w, y, p.row_view(lse),
                                                p.row_view(losses), reduction, label_smoothing));
  } else {
    const OpName name(p.op);
    const int64_t bad = CCDL_KERNEL(
        out, cross_entropy_forward(p.x_view(p.x), p.target_view(), w, y, p.row_view(lse), p.row_view(losses),
                                   total.view(), reduction, ignore_index, label_smoothing));
    check_class(p, bad);
  }
  if (needs_graph(input)) {
    auto node = make_ref<CrossEntropyBackward>();
    node->input = SavedTensor(input);
    node->target = SavedTensor(p.target);
    if (p.weight.defined()) node->weight = SavedTensor(p.weight);
    node->lse = lse;
    node->total = total;
    p.x = p.target = p.weight = Tensor();
    node->p = p;
    record(node, {input}, out);
  }
  return out;
}

Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, LossReduction reduction,
                int64_t ignore_index) {
  Problem p = check("nll_loss", input, target, weight, reduction, ignore_index, 0.0, false);
  Tensor out = empty(p.out_sizes(), input.dtype(), input.device());
  Tensor total = empty(Dims{}, DType::Float64, input.device());
  const OpName name(p.op);
  const int64_t bad =
      CCDL_KERNEL(out, nll_loss_forward(p.x_view(p.x), p.target_view(), maybe_view(p.weight),
                                        reduction == LossReduction::None ? p.row_view(out) : out.view(),
                                        total.view(), reduction, ignore_index));
  check_class(p, bad);
  if (needs_graph(input)) {
    auto node = make_ref<NllLossBackward>();
    node->target = SavedTensor(p.target);
    if (p.weight.defined()) node->weight = SavedTensor(p.weight);
    node->total = total;
    node->sizes = input.sizes();
    p.x = p.target = p.weight = Tensor();
    node->p = p;
    record(node, {input}, out);
  }
  return out;
}

}  // namespace ccdl::ops
