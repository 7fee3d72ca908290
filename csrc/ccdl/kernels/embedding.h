// Gradient of a table look-up (the look-up itself is index_get with whole rows), and bags: sum, mean or
// maximum of the table rows of each bag of look-ups. Tables w, dw [V, D], dy [.., D] and y have contiguous
// rows, any row stride on inputs, and one floating dtype; index, bag and starts are int64 contiguous. Views
// marked optional may have null data. Half formats compute in float.
#pragma once
#include <ccdl/kernels/index.h>

namespace ccdl {

enum class BagMode { Sum, Mean, Max };

// Axis of an IndexFault that speaks of the starts of the bags.
constexpr int64_t kStartsFault = 1;

}  // namespace ccdl

#define CCDL_EMBEDDING_CONTRACT                                                                              \
  /* dw contiguous = sum over i with index[i] == v of scale[i] * dy[source[i]], in the order of i; source    \
     (int64, optional: i; a negative one does not count) and with it scale (dy's dtype, optional: 1) are     \
     contiguous [n]; rows of padding_idx (if >= 0) stay zero; by_frequency divides row v by its number of    \
     look-ups; overwrite */                                                                                  \
  IndexFault embedding_backward(const View& dy, const View& index, const View& source, const View& scale,    \
                                int64_t padding_idx, bool by_frequency, const View& dw);                     \
  /* y [B, D] contiguous. Bag b holds look-ups starts[b] up to starts[b + 1], or up to n where starts has no \
     more entries: [0] is 0, none decreases or exceeds n. padding_idx (if >= 0) does not count; an empty bag \
     gives zeros; of equal maxima the first counts, NaN wins. scale [n] (optional, with Sum) multiplies      \
     look-ups. Optional results: bag [n] = bag of each look-up that has one; count [B], float (double for    \
     doubles) = look-ups that count, at least 1; largest [B, D] int64 = table row of the maximum, -1 in an   \
     empty bag. Overwrite */                                                                                 \
  IndexFault embedding_bag_forward(const View& w, const View& index, const View& starts, const View& scale,  \
                                   BagMode mode, int64_t padding_idx, const View& y, const View& bag,        \
                                   const View& count, const View& largest);                                  \
  /* dscale [n] contiguous = dot(dy[bag[i]], w[index[i]]), zero for padding_idx and a negative bag;          \
   * overwrite */                                                                                            \
  IndexFault embedding_bag_backward_scale(const View& dy, const View& w, const View& index, const View& bag, \
                                          int64_t padding_idx, const View& dscale);

namespace ccdl::cpu {
CCDL_EMBEDDING_CONTRACT
}
namespace ccdl::cu {
CCDL_EMBEDDING_CONTRACT
}
#undef CCDL_EMBEDDING_CONTRACT
