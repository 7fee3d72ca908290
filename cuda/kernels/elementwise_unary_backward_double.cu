// dx = dy * op'(x) in double; see elementwise_unary_backward.cu.
#include <kernels/elementwise_unary_backward.cuh>

namespace ccdl::cu {

void unary_backward_double(UnaryOp op, const View& x, const View& y, const View& dy, const View& dx,
                           const ElementParams& p) {
  backward_by_op<double>(op, x, y, dy, dx, p);
}

}  // namespace ccdl::cu
