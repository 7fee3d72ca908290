// Radix sort of pairs, least significant digit first, 8 bits a pass: per-tile digit counts, one prefix sum
// over [segment][digit][tile], then every tile ranks its items and writes them in digit order. Items are
// ranked warp by warp with match masks, which keeps equal digits in order; the tile is put in order in shared
// memory first, so that global writes are runs. Segments of one tile take all passes in one launch. Moves (2
// K + 2 V + K) bytes per item and pass. Source: Merrill and Grimshaw 2011; Adinets and Merrill 2022.
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/prelude.cuh>
#include <kernels/radix_sort.cuh>

#include <utility>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kItems = 16, kTile = kThreads * kItems;
constexpr int kDigitBits = 8, kRadix = 1 << kDigitBits;
static_assert(kRadix == kThreads);

struct Segments {
  int64_t n, tiles;  // items and tiles of one segment
};

// The lanes of the warp that hold the same digit.
CCDL_DEVICE unsigned match_digit(unsigned digit) {
#if defined(__CUDA_ARCH__)
  unsigned peers = kFullWarp;  // ballots: faster than match.any for many distinct values
#pragma unroll
  for (int b = 0; b < kDigitBits; ++b) {
    const bool set = (digit >> b) & 1u;
    const unsigned votes = __ballot_sync(kFullWarp, set);
    peers &= set ? votes : ~votes;
  }
  return peers;
#else
  return __match_any_sync(kFullWarp, digit);
#endif
}

template <class K>
CCDL_DEVICE unsigned digit_of(K key, int shift, unsigned mask) {
  return static_cast<unsigned>(key >> shift) & mask;
}

// Element of the tile that item r of this thread is: warps own neighbouring pieces, lanes neighbouring items.
CCDL_DEVICE int item_place(int r) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  return (warp * kItems + r) * kWarp + lane;
}

// place[r] = position of item r in the tile sorted by digit; thread d gets the number of items before digit d
// in first. counts: [kWarps][kRadix] of shared memory. Items outside the tile carry an all-ones key.
template <class K>
CCDL_DEVICE void rank_tile(const K (&keys)[kItems], int shift, unsigned mask, int (&place)[kItems],
                           unsigned* counts, unsigned* first) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  unsigned* mine = counts + thread / kWarp * kRadix;
  for (int d = lane; d < kRadix; d += kWarp) mine[d] = 0;
  __syncwarp();
  const unsigned below = (1u << lane) - 1u;
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const unsigned digit = digit_of(keys[r], shift, mask);
    const unsigned peers = match_digit(digit), before = mine[digit];
    __syncwarp();  // all peers have read the counter
    if ((peers & below) == 0) mine[digit] = before + static_cast<unsigned>(__popc(peers));
    __syncwarp();  // the next round reads it
    place[r] = static_cast<int>(before + static_cast<unsigned>(__popc(peers & below)));
  }
  __syncthreads();  // every warp has counted
  unsigned sum = 0;
  for (int w = 0; w < kWarps; ++w) {
    const unsigned here = counts[w * kRadix + thread];
    counts[w * kRadix + thread] = sum;
    sum += here;
  }
  unsigned total;
  *first = block_scan(sum, SumOp(), 0u, &total) - sum;
  for (int w = 0; w < kWarps; ++w) counts[w * kRadix + thread] += *first;
  __syncthreads();  // counts are the places of each warp's first item of a digit
#pragma unroll
  for (int r = 0; r < kItems; ++r) place[r] += static_cast<int>(mine[digit_of(keys[r], shift, mask)]);
}

template <class K>
CCDL_DEVICE void load_tile(const K* from, int count, K (&items)[kItems], K padding) {
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const int at = item_place(r);
    items[r] = at < count ? from[at] : padding;
  }
}

