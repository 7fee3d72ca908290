// Persistent recurrent kernels of bfloat16: see persistent_forward.cuh, persistent_backward.cuh.
#include <kernels/rnn/persistent.cuh>

namespace ccdl::cu {

template bool rnn_forward_persistent<bfloat16>(const RnnSteps&, const RnnForward&, const RnnSpace&, RnnPath);
template bool rnn_backward_persistent<bfloat16>(const RnnSteps&, const RnnBackward&, const RnnSpace&,
                                                RnnPath);

}  // namespace ccdl::cu
