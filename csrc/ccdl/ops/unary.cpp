// One node for all elementwise functions of one tensor. First-order backward is one fused kernel; under
// create_graph the same derivative is written with ops, which then carry their own history.
#include <ccdl/ops/unary.h>

#include <cmath>
#include <limits>
#include <numbers>

#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

namespace {

constexpr double kTwoOverSqrtPi = 2 * std::numbers::inv_sqrtpi;
constexpr double kSeluScale = 1.0507009873554804934193349852946,
                 kSeluAlpha = 1.6732632423543772848170429916717;

ElementParams params(double p0, double p1, double p2) {
  auto whole = [](double v) {
    return v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN : static_cast<int64_t>(v);
  };
  return {{p0, p1, p2}, {whole(p0), whole(p1), whole(p2)}};
}

Tensor masked(const Tensor& mask, const Tensor& g) { return where(mask, g, Operand(0)); }
// The other way round, for kernels that let the gradient of a NaN pass.
Tensor dropped(const Tensor& mask, const Tensor& g) { return where(mask, Operand(0), g); }
// x below 0, else 0 without a slope
Tensor negative_part(const Tensor& x) { return where(lt(x, 0), x, Operand(0)); }

// g * f'(x) for the functions of analysis
Tensor math_gradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& g, const ElementParams& p) {
  using enum UnaryOp;
  switch (op) {
    case Neg:
      return neg(g);
    case Abs:
      return mul(g, sign(x));
    case Square:
      return mul(g, mul(x, 2));
    case Sqrt:
      return div(g, mul(y, 2));
    case Rsqrt:
      return mul(mul(g, -0.5), mul(y, square(y)));
    case Reciprocal:
      return neg(mul(g, square(y)));
    case Exp:
      return mul(g, y);
    case Exp2:
      return mul(g, mul(y, std::numbers::ln2));
    case Expm1:
      return mul(g, add(y, 1));
    case Log:
      return div(g, x);
    case Log2:
      return div(g, mul(x, std::numbers::ln2));
    case Log10:
      return div(g, mul(x, std::numbers::ln10));
    case Log1p:
      return div(g, add(x, 1));
    case Sin:
      return mul(g, cos(x));
    case Cos:
      return neg(mul(g, sin(x)));
    case Tan:
      return mul(g, add(square(y), 1));
    case Asin:
      return mul(g, rsqrt(sub(1, square(x))));
    case Acos:
      return neg(mul(g, rsqrt(sub(1, square(x)))));
    case Atan:
      return div(g, add(square(x), 1));
    case Sinh:
      return mul(g, cosh(x));
    case Cosh:
      return mul(g, sinh(x));
    case Tanh:
      return mul(g, sub(1, square(y)));
    case Asinh:
      return mul(g, rsqrt(add(square(x), 1)));
    case Acosh:
      return mul(g, rsqrt(sub(square(x), 1)));
    case Atanh:
      return div(g, sub(1, square(x)));
    case Sigmoid:
      return mul(g, mul(y, sub(1, y)));
    case LogSigmoid:
      return mul(g, sigmoid(neg(x)));
    case Erf:
      return mul(g, mul(exp(neg(square(x))), kTwoOverSqrtPi));
    case Erfc:
      return mul(g, mul(exp(neg(square(x))), -kTwoOverSqrtPi));
    case Erfinv:
      return mul(g, mul(exp(square(y)), 1 / kTwoOverSqrtPi));
    case Lgamma:
      return mul(g, digamma(x));
    case Digamma:
      return mul(g, polygamma(1, x));
    case Frac:
      return g;
    case Scale:
      return mul(g, p.f[0]);
    case PowScalar:
      return p.f[0] == 0 ? zeros_like(g) : mul(g, mul(pow(x, p.f[0] - 1), p.f[0]));
    case Logit: {
      if (p.f[0] < 0) return where(logical_or(lt(x, 0), gt(x, 1)), Operand(NAN), div(g, mul(x, sub(1, x))));
      const Tensor d = div(g, mul(x, sub(1, x)));
      return masked(logical_and(ge(x, p.f[0]), le(x, 1 - p.f[0])), d);
    }
    case Sinc: {
      const Tensor z = mul(x, std::numbers::pi);
      const Tensor safe = where(eq(x, 0), Operand(1.0), x);
      return mul(g, where(eq(x, 0), Operand(0.0),
                          div(sub(mul(z, cos(z)), sin(z)), mul(square(safe), std::numbers::pi))));
    }
    default:
      break;
  }
  return Tensor();
}

