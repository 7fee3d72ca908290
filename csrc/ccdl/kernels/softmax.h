// Softmax over the middle dimension of [outer, n, inner] (inner is 1 for the last dimension), all views
// contiguous and of one floating dtype. A row that holds NaN or +inf, or only -inf, becomes NaN.
#pragma once
#include <ccdl/core/view.h>

#define CCDL_SOFTMAX_CONTRACT                                                                        \
  /* y = exp(x - max) / sum, or with log: x - max - log(sum). Overwrites y; y may be x. */           \
  void softmax_forward(const View& x, const View& y, bool log);                                      \
  /* dx = y (dy - sum(y dy)), or with log: dx = dy - exp(y) sum(dy). Overwrites dx; dx may be dy. */ \
  void softmax_backward(const View& y, const View& dy, const View& dx, bool log);

namespace ccdl::cpu {
CCDL_SOFTMAX_CONTRACT
}
namespace ccdl::cu {
CCDL_SOFTMAX_CONTRACT
}
#undef CCDL_SOFTMAX_CONTRACT
