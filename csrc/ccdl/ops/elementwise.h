// Elementwise arithmetic, comparison, logic and selection over broadcast operands. Results have the promoted
// dtype (division: at least floating; comparisons: bool). Functions ending in _ write into x and return it.
#pragma once
#include <optional>

#include <ccdl/ops/op.h>
#include <ccdl/ops/unary.h>

namespace ccdl::ops {

Tensor add(const Operand& a, const Operand& b, Scalar alpha = 1);  // a + alpha b
Tensor sub(const Operand& a, const Operand& b, Scalar alpha = 1);
Tensor mul(const Operand& a, const Operand& b);
Tensor div(const Operand& a, const Operand& b);
Tensor floor_divide(const Operand& a, const Operand& b);
Tensor trunc_divide(const Operand& a, const Operand& b);
Tensor remainder(const Operand& a, const Operand& b);  // sign of b
Tensor fmod(const Operand& a, const Operand& b);       // sign of a
Tensor pow(const Operand& a, const Operand& b);
Tensor maximum(const Operand& a, const Operand& b);
Tensor minimum(const Operand& a, const Operand& b);
Tensor fmax(const Operand& a, const Operand& b);
Tensor fmin(const Operand& a, const Operand& b);
Tensor atan2(const Operand& a, const Operand& b);
Tensor hypot(const Operand& a, const Operand& b);
Tensor copysign(const Operand& a, const Operand& b);
Tensor logaddexp(const Operand& a, const Operand& b);
Tensor logaddexp2(const Operand& a, const Operand& b);
Tensor xlogy(const Operand& a, const Operand& b);
Tensor xlog1py(const Operand& a, const Operand& b);
Tensor heaviside(const Operand& a, const Operand& b);
Tensor nextafter(const Operand& a, const Operand& b);
Tensor gcd(const Operand& a, const Operand& b);
Tensor lcm(const Operand& a, const Operand& b);
Tensor bitwise_and(const Operand& a, const Operand& b);
Tensor bitwise_or(const Operand& a, const Operand& b);
Tensor bitwise_xor(const Operand& a, const Operand& b);
Tensor bitwise_left_shift(const Operand& a, const Operand& b);
Tensor bitwise_right_shift(const Operand& a, const Operand& b);
Tensor logical_and(const Operand& a, const Operand& b);
Tensor logical_or(const Operand& a, const Operand& b);
Tensor logical_xor(const Operand& a, const Operand& b);
Tensor eq(const Operand& a, const Operand& b);
Tensor ne(const Operand& a, const Operand& b);
Tensor lt(const Operand& a, const Operand& b);
Tensor le(const Operand& a, const Operand& b);
Tensor gt(const Operand& a, const Operand& b);
Tensor ge(const Operand& a, const Operand& b);
Tensor isclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8,
               bool equal_nan = false);
Tensor float_power(const Operand& a, const Operand& b);  // in float64
Tensor ldexp(const Operand& a, const Operand& b);        // a 2^b

Tensor where(const Tensor& condition, const Operand& a, const Operand& b);
Tensor clamp(const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high);
Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high);  // either may be undefined
Tensor lerp(const Tensor& start, const Tensor& end, const Operand& weight);
Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);

Tensor add_(const Tensor& x, const Operand& other, Scalar alpha = 1);
Tensor sub_(const Tensor& x, const Operand& other, Scalar alpha = 1);
Tensor mul_(const Tensor& x, const Operand& other);
Tensor div_(const Tensor& x, const Operand& other);
Tensor pow_(const Tensor& x, const Operand& other);
Tensor clamp_(const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high);
Tensor lerp_(const Tensor& x, const Tensor& end, const Operand& weight);
Tensor addcmul_(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);
Tensor addcdiv_(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);

// f is one of the functions of two operands above. x = f(x, other), and out = f(a, b) (add: with alpha),
// straight into the memory of x or out where that is possible.
Tensor inplace_binary(const char* name, Tensor (*f)(const Operand&, const Operand&), const Tensor& x,
                      const Operand& other);
Tensor out_binary(const char* name, Tensor (*f)(const Operand&, const Operand&), const Operand& a,
                  const Operand& b, const Tensor& out);
Tensor add_out(const Operand& a, const Operand& b, Scalar alpha, const Tensor& out);
Tensor sub_out(const Operand& a, const Operand& b, Scalar alpha, const Tensor& out);

// An uninitialised result for operands broadcast to `sizes`: the strides order of the first operand of that
// shape.
Tensor empty_result(const Dims& sizes, DType dtype, std::initializer_list<const Tensor*> operands);

}  // namespace ccdl::ops
