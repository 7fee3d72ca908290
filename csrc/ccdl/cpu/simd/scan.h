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
};
CCDL_SIMD_FAMILY(ScanKernels, scan)

}  // namespace ccdl::cpu
