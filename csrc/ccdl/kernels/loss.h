// Elementwise losses fused with their reduction. x, t, dx contiguous, of one floating dtype and n elements;
// dout and out have that dtype too: n elements (None) or one (Mean, Sum). Everything is overwritten.
//   SquaredError:       l = (x - t)^2                              dl/dx = 2 (x - t)
//   LogitsCrossEntropy: l = max(x, 0) - x t + log(1 + exp(-|x|))   dl/dx = sigmoid(x) - t
//   Huber:              l = scale c (d - c / 2)                    dl/dx = scale c
//     with d = x - t and c = d clamped to [-delta, delta]; the other two ignore the parameters
#pragma once
#include <ccdl/kernels/cross_entropy.h>

namespace ccdl {
enum class PointLossKind : int { SquaredError, LogitsCrossEntropy, Huber };
struct PointLoss {
  PointLossKind kind = PointLossKind::SquaredError;
  double delta = 1, scale = 1;  // Huber
};
}  // namespace ccdl

#define CCDL_LOSS_CONTRACT                                                                                 \
  void point_loss_forward(PointLoss loss, const View& x, const View& t, const View& out,                   \
                          LossReduction reduction);                                                        \
  void point_loss_backward(PointLoss loss, const View& x, const View& t, const View& dout, const View& dx, \
                           LossReduction reduction);

namespace ccdl::cpu {
CCDL_LOSS_CONTRACT
}
namespace ccdl::cu {
CCDL_LOSS_CONTRACT
}
#undef CCDL_LOSS_CONTRACT
