// fp32 convolution as three tf32 products per term: the error of fp32 arithmetic at a third of the tf32 rate.
#include <kernels/conv/conv_mma.cuh>

namespace ccdl::cu {

void conv_sweep_tf32x3(const ConvSweep<float, float>& p) { sweep_mma<float, 3>(p); }
void conv_weight_tf32x3(const ConvWeight<float, float>& p, int channels, int64_t dw_channel) {
  weight_mma<float, 3>(p, channels, dw_channel);
}

}  // namespace ccdl::cu
