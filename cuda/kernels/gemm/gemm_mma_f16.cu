// float16 products on the tensor cores: 128x128 tiles with 64x64 per warp, 64x64 tiles for small C; float
// accumulation, one rounding. Bound: mma.sync rate, or reading A and B once per tile row and column.
#include <kernels/gemm/gemm_mma.cuh>

namespace ccdl::cu {

void gemm_mma(const GemmProblem<float16>& p, bool large_tile) {
  if (large_tile)
    launch_mma<MmaConfig<float16, 128, 128, 64, 64, 4>>(p);
  else
    launch_mma<MmaConfig<float16, 64, 64, 32, 32, 4>>(p);
}

}  // namespace ccdl::cu
