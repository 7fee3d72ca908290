// Distances |a_i - b_j|_p between the rows of two matrices, and their gradient, without the differences ever
// being stored. a [B, M, K], bt = b transposed [B, K, N], y [B, M, N]; all dense, of one dtype, Float32 or
// Float64. p >= 0: the number of coordinates that differ at 0, the largest difference at infinity.
#pragma once
#include <ccdl/core/view.h>

#define CCDL_DISTANCE_CONTRACT                                                                               \
  void cdist_forward(const View& a, const View& bt, const View& y, double p);                                \
  /* da_ik = sum_j w_ij s |a_ik - b_jk|^(p-1), s the sign of the difference; w = dy y^(1-p), 0 where y is 0. \
     At infinity w = dy and the sum is over the coordinates with |a_ik - b_jk| = y_ij. p > 0. */             \
  void cdist_backward(const View& a, const View& bt, const View& y, const View& w, const View& da,           \
                      double p);                                                                             \
  /* Distances of all pairs of rows of x [N, K], xt [K, N], in the order (0, 1), (0, 2), ... into            \
     y [N (N - 1) / 2]. Only on a CPU: another device picks them from all N^2. */                            \
  void pdist_forward(const View& x, const View& xt, const View& y, double p);                                \
  /* Such a list as a symmetric matrix [N, N] with zeros on the diagonal. */                                 \
  void pdist_square(const View& list, const View& matrix);

namespace ccdl::cpu {
CCDL_DISTANCE_CONTRACT
}
namespace ccdl::cu {
CCDL_DISTANCE_CONTRACT
}
#undef CCDL_DISTANCE_CONTRACT
