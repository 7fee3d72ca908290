// Running sums and products of contiguous elements, one table per instruction-set level.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>

namespace ccdl::cpu {

struct ScanKernels {
  // y[i] = the carry joined with x[0] ... x[i]; the carry (double for floating types, int64 for integers)
  // ends as the joined whole. y null: only the carry. By dtype; null for the types that are too rare.
  using Run = void (*)(const void* x, void* y, int64_t n, void* carry);
  Run sum[kNumDTypes], prod[kNumDTypes];
  // Columns of [n, columns] in place, `step` items from one row to the next (negative: x is the last row), a
  // multiple of 64 bytes wide.
  using Columns = void (*)(void* x, int64_t n, int64_t step, int64_t columns);
  Columns sum_columns[kNumDTypes], prod_columns[kNumDTypes];
  // Running smallest (0) and largest (1) of `rows` contiguous rows of n, and their places; xs, ys, is: from
  // one row to the next.
  using ExtremeRows = void (*)(const void* x, int64_t xs, void* y, int64_t ys, int64_t* index, int64_t is,
                               int64_t n, int64_t rows);
  ExtremeRows extreme_rows[2][kNumDTypes];
  // The same of neighbouring columns; xs, ys, is: from one element of a column to the next. How many of the
  // lanes, from the first on, have been done.
  using ExtremeColumns = int64_t (*)(const void* x, int64_t xs, void* y, int64_t ys, int64_t* index,
                                     int64_t is, int64_t n, int64_t lanes);
  ExtremeColumns extreme_columns[2][kNumDTypes];
};
CCDL_SIMD_FAMILY(ScanKernels, scan)

}  // namespace ccdl::cpu
