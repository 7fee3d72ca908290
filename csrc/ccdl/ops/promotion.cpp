// Promotion rules.
#include <ccdl/ops/promotion.h>

#include <optional>

namespace ccdl::ops {

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  const bool fa = is_floating(a), fb = is_floating(b);
  if (fa && fb) {
    if (is_half(a) && is_half(b)) return DType::Float32;  // float16 with bfloat16
    return item_size(a) > item_size(b) ? a : b;
  }
  if (fa) return a;
  if (fb) return b;
  if (a == DType::Bool) return b;
  if (b == DType::Bool) return a;
  if (item_size(a) == item_size(b)) return DType::Int16;  // uint8 with int8
  return item_size(a) > item_size(b) ? a : b;
}

namespace {

using Maybe = std::optional<DType>;
Maybe join(Maybe a, Maybe b) { return !a ? b : !b ? a : Maybe(promote_types(*a, *b)); }
// The higher-priority group wins unless the lower one is of a higher category.
Maybe combine(Maybe higher, Maybe lower) {
  if (higher && is_floating(*higher)) return higher;
  if ((higher && *higher == DType::Bool) || (lower && is_floating(*lower))) return join(higher, lower);
  return higher ? higher : lower;
}

struct Groups {
  Maybe dims, zero, number;
  void add(const Tensor& t) { (t.dim() > 0 ? dims : zero) = join(t.dim() > 0 ? dims : zero, t.dtype()); }
  void add(const Operand& o) {
    if (o.is_tensor())
      add(o.tensor);
    else
      number = join(number, o.scalar.dtype(default_dtype()));
  }
  DType result() const { return combine(dims, combine(zero, number)).value_or(DType::Float32); }
};

}  // namespace

DType result_type(const Operand& a, const Operand& b) {
  if (a.is_tensor() && b.is_tensor() && a.tensor.dtype() == b.tensor.dtype()) return a.tensor.dtype();
  Groups g;
  g.add(a);
  g.add(b);
  return g.result();
}

DType result_type(const TensorList& tensors) {
  Groups g;
  for (const Tensor& t : tensors)
    if (t.defined()) g.add(t);
  return g.result();
}

bool can_cast(DType from, DType to) {
  if (is_floating(from)) return is_floating(to);
  if (from == DType::Bool) return true;
  return to != DType::Bool;
}

}  // namespace ccdl::ops
