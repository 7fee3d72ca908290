// Binary and ternary elementwise ops: broadcast, promote, one kernel call, one node for all binary
// derivatives.
#include <cmath>
#include <cstring>
#include <numbers>

#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/kernels/elementwise.h>
#include <ccdl/ops/constant.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/number_cell.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

namespace {

enum class Result : uint8_t { Promoted, Floating, Bool };

// Whether the operands are to be brought to the common type first: wrapped afterwards, the larger or the rest
// of numbers that do not fit would be neither operand nor rest.
bool in_common_type(BinaryOp op) {
  using enum BinaryOp;
  return op == Maximum || op == Minimum || op == Fmax || op == Fmin || op == FloorDivide ||
         op == TruncDivide || op == Remainder || op == Fmod;
}

struct Prepared {
  Dims sizes;
  DType common;
};

Prepared prepare(const char* name, const Operand& a, const Operand& b, Result result) {
  Prepared p;
  if (a.is_tensor() && b.is_tensor()) {
    if (!(a.tensor.device() == b.tensor.device()) && !is_host_number(a.tensor) && !is_host_number(b.tensor))
      check_same_device(name, {{"input", &a.tensor}, {"other", &b.tensor}});
    p.sizes = a.tensor.sizes() == b.tensor.sizes()
                  ? a.tensor.sizes()
                  : broadcast_shapes(name, a.tensor.sizes(), b.tensor.sizes());
  } else if (a.is_tensor() || b.is_tensor()) {
    p.sizes = (a.is_tensor() ? a : b).tensor.sizes();
  }
  p.common = result_type(a, b);
  if (result == Result::Floating && !is_floating(p.common)) p.common = default_dtype();
  return p;
}

// A contiguous tensor as one long row: all that the kernel needs, and cheaper to fill than the full geometry.
View flat_view(const Tensor& x) {
  View v;
  v.data = x.data();
  v.dtype = x.dtype();
  v.device = x.device_tag();
  v.ndim = 1;
  v.sizes[0] = x.numel();
  v.strides[0] = 1;
  return v;
}

bool run_views(BinaryOp op, const Operand& a, const Operand& b, const Prepared& p, const Tensor& out,
               const ElementParams& params) {
  const bool wraps = in_common_type(op);
  Cell ca(a.scalar, p.common, wraps), cb(b.scalar, p.common, wraps);
  auto is_row = [&](const Operand& o) {
    return !o.is_tensor() || (o.tensor.is_contiguous() && o.tensor.sizes() == p.sizes);
  };
  if (out.is_contiguous() && is_row(a) && is_row(b)) {
    const int64_t n = out.numel();
    return CCDL_KERNEL(
        out, binary(op, p.common, a.is_tensor() ? flat_view(a.tensor) : ca.broadcast({&n, 1}),
                    b.is_tensor() ? flat_view(b.tensor) : cb.broadcast({&n, 1}), flat_view(out), params));
  }
  return CCDL_KERNEL(
      out, binary(op, p.common, a.is_tensor() ? a.tensor.view_as(p.sizes) : ca.broadcast(p.sizes),
                  b.is_tensor() ? b.tensor.view_as(p.sizes) : cb.broadcast(p.sizes), out.view(), params));
}

void run_kernel(const char* name, BinaryOp op, const Operand& a, const Operand& b, const Prepared& p,
                const Tensor& out, const ElementParams& params) {
  const OpName scope(name);
  CCDL_CHECK(run_views(op, a, b, p, out, params), Runtime, name,
             ": \"ZeroDivisionError\": integer division or modulo by zero");
}

ElementParams alpha_params(Scalar alpha) {
  return {{alpha.to_double(), 0, 0}, {alpha.is_float() ? 0 : alpha.to_int(), 0, 0}};
}

// An operand kept for backward: a saved tensor, or the number itself.
struct SavedOperand {
  SavedTensor tensor;
  Scalar scalar;
  bool is_tensor = false;
  void set(const Operand& o) {
    is_tensor = o.is_tensor();
    if (is_tensor)
      tensor = SavedTensor(o.tensor);
    else
      scalar = o.scalar;
  }
  Operand get(Node* n) const { return is_tensor ? Operand(tensor.get(n)) : Operand(scalar); }
};

// da and db of y = op(a, b); the formulas are the cases below, g = dy
struct BinaryBackward : Node {
  const char* name() const override { return autograd::backward_name(forward_name); }
  const char* forward_name;
  BinaryOp op;
  Scalar alpha;
  SavedOperand a, b;
  SavedTensor y;

