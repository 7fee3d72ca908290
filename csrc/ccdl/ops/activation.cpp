// Activations: checks here, value and derivative in the elementwise table (ops/unary.cpp records the node).
#include <ccdl/ops/activation.h>

#include <limits>

#include <ccdl/kernels/elementwise.h>
#include <ccdl/kernels/prelu.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

namespace {

void check_floating(const char* op, const Tensor& x) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(x),
             "; convert it with .float()");
}

void check_not_bool(const char* op, const Tensor& x) {
  CCDL_CHECK(x.dtype() != DType::Bool, DType, op, ": not defined for bool tensors, got ", describe(x),
             "; convert it with .float()");
}

double largest(DType t) {
  return t == DType::Float16    ? 65504.0
         : t == DType::BFloat16 ? 0x1.fep127
         : t == DType::Float32  ? std::numeric_limits<float>::max()
                                : std::numeric_limits<double>::max();
}

Tensor floating_unary(const char* name, UnaryOp op, const Tensor& x, double p0 = 0, double p1 = 0) {
  check_floating(name, x);
  return unary(name, op, x, p0, p1);
}

}  // namespace

Tensor relu(const Tensor& x) {
  check_not_bool("relu", x);
  return unary("relu", UnaryOp::Relu, x);
}
Tensor relu_(const Tensor& x) {
  check_not_bool("relu_", x);
  return unary_("relu_", UnaryOp::Relu, x);
}
Tensor relu6(const Tensor& x) {
  check_not_bool("relu6", x);
  return unary("relu6", UnaryOp::Relu6, x);
}
Tensor leaky_relu(const Tensor& x, double slope) {
  return floating_unary("leaky_relu", UnaryOp::LeakyRelu, x, slope);
}
Tensor elu(const Tensor& x, double alpha) { return floating_unary("elu", UnaryOp::Elu, x, alpha); }
Tensor selu(const Tensor& x) { return floating_unary("selu", UnaryOp::Selu, x); }
Tensor celu(const Tensor& x, double alpha) {
  CCDL_CHECK(alpha != 0, Runtime, "celu: ZeroDivisionError: alpha cannot be 0, got alpha=", alpha);
  return floating_unary("celu", UnaryOp::Celu, x, alpha);
}
Tensor silu(const Tensor& x) { return floating_unary("silu", UnaryOp::Silu, x); }
Tensor swish(const Tensor& x, double beta) { return floating_unary("swish", UnaryOp::Swish, x, beta); }
Tensor mish(const Tensor& x) { return floating_unary("mish", UnaryOp::Mish, x); }

Tensor gelu(const Tensor& x, const std::string& approximate) {
  if (approximate == "none") return floating_unary("gelu", UnaryOp::Gelu, x);
  if (approximate == "tanh") return floating_unary("gelu", UnaryOp::GeluTanh, x);
  CCDL_CHECK(approximate == "sigmoid", Runtime,
             "gelu: approximate argument must be either none, tanh or sigmoid, got '", approximate, "'");
  return floating_unary("gelu", UnaryOp::GeluSigmoid, x);
}