// counts[segment][digit][tile]
template <class K, class V>
__global__ void __launch_bounds__(kThreads)
    radix_count_kernel(const K* keys, Segments s, int shift, int digit_bits, V* counts) {
  CCDL_SHARED(unsigned, histogram, [kRadix]);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t segment = blockIdx.x / s.tiles, tile = blockIdx.x % s.tiles;
  const int64_t start = tile * kTile;
  const int count = static_cast<int>(least<int64_t>(kTile, s.n - start));
  const unsigned mask = (1u << digit_bits) - 1u;
  histogram[thread] = 0;
  __syncthreads();  // cleared
  const K* from = keys + segment * s.n + start;
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const int at = r * kThreads + thread;
    const bool valid = at < count;
    const unsigned digit = valid ? digit_of(from[at], shift, mask) : ~0u;
    const unsigned common = __shfl_sync(kFullWarp, digit, 0);
    if (__all_sync(kFullWarp, digit == common)) {  // usual for high digits: one addition per warp
      if (thread % kWarp == 0 && valid) atomicAdd(&histogram[digit], static_cast<unsigned>(kWarp));
    } else if (valid) {
      atomicAdd(&histogram[digit], 1u);
    }
  }
  __syncthreads();  // complete
  if (thread >> digit_bits == 0)
    counts[((segment << digit_bits) + thread) * s.tiles + tile] = static_cast<V>(histogram[thread]);
}

// starts: the prefix sum of counts, which are positions in the whole array.
template <class K, class V>
__global__ void __launch_bounds__(kThreads)
    radix_scatter_kernel(const K* keys, const V* values, Segments s, int shift, int digit_bits,
                         const V* starts, K* keys_out, V* values_out) {
  union Item {
    K key;
    V value;
  };
  CCDL_SHARED(Item, buffer, [kTile]);
  CCDL_SHARED(unsigned, counts, [kWarps * kRadix]);
  CCDL_SHARED(V, base, [kRadix]);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t segment = blockIdx.x / s.tiles, tile = blockIdx.x % s.tiles;
  const int64_t start = segment * s.n + tile * kTile;
  const int count = static_cast<int>(least<int64_t>(kTile, s.n - tile * kTile));
  const unsigned mask = (1u << digit_bits) - 1u;
  K items[kItems];
  int place[kItems];
  unsigned first;
  load_tile(keys + start, count, items, static_cast<K>(~K(0)));
  rank_tile(items, shift, mask, place, counts, &first);
  if (thread >> digit_bits == 0)
    base[thread] =
        starts[((segment << digit_bits) + thread) * s.tiles + tile] - static_cast<V>(first);  // may wrap
#pragma unroll
  for (int r = 0; r < kItems; ++r) buffer[place[r]].key = items[r];
  __syncthreads();  // keys are in order, base is there
  uint8_t digits[kItems];
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const int at = r * kThreads + thread;
    const K key = buffer[at].key;
    digits[r] = static_cast<uint8_t>(digit_of(key, shift, mask));
    if (at < count) keys_out[base[digits[r]] + static_cast<V>(at)] = key;
  }
  __syncthreads();  // keys have been read: the buffer takes the values
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const int at = item_place(r);
    if (at < count) buffer[place[r]].value = values[start + at];
  }
  __syncthreads();  // values are in order
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const int at = r * kThreads + thread;
    if (at < count) values_out[base[digits[r]] + static_cast<V>(at)] = buffer[at].value;
  }
}

// One block sorts one segment of at most kTile items by all digits, in place.
template <class K, class V>
__global__ void __launch_bounds__(kThreads) radix_tile_kernel(K* keys, V* values, int64_t n, int bits) {
  union Item {
    K key;
    V value;
  };
  CCDL_SHARED(Item, buffer, [kTile]);
  CCDL_SHARED(unsigned, counts, [kWarps * kRadix]);
  K* k = keys + int64_t(blockIdx.x) * n;
  V* v = values + int64_t(blockIdx.x) * n;
  const int count = static_cast<int>(n);
  K items[kItems];
  V carried[kItems];
  int place[kItems];
  unsigned first;
  load_tile(k, count, items, static_cast<K>(~K(0)));
  load_tile(v, count, carried, V(0));
  for (int shift = 0; shift < bits; shift += kDigitBits) {
    rank_tile(items, shift, static_cast<unsigned>(kRadix - 1), place, counts, &first);
#pragma unroll
    for (int r = 0; r < kItems; ++r) buffer[place[r]].key = items[r];
    __syncthreads();  // keys are in order
#pragma unroll
    for (int r = 0; r < kItems; ++r) items[r] = buffer[item_place(r)].key;
    __syncthreads();  // keys have been read: the buffer takes the values
#pragma unroll
    for (int r = 0; r < kItems; ++r) buffer[place[r]].value = carried[r];
    __syncthreads();  // values are in order
#pragma unroll
    for (int r = 0; r < kItems; ++r) carried[r] = buffer[item_place(r)].value;
    __syncthreads();  // values have been read
  }
#pragma unroll
  for (int r = 0; r < kItems; ++r) {
    const int at = item_place(r);
    if (at < count) {
      k[at] = items[r];
      v[at] = carried[r];
    }
  }
}