  Tensor da(const Tensor& g, const Operand& A, const Operand& B, const Tensor& Y) {
    using enum BinaryOp;
    switch (op) {
      case Add:
      case Sub:
      case Remainder:
      case Fmod:
        return g;
      case Mul:
        return mul(g, B);
      case Div:
        return div(g, B);
      case Pow:
        return where(eq(B, 0), Operand(0.0), mul(g, mul(pow(A, sub(B, 1)), B)));
      case Maximum:
        return extreme(g, lt(A, B), eq(A, B));
      case Minimum:
        return extreme(g, gt(A, B), eq(A, B));
      case Fmax:
        return where(logical_or(ge(A, B), isnan_of(B)), g, Operand(0.0));
      case Fmin:
        return where(logical_or(le(A, B), isnan_of(B)), g, Operand(0.0));
      case Atan2:
        return mul(g, over_square(B, A, B));
      case Hypot:
        return mul(g, div(A, Y));
      case Copysign:
        return mul(g, where(eq(A, 0), Operand(0.0), div(Y, A)));
      case Logaddexp:
        return mul(g, softmax_share(A, B, 1));
      case Logaddexp2:
        return mul(g, softmax_share(A, B, std::numbers::ln2));
      case Xlogy:
        return mul(g, where(logical_and(eq(A, 0), le(B, 0)), Operand(0.0), log_of(B)));
      case Xlog1py:
        return mul(g, where(logical_and(eq(A, 0), le(B, -1)), Operand(0.0), log_of(Operand(add(B, 1)))));
      case FloorDivide:
      case TruncDivide:
        return zeros_like(g);
      default:
        return Tensor();
    }
  }
  Tensor db(const Tensor& g, const Operand& A, const Operand& B, const Tensor& Y) {
    using enum BinaryOp;
    switch (op) {
      case Add:
        return scaled(g, alpha);
      case Sub:
        return neg(scaled(g, alpha));
      case Mul:
        return mul(g, A);
      case Div:
        return neg(mul(g, div(div(A, B), B)));
      case Pow:
        return mul(g, where(logical_and(eq(A, 0), ge(B, 0)), Operand(0.0), mul(Y, log_of(A))));
      case Remainder:
        return neg(mul(g, floor(div(A, B))));
      case Fmod:
        return neg(mul(g, trunc(div(A, B))));
      case Maximum:
        return extreme(g, gt(A, B), eq(A, B));
      case Minimum:
        return extreme(g, lt(A, B), eq(A, B));
      case Fmax:
        return where(logical_or(ge(A, B), isnan_of(B)), Operand(0.0), g);
      case Fmin:
        return where(logical_or(le(A, B), isnan_of(B)), Operand(0.0), g);
      case Atan2:
        return neg(mul(g, over_square(A, A, B)));
      case Hypot:
        return mul(g, div(B, Y));
      case Copysign:
        return zeros_like(g);
      case Logaddexp:
        return mul(g, softmax_share(B, A, 1));
      case Logaddexp2:
        return mul(g, softmax_share(B, A, std::numbers::ln2));
      case Xlogy:
        return mul(g, div(A, B));
      case Xlog1py:
        return mul(g, div(A, add(B, 1)));
      case FloorDivide:
      case TruncDivide:
        return zeros_like(g);
      default:
        return Tensor();
    }
  }
  TensorList apply(const TensorList& grads) override {
    const Operand A = a.get(this), B = b.get(this);
    const Tensor Y = y.get(this), &g = grads[0];
    return {needs(0) ? da(g, A, B, Y) : Tensor(), needs(1) ? db(g, A, B, Y) : Tensor()};
  }
  void release_saved() override {
    a.tensor.reset();
    b.tensor.reset();
    y.reset();
  }

