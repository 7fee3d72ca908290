// Operands are converted to contiguous double (float stays where kernel_dtype() says) for the kernels,
// results back to the promoted floating dtype.
#include <ccdl/ops/special.h>

#include <cmath>
#include <numbers>

#include <ccdl/kernels/special.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/random.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

constexpr double kSqrt2 = std::numbers::sqrt2, kTwoOverSqrtPi = 2 * std::numbers::inv_sqrtpi;

Tensor floating(const Tensor& x) { return is_floating(x.dtype()) ? x : to(x, default_dtype()); }
Tensor operand(const Tensor& x, DType dtype = DType::Float64) { return contiguous(to(x, dtype)); }
// The type in which a kernel takes x: the vector kernels of the CPU also take float.
DType kernel_dtype(const Tensor& x) {
  return x.dtype() == DType::Float32 && x.device().is_cpu() ? DType::Float32 : DType::Float64;
}

Tensor launch(SpecialUnary op, const Tensor& x) {
  const NoGradGuard no_grad;
  const DType dtype = kernel_dtype(x);
  const Tensor in = operand(x, dtype), y = empty(x.sizes(), dtype, x.device());
  CCDL_KERNEL(in, special_unary(op, in.view(), y.view()));
  return to(y, x.dtype());
}
Tensor launch(SpecialBinary op, const Tensor& a, const Tensor& b) {
  const NoGradGuard no_grad;
  const bool vectors = op == SpecialBinary::Gammainc || op == SpecialBinary::Gammaincc ||
                       op == SpecialBinary::Zeta || op == SpecialBinary::Polygamma;
  const DType dtype = vectors ? kernel_dtype(a) : DType::Float64;
  const Tensor p = operand(a, dtype), q = operand(b, dtype), y = empty(a.sizes(), dtype, a.device());
  CCDL_KERNEL(p, special_binary(op, p.view(), q.view(), y.view()));
  return to(y, a.dtype());
}
Tensor launch(SpecialTernary op, const Tensor& a, const Tensor& b, const Tensor& c) {
  const NoGradGuard no_grad;
  const Tensor p = operand(a), q = operand(b), r = operand(c),
               y = empty(a.sizes(), DType::Float64, a.device());
  CCDL_KERNEL(p, special_ternary(op, p.view(), q.view(), r.view(), y.view()));
  return to(y, a.dtype());
}

// An edge that says, when a gradient arrives, that there is none.
struct NoDerivative : Node {
  const char* name() const override { return op; }
  const char* op;
  TensorList apply(const TensorList&) override {
    fail(ErrorKind::NotImplemented, str("the derivative for '", op, "' is not implemented"));
  }
};
Tensor without_derivative(const char* op, const Tensor& value, const TensorList& inputs) {
  if (!needs_graph(inputs)) return value;
  auto node = make_ref<NoDerivative>();
  node->op = op;
  const Tensor out = detach(value);
  record(node, inputs, out);
  return out;
}

Tensor derivative(SpecialUnary op, const Tensor& x, const Tensor& y) {
  switch (op) {
    case SpecialUnary::I0:
      return i1(x);
    case SpecialUnary::I0e:
      return sub(i1e(x), mul(sign(x), y));
    case SpecialUnary::I1: {  // I0 - I1 / x, 1/2 at 0
      const Tensor zero = eq(x, 0), safe = where(zero, Operand(1.0), x);
      return where(zero, Operand(0.5), sub(i0(x), div(y, safe)));
    }
    case SpecialUnary::I1e: {
      const Tensor zero = eq(x, 0), safe = where(zero, Operand(1.0), x);
      return where(zero, Operand(0.5), sub(i0e(x), mul(y, add(sign(x), reciprocal(safe)))));
    }
    case SpecialUnary::Erfcx:
      return sub(mul(mul(x, 2), y), kTwoOverSqrtPi);
    case SpecialUnary::Ndtri:
      return mul(exp(mul(square(y), 0.5)), std::sqrt(2 * std::numbers::pi));
    case SpecialUnary::LogNdtr:
      return div(kTwoOverSqrtPi / kSqrt2, erfcx(div(x, -kSqrt2)));
    case SpecialUnary::kCount:
      break;
  }
  return Tensor();
}

