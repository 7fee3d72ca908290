// Elementwise ops of three operands: where, clamp, lerp, addcmul, addcdiv.
#include <limits>

#include <ccdl/core/warn.h>
#include <ccdl/kernels/elementwise.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

namespace {

ElementParams number_params(Scalar s) {
  return {{s.to_double(), 0, 0}, {s.is_float() ? 0 : s.to_int(), 0, 0}};
}

// da = dy where the condition holds, else 0; db the other way round
struct WhereBackward : Node {
  const char* name() const override { return "WhereBackward"; }
  SavedTensor condition;
  TensorList apply(const TensorList& g) override {
    const Tensor c = condition.get(this);
    return {needs(0) ? where(c, g[0], Operand(0.0)) : Tensor(),
            needs(1) ? where(c, Operand(0.0), g[0]) : Tensor()};
  }
  void release_saved() override { condition.reset(); }
};

Tensor as_operand_tensor(const Operand& o, DType dtype, Device device) {
  if (!o.is_tensor()) return full(Dims{}, o.scalar, dtype, device);
  return is_host_number(o.tensor) ? to(o.tensor, dtype, device, false) : to(o.tensor, dtype);
}

Tensor ternary_kernel(const char* name, TernaryOp op, const Tensor& a, const Tensor& b, const Tensor& c,
                      Scalar p) {
  const Dims sizes = broadcast_shapes(name, broadcast_shapes(name, a.sizes(), b.sizes()), c.sizes());
  Tensor out = empty_result(sizes, a.dtype(), {&a, &b, &c});
  if (out.numel())
    CCDL_KERNEL(
        out, ternary(op, a.view_as(sizes), b.view_as(sizes), c.view_as(sizes), out.view(), number_params(p)));
  return out;
}

// op(x, b, c) into x, where the memory and the types allow it.
bool ternary_inplace(const char* name, TernaryOp op, const Tensor& x, const Tensor& b, const Tensor& c,
                     Scalar p) {
  if (needs_graph(x, b, c) || b.dtype() != x.dtype() || c.dtype() != x.dtype()) return false;
  const Dims sizes = broadcast_shapes(name, broadcast_shapes(name, x.sizes(), b.sizes()), c.sizes());
  if (!takes_result(x, sizes, x.dtype(), {&b, &c})) return false;
  if (!(b.device() == x.device()) || !(c.device() == x.device())) return false;
  autograd::check_inplace(name, x);
  if (x.numel())
    CCDL_KERNEL(x, ternary(op, x.view(), b.view_as(sizes), c.view_as(sizes), x.view(), number_params(p)));
  x.bump_version();
  return true;
}

// y = x + v a b: dx = dy, da = v b dy, db = v a dy;  y = x + v a / b: da = v dy / b, db = -v a dy / b^2
struct AddcBackward : Node {
  const char* name() const override { return quotient ? "AddcdivBackward" : "AddcmulBackward"; }
  bool quotient = false;
  Scalar value;
  SavedTensor a, b;
  TensorList apply(const TensorList& grads) override {
    TensorList out(3);
    if (needs(0)) out[0] = grads[0];
    if (!needs(1) && !needs(2)) return out;
    const Tensor A = a.get(this), B = b.get(this), g = mul(grads[0], value);
    if (needs(1)) out[1] = quotient ? div(g, B) : mul(g, B);
    if (needs(2)) out[2] = quotient ? neg(mul(g, div(A, square(B)))) : mul(g, A);
    return out;
  }
  void release_saved() override {
    a.reset();
    b.reset();
  }
};

// y = start + w (end - start): d start = (1 - w) dy, d end = w dy, dw = (end - start) dy
struct LerpBackward : Node {
  const char* name() const override { return "LerpBackward"; }
  SavedTensor start, end, w;
  TensorList apply(const TensorList& grads) override {
    const Tensor W = w.get(this);
    return {needs(0) ? mul(grads[0], sub(1, W)) : Tensor(), needs(1) ? mul(grads[0], W) : Tensor(),
            needs(2) ? mul(grads[0], sub(end.get(this), start.get(this))) : Tensor()};
  }
  void release_saved() override {
    start.reset();
    end.reset();
    w.reset();
  }
};

Tensor addc(const char* name, bool quotient, const Tensor& x, const Tensor& a, const Tensor& b,
            Scalar value) {
  check_same_device(name, {{"input", &x}, {"tensor1", &a}, {"tensor2", &b}});
  const DType t = result_type(TensorList{x, a, b});
  CCDL_CHECK(!quotient || is_floating(t), DType, name,
             ": Integer division with addcdiv is no longer supported; convert the tensors with .float()");
  if (!is_floating(t) && value.is_float()) value = Scalar(value.to_int());  // its fraction is lost
  const Tensor y = ternary_kernel(name, quotient ? TernaryOp::Addcdiv : TernaryOp::Addcmul, to(detach(x), t),
                                  to(detach(a), t), to(detach(b), t), value);
  if (is_floating(t) && needs_graph(x, a, b)) {
    auto node = make_ref<AddcBackward>();
    node->quotient = quotient;
    node->value = value;
    node->a = SavedTensor(a);
    node->b = SavedTensor(b);
    record(node, {x, a, b}, y);
  }
  return y;
}

}  // namespace

