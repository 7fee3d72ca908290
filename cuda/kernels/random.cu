// Random fills, dropout and sampling from the CPU's Philox stream, same bits: element i in logical order
// takes word i % 4 of counter offset + i / 4 (64-bit draws: two words). A thread makes the four or two
// elements of one counter. Bound: bytes of y; Philox costs about as much as writing float32.
#include <ccdl/kernels/random.h>

#include <cmath>

#include <device/block.cuh>
#include <kernels/elementwise_walk.cuh>
#include <kernels/radix_sort.cuh>

namespace ccdl::cu {
namespace {

CCDL_DEVICE uint64_t draw_of(const rng::Words& b, int i) {
  return b.w[2 * i] | static_cast<uint64_t>(b.w[2 * i + 1]) << 32;
}
CCDL_DEVICE double log_positive(uint64_t w) {
  return rng::log_double<rng::DoubleLane>(rng::positive_double(w));
}

// ---- makers: the values of one counter; V is what store_as() converts from ----

struct UniformFloat {
  using V = float;
  static constexpr int kCount = 4;
  uint32_t mask;
  float from, span;
  CCDL_DEVICE void operator()(const rng::Words& b, V (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      v[i] = rng::FloatLane::mul(rng::uniform_float(b.w[i] & mask), span) + from;
  }
};
struct UniformDouble {
  using V = double;
  static constexpr int kCount = 2;
  double from, span;
  CCDL_DEVICE void operator()(const rng::Words& b, V (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      v[i] = rng::DoubleLane::mul(rng::uniform_double(draw_of(b, i)), span) + from;
  }
};
struct NormalFloat {
  using V = float;
  static constexpr int kCount = 4;
  float mean, std;
  CCDL_DEVICE void operator()(const rng::Words& b, V (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; i += 2) {
      const auto z = rng::normal_pair_float<rng::FloatLane>(static_cast<int32_t>(b.w[i] >> 1),
                                                            static_cast<int32_t>(b.w[i + 1] >> 8));
      v[i] = rng::FloatLane::mul(z.cos_part, std) + mean;
      v[i + 1] = rng::FloatLane::mul(z.sin_part, std) + mean;
    }
  }
};
struct NormalDouble {
  using V = double;
  static constexpr int kCount = 2;
  double mean, std;
  CCDL_DEVICE void operator()(const rng::Words& b, V (&v)[kCount]) const {
    const auto z = rng::normal_pair_double<rng::DoubleLane>(static_cast<int64_t>(draw_of(b, 0) >> 11),
                                                            static_cast<int64_t>(draw_of(b, 1) >> 11));
    v[0] = rng::DoubleLane::mul(z.cos_part, std) + mean;
    v[1] = rng::DoubleLane::mul(z.sin_part, std) + mean;
  }
};
// One value per 64-bit draw.
template <class F>
struct EachDraw {
  using V = decltype(F::of(uint64_t{0}, F()));
  static constexpr int kCount = 2;
  F f;
  CCDL_DEVICE void operator()(const rng::Words& b, V (&v)[kCount]) const {
    v[0] = F::of(draw_of(b, 0), f);
    v[1] = F::of(draw_of(b, 1), f);
  }
};
struct Exponential {
  double lambda;
  CCDL_DEVICE static double of(uint64_t w, const Exponential& f) {
    return rng::DoubleLane::div(-log_positive(w), f.lambda);
  }
};
struct Geometric {
  double base;
  CCDL_DEVICE static double of(uint64_t w, const Geometric& f) { return floor(log_positive(w) / f.base) + 1; }
};
struct Cauchy {
  double median, sigma;
  CCDL_DEVICE static double of(uint64_t w, const Cauchy& f) {
    return f.median + f.sigma * tan(3.14159265358979323846 * (rng::positive_double(w) - 0.5));
  }
};
struct Integer {
  int64_t low;
  uint64_t range;
  CCDL_DEVICE static int64_t of(uint64_t w, const Integer& f) {
    return static_cast<int64_t>(static_cast<uint64_t>(f.low) + rng::bounded(w, f.range));
  }
};
struct Bernoulli {
  using V = float;
  static constexpr int kCount = 4;
  uint64_t threshold;
  CCDL_DEVICE void operator()(const rng::Words& b, V (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) v[i] = b.w[i] < threshold ? 1.0f : 0.0f;
  }
};

// ---- fills ----

CCDL_DEVICE void store_value(void* y, DType t, int64_t offset, float v) { store_as(y, t, offset, v); }
CCDL_DEVICE void store_value(void* y, DType t, int64_t offset, double v) { store_as(y, t, offset, v); }
CCDL_DEVICE void store_value(void* y, DType t, int64_t offset, int64_t v) {  // to floats through double
  if (is_floating(t))
    store_as(y, t, offset, static_cast<double>(v));
  else
    store_as(y, t, offset, v);
}

// quads: y is dense and aligned for store_quad.
template <class F>
__global__ void __launch_bounds__(kThreads)
    random_kernel(Walk<1> w, void* y, DType t, bool quads, RandomState state, F f) {
  using V = typename F::V;
  constexpr int kCount = F::kCount;
  state = resolve(state);
  const int64_t counter = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, first = counter * kCount;
  if (first >= w.numel) return;
  V v[kCount];
  f(rng::block(state, static_cast<uint64_t>(counter)), v);
  if constexpr (detail::kSame<V, float>) {
    if (quads && first + kCount <= w.numel) return store_quad(y, t, first, v);
  }
#pragma unroll 1
  for (int j = 0; j < kCount; ++j) {
    int64_t off[1];
    if (first + j < w.numel) {
      w.offsets(first + j, off);
      store_value(y, t, off[0], v[0]);
    }
#pragma unroll
    for (int i = 0; i + 1 < kCount; ++i) v[i] = v[i + 1];
  }
}

bool holds_quads(const View& y) {
  return is_floating(y.dtype) && y.dtype != DType::Float64 && y.is_contiguous() &&
         reinterpret_cast<uintptr_t>(y.data) % static_cast<uintptr_t>(4 * item_size(y.dtype)) == 0;
}

template <class F>
void random_fill(const View& y, const RandomState& state, const F& f) {
  const View* views[] = {&y};
  const Walk<1> w = make_walk(views);
  const int64_t counters = ceil_div<int64_t>(w.numel, F::kCount);
  CCDL_LAUNCH(blocks_of(counters, kThreads), random_kernel<F>, w, y.data, y.dtype, holds_quads(y), state, f);
}

CCDL_DEVICE double number_at(const void* p, DType t, int64_t offset) {
  return t == DType::Float64   ? static_cast<const double*>(p)[offset]
         : t == DType::Float32 ? convert<double>(static_cast<const float*>(p)[offset])
         : t == DType::Float16 ? convert<double>(static_cast<const float16*>(p)[offset])
                               : convert<double>(static_cast<const bfloat16*>(p)[offset]);
}

// w / 2^32 < p, as an integer comparison.
CCDL_HD CCDL_INLINE uint64_t bernoulli_threshold(double p) { return static_cast<uint64_t>(ceil(p * 0x1p32)); }

__global__ void __launch_bounds__(kThreads)
    bernoulli_each_kernel(Walk<2> w, const void* p, DType p_type, void* y, DType t, RandomState state) {
  state = resolve(state);
  const int64_t counter = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  rng::Words b = rng::block(state, static_cast<uint64_t>(counter));
#pragma unroll 1
  for (int64_t i = 4 * counter; i < least(4 * counter + 4, w.numel); ++i) {
    int64_t off[2];
    w.offsets(i, off);
    const double chance = number_at(p, p_type, off[1]);
    // A probability outside [0, 1] is reported by probabilities_valid(); NaN counts as 0 here.
    const bool hit = chance > 0 && (chance >= 1 || b.w[0] < bernoulli_threshold(chance));
    store_as(y, t, off[0], hit ? 1.0f : 0.0f);
    b.w[0] = b.w[1], b.w[1] = b.w[2], b.w[2] = b.w[3];
  }
}

__global__ void __launch_bounds__(kThreads)
    probabilities_kernel(Walk<1> w, const void* p, DType t, FaultSink sink) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * 4) + threadIdx.x;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int64_t i = first + j * kThreads;
    if (i >= w.numel) break;
    int64_t off[1];
    w.offsets(i, off);
    const double v = number_at(p, t, off[0]);
    if (!(v >= 0 && v <= 1)) sink.report(FaultKind::Probability, i, w.numel);
  }
}

// ---- dropout ----

struct Dropout {
  RandomState state;
  uint32_t threshold;
  int64_t group;
  double scale;
  CCDL_DEVICE bool kept(uint64_t element) const {
    return rng::kept(rng::draw32(state, element / static_cast<uint64_t>(group)), threshold);
  }
};

CCDL_DEVICE void drop_at(const Dropout& d, DType t, const void* x, int64_t from, void* y, int64_t to,
                         bool kept) {
  if (t == DType::Float64) {
    static_cast<double*>(y)[to] = static_cast<const double*>(x)[from] * (kept ? d.scale : 0.0);
  } else {
    const float factor = kept ? static_cast<float>(d.scale) : 0.0f;
    store_as(y, t, to, load_as<float>(x, t, t == DType::Float32 ? 4 : 2, from) * factor);
  }
}

// x and y dense and aligned: quad q has the words of counter q when group is 1.
__global__ void __launch_bounds__(kThreads)
    dropout_quads_kernel(const void* x, void* y, DType t, int64_t n, Dropout d) {
  d.state = resolve(d.state);
  const int item = t == DType::Float32 ? 4 : 2;
  const int64_t quads = n / 4, first = static_cast<int64_t>(blockIdx.x) * (kThreads * kQuads) + threadIdx.x;
  const float factor = static_cast<float>(d.scale);
  RawQuad raw[kQuads];
#pragma unroll
  for (int q = 0; q < kQuads; ++q)
    if (first + q * kThreads < quads) raw[q] = load_quad(x, item, 4 * (first + q * kThreads), false);
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
    const int64_t at = first + q * kThreads;
    if (at >= quads) break;
    float v[4];
    unpack_quad(raw[q], t, v);
    if (d.group == 1) {
      const rng::Words b = rng::block(d.state, static_cast<uint64_t>(at));
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] *= rng::kept(b.w[i], d.threshold) ? factor : 0.0f;
    } else {
      const uint64_t begin = 4 * static_cast<uint64_t>(at), group = static_cast<uint64_t>(d.group);
      uint64_t border = (begin / group + 1) * group;  // where the next word starts
      bool keep = d.kept(begin);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (begin + i == border) keep = d.kept(border), border += group;
        v[i] *= keep ? factor : 0.0f;
      }
    }
    store_quad(y, t, 4 * at, v);
  }
  const int64_t tail = 4 * quads + threadIdx.x;
  if (blockIdx.x == 0 && tail < n) drop_at(d, t, x, tail, y, tail, d.kept(static_cast<uint64_t>(tail)));
}

