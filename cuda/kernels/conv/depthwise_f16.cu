// Depthwise convolution of float16.
#include <kernels/conv/depthwise.cuh>

namespace ccdl::cu {

template <>
void sweep_depthwise<float16>(const View& src, const View& w, const View& dst, const ConvGeometry& g,
                              bool adjoint, const void* bias, Activation activation) {
  run_sweep_depthwise<float16>(src, w, dst, g, adjoint, bias, activation);
}
template <>
void weight_depthwise<float16>(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  run_weight_depthwise<float16>(x, dy, dw, g);
}

}  // namespace ccdl::cu
