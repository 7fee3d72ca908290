// Elementwise functions of two operands, broadcast by stride 0; numbers on the host travel as kernel
// parameters. Kernels: elementwise_walk.cuh. Bound: bytes of a, b and out.
#include <kernels/elementwise_binary.cuh>

namespace ccdl::cu {

bool binary(BinaryOp op, DType common, const View& a, const View& b, const View& out,
            const ElementParams& p) {
  if (common == DType::Float64)
    binary_double(op, a, b, out, p);
  else if (is_floating(common))
    binary_floating<float>(op, a, b, out, p);
  else
    binary_integer(op, a, b, out, p);
  return true;
}

}  // namespace ccdl::cu
