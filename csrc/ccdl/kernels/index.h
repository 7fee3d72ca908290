// Indexed reading and writing: gather, scatter, index_select, index_add, take, advanced indexing, embedding
// rows and masks are all walks of one form. An axis names an indexed dimension: the element walked at `c`
// lies at x.data + x.offset(c) + sum over axes of index_a[c] * step_a, so x has stride 0 (or no dimension)
// where it is indexed. All views of one call have equal sizes; an index broadcast over a dimension has stride
// 0 there.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

struct IndexAxis {
  View index;    // int64
  int64_t size;  // of the indexed dimension; valid indices are [0, size), with wrap also [-size, 0)
  int64_t step;  // its stride in the indexed operand, in elements
  int64_t dim;   // its number, for messages
};

// The first index outside its dimension, in walk order; axis is -1 when there is none.
struct IndexFault {
  int64_t axis = -1;
  int64_t value = 0;
};

enum class PutMode { Set, Add, Mul, Max, Min };

}  // namespace ccdl

#define CCDL_INDEX_CONTRACT                                                                                  \
  /* y[c] = x at the indexed place; all dtypes by item size; skips pieces with a bad index; overwrites       \
     y */                                                                                                    \
  IndexFault index_get(const View& x, const IndexAxis* axes, int n, bool wrap, const View& y);               \
  /* indexed y = y (mode) src[c], one after another in walk order: with Set the last write wins. With        \
     check_first a bad index writes nothing, else what comes before it may be written. src has y's dtype and \
     may be broadcast. bool: Add and Max are or, Mul and Min are and. Half formats round after every step.   \
   */                                                                                                        \
  IndexFault index_put(const View& y, const IndexAxis* axes, int n, bool wrap, const View& src,              \
                       PutMode mode, bool check_first);                                                      \
  /* y[c] = value where mask[c]; mask bool or uint8, value is one element of y's dtype, may be on the host   \
   */                                                                                                        \
  void masked_fill(const View& y, const View& mask, const View& value);                                      \
  /* Number of true elements; mask bool or uint8, any strides */                                             \
  int64_t masked_count(const View& mask);                                                                    \
  /* y (1-d, masked_count elements, contiguous) = elements of x where mask, in row-major order */            \
  void masked_select(const View& x, const View& mask, const View& y);                                        \
  /* y[c] = next element of src (1-d, contiguous, at least masked_count elements) where mask[c] */           \
  void masked_scatter(const View& y, const View& mask, const View& src);                                     \
  /* out (int64 contiguous [mask.ndim, masked_count]): row d = coordinate d of every true element, row-      \
     major */                                                                                                \
  void masked_coordinates(const View& mask, const View& out);

namespace ccdl::cpu {
CCDL_INDEX_CONTRACT
}
namespace ccdl::cu {
CCDL_INDEX_CONTRACT
}
#undef CCDL_INDEX_CONTRACT