// dx = dy f'(x)
struct SpecialBackward : Node {
  const char* name() const override { return autograd::backward_name(op_name); }
  const char* op_name;
  SpecialUnary op;
  SavedTensor x, y;
  TensorList apply(const TensorList& g) override {
    return {mul(g[0], derivative(op, x.get(this), y.get(this)))};
  }
  void release_saved() override {
    x.reset();
    y.reset();
  }
};

Tensor special(const char* name, SpecialUnary op, const Tensor& input) {
  const Tensor x = floating(input);
  const Tensor y = launch(op, x);
  if (needs_graph(x)) {
    auto node = make_ref<SpecialBackward>();
    node->op_name = name;
    node->op = op;
    node->x = SavedTensor(x);
    node->y = SavedTensor(y, node.get());
    record(node, {x}, y);
  }
  return y;
}

// Both floating, of one dtype and broadcast to one size.
std::pair<Tensor, Tensor> together(const char* op, const Operand& a, const Operand& b) {
  const Tensor& like = a.is_tensor() ? a.tensor : b.tensor;
  CCDL_CHECK(like.defined(), Type, op, ": expects at least one tensor");
  const auto tensor = [&](const Operand& o) {
    return o.is_tensor() ? o.tensor
                         : full({}, o.scalar, is_floating(like.dtype()) ? like.dtype() : default_dtype(),
                                like.device());
  };
  Tensor x = tensor(a), y = tensor(b);
  if (is_host_number(x)) x = to(x, x.dtype(), like.device(), false);
  if (is_host_number(y)) y = to(y, y.dtype(), x.device(), false);
  check_same_device(op, {{"input", &x}, {"other", &y}});
  DType common = result_type(a, b);
  if (!is_floating(common)) common = default_dtype();
  const Dims sizes = broadcast_shapes(op, x.sizes(), y.sizes());
  return {expand(to(x, common), sizes), expand(to(y, common), sizes)};
}

// zeta: dq = -x zeta(x + 1, q).  gammainc: dP / dx = x^(a - 1) e^-x / Gamma(a), dP / da by gamma_grad
struct SpecialBinaryBackward : Node {
  const char* name() const override { return autograd::backward_name(op_name); }
  const char* op_name;
  SpecialBinary op;
  SavedTensor a, b;
  TensorList apply(const TensorList& g) override {
    const Tensor p = a.get(this), q = b.get(this);
    if (op == SpecialBinary::Zeta) {
      CCDL_CHECK(!needs(0), NotImplemented, "the derivative for 'zeta: self' is not implemented");
      return {Tensor(), mul(g[0], mul(neg(p), zeta(add(p, 1), q)))};
    }
    const Tensor density = exp(sub(sub(xlogy(sub(p, 1), q), q), lgamma(p)));
    const Tensor signed_density = mul(g[0], op == SpecialBinary::Gammainc ? density : neg(density));
    Tensor da;
    if (needs(0))
      da = without_derivative("igamma: second derivative by input",
                              neg(mul(signed_density, launch(SpecialBinary::GammaGrad, p, q))), {g[0], p, q});
    return {da, signed_density};
  }
  void release_saved() override {
    a.reset();
    b.reset();
  }
};

Tensor special(const char* name, SpecialBinary op, const Operand& left, const Operand& right) {
  const auto [a, b] = together(name, left, right);
  const Tensor y = launch(op, a, b);
  if (needs_graph(a, b)) {
    auto node = make_ref<SpecialBinaryBackward>();
    node->op_name = name;
    node->op = op;
    node->a = SavedTensor(a);
    node->b = SavedTensor(b);
    record(node, {a, b}, y);
  }
  return y;
}

// psi^(n)' = psi^(n + 1)
struct PolygammaBackward : Node {
  const char* name() const override { return "PolygammaBackward"; }
  int64_t n = 0;
  SavedTensor x;
  TensorList apply(const TensorList& g) override { return {mul(g[0], polygamma(n + 1, x.get(this)))}; }
  void release_saved() override { x.reset(); }
};

