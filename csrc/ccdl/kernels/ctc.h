// Connectionist temporal classification (Graves et al., 2006). log_probs [T, N, C] contiguous, float or
// double; labels int64 [N, L] contiguous, each target with the blank between its labels, at its beginning and
// end, filled up with anything; times and states [N]: steps and labels of each sample, on the host.
//   alpha_t(s) = log_probs_t(l_s) + log(e^alpha_{t-1}(s) + e^alpha_{t-1}(s-1) [+ e^alpha_{t-1}(s-2)])
// where the last term stands only for labels that are neither the blank nor equal to the one two before.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {
struct CtcProblem {
  const int64_t *labels, *times, *states;
  int64_t T, N, C, L, blank;
};
}  // namespace ccdl

// Other devices take the composite of ops.
namespace ccdl::cpu {
// loss [N] = -log p. alpha [N, T, L] and offsets [N, T + 1] (double) are kept for the gradient: alpha_t of
// the recursion is alpha + offset, the last entry is the loss; both may have data == null.
void ctc_forward(const CtcProblem& p, const View& log_probs, const View& loss, const View& alpha,
                 const View& offsets);
// dlog_probs = -dloss times the probability that an alignment is at the class; 0 beyond a sample's steps and
// where the loss is infinite.
void ctc_backward(const CtcProblem& p, const View& log_probs, const View& alpha, const View& offsets,
                  const View& dloss, const View& dlog_probs);
}  // namespace ccdl::cpu
