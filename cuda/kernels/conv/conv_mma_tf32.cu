// fp32 convolution as tf32 products on the tensor cores, where the process allows them.
#include <ccdl/core/matmul_precision.h>
#include <kernels/conv/conv_mma.cuh>

namespace ccdl::cu {

void conv_sweep_mma(const ConvSweep<float, float>& p) {
  matmul_precision() == MatmulPrecision::Tf32x3 ? conv_sweep_tf32x3(p) : sweep_mma<float, 1>(p);
}
void conv_weight_mma(const ConvWeight<float, float>& p, int channels, int64_t dw_channel) {
  matmul_precision() == MatmulPrecision::Tf32x3 ? conv_weight_tf32x3(p, channels, dw_channel)
                                                : weight_mma<float, 1>(p, channels, dw_channel);
}

}  // namespace ccdl::cu