__global__ void __launch_bounds__(kThreads)
    dropout_walk_kernel(Walk<2> w, const void* x, void* y, DType t, Dropout d) {
  d.state = resolve(d.state);
  const int64_t first = 4 * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  uint64_t block = ~uint64_t{0};
  rng::Words b{};
#pragma unroll 1
  for (int64_t i = first; i < least(first + 4, w.numel); ++i) {
    const uint64_t word = static_cast<uint64_t>(i) / static_cast<uint64_t>(d.group);
    if (word / 4 != block) b = rng::block(d.state, block = word / 4);
    const uint32_t drawn = word % 4 == 0 ? b.w[0] : word % 4 == 1 ? b.w[1] : word % 4 == 2 ? b.w[2] : b.w[3];
    int64_t off[2];
    w.offsets(i, off);
    drop_at(d, t, x, off[1], y, off[0], rng::kept(drawn, d.threshold));
  }
}

// ---- permutation ----

__global__ void __launch_bounds__(kThreads)
    permutation_keys_kernel(uint64_t* keys, uint32_t* values, int64_t n, RandomState state) {
  state = resolve(state);
  const int64_t counter = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const rng::Words b = rng::block(state, static_cast<uint64_t>(counter));
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t at = 2 * counter + i;
    if (at >= n) break;
    keys[at] = draw_of(b, i);
    values[at] = static_cast<uint32_t>(at);
  }
}

