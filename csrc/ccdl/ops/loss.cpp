#include <ccdl/ops/loss.h>

#include <ccdl/kernels/loss.h>
#include <ccdl/kernels/random.h>

#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>

namespace ccdl::ops {
namespace {

void check_pair(const char* op, const Tensor& input, const Tensor& target) {
  CCDL_CHECK(is_floating(input.dtype()) || is_floating(target.dtype()), DType, op,
             ": input or target must be floating point, got input ", describe(input), ", target ",
             describe(target));
  check_same_device(op, {{"input", &input}, {"target", &target}});
}

// yes and no as 1 and 0 beside floating-point numbers: their difference is asked for
Tensor counted(const Tensor& x, const Tensor& beside) {
  return x.dtype() == DType::Bool ? to(x, beside.dtype()) : x;
}

// The dtype of this loss is that of one of its arguments.
Tensor in_dtype_of(const char* op, const char* argument, const Tensor& x, const Tensor& loss) {
  CCDL_CHECK(is_floating(x.dtype()), Runtime, op, ": result type ", dtype_name(loss.dtype()),
             " can't be cast to the desired output type ", dtype_name(x.dtype()), "; ", argument,
             " must be floating point, convert it with .float()");
  return to(loss, x.dtype());
}

// log(1 + exp(-x)) without overflow, from ops
Tensor log_one_plus_exp_neg(const Tensor& x) {
  return sub(log1p(exp(neg(abs(x)))), clamp(x, std::nullopt, Scalar(0.0)));
}

Tensor huber_of_difference(const Tensor& d, double delta, double scale);

Tensor composite_point_loss(const PointLoss& loss, const Tensor& x, const Tensor& t,
                            LossReduction reduction) {
  if (loss.kind != PointLossKind::LogitsCrossEntropy) {
    const Tensor d = sub(x, t);
    const bool huber = loss.kind == PointLossKind::Huber;
    return reduce_loss(huber ? huber_of_difference(d, loss.delta, loss.scale) : mul(d, d), reduction);
  }
  return reduce_loss(add(mul(sub(Scalar(1.0), t), x), log_one_plus_exp_neg(x)), reduction);
}

// squared error: dx = 2 dy (x - t), dt = -dx; Huber: dx = dy scale c, dt = -dx; logits: dx = dy (sigmoid(x) -
// t), dt = -dy x
struct PointLossBackward : Node {
  const char* name() const override {
    if (loss.kind == PointLossKind::Huber) return "HuberLossBackward";
    return loss.kind == PointLossKind::SquaredError ? "SquaredErrorBackward" : "LogitsCrossEntropyBackward";
  }
  SavedTensor input, target;
  PointLoss loss;
  LossReduction reduction = LossReduction::Mean;
  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), t = target.get(this);
    if (grad_enabled() || (loss.kind == PointLossKind::LogitsCrossEntropy && needs(1)))
      return autograd::differentiate(
          [&](const TensorList& in) {
            return TensorList{composite_point_loss(loss, in[0], in[1], reduction)};
          },
          {x, t}, grads);
    const Tensor xc = dense(x), tc = dense(t), dy = dense(grads[0]);
    Tensor dx = empty(x.sizes(), x.dtype(), x.device());
    CCDL_KERNEL(dx, point_loss_backward(loss, xc.view(), tc.view(), dy.view(), dx.view(), reduction));
    TensorList result(2);
    if (needs(0)) result[0] = dx;
    if (needs(1)) result[1] = neg(dx);
    return result;
  }
  void release_saved() override {
    input.reset();
    target.reset();
  }
};

// Equal shapes and dtypes take one kernel; the rest is made of ops.
Tensor point_loss(const PointLoss& loss, const Tensor& x, const Tensor& t, LossReduction reduction) {
  if (x.sizes() != t.sizes() || x.dtype() != t.dtype()) return composite_point_loss(loss, x, t, reduction);
  const Tensor xc = dense(x), tc = dense(t);
  Tensor out = empty(reduction == LossReduction::None ? x.sizes() : Dims{}, x.dtype(), x.device());
  CCDL_KERNEL(out, point_loss_forward(loss, xc.view(), tc.view(), out.view(), reduction));
  if (needs_graph(x, t)) {
    auto node = make_ref<PointLossBackward>();
    node->input = SavedTensor(x);
    node->target = SavedTensor(t);
    node->loss = loss;
    node->reduction = reduction;
    record(node, {x, t}, out);
  }
  return out;
}

