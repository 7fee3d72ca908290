// Stable sort of (key, value) pairs in device memory, and the prefix sum it is made of. Values carry
// positions, so V also counts elements: uint64_t when segments * n >= 2^32.
#pragma once
#include <cstdint>

namespace ccdl::cu {

// Double buffers of segments * n items each. A sort leaves its result in keys and values and swaps the
// pointers as it needs.
template <class K, class V>
struct RadixPairs {
  K *keys, *other_keys;
  V *values, *other_values;
};

// Each of `segments` neighbouring runs of n pairs ascending by key, equal keys in their order; keys below
// 2^bits. K and V: uint32_t or uint64_t.
template <class K, class V>
void radix_sort_pairs(RadixPairs<K, V>& pairs, int64_t n, int64_t segments, int bits);

// data[i] = sum of data[0 .. i). T: uint32_t or uint64_t.
template <class T>
void exclusive_scan(T* data, int64_t n);

// Bits needed for keys in [0, bound).
inline int bits_below(uint64_t bound) {
  int bits = 1;
  while (bits < 64 && (uint64_t{1} << bits) < bound) ++bits;
  return bits;
}

}  // namespace ccdl::cu
