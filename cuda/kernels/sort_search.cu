// Unique values, insertion points, membership and histograms. Everything that needs an order goes through the
// radix sort of keys (rows of several columns: one stable sort per column, the last first); counts are
// integer atomics, in shared memory where the bins fit; weighted counts sum every bin in the order of the
// elements.
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/prelude.cuh>
#include <kernels/radix_sort.cuh>
#include <kernels/sort_keys.cuh>

#include <ccdl/core/error.h>
#include <ccdl/kernels/index.h>
#include <ccdl/kernels/sort.h>

namespace ccdl::cu {
namespace {

using namespace sorting;

using Counter = unsigned long long;

__global__ void __launch_bounds__(kThreads) iota_kernel(int64_t* out, int64_t n) {
  const int64_t i = global_thread();
  if (i < n) out[i] = i;
}
__global__ void __launch_bounds__(kThreads)
    take_positions_kernel(SortedView sorted, int64_t n, int64_t* out) {
  const int64_t i = global_thread();
  if (i < n) out[i] = sorted.position(i);
}

// Keys of column j in the present order, with their present positions.
__global__ void __launch_bounds__(kThreads)
    column_keys_kernel(DType t, const void* x, int64_t n, int64_t m, int64_t j, const int64_t* order,
                       uint64_t* keys, uint64_t* positions) {
  const int64_t i = global_thread();
  if (i >= n) return;
  keys[i] = sort_key(t, x, order[i] * m + j);
  positions[i] = static_cast<uint64_t>(order[i]);
}

// new_group[i] = 1 when row order[i + 1] differs from row order[i]; 0 for the last
__global__ void __launch_bounds__(kThreads) group_border_kernel(DType t, const void* x, int64_t n, int64_t m,
                                                                const int64_t* order, uint64_t* new_group) {
  const int64_t i = global_thread();
  if (i >= n) return;
  bool same = true;
  if (i + 1 < n) {
    const int64_t a = order[i] * m, b = order[i + 1] * m;
    for (int64_t j = 0; j < m && same; ++j) {
      const uint64_t key = sort_key(t, x, a + j);
      same = key == sort_key(t, x, b + j) && !is_nan_key(t, key);
    }
  }
  new_group[i] = same ? 0 : 1;
}

// One thread per element of x: the first rows of groups are copied, their first elements count.
__global__ void __launch_bounds__(kThreads)
    unique_fill_kernel(const void* x, int64_t n, int64_t m, int64_t bytes, const int64_t* order,
                       const int64_t* group, void* y, int64_t* inverse, int64_t* counts) {
  const int64_t e = global_thread();
  if (e >= n * m) return;
  const int64_t i = m == 1 ? e : e / m, j = e - i * m;
  const int64_t g = group[i];
  const bool first = i == 0 || group[i - 1] != g;
  if (first && y) copy_item(y, g * m + j, x, order[i] * m + j, bytes);
  if (j > 0) return;
  if (inverse) inverse[order[i]] = g;
  if (!first || !counts) return;
  int64_t low = i, high = n;  // the end of the group
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (group[middle] <= g)
      low = middle + 1;
    else
      high = middle;
  }
  counts[g] = low - i;
}

__global__ void __launch_bounds__(kThreads)
    searchsorted_kernel(DType t, const void* sequence, int64_t n, bool shared_sequence, const void* values,
                        int64_t m, int64_t total, bool right, int64_t* y) {
  const int64_t i = global_thread();
  if (i >= total) return;
  const int64_t base = shared_sequence ? 0 : i / m * n;
  const uint64_t key = sort_key(t, values, i);
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const uint64_t k = sort_key(t, sequence, base + middle);
    if (right ? k <= key : k < key)
      low = middle + 1;
    else
      high = middle;
  }
  y[i] = low;
}

