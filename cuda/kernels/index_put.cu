// Indexed writes whose result is that of one write after another. A key per outer position names its target;
// Set finds the last writer by an atomic maximum of positions, or by sorting where the targets are too many;
// the other modes sort (key, position) stably and one thread per element combines the writers in order. int32
// and int64 sums and extremes use integer atomics. Bound: 8 bytes of index, 16 of entry, 3 items per element.
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/prelude.cuh>
#include <kernels/index_put.cuh>
#include <kernels/radix_sort.cuh>

#include <type_traits>

namespace ccdl::cu {
namespace {

using namespace moving;

constexpr int64_t kNothing = -1;  // this position writes nothing, or its target's first writer came before
constexpr int64_t kBad = -2;      // its index is outside

struct PutAxis {
  const int64_t* index;
  int64_t size, step, key_step, dim;
  int64_t strides[kMaxDims];
};

// The outer dimensions.
template <int A>
struct PutPlan {
  Dimensions dims;
  int64_t n;     // outer positions
  int64_t keys;  // keys lie in [0, keys); keys itself: bad index
  int axes;
  bool wrap;
  int64_t y[kMaxDims], src[kMaxDims], key[kMaxDims];
  PutAxis axis[A];
};

// What one outer position does: where its elements come from and go to.
struct Entry {
  int64_t y, src;
};

// Position p's key, and its offset in y; reports a bad index when sink is given.
template <int A>
CCDL_DEVICE uint64_t locate(const PutPlan<A>& plan, int64_t p, const FaultSink* sink, int64_t* at) {
  int64_t offset = 0, key = 0;
  plan.dims.each(p, [&](int d, int64_t c) {
    offset += c * plan.y[d];
    key += c * plan.key[d];
  });
  for (int a = 0; a < plan.axes; ++a) {
    const PutAxis& axis = plan.axis[a];
    const int64_t raw = axis.index[plan.dims.dot(p, axis.strides)];
    const int64_t j = raw < 0 && plan.wrap ? raw + axis.size : raw;
    if (j < 0 || j >= axis.size) {
      if (sink) sink->report(FaultKind::Index, raw, axis.size, axis.dim);
      *at = kBad;
      return static_cast<uint64_t>(plan.keys);
    }
    offset += j * axis.step;
    key += j * axis.key_step;
  }
  *at = offset;
  return static_cast<uint64_t>(key);
}

// Keys, with owner != nullptr also the last position (+ 1) that writes to each key. *bad is set by a bad
// index.
template <class K, class V, int A>
__global__ void __launch_bounds__(kThreads)
    put_keys_kernel(const __grid_constant__ PutPlan<A> plan, K* keys, V* positions, unsigned* owner,
                    unsigned* bad, FaultSink sink) {
  const int64_t p = global_thread();
  if (p >= plan.n) return;
  int64_t at;
  const uint64_t key = locate(plan, p, &sink, &at);
  if (at == kBad) atomicOr(bad, 1u);
  if (owner) {
    if (at != kBad) atomicMax(owner + key, static_cast<unsigned>(p) + 1u);
  } else if (keys) {
    keys[p] = static_cast<K>(key);
    positions[p] = static_cast<V>(p);
  }
}

// Entries of Set: the owners, or (owner == nullptr) every position.
template <int A>
__global__ void __launch_bounds__(kThreads)
    put_owned_kernel(const __grid_constant__ PutPlan<A> plan, const unsigned* owner, Entry* entries) {
  const int64_t p = global_thread();
  if (p >= plan.n) return;
  int64_t at;
  const uint64_t key = locate(plan, p, nullptr, &at);
  if (at != kBad && owner && owner[key] != static_cast<unsigned>(p) + 1u) at = kNothing;
  entries[p] = {at, plan.dims.dot(p, plan.src)};
}

// Set of single elements: the owners write at once.
template <class T, int A>
__global__ void __launch_bounds__(kThreads)
    put_single_kernel(const __grid_constant__ PutPlan<A> plan, const unsigned* owner, const unsigned* bad,
                      T* y, const T* src) {
  const int64_t p = global_thread();
  if (p >= plan.n || *bad) return;
  int64_t at;
  const uint64_t key = locate(plan, p, nullptr, &at);
  if (at < 0 || (owner && owner[key] != static_cast<unsigned>(p) + 1u)) return;
  y[at] = src[plan.dims.dot(p, plan.src)];
}

// Entries in sorted order: y is set in the last writer of each target (Set), or in the first.
template <class K, class V, int A>
__global__ void __launch_bounds__(kThreads)
    put_sorted_kernel(const __grid_constant__ PutPlan<A> plan, const K* keys, const V* positions, bool last,
                      Entry* entries) {
  const int64_t i = global_thread();
  if (i >= plan.n) return;
  const K key = keys[i];
  const int64_t p = static_cast<int64_t>(positions[i]), next = last ? i + 1 : i - 1;
  int64_t at = kBad;
  if (key != static_cast<K>(plan.keys)) {
    const bool marked = next < 0 || next >= plan.n || keys[next] != key;
    at = kNothing;
    if (marked) locate(plan, p, nullptr, &at);
  }
  entries[i] = {at, plan.dims.dot(p, plan.src)};
}

// n entries times the elements of a slice.
struct SliceWalk {
  Pair pair;  // y, src
  int64_t n, total;
  FastDiv div;
  bool small;
  SliceWalk(const HostWalk& w, int64_t entries) : pair(w), n(entries), total(entries * w.numel) {
    small = total <= INT32_MAX;
    if (small) div = FastDiv(static_cast<uint32_t>(w.numel));
  }
  // The entry that element i belongs to, and the offsets inside the slice.
  CCDL_DEVICE int64_t split(int64_t i, int64_t* y, int64_t* src) const {
    const int64_t entry = pair.numel == 1 ? i
                          : small         ? static_cast<int64_t>(div.div(static_cast<uint32_t>(i)))
                                          : i / pair.numel;
    pair.offsets(i - entry * pair.numel, y, src);
    return entry;
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    put_set_kernel(const __grid_constant__ SliceWalk w, const Entry* entries, const unsigned* bad, T* y,
                   const T* src) {
  const int64_t i = global_thread();
  if (i >= w.total || *bad) return;
  int64_t oy, os;
  const Entry e = entries[w.split(i, &oy, &os)];
  if (e.y >= 0) y[e.y + oy] = src[e.src + os];
}

template <class T>
CCDL_DEVICE T combine(T y, T s, PutMode mode) {
  using A = Compute<T>;
  if constexpr (detail::kSame<T, bool>) {
    return mode == PutMode::Add || mode == PutMode::Max ? y || s : y && s;
  } else {
    const A a = convert<A>(y), b = convert<A>(s);
    if (mode == PutMode::Max) return a >= b || a != a ? y : s;
    if (mode == PutMode::Min) return a <= b || a != a ? y : s;
    if constexpr (detail::kIsFloating<T>) {
      return convert<T>(mode == PutMode::Add ? a + b : a * b);
    } else {
      const uint64_t ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
      return static_cast<T>(mode == PutMode::Add ? ua + ub : ua * ub);
    }
  }
}

// Elements of a target's writers from position `at` on, kAhead fetched at a time; stops after `limit` or
// where the target changes. Returns whether it may go on.
template <class T>
CCDL_DEVICE bool combine_run(const SliceWalk& w, const Entry* entries, const T* src, int64_t os, PutMode mode,
                             int64_t limit, int64_t* at, T* sum) {
  constexpr int kAhead = 4;
  const int64_t end = least(w.n, *at + limit);
  while (*at < end) {
    Entry e[kAhead];
    T next[kAhead];
    int count = 0;
#pragma unroll
    for (int k = 0; k < kAhead; ++k) e[k] = *at + k < end ? entries[*at + k] : Entry{kBad, 0};
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (count == k && e[k].y == kNothing) {
        next[k] = src[e[k].src + os];
        count = k + 1;
      }
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k)
      if (k < count) *sum = combine(*sum, next[k], mode);
    *at += count;
    if (count < kAhead) return *at == end && end < w.n;
  }
  return end < w.n;
}

// The same by a whole warp: one fetch of 32 elements, then every lane combines them in order.
template <class T>
CCDL_DEVICE void combine_long_run(const SliceWalk& w, const Entry* entries, const T* src, int64_t os,
                                  PutMode mode, int64_t at, T* sum) {
  using A = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int count = kWarp; count == kWarp; at += kWarp) {
    Entry e{kBad, 0};
    if (at + lane < w.n) e = entries[at + lane];
    const unsigned others = ~__ballot_sync(kFullWarp, e.y == kNothing);
    count = others ? __ffs(static_cast<int>(others)) - 1 : kWarp;
    const A mine = lane < count ? convert<A>(src[e.src + os]) : A(0);
    for (int k = 0; k < count; ++k) *sum = combine(*sum, convert<T>(__shfl_sync(kFullWarp, mine, k)), mode);
  }
}

// The thread of a target's first writer combines all of them, in order. Where slices are narrow and a target
// has many writers, its warp helps.
template <class T>
__global__ void __launch_bounds__(kThreads)
    put_combine_kernel(const __grid_constant__ SliceWalk w, const Entry* entries, const unsigned* bad, T* y,
                       const T* src, PutMode mode) {
  constexpr int64_t kAlone = 64;  // writers a thread takes before it asks for help
  const int64_t i = global_thread();
  if (*bad) return;
  const bool narrow = w.pair.numel < 8;
  int64_t oy = 0, os = 0, at = 0, target = 0;
  bool first = false, more = false;
  T sum{};
  if (i < w.total) {
    at = w.split(i, &oy, &os);
    const Entry e = entries[at];
    first = e.y >= 0;
    if (first) {
      target = e.y + oy;
      sum = combine(y[target], src[e.src + os], mode);
      ++at;
      more = combine_run(w, entries, src, os, mode, narrow ? kAlone : w.n, &at, &sum);
    }
  }
  if (narrow) {
    using A = Compute<T>;
    unsigned waiting = __ballot_sync(kFullWarp, more);
    for (; waiting; waiting &= waiting - 1) {
      const int owner = __ffs(static_cast<int>(waiting)) - 1;
      T theirs = convert<T>(__shfl_sync(kFullWarp, convert<A>(sum), owner));
      combine_long_run(w, entries, src, __shfl_sync(kFullWarp, os, owner), mode,
                       __shfl_sync(kFullWarp, at, owner), &theirs);
      if (static_cast<int>(threadIdx.x) % kWarp == owner) sum = theirs;
    }
  }
  if (first) y[target] = sum;
}

// Integer sums and extremes do not depend on the order. T: int or long long.
template <class T>
__global__ void __launch_bounds__(kThreads)
    put_atomic_kernel(const __grid_constant__ SliceWalk w, const Entry* entries, const unsigned* bad, T* y,
                      const T* src, PutMode mode) {
  using U = std::conditional_t<sizeof(T) == 4, unsigned, unsigned long long>;
  const int64_t i = global_thread();
  if (i >= w.total || *bad) return;
  int64_t oy, os;
  const Entry e = entries[w.split(i, &oy, &os)];
  if (e.y < 0) return;
  T* p = y + e.y + oy;
  const T v = src[e.src + os];
  if (mode == PutMode::Add)
    atomicAdd(reinterpret_cast<U*>(p), static_cast<U>(v));
  else if (mode == PutMode::Max)
    atomicMax(p, v);
  else
    atomicMin(p, v);
}

// ---- host ----

// A walk over index axes [0, n), then y and src, taken apart.
struct Parts {
  HostWalk outer, slice;  // slice: operands y, src
};

Parts take_apart(const HostWalk& w, int n, bool all_outer) {
  Parts parts{HostWalk(n + 2), HostWalk(2)};
  int64_t step[kMaxOperands];
  for (int d = 0; d < w.ndim; ++d) {
    bool outer = all_outer || w.strides[n][d] == 0;
    for (int a = 0; a < n; ++a) outer = outer || w.strides[a][d] != 0;
    if (outer) {
      for (int k = 0; k < n + 2; ++k) step[k] = w.strides[k][d];
      parts.outer.add(w.sizes[d], step);
    } else {
      for (int k = 0; k < 2; ++k) step[k] = w.strides[n + k][d];
      parts.slice.add(w.sizes[d], step);
    }
  }
  return parts;
}

struct Write {
  const IndexAxis* axes;
  int n;
  bool wrap;
  PutMode mode;
  View y, src;
  bool offset_keys = false;  // keys are offsets in y: the outer dimensions may overlap
  int64_t steps[kMaxDims];
};

template <int A>
PutPlan<A> make_plan(const Write& op, const HostWalk& outer) {
  PutPlan<A> plan{};
  const int n = op.n;
  plan.dims = Dimensions(outer);
  plan.n = outer.numel;
  plan.axes = n;
  plan.wrap = op.wrap;
  plan.keys = 1;
  for (int d = 0; d < outer.ndim; ++d) {
    plan.y[d] = outer.strides[n][d];
    plan.src[d] = outer.strides[n + 1][d];
    if (op.offset_keys) {
      plan.key[d] = plan.y[d];
      plan.keys += (outer.sizes[d] - 1) * plan.y[d];
    } else if (plan.y[d] != 0) {
      plan.key[d] = plan.keys;
      plan.keys *= outer.sizes[d];
    }
    for (int a = 0; a < n; ++a) plan.axis[a].strides[d] = outer.strides[a][d];
  }
  for (int a = 0; a < n; ++a) {
    plan.axis[a].index = op.axes[a].index.ptr<const int64_t>();
    plan.axis[a].size = op.axes[a].size;
    plan.axis[a].step = op.steps[a];
    plan.axis[a].dim = op.axes[a].dim;
    plan.axis[a].key_step = plan.keys;
    plan.keys *= op.axes[a].size;
  }
  return plan;
}

void clear(void* p, int64_t bytes) {
  CCDL_CUDA_CHECK(cudaMemsetAsync(p, 0, static_cast<size_t>(bytes), current_stream()));
}

template <class K, class V, int A>
void sorted_entries(const Write& op, const PutPlan<A>& plan, unsigned* bad, Entry* entries) {
  const int64_t n = plan.n;
  const Scratch keys(2 * n * static_cast<int64_t>(sizeof(K))),
      values(2 * n * static_cast<int64_t>(sizeof(V)));
  RadixPairs<K, V> pairs{keys.ptr<K>(), keys.ptr<K>() + n, values.ptr<V>(), values.ptr<V>() + n};
  CCDL_LAUNCH(plain(n), (put_keys_kernel<K, V, A>), plan, pairs.keys, pairs.values, nullptr, bad,
              fault_sink());
  radix_sort_pairs(pairs, n, 1, bits_below(static_cast<uint64_t>(plan.keys) + 1));
  CCDL_LAUNCH(plain(n), (put_sorted_kernel<K, V, A>), plan, pairs.keys, pairs.values, op.mode == PutMode::Set,
              entries);
}

bool atomic_mode(const Write& op) {
  return (op.y.dtype == DType::Int32 || op.y.dtype == DType::Int64) && op.mode != PutMode::Mul &&
         op.mode != PutMode::Set;
}

void write_entries(const Write& op, const HostWalk& slice, int64_t n, int64_t bytes, const Entry* entries,
                   const unsigned* bad) {
  const SliceWalk w(slice, n);
  const LaunchConfig config = plain(w.total);
  if (op.mode == PutMode::Set) {
    by_item_bytes(bytes, [&](auto t) {
      using T = decltype(t);
      CCDL_LAUNCH(config, put_set_kernel<T>, w, entries, bad, op.y.ptr<T>(), op.src.ptr<const T>());
    });
  } else if (atomic_mode(op)) {
    if (op.y.dtype == DType::Int32)
      CCDL_LAUNCH(config, put_atomic_kernel<int>, w, entries, bad, op.y.ptr<int>(), op.src.ptr<const int>(),
                  op.mode);
    else
      CCDL_LAUNCH(config, put_atomic_kernel<long long>, w, entries, bad, op.y.ptr<long long>(),
                  op.src.ptr<const long long>(), op.mode);
  } else {
    by_any(op.y.dtype, [&](auto t) {
      using T = decltype(t);
      CCDL_LAUNCH(config, put_combine_kernel<T>, w, entries, bad, op.y.ptr<T>(), op.src.ptr<const T>(),
                  op.mode);
    });
  }
}

template <int A>
void write_parts(const Write& op, const Parts& parts, int64_t bytes) {
  const PutPlan<A> plan = make_plan<A>(op, parts.outer);
  const int64_t n = plan.n;
  const bool single = op.mode == PutMode::Set && parts.slice.numel == 1;
  const Scratch flag(16);
  unsigned* bad = flag.ptr<unsigned>();  // an index was outside: nothing is written
  clear(bad, 16);
  const bool apart = n == 1 || (op.n == 0 && !op.offset_keys) || atomic_mode(op);
  const bool owners = op.mode == PutMode::Set && n < INT32_MAX && plan.keys <= 8 * n + (1 << 16);
  if (apart || owners) {
    const Scratch entries(single ? 0 : n * static_cast<int64_t>(sizeof(Entry)));
    const Scratch owner(apart ? 0 : plan.keys * 4);
    unsigned* owner_of = apart ? nullptr : owner.ptr<unsigned>();
    if (owner_of) clear(owner_of, plan.keys * 4);
    if (op.n > 0 || owner_of)
      CCDL_LAUNCH(plain(n), (put_keys_kernel<uint32_t, uint32_t, A>), plan, nullptr, nullptr, owner_of, bad,
                  fault_sink());
    if (single) {
      by_item_bytes(bytes, [&](auto t) {
        using T = decltype(t);
        CCDL_LAUNCH(plain(n), (put_single_kernel<T, A>), plan, owner_of, bad, op.y.ptr<T>(),
                    op.src.ptr<const T>());
      });
      return;
    }
    CCDL_LAUNCH(plain(n), put_owned_kernel<A>, plan, owner_of, entries.ptr<Entry>());
    return write_entries(op, parts.slice, n, bytes, entries.ptr<Entry>(), bad);
  }
  const Scratch entries(n * static_cast<int64_t>(sizeof(Entry)));
  if (n > INT32_MAX)
    sorted_entries<uint64_t, uint64_t>(op, plan, bad, entries.ptr<Entry>());
  else if (plan.keys >= int64_t{UINT32_MAX})
    sorted_entries<uint64_t, uint32_t>(op, plan, bad, entries.ptr<Entry>());
  else
    sorted_entries<uint32_t, uint32_t>(op, plan, bad, entries.ptr<Entry>());
  write_entries(op, parts.slice, n, bytes, entries.ptr<Entry>(), bad);
}

void write(Write& op, const HostWalk& w) {
  const int n = op.n;
  const int64_t item = item_size(op.y.dtype);
  Parts parts = take_apart(w, n, op.offset_keys);
  int64_t bytes = item;
  if (op.mode == PutMode::Set && parts.slice.ndim > 0) {
    // offsets outside the slice move in wide items too
    int64_t steps[3 * kMaxDims];
    int count = 0;
    for (int d = 0; d < parts.outer.ndim; ++d) {
      steps[count++] = parts.outer.strides[n][d];
      steps[count++] = parts.outer.strides[n + 1][d];
    }
    for (int a = 0; a < n; ++a) steps[count++] = op.steps[a];
    const int64_t lanes = widen(parts.slice, item, {0, 1}, {op.y.data, op.src.data}, steps, count);
    bytes = item * lanes;
    for (int d = 0; d < parts.outer.ndim; ++d) {
      parts.outer.strides[n][d] /= lanes;
      parts.outer.strides[n + 1][d] /= lanes;
    }
    for (int a = 0; a < n; ++a) op.steps[a] /= lanes;
  }
  if (n <= 1)
    write_parts<1>(op, parts, bytes);
  else if (n <= 3)
    write_parts<3>(op, parts, bytes);
  else
    write_parts<kMaxDims>(op, parts, bytes);
}

}  // namespace

// A bad index never writes anything here: the error surfaces after an in-place op has copied its result back.
IndexFault index_put(const View& y, const IndexAxis* axes, int n, bool wrap, const View& src, PutMode mode,
                     bool /*check_first*/) {
  HostWalk w(n + 2);
  int64_t step[kMaxOperands];
  for (int d = y.ndim - 1; d >= 0; --d) {
    for (int a = 0; a < n; ++a) step[a] = axes[a].index.strides[d];
    step[n] = y.strides[d];
    step[n + 1] = src.strides[d];
    w.add(y.sizes[d], step);
  }
  if (w.numel == 0) return {};
  Write op{axes, n, wrap, mode, y, src, false, {}};
  for (int a = 0; a < n; ++a) op.steps[a] = axes[a].step;
  const int64_t item = item_size(y.dtype);
  const Scratch number(src.on_host() ? 16 : 0);
  if (src.on_host()) {
    write_to_device(number.ptr<void>(), src.data, item);
    op.src.data = number.ptr<void>();
  }
  write(op, w);
  return {};
}

namespace moving {

void add_overlapping(const HostWalk& y_and_src, const View& y, const View& src) {
  if (y_and_src.numel == 0) return;
  Write op{nullptr, 0, false, PutMode::Add, y, src, true, {}};
  write(op, y_and_src);
}

}  // namespace moving
}  // namespace ccdl::cu
