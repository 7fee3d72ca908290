// Sorting, selection, unique values, search and counting. Order of floats: NaN above +inf, -0 equal to +0.
// All ten dtypes unless said otherwise; views may have any strides unless said to be contiguous; outputs are
// overwritten; indices are Int64. "Along dim" functions treat a 0-d view as one element.
#pragma once
#include <ccdl/core/view.h>

#define CCDL_SORT_CONTRACT                                                                                   \
  /* Stable sort along dim; values and indices have x's sizes, either may have data == nullptr. */           \
  void sort(const View& x, int dim, bool descending, const View& values, const View& indices);               \
  /* The k largest (smallest) along dim, best first when `sorted`; ties keep the lower index first.          \
     values and indices have size k in dim. */                                                               \
  void topk(const View& x, int dim, int64_t k, bool largest, bool sorted, const View& values,                \
            const View& indices);                                                                            \
  /* values and indices have size 1 in dim. kthvalue: the k-th smallest, k from 1. median: the lower one;    \
     NaN when a NaN is present, or without them when ignore_nan. mode: the smallest of the most frequent     \
     values, index of its last occurrence. */                                                                \
  void kthvalue(const View& x, int dim, int64_t k, const View& values, const View& indices);                 \
  void median(const View& x, int dim, bool ignore_nan, const View& values, const View& indices);             \
  void mode(const View& x, int dim, const View& values, const View& indices);                                \
  /* Rows of a contiguous x [n, m]. Phase one returns the number of groups of equal rows and fills order [n] \
     (row numbers, sorted unless `consecutive`) and group [n] (of the row order[i]). Phase two writes, where \
     data != nullptr: y [groups, m], inverse [n], counts [groups]. NaN never equals NaN. All contiguous. */  \
  int64_t unique_groups(const View& x, bool consecutive, const View& order, const View& group);              \
  void unique_fill(const View& x, const View& order, const View& group, const View& y, const View& inverse,  \
                   const View& counts);                                                                      \
  /* Contiguous x [n]: where runs of equal elements begin, into starts [n] (Int64); returns how many. -1:    \
     this device finds them by unique_groups. */                                                             \
  int64_t unique_starts(const View& x, const View& starts);                                                  \
  /* Of `runs` such starts, where data != nullptr: y [runs], inverse [n], counts [runs]. */                  \
  void unique_runs(const View& x, const View& starts, int64_t runs, const View& y, const View& inverse,      \
                   const View& counts);                                                                      \
  /* Insertion points of values [rows, m] in sequence [rows or 1, n], ascending; both contiguous and of one  \
     dtype; y [rows, m] Int64 contiguous. right: after equal elements. */                                    \
  void searchsorted(const View& sequence, const View& values, const View& y, bool right);                    \
  /* y[i] = x[i] occurs in test; x, test of one dtype, y Bool; all contiguous. */                            \
  void isin(const View& x, const View& test, const View& y, bool invert);                                    \
  /* Counts of floating contiguous x in y.numel() equal bins of [lo, hi]; y of x's dtype, contiguous. */     \
  void histc(const View& x, double lo, double hi, const View& y);                                            \
  /* y[x[i]] += w[i] (or 1 when w.data == nullptr); x Int64 in [0, y.numel()); w and y Float64, or y Int64;  \
     all contiguous. */                                                                                      \
  void bincount(const View& x, const View& w, const View& y);

namespace ccdl::cpu {
CCDL_SORT_CONTRACT
}
namespace ccdl::cu {
CCDL_SORT_CONTRACT
}
#undef CCDL_SORT_CONTRACT
