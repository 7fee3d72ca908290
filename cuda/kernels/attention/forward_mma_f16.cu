// Forward attention on the tensor cores for float16.
#include <kernels/attention/forward_mma.cuh>

namespace ccdl::cu {

void attention_forward_mma(const AttentionProblem<float16>& p) { run_forward_mma(p); }

}  // namespace ccdl::cu