// y[r, j] = values[r, j] for j < count; rows of values are k apart.
__global__ void __launch_bounds__(kThreads)
    take_kernel(const uint32_t* values, int64_t k, int64_t* y, int64_t stride, int64_t rows, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows * count) return;
  const int64_t r = i / count;
  y[i * stride] = values[r * k + (i - r * count)];
}

// ---- multinomial ----

struct Weights {
  const void* data;
  DType dtype;
  int64_t row, column;  // strides
  CCDL_DEVICE double at(int64_t r, int64_t c) const { return number_at(data, dtype, r * row + c * column); }
};

// One block per row.
__global__ void __launch_bounds__(kThreads)
    check_weights_kernel(Weights p, int64_t k, int64_t n, FaultSink sink) {
  const int64_t r = blockIdx.x;
  int64_t positive = 0;
  bool bad = false;
  double total = 0;
  for (int64_t c = threadIdx.x; c < k; c += kThreads) {
    const double v = p.at(r, c);
    bad = bad || !(v >= 0 && v <= 1.7976931348623157e308);
    positive += v > 0;
    total += v;
  }
  const bool any_bad = __syncthreads_or(bad) != 0;
  positive = block_sum(positive);
  total = block_sum(total);
  if (threadIdx.x != 0) return;
  const int found = any_bad ? 1 : total <= 0 ? 2 : positive < n ? 4 : 0;
  if (found != 0) sink.report(FaultKind::Weights, found, n);
}

