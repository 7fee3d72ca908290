// Gradient of a table look-up: look-ups are sorted by table row (stable, so in their order), then one thread
// per 16 bytes of a table row adds its look-ups one after another. Where look-ups are many per table row,
// runs of them are first summed in pieces of fixed length, then the pieces in order. Bound: dy read once, dw
// written once. A bag is reduced by threads of 16 bytes of its columns each, one look-up after another.
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <device/warp.cuh>
#include <kernels/index_walk.cuh>
#include <kernels/radix_sort.cuh>

#include <type_traits>

#include <ccdl/kernels/embedding.h>

namespace ccdl::cu {
namespace {

using namespace moving;

// keys: table row, the number of rows where the look-up does not count. K counts rows and look-ups.
template <class K>
__global__ void __launch_bounds__(kThreads)
    lookup_keys_kernel(const int64_t* index, const int64_t* source, int64_t n, int64_t rows,
                       int64_t padding_idx, K* keys, K* positions, FaultSink sink) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const int64_t v = index[i];
  const bool bad = v < 0 || v >= rows;
  if (bad) sink.report(FaultKind::Index, v, rows, 0);
  keys[i] = static_cast<K>(bad || v == padding_idx || (source && source[i] < 0) ? rows : v);
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
  int64_t rows, columns;
  int64_t pieces;  // columns / N
};

// Rows of dy: of look-up i row i; where Mapped row source[i], times scale[i] (1 where null).
template <class T, bool Mapped>
struct Gradient {
  const T* dy;
  int64_t stride;
  const int64_t* source;
  const T* scale;