constexpr int kScanItems = 8, kScanTile = kThreads * kScanItems;

template <class T>
__global__ void __launch_bounds__(kThreads) scan_tile_kernel(T* data, int64_t n, T* totals) {
  const int64_t start = int64_t(blockIdx.x) * kScanTile + int64_t(threadIdx.x) * kScanItems;
  T items[kScanItems];
  T sum = 0;
#pragma unroll
  for (int i = 0; i < kScanItems; ++i) {
    items[i] = start + i < n ? data[start + i] : T(0);
    sum += items[i];
  }
  T total;
  T before = block_scan(sum, SumOp(), T(0), &total) - sum;
#pragma unroll
  for (int i = 0; i < kScanItems; ++i) {
    if (start + i < n) data[start + i] = before;
    before += items[i];
  }
  if (totals && threadIdx.x == 0) totals[blockIdx.x] = total;
}

template <class T>
__global__ void __launch_bounds__(kThreads) scan_add_kernel(T* data, int64_t n, const T* before) {
  const T b = before[blockIdx.x];
  const int64_t start = int64_t(blockIdx.x) * kScanTile;
#pragma unroll
  for (int i = 0; i < kScanItems; ++i) {
    const int64_t at = start + i * kThreads + threadIdx.x;
    if (at < n) data[at] += b;
  }
}

dim3 grid_of(int64_t blocks) { return dim3(static_cast<unsigned>(blocks)); }

}  // namespace

template <class T>
void exclusive_scan(T* data, int64_t n) {
  if (n == 0) return;
  const int64_t tiles = ceil_div<int64_t>(n, kScanTile);
  const LaunchConfig config{grid_of(tiles), kThreads};
  if (tiles == 1) {
    CCDL_LAUNCH(config, scan_tile_kernel<T>, data, n, nullptr);
    return;
  }
  const Scratch totals(tiles * static_cast<int64_t>(sizeof(T)));
  CCDL_LAUNCH(config, scan_tile_kernel<T>, data, n, totals.ptr<T>());
  exclusive_scan(totals.ptr<T>(), tiles);
  CCDL_LAUNCH(config, scan_add_kernel<T>, data, n, totals.ptr<T>());
}

template <class K, class V>
void radix_sort_pairs(RadixPairs<K, V>& pairs, int64_t n, int64_t segments, int bits) {
  if (n < 2 || segments == 0) return;
  const Segments s{n, ceil_div<int64_t>(n, kTile)};
  const LaunchConfig config{grid_of(s.tiles * segments), kThreads};
  if (s.tiles == 1) {
    CCDL_LAUNCH(config, (radix_tile_kernel<K, V>), pairs.keys, pairs.values, n, bits);
    return;
  }
  const int passes = ceil_div(bits, kDigitBits), digit_bits = ceil_div(bits, passes);
  const int64_t counters = (segments << digit_bits) * s.tiles;
  const Scratch counts(counters * static_cast<int64_t>(sizeof(V)));
  for (int shift = 0; shift < bits; shift += digit_bits) {
    CCDL_LAUNCH(config, (radix_count_kernel<K, V>), pairs.keys, s, shift, digit_bits, counts.ptr<V>());
    exclusive_scan(counts.ptr<V>(), counters);
    CCDL_LAUNCH(config, (radix_scatter_kernel<K, V>), pairs.keys, pairs.values, s, shift, digit_bits,
                counts.ptr<V>(), pairs.other_keys, pairs.other_values);
    std::swap(pairs.keys, pairs.other_keys);
    std::swap(pairs.values, pairs.other_values);
  }
}

template void exclusive_scan(uint32_t*, int64_t);
template void exclusive_scan(uint64_t*, int64_t);
template void radix_sort_pairs(RadixPairs<uint32_t, uint32_t>&, int64_t, int64_t, int);
template void radix_sort_pairs(RadixPairs<uint64_t, uint32_t>&, int64_t, int64_t, int);
template void radix_sort_pairs(RadixPairs<uint32_t, uint64_t>&, int64_t, int64_t, int);
template void radix_sort_pairs(RadixPairs<uint64_t, uint64_t>&, int64_t, int64_t, int);

}  // namespace ccdl::cu