 private:
  static Tensor scaled(const Tensor& g, Scalar s) { return s.to_double() == 1 ? g : mul(g, s); }
  static Tensor square_of(const Operand& o) { return mul(o, o); }
  // n / (a^2 + b^2), 0 at the origin
  static Tensor over_square(const Operand& n, const Operand& a, const Operand& b) {
    const Tensor d = add(square_of(a), square_of(b));
    return where(eq(d, 0), Operand(0.0), div(n, d));
  }
  static Tensor as_tensor(const Operand& o) {
    return o.is_tensor() ? o.tensor : scalar_tensor(o.scalar, DType::Float64);
  }
  // in double for integers: the default type would lose digits of a double gradient
  static Tensor log_of(const Operand& o) {
    const Tensor t = as_tensor(o);
    return log(is_integral(t.dtype()) ? to(t, DType::Float64) : t);
  }
  static Tensor isnan_of(const Operand& o) { return isnan(as_tensor(o)); }
  // Beside a NaN neither of the two loses, and both get all of g.
  static Tensor extreme(const Tensor& g, const Tensor& loses, const Tensor& ties) {
    return where(loses, Operand(0.0), where(ties, div(g, 2), g));
  }
  // 1 / (1 + e^(k (other - x))): right where one of the two is infinite
  static Tensor softmax_share(const Operand& x, const Operand& other, double k) {
    return sigmoid(mul(sub(x, other), k));
  }
};

// What da() and db() above read.
struct Reads {
  bool a = false, b = false, y = false;
};
Reads reads_of(BinaryOp op, bool needs_a, bool needs_b) {
  using enum BinaryOp;
  switch (op) {
    case Add:
    case Sub:
      return {};
    case Mul:
      return {needs_b, needs_a, false};
    case Div:
      return {needs_b, true, false};
    case Remainder:
    case Fmod:
      return {needs_b, needs_b, false};
    case Pow:
      return {true, true, needs_b};
    case Hypot:
      return {needs_a, needs_b, true};
    case Copysign:
      return {needs_a, false, needs_a};
    default:
      return {true, true, false};
  }
}

Ref<BinaryBackward> make_node(const char* name, BinaryOp op, const Operand& a, const Operand& b, Scalar alpha,
                              const Tensor* y) {
  auto node = make_ref<BinaryBackward>();
  node->forward_name = name;
  node->op = op;
  node->alpha = alpha;
  const Reads reads =
      reads_of(op, a.is_tensor() && requires_grad(a.tensor), b.is_tensor() && requires_grad(b.tensor));
  if (reads.a || !a.is_tensor()) node->a.set(a);
  if (reads.b || !b.is_tensor()) node->b.set(b);
  if (reads.y && y) node->y = SavedTensor(*y, node.get());
  return node;
}

bool tracked(const Operand& a, const Operand& b) { return needs_graph(a.tensor, b.tensor); }

Tensor apply_binary(const char* name, BinaryOp op, const Operand& a, const Operand& b,
                    Result result = Result::Promoted, Scalar alpha = 1, bool differentiable = true) {
  const Prepared p = prepare(name, a, b, result);
  if (in_common_type(op) && !is_floating(p.common)) {
    auto differs = [&](const Operand& o) { return o.is_tensor() && o.tensor.dtype() != p.common; };
    if (differs(a)) return apply_binary(name, op, Operand(to(a.tensor, p.common)), b, result, alpha, false);
    if (differs(b)) return apply_binary(name, op, a, Operand(to(b.tensor, p.common)), result, alpha, false);
  }
  Tensor y = empty_result(p.sizes, result == Result::Bool ? DType::Bool : p.common, {&a.tensor, &b.tensor});
  if (y.numel()) run_kernel(name, op, a, b, p, y, alpha_params(alpha));
  if (differentiable && is_floating(y.dtype()) && tracked(a, b))
    record(make_node(name, op, a, b, alpha, &y), {a.tensor, b.tensor}, y);
  return y;
}

void check_integral(const char* name, const Operand& a, const Operand& b) {
  const DType t = result_type(a, b);
  CCDL_CHECK(!is_floating(t), DType, name, ": expected integer or bool operands, got ",
             a.is_tensor() ? describe(a.tensor) : str(a.scalar), " and ",
             b.is_tensor() ? describe(b.tensor) : str(b.scalar));
}

void check_no_bool_sub(const char* name, const Operand& a, const Operand& b) {
  CCDL_CHECK(result_type(a, b) != DType::Bool, DType, name,
             ": Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
             "`logical_xor()` operator instead.");
  auto is_bool = [](const Operand& o) {
    return o.is_tensor() ? o.tensor.dtype() == DType::Bool : o.scalar.is_bool();
  };
  CCDL_CHECK(
      !is_bool(a) && !is_bool(b), DType, name,
      ": Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
      "mask, use the `~` or `logical_not()` operator instead.");
}

void check_alpha(const char* name, const Operand& a, const Operand& b, Scalar alpha) {
  const DType t = result_type(a, b);
  CCDL_CHECK(!alpha.is_bool() || t == DType::Bool, Runtime, name,
             ": Boolean alpha only supported for Boolean results, got alpha=", alpha, " for ", dtype_name(t));
  CCDL_CHECK(!alpha.is_float() || is_floating(t), DType, name,
             ": For integral input tensors, argument alpha must not be a floating point number, got ", alpha);
}

// x op= other, straight into x's memory; only for ops whose derivative reads neither operand, or without a
// graph.
Tensor write_binary(const char* name, BinaryOp op, const Tensor& x, const Operand& other, Result result,
                    Scalar alpha) {
  autograd::check_inplace(name, x);
  const Operand self(x);
  Operand b = other;
  if (b.is_tensor() && b.tensor.storage() == x.storage() && !b.tensor.same(x) &&
      !(b.tensor.offset() == x.offset() && b.tensor.strides() == x.strides() &&
        b.tensor.sizes() == x.sizes())) {
    NoGradGuard no_grad;  // the windows may overlap
    b = Operand(clone(b.tensor));
  }
  if (b.is_tensor() && !(b.tensor.device() == x.device()) && !is_host_number(b.tensor))
    check_same_device(name, {{"input", &x}, {"other", &b.tensor}});
  const Prepared p = prepare(name, self, b, result);
  CCDL_CHECK(p.sizes == x.sizes(), Shape, name, ": output with shape ", x.sizes(),
             " doesn't match the broadcast shape ", p.sizes);
  CCDL_CHECK(result == Result::Bool || can_cast(p.common, x.dtype()), DType, name, ": result type ",
             dtype_name(p.common), " can't be cast to the desired output type ", dtype_name(x.dtype()),
             "; use the out-of-place form");
  const bool graph = is_floating(x.dtype()) && tracked(self, other);
  if (x.numel()) run_kernel(name, op, self, b, p, x, alpha_params(alpha));
  if (graph)
    autograd::rebase_history(x, make_node(name, op, self, other, alpha, nullptr), {x, other.tensor});
  else
    x.bump_version();
  return x;
}

}  // namespace

