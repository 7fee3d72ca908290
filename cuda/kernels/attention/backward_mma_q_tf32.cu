// dq of attention on the tensor cores for float.
#include <kernels/attention/backward_mma.cuh>

namespace ccdl::cu {

void attention_backward_mma_q(const AttentionProblem<float>& p) { run_backward_mma<AttentionGradient::Q>(p); }

}  // namespace ccdl::cu
