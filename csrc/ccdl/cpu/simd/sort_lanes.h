// Short rows sorted side by side, one row to a lane: element i of row r stands at i * kSortLanes + r.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kSortLanes = 8;

struct SortLanesKernels {
  void (*narrow)(int64_t* packs, int64_t n);                   // ascending
  void (*wide)(int64_t* keys, int64_t* positions, int64_t n);  // by key, then by position
};
CCDL_SIMD_FAMILY(SortLanesKernels, sort_lanes)

}  // namespace ccdl::cpu
