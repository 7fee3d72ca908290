// fp32 matrices as three tf32 products per term: x = big + small with 11 bits each, big big + big small +
// small big, every k step of 8 added in fp32 outside the tensor core, whose own additions truncate; error
// close to fp32 arithmetic. Opt-in. Source: Ootomo and Yokota 2022. Bound: a third of the tf32 rate.
#include <kernels/gemm/gemm_mma.cuh>

namespace ccdl::cu {

void gemm_tf32x3(const GemmProblem<float>& p, bool large_tile) {
  if (large_tile)
    launch_mma<MmaConfig<float, 128, 64, 64, 32, 4, 3>>(p);
  else
    launch_mma<MmaConfig<float, 64, 64, 32, 32, 4, 3>>(p);
}

}  // namespace ccdl::cu
