// Indexed reads and masks. Reading: one thread per four items in walk order, rows that share an index move in
// pieces of up to 16 bytes; bound: index + 2 items per element. Selecting by a mask: counts per tile, their
// prefix sum, then every tile places its elements by ballots, so the order is the walk's and every run gives
// the same bits.
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/prelude.cuh>
#include <kernels/index_walk.cuh>
#include <kernels/radix_sort.cuh>

#include <ccdl/kernels/index.h>

namespace ccdl::cu {
namespace {

using namespace moving;

constexpr int kPerThread = 4;

struct AxisPlan {
  const int64_t* index;
  int64_t size, step, dim;
  int64_t strides[kMaxDims];
};

template <int A>
struct GetPlan {
  Dimensions dims;
  int64_t numel;
  int64_t x[kMaxDims], y[kMaxDims];
  AxisPlan axes[A];
};

template <class T, int A>
__global__ void __launch_bounds__(kThreads)
    index_get_kernel(const T* x, T* y, const __grid_constant__ GetPlan<A> p, int axes, bool wrap,
                     FaultSink sink) {
  const int64_t start = int64_t(blockIdx.x) * (kThreads * kPerThread) + threadIdx.x;
#pragma unroll(A == 1 ? kPerThread : 1)
  for (int r = 0; r < kPerThread; ++r) {
    const int64_t i = start + r * kThreads;
    if (i >= p.numel) break;
    int64_t from = 0, to = 0, at = 0;
    p.dims.each(i, [&](int d, int64_t c) {
      from += c * p.x[d];
      to += c * p.y[d];
      at += c * p.axes[0].strides[d];
    });
    bool valid = true;
    for (int a = 0; a < axes; ++a) {
      const AxisPlan& axis = p.axes[a];
      if (a > 0) at = p.dims.dot(i, axis.strides);
      int64_t j = axis.index[at];
      if (j < 0 && wrap) j += axis.size;
      if (j < 0 || j >= axis.size) {
        sink.report(FaultKind::Index, axis.index[at], axis.size, axis.dim);
        valid = false;
        break;
      }
      from += j * axis.step;
    }
    y[to] = valid ? x[from] : T{};
  }
}

template <int A>
void launch_get(const HostWalk& w, const IndexAxis* axes, const int64_t* steps, int n, bool wrap,
                const View& x, const View& y, int64_t bytes) {
  GetPlan<A> p{};
  p.dims = Dimensions(w);
  p.numel = w.numel;
  for (int d = 0; d < w.ndim; ++d) {
    p.x[d] = w.strides[n][d];
    p.y[d] = w.strides[n + 1][d];
    for (int a = 0; a < n; ++a) p.axes[a].strides[d] = w.strides[a][d];
  }
  for (int a = 0; a < n; ++a) {
    p.axes[a].index = axes[a].index.ptr<const int64_t>();
    p.axes[a].size = axes[a].size;
    p.axes[a].step = steps[a];
    p.axes[a].dim = axes[a].dim;
  }
  by_item_bytes(bytes, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(w.numel, kThreads * kPerThread), (index_get_kernel<T, A>), x.ptr<const T>(), y.ptr<T>(),
                p, n, wrap, fault_sink());
  });
}

// ---- masks ----
constexpr int kRounds = 16, kWarps = kThreads / kWarp;
constexpr int kMaskTile = kThreads * kRounds;

// Position of this thread's element of round r in the tile: warps own neighbouring pieces.
CCDL_DEVICE int64_t mask_place(int r) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  return int64_t(blockIdx.x) * kMaskTile + (warp * kRounds + r) * kWarp + lane;
}

