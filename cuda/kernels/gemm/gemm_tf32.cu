// fp32 matrices multiplied as tf32 (10-bit mantissas, float accumulation) on the tensor cores; opt-in. Bound:
// tf32 mma.sync rate.
#include <kernels/gemm/gemm_mma.cuh>

namespace ccdl::cu {

void gemm_tf32(const GemmProblem<float>& p, bool large_tile) {
  if (large_tile)
    launch_mma<MmaConfig<float, 128, 128, 64, 64, 4, 1>>(p);
  else
    launch_mma<MmaConfig<float, 64, 64, 32, 32, 4, 1>>(p);
}

}  // namespace ccdl::cu
