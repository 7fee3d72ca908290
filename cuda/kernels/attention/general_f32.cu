// Attention of float, any size; rows of up to 16 G numbers get narrower blocks.
#include <kernels/attention/general.cuh>

namespace ccdl::cu {

void attention_forward_general(const AttentionProblem<float>& p) {
  if (p.E <= kGeneralTile<float>)
    run_forward_general<float, 1>(p);
  else
    run_forward_general<float, 2>(p);
}
void attention_backward_general(const AttentionProblem<float>& p, AttentionGradient of) {
  if ((of == AttentionGradient::V ? p.E : p.D) <= kGeneralTile<float>)
    run_backward_general<float, 1>(p, of);
  else
    run_backward_general<float, 2>(p, of);
}

}  // namespace ccdl::cu
