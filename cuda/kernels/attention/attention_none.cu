// Attention has no kernel on this device yet: every function says so.
#include <ccdl/core/error.h>
#include <ccdl/kernels/attention.h>

namespace ccdl::cu {
namespace {

[[noreturn]] void absent() {
  fail(ErrorKind::NotImplemented, "attention: no kernel for cuda tensors; use .cpu()");
}

}  // namespace

int64_t attention_forward_workspace_bytes(const View&, const View&, const View&, const AttentionParams&) {
  absent();
}
int64_t attention_backward_workspace_bytes(const View&, const View&, const View&, const AttentionParams&) {
  absent();
}
void attention_forward(const View&, const View&, const View&, const View&, const View&,
                       const AttentionParams&, void*) {
  absent();
}
void attention_backward(const View&, const View&, const View&, const View&, const View&, const View&,
                        const View&, const View&, const View&, const AttentionParams&, void*) {
  absent();
}

}  // namespace ccdl::cu