  CCDL_DEVICE const T* row(int64_t i) const {
    if constexpr (Mapped) i = source[i];
    return dy + i * stride;
  }
};

template <class T, class K, int N, bool Mapped>
CCDL_DEVICE void add_lookups(const Gradient<T, Mapped>& g, int64_t column, const K* order, int64_t begin,
                             int64_t end, Compute<T> (&sum)[N]) {
  using A = Compute<T>;
  constexpr int kAhead = Mapped ? 2 : 4;
  auto add = [&](const Vec<T, N>& v, [[maybe_unused]] int64_t i) {
    [[maybe_unused]] A s = 1;
    if constexpr (Mapped)
      if (g.scale) s = convert<A>(g.scale[i]);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += Mapped ? s * convert<A>(v[k]) : convert<A>(v[k]);
  };
  int64_t i = begin;
#pragma unroll 1
  for (; i + kAhead <= end; i += kAhead) {
    Vec<T, N> got[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      got[a] = load_vec<T, N>(g.row(static_cast<int64_t>(order[i + a])) + column);
#pragma unroll
    for (int a = 0; a < kAhead; ++a) add(got[a], static_cast<int64_t>(order[i + a]));
  }
#pragma unroll 1
  for (; i < end; ++i) {
    const int64_t at = static_cast<int64_t>(order[i]);
    add(load_vec<T, N>(g.row(at) + column), at);
  }
}

// dw rows from their look-ups.
template <class T, class K, int N, bool Mapped>
__global__ void __launch_bounds__(kThreads)
    sum_lookups_kernel(Table t, Gradient<T, Mapped> g, const K* order, const int64_t* starts,
                       bool by_frequency, T* dw) {
  using A = Compute<T>;
  const int64_t e = global_thread();
  if (e >= t.rows * t.pieces) return;
  const int64_t v = e / t.pieces, column = (e - v * t.pieces) * N;
  const int64_t begin = starts[v], end = starts[v + 1];
  A sum[N] = {};
  add_lookups<T, K, N, Mapped>(g, column, order, begin, end, sum);
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

template <class T, class K, int N, bool Mapped>
__global__ void __launch_bounds__(kThreads)
    sum_runs_kernel(Table t, Gradient<T, Mapped> g, const K* order, const int64_t* starts, int64_t runs,
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
  add_lookups<T, K, N, Mapped>(g, column, order, begin, end, sum);
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

template <class T, class K, int N, bool Mapped>
void sum_all(const Gradient<T, Mapped>& g, int64_t n, const K* order, const int64_t* starts,
             bool by_frequency, const View& dw) {
  const int64_t rows = dw.sizes[0], columns = dw.sizes[1];
  const Table t{rows, columns, columns / N};
  if (n / rows < kRun) {
    CCDL_LAUNCH(plain(rows * t.pieces), (sum_lookups_kernel<T, K, N, Mapped>), t, g, order, starts,
                by_frequency, dw.ptr<T>());
    return;
  }
  const int64_t runs = n / kRun + rows + 1;
  const Scratch partial(runs * columns * static_cast<int64_t>(sizeof(Compute<T>)));
  CCDL_LAUNCH(plain(runs * t.pieces), (sum_runs_kernel<T, K, N, Mapped>), t, g, order, starts, runs,
              partial.ptr<Compute<T>>());
  CCDL_LAUNCH(plain(rows * columns), join_runs_kernel<T>, t, partial.ptr<Compute<T>>(), starts, by_frequency,
              dw.ptr<T>());
}

template <class K>
void backward(const View& dy, const View& index, const View& source, const View& scale, int64_t padding_idx,
              bool by_frequency, const View& dw) {
  const int64_t n = index.sizes[0], rows = dw.sizes[0], columns = dw.sizes[1];
  const Scratch memory(4 * n * static_cast<int64_t>(sizeof(K))), starts_memory((rows + 1) * 8);
  K* p = memory.ptr<K>();
  int64_t* starts = starts_memory.ptr<int64_t>();
  RadixPairs<K, K> pairs{p, p + n, p + 2 * n, p + 3 * n};
  if (n > 0) {
    CCDL_LAUNCH(plain(n), lookup_keys_kernel<K>, index.ptr<const int64_t>(), source.ptr<const int64_t>(), n,
                rows, padding_idx, pairs.keys, pairs.values, fault_sink());
    radix_sort_pairs(pairs, n, 1, bits_below(static_cast<uint64_t>(rows) + 1));
  }
  if (rows * columns == 0) return;
  CCDL_LAUNCH(plain(rows + 1), row_starts_kernel<K>, pairs.keys, n, rows, starts);
  by_floating(dw.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int kN = kLanes<T>;
    const bool wide =
        columns % kN == 0 && dy.strides[0] % kN == 0 && aligned16(dy.data) && aligned16(dw.data);
    const auto sum = [&](auto mapped) {
      constexpr bool kMapped = decltype(mapped)::value;
      const Gradient<T, kMapped> g{dy.ptr<const T>(), dy.strides[0], source.ptr<const int64_t>(),
                                   scale.ptr<const T>()};
      if (wide)
        sum_all<T, K, kN>(g, n, pairs.values, starts, by_frequency, dw);
      else
        sum_all<T, K, 1>(g, n, pairs.values, starts, by_frequency, dw);
    };
    if (source.data != nullptr)
      sum(std::true_type());
    else
      sum(std::false_type());
  });
}

// ---- bags ----

// Look-ups of the bags; entries of starts that cannot be are reported and cut to what can.
struct Bags {
  const int64_t *index, *starts;
  int64_t n, count, starts_count, rows, padding_idx;
  FaultSink sink;

  CCDL_DEVICE int64_t start(int64_t b, int64_t before) const {
    const int64_t s = starts[b];
    if (b == 0 ? s != 0 : s < before || s > n) sink.report(FaultKind::Offsets, s, n);
    return most(before, least(s, n));
  }
  CCDL_DEVICE void range(int64_t b, int64_t* begin, int64_t* end) const {
    *begin = start(b, 0);
    *end = b + 1 < starts_count ? start(b + 1, *begin) : n;
  }
  // The table row of look-up i, or -1 where it does not count.
  CCDL_DEVICE int64_t row(int64_t i) const {
    const int64_t v = index[i];
    if (v < 0 || v >= rows) {
      sink.report(FaultKind::Index, v, rows, 0);
      return -1;
    }
    return v == padding_idx ? -1 : v;
  }
};

// Optional results of the forward pass.
template <class T>
struct BagResults {
  T* y;
  int64_t* bag;
  Compute<T>* count;
  int64_t* largest;
};

template <class T, int N, bool Max>
__global__ void __launch_bounds__(kThreads)
    reduce_bags_kernel(Bags bags, const T* w, int64_t w_stride, int64_t columns, const T* scale, bool mean,
                       BagResults<T> out) {
  using A = Compute<T>;
  const int64_t pieces = columns / N, e = global_thread();
  if (e >= bags.count * pieces) return;
  const int64_t b = e / pieces, piece = e - b * pieces, column = piece * N;
  int64_t begin, end, kept = 0;
  bags.range(b, &begin, &end);
  A sum[N] = {};
  int64_t from[N];
#pragma unroll
  for (int k = 0; k < N; ++k) from[k] = -1;
#pragma unroll 1
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = bags.row(i);
    if (row < 0) continue;
    const Vec<T, N> v = load_vec<T, N>(w + row * w_stride + column);
    const A s = scale ? convert<A>(scale[i]) : A(1);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A x = convert<A>(v[k]);
      if constexpr (Max) {
        if (kept == 0 || x > sum[k] || (x != x && sum[k] == sum[k])) {
          sum[k] = x;
          from[k] = row;
        }
      } else {
        sum[k] += s * x;
      }
    }
    ++kept;
  }
  const A divisor = static_cast<A>(kept > 0 ? kept : 1);
  Vec<T, N> y;
#pragma unroll
  for (int k = 0; k < N; ++k) y[k] = convert<T>(mean ? sum[k] / divisor : sum[k]);
  store_vec<T, N>(out.y + b * columns + column, y);
  if (Max && out.largest) {
#pragma unroll
    for (int k = 0; k < N; ++k) out.largest[b * columns + column + k] = from[k];
  }
  if (out.count && piece == 0) out.count[b] = divisor;
  if (out.bag)
#pragma unroll 1
    for (int64_t i = begin + piece; i < end; i += pieces) out.bag[i] = b;
}

template <class T>
void bag_forward(const Bags& bags, const View& w, const T* scale, BagMode mode, const BagResults<T>& out) {
  constexpr int kN = kLanes<T>;
  const int64_t columns = w.sizes[1], stride = w.strides[0];
  const T* table = w.ptr<const T>();
  const bool wide = columns % kN == 0 && stride % kN == 0 && aligned16(w.data) && aligned16(out.y),
             mean = mode == BagMode::Mean;
  const auto launch = [&](auto lanes, auto max) {
    constexpr int kLanesHere = decltype(lanes)::value;
    CCDL_LAUNCH(plain(bags.count * (columns / kLanesHere)),
                (reduce_bags_kernel<T, kLanesHere, decltype(max)::value>), bags, table, stride, columns,
                scale, mean, out);
  };
  using Narrow = std::integral_constant<int, 1>;
  using Wide = std::integral_constant<int, kN>;
  if (mode == BagMode::Max)
    wide ? launch(Wide(), std::true_type()) : launch(Narrow(), std::true_type());
  else
    wide ? launch(Wide(), std::false_type()) : launch(Narrow(), std::false_type());
}

// One warp per look-up.
template <class T>
__global__ void __launch_bounds__(kThreads)
    bag_scale_kernel(Bags bags, const T* dy, int64_t dy_stride, const T* w, int64_t w_stride, int64_t columns,
                     const int64_t* bag, T* dscale) {
  using A = Compute<T>;
  const int64_t i = global_thread() / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (i >= bags.n) return;
  const int64_t row = bags.row(i), b = bag[i];
  A sum = 0;
  if (row >= 0 && b >= 0) {
    const T *x = dy + b * dy_stride, *y = w + row * w_stride;
    for (int64_t j = lane; j < columns; j += kWarp) sum += convert<A>(x[j]) * convert<A>(y[j]);
  }
  sum = warp_sum(sum);
  if (lane == 0) dscale[i] = convert<T>(sum);
}

}  // namespace

