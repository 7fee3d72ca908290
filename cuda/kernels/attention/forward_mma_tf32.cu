// Forward attention on the tensor cores for float, operands rounded to tf32.
#include <kernels/attention/forward_mma.cuh>

namespace ccdl::cu {

void attention_forward_mma(const AttentionProblem<float>& p) { run_forward_mma(p); }

}  // namespace ccdl::cu