Tensor empty_result(const Dims& sizes, DType dtype, std::initializer_list<const Tensor*> operands) {
  Device device;  // of the first operand that is more than a number on the host
  for (const Tensor* t : operands)
    if (t->defined() && !is_host_number(*t)) {
      device = t->device();
      break;
    }
  for (const Tensor* t : operands)
    if (t->defined() && t->device() == device && t->sizes() == sizes &&
        (t->is_contiguous() || strides_dense(sizes, t->strides())))
      return empty_like(*t, dtype);
  return empty(sizes, dtype, device);
}

Tensor add(const Operand& a, const Operand& b, Scalar alpha) {
  if (alpha.is_float() || alpha.is_bool()) check_alpha("add", a, b, alpha);
  return apply_binary("add", BinaryOp::Add, a, b, Result::Promoted, alpha);
}
Tensor sub(const Operand& a, const Operand& b, Scalar alpha) {
  check_no_bool_sub("sub", a, b);
  if (alpha.is_float() || alpha.is_bool()) check_alpha("sub", a, b, alpha);
  return apply_binary("sub", BinaryOp::Sub, a, b, Result::Promoted, alpha);
}
Tensor pow(const Operand& a, const Operand& b) {
  if (a.is_tensor() && !b.is_tensor() && result_type(a, b) == a.tensor.dtype() &&
      is_floating(a.tensor.dtype())) {
    const double e = b.scalar.to_double();
    if (e == 2) return square(a.tensor);
    if (e == 0.5) return sqrt(a.tensor);
    return unary("pow", UnaryOp::PowScalar, a.tensor, e);
  }
  const DType t = result_type(a, b);
  CCDL_CHECK(is_floating(t) || b.is_tensor() || b.scalar.to_int() >= 0, Runtime,
             "pow: Integers to negative integer powers are not allowed (exponent ", b.scalar,
             "); convert the tensor with .float()");
  return apply_binary("pow", BinaryOp::Pow, a, b);
}

