// Gradient of a table look-up (the look-up itself is index_get with whole rows).
#pragma once
#include <ccdl/kernels/index.h>

#define CCDL_EMBEDDING_CONTRACT                                                                            \
  /* dw [V, D] contiguous = sum over i with index[i] == v of dy[i] (dy [n, D], rows contiguous, any row    \
     stride; index int64 contiguous [n]), in the order of i; rows of padding_idx (if >= 0) stay zero;      \
     by_frequency divides row v by its number of look-ups; floating dtypes, half formats sum in float;     \
     overwrite */                                                                                          \
  IndexFault embedding_backward(const View& dy, const View& index, int64_t padding_idx, bool by_frequency, \
                                const View& dw);

namespace ccdl::cpu {
CCDL_EMBEDDING_CONTRACT
}
namespace ccdl::cu {
CCDL_EMBEDDING_CONTRACT
}
#undef CCDL_EMBEDDING_CONTRACT
