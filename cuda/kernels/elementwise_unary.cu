// Elementwise functions of one operand. Formulas: ccdl/kernels/elementwise_functors.h; kernels:
// elementwise_walk.cuh. Bound: bytes of x and y, for the cheap ones at 4 bytes per element as well as 2.
#include <kernels/elementwise_unary.cuh>

namespace ccdl::cu {

void unary(UnaryOp op, const View& x, const View& y, const ElementParams& p) {
  const DType t = is_test(op) ? x.dtype : y.dtype;
  if (t == DType::Float64)
    unary_double(op, x, y, p);
  else if (is_floating(t))
    run_floating<float>(op, x, y, p);
  else
    unary_integer(op, x, y, p);
}

}  // namespace ccdl::cu
