// No CUDA kernels of the recurrent layers in this build: a clear error.
#include <ccdl/core/error.h>
#include <ccdl/kernels/rnn.h>

namespace ccdl::cu {

static void absent() {
  fail(ErrorKind::NotImplemented, "rnn: recurrent layers have no CUDA kernel yet; move the model to the CPU");
}
void rnn_forward(const RnnSteps&, const RnnForward&) { absent(); }
void rnn_backward(const RnnSteps&, const RnnBackward&) { absent(); }
int64_t rnn_forward_workspace_bytes(const RnnSteps&, int64_t, int64_t, DType) {
  absent();
  return 0;
}
int64_t rnn_backward_workspace_bytes(const RnnSteps&, int64_t, int64_t, DType) {
  absent();
  return 0;
}

}  // namespace ccdl::cu