// clang-format off
// X(name, Op, result); comparisons have no derivative.
#define CCDL_SIMPLE_FUNCTIONS(X)                                                                              \
  X(mul, Mul, Promoted) X(div, Div, Floating) X(floor_divide, FloorDivide, Promoted)                          \
  X(trunc_divide, TruncDivide, Promoted) X(remainder, Remainder, Promoted) X(fmod, Fmod, Promoted)            \
  X(maximum, Maximum, Promoted) X(minimum, Minimum, Promoted) X(fmax, Fmax, Promoted) X(fmin, Fmin, Promoted) \
  X(atan2, Atan2, Floating) X(hypot, Hypot, Floating) X(copysign, Copysign, Floating)                         \
  X(logaddexp, Logaddexp, Floating) X(logaddexp2, Logaddexp2, Floating) X(xlogy, Xlogy, Floating)             \
  X(xlog1py, Xlog1py, Floating)                                                                               \
  X(logical_and, LogicalAnd, Bool) X(logical_or, LogicalOr, Bool) X(logical_xor, LogicalXor, Bool)            \
  X(eq, Eq, Bool) X(ne, Ne, Bool) X(lt, Lt, Bool) X(le, Le, Bool) X(gt, Gt, Bool) X(ge, Ge, Bool)
// clang-format on
#define CCDL_X(name, Op, result)                                                                       \
  Tensor name(const Operand& a, const Operand& b) {                                                    \
    return apply_binary(#name, BinaryOp::Op, a, b, Result::result, 1, Result::result != Result::Bool); \
  }
CCDL_SIMPLE_FUNCTIONS(CCDL_X)
#undef CCDL_X

Tensor heaviside(const Operand& a, const Operand& b) {
  CCDL_CHECK(!a.is_tensor() || !b.is_tensor() || a.tensor.dtype() == b.tensor.dtype(), Runtime,
             "heaviside is not implemented for tensors with different dtypes: input is ",
             dtype_name(a.tensor.dtype()), " and values ", dtype_name(b.tensor.dtype()),
             "; convert one of them");
  return apply_binary("heaviside", BinaryOp::Heaviside, a, b, Result::Promoted, 1, false);
}

// A half format's neighbours are found in its bits.
static Tensor neighbour(const Operand& a, const Operand& b) {
  const DType t = result_type(a, b);
  if (!is_half(t)) return apply_binary("nextafter", BinaryOp::Nextafter, a, b, Result::Floating, 1, false);
  const NoGradGuard no_grad;
  const Prepared p = prepare("nextafter", a, b, Result::Floating);
  const auto bits = [&](const Operand& o) {
    return view_as_dtype(o.is_tensor() ? to(o.tensor, t) : scalar_tensor(o.scalar, t), DType::Int16);
  };
  const Tensor x = bits(a), y = bits(b);
  Tensor r = empty_result(p.sizes, DType::Int16, {&x, &y});
  const ElementParams infinity{{}, {t == DType::BFloat16 ? 0x7f80 : 0x7c00, 0, 0}};
  if (r.numel()) run_kernel("nextafter", BinaryOp::Nextafter, x, y, {p.sizes, DType::Int16}, r, infinity);
  return view_as_dtype(r, t);
}

Tensor nextafter(const Operand& a, const Operand& b) { return record_step(a, b, neighbour(a, b)); }

#define CCDL_INTEGER(name, Op)                      \
  Tensor name(const Operand& a, const Operand& b) { \
    check_integral(#name, a, b);                    \
    return apply_binary(#name, BinaryOp::Op, a, b); \
  }
CCDL_INTEGER(gcd, Gcd)
CCDL_INTEGER(lcm, Lcm)
CCDL_INTEGER(bitwise_and, BitwiseAnd)
CCDL_INTEGER(bitwise_or, BitwiseOr)
CCDL_INTEGER(bitwise_xor, BitwiseXor)
#undef CCDL_INTEGER

static Tensor shift(const char* name, BinaryOp op, const Operand& a, const Operand& b) {
  check_integral(name, a, b);
  return apply_binary(name, op, a, b, Result::Promoted,
                      Scalar(static_cast<long>(8 * item_size(result_type(a, b)))));
}
Tensor bitwise_left_shift(const Operand& a, const Operand& b) {
  return shift("bitwise_left_shift", BinaryOp::ShiftLeft, a, b);
}
Tensor bitwise_right_shift(const Operand& a, const Operand& b) {
  return shift("bitwise_right_shift", BinaryOp::ShiftRight, a, b);
}

namespace {

using BinaryFunction = Tensor (*)(const Operand&, const Operand&);
struct Simple {
  BinaryFunction function;
  BinaryOp op;
  Result result;
  bool integral = false;
};
// The functions that are one kernel call over any operands.
const Simple* simple_of(BinaryFunction f) {
  static const Simple table[] = {
#define CCDL_X(name, Op, result) {name, BinaryOp::Op, Result::result},
      CCDL_SIMPLE_FUNCTIONS(CCDL_X)
#undef CCDL_X
          {gcd, BinaryOp::Gcd, Result::Promoted, true},
      {lcm, BinaryOp::Lcm, Result::Promoted, true},
      {bitwise_and, BinaryOp::BitwiseAnd, Result::Promoted, true},
      {bitwise_or, BinaryOp::BitwiseOr, Result::Promoted, true},
      {bitwise_xor, BinaryOp::BitwiseXor, Result::Promoted, true},
  };
  for (const Simple& s : table)
    if (s.function == f) return &s;
  return nullptr;
}

// A whole number divided by zero raises before anything is written.
bool may_raise(const Simple& s, const Operand& a, const Operand& b) {
  using enum BinaryOp;
  return (s.op == FloorDivide || s.op == TruncDivide || s.op == Remainder || s.op == Fmod) &&
         !is_floating(result_type(a, b));
}

// Whether out was written: out = op(a, b) straight into its memory.
bool write_directly(const char* name, BinaryOp op, Result result, const Operand& a, const Operand& b,
                    Scalar alpha, const Tensor& out) {
  const Prepared p = prepare(name, a, b, result);
  if (!takes_result(out, p.sizes, result == Result::Bool ? DType::Bool : p.common, {&a.tensor, &b.tensor}))
    return false;
  autograd::check_inplace(name, out);
  if (out.numel()) run_kernel(name, op, a, b, p, out, alpha_params(alpha));
  out.bump_version();
  return true;
}

}  // namespace

Tensor out_binary(const char* name, BinaryFunction f, const Operand& a, const Operand& b, const Tensor& out) {
  if (const Simple* s = simple_of(f); s && !may_raise(*s, a, b)) {
    if (s->integral) check_integral(name, a, b);
    if (write_directly(name, s->op, s->result, a, b, 1, out)) return out;
  }
  return write_out(name, f(a, b), out);
}
Tensor inplace_binary(const char* name, BinaryFunction f, const Tensor& x, const Operand& other) {
  const Simple* s = simple_of(f);
  if (s && !tracked(Operand(x), other) && !may_raise(*s, x, other) &&
      (s->result != Result::Bool || x.dtype() == DType::Bool)) {
    if (s->integral) check_integral(name, x, other);
    return write_binary(name, s->op, x, other, s->result, 1);
  }
  return inplace(name, x, [&](const Tensor& v) { return f(v, other); });
}
Tensor add_out(const Operand& a, const Operand& b, Scalar alpha, const Tensor& out) {
  if (alpha.is_float() || alpha.is_bool()) check_alpha("add", a, b, alpha);
  return write_directly("add", BinaryOp::Add, Result::Promoted, a, b, alpha, out)
             ? out
             : write_out("add", add(a, b, alpha), out);
}
Tensor sub_out(const Operand& a, const Operand& b, Scalar alpha, const Tensor& out) {
  check_no_bool_sub("sub", a, b);
  if (alpha.is_float() || alpha.is_bool()) check_alpha("sub", a, b, alpha);
  return write_directly("sub", BinaryOp::Sub, Result::Promoted, a, b, alpha, out)
             ? out
             : write_out("sub", sub(a, b, alpha), out);
}

Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  CCDL_CHECK(a.dtype() == b.dtype(), DType, "isclose: ", describe(a), " and ", describe(b),
             " must have the same dtype");
  CCDL_CHECK(rtol >= 0 && atol >= 0, Value, "isclose: rtol (", rtol, ") and atol (", atol,
             ") must not be negative");
  const Prepared p = prepare("isclose", a, b, Result::Bool);
  Tensor y = empty_result(p.sizes, DType::Bool, {&a, &b});
  if (y.numel())
    run_kernel("isclose", BinaryOp::IsClose, a, b, p, y,
               {{rtol, atol, equal_nan ? 1.0 : 0.0}, {0, 0, equal_nan}});
  return y;
}

Tensor add_(const Tensor& x, const Operand& other, Scalar alpha) {
  if (alpha.is_float() || alpha.is_bool()) check_alpha("add_", x, other, alpha);
  return write_binary("add_", BinaryOp::Add, x, other, Result::Promoted, alpha);
}
Tensor sub_(const Tensor& x, const Operand& other, Scalar alpha) {
  check_no_bool_sub("sub_", x, other);
  if (alpha.is_float() || alpha.is_bool()) check_alpha("sub_", x, other, alpha);
  return write_binary("sub_", BinaryOp::Sub, x, other, Result::Promoted, alpha);
}
Tensor mul_(const Tensor& x, const Operand& other) {
  if (tracked(Operand(x), other)) return inplace("mul_", x, [&](const Tensor& v) { return mul(v, other); });
  return write_binary("mul_", BinaryOp::Mul, x, other, Result::Promoted, 1);
}
Tensor div_(const Tensor& x, const Operand& other) {
  if (tracked(Operand(x), other)) return inplace("div_", x, [&](const Tensor& v) { return div(v, other); });
  return write_binary("div_", BinaryOp::Div, x, other, Result::Floating, 1);
}

}  // namespace ccdl::ops
