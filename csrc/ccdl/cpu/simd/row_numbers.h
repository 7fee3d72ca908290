// Rows joined with a number each: y[r][j] = x[r][j] op c[r]. Table index: operation, then float16,
// bfloat16, float, double.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

enum class RowOp : int { Add, Sub, SubFrom, Mul, Div, DivInto, kCount };  // SubFrom: c - x, DivInto: c / x

struct RowNumberKernels {
  using Rows = void (*)(const void* x, int64_t x_row, const void* c, int64_t c_row, void* y, int64_t y_row,
                        int64_t rows, int64_t n);
  Rows rows[static_cast<int>(RowOp::kCount)][4];
};
CCDL_SIMD_FAMILY(RowNumberKernels, row_numbers)

}  // namespace ccdl::cpu
