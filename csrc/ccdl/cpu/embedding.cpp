// Gradient of a table look-up, and bags. For the gradient a counting sort groups the look-ups by table row,
// keeping their order; then every row is summed by one chunk in that order, so the result does not depend on
// the thread count and needs no atomics.
#include <ccdl/kernels/embedding.h>

#include <algorithm>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kNearTable = 1 << 19;    // bytes of a table that stays in the second cache
constexpr int64_t kPastCaches = 16 << 20;  // bytes from where a table is written around the caches

template <class T>
constexpr LookupType lookup_type() {
  return std::is_same_v<T, float>     ? kLookupFloat
         : std::is_same_v<T, double>  ? kLookupDouble
         : std::is_same_v<T, float16> ? kLookupHalf
                                      : kLookupBFloat16;
}

// scale as the kernels take it: in the type sums are formed in.
template <class T, class A>
const A* computed(const View& scale, int slot) {
  if constexpr (std::is_same_v<T, A>) {
    return scale.ptr<const A>();
  } else {
    if (scale.data == nullptr) return nullptr;
    const int64_t n = scale.sizes[0];
    A* out = scratch<A>(slot, n);
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<A>(scale.ptr<const T>()[i]);
    return out;
  }
}

// Look-ups grouped by table row: group v holds entries start[v] up to start[v + 1] of order, the rows of dy.
struct Groups {
  const int64_t *start, *order;
};

// Every byte of dw is written once: untouched rows as zeros, touched ones as their sum. scale follows order.
template <class T, class A>
void sum_groups(const View& dy, const Groups& groups, const A* scale, bool by_frequency, const View& dw) {
  const IndexKernels& kernels = simd_index();
  const auto sum = kernels.sum_rows[lookup_type<T>()];
  const auto [start, order] = groups;
  const int64_t V = dw.sizes[0], D = dw.sizes[1], stride = dy.strides[0], n = start[V];
  const int64_t row_bytes = D * static_cast<int64_t>(sizeof(T));
  const bool past_caches = V * row_bytes >= kPastCaches;
  const T* g = dy.ptr<const T>();
  T* to = dw.ptr<T>();
  parallel_for(V, kWalkGrain / (D + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end;) {
      const int64_t lo = start[v], hi = start[v + 1];
      if (lo == hi) {
        int64_t next = v + 1;
        while (next < end && start[next + 1] == lo) ++next;
        if (past_caches)
          kernels.clear(to + v * D, (next - v) * row_bytes);
        else
          __builtin_memset(to + v * D, 0, static_cast<size_t>((next - v) * row_bytes));
        v = next;
        continue;
      }
      sum(g, stride, order + lo, scale ? scale + lo : nullptr, hi - lo, n - lo,
          by_frequency ? static_cast<double>(hi - lo) : 1.0, to + v * D, D, past_caches);
      ++v;
    }
    if (past_caches) kernels.finish_stores();
  });
}

// The first start that cannot be, or -1.
int64_t bad_start(const View& starts, int64_t n) {
  const int64_t* s = starts.ptr<const int64_t>();
  const int64_t count = starts.sizes[0];
  if (count == 0) return -1;
  bool bad = simd_index().outside(s, count, 0, n) || s[0] != 0;
  for (int64_t b = 1; b < count; ++b) bad |= s[b] < s[b - 1];
  if (!bad) return -1;
  for (int64_t b = 0; b < count; ++b)
    if (b == 0 ? s[b] != 0 : (s[b] < s[b - 1] || s[b] > n)) return b;
  return -1;
}

// The position of the first index outside [0, V), and the index; or -1.
int64_t bad_index(const int64_t* id, int64_t n, int64_t V, int64_t* found) {
  if (!simd_index().outside(id, n, 0, V - 1)) return -1;
  for (int64_t i = 0; i < n; ++i)
    if (id[i] < 0 || id[i] >= V) return *found = id[i], i;
  return -1;
}

// What a bag is made of: its look-ups without padding, and their scale.
template <class A>
struct Bag {
  const int64_t* rows;
  const A* scale;
  int64_t count, known;
};

template <class A>
Bag<A> without_padding(Bag<A> bag, int64_t padding_idx) {
  int64_t* rows = scratch<int64_t>(2, bag.count);
  A* scale = bag.scale ? scratch<A>(3, bag.count) : nullptr;
  int64_t kept = 0;
  for (int64_t k = 0; k < bag.count; ++k) {
    rows[kept] = bag.rows[k];
    if (scale) scale[kept] = bag.scale[k];
    kept += bag.rows[k] != padding_idx;
  }
  return {rows, scale, kept, kept};
}

}  // namespace

