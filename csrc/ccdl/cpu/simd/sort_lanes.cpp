// Sorting networks over lanes: Batcher's merge exchange for any n (Knuth, The Art of Computer Programming 3,
// 5.2.2, algorithm M), n log^2 n / 4 comparisons without a branch on the data.
#include <ccdl/cpu/simd/sort_lanes.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vl load(const int64_t* p) {
  vl v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI void store(int64_t* p, vl v) { __builtin_memcpy(p, &v, VB); }

// exchange(i, j) for the pairs of places i < j of the network, in order.
template <class F>
CCDL_SI void merge_exchange(int64_t n, const F& exchange) {
  int64_t top = 1;
  while (2 * top < n) top *= 2;
  if (n < 2) return;
  for (int64_t p = top; p > 0; p /= 2)
    for (int64_t q = top, r = 0, d = p;; d = q - p, q /= 2, r = p) {
      for (int64_t first = r; first < n - d; first += 2 * p) {
        const int64_t end = first + p < n - d ? first + p : n - d;
        for (int64_t i = first; i < end; ++i) exchange(i, i + d);
      }
      if (q == p) break;
    }
}

void narrow(int64_t* packs, int64_t n) {
  merge_exchange(
      n, [&](int64_t i, int64_t j) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int l = 0; l < kSortLanes; l += VD) {
          int64_t *x = packs + i * kSortLanes + l, *y = packs + j * kSortLanes + l;
          const vl a = load(x), b = load(y);
          store(x, a < b ? a : b);
          store(y, a < b ? b : a);
        }
      });
}

void wide(int64_t* keys, int64_t* positions, int64_t n) {
  merge_exchange(
      n, [&](int64_t i, int64_t j) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int l = 0; l < kSortLanes; l += VD) {
          const int64_t x = i * kSortLanes + l, y = j * kSortLanes + l;
          const vl a = load(keys + x), b = load(keys + y), u = load(positions + x), v = load(positions + y);
          const vl swap = (a > b) | ((a == b) & (u > v));
          store(keys + x, swap ? b : a);
          store(keys + y, swap ? a : b);
          store(positions + x, swap ? v : u);
          store(positions + y, swap ? u : v);
        }
      });
}

}  // namespace

extern const SortLanesKernels sort_lanes;
const SortLanesKernels sort_lanes = {narrow, wide};

}  // namespace ccdl::cpu::CCDL_ISA