// sums[r, c] = p[r, 0] + ... + p[r, c], added one after the other as the CPU does; last[r] = the last
// category with weight. One block per row: all threads fetch, one adds.
__global__ void __launch_bounds__(kThreads)
    running_sums_kernel(Weights p, int64_t first_row, int64_t k, double* sums, int64_t* last) {
  CCDL_SHARED(double, part, [kThreads]);
  const int64_t r = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x);
  double total = 0;
  int64_t with_weight = 0;
  for (int64_t begin = 0; begin < k; begin += kThreads) {
    const double v = begin + lane < k ? p.at(first_row + r, begin + lane) : 0;
    if (v > 0) with_weight = begin + lane;
    part[lane] = v;
    __syncthreads();  // the weights are there
    if (lane == 0) {
#pragma unroll 8
      for (int i = 0; i < kThreads; ++i) part[i] = total += part[i];
    }
    __syncthreads();  // the sums are there
    if (begin + lane < k) sums[r * k + begin + lane] = part[lane];
    __syncthreads();  // and read: the next weights may overwrite them
  }
  with_weight = block_reduce(with_weight, MaxOp(), int64_t{0});
  if (lane == 0) last[r] = with_weight;
}

// A thread per draw: the first category whose running sum exceeds u.
__global__ void __launch_bounds__(kThreads)
    search_kernel(const double* sums, const int64_t* last, int64_t first_row, int64_t rows, int64_t k,
                  int64_t n, int64_t* y, RandomState state) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows * n) return;
  state = resolve(state);
  const int64_t r = i / n;
  const double* row = sums + r * k;
  const double u =
      rng::uniform_double(rng::draw64(state, static_cast<uint64_t>(first_row * n + i))) * row[k - 1];
  int64_t low = 0, high = k;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (row[middle] > u)
      high = middle;
    else
      low = middle + 1;
  }
  y[first_row * n + i] = least(low, last[r]);
}

