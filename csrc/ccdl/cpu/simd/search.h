// Insertion points in a sorted sequence, by gathers. Table index: float, double, int32, int64; null below v4,
// where nothing gathers well.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int64_t kSearchMost = int64_t{1} << 30;  // longest sequence

struct SearchKernels {
  // y[i]: how many of s [n], ascending with NaN last, stand before values[i] (right: or equal it).
  using Search = void (*)(const void* s, int64_t n, const void* values, int64_t m, bool right, int64_t* y);
  Search search[4];
};
CCDL_SIMD_FAMILY(SearchKernels, search)

}  // namespace ccdl::cpu
