// Distances of rows to the columns of a matrix: a [rows, K], bt [K, N], y and w [rows, N], dense. Table
// index: float, double.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct DistanceKernels {
  // bt_row: elements from one row of bt to the next
  void (*forward[2])(const void* a, const void* bt, int64_t bt_row, void* y, int64_t rows, int64_t K,
                     int64_t N, double p);
  void (*backward[2])(const void* a, const void* bt, const void* y, const void* w, void* da, int64_t rows,
                      int64_t K, int64_t N, double p);
};
CCDL_SIMD_FAMILY(DistanceKernels, distance)

}  // namespace ccdl::cpu
