// Cross-entropy fused with log-softmax, and the negative log likelihood of given log-probabilities.
// Layout: logits x contiguous [N, C, S], target contiguous int64 [N, S] (or probabilities, contiguous [N, C,
// S] of x's dtype), weight contiguous [C] of x's dtype or data == null (all ones). "stat dtype" is float32,
// or float64 for float64. With t' = (1 - smoothing) onehot(t) + smoothing / C:  loss = sum_c w_c t'_c (lse -
// x_c), lse = log sum_c exp x_c; ignored targets give 0. An index target of class c weighs w_c in a mean;
// probability targets divide by N S.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {
enum class LossReduction : int { None, Mean, Sum };
}

#define CCDL_CROSS_ENTROPY_CONTRACT                                                                          \
  /* out: [N, S] contiguous (None) or one element, x's dtype. lse: [N, S] and losses: [N, S] (scratch of the \
     reduction), stat dtype. total: one float64, the divisor of the mean. All overwritten. Returns -1, or    \
     the position in target of the first class outside [0, C) that is not ignore_index; outputs are then     \
     undefined. */                                                                                           \
  int64_t cross_entropy_forward(const View& x, const View& target, const View& weight, const View& out,      \
                                const View& lse, const View& losses, const View& total,                      \
                                LossReduction reduction, int64_t ignore_index, double smoothing);            \
  /* dx = dout d loss / d x, overwritten; dout has the shape of out and x's dtype. */                        \
  void cross_entropy_backward(const View& x, const View& target, const View& weight, const View& lse,        \
                              const View& total, const View& dout, const View& dx, LossReduction reduction,  \
                              int64_t ignore_index, double smoothing);                                       \
  void cross_entropy_prob_forward(const View& x, const View& target, const View& weight, const View& out,    \
                                  const View& lse, const View& losses, LossReduction reduction,              \
                                  double smoothing);                                                         \
  void cross_entropy_prob_backward(const View& x, const View& target, const View& weight, const View& lse,   \
                                   const View& dout, const View& dx, LossReduction reduction,                \
                                   double smoothing);                                                        \
  /* out = -w[t] x[t] summed, averaged by sum w[t], or each; return value and total as above. */             \
  int64_t nll_loss_forward(const View& x, const View& target, const View& weight, const View& out,           \
                           const View& total, LossReduction reduction, int64_t ignore_index);                \
  void nll_loss_backward(const View& target, const View& weight, const View& total, const View& dout,        \
                         const View& dx, LossReduction reduction, int64_t ignore_index);

namespace ccdl::cpu {
CCDL_CROSS_ENTROPY_CONTRACT
}
namespace ccdl::cu {
CCDL_CROSS_ENTROPY_CONTRACT
}
#undef CCDL_CROSS_ENTROPY_CONTRACT