__global__ void __launch_bounds__(kThreads)
    isin_kernel(DType t, const void* x, int64_t n, SortedView sorted, int64_t tests, bool invert, bool* y) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const uint64_t key = sort_key(t, x, i);
  const int64_t at = sorted.bound(0, tests, key, false);
  y[i] = (at < tests && sorted.key(at) == key && !is_nan_key(t, key)) != invert;
}

constexpr int kBinItems = 16, kSharedBins = 4096;

// counts[bin(i)] += 1 for every element with a bin >= 0. Dynamic shared memory: bins counters, or none.
template <class Bin>
__global__ void __launch_bounds__(kThreads)
    bin_count_kernel(Bin bin, int64_t n, int64_t bins, bool use_shared, Counter* counts) {
  unsigned* local = dyn_smem<unsigned>();
  if (use_shared) {
    for (int64_t b = threadIdx.x; b < bins; b += kThreads) local[b] = 0;
    __syncthreads();  // cleared
  }
  const int64_t start = int64_t(blockIdx.x) * (kThreads * kBinItems) + threadIdx.x;
  for (int r = 0; r < kBinItems; ++r) {
    const int64_t i = start + r * kThreads;
    const int64_t b = i < n ? bin(i) : -1;
    if (b < 0) continue;
    if (use_shared)
      atomicAdd(&local[b], 1u);
    else
      atomicAdd(counts + b, Counter{1});
  }
  if (!use_shared) return;
  __syncthreads();  // all counted
  for (int64_t b = threadIdx.x; b < bins; b += kThreads)
    if (local[b] > 0) atomicAdd(counts + b, static_cast<Counter>(local[b]));
}

template <class T>
struct EqualBins {
  using A = Compute<T>;
  const T* x;
  A low, high;
  int64_t bins;
  CCDL_DEVICE int64_t operator()(int64_t i) const {
    const A v = convert<A>(x[i]);
    if (!(v >= low && v <= high)) return -1;
    return least(static_cast<int64_t>((v - low) / (high - low) * static_cast<A>(bins)), bins - 1);
  }
};
struct OwnBin {
  const int64_t* x;
  CCDL_DEVICE int64_t operator()(int64_t i) const { return x[i]; }
};

template <class Bin>
void count_bins(const Bin& bin, int64_t n, int64_t bins, Counter* counts) {
  CCDL_CUDA_CHECK(cudaMemsetAsync(counts, 0, static_cast<size_t>(bins) * sizeof(Counter), current_stream()));
  if (n == 0) return;
  const bool use_shared = bins <= kSharedBins;
  LaunchConfig config = plain(n, kThreads * kBinItems);
  config.smem = use_shared ? static_cast<size_t>(bins) * sizeof(unsigned) : 0;
  CCDL_LAUNCH(config, bin_count_kernel<Bin>, bin, n, bins, use_shared, counts);
}

template <class T>
__global__ void __launch_bounds__(kThreads) counts_to_kernel(const Counter* counts, int64_t bins, T* y) {
  const int64_t i = global_thread();
  if (i < bins) y[i] = convert<T>(static_cast<Compute<T>>(static_cast<int64_t>(counts[i])));
}

void order_rows(const View& x, int64_t* order) {
  const int64_t n = x.sizes[0], m = x.sizes[1];
  if (m == 1) {
    View column = x;
    column.ndim = 1;
    column.strides[0] = 1;
    View none{};
    const SortedRows sorted(rows_of(column, 0, none, none), 0);
    CCDL_LAUNCH(plain(n), take_positions_kernel, sorted.view(), n, order);
    return;
  }
  CCDL_LAUNCH(plain(n), iota_kernel, order, n);
  const Scratch memory(4 * n * 8);
  uint64_t* p = memory.ptr<uint64_t>();
  for (int64_t j = m - 1; j >= 0; --j) {
    RadixPairs<uint64_t, uint64_t> pairs{p, p + n, p + 2 * n, p + 3 * n};
    CCDL_LAUNCH(plain(n), column_keys_kernel, x.dtype, x.data, n, m, j, order, pairs.keys, pairs.values);
    radix_sort_pairs(pairs, n, 1, key_bits(x.dtype));
    CCDL_CUDA_CHECK(cudaMemcpyAsync(order, pairs.values, static_cast<size_t>(n) * 8, cudaMemcpyDeviceToDevice,
                                    current_stream()));
  }
}

}  // namespace