Tensor softplus(const Tensor& x, double beta, double threshold) {
  return floating_unary("softplus", UnaryOp::Softplus, x, beta, threshold);
}
Tensor logsigmoid(const Tensor& x) { return floating_unary("logsigmoid", UnaryOp::LogSigmoid, x); }
Tensor softsign(const Tensor& x) { return floating_unary("softsign", UnaryOp::Softsign, x); }
Tensor softshrink(const Tensor& x, double lambd) {
  CCDL_CHECK(lambd >= 0, Runtime, "softshrink: lambda must be greater or equal to 0, but found to be ",
             lambd);
  CCDL_CHECK(!is_floating(x.dtype()) || lambd <= largest(x.dtype()), Runtime,
             "softshrink: lambda must be in range [0, ", largest(x.dtype()), "] for input dtype ",
             dtype_name(x.dtype()), ", but found ", lambd);
  return floating_unary("softshrink", UnaryOp::Softshrink, x, lambd);
}
// The bound is taken in the precision of x, so that data written with the same number are on it.
Tensor hardshrink(const Tensor& x, double lambd) {
  if (is_half(x.dtype())) lambd = item(full(Dims{}, Scalar(lambd), x.dtype())).to_double();
  return floating_unary("hardshrink", UnaryOp::Hardshrink, x, lambd);
}
Tensor tanhshrink(const Tensor& x) { return floating_unary("tanhshrink", UnaryOp::Tanhshrink, x); }
Tensor hardtanh(const Tensor& x, double min, double max) {
  check_not_bool("hardtanh", x);
  CCDL_CHECK(!(min > max), Value, "hardtanh: min_val must not be above max_val, got ", min, " and ", max);
  if (min != min || max != max) return clamp(x, Scalar(min), Scalar(max));
  return unary("hardtanh", UnaryOp::Hardtanh, x, min, max);
}
Tensor hardsigmoid(const Tensor& x) { return floating_unary("hardsigmoid", UnaryOp::Hardsigmoid, x); }
Tensor hardswish(const Tensor& x) { return floating_unary("hardswish", UnaryOp::Hardswish, x); }
Tensor threshold(const Tensor& x, double threshold, double value) {
  check_not_bool("threshold", x);
  return unary("threshold", UnaryOp::Threshold, x, threshold, value);
}

namespace {

// A weight per channel in the shape that broadcasts against x; one weight as a number.
Tensor spread_weight(const Tensor& weight, int64_t dims) {
  if (weight.numel() == 1) return weight.dim() == 0 ? weight : reshape(weight, Dims{});
  Dims shape(static_cast<size_t>(dims), 1);
  shape[dims > 1 ? 1 : 0] = weight.numel();
  return reshape(weight, shape);
}

// x with the strides of `like`, for kernels that walk through memory in its order; never recorded.
Tensor strided_as(const Tensor& x, const Tensor& like) {
  if (x.strides() == like.strides()) return x;
  const Tensor y = empty_like(like, x.dtype());
  CCDL_KERNEL(y, copy_cast(x.view(), y.view()));
  return y;
}

// dx = x > 0 ? dy : w dy, dw = sum of x dy where x <= 0
struct PreluBackward : Node {
  const char* name() const override { return "PreluBackward"; }
  SavedTensor x, w;
  TensorList apply(const TensorList& g) override {
    const Tensor in = x.get(this), slope = w.get(this);
    if (grad_enabled())
      return autograd::differentiate(
          [](const TensorList& t) {
            return TensorList{where(gt(t[0], Scalar(0)), t[0], mul(spread_weight(t[1], t[0].dim()), t[0]))};
          },
          {in, slope}, g);
    const Tensor dx = empty_result(in.sizes(), in.dtype(), {&in});
    if (in.numel() == 0) return {dx, zeros_like(slope)};
    const Tensor dw = empty(slope.sizes(), in.dtype(), in.device());
    const Tensor xs = strided_as(in, dx), dy = strided_as(g[0], dx);
    // in memory order: what lies outside the channels, the channels, what lies inside
    const int64_t channels = slope.numel(),
                  last = channels == 1 ? in.numel() : dx.stride(in.dim() > 1 ? 1 : 0);
    const Dims order = {in.numel() / (channels * last), channels, last};
    CCDL_KERNEL(dx, prelu_backward(shaped(xs, order), shaped(dense(slope), Dims{channels}), shaped(dy, order),
                                   shaped(dx, order), shaped(dw, Dims{channels})));
    return {needs(0) ? dx : Tensor(), needs(1) ? dw : Tensor()};
  }
  void release_saved() override {
    x.reset();
    w.reset();
  }
};

}  // namespace