// counts[tile] = true elements of the tile; w: mask and another operand
__global__ void __launch_bounds__(kThreads)
    mask_count_kernel(const __grid_constant__ Pair w, const uint8_t* mask, uint64_t* counts) {
  unsigned sum = 0;
#pragma unroll 4
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = mask_place(r);
    if (i < w.numel) sum += mask[w.dims.dot(i, w.a)] != 0;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) counts[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) total_kernel(const uint64_t* counts, int64_t n, uint64_t* total) {
  uint64_t sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += counts[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

// place(rank, position, offset of the other operand) for every true element; before: prefix sum of the counts
template <class Place>
__global__ void __launch_bounds__(kThreads)
    mask_place_kernel(const __grid_constant__ Pair w, const uint8_t* mask, const uint64_t* before,
                      const __grid_constant__ Place place) {
  CCDL_SHARED(unsigned, totals, [kWarps]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  unsigned mine = 0, count = 0;  // bit r: this thread's element of round r
#pragma unroll 4
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = mask_place(r);
    if (i < w.numel && mask[w.dims.dot(i, w.a)] != 0) mine |= 1u << r;
  }
  for (int r = 0; r < kRounds; ++r)
    count += static_cast<unsigned>(__popc(__ballot_sync(kFullWarp, (mine >> r) & 1u)));
  if (lane == 0) totals[warp] = count;
  __syncthreads();  // every warp's count is there
  uint64_t rank = before[blockIdx.x];
  for (int v = 0; v < warp; ++v) rank += totals[v];
#pragma unroll 1
  for (int r = 0; r < kRounds; ++r) {
    const unsigned votes = __ballot_sync(kFullWarp, (mine >> r) & 1u);
    if ((mine >> r) & 1u) {
      const int64_t i = mask_place(r);
      const unsigned below = votes & ((1u << lane) - 1u);
      place(static_cast<int64_t>(rank) + __popc(below), i, w.dims.dot(i, w.b));
    }
    rank += static_cast<unsigned>(__popc(votes));
  }
}

template <class T>
struct SelectPlace {
  const T* x;
  T* y;
  CCDL_DEVICE void operator()(int64_t rank, int64_t, int64_t offset) const { y[rank] = x[offset]; }
};
template <class T>
struct ScatterPlace {
  T* y;
  const T* src;
  CCDL_DEVICE void operator()(int64_t rank, int64_t, int64_t offset) const { y[offset] = src[rank]; }
};
struct CoordinatePlace {
  int64_t* out;
  int64_t total;
  int ndim;
  int64_t sizes[kMaxDims];
  CCDL_DEVICE void operator()(int64_t rank, int64_t position, int64_t) const {
    for (int d = ndim - 1; d >= 0; --d) {
      const int64_t q = position / sizes[d];
      out[d * total + rank] = position - q * sizes[d];
      position = q;
    }
  }
};

int64_t mask_tiles(const HostWalk& w) { return ceil_div<int64_t>(w.numel, kMaskTile); }

template <class Place>
void place_masked(const HostWalk& walk, const View& mask, const Place& place) {
  if (walk.numel == 0) return;
  const int64_t tiles = mask_tiles(walk);
  const Pair w(walk);
  const Scratch counts(tiles * 8);
  const LaunchConfig config = plain(walk.numel, kMaskTile);
  CCDL_LAUNCH(config, mask_count_kernel, w, mask.ptr<const uint8_t>(), counts.ptr<uint64_t>());
  exclusive_scan(counts.ptr<uint64_t>(), tiles);
  CCDL_LAUNCH(config, mask_place_kernel<Place>, w, mask.ptr<const uint8_t>(), counts.ptr<uint64_t>(), place);
}

// value: passed by value, or read from device memory when at is given
template <class T>
__global__ void __launch_bounds__(kThreads)
    masked_fill_kernel(const __grid_constant__ Pair w, const uint8_t* mask, T* y, T value, const T* at) {
  if (at) value = *at;
  const int64_t start = int64_t(blockIdx.x) * (kThreads * kPerThread) + threadIdx.x;
#pragma unroll
  for (int r = 0; r < kPerThread; ++r) {
    const int64_t i = start + r * kThreads;
    if (i >= w.numel) break;
    int64_t m, o;
    w.offsets(i, &m, &o);
    if (mask[m]) y[o] = value;
  }
}

// Both contiguous: kLanes<T> items per thread, written together where all are chosen.
template <class T>
__global__ void __launch_bounds__(kThreads)
    masked_fill_vec_kernel(int64_t pieces, const uint8_t* mask, T* y, T value, const T* at) {
  constexpr int kN = kLanes<T>;
  const int64_t i = global_thread();
  if (i >= pieces) return;
  if (at) value = *at;
  const Vec<uint8_t, kN> m = load_vec<uint8_t, kN>(mask + i * kN);
  bool all = true;
#pragma unroll
  for (int k = 0; k < kN; ++k) all = all && m[k];
  if (all) {
    Vec<T> v;
#pragma unroll
    for (int k = 0; k < kN; ++k) v[k] = value;
    store_vec(y + i * kN, v);
    return;
  }
#pragma unroll
  for (int k = 0; k < kN; ++k)
    if (m[k]) y[i * kN + k] = value;
}

}  // namespace

IndexFault index_get(const View& x, const IndexAxis* axes, int n, bool wrap, const View& y) {
  HostWalk w(n + 2);
  int64_t step[kMaxOperands], steps[kMaxDims];
  for (int d = y.ndim - 1; d >= 0; --d) {
    for (int a = 0; a < n; ++a) step[a] = axes[a].index.strides[d];
    step[n] = x.strides[d];
    step[n + 1] = y.strides[d];
    w.add(y.sizes[d], step);
  }
  if (w.numel == 0) return {};
  for (int a = 0; a < n; ++a) steps[a] = axes[a].step;
  const int64_t item = item_size(y.dtype);
  const int64_t bytes = item * widen(w, item, {n, n + 1}, {x.data, y.data}, steps, n);
  if (n <= 1)
    launch_get<1>(w, axes, steps, n, wrap, x, y, bytes);
  else if (n <= 3)
    launch_get<3>(w, axes, steps, n, wrap, x, y, bytes);
  else
    launch_get<kMaxDims>(w, axes, steps, n, wrap, x, y, bytes);
  return {};
}

void masked_fill(const View& y, const View& mask, const View& value) {
  const HostWalk w = host_walk({&mask, &y});
  if (w.numel == 0) return;
  const bool dense = w.ndim == 0 || (w.ndim == 1 && w.strides[0][0] == 1 && w.strides[1][0] == 1);
  by_item(item_size(y.dtype), [&](auto t) {
    using T = decltype(t);
    T v{};
    if (value.on_host()) v = *value.ptr<const T>();
    const T* at = value.on_host() ? nullptr : value.ptr<const T>();
    constexpr int kN = kLanes<T>;
    if (dense && w.numel % kN == 0 && aligned16(y.data) && reinterpret_cast<uintptr_t>(mask.data) % kN == 0) {
      CCDL_LAUNCH(plain(w.numel / kN), masked_fill_vec_kernel<T>, w.numel / kN, mask.ptr<const uint8_t>(),
                  y.ptr<T>(), v, at);
      return;
    }
    CCDL_LAUNCH(plain(w.numel, kThreads * kPerThread), masked_fill_kernel<T>, Pair(w),
                mask.ptr<const uint8_t>(), y.ptr<T>(), v, at);
  });
}

int64_t masked_count(const View& mask) {
  const HostWalk walk = host_walk({&mask, &mask});
  if (walk.numel == 0) return 0;
  const int64_t tiles = mask_tiles(walk);
  const Scratch counts((tiles + 1) * 8);
  uint64_t* total = counts.ptr<uint64_t>() + tiles;
  CCDL_LAUNCH(plain(walk.numel, kMaskTile), mask_count_kernel, Pair(walk), mask.ptr<const uint8_t>(),
              counts.ptr<uint64_t>());
  CCDL_LAUNCH(LaunchConfig{dim3(1), kThreads}, total_kernel, counts.ptr<uint64_t>(), tiles, total);
  int64_t result = 0;
  read_back(&result, total, sizeof result);
  return result;
}

void masked_select(const View& x, const View& mask, const View& y) {
  by_item(item_size(y.dtype), [&](auto t) {
    using T = decltype(t);
    place_masked(host_walk({&mask, &x}), mask, SelectPlace<T>{x.ptr<const T>(), y.ptr<T>()});
  });
}

void masked_scatter(const View& y, const View& mask, const View& src) {
  by_item(item_size(y.dtype), [&](auto t) {
    using T = decltype(t);
    place_masked(host_walk({&mask, &y}), mask, ScatterPlace<T>{y.ptr<T>(), src.ptr<const T>()});
  });
}

void masked_coordinates(const View& mask, const View& out) {
  CoordinatePlace place{out.ptr<int64_t>(), out.sizes[1], mask.ndim, {}};
  for (int d = 0; d < mask.ndim; ++d) place.sizes[d] = mask.sizes[d];
  place_masked(host_walk({&mask, &mask}), mask, place);
}

}  // namespace ccdl::cu
