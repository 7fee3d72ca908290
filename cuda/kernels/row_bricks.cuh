// Bricks of the kernels that work row by row: groups of threads (a power of two up to a warp, or a whole
// block) that reduce plain structs in a fixed order, vectors that start anywhere in a row, single reads and
// writes through a run-time dtype, and the online (maximum, sum of exponentials) pair.
#pragma once
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/index.cuh>
#include <device/vec.cuh>

namespace ccdl::cu {

constexpr double kInfinity = __builtin_huge_val();

// A 4-byte number, or any plain struct of whole 8-byte words, from the lane whose number differs by offset.
template <class A>
CCDL_DEVICE A shuffle_xor(const A& v, int offset) {
  if constexpr (sizeof(A) == 4) {
    return __shfl_xor_sync(kFullWarp, v, offset);
  } else {
    static_assert(sizeof(A) % 8 == 0);
    unsigned long long words[sizeof(A) / 8];
    __builtin_memcpy(words, &v, sizeof(A));
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(A) / 8); ++i)
      words[i] = __shfl_xor_sync(kFullWarp, words[i], offset);
    A out;
    __builtin_memcpy(&out, words, sizeof(A));
    return out;
  }
}
// The same from the lane `offset` below; lanes under offset keep their own.
template <class A>
CCDL_DEVICE A shuffle_up(const A& v, int offset) {
  if constexpr (sizeof(A) == 4) {
    return __shfl_up_sync(kFullWarp, v, offset);
  } else {
    static_assert(sizeof(A) % 8 == 0);
    unsigned long long words[sizeof(A) / 8];
    __builtin_memcpy(words, &v, sizeof(A));
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(A) / 8); ++i)
      words[i] = __shfl_up_sync(kFullWarp, words[i], offset);
    A out;
    __builtin_memcpy(&out, words, sizeof(A));
    return out;
  }
}

// op over the `group` threads of a row, a power of two of neighbours: up to kWarp every lane of the warp
// calls; above, up to the whole block, every thread of the block.
template <class A, class Op>
CCDL_DEVICE A group_reduce(A v, const Op& op, int group, const A& identity) {
  for (int offset = least(group, kWarp) / 2; offset > 0; offset /= 2) v = op(v, shuffle_xor(v, offset));
  if (group <= kWarp) return v;
  CCDL_SHARED(A, partial, [kWarp]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = group / kWarp;
  if (lane == 0) partial[warp] = v;
  __syncthreads();  // partials are complete
  v = lane < warps ? partial[warp / warps * warps + lane] : identity;
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v = op(v, shuffle_xor(v, offset));
  __syncthreads();  // partials may be overwritten
  return v;
}
template <class A>
CCDL_DEVICE A group_sum(A v, int group) {
  return group_reduce(v, SumOp(), group, A(0));
}

// Two sums reduced together.
template <class C>
struct Pair {
  C a, b;
};
struct PairSum {
  template <class C>
  CCDL_DEVICE Pair<C> operator()(const Pair<C>& x, const Pair<C>& y) const {
    return {x.a + y.a, x.b + y.b};
  }
};
template <class C>
CCDL_DEVICE Pair<C> group_sum(const Pair<C>& v, int group) {
  return group_reduce(v, PairSum(), group, Pair<C>{C(0), C(0)});
}

CCDL_DEVICE float exp_of(float v) { return expf(v); }
CCDL_DEVICE double exp_of(double v) { return exp(v); }
CCDL_DEVICE float log_of(float v) { return logf(v); }
CCDL_DEVICE double log_of(double v) { return log(v); }
CCDL_DEVICE float rsqrt_of(float v) { return 1.0f / sqrtf(v); }
CCDL_DEVICE double rsqrt_of(double v) { return 1.0 / sqrt(v); }
CCDL_DEVICE float fma_of(float a, float b, float c) { return fmaf(a, b, c); }
CCDL_DEVICE double fma_of(double a, double b, double c) { return fma(a, b, c); }

// sum = sum of exp(x - max) so far. A maximum of -inf shifts by 0, so empty and -inf parts add nothing; a
// NaN or +inf element makes the sum NaN.
template <class C>
struct Online {
  C max, sum;
};
template <class C>
CCDL_DEVICE C online_shift(C max) {
  return max == -C(kInfinity) ? C(0) : max;
}
template <class C>
CCDL_DEVICE Online<C> online_empty() {
  return {-C(kInfinity), C(0)};
}
struct OnlineJoin {
  template <class C>
  CCDL_DEVICE Online<C> operator()(const Online<C>& x, const Online<C>& y) const {
    const C max = y.max > x.max ? y.max : x.max, shift = online_shift(max);
    return {max, x.sum * exp_of(x.max - shift) + y.sum * exp_of(y.max - shift)};
  }
};
// n values at once: one rescaling for all of them.
template <int N, class C>
CCDL_DEVICE void online_add(Online<C>& acc, const C (&v)[N]) {
  C max = acc.max;
#pragma unroll
  for (int k = 0; k < N; ++k) max = v[k] > max ? v[k] : max;
  const C shift = online_shift(max);
  C sum = max == acc.max ? acc.sum : acc.sum * exp_of(acc.max - shift);
#pragma unroll
  for (int k = 0; k < N; ++k) sum += exp_of(v[k] - shift);
  acc = {max, sum};
}

// A row of only -inf has no softmax: its sum becomes NaN.
template <class C>
CCDL_DEVICE Online<C> proper(const Online<C>& v) {
  return v.max == -C(kInfinity) ? Online<C>{v.max, v.max - v.max} : v;
}

// V elements from p in the compute type; p is aligned to them.
template <int V, class T>
CCDL_DEVICE void load_row(const T* p, Compute<T> (&out)[V]) {
  const Vec<T, V> v = load_vec<T, V>(p);
#pragma unroll
  for (int k = 0; k < V; ++k) out[k] = convert<Compute<T>>(v[k]);
}
template <int V, class T>
CCDL_DEVICE void store_row(T* p, const Compute<T> (&in)[V]) {
  Vec<T, V> v;
#pragma unroll
  for (int k = 0; k < V; ++k) v[k] = convert<T>(in[k]);
  store_vec(p, v);
}

// A contiguous row of n elements cut for accesses of V: `head` elements up to the first aligned one, `count`
// accesses, and what is left. Head and tail are fewer than 2 V elements, one lane each.
template <int V>
struct RowCut {
  int64_t n, head, count;
  // misplaced: elements between an aligned address and the row's first
  CCDL_DEVICE RowCut(int64_t n_in, int64_t misplaced) : n(n_in) {
    head = V == 1 ? 0 : least<int64_t>((V - misplaced % V) % V, n);
    count = (n - head) / V;
  }
  // The lane's element outside the accesses, or -1.
  CCDL_DEVICE int64_t edge(int lane) const {
    if (V == 1) return -1;
    const int64_t i = lane < head ? lane : count * V + lane;
    return i < n ? i : -1;
  }
};
// Elements of T between an aligned address and p.
template <class T>
int phase_of(const void* p) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16 / sizeof(T));
}