IndexFault embedding_backward(const View& dy, const View& index, const View& source, const View& scale,
                              int64_t padding_idx, bool by_frequency, const View& dw) {
  const int64_t n = index.sizes[0], V = dw.sizes[0];
  const int64_t *id = index.ptr<const int64_t>(), *from = source.ptr<const int64_t>();
  int64_t* start = scratch<int64_t>(0, V + 1 + n);
  int64_t* order = start + V + 1;
  __builtin_memset(start, 0, static_cast<size_t>(V + 1) * sizeof(int64_t));
  const auto counts = [&](int64_t i) { return id[i] != padding_idx && (from == nullptr || from[i] >= 0); };
  for (int64_t i = 0; i < n; ++i) {
    if (id[i] < 0 || id[i] >= V) return {0, id[i]};
    start[id[i] + 1] += counts(i);
  }
  for (int64_t v = 0; v < V; ++v) start[v + 1] += start[v];
  by_floating(dw.dtype, [&](auto t) {
    using T = decltype(t);
    using A = typename Accumulator<T>::type;
    const A* factor = computed<T, A>(scale, 1);
    A* scales = factor ? scratch<A>(2, n) : nullptr;
    // start[v] runs to the end of group v while the order is written, then everything moves on by one.
    for (int64_t i = 0; i < n; ++i)
      if (counts(i)) {
        const int64_t place = start[id[i]]++;
        order[place] = from ? from[i] : i;
        if (factor) scales[place] = factor[i];
      }
    __builtin_memmove(start + 1, start, static_cast<size_t>(V) * sizeof(int64_t));
    start[0] = 0;
    sum_groups<T, A>(dy, {start, order}, scales, by_frequency, dw);
  });
  return {};
}

IndexFault embedding_bag_forward(const View& w, const View& index, const View& starts, const View& scale,
                                 BagMode mode, int64_t padding_idx, const View& y, const View& bag,
                                 const View& count, const View& largest) {
  const int64_t n = index.sizes[0], B = y.sizes[0], D = y.sizes[1], V = w.sizes[0], stride = w.strides[0];
  const int64_t *id = index.ptr<const int64_t>(), *start = starts.ptr<const int64_t>();
  if (const int64_t bad = bad_start(starts, n); bad >= 0) return {kStartsFault, start[bad]};
  int64_t found;
  if (bad_index(id, n, V, &found) >= 0) return {0, found};
  by_floating(y.dtype, [&](auto t) {
    using T = decltype(t);
    using A = typename Accumulator<T>::type;
    const IndexKernels& kernels = simd_index();
    const A* factor = computed<T, A>(scale, 1);
    const T* table = w.ptr<const T>();
    // Rows of a table within the second cache are not asked for ahead.
    const bool far = V * stride > kNearTable / static_cast<int64_t>(sizeof(T));
    parallel_for(B, kWalkGrain / (n / (B + 1) * D + D + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t lo = start[b], hi = b + 1 < starts.sizes[0] ? start[b + 1] : n;
        Bag<A> kept{id + lo, factor ? factor + lo : nullptr, hi - lo, far ? n - lo : 0};
        if (padding_idx >= 0) kept = without_padding(kept, padding_idx);
        T* to = y.ptr<T>() + b * D;
        if (bag.data != nullptr)
          for (int64_t i = lo; i < hi; ++i) bag.ptr<int64_t>()[i] = b;
        const int64_t divisor = std::max<int64_t>(kept.count, 1);
        if (count.data != nullptr) count.ptr<A>()[b] = static_cast<A>(divisor);
        int64_t* row = largest.data != nullptr ? largest.ptr<int64_t>() + b * D : nullptr;
        if (kept.count == 0) {
          __builtin_memset(to, 0, static_cast<size_t>(D) * sizeof(T));
          if (row) std::fill(row, row + D, -1);
        } else if (mode == BagMode::Max) {
          kernels.max_rows[lookup_type<T>()](table, stride, kept.rows, kept.count, to, row, D);
        } else {
          kernels.sum_rows[lookup_type<T>()](table, stride, kept.rows, kept.scale, kept.count, kept.known,
                                             mode == BagMode::Mean ? static_cast<double>(divisor) : 1.0, to,
                                             D, false);
        }
      }
    });
  });
  return {};
}

IndexFault embedding_bag_backward_scale(const View& dy, const View& w, const View& index, const View& bag,
                                        int64_t padding_idx, const View& dscale) {
  const int64_t n = index.sizes[0], D = w.sizes[1], V = w.sizes[0];
  const int64_t *id = index.ptr<const int64_t>(), *from = bag.ptr<const int64_t>();
  int64_t found;
  if (bad_index(id, n, V, &found) >= 0) return {0, found};
  by_floating(w.dtype, [&](auto t) {
    using T = decltype(t);
    using A = typename Accumulator<T>::type;
    const auto dot = simd_index().dot_rows[lookup_type<T>()];
    const T *g = dy.ptr<const T>(), *table = w.ptr<const T>();
    parallel_for(n, kWalkGrain / (D + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        dscale.ptr<T>()[i] = id[i] == padding_idx || from[i] < 0
                                 ? T(0)
                                 : static_cast<T>(static_cast<A>(
                                       dot(g + from[i] * dy.strides[0], table + id[i] * w.strides[0], D)));
    });
  });
  return {};
}

}  // namespace ccdl::cpu
