// Type promotion: PyTorch's categories (bool < integer < floating). Tensors with dimensions decide within
// their category, then 0-d tensors, then Python numbers.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

DType promote_types(DType a, DType b);
DType result_type(const Operand& a, const Operand& b);
DType result_type(const TensorList& tensors);
bool can_cast(DType from, DType to);  // never down a category

}  // namespace ccdl::ops