Tensor prelu(const Tensor& x, const Tensor& weight) {
  check_floating("prelu", x);
  CCDL_CHECK(weight.dim() <= 1, Shape, "prelu: weight must be a number or one-dimensional, got ",
             describe(weight));
  CCDL_CHECK(weight.dtype() == x.dtype(), DType, "prelu: Type promoting not supported, got input ",
             describe(x), " and weight ", describe(weight));
  if (weight.numel() != 1) {
    const int64_t channels = x.dim() > 1 ? x.size(1) : 1;
    CCDL_CHECK(x.dim() > 0 && weight.numel() == channels, Shape,
               "prelu: Mismatch of parameter numbers and input channel size. Found parameter numbers = ",
               weight.numel(), " and channel size = ", channels, " (input ", describe(x), ")");
  } else if (weight.device().is_cpu() && !needs_graph(weight)) {
    return leaky_relu(x, item(weight).to_double());  // one pass
  }
  if (is_host_number(weight) && !x.device().is_cpu())
    return prelu(x, to(weight, weight.dtype(), x.device(), false));
  check_same_device("prelu", {{"input", &x}, {"weight", &weight}});
  const Tensor y = empty_result(x.sizes(), x.dtype(), {&x});
  if (y.numel()) {
    NoGradGuard no_grad;
    (void)CCDL_KERNEL(y, binary(BinaryOp::Prelu, x.dtype(), x.view(),
                                spread_weight(weight, x.dim()).view_as(x.sizes()), y.view(), {}));
  }
  if (needs_graph(x, weight)) {
    auto node = make_ref<PreluBackward>();
    node->x = SavedTensor(x);
    node->w = SavedTensor(weight);
    record(node, {x, weight}, y);
  }
  return y;
}

namespace {

std::pair<Tensor, Tensor> halves(const Tensor& x, int64_t dim) {
  const int64_t n = x.size(dim) / 2;
  return {narrow(x, dim, 0, n), narrow(x, dim, n, n)};
}

// y = a sigmoid(b): da = dy s, db = dy a s (1 - s) with s = sigmoid(b), each written to its half
struct GluBackward : Node {
  const char* name() const override { return "GluBackward"; }
  SavedTensor x;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override {
    const Tensor in = x.get(this);
    if (grad_enabled())
      return autograd::differentiate(
          [d = dim](const TensorList& t) {
            const auto [a, b] = halves(t[0], d);
            return TensorList{mul(a, sigmoid(b))};
          },
          {in}, g);
    const auto [a, b] = halves(in, dim);
    const Tensor dx = empty(in.sizes(), in.dtype(), in.device()), s = sigmoid(b), outer = mul(g[0], a);
    const auto [da, db] = halves(dx, dim);
    copy_product(g[0], s, da);
    CCDL_KERNEL(dx, unary_backward(UnaryOp::Sigmoid, s.view(), s.view(), outer.view(), db.view(), {}));
    return {dx};
  }
  void release_saved() override { x.reset(); }

 private:
  static void copy_product(const Tensor& p, const Tensor& q, const Tensor& out) {
    (void)CCDL_KERNEL(out, binary(BinaryOp::Mul, out.dtype(), p.view(), q.view(), out.view(), {}));
  }
};

}  // namespace

Tensor glu(const Tensor& x, int64_t dim) {
  check_floating("glu", x);
  CCDL_CHECK(x.dim() > 0, Runtime, "glu: does not support 0-dimensional tensors, got ", describe(x));
  dim = wrap_dim("glu", dim, x.dim());
  const int64_t n = x.size(dim);
  CCDL_CHECK(n % 2 == 0, Runtime, "glu: Halving dimension must be even, but dimension ", dim, " is size ", n,
             " (input ", describe(x), ")");
  const OpName name("glu");
  const auto [a, b] = halves(x, dim);
  const Tensor y = empty(a.sizes(), x.dtype(), x.device());
  // the slope of softplus is sigmoid: without a threshold its backward is a sigmoid(b) in one pass
  const ElementParams softplus = {{1, std::numeric_limits<double>::infinity(), 0}, {}};
  CCDL_KERNEL(y, unary_backward(UnaryOp::Softplus, b.view(), b.view(), a.view(), y.view(), softplus));
  if (needs_graph(x)) {
    auto node = make_ref<GluBackward>();
    node->x = SavedTensor(x);
    node->dim = dim;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace ccdl::ops