int64_t unique_starts(const View&, const View&) { return -1; }
void unique_runs(const View&, const View&, int64_t, const View&, const View&, const View&) {
  fail(ErrorKind::Runtime, "unique_consecutive: runs are found by groups on cuda");
}

int64_t unique_groups(const View& x, bool consecutive, const View& order, const View& group) {
  const int64_t n = x.sizes[0], m = x.sizes[1];
  if (n == 0) return 0;
  int64_t* o = order.ptr<int64_t>();
  uint64_t* g = group.ptr<uint64_t>();
  if (consecutive)
    CCDL_LAUNCH(plain(n), iota_kernel, o, n);
  else
    order_rows(x, o);
  CCDL_LAUNCH(plain(n), group_border_kernel, x.dtype, x.data, n, m, o, g);
  exclusive_scan(g, n);
  int64_t last = 0;
  read_back(&last, g + (n - 1), sizeof last);
  return last + 1;
}

void unique_fill(const View& x, const View& order, const View& group, const View& y, const View& inverse,
                 const View& counts) {
  const int64_t n = x.sizes[0], m = x.sizes[1];
  if (n == 0) return;
  CCDL_LAUNCH(plain(n * m), unique_fill_kernel, x.data, n, m, item_size(x.dtype), order.ptr<int64_t>(),
              group.ptr<int64_t>(), y.data, inverse.ptr<int64_t>(), counts.ptr<int64_t>());
}

void searchsorted(const View& sequence, const View& values, const View& y, bool right) {
  const int64_t total = values.numel();
  if (total == 0) return;
  CCDL_LAUNCH(plain(total), searchsorted_kernel, sequence.dtype, sequence.data, sequence.sizes[1],
              sequence.sizes[0] == 1, values.data, values.sizes[1], total, right, y.ptr<int64_t>());
}

void isin(const View& x, const View& test, const View& y, bool invert) {
  const int64_t n = x.numel(), tests = test.numel();
  if (n == 0) return;
  View flat = test;
  flat.ndim = 1;
  flat.sizes[0] = tests;
  flat.strides[0] = 1;
  View none{};
  const SortedRows sorted(rows_of(flat, 0, none, none), 0);
  CCDL_LAUNCH(plain(n), isin_kernel, x.dtype, x.data, n, sorted.view(), tests, invert, y.ptr<bool>());
}

void histc(const View& x, double lo, double hi, const View& y) {
  const int64_t bins = y.numel();
  const Scratch memory(bins * static_cast<int64_t>(sizeof(Counter)));
  Counter* counts = memory.ptr<Counter>();
  by_floating(x.dtype, [&](auto t) {
    using T = decltype(t);
    using A = Compute<T>;
    count_bins(EqualBins<T>{x.ptr<const T>(), static_cast<A>(lo), static_cast<A>(hi), bins}, x.numel(), bins,
               counts);
    CCDL_LAUNCH(plain(bins), counts_to_kernel<T>, counts, bins, y.ptr<T>());
  });
}

void bincount(const View& x, const View& w, const View& y) {
  const int64_t n = x.numel(), bins = y.numel();
  if (bins == 0) return;
  if (!w.data) return count_bins(OwnBin{x.ptr<const int64_t>()}, n, bins, y.ptr<Counter>());
  CCDL_CUDA_CHECK(cudaMemsetAsync(y.data, 0, static_cast<size_t>(bins) * 8, current_stream()));
  if (n == 0) return;
  const IndexAxis axis{x, bins, 1, 0};
  View target = y;  // one walk over x: y is reached by the index alone
  target.sizes[0] = n;
  target.strides[0] = 0;
  index_put(target, &axis, 1, false, w, PutMode::Add, true);
}

}  // namespace ccdl::cu
