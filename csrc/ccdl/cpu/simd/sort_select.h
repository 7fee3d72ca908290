// Passes of a selection by value: a row's numbers as signed keys that order as they do (NaN highest, -0 as
// +0), the keys of one bucket, and the place of an equal one. Keys have 4 bytes (index 0), or 8 for 8-byte
// elements (1).
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct SortSelectKernels {
  // keys of n neighbours: float, double, int32, int64
  void (*keys[4])(const void* x, int64_t n, void* keys);
  void (*range[2])(const void* keys, int64_t n, void* low, void* high);  // n > 0
  // out, with room for a vector more: the keys for which (key - low) >> shift == bucket, in order. Returns
  // how many. out may be keys.
  int64_t (*keep[2])(const void* keys, int64_t n, int64_t low, int shift, int64_t bucket, void* out);
  int64_t (*count[2])(const void* keys, int64_t n, int64_t key);
  // position of the equal key before which `rank` equal ones stand; there is one
  int64_t (*find[2])(const void* keys, int64_t n, int64_t key, int64_t rank);
};
CCDL_SIMD_FAMILY(SortSelectKernels, sort_select)

}  // namespace ccdl::cpu
