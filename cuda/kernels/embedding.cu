// Gradient of a table look-up: look-ups are sorted by table row (stable, so in their order), then one thread
// per 16 bytes of a table row adds its look-ups one after another. Where look-ups are many per table row,
// runs of them are first summed in pieces of fixed length, then the pieces in order. Bound: dy read once, dw
// written once.
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <kernels/index_walk.cuh>
#include <kernels/radix_sort.cuh>

#include <ccdl/kernels/embedding.h>

namespace ccdl::cu {
namespace {

using namespace moving;

// keys: table row, the number of rows where the look-up does not count. K counts rows and look-ups.
template <class K>
__global__ void __launch_bounds__(kThreads)
    lookup_keys_kernel(const int64_t* index, int64_t n, int64_t rows, int64_t padding_idx, K* keys,
                       K* positions, FaultSink sink) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const int64_t v = index[i];
  const bool bad = v < 0 || v >= rows;
  if (bad) sink.report(FaultKind::Index, v, rows, 0);
  keys[i] = static_cast<K>(bad || v == padding_idx ? rows : v);
  positions[i] = static_cast<K>(i);
}

// starts[v] = first sorted look-up of table row v or above, for v in [0, rows]
template <class K>
__global__ void __launch_bounds__(kThreads)
    row_starts_kernel(const K* keys, int64_t n, int64_t rows, int64_t* starts) {
  const int64_t v = global_thread();
  if (v > rows) return;
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] < static_cast<K>(v))
      low = middle + 1;
    else
      high = middle;
  }
  starts[v] = low;
}

// Sizes of the sums; columns are taken N at a time.
struct Table {
  int64_t rows, columns, dy_stride;
  int64_t pieces;  // columns / N
};

template <class T, class K, int N>
CCDL_DEVICE void add_lookups(const T* dy, int64_t stride, const K* order, int64_t begin, int64_t end,
                             Compute<T> (&sum)[N]) {
  constexpr int kAhead = 4;
  auto add = [&](const Vec<T, N>& v) {
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += convert<Compute<T>>(v[k]);
  };
  int64_t i = begin;
  for (; i + kAhead <= end; i += kAhead) {
    Vec<T, N> got[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      got[a] = load_vec<T, N>(dy + static_cast<int64_t>(order[i + a]) * stride);
#pragma unroll
    for (int a = 0; a < kAhead; ++a) add(got[a]);
  }
  for (; i < end; ++i) add(load_vec<T, N>(dy + static_cast<int64_t>(order[i]) * stride));
}

// dw rows from their look-ups.
template <class T, class K, int N>
__global__ void __launch_bounds__(kThreads)
    sum_lookups_kernel(Table t, const T* dy, const K* order, const int64_t* starts, bool by_frequency,
                       T* dw) {
  using A = Compute<T>;
  const int64_t e = global_thread();
  if (e >= t.rows * t.pieces) return;
  const int64_t v = e / t.pieces, column = (e - v * t.pieces) * N;
  const int64_t begin = starts[v], end = starts[v + 1];
  A sum[N] = {};
  add_lookups<T, K, N>(dy + column, t.dy_stride, order, begin, end, sum);
  Vec<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (by_frequency && end > begin) sum[k] /= static_cast<A>(end - begin);
    out[k] = convert<T>(sum[k]);
  }
  store_vec<T, N>(dw + v * t.columns + column, out);
}

// Pieces of kRun look-ups (counted from the start of their table row): partial [piece number][columns]. A
// table row begins a new piece, so piece p of row v is number (starts[v] / kRun + v + p): gaps stay unused.
constexpr int64_t kRun = 64;

CCDL_DEVICE int64_t first_piece(int64_t start, int64_t v) { return start / kRun + v; }

// v: the row that holds piece number `piece`, or -1
CCDL_DEVICE int64_t row_of_piece(const int64_t* starts, int64_t rows, int64_t piece) {
  int64_t low = 0, high = rows;  // the last v with first_piece(v) <= piece
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (first_piece(starts[middle], middle) <= piece)
      low = middle;
    else
      high = middle;
  }
  return low;
}