// l = -(t max(log x, -100) + (1 - t) max(log(1 - x), -100));
// dx = dy (x - t) / max(x (1 - x), 1e-12), dt = dy (max(log(1 - x), -100) - max(log x, -100))
struct BinaryCrossEntropyBackward : Node {
  const char* name() const override { return "BinaryCrossEntropyBackward"; }
  SavedTensor input, target;
  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), t = target.get(this);
    TensorList result(2);
    if (needs(0))
      result[0] =
          mul(grads[0], div(sub(x, t), clamp(mul(x, sub(Scalar(1.0), x)), Scalar(1e-12), std::nullopt)));
    if (needs(1)) {
      const Tensor no = clamp(log(sub(Scalar(1.0), x)), Scalar(-100.0), std::nullopt);
      result[1] = mul(grads[0], sub(no, clamp(log(x), Scalar(-100.0), std::nullopt)));
    }
    return result;
  }
  void release_saved() override {
    input.reset();
    target.reset();
  }
};

// With c = clamp(d, -delta, delta): l = scale c (d - c / 2), which is scale d^2 / 2 inside and scale delta
// (|d| - delta / 2) outside; dd = dl scale c
struct HuberBackward : Node {
  const char* name() const override { return "HuberBackward"; }
  SavedTensor difference;
  double delta = 1, scale = 1;
  static Tensor times(const Tensor& x, double factor) { return factor == 1 ? x : mul(x, Scalar(factor)); }
  TensorList apply(const TensorList& grads) override {
    const Tensor c = clamp(difference.get(this), Scalar(-delta), Scalar(delta));
    return {mul(times(grads[0], scale), c)};
  }
  void release_saved() override { difference.reset(); }
};

Tensor huber_of_difference(const Tensor& d, double delta, double scale) {
  Tensor loss;
  {
    NoGradGuard no_grad;
    const Tensor c = clamp(d, Scalar(-delta), Scalar(delta));
    loss = HuberBackward::times(mul(c, sub(d, c, Scalar(0.5))), scale);
  }
  if (needs_graph(d)) {
    auto node = make_ref<HuberBackward>();
    node->difference = SavedTensor(d);
    node->delta = delta;
    node->scale = scale;
    record(node, {d}, loss);
  }
  return loss;
}

// l = (1 - t) x + (1 + (p - 1) t) log(1 + exp(-x)), p = pos_weight (1 when absent);
// dx = dy ((1 - t) - (1 + (p - 1) t) sigmoid(-x)), dt = dy ((p - 1) log(1 + exp(-x)) - x), dp = dy t log(1 +
// exp(-x))
struct WeightedLogitsBackward : Node {
  const char* name() const override { return "WeightedLogitsBackward"; }
  SavedTensor input, target, pos_weight;
  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), t = target.get(this), &dy = grads[0];
    const Tensor p = pos_weight.defined() ? pos_weight.get(this) : Tensor();
    TensorList result(3);
    if (needs(0)) {
      // without pos_weight: sigmoid(x) - t
      const Tensor d =
          p.defined() ? sub(sub(Scalar(1.0), t), mul(factor(t, p), sigmoid(neg(x)))) : sub(sigmoid(x), t);
      result[0] = mul(dy, d);
    }
    if (needs(1)) {
      const Tensor d = p.defined() ? sub(mul(sub(p, Scalar(1.0)), log_one_plus_exp_neg(x)), x) : neg(x);
      result[1] = mul(dy, d);
    }
    if (needs(2)) result[2] = mul(dy, mul(t, log_one_plus_exp_neg(x)));
    return result;
  }
  static Tensor factor(const Tensor& t, const Tensor& p) {
    return add(mul(sub(p, Scalar(1.0)), t), Scalar(1.0));
  }
  void release_saved() override {
    input.reset();
    target.reset();
    pos_weight.reset();
  }
};

}  // namespace

Tensor reduce_loss(const Tensor& loss, LossReduction reduction) {
  if (reduction == LossReduction::Mean) return mean(loss);
  return reduction == LossReduction::Sum ? sum(loss) : loss;
}

Tensor mse_loss(const Tensor& input, const Tensor& target, LossReduction reduction) {
  check_pair("mse_loss", input, target);
  return point_loss({PointLossKind::SquaredError}, counted(input, target), counted(target, input), reduction);
}

Tensor l1_loss(const Tensor& input, const Tensor& target, LossReduction reduction) {
  check_pair("l1_loss", input, target);
  return reduce_loss(abs(sub(input, target)), reduction);
}

Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, LossReduction reduction, double beta) {
  check_pair("smooth_l1_loss", input, target);
  CCDL_CHECK(beta >= 0, Runtime, "smooth_l1_loss: does not support negative values for beta, got ", beta);
  if (beta == 0) return l1_loss(input, target, reduction);
  return point_loss({PointLossKind::Huber, beta, 1 / beta}, counted(input, target), counted(target, input),
                    reduction);
}

