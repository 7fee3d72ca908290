// Kernels that make values from nothing. y may have any strides; all dtypes unless said otherwise; overwrite.
#pragma once
#include <ccdl/core/view.h>

#define CCDL_CREATE_CONTRACT                                                                      \
  /* y = *value, an element of y's dtype */                                                       \
  void fill(const View& y, const void* value);                                                    \
  /* y[i] = start + i * step, 1-d; in float64, converted once */                                  \
  void arange_float(const View& y, double start, double step);                                    \
  /* The same in wrapping int64 arithmetic, for integer dtypes and integer arguments */           \
  void arange_int(const View& y, int64_t start, int64_t step);                                    \
  /* n points from start to end, both exact, 1-d; formed from the nearer end in float64; integers \
     truncate */                                                                                  \
  void linspace(const View& y, double start, double end);                                         \
  /* y[i] = base ^ linspace[i] */                                                                 \
  void logspace(const View& y, double start, double end, double base);                            \
  /* y[r, c] = r == c, 2-d */                                                                     \
  void eye(const View& y);                                                                        \
  /* y (int64 contiguous [2, count]) = row and column of every place with column - row >= offset  \
     (upper) or <= offset (lower) of a rows x columns matrix, row by row */                       \
  void triangle_indices(const View& y, int64_t rows, int64_t columns, int64_t offset, bool upper);

namespace ccdl::cpu {
CCDL_CREATE_CONTRACT
}
namespace ccdl::cu {
CCDL_CREATE_CONTRACT
}
#undef CCDL_CREATE_CONTRACT
