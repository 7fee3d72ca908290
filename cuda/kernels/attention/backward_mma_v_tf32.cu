// dv of attention on the tensor cores for float.
#include <kernels/attention/backward_mma.cuh>

namespace ccdl::cu {

void attention_backward_mma_v(const AttentionProblem<float>& p) { run_backward_mma<AttentionGradient::V>(p); }

}  // namespace ccdl::cu