Tensor huber_loss(const Tensor& input, const Tensor& target, LossReduction reduction, double delta) {
  check_pair("huber_loss", input, target);
  CCDL_CHECK(delta > 0, Runtime, "huber_loss: does not support non-positive values for delta, got ", delta);
  const Tensor loss = point_loss({PointLossKind::Huber, delta, 1}, input, counted(target, input), reduction);
  return in_dtype_of("huber_loss", "input", input, loss);
}

Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                            LossReduction reduction) {
  const char* op = "binary_cross_entropy";
  check_pair(op, input, target);
  CCDL_CHECK(input.sizes() == target.sizes(), Value, op, ": input ", input.sizes(), " and target ",
             target.sizes(), " must have the same size");
  CCDL_CHECK(input.dtype() == target.dtype(), DType, op, ": Found target ", describe(target),
             " but expected the dtype of input ", describe(input), "; convert it with .to(input.dtype)");
  Tensor loss;
  {
    NoGradGuard no_grad;
    const OpName name(op);
    CCDL_CHECK(CCDL_KERNEL(input, probabilities_valid(input.view())), Runtime, op,
               ": all elements of input should be between 0 and 1, got ", describe(input),
               " with others; use binary_cross_entropy_with_logits for logits");
    CCDL_CHECK(CCDL_KERNEL(target, probabilities_valid(target.view())), Runtime, op,
               ": all elements of target should be between 0 and 1, got ", describe(target), " with others");
    const Tensor yes = clamp(log(input), Scalar(-100.0), std::nullopt);
    const Tensor no = clamp(log(sub(Scalar(1.0), input)), Scalar(-100.0), std::nullopt);
    loss = sub(mul(sub(target, Scalar(1.0)), no), mul(target, yes));
  }
  if (needs_graph(input, target)) {
    auto node = make_ref<BinaryCrossEntropyBackward>();
    node->input = SavedTensor(input);
    node->target = SavedTensor(target);
    record(node, {input, target}, loss);
  }
  return reduce_loss(weight.defined() ? mul(loss, weight) : loss, reduction);
}

Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target, const Tensor& weight,
                                        const Tensor& pos_weight, LossReduction reduction) {
  const char* op = "binary_cross_entropy_with_logits";
  check_pair(op, input, target);
  CCDL_CHECK(input.sizes() == target.sizes(), Value, op, ": Target size (", target.sizes(),
             ") must be the same as input size (", input.sizes(), ")");
  if (pos_weight.defined()) check_same_device(op, {{"input", &input}, {"pos_weight", &pos_weight}});
  const auto as_target = [&](const Tensor& x) { return in_dtype_of(op, "target", target, x); };
  if (!weight.defined() && !pos_weight.defined() && is_floating(input.dtype()))
    return as_target(point_loss({PointLossKind::LogitsCrossEntropy}, input, target, reduction));
  Tensor loss;
  {
    NoGradGuard no_grad;
    Tensor soft = log_one_plus_exp_neg(input);
    if (pos_weight.defined()) soft = mul(WeightedLogitsBackward::factor(target, pos_weight), soft);
    loss = add(mul(sub(Scalar(1.0), target), input), soft);
  }
  if (needs_graph(input, target, pos_weight)) {
    auto node = make_ref<WeightedLogitsBackward>();
    node->input = SavedTensor(input);
    node->target = SavedTensor(target);
    if (pos_weight.defined()) node->pos_weight = SavedTensor(pos_weight);
    record(node, {input, target, pos_weight}, loss);
  }
  return reduce_loss(as_target(weight.defined() ? mul(loss, weight) : loss), reduction);
}

Tensor kl_div(const Tensor& input, const Tensor& target, LossReduction reduction, bool log_target) {
  check_pair("kl_div", input, target);
  CCDL_CHECK(is_floating(input.dtype()) && is_floating(target.dtype()), Runtime,
             "kl_div: expected floating input and target, got ", dtype_name(input.dtype()), " and ",
             dtype_name(target.dtype()), "; convert with .float()");
  if (log_target) return reduce_loss(mul(exp(target), sub(target, input)), reduction);
  // t log t is 0 at t = 0: the logarithm sees 1 there
  const Tensor positive = gt(target, Scalar(0.0));
  const Tensor entropy = mul(target, log(where(positive, target, Scalar(1.0))));
  return reduce_loss(sub(entropy, mul(target, input)), reduction);
}

}  // namespace ccdl::ops
