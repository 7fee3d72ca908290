// Forward attention on Hopper for bfloat16.
#include <kernels/attention/forward_sm90.cuh>

namespace ccdl::cu {

bool attention_forward_sm90(const AttentionProblem<bfloat16>& p) { return run_forward_sm90(p); }

}  // namespace ccdl::cu
