// How float32 matrices are multiplied on CUDA devices: a process-wide setting, read when a product is queued.
// float64 and the half formats ignore it, and so does the CPU.
#pragma once
#include <cstdint>

namespace ccdl {

enum class MatmulPrecision : int32_t {
  Ieee,    // float32 arithmetic: the default
  Tf32x3,  // three tensor-core products per term: float32 accuracy, other rounding errors
  Tf32,    // operands rounded to 11 bits of mantissa
};
MatmulPrecision matmul_precision() noexcept;
void set_matmul_precision(MatmulPrecision precision) noexcept;

}  // namespace ccdl