Tensor where(const Tensor& condition, const Operand& a, const Operand& b) {
  CCDL_CHECK(condition.dtype() == DType::Bool || condition.dtype() == DType::UInt8, DType,
             "where: expected condition to be a boolean tensor, but got a tensor with dtype ",
             dtype_name(condition.dtype()));
  if (condition.dtype() == DType::UInt8)
    warn("where received a uint8 condition tensor, whose use is deprecated; give a boolean condition");
  Device device;  // of the first operand that is more than a number on the host
  for (const Tensor* operand : {&condition, &a.tensor, &b.tensor})
    if (operand->defined() && !is_host_number(*operand)) {
      device = operand->device();
      break;
    }
  const DType t = result_type(a, b);
  const Tensor c =
      is_host_number(condition) ? to(condition, DType::Bool, device, false) : to(condition, DType::Bool);
  Tensor ta, tb;
  {
    NoGradGuard no_grad;
    ta = as_operand_tensor(a, t, device);
    tb = as_operand_tensor(b, t, device);
  }
  check_same_device("where", {{"condition", &c}, {"input", &ta}, {"other", &tb}});
  const Dims sizes =
      broadcast_shapes("where", broadcast_shapes("where", condition.sizes(), ta.sizes()), tb.sizes());
  Tensor y = empty_result(sizes, t, {&ta, &tb, &c});
  if (y.numel()) CCDL_KERNEL(y, where(c.view_as(sizes), ta.view_as(sizes), tb.view_as(sizes), y.view()));
  if (is_floating(t) && needs_graph(a.tensor, b.tensor)) {
    auto node = make_ref<WhereBackward>();
    node->condition = SavedTensor(c);
    record(node, {a.tensor, b.tensor}, y);
  }
  return y;
}

namespace {

ElementParams clamp_params(std::optional<Scalar> low, std::optional<Scalar> high) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  return {{low ? low->to_double() : -inf, high ? high->to_double() : inf, 0},
          {low && !low->is_float() ? low->to_int() : INT64_MIN,
           high && !high->is_float() ? high->to_int() : INT64_MAX, 0}};
}
DType clamp_dtype(const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high) {
  CCDL_CHECK(low || high, Runtime, "clamp: At least one of 'min' or 'max' must not be None");
  DType t = x.dtype();
  if (low) t = result_type(x, Operand(*low));
  if (high) t = promote_types(t, result_type(x, Operand(*high)));
  CCDL_CHECK(t != DType::Bool, DType, "clamp: not defined for bool tensors");
  return t;
}

// dx = dy where low <= x <= high, dlow where x < low < high, dhigh where x > high or low > high
struct ClampTensorBackward : Node {
  const char* name() const override { return "ClampBackward"; }
  SavedTensor x, low, high;
  TensorList apply(const TensorList& g) override {
    const Tensor v = x.get(this), a = low.get(this), b = high.get(this);
    const auto kept = [&](const Tensor& where_kept) { return where(where_kept, g[0], Operand(0.0)); };
    TensorList out(3);
    if (!a.defined() || !b.defined()) {
      if (needs(0)) out[0] = kept(a.defined() ? ge(v, a) : le(v, b));
      if (needs(1)) out[1] = kept(lt(v, a));
      if (needs(2)) out[2] = kept(gt(v, b));
      return out;
    }
    if (needs(0)) out[0] = kept(logical_and(ge(v, a), le(v, b)));
    if (needs(1)) out[1] = kept(logical_and(lt(v, a), lt(a, b)));
    if (needs(2)) out[2] = kept(logical_or(gt(v, b), gt(a, b)));
    return out;
  }
  void release_saved() override {
    x.reset();
    low.reset();
    high.reset();
  }
};

bool is_nan(std::optional<Scalar> s) { return s && s->to_double() != s->to_double(); }

}  // namespace

Tensor clamp(const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high) {
  const DType t = clamp_dtype(x, low, high);
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const std::optional<Scalar>& bound : {low, high})  // a bound that is no number makes all of it none
    if (is_nan(bound)) return add(clamp(x, Scalar(inf), Scalar(inf)), *bound);  // no gradient either
  return unary("clamp", UnaryOp::Clamp, to(x, t), clamp_params(low, high));
}