// A double in (0, 1) per element, of 53 random bits.
Tensor probabilities(const Tensor& like, Generator* generator) {
  return add(rand(like.sizes(), DType::Float64, generator, like.device()), 0x1p-54);
}

// dshape = dz / dshape at the sample's probability
struct StandardGammaBackward : Node {
  const char* name() const override { return "StandardGammaBackward"; }
  SavedTensor shape, sample;
  TensorList apply(const TensorList& g) override {
    const Tensor a = shape.get(this), z = detach(sample.get(this));
    Tensor slope;
    {
      const NoGradGuard no_grad;
      slope = launch(SpecialBinary::GammaGrad, a, z);
    }
    return {mul(g[0], without_derivative("_standard_gamma_grad", slope, {a}))};
  }
  void release_saved() override {
    shape.reset();
    sample.reset();
  }
};

struct BetaincBackward : Node {
  const char* name() const override { return "BetaincBackward"; }
  SavedTensor a, b, x;
  TensorList apply(const TensorList& g) override {
    CCDL_CHECK(!needs(0) && !needs(1), NotImplemented,
               "betainc: the derivatives with respect to a and b are not implemented");
    const Tensor p = a.get(this), q = b.get(this), t = x.get(this);
    const Tensor log_beta = sub(add(lgamma(p), lgamma(q)), lgamma(add(p, q)));
    const Tensor log_density = sub(add(xlogy(sub(p, 1), t), xlog1py(sub(q, 1), neg(t))), log_beta);
    return {Tensor(), Tensor(), mul(g[0], exp(log_density))};
  }
  void release_saved() override {
    a.reset();
    b.reset();
    x.reset();
  }
};

}  // namespace

Tensor i0(const Tensor& x) { return special("i0", SpecialUnary::I0, x); }
Tensor i0e(const Tensor& x) { return special("i0e", SpecialUnary::I0e, x); }
Tensor i1(const Tensor& x) { return special("i1", SpecialUnary::I1, x); }
Tensor i1e(const Tensor& x) { return special("i1e", SpecialUnary::I1e, x); }
Tensor erfcx(const Tensor& x) { return special("erfcx", SpecialUnary::Erfcx, x); }
Tensor ndtri(const Tensor& p) { return special("ndtri", SpecialUnary::Ndtri, p); }
Tensor log_ndtr(const Tensor& x) { return special("log_ndtr", SpecialUnary::LogNdtr, x); }
Tensor ndtr(const Tensor& x) { return mul(erfc(mul(floating(x), -1 / kSqrt2)), 0.5); }

namespace {

// dx = -dy (log x + 1)
struct EntrBackward : Node {
  const char* name() const override { return "EntrBackward"; }
  SavedTensor x;
  TensorList apply(const TensorList& g) override { return {neg(mul(g[0], add(log(x.get(this)), 1)))}; }
  void release_saved() override { x.reset(); }
};

}  // namespace

Tensor entr(const Tensor& input) {
  const Tensor x = floating(input);
  Tensor y;
  {
    const NoGradGuard no_grad;
    y = where(lt(x, 0), Operand(-INFINITY), xlogy(neg(x), x));
  }
  if (needs_graph(x)) {
    auto node = make_ref<EntrBackward>();
    node->x = SavedTensor(x);
    record(node, {x}, y);
  }
  return y;
}

Tensor zeta(const Operand& x, const Operand& q) { return special("zeta", SpecialBinary::Zeta, x, q); }
Tensor gammainc(const Tensor& a, const Tensor& x) { return special("igamma", SpecialBinary::Gammainc, a, x); }
Tensor gammaincc(const Tensor& a, const Tensor& x) {
  return special("igammac", SpecialBinary::Gammaincc, a, x);
}