// A floating vector of any dtype, or nothing.
struct FloatRef {
  void* data = nullptr;
  DType dtype = DType::Float32;
  FloatRef() = default;
  explicit FloatRef(const View& v) : data(v.data), dtype(v.dtype) {}
  CCDL_DEVICE double get(int64_t i) const {
    switch (dtype) {
      case DType::Float16:
        return static_cast<double>(convert<float>(static_cast<const float16*>(data)[i]));
      case DType::BFloat16:
        return static_cast<double>(convert<float>(static_cast<const bfloat16*>(data)[i]));
      case DType::Float32:
        return static_cast<double>(static_cast<const float*>(data)[i]);
      default:
        return static_cast<const double*>(data)[i];
    }
  }
  CCDL_DEVICE double get_or(int64_t i, double otherwise) const { return data ? get(i) : otherwise; }
  CCDL_DEVICE void set(int64_t i, double v) const {
    switch (dtype) {
      case DType::Float16:
        static_cast<float16*>(data)[i] = convert<float16>(static_cast<float>(v));
        break;
      case DType::BFloat16:
        static_cast<bfloat16*>(data)[i] = convert<bfloat16>(static_cast<float>(v));
        break;
      case DType::Float32:
        static_cast<float*>(data)[i] = static_cast<float>(v);
        break;
      default:
        static_cast<double*>(data)[i] = v;
    }
  }
};

// Quotient and remainder by a run-time constant, for any 64-bit dividend.
struct Splitter {
  FastDiv fast;
  int64_t divisor = 1;
  bool small = true;  // dividends stay below 2^31
  Splitter() = default;
  Splitter(int64_t divisor_in, int64_t limit) : divisor(divisor_in), small(limit <= INT32_MAX) {
    if (small) fast = FastDiv(static_cast<uint32_t>(divisor));
  }
  CCDL_DEVICE int64_t div(int64_t i) const {
    return small ? static_cast<int64_t>(fast.div(static_cast<uint32_t>(i))) : i / divisor;
  }
  CCDL_DEVICE int64_t mod(int64_t i) const { return i - div(i) * divisor; }
};

