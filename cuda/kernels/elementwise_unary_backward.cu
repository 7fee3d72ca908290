// dx = dy * op'(x) from x or y, whichever unary_needs() names, and dy; formulas beside the forward ones in
// ccdl/kernels/elementwise_functors.h. Bound: bytes of the two or one inputs and dx.
#include <kernels/elementwise_unary_backward.cuh>

namespace ccdl::cu {

void unary_backward(UnaryOp op, const View& x, const View& y, const View& dy, const View& dx,
                    const ElementParams& p) {
  if (dx.dtype == DType::Float64)
    unary_backward_double(op, x, y, dy, dx, p);
  else
    backward_by_op<float>(op, x, y, dy, dx, p);
}

}  // namespace ccdl::cu