IndexFault embedding_backward(const View& dy, const View& index, const View& source, const View& scale,
                              int64_t padding_idx, bool by_frequency, const View& dw) {
  if (index.sizes[0] < UINT32_MAX && dw.sizes[0] < UINT32_MAX)
    backward<uint32_t>(dy, index, source, scale, padding_idx, by_frequency, dw);
  else
    backward<uint64_t>(dy, index, source, scale, padding_idx, by_frequency, dw);
  return {};
}

IndexFault embedding_bag_forward(const View& w, const View& index, const View& starts, const View& scale,
                                 BagMode mode, int64_t padding_idx, const View& y, const View& bag,
                                 const View& count, const View& largest) {
  if (y.numel() == 0) return {};
  const Bags bags{index.ptr<const int64_t>(),
                  starts.ptr<const int64_t>(),
                  index.sizes[0],
                  y.sizes[0],
                  starts.sizes[0],
                  w.sizes[0],
                  padding_idx,
                  fault_sink()};
  by_floating(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    bag_forward<T>(bags, w, scale.ptr<const T>(), mode,
                   {y.ptr<T>(), bag.ptr<int64_t>(), count.ptr<Compute<T>>(), largest.ptr<int64_t>()});
  });
  return {};
}

IndexFault embedding_bag_backward_scale(const View& dy, const View& w, const View& index, const View& bag,
                                        int64_t padding_idx, const View& dscale) {
  const int64_t n = index.sizes[0];
  const Bags bags{
      index.ptr<const int64_t>(), nullptr, n, dy.sizes[0], 0, w.sizes[0], padding_idx, fault_sink()};
  by_floating(w.dtype, [&](auto tag) {
    using T = decltype(tag);
    CCDL_LAUNCH(plain(n * kWarp), bag_scale_kernel<T>, bags, dy.ptr<const T>(), dy.strides[0],
                w.ptr<const T>(), w.strides[0], w.sizes[1], bag.ptr<const int64_t>(), dscale.ptr<T>());
  });
  return {};
}

}  // namespace ccdl::cu
