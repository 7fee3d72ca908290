// Cumulative operations along one dimension of any strided view.
// y has x's sizes and any strides; overwrite. Float and half accumulate in double (float for cummax and
// cummin), integers in int64.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

enum class ScanOp : uint8_t { Sum, Prod, LogSumExp };

}  // namespace ccdl

#define CCDL_SCAN_CONTRACT                                                                                  \
  /* Inclusive scan, from the end when `reverse`. x and y of one dtype; LogSumExp: floating.                \
     Sum of Bool is not defined here (the op casts first). */                                               \
  void scan(ScanOp op, const View& x, const View& y, int dim, bool reverse);                                \
  /* Running max or min and the index of its last occurrence so far, NaN before all; indices Int64. */      \
  void scan_extreme(bool largest, const View& x, const View& y, const View& indices, int dim);              \
  /* dx_k = (x_0 ... x_{k-1}) * (dy_k + dy_{k+1} x_{k+1} + dy_{k+2} x_{k+1} x_{k+2} + ...): no division, so \
     zeros are exact. All of one floating dtype and size. */                                                \
  void cumprod_backward(const View& x, const View& dy, const View& dx, int dim);                            \
  /* dx_k = sum over i >= k of dy_i exp(x_k - y_i), with y the logcumsumexp of x. */                        \
  void logcumsumexp_backward(const View& x, const View& y, const View& dy, const View& dx, int dim);

namespace ccdl::cpu {
CCDL_SCAN_CONTRACT
}
namespace ccdl::cu {
CCDL_SCAN_CONTRACT
}
#undef CCDL_SCAN_CONTRACT
