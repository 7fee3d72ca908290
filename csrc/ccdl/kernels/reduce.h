// Reductions over any set of dimensions of any strided view.
// Everywhere: y has x's rank, size 1 in every reduced dimension and x's size elsewhere; a dimension is
// reduced where x.sizes[d] != 1 and y.sizes[d] == 1. y is overwritten and may have any strides. Results do
// not depend on the number of threads: chunk borders come from the shape, partial results meet in a fixed
// tree. Accumulation: float lanes over at most 2048 elements, then double; int64 for integers; double for
// Float64.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

enum class ReduceOp : uint8_t {
  Sum,
  NanSum,
  Mean,
  Prod,  // NanSum counts NaN as 0
  Max,
  Min,  // NaN wins
  Any,
  All,
  CountNonzero,  // NaN is nonzero
  Norm0,
  Norm1,
  Norm2,
  NormInf,
  NormNegInf,
  NormP,
  LogSumExp,
};

}  // namespace ccdl

#define CCDL_REDUCE_CONTRACT                                                                                 \
  /* y dtype: Sum, NanSum, Mean, Prod, Norm*, LogSumExp: x's own, Float32 for half x, or Int64 for integer x \
     (Sum, Prod only). Max, Min: x's own. Any, All: Bool or UInt8. CountNonzero: Int64. p: NormP only.       \
     An empty reduction gives the identity: 0, 1, -inf/lowest, +inf/highest, NaN for Mean. */                \
  void reduce(ReduceOp op, const View& x, const View& y, double p);                                          \
  /* Two-pass variance: sum (x - mean)^2 / max(0, n - correction), its root when `root`. mean may be null    \
     (data == nullptr) or a view like y. Floating x; y and mean of x's dtype or Float32 for half x. */       \
  void variance(const View& x, const View& y, const View& mean, double correction, bool root);               \
  /* Position along dim of the first largest (smallest) element, NaN before all. indices Int64; values of    \
     x's dtype, or data == nullptr. Both with size 1 in dim. x.sizes[dim] > 0. */                            \
  void arg_reduce(bool largest, const View& x, int dim, const View& values, const View& indices);

namespace ccdl::cpu {
CCDL_REDUCE_CONTRACT
}
namespace ccdl::cu {
CCDL_REDUCE_CONTRACT
}
#undef CCDL_REDUCE_CONTRACT
