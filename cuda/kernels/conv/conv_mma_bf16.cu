// bfloat16 convolution on the tensor cores, accumulated in fp32.
#include <kernels/conv/conv_mma.cuh>

namespace ccdl::cu {

void conv_sweep_mma(const ConvSweep<bfloat16, float>& p) { sweep_mma<bfloat16, 1>(p); }
void conv_weight_mma(const ConvWeight<bfloat16, float>& p, int channels, int64_t dw_channel) {
  weight_mma<bfloat16, 1>(p, channels, dw_channel);
}

}  // namespace ccdl::cu
