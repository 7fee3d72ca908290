// Gradients of attention on Hopper for bfloat16.
#include <kernels/attention/backward_sm90.cuh>

namespace ccdl::cu {

bool attention_backward_sm90(const AttentionProblem<bfloat16>& p) { return run_backward_sm90(p); }

}  // namespace ccdl::cu
