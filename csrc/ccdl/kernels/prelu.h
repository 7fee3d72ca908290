// Gradients of prelu (its value is BinaryOp::Prelu), both in one pass. x, dy, dx: contiguous [N, C, L] of one
// floating dtype; w, dw [C] of the same; none empty. Everything is overwritten.
//   dx = x > 0 ? dy : dy w[c]        dw[c] = sum over N and L of (x > 0 ? 0 : x dy)
#pragma once
#include <ccdl/core/view.h>

#define CCDL_PRELU_CONTRACT \
  void prelu_backward(const View& x, const View& w, const View& dy, const View& dx, const View& dw);

namespace ccdl::cpu {
CCDL_PRELU_CONTRACT
}
namespace ccdl::cu {
CCDL_PRELU_CONTRACT
}
#undef CCDL_PRELU_CONTRACT