// g * f'(x) for activations and piecewise functions
Tensor activation_gradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& g,
                           const ElementParams& p) {
  using enum UnaryOp;
  const double a = p.f[0], b = p.f[1];
  switch (op) {
    case Relu:
      return dropped(le(y, 0), g);
    case Relu6:
      return dropped(logical_or(le(x, 0), ge(x, 6)), g);
    case LeakyRelu:
      return where(gt(x, 0), g, mul(g, a));
    case Elu:
      return where(le(x, 0), mul(g, mul(exp(negative_part(x)), a)), g);
    case Selu:
      return where(le(x, 0), mul(g, mul(exp(negative_part(x)), kSeluScale * kSeluAlpha)), mul(g, kSeluScale));
    case Celu:
      return where(le(x, 0), mul(g, exp(div(negative_part(x), a))), g);
    case Silu:
    case Swish: {
      const double beta = op == Silu ? 1 : a;
      const Tensor s = sigmoid(mul(x, beta));
      return mul(g, add(s, mul(mul(mul(x, beta), s), sub(1, s))));
    }
    case GeluSigmoid: {
      const Tensor s = sigmoid(mul(x, 1.702));
      return mul(g, add(s, mul(mul(mul(x, 1.702), s), sub(1, s))));
    }
    case Mish: {
      const Tensor t = tanh(unary("softplus", Softplus, x, 1, 20));
      return mul(g, add(t, mul(mul(x, sub(1, square(t))), sigmoid(x))));
    }
    case Gelu: {
      const Tensor cdf = mul(add(erf(mul(x, 1 / std::numbers::sqrt2)), 1), 0.5);
      return mul(
          g, add(cdf, mul(x, mul(exp(mul(square(x), -0.5)), 0.5 * kTwoOverSqrtPi / std::numbers::sqrt2))));
    }
    case GeluTanh: {
      constexpr double k = kTwoOverSqrtPi / std::numbers::sqrt2, c = 0.044715;
      const Tensor t = tanh(mul(add(x, mul(mul(x, square(x)), c)), k));
      const Tensor inner = mul(add(mul(square(x), 3 * c), 1), k);
      return mul(g, add(mul(add(t, 1), 0.5), mul(mul(x, 0.5), mul(sub(1, square(t)), inner))));
    }
    case Softplus:
      return where(gt(mul(x, a), b), g, mul(g, sigmoid(mul(x, a))));
    case Softsign:
      return div(g, square(add(abs(x), 1)));
    case Hardtanh:
      return dropped(logical_or(le(x, a), ge(x, b)), g);
    case Hardsigmoid:
      return masked(logical_and(gt(x, -3), lt(x, 3)), div(g, 6));
    case Hardswish:
      return where(le(x, -3), Operand(0.0), where(ge(x, 3), g, mul(g, add(div(x, 3), 0.5))));
    case Hardshrink:
    case Softshrink:
      return dropped(le(abs(x), a), g);
    case Tanhshrink:
      return mul(g, square(tanh(x)));
    case Threshold:
      return dropped(le(x, a), g);
    case Clamp:
      return masked(logical_and(ge(x, a), le(x, b)), g);
    case NanToNum:
      return masked(isfinite(x), g);
    default:
      break;
  }
  return Tensor();
}

// The identity on `value`, with an edge of zero gradient to x: f' of a piecewise linear f is a constant of x,
// which is a second derivative of zero rather than none.
struct ZeroEdgeBackward : Node {
  const char* name() const override { return "ZeroEdgeBackward"; }
  Dims sizes;
  TensorList apply(const TensorList& g) override {
    return {g[0], needs(1) ? zeros(sizes, g[0].dtype(), g[0].device()) : Tensor()};
  }
};

Tensor with_zero_edge(const Tensor& value, const Tensor& x) {
  const Tensor out = autograd::detach(value);
  auto node = make_ref<ZeroEdgeBackward>();
  node->sizes = x.sizes();
  record(node, {value, x}, out);
  return out;
}

bool is_piecewise_linear(UnaryOp op) {
  using enum UnaryOp;
  return op == Relu || op == Relu6 || op == LeakyRelu || op == Hardtanh || op == Hardsigmoid ||
         op == Hardshrink || op == Softshrink || op == Threshold || op == Clamp || op == NanToNum;
}