Tensor clamp_(const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high) {
  if (needs_graph(x) || clamp_dtype(x, low, high) != x.dtype() || is_nan(low) || is_nan(high))
    return inplace("clamp_", x, [&](const Tensor& v) { return clamp(v, low, high); });
  return unary_("clamp_", UnaryOp::Clamp, x, clamp_params(low, high));
}

Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high) {
  CCDL_CHECK(low.defined() || high.defined(), Runtime,
             "clamp: At least one of 'min' or 'max' must not be None");
  if (low.defined() && high.defined() && low.dtype() == x.dtype() && high.dtype() == x.dtype() &&
      x.dtype() != DType::Bool && low.device() == x.device() && high.device() == x.device() &&
      !needs_graph(x, low, high))
    return ternary_kernel("clamp", TernaryOp::ClampTensor, x, low, high, 0);
  Tensor y = x;
  {
    const NoGradGuard no_grad;
    if (low.defined()) y = maximum(y, low);
    if (high.defined()) y = minimum(y, high);
  }
  if (needs_graph(x, low, high)) {
    auto node = make_ref<ClampTensorBackward>();
    node->x = SavedTensor(x);
    node->low = SavedTensor(low);
    node->high = SavedTensor(high);
    record(node, {x, low, high}, y);
  }
  return y;
}

// Whether a half format holds the number as it is; else lerp computes in float, so that 0.1 stays 0.1.
static bool held(const Operand& weight, DType t) {
  if (weight.is_tensor() || !is_half(t)) return true;
  const double v = weight.scalar.to_double();
  return item(full(Dims{}, weight.scalar, t)).to_double() == v || v != v;
}

Tensor lerp(const Tensor& start, const Tensor& end, const Operand& weight) {
  CCDL_CHECK(start.dtype() == end.dtype(), DType, "lerp: expected dtype ", dtype_name(start.dtype()),
             " for `end`, but got dtype ", dtype_name(end.dtype()));
  CCDL_CHECK(is_floating(start.dtype()), DType, "lerp: expected floating-point tensors, got ",
             describe(start));
  CCDL_CHECK(!weight.is_tensor() || weight.tensor.dtype() == start.dtype() || weight.tensor.dim() == 0, DType,
             "lerp: expected dtype ", dtype_name(start.dtype()), " for `weight`, but got dtype ",
             dtype_name(weight.tensor.dtype()));
  if (weight.is_tensor() && weight.tensor.dtype() != start.dtype())
    return lerp(start, end, Operand(to(weight.tensor, start.dtype())));
  if (!held(weight, start.dtype()))
    return to(lerp(to(start, DType::Float32), to(end, DType::Float32), weight), start.dtype());
  check_same_device("lerp", {{"input", &start}, {"end", &end}, {"weight", &weight.tensor}});
  const Tensor w =
      weight.is_tensor() ? weight.tensor : full(Dims{}, weight.scalar, start.dtype(), start.device());
  const Tensor y = ternary_kernel("lerp", TernaryOp::Lerp, start, end, w, 0);
  if (needs_graph(start, end, weight.tensor)) {
    auto node = make_ref<LerpBackward>();
    node->w = SavedTensor(w);
    if (requires_grad(w)) {
      node->start = SavedTensor(start);
      node->end = SavedTensor(end);
    }
    record(node, {start, end, weight.tensor}, y);
  }
  return y;
}

Tensor lerp_(const Tensor& x, const Tensor& end, const Operand& weight) {
  const Tensor w = weight.is_tensor() ? weight.tensor
                   : is_floating(x.dtype()) && held(weight, x.dtype())
                       ? full(Dims{}, weight.scalar, x.dtype(), x.device())
                       : Tensor();
  if (w.defined() && is_floating(x.dtype()) && ternary_inplace("lerp_", TernaryOp::Lerp, x, end, w, 0))
    return x;
  return inplace("lerp_", x, [&](const Tensor& v) { return lerp(v, end, weight); });
}
Tensor addcmul_(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) {
  if (ternary_inplace("addcmul_", TernaryOp::Addcmul, x, a, b, value)) return x;
  return inplace("addcmul_", x, [&](const Tensor& v) { return addcmul(v, a, b, value); });
}
Tensor addcdiv_(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) {
  if (is_floating(x.dtype()) && ternary_inplace("addcdiv_", TernaryOp::Addcdiv, x, a, b, value)) return x;
  return inplace("addcdiv_", x, [&](const Tensor& v) { return addcdiv(v, a, b, value); });
}

Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) {
  return addc("addcmul", false, x, a, b, value);
}
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) {
  return addc("addcdiv", true, x, a, b, value);
}

}  // namespace ccdl::ops
