// How float32 matrices are multiplied on CUDA devices (torch.backends.cuda.matmul.fp32_precision and
// allow_tf32). A process-wide setting read when a product is queued; double and the half formats ignore it.
#pragma once
#include <cstdint>

namespace ccdl {

enum class MatmulPrecision : int32_t {
  Ieee,    // float32 arithmetic: the default
  Tf32x3,  // three tensor-core products per term: float32 accuracy, other rounding errors
  Tf32,    // operands rounded to 11 bits of mantissa
};

namespace cu {
void set_matmul_precision(MatmulPrecision precision);
MatmulPrecision matmul_precision();
// allow_tf32 = true means Tf32, false Ieee.
void set_allow_tf32(bool allow);
}  // namespace cu
}  // namespace ccdl