// dx = dy * f'(x); x and y are kept only where the formula reads them
struct UnaryBackward : Node {
  const char* name() const override { return autograd::backward_name(forward_name); }
  const char* forward_name;
  UnaryOp op;
  ElementParams p;
  SavedTensor x, y;
  TensorList apply(const TensorList& grads) override {
    const Tensor& dy = grads[0];
    // x^0 is 1 everywhere; its formula would multiply 0 by an infinite power of 0
    if (unary_needs(op) == UnaryNeeds::zero || (op == UnaryOp::PowScalar && p.f[0] == 0))
      return {zeros_like(dy)};
    const Tensor sx = x.get(this), sy = y.get(this);
    if (grad_enabled()) {
      Tensor dx = math_gradient(op, sx, sy, dy, p);
      if (!dx.defined()) dx = activation_gradient(op, sx, sy, dy, p);
      CCDL_CHECK(dx.defined(), NotImplemented, name(), ": has no second derivative");
      if (is_piecewise_linear(op)) dx = with_zero_edge(dx, sx.defined() ? sx : sy);
      return {dx};
    }
    Tensor dx = empty_like(sx.defined() ? sx : sy.defined() ? sy : dy);
    auto kernel_view = [](const Tensor& t, const Tensor& like) {
      View v = like.view();
      if (t.defined()) return t.view();
      v.data = nullptr;
      return v;
    };
    CCDL_KERNEL(dy, unary_backward(op, kernel_view(sx, dy), kernel_view(sy, dy), dy.view(), dx.view(), p));
    return {dx};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

enum class Domain : uint8_t { F, N, P };
constexpr Domain domain_of(UnaryOp op) {
  constexpr Domain table[] = {
#define CCDL_X(Name, domain, needs) Domain::domain,
      CCDL_UNARY_OPS(CCDL_X)
#undef CCDL_X
  };
  return table[static_cast<int>(op)];
}

DType output_dtype(const char* name, UnaryOp op, DType in) {
  switch (domain_of(op)) {
    case Domain::P:
      return DType::Bool;
    case Domain::F:
      return is_floating(in) ? in : default_dtype();
    case Domain::N:
      break;
  }
  const bool arithmetic = op == UnaryOp::Neg || op == UnaryOp::Abs || op == UnaryOp::Relu;
  CCDL_CHECK(
      in != DType::Bool || !arithmetic, DType, name,
      ": Negation, abs and relu are not defined on a bool tensor; use logical_not or convert it first");
  CCDL_CHECK(op != UnaryOp::BitwiseNot || !is_floating(in), DType, name,
             ": expected an integer or bool tensor, got ", dtype_name(in));
  return in;
}

void record_unary(const char* name, UnaryOp op, const ElementParams& p, const Tensor& x, const Tensor& y) {
  auto node = make_ref<UnaryBackward>();
  node->forward_name = name;
  node->op = op;
  node->p = p;
  if (unary_needs_x(op)) node->x = SavedTensor(x);
  if (unary_needs_y(op)) node->y = SavedTensor(y, node.get());
  record(node, {x}, y);
}

}  // namespace

Tensor unary(const char* name, UnaryOp op, const Tensor& x, double p0, double p1, double p2) {
  return unary(name, op, x, params(p0, p1, p2));
}

Tensor unary(const char* name, UnaryOp op, const Tensor& x, const ElementParams& p) {
  if (op == UnaryOp::Square && x.dtype() == DType::Bool) return unary(name, op, to(x, DType::Int64), p);
  const DType dtype = output_dtype(name, op, x.dtype());
  Tensor y = empty_like(x, dtype);
  if (op == UnaryOp::BitwiseNot && dtype == DType::Bool) op = UnaryOp::LogicalNot;
  CCDL_KERNEL(x, unary(op, x.view(), y.view(), p));
  if (is_floating(dtype) && needs_graph(x)) record_unary(name, op, p, x, y);
  return y;
}

Tensor unary_(const char* name, UnaryOp op, const Tensor& x, double p0, double p1, double p2) {
  return unary_(name, op, x, params(p0, p1, p2));
}

Tensor unary_(const char* name, UnaryOp op, const Tensor& x, const ElementParams& p) {
  // A truth value written in place is a 0 or 1 of the tensor's dtype.
  if (needs_graph(x) || (op == UnaryOp::LogicalNot && x.dtype() != DType::Bool))
    return inplace(name, x, [&](const Tensor& v) { return unary(name, op, v, p); });
  autograd::check_inplace(name, x);
  CCDL_CHECK(output_dtype(name, op, x.dtype()) == x.dtype(), DType, name, ": result type ",
             dtype_name(output_dtype(name, op, x.dtype())), " can't be cast to the desired output type ",
             dtype_name(x.dtype()), "; use the out-of-place form");
  if (op == UnaryOp::BitwiseNot && x.dtype() == DType::Bool) op = UnaryOp::LogicalNot;
  CCDL_KERNEL(x, unary(op, x.view(), x.view(), p));
  x.bump_version();
  return x;
}

#define CCDL_X(name, Op) \
  Tensor name(const Tensor& x) { return unary(#name, UnaryOp::Op, x); }
CCDL_UNARY_FUNCTIONS(CCDL_X)
#undef CCDL_X

Tensor inplace_unary(const char* name, Tensor (*f)(const Tensor&), const Tensor& x) {
#define CCDL_X(function, Op) \
  if (f == static_cast<Tensor (*)(const Tensor&)>(function)) return unary_(name, UnaryOp::Op, x);
  CCDL_UNARY_FUNCTIONS(CCDL_X)
#undef CCDL_X
  return inplace(name, x, f);
}

Tensor out_unary(const char* name, Tensor (*f)(const Tensor&), const Tensor& x, const Tensor& out) {
  const auto run = [&](UnaryOp op) {
    if (op == UnaryOp::BitwiseNot && x.dtype() == DType::Bool) op = UnaryOp::LogicalNot;
    autograd::check_inplace(name, out);
    CCDL_KERNEL(x, unary(op, x.view(), out.view(), params(0, 0, 0)));
    out.bump_version();
    return out;
  };
  const auto direct = [&](UnaryOp op) {
    return !(op == UnaryOp::Square && x.dtype() == DType::Bool) &&
           takes_result(out, x.sizes(), output_dtype(name, op, x.dtype()), {&x});
  };
#define CCDL_X(function, Op) \
  if (f == static_cast<Tensor (*)(const Tensor&)>(function) && direct(UnaryOp::Op)) return run(UnaryOp::Op);
  CCDL_UNARY_FUNCTIONS(CCDL_X)
#undef CCDL_X
  return write_out(name, f(x), out);
}

Tensor positive(const Tensor& x) {
  CCDL_CHECK(x.dtype() != DType::Bool, Runtime,
             "positive: The `+` operator, on a bool tensor is not supported, got ", describe(x));
  return x;
}

Tensor round_decimals(const Tensor& x, int64_t decimals) {
  if (decimals == 0) return round(x);
  CCDL_CHECK(is_floating(x.dtype()), NotImplemented, "round: decimals=", decimals,
             " is not implemented for integer tensors, got ", describe(x));
  const double scale = std::pow(10.0, static_cast<double>(std::abs(decimals)));
  if (!needs_graph(x)) {  // in one result
    const Tensor y = decimals > 0 ? mul(x, scale) : div(x, scale);
    unary_("round", UnaryOp::Round, y);
    return decimals > 0 ? div_(y, scale) : mul_(y, scale);
  }
  return decimals > 0 ? div(round(mul(x, scale)), scale) : mul(round(div(x, scale)), scale);
}

Tensor logit(const Tensor& x, std::optional<double> eps) {
  return unary("logit", UnaryOp::Logit, x, eps.value_or(-1));
}

Tensor nan_to_num(const Tensor& x, std::optional<double> nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  double largest = 0;
  switch (x.dtype()) {
    case DType::Float16:
      largest = 65504;
      break;
    case DType::BFloat16:
      largest = 3.3895313892515355e38;
      break;
    case DType::Float32:
      largest = std::numeric_limits<float>::max();
      break;
    case DType::Float64:
      largest = std::numeric_limits<double>::max();
      break;
    default:
      return clone(x);
  }
  return unary("nan_to_num", UnaryOp::NanToNum, x, nan.value_or(0), posinf.value_or(largest),
               neginf.value_or(-largest));
}

Tensor deg2rad(const Tensor& x) { return unary("deg2rad", UnaryOp::Scale, x, std::numbers::pi / 180); }
Tensor rad2deg(const Tensor& x) { return unary("rad2deg", UnaryOp::Scale, x, 180 / std::numbers::pi); }

}  // namespace ccdl::ops
