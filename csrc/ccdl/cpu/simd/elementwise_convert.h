// Contiguous arrays from one element type to another, constant fills and bit moves, one table per
// instruction-set level. Integers widen or wrap; floats outside an integer type's range and NaN give the most
// negative int32 (int64 for int64), then wrap to the width; anything to bool is "is not zero".
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>

namespace ccdl::cpu {

struct ElementwiseConvertKernels {
  using Convert = void (*)(const void* x, void* y, int64_t n);
  Convert convert[kNumDTypes][kNumDTypes];  // [from][to]
  // y[i] = the element at `value`, elements of 1 << k bytes.
  void (*fill[4])(const void* value, void* y, int64_t n);
  // y[i] = x[2 i], x[3 i], x[4 i] and x[-i], elements of 1 << k bytes.
  void (*every_second[4])(const void* x, void* y, int64_t n);
  void (*every_third[4])(const void* x, void* y, int64_t n);
  void (*every_fourth[4])(const void* x, void* y, int64_t n);
  void (*reverse[4])(const void* x, void* y, int64_t n);
  // y[i * count + j] = x[j * x_step + i] for i < n and j < count, 2 to 4: rows of x dealt out in turn.
  void (*deal[4])(const void* x, int64_t x_step, int64_t count, void* y, int64_t n);
  // `rows` rows of `bytes` bytes, `x_step` and `y_step` bytes apart.
  void (*copy_rows)(const void* x, int64_t x_step, void* y, int64_t y_step, int64_t rows, int64_t bytes);
  // Row r of y (contiguous, n elements of 1 << k bytes each) = x[r * x_step], in elements.
  void (*spread_rows[4])(const void* x, int64_t x_step, void* y, int64_t rows, int64_t n);
};
CCDL_SIMD_FAMILY(ElementwiseConvertKernels, elementwise_convert)

// The table's row of an element size.
constexpr int width_index(int64_t bytes) { return bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3; }

}  // namespace ccdl::cpu
