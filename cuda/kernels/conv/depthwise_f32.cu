// Depthwise convolution of float and double.
#include <kernels/conv/depthwise.cuh>

namespace ccdl::cu {

template <>
void sweep_depthwise<float>(const View& src, const View& w, const View& dst, const ConvGeometry& g,
                            bool adjoint, const void* bias, Activation activation) {
  run_sweep_depthwise<float>(src, w, dst, g, adjoint, bias, activation);
}
template <>
void weight_depthwise<float>(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  run_weight_depthwise<float>(x, dy, dw, g);
}
template <>
void sweep_depthwise<double>(const View& src, const View& w, const View& dst, const ConvGeometry& g,
                             bool adjoint, const void* bias, Activation activation) {
  run_sweep_depthwise<double>(src, w, dst, g, adjoint, bias, activation);
}
template <>
void weight_depthwise<double>(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  run_weight_depthwise<double>(x, dy, dw, g);
}

}  // namespace ccdl::cu
