// Powers made of other ops: in place, in float64, and of two.
#include <cmath>

#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

Tensor pow_(const Tensor& x, const Operand& other) {
  if (!other.is_tensor() && is_floating(x.dtype()) && !needs_graph(x)) {
    const double e = other.scalar.to_double();
    return unary_("pow_", e == 2 ? UnaryOp::Square : e == 0.5 ? UnaryOp::Sqrt : UnaryOp::PowScalar, x, e);
  }
  return inplace("pow_", x, [&](const Tensor& v) { return pow(v, other); });
}
Tensor float_power(const Operand& a, const Operand& b) {
  auto wide = [](const Operand& o) {
    return o.is_tensor() ? Operand(to(o.tensor, DType::Float64)) : Operand(o.scalar.to_double());
  };
  const Operand x = wide(a), y = wide(b);
  return pow(x, y);
}

Tensor ldexp(const Operand& a, const Operand& b) {
  if (!b.is_tensor()) return mul(a, Operand(std::exp2(b.scalar.to_double())));
  const DType t = result_type(a, b);  // the power of a whole number is a float32 and counts no further
  const Tensor y = mul(a, pow(Operand(Scalar(2.0)), b));
  return is_floating(t) ? to(y, t) : y;
}

}  // namespace ccdl::ops
