// Gradients of attention on Hopper for float16.
#include <kernels/attention/backward_sm90.cuh>

namespace ccdl::cu {

bool attention_backward_sm90(const AttentionProblem<float16>& p) { return run_backward_sm90(p); }

}  // namespace ccdl::cu