template <class T, class K, int N>
__global__ void __launch_bounds__(kThreads)
    sum_runs_kernel(Table t, const T* dy, const K* order, const int64_t* starts, int64_t runs,
                    Compute<T>* partial) {
  using A = Compute<T>;
  const int64_t e = global_thread();
  if (e >= runs * t.pieces) return;
  const int64_t run = e / t.pieces, column = (e - run * t.pieces) * N;
  const int64_t v = row_of_piece(starts, t.rows, run);
  const int64_t begin = starts[v] + (run - first_piece(starts[v], v)) * kRun;
  const int64_t end = least(begin + kRun, starts[v + 1]);
  if (begin >= end) return;
  A sum[N] = {};
  add_lookups<T, K, N>(dy + column, t.dy_stride, order, begin, end, sum);
#pragma unroll
  for (int k = 0; k < N; ++k) partial[run * t.columns + column + k] = sum[k];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    join_runs_kernel(Table t, const Compute<T>* partial, const int64_t* starts, bool by_frequency, T* dw) {
  using A = Compute<T>;
  const int64_t e = global_thread();
  if (e >= t.rows * t.columns) return;
  const int64_t v = e / t.columns, column = e - v * t.columns;
  const int64_t begin = starts[v], count = starts[v + 1] - begin, runs = ceil_div(count, kRun);
  const A* from = partial + first_piece(begin, v) * t.columns + column;
  A sum = 0;
#pragma unroll 4
  for (int64_t r = 0; r < runs; ++r) sum += from[r * t.columns];
  if (by_frequency && count > 0) sum /= static_cast<A>(count);
  dw[e] = convert<T>(sum);
}

template <class T, class K, int N>
void sum_all(const View& dy, int64_t n, const K* order, const int64_t* starts, bool by_frequency,
             const View& dw) {
  const int64_t rows = dw.sizes[0], columns = dw.sizes[1];
  const Table t{rows, columns, dy.strides[0], columns / N};
  if (n / rows < kRun) {
    CCDL_LAUNCH(plain(rows * t.pieces), (sum_lookups_kernel<T, K, N>), t, dy.ptr<const T>(), order, starts,
                by_frequency, dw.ptr<T>());
    return;
  }
  const int64_t runs = n / kRun + rows + 1;
  const Scratch partial(runs * columns * static_cast<int64_t>(sizeof(Compute<T>)));
  CCDL_LAUNCH(plain(runs * t.pieces), (sum_runs_kernel<T, K, N>), t, dy.ptr<const T>(), order, starts, runs,
              partial.ptr<Compute<T>>());
  CCDL_LAUNCH(plain(rows * columns), join_runs_kernel<T>, t, partial.ptr<Compute<T>>(), starts, by_frequency,
              dw.ptr<T>());
}

template <class K>
void backward(const View& dy, const View& index, int64_t padding_idx, bool by_frequency, const View& dw) {
  const int64_t n = index.sizes[0], rows = dw.sizes[0], columns = dw.sizes[1];
  const Scratch memory(4 * n * static_cast<int64_t>(sizeof(K))), starts_memory((rows + 1) * 8);
  K* p = memory.ptr<K>();
  int64_t* starts = starts_memory.ptr<int64_t>();
  RadixPairs<K, K> pairs{p, p + n, p + 2 * n, p + 3 * n};
  if (n > 0) {
    CCDL_LAUNCH(plain(n), lookup_keys_kernel<K>, index.ptr<const int64_t>(), n, rows, padding_idx, pairs.keys,
                pairs.values, fault_sink());
    radix_sort_pairs(pairs, n, 1, bits_below(static_cast<uint64_t>(rows) + 1));
  }
  if (rows * columns == 0) return;
  CCDL_LAUNCH(plain(rows + 1), row_starts_kernel<K>, pairs.keys, n, rows, starts);
  by_floating(dw.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int kN = kLanes<T>;
    const bool wide =
        columns % kN == 0 && dy.strides[0] % kN == 0 && aligned16(dy.data) && aligned16(dw.data);
    if (wide)
      sum_all<T, K, kN>(dy, n, pairs.values, starts, by_frequency, dw);
    else
      sum_all<T, K, 1>(dy, n, pairs.values, starts, by_frequency, dw);
  });
}

}  // namespace

IndexFault embedding_backward(const View& dy, const View& index, int64_t padding_idx, bool by_frequency,
                              const View& dw) {
  if (index.sizes[0] < UINT32_MAX && dw.sizes[0] < UINT32_MAX)
    backward<uint32_t>(dy, index, padding_idx, by_frequency, dw);
  else
    backward<uint64_t>(dy, index, padding_idx, by_frequency, dw);
  return {};
}

}  // namespace ccdl::cu