// Arrival times Exponential(1) / p: as bits they sort like the numbers, they are not negative.
__global__ void __launch_bounds__(kThreads)
    arrivals_kernel(Weights p, int64_t first_row, int64_t rows, int64_t k, uint64_t* keys, uint32_t* values,
                    RandomState state) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows * k) return;
  state = resolve(state);
  const int64_t r = i / k, c = i - r * k;
  const double v = p.at(first_row + r, c);
  const double e =
      Exponential::of(rng::draw64(state, static_cast<uint64_t>(first_row * k + i)), Exponential{1.0});
  const double time = v > 0 ? e / v + 0.0 : __builtin_inf();  // + 0.0: no negative zero
  keys[i] = static_cast<uint64_t>(__double_as_longlong(time));
  values[i] = static_cast<uint32_t>(c);
}

Weights weights_of(const View& p) {
  return {p.data, p.dtype, p.ndim == 2 ? p.strides[0] : 0, p.strides[p.ndim - 1]};
}

// Rows at a time, so that scratch memory stays below this many elements.
constexpr int64_t kScratchElements = int64_t{1} << 25;

// Key and value buffers of a sort.
struct SortScratch {
  Scratch keys, values;
  RadixPairs<uint64_t, uint32_t> pairs;
  explicit SortScratch(int64_t n)
      : keys(2 * n * static_cast<int64_t>(sizeof(uint64_t))),
        values(2 * n * static_cast<int64_t>(sizeof(uint32_t))) {
    pairs = {keys.ptr<uint64_t>(), keys.ptr<uint64_t>() + n, values.ptr<uint32_t>(),
             values.ptr<uint32_t>() + n};
  }
};

}  // namespace

void random_uniform(const View& y, RandomState state, double from, double to) {
  if (y.dtype == DType::Float64) return random_fill(y, state, UniformDouble{from, to - from});
  // A half type holds fewer bits: the surplus is cut so that rounding cannot reach `to`.
  const uint32_t mask = y.dtype == DType::Float16    ? 0xffe00000u
                        : y.dtype == DType::BFloat16 ? 0xff000000u
                                                     : ~0u;
  random_fill(y, state, UniformFloat{mask, static_cast<float>(from), static_cast<float>(to - from)});
}

void random_normal(const View& y, RandomState state, double mean, double std) {
  if (y.dtype == DType::Float64)
    random_fill(y, state, NormalDouble{mean, std});
  else
    random_fill(y, state, NormalFloat{static_cast<float>(mean), static_cast<float>(std)});
}

void random_exponential(const View& y, RandomState state, double lambda) {
  random_fill(y, state, EachDraw<Exponential>{{lambda}});
}
void random_geometric(const View& y, RandomState state, double p) {
  random_fill(y, state, EachDraw<Geometric>{{std::log1p(-p)}});  // p == 1: -inf, one trial
}
void random_cauchy(const View& y, RandomState state, double median, double sigma) {
  random_fill(y, state, EachDraw<Cauchy>{{median, sigma}});
}
void random_integers(const View& y, RandomState state, int64_t low, uint64_t range) {
  random_fill(y, state, EachDraw<Integer>{{low, range}});
}
void random_bernoulli(const View& y, RandomState state, double p) {
  random_fill(y, state, Bernoulli{bernoulli_threshold(p)});
}

void random_bernoulli_each(const View& p, const View& y, RandomState state) {
  const View* views[] = {&y, &p};
  const Walk<2> w = make_walk(views);
  CCDL_LAUNCH(blocks_of(ceil_div<int64_t>(w.numel, 4), kThreads), bernoulli_each_kernel, w, p.data, p.dtype,
              y.data, y.dtype, state);
}

