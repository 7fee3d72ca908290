// Packs of short rows in order, eight rows at a time: one row to a lane of a sorting network.
#pragma once
#include <type_traits>

#include <ccdl/cpu/simd/sort_lanes.h>
#include <ccdl/cpu/sort_keys.h>

namespace ccdl::cpu {

constexpr int64_t kLaneRow = 128;  // longest row of a network

// Eight rows of the given type's packs.
template <class P>
struct SortPanel {
  static constexpr bool kWide = std::is_same_v<P, WidePack>;
  static constexpr uint64_t kSign = uint64_t{1} << 63;  // keys order as signed numbers
  alignas(64) int64_t keys[kLaneRow * kSortLanes];
  alignas(64) int64_t positions[kWide ? kLaneRow * kSortLanes : 1];

  template <class T>
  void load(int lane, const T* x, int64_t stride, int64_t n, uint64_t mask) {
    for (int64_t i = 0; i < n; ++i) {
      const uint64_t key = sort_key(x[i * stride]) ^ mask;
      const int64_t at = i * kSortLanes + lane;
      if constexpr (kWide) {
        keys[at] = static_cast<int64_t>(key ^ kSign);
        positions[at] = i;
      } else {
        keys[at] = static_cast<int64_t>((key << 32 | static_cast<uint64_t>(i)) ^ kSign);
      }
    }
  }
  void clear(int lane, int64_t n) {
    for (int64_t i = 0; i < n; ++i) keys[i * kSortLanes + lane] = 0;
    if constexpr (kWide)
      for (int64_t i = 0; i < n; ++i) positions[i * kSortLanes + lane] = 0;
  }
  void sort(int64_t n) {
    if constexpr (kWide)
      simd_sort_lanes().wide(keys, positions, n);
    else
      simd_sort_lanes().narrow(keys, n);
  }
  void store(int lane, int64_t n, P* packs) const {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = i * kSortLanes + lane;
      if constexpr (kWide)
        packs[i] = {static_cast<uint64_t>(keys[at]) ^ kSign, static_cast<uint64_t>(positions[at])};
      else
        packs[i] = static_cast<uint64_t>(keys[at]) ^ kSign;
    }
  }
};

}  // namespace ccdl::cpu
