// topk, kthvalue, median and mode. Short rows are sorted in shared memory. In longer ones the wanted rank is
// found by a radix select: 8 bits of the key a pass from the top, counted by many blocks per row; then one
// ordered pass collects what lies below, and among equal keys the lowest positions. mode sorts and finds the
// longest run. Bound: the row read once per 8 bits of key, and twice more for topk.
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/prelude.cuh>
#include <kernels/radix_sort.cuh>
#include <kernels/sort_keys.cuh>

#include <ccdl/kernels/sort.h>

namespace ccdl::cu {
namespace {

using namespace sorting;

constexpr int kWarps = kThreads / kWarp, kRounds = 16, kTile = kThreads * kRounds;
constexpr int kRadix = 256;

using Counter = unsigned long long;

// Of one row: the digits of the wanted key found so far, and its rank among the keys that share them.
struct Wanted {
  uint64_t prefix;
  uint64_t rank;
};

CCDL_DEVICE int64_t tile_place(int r) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  return (warp * kRounds + r) * kWarp + lane;
}

__global__ void __launch_bounds__(kThreads)
    nan_count_kernel(const __grid_constant__ Rows r, int64_t tiles, Counter* nans) {
  const int64_t row = blockIdx.x / tiles, start = blockIdx.x % tiles * kTile, base = r.x_base(row);
  unsigned count = 0;
  for (int t = 0; t < kRounds; ++t) {
    const int64_t i = start + tile_place(t);
    if (i < r.n) count += r.key(base, i) == r.limit;
  }
  count = block_sum(count);
  if (threadIdx.x == 0 && count > 0) atomicAdd(nans + row, static_cast<Counter>(count));
}

__global__ void __launch_bounds__(kThreads)
    wanted_kernel(int64_t rows, int64_t n, Pick pick, int64_t k, const Counter* nans, Wanted* wanted) {
  const int64_t row = global_thread();
  if (row >= rows) return;
  int64_t rank = k;
  if (pick != Pick::Kth) {
    const int64_t missing = nans ? static_cast<int64_t>(nans[row]) : 0;
    rank = missing > 0 && pick == Pick::Median ? n - missing : most<int64_t>(n - missing - 1, 0) / 2;
  }
  wanted[row] = {0, static_cast<uint64_t>(rank)};
}

// counts[row][digit] += keys whose higher bits are the row's prefix
__global__ void __launch_bounds__(kThreads)
    digit_count_kernel(const __grid_constant__ Rows r, uint64_t mask, int64_t tiles, int shift, bool top,
                       const Wanted* wanted, Counter* counts) {
  CCDL_SHARED(unsigned, histogram, [kRadix]);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x / tiles, start = blockIdx.x % tiles * kTile, base = r.x_base(row);
  const uint64_t prefix = wanted[row].prefix;
  histogram[thread] = 0;
  __syncthreads();  // cleared
#pragma unroll 4
  for (int t = 0; t < kRounds; ++t) {
    const int64_t i = start + int64_t(t) * kThreads + thread;
    if (i >= r.n) continue;
    const uint64_t key = (r.key(base, i) ^ mask) >> shift;
    if (top || key >> 8 == prefix) atomicAdd(&histogram[key & 255u], 1u);
  }
  __syncthreads();  // complete
  if (histogram[thread] > 0)
    atomicAdd(counts + row * kRadix + thread, static_cast<Counter>(histogram[thread]));
}

// One block per row takes the digit that holds the wanted rank and clears the counts for the next pass.
__global__ void __launch_bounds__(kThreads) digit_pick_kernel(Counter* counts, Wanted* wanted) {
  const int64_t row = blockIdx.x;
  const uint64_t count = counts[row * kRadix + threadIdx.x];
  uint64_t total;
  const uint64_t through = block_scan(count, SumOp(), uint64_t{0}, &total);
  const Wanted w = wanted[row];
  counts[row * kRadix + threadIdx.x] = 0;
  __syncthreads();  // every thread has read the row's state
  if (w.rank < through && w.rank >= through - count)
    wanted[row] = {w.prefix << 8 | threadIdx.x, w.rank - (through - count)};
}

// less, equal [rows * tiles]: keys of the tile below, and equal to the wanted one
__global__ void __launch_bounds__(kThreads)
    side_count_kernel(const __grid_constant__ Rows r, uint64_t mask, int64_t tiles, const Wanted* wanted,
                      uint64_t* less, uint64_t* equal) {
  const int64_t row = blockIdx.x / tiles, start = blockIdx.x % tiles * kTile, base = r.x_base(row);
  const uint64_t pivot = wanted[row].prefix;
  unsigned below = 0, same = 0;
#pragma unroll 4
  for (int t = 0; t < kRounds; ++t) {
    const int64_t i = start + tile_place(t);
    if (i >= r.n) continue;
    const uint64_t key = r.key(base, i) ^ mask;
    below += key < pivot;
    same += key == pivot;
  }
  below = block_sum(below);
  same = block_sum(same);
  if (threadIdx.x == 0) {
    less[blockIdx.x] = below;
    equal[blockIdx.x] = same;
  }
}

// Where an element that is wanted goes: to the candidates of topk, or straight to the result.
struct Candidates {
  void *keys, *positions;  // null: only the wanted element itself is written, to rank 0 of the result
  bool wide_keys, wide_positions;
  int64_t k;
  CCDL_DEVICE void set(int64_t at, uint64_t key, int64_t position) const {
    if (wide_keys)
      static_cast<uint64_t*>(keys)[at] = key;
    else
      static_cast<uint32_t*>(keys)[at] = static_cast<uint32_t>(key);
    if (wide_positions)
      static_cast<int64_t*>(positions)[at] = position;
    else
      static_cast<uint32_t*>(positions)[at] = static_cast<uint32_t>(position);
  }
};

// less, equal: prefix sums over all tiles. Candidates of a row: those below in their order, then the first
// equals.
__global__ void __launch_bounds__(kThreads)
    collect_kernel(const __grid_constant__ Rows r, uint64_t mask, int64_t tiles, const Wanted* wanted,
                   const uint64_t* less, const uint64_t* equal, Candidates out) {
  CCDL_SHARED(unsigned, below_of, [kWarps]);
  CCDL_SHARED(unsigned, same_of, [kWarps]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t row = blockIdx.x / tiles, start = blockIdx.x % tiles * kTile, base = r.x_base(row);
  const Wanted w = wanted[row];
  unsigned is_below = 0, is_same = 0, below_count = 0, same_count = 0;
#pragma unroll 4
  for (int t = 0; t < kRounds; ++t) {
    const int64_t i = start + tile_place(t);
    if (i >= r.n) continue;
    const uint64_t key = r.key(base, i) ^ mask;
    is_below |= static_cast<unsigned>(key < w.prefix) << t;
    is_same |= static_cast<unsigned>(key == w.prefix) << t;
  }
  for (int t = 0; t < kRounds; ++t) {
    below_count += static_cast<unsigned>(__popc(__ballot_sync(kFullWarp, (is_below >> t) & 1u)));
    same_count += static_cast<unsigned>(__popc(__ballot_sync(kFullWarp, (is_same >> t) & 1u)));
  }
  if (lane == 0) {
    below_of[warp] = below_count;
    same_of[warp] = same_count;
  }
  __syncthreads();  // every warp's counts are there
  uint64_t below_rank = less[blockIdx.x] - less[row * tiles],
           same_rank = equal[blockIdx.x] - equal[row * tiles];
  for (int v = 0; v < warp; ++v) {
    below_rank += below_of[v];
    same_rank += same_of[v];
  }
  const unsigned before = (1u << lane) - 1u;
  for (int t = 0; t < kRounds; ++t) {
    const unsigned below = __ballot_sync(kFullWarp, (is_below >> t) & 1u);
    const unsigned same = __ballot_sync(kFullWarp, (is_same >> t) & 1u);
    const int64_t i = start + tile_place(t);
    const uint64_t mine = same_rank + static_cast<unsigned>(__popc(same & before));
    if (!out.keys) {
      if (((is_same >> t) & 1u) && mine == w.rank) r.emit(row, base, 0, i);
    } else if ((is_below >> t) & 1u) {
      const uint64_t at = below_rank + static_cast<unsigned>(__popc(below & before));
      out.set(row * out.k + static_cast<int64_t>(at), r.key(base, i) ^ mask, i);
    } else if (((is_same >> t) & 1u) && mine <= w.rank) {
      const int64_t all_below = out.k - 1 - static_cast<int64_t>(w.rank);
      out.set(row * out.k + all_below + static_cast<int64_t>(mine), w.prefix, i);
    }
    below_rank += static_cast<unsigned>(__popc(below));
    same_rank += static_cast<unsigned>(__popc(same));
  }
}

// best[row]: first the longest run, then (find_first) the first rank where a run of that length begins
__global__ void __launch_bounds__(kThreads)
    longest_run_kernel(SortedView sorted, int64_t rows, int64_t n, bool find_first, Counter* length,
                       Counter* first) {
  const int64_t i = global_thread();
  if (i >= rows * n) return;
  const int64_t row = i / n, j = i - row * n;
  const uint64_t key = sorted.key(i);
  if (j > 0 && sorted.key(i - 1) == key) return;
  const Counter run = static_cast<Counter>(sorted.bound(i, (row + 1) * n, key, true) - i);
  if (!find_first)
    atomicMax(length + row, run);
  else if (run == length[row])
    atomicMin(first + row, static_cast<Counter>(j));
}

__global__ void __launch_bounds__(kThreads)
    emit_mode_kernel(const __grid_constant__ Rows r, SortedView sorted, const Counter* length,
                     const Counter* first) {
  const int64_t row = global_thread();
  if (row >= r.rows) return;
  const int64_t rank = static_cast<int64_t>(first[row] + length[row]) - 1;
  r.emit(row, r.x_base(row), 0, sorted.position(row * r.n + rank));
}

void fill(void* p, int byte, int64_t bytes) {
  CCDL_CUDA_CHECK(cudaMemsetAsync(p, byte, static_cast<size_t>(bytes), current_stream()));
}

// The picked element of every long row, or its k first (pick == First).
void select_long_rows(const Rows& r, uint64_t mask, Pick pick, int64_t k) {
  const int64_t tiles = ceil_div<int64_t>(r.n, kTile), blocks = tiles * r.rows;
  const LaunchConfig config = plain(blocks, 1);
  const Scratch state(r.rows * static_cast<int64_t>(sizeof(Wanted) + sizeof(Counter) * (kRadix + 1)));
  Wanted* wanted = state.ptr<Wanted>();
  Counter *counts = reinterpret_cast<Counter*>(wanted + r.rows), *nans = counts + r.rows * kRadix;
  fill(counts, 0, r.rows * (kRadix + 1) * static_cast<int64_t>(sizeof(Counter)));
  const bool has_nans = is_floating(r.dtype) && (pick == Pick::Median || pick == Pick::NanMedian);
  if (has_nans) CCDL_LAUNCH(config, nan_count_kernel, r, tiles, nans);
  CCDL_LAUNCH(plain(r.rows), wanted_kernel, r.rows, r.n, pick == Pick::First ? Pick::Kth : pick,
              pick == Pick::First ? k - 1 : k, has_nans ? nans : nullptr, wanted);
  const int digits = ceil_div(key_bits(r.dtype), 8);
  for (int d = digits - 1; d >= 0; --d) {
    CCDL_LAUNCH(config, digit_count_kernel, r, mask, tiles, 8 * d, d == digits - 1, wanted, counts);
    CCDL_LAUNCH(plain(r.rows, 1), digit_pick_kernel, counts, wanted);
  }
  const Scratch sides(2 * blocks * 8);
  uint64_t *less = sides.ptr<uint64_t>(), *equal = less + blocks;
  CCDL_LAUNCH(config, side_count_kernel, r, mask, tiles, wanted, less, equal);
  exclusive_scan(less, blocks);
  exclusive_scan(equal, blocks);
  if (pick != Pick::First) {
    CCDL_LAUNCH(config, collect_kernel, r, mask, tiles, wanted, less, equal, Candidates{});
    return;
  }
  SortedRows candidates(r.rows, k, key_bits(r.dtype));
  const SortedView& v = candidates.view();
  CCDL_LAUNCH(config, collect_kernel, r, mask, tiles, wanted, less, equal,
              Candidates{candidates.keys(), candidates.positions(), v.wide_keys, v.wide_positions, k});
  candidates.sort();
  emit_sorted(r, v, k, k);
}

void pick_one(const View& x, int dim, Pick pick, int64_t k, const View& values, const View& indices) {
  if (x.numel() == 0) return;
  const Rows r = rows_of(x, dim, values, indices);
  if (r.n <= kShortRow)
    pick_short_rows(r, 0, pick, k);
  else
    select_long_rows(r, 0, pick, k);
}

}  // namespace

void topk(const View& x, int dim, int64_t k, bool largest, bool, const View& values, const View& indices) {
  if (k == 0 || x.numel() == 0) return;
  const Rows r = rows_of(x, dim, values, indices);
  const uint64_t mask = largest ? key_limit(x.dtype) : 0;
  if (r.n <= kShortRow) return pick_short_rows(r, mask, Pick::First, k);
  if (4 * k <= r.n) return select_long_rows(r, mask, Pick::First, k);
  const SortedRows sorted(r, mask);
  emit_sorted(r, sorted.view(), r.n, k);
}

void kthvalue(const View& x, int dim, int64_t k, const View& values, const View& indices) {
  pick_one(x, dim, Pick::Kth, k - 1, values, indices);
}

void median(const View& x, int dim, bool ignore_nan, const View& values, const View& indices) {
  pick_one(x, dim, ignore_nan ? Pick::NanMedian : Pick::Median, 0, values, indices);
}

void mode(const View& x, int dim, const View& values, const View& indices) {
  if (x.numel() == 0) return;
  const Rows r = rows_of(x, dim, values, indices);
  if (r.n <= kShortRow) return pick_short_rows(r, 0, Pick::Mode, 0);
  const SortedRows sorted(r, 0);
  const Scratch runs(2 * r.rows * static_cast<int64_t>(sizeof(Counter)));
  Counter *length = runs.ptr<Counter>(), *first = length + r.rows;
  fill(length, 0, r.rows * static_cast<int64_t>(sizeof(Counter)));
  fill(first, 0xff, r.rows * static_cast<int64_t>(sizeof(Counter)));
  for (const bool find_first : {false, true})
    CCDL_LAUNCH(plain(r.rows * r.n), longest_run_kernel, sorted.view(), r.rows, r.n, find_first, length,
                first);
  CCDL_LAUNCH(plain(r.rows), emit_mode_kernel, r, sorted.view(), length, first);
}

}  // namespace ccdl::cu