bool probabilities_valid(const View& p) {
  const View* views[] = {&p};
  const Walk<1> w = make_walk(views);
  CCDL_LAUNCH(blocks_of(w.numel, kThreads * 4), probabilities_kernel, w, p.data, p.dtype, fault_sink());
  return true;
}

void random_permutation(const View& y, RandomState state) {
  const int64_t n = y.sizes[0];
  if (n == 0) return;
  SortScratch sort(n);
  CCDL_LAUNCH(blocks_of(ceil_div<int64_t>(n, 2), kThreads), permutation_keys_kernel, sort.pairs.keys,
              sort.pairs.values, n, state);
  radix_sort_pairs(sort.pairs, n, 1, 64);
  CCDL_LAUNCH(blocks_of(n, kThreads), take_kernel, sort.pairs.values, n, y.ptr<int64_t>(), y.strides[0], 1,
              n);
}

void dropout_forward(const View& x, const View& y, RandomState state, double p, int64_t group) {
  const int64_t n = y.numel();
  const Dropout d{state, rng::keep_threshold(p), group, p < 1 ? 1 / (1 - p) : 0};
  if (holds_quads(x) && holds_quads(y)) {
    CCDL_LAUNCH(blocks_of(ceil_div<int64_t>(n, 4), kThreads * kQuads), dropout_quads_kernel, x.data, y.data,
                y.dtype, n, d);
    return;
  }
  const View* views[] = {&y, &x};
  CCDL_LAUNCH(blocks_of(ceil_div<int64_t>(n, 4), kThreads), dropout_walk_kernel, make_walk(views), x.data,
              y.data, y.dtype, d);
}

void dropout_backward(const View& dy, const View& dx, RandomState state, double p, int64_t group) {
  dropout_forward(dy, dx, state, p, group);
}

int multinomial_check(const View& p, int64_t n) {
  const int64_t rows = p.ndim == 2 ? p.sizes[0] : 1, k = p.sizes[p.ndim - 1];
  CCDL_LAUNCH(blocks_of(rows, 1), check_weights_kernel, weights_of(p), k, n, fault_sink());
  return 0;
}

void multinomial(const View& p, const View& y, RandomState state, bool replacement) {
  const int64_t rows = p.ndim == 2 ? p.sizes[0] : 1, k = p.sizes[p.ndim - 1], n = y.sizes[y.ndim - 1];
  if (rows == 0) return;
  const int64_t part = least(rows, most<int64_t>(1, kScratchElements / k));
  for (int64_t first = 0; first < rows; first += part) {
    const int64_t count = least(part, rows - first);
    if (replacement) {
      const Scratch sums(count * k * static_cast<int64_t>(sizeof(double)));
      const Scratch last(count * static_cast<int64_t>(sizeof(int64_t)));
      CCDL_LAUNCH(blocks_of(count, 1), running_sums_kernel, weights_of(p), first, k, sums.ptr<double>(),
                  last.ptr<int64_t>());
      CCDL_LAUNCH(blocks_of(count * n, kThreads), search_kernel, sums.ptr<double>(), last.ptr<int64_t>(),
                  first, count, k, n, y.ptr<int64_t>(), state);
    } else {
      SortScratch sort(count * k);
      CCDL_LAUNCH(blocks_of(count * k, kThreads), arrivals_kernel, weights_of(p), first, count, k,
                  sort.pairs.keys, sort.pairs.values, state);
      radix_sort_pairs(sort.pairs, k, count, 64);
      CCDL_LAUNCH(blocks_of(count * n, kThreads), take_kernel, sort.pairs.values, k,
                  y.ptr<int64_t>() + first * n, 1, count, n);
    }
  }
}

}  // namespace ccdl::cu
