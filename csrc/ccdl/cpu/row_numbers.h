// Elementwise operations of rows and a number for each row.
#pragma once
#include <ccdl/kernels/elementwise.h>

namespace ccdl::cpu {

// out = a op b where one operand is constant along out's contiguous rows and the other contiguous like them;
// false where the operands are others.
bool rows_by_numbers(BinaryOp op, const View& a, const View& b, const View& out);
// What is cheap to see: without it there are no such rows.
inline bool may_have_row_numbers(const View& a, const View& b, const View& out) {
  const int last = out.ndim - 1;
  return last > 0 && (a.strides[last] == 0 || b.strides[last] == 0);
}

}  // namespace ccdl::cpu
