// Attention of the half formats with rows longer than the tensor-core kernels take.
#include <kernels/attention/general.cuh>

namespace ccdl::cu {

void attention_forward_general(const AttentionProblem<float16>& p) { run_forward_general<float16, 2>(p); }
void attention_forward_general(const AttentionProblem<bfloat16>& p) { run_forward_general<bfloat16, 2>(p); }
void attention_backward_general(const AttentionProblem<float16>& p, AttentionGradient of) {
  run_backward_general<float16, 2>(p, of);
}
void attention_backward_general(const AttentionProblem<bfloat16>& p, AttentionGradient of) {
  run_backward_general<bfloat16, 2>(p, of);
}

}  // namespace ccdl::cu
