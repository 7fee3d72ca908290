// Forward attention on Hopper for float16.
#include <kernels/attention/forward_sm90.cuh>

namespace ccdl::cu {

bool attention_forward_sm90(const AttentionProblem<float16>& p) { return run_forward_sm90(p); }

}  // namespace ccdl::cu