Tensor polygamma(int64_t n, const Tensor& input) {
  CCDL_CHECK(n >= 0, Runtime, "polygamma: polygamma(n, x) does not support negative n, got ", n);
  const Tensor x = floating(input);
  if (n == 0) return digamma(x);
  Tensor y;
  {
    const NoGradGuard no_grad;
    y = n == 1 ? trigamma(x) : launch(SpecialBinary::Polygamma, full_like(x, static_cast<double>(n)), x);
  }
  if (needs_graph(x)) {
    auto node = make_ref<PolygammaBackward>();
    node->n = n;
    node->x = SavedTensor(x);
    record(node, {x}, y);
  }
  return y;
}

// p (p - 1) / 4 log pi + sum over j of lgamma(x - j / 2)
Tensor mvlgamma(const Tensor& input, int64_t p) {
  CCDL_CHECK(p >= 1, Runtime, "mvlgamma: p has to be greater than or equal to 1, got ", p);
  CCDL_CHECK(p <= 1 << 20, Value, "mvlgamma: p is the order of a matrix and must be at most 1048576, got ",
             p);
  const Tensor x = floating(input);
  const Tensor steps = arange(0, Scalar(p), 1, x.dtype(), x.device());
  const double order = static_cast<double>(p),
               shift = 0.25 * order * (order - 1) * std::log(std::numbers::pi);
  return add(sum(lgamma(sub(unsqueeze(x, -1), mul(steps, 0.5))), Dims{-1}), shift);
}

Tensor betainc(const Tensor& a, const Tensor& b, const Tensor& x) {
  const auto [p, q] = together("betainc", a, b);
  const auto [t, first] = together("betainc", x, p);
  const Tensor second = expand(to(q, t.dtype()), t.sizes());
  const Tensor y = launch(SpecialTernary::Betainc, first, second, t);
  if (needs_graph(first, second, t)) {
    auto node = make_ref<BetaincBackward>();
    node->a = SavedTensor(first);
    node->b = SavedTensor(second);
    node->x = SavedTensor(t);
    record(node, {first, second, t}, y);
  }
  return y;
}

Tensor standard_gamma(const Tensor& shape, Generator* generator) {
  CCDL_CHECK(is_floating(shape.dtype()), DType, "_standard_gamma: needs a floating point tensor but got ",
             describe(shape));
  Tensor z;
  {
    const NoGradGuard no_grad;
    const Tensor normal = randn(shape.sizes(), DType::Float64, generator, shape.device());
    const Tensor u = probabilities(shape, generator);
    z = to(launch(SpecialTernary::GammaDraw, to(shape, DType::Float64), normal, u), shape.dtype());
  }
  if (needs_graph(shape)) {
    auto node = make_ref<StandardGammaBackward>();
    node->shape = SavedTensor(shape);
    node->sample = SavedTensor(z, node.get());
    record(node, {shape}, z);
  }
  return z;
}

Tensor poisson(const Tensor& rate, Generator* generator) {
  CCDL_CHECK(is_floating(rate.dtype()), DType, "poisson: needs a floating point tensor but got ",
             describe(rate));
  const NoGradGuard no_grad;
  CCDL_CHECK(rate.numel() == 0 || !item(any(lt(rate, 0))).to_bool(), Runtime,
             "poisson: expects every rate in input to be >= 0, input is ", describe(rate));
  const Tensor u = probabilities(rate, generator);
  return to(launch(SpecialBinary::PoissonDraw, to(rate, DType::Float64), u), rate.dtype());
}

Tensor binomial(const Tensor& count, const Tensor& prob, Generator* generator) {
  const NoGradGuard no_grad;
  CCDL_CHECK(is_floating(count.dtype()) && count.dtype() == prob.dtype(), DType,
             "binomial: count and prob must be floating point of one dtype, got ", describe(count), " and ",
             describe(prob));
  const auto [n, p] = together("binomial", count, prob);
  CCDL_CHECK(n.numel() == 0 || !item(any(logical_or(lt(n, 0), logical_or(lt(p, 0), gt(p, 1))))).to_bool(),
             Value, "binomial: expects count >= 0 and prob in [0, 1], got ", describe(count), " and ",
             describe(prob));
  const Tensor u = probabilities(n, generator);
  return to(launch(SpecialTernary::BinomialDraw, to(n, DType::Float64), to(p, DType::Float64), u), n.dtype());
}

}  // namespace ccdl::ops