inline int pow2_at_least(int64_t n, int most_) {
  int p = 1;
  while (p < n && p < most_) p *= 2;
  return p;
}

// Calls f(T()) with the element type of a floating dtype.
template <class F>
void by_float(DType t, const F& f) {
  switch (t) {
    case DType::Float16:
      return f(float16());
    case DType::BFloat16:
      return f(bfloat16());
    case DType::Float32:
      return f(float());
    default:
      return f(double());
  }
}
// The same for integers; Bool counts as UInt8.
template <class F>
void by_integer(DType t, const F& f) {
  switch (t) {
    case DType::Int8:
      return f(int8_t());
    case DType::Int16:
      return f(int16_t());
    case DType::Int32:
      return f(int32_t());
    case DType::Int64:
      return f(int64_t());
    default:
      return f(uint8_t());
  }
}

// How a kernel that owns whole contiguous rows is cut: `group` threads per row (a part of a warp, or the
// block), `per_block` rows per block.
struct RowConfig {
  int group, threads, per_block;
  LaunchConfig launch(int64_t rows) const {
    LaunchConfig c;
    c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(rows, per_block)));
    c.block = dim3(static_cast<unsigned>(threads));
    return c;
  }
};
// accesses = of one row; a warp takes up to `per_lane` per lane, longer rows get a block of up to
// most_threads. With accesses of several elements at least 16 threads share a row, which covers its head and
// tail (RowCut).
inline RowConfig row_config(int64_t rows, int64_t accesses, int per_lane, int most_threads, int lanes = 1) {
  if (accesses <= kWarp * per_lane) {
    const int wanted = pow2_at_least(ceil_div<int64_t>(accesses, least(per_lane, 2)), kWarp);
    const int group = lanes > 1 ? most(wanted, 16) : wanted;
    const int threads = most(kWarp, pow2_at_least(rows * group, 128));
    return {group, threads, threads / group};
  }
  const int threads = pow2_at_least(ceil_div<int64_t>(accesses, per_lane), most_threads);
  return {threads, threads, 1};
}
// Rows of n elements are long enough for 16-byte accesses with head and tail.
template <class T>
bool row_accesses(int64_t n) {
  return n >= 8 * kLanes<T>;
}

// [outer, n, inner] reduced over n: a block takes `width` neighbouring columns (of inner) of one outer index,
// the `lanes` threads of a column take every lanes-th row.
constexpr int kColumnThreads = 256;
struct Columns {
  int64_t outer, n, inner;
  int width, lanes;
  LaunchConfig launch() const {
    LaunchConfig c;
    c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(inner, width) * outer));
    c.block = dim3(static_cast<unsigned>(width * lanes));
    return c;
  }
};
inline Columns columns_of(int64_t outer, int64_t n, int64_t inner) {
  Columns s{outer, n, inner, 0, 0};
  s.lanes = pow2_at_least(ceil_div<int64_t>(n, 8), inner >= 16 ? 8 : inner >= 4 ? 32 : 128);
  s.width = pow2_at_least(inner, least(kColumnThreads / s.lanes, 64));
  return s;
}
// The calling thread's place: offset of row 0 of its column, past-the-last row (0 outside), its lane.
struct ColumnPlace {
  int64_t slab, column, base, end;
  int lane;
  CCDL_DEVICE explicit ColumnPlace(const Columns& s) {
    const int64_t tiles = ceil_div<int64_t>(s.inner, s.width);
    slab = blockIdx.x / tiles;
    column = (blockIdx.x - slab * tiles) * s.width + static_cast<int>(threadIdx.x) % s.width;
    lane = static_cast<int>(threadIdx.x) / s.width;
    base = slab * s.n * s.inner + column;
    end = column < s.inner ? s.n : 0;
  }
};
// op over the lanes of each column, in a fixed tree; every thread of the block calls.
template <class A, class Op>
CCDL_DEVICE A column_reduce(const A& v, const Op& op, const Columns& s) {
  CCDL_SHARED(A, all, [kColumnThreads]);
  const int me = static_cast<int>(threadIdx.x), lane = me / s.width;
  all[me] = v;
  for (int step = s.lanes / 2; step > 0; step /= 2) {
    __syncthreads();  // the upper half is complete
    if (lane < step) all[me] = op(all[me], all[me + step * s.width]);
  }
  __syncthreads();  // the first lane holds the result
  const A result = all[me % s.width];
  __syncthreads();  // read by everybody: the next call may overwrite
  return result;
}

}  // namespace ccdl::cu
