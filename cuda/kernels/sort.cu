// Sorting along a dimension. Short rows become packs (key, position), several rows a block, and are sorted by
// a bitonic network in shared memory; longer ones are gathered as keys and positions and go through the radix
// sort. Positions break ties, and values are copied from x by position, so every bit pattern survives. Bound:
// key and position moved once per 8 bits of key.
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <kernels/radix_sort.cuh>
#include <kernels/sort_keys.cuh>

#include <ccdl/kernels/sort.h>

namespace ccdl::cu {
namespace sorting {
namespace {

constexpr int kSlots = 1024;
static_assert(kShortRow == kSlots);

// Packs in shared memory: key and position in 64 bits, or the key alone beside the position.
template <bool kWide>
struct Packs {
  uint64_t* pack;
  uint32_t* position;

  CCDL_DEVICE void set(int i, uint64_t key, uint32_t at) const {
    pack[i] = kWide ? key : key << 32 | at;
    if (kWide) position[i] = at;
  }
  CCDL_DEVICE uint64_t key(int i) const { return kWide ? pack[i] : pack[i] >> 32; }
  CCDL_DEVICE int64_t at(int i) const {
    return kWide ? position[i] : static_cast<int64_t>(pack[i] & 0xffffffffu);
  }
  // Puts i and j (i < j) in the wanted order.
  CCDL_DEVICE void exchange(int i, int j, bool ascending) const {
    const uint64_t a = pack[i], b = pack[j];
    bool greater = a > b;
    if (kWide && a == b) greater = position[i] > position[j];
    if (greater != ascending) return;
    pack[i] = b;
    pack[j] = a;
    if (kWide) {
      const uint32_t p = position[i];
      position[i] = position[j];
      position[j] = p;
    }
  }
  // First of n sorted slots from `from` whose key is above (or not below) the wanted one, from 0.
  CCDL_DEVICE int bound(int from, int n, uint64_t wanted, bool above) const {
    int low = 0, high = n;
    while (low < high) {
      const int middle = (low + high) / 2;
      const uint64_t k = key(from + middle);
      if (above ? k <= wanted : k < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
};

// Sorts every neighbouring run of `width` (a power of two) slots.
template <bool kWide>
CCDL_DEVICE void bitonic_sort(const Packs<kWide>& packs, int width) {
  for (int run = 2; run <= width; run *= 2) {
    for (int j = run / 2; j > 0; j /= 2) {
#pragma unroll
      for (int r = 0; r < kSlots / 2 / kThreads; ++r) {
        const int t = r * kThreads + static_cast<int>(threadIdx.x), i = 2 * t - (t & (j - 1));
        packs.exchange(i, i + j, (i & (width - 1) & run) == 0);
      }
      __syncthreads();  // the next step pairs other slots
    }
  }
}

// Rank of the picked element of a sorted row at slot `from`.
template <bool kWide>
CCDL_DEVICE int picked_rank(const Packs<kWide>& packs, int from, const Rows& r, Pick pick, int64_t k) {
  if (pick == Pick::Kth) return static_cast<int>(k);
  const int n = static_cast<int>(r.n);
  const int numbers = is_floating(r.dtype) ? packs.bound(from, n, r.limit, false) : n;
  if (numbers < n && pick == Pick::Median) return numbers;  // the first NaN
  return most(numbers - 1, 0) / 2;
}

// width: the power of two that holds a row; kSlots / width rows per block
template <bool kWide>
__global__ void __launch_bounds__(kThreads)
    sort_short_rows_kernel(const __grid_constant__ Rows r, uint64_t mask, Pick pick, int64_t k, int width) {
  CCDL_SHARED(uint64_t, pack, [kSlots]);
  CCDL_SHARED(uint32_t, position, [kWide ? kSlots : 1]);
  CCDL_SHARED(unsigned, best, [kSlots]);
  const Packs<kWide> packs{pack, position};
  const int n = static_cast<int>(r.n), per_block = kSlots / width, thread = static_cast<int>(threadIdx.x);
  const int64_t first_row = int64_t(blockIdx.x) * per_block;
  for (int s = thread; s < kSlots; s += kThreads) {
    const int64_t row = first_row + s / width;
    const int i = s & (width - 1);
    const bool valid = row < r.rows && i < n;
    packs.set(s, valid ? r.key(r.x_base(row), i) ^ mask : (kWide ? ~uint64_t{0} : 0xffffffffu),
              static_cast<uint32_t>(i));
    best[s] = 0;
  }
  __syncthreads();  // rows are loaded
  bitonic_sort(packs, width);
  const int rows = static_cast<int>(least<int64_t>(per_block, r.rows - first_row));
  if (pick == Pick::First) {
    const int count = static_cast<int>(k);
    for (int e = thread; e < rows * count; e += kThreads) {
      const int row = e / count, rank = e - row * count;
      r.emit(first_row + row, r.x_base(first_row + row), rank, packs.at(row * width + rank));
    }
    return;
  }
  if (pick == Pick::Mode) {  // longest run, the first of those
    for (int s = thread; s < rows * width; s += kThreads) {
      const int i = s & (width - 1);
      if (i >= n || (i > 0 && packs.key(s - 1) == packs.key(s))) continue;
      const int length = packs.bound(s, n - i, packs.key(s), true);
      atomicMax(&best[s / width],
                static_cast<unsigned>(length) << 10 | static_cast<unsigned>(kSlots - 1 - i));
    }
    __syncthreads();  // the longest runs are known
  }
  for (int row = thread; row < rows; row += kThreads) {
    int rank = 0;
    if (pick == Pick::Mode)
      rank = kSlots - 1 - static_cast<int>(best[row] & 1023u) + static_cast<int>(best[row] >> 10) - 1;
    else
      rank = picked_rank(packs, row * width, r, pick, k);
    r.emit(first_row + row, r.x_base(first_row + row), 0, packs.at(row * width + rank));
  }
}

template <class K, class V>
__global__ void __launch_bounds__(kThreads)
    gather_keys_kernel(const __grid_constant__ Rows r, uint64_t mask, K* keys, V* positions) {
  const int64_t i = global_thread();
  if (i >= r.rows * r.n) return;
  const int64_t row = r.row_of(i), j = i - row * r.n;
  keys[i] = static_cast<K>(r.key(r.x_base(row), j) ^ mask);
  positions[i] = static_cast<V>(j);
}

__global__ void __launch_bounds__(kThreads)
    emit_sorted_kernel(const __grid_constant__ Rows r, SortedView sorted, int64_t sorted_n, int64_t k) {
  const int64_t i = global_thread();
  if (i >= r.rows * k) return;
  const int64_t row = i / k, rank = i - row * k;
  r.emit(row, r.x_base(row), rank, sorted.position(row * sorted_n + rank));
}

// fn(K{}, V{})
template <class F>
void by_widths(const SortedView& v, const F& fn) {
  if (v.wide_keys) {
    if (v.wide_positions)
      fn(uint64_t{}, uint64_t{});
    else
      fn(uint64_t{}, uint32_t{});
  } else {
    if (v.wide_positions)
      fn(uint32_t{}, uint64_t{});
    else
      fn(uint32_t{}, uint32_t{});
  }
}

}  // namespace

void pick_short_rows(const Rows& r, uint64_t mask, Pick pick, int64_t k) {
  if (r.rows == 0 || r.n == 0) return;
  int width = 1;
  while (width < r.n) width *= 2;
  const LaunchConfig config = plain(r.rows, kSlots / width);
  if (key_bits(r.dtype) > 32)
    CCDL_LAUNCH(config, sort_short_rows_kernel<true>, r, mask, pick, k, width);
  else
    CCDL_LAUNCH(config, sort_short_rows_kernel<false>, r, mask, pick, k, width);
}

SortedRows::SortedRows(int64_t rows, int64_t n, int key_bits)
    : rows_(rows),
      n_(n),
      bits_(key_bits),
      view_{nullptr, nullptr, key_bits > 32, rows * n > int64_t{UINT32_MAX}},
      key_memory_(2 * rows * n * (view_.wide_keys ? 8 : 4)),
      position_memory_(2 * rows * n * (view_.wide_positions ? 8 : 4)) {
  view_.keys = key_memory_.ptr();
  view_.positions = position_memory_.ptr();
}

SortedRows::SortedRows(const Rows& r, uint64_t mask) : SortedRows(r.rows, r.n, key_bits(r.dtype)) {
  if (r.rows * r.n == 0) return;
  by_widths(view_, [&](auto k, auto v) {
    using K = decltype(k);
    using V = decltype(v);
    CCDL_LAUNCH(plain(r.rows * r.n), (gather_keys_kernel<K, V>), r, mask, static_cast<K*>(keys()),
                static_cast<V*>(positions()));
  });
  sort();
}

void SortedRows::sort() {
  const int64_t total = rows_ * n_;
  by_widths(view_, [&](auto k, auto v) {
    using K = decltype(k);
    using V = decltype(v);
    K* key = static_cast<K*>(keys());
    V* position = static_cast<V*>(positions());
    RadixPairs<K, V> pairs{key, key + total, position, position + total};
    radix_sort_pairs(pairs, n_, rows_, bits_);
    view_.keys = pairs.keys;
    view_.positions = pairs.values;
  });
}

void emit_sorted(const Rows& r, const SortedView& sorted, int64_t sorted_n, int64_t k) {
  CCDL_LAUNCH(plain(r.rows * k), emit_sorted_kernel, r, sorted, sorted_n, k);
}

}  // namespace sorting

void sort(const View& x, int dim, bool descending, const View& values, const View& indices) {
  using namespace sorting;
  if (x.numel() == 0) return;
  const Rows r = rows_of(x, dim, values, indices);
  const uint64_t mask = descending ? key_limit(x.dtype) : 0;
  if (r.n <= kShortRow) return pick_short_rows(r, mask, Pick::First, r.n);
  const SortedRows sorted(r, mask);
  emit_sorted(r, sorted.view(), r.n, r.n);
}

}  // namespace ccdl::cu
