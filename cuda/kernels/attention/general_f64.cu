// Attention of double, any size; rows of up to 16 G numbers get narrower blocks.
#include <kernels/attention/general.cuh>

namespace ccdl::cu {

void attention_forward_general(const AttentionProblem<double>& p) {
  if (p.E <= kGeneralTile<double>)
    run_forward_general<double, 1>(p);
  else
    run_forward_general<double, 2>(p);
}
void attention_backward_general(const AttentionProblem<double>& p, AttentionGradient of) {
  if ((of == AttentionGradient::V ? p.E : p.D) <= kGeneralTile<double>)
    run_backward_general<double, 1>(p, of);
  else
    run_backward_general<double, 2>(p, of);
}

}  // namespace ccdl::cu
