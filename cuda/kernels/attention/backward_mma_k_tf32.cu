// dk of attention on the tensor cores for float.
#include <kernels/attention/backward_mma.cuh>

namespace ccdl::cu {

void attention_backward_mma_k(const AttentionProblem<float>& p) { run_backward_mma<AttentionGradient::K>(p); }

}  // namespace ccdl::cu
