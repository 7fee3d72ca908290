// Reduction over any dimensions of a strided view by a policy (what an element does to the accumulator, how
// two accumulators meet, how a result is stored). Row kernel: the innermost stride is reduced, a part of a
// warp, a warp or a block per row, 16-byte loads when contiguous. Column kernel: neighbouring outputs in
// neighbouring threads, several rows per block. Long reductions are cut into chunks, by shape alone, which
// meet in a second kernel in a fixed tree. Aims at reading x once at memory speed.
#pragma once
#include <kernels/row_bricks.cuh>

namespace ccdl::cu {

constexpr int kReduceThreads = 256;
constexpr int64_t kReduceBlocks = 1024;  // long reductions are cut into about this many blocks

struct ReduceShape {
  Walk<3> out;  // x, y and a second output
  Walk<1> red;
  int64_t outputs, reduced;
  int64_t chunk;   // reduced elements per chunk
  int64_t chunks;  // per output
  int group;       // threads per row
  int width;       // outputs per block of the column kernel
  bool rows, vector;
  int phase;  // elements between an aligned address and offset 0

  CCDL_DEVICE int64_t red_offset(int64_t r) const {
    if (red.ndim <= 1) return red.ndim ? r * red.strides[0][0] : 0;
    int64_t at[1];
    red.offsets(r, at);
    return at[0];
  }
};

// Policy interface:
//   struct State, struct Acc      what one thread gathers; what threads exchange (whole 8-byte words or 4)
//   kVec                          elements of one 16-byte access
//   State start(o); Acc close(State); Acc empty(); Acc join(Acc, Acc)
//   vec(State&, offset, index)    kVec contiguous elements;   one(State&, offset, index)
//   store(Acc, o, at)             at = offsets of x, y, second output
template <class P>
struct JoinBy {
  const P& policy;
  CCDL_DEVICE typename P::Acc operator()(const typename P::Acc& a, const typename P::Acc& b) const {
    return policy.join(a, b);
  }
};

template <class P>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_rows_kernel(ReduceShape s, P policy, typename P::Acc* partial) {
  const int lane = static_cast<int>(threadIdx.x) % s.group,
            in_block = static_cast<int>(threadIdx.x) / s.group;
  const int per_block = static_cast<int>(blockDim.x) / s.group;
  const int64_t unit = static_cast<int64_t>(blockIdx.x) * per_block + in_block;
  const bool live = unit < s.outputs * s.chunks;
  const int64_t o = s.chunks == 1 ? unit : unit / s.chunks;
  const int64_t begin = (unit - o * s.chunks) * s.chunk, end = least(s.reduced, begin + s.chunk);
  int64_t at[3] = {0, 0, 0};
  if (live) s.out.offsets(o, at);
  typename P::State state = policy.start(live ? o : 0);
  if (live && s.vector) {
    const RowCut<P::kVec> cut(s.reduced, s.phase + at[0]);
    const int64_t step = static_cast<int64_t>(s.group) * P::kVec;
    const int64_t last = least(cut.head + end, cut.head + cut.count * P::kVec);
    if (begin == 0)
      for (int64_t r = lane; r < cut.head; r += s.group) policy.one(state, at[0] + r, r);
#pragma unroll 4
    for (int64_t r = cut.head + begin + lane * P::kVec; r < last; r += step)
      policy.vec(state, at[0] + s.red_offset(r), r);
    if (end == s.reduced)
      for (int64_t r = cut.head + cut.count * P::kVec + lane; r < s.reduced; r += s.group)
        policy.one(state, at[0] + s.red_offset(r), r);
  } else if (live) {
#pragma unroll 4
    for (int64_t r = begin + lane; r < end; r += s.group) policy.one(state, at[0] + s.red_offset(r), r);
  }
  const typename P::Acc acc = group_reduce(policy.close(state), JoinBy<P>{policy}, s.group, policy.empty());
  if (!live || lane != 0) return;
  if (s.chunks > 1)
    partial[unit] = acc;
  else
    policy.store(acc, o, at);
}

template <class P>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_columns_kernel(ReduceShape s, P policy, typename P::Acc* partial) {
  CCDL_SHARED(typename P::Acc, all, [kReduceThreads]);
  const int me = static_cast<int>(threadIdx.x), lane = me / s.width;
  const int lanes = static_cast<int>(blockDim.x) / s.width;
  const int64_t tiles = ceil_div<int64_t>(s.outputs, s.width);
  const int64_t chunk = blockIdx.x / tiles, tile = blockIdx.x - chunk * tiles;
  const int64_t o = tile * s.width + me % s.width;
  const bool live = o < s.outputs;
  const int64_t begin = chunk * s.chunk, end = least(s.reduced, begin + s.chunk);
  int64_t at[3] = {0, 0, 0};
  if (live) s.out.offsets(o, at);
  typename P::State state = policy.start(live ? o : 0);
  if (live) {
#pragma unroll 8
    for (int64_t r = begin + lane; r < end; r += lanes) policy.one(state, at[0] + s.red_offset(r), r);
  }
  all[me] = policy.close(state);
  for (int step = lanes / 2; step > 0; step /= 2) {
    __syncthreads();  // the upper half is complete
    if (lane < step) all[me] = policy.join(all[me], all[me + step * s.width]);
  }
  if (!live || lane != 0) return;  // lane 0 wrote all[me] itself
  if (s.chunks > 1)
    partial[o * s.chunks + chunk] = all[me];
  else
    policy.store(all[me], o, at);
}

// One warp per output joins its chunks; without chunks it stores the empty reduction.
template <class P>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_finish_kernel(ReduceShape s, P policy, const typename P::Acc* partial) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t o = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  if (o >= s.outputs) return;  // whole warps
  typename P::Acc acc = policy.empty();
  for (int64_t c = lane; c < s.chunks; c += kWarp) acc = policy.join(acc, partial[o * s.chunks + c]);
  acc = group_reduce(acc, JoinBy<P>{policy}, kWarp, policy.empty());
  if (lane != 0) return;
  int64_t at[3];
  s.out.offsets(o, at);
  policy.store(acc, o, at);
}

// x reduced to y and z (of y's sizes; may be absent). lanes: elements of one 16-byte access; phase: elements
// between an aligned address and x's first, the same for everything read through x's offsets, or -1: do not.
ReduceShape plan_reduction(const View& x, const View& y, const View& z, int lanes, int phase);

template <class P>
void run_reduction(const View& x, const View& y, const View& z, const P& policy, int phase) {
  const ReduceShape s = plan_reduction(x, y, z, P::kVec, phase);
  if (s.outputs == 0) return;
  LaunchConfig c;
  const Scratch partial(s.chunks > 1 ? s.outputs * s.chunks * static_cast<int64_t>(sizeof(typename P::Acc))
                                     : 0);
  if (s.reduced > 0 && s.rows) {
    const int threads =
        s.group > kWarp ? s.group : most(kWarp, pow2_at_least(s.outputs * s.group, kReduceThreads));
    c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(s.outputs * s.chunks, threads / s.group)));
    c.block = dim3(static_cast<unsigned>(threads));
    CCDL_LAUNCH(c, reduce_rows_kernel<P>, s, policy, partial.template ptr<typename P::Acc>());
  } else if (s.reduced > 0) {
    c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(s.outputs, s.width) * s.chunks));
    c.block = dim3(static_cast<unsigned>(s.width * s.group));
    CCDL_LAUNCH(c, reduce_columns_kernel<P>, s, policy, partial.template ptr<typename P::Acc>());
  }
  if (s.reduced > 0 && s.chunks == 1) return;
  c.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(s.outputs, 4)));
  c.block = dim3(4 * kWarp);
  CCDL_LAUNCH(c, reduce_finish_kernel<P>, s, policy, partial.template ptr<typename P::Acc>());
}

// Where a result of any dtype goes.
struct ReduceOut {
  void* data;
  DType dtype;
  template <class A>
  CCDL_DEVICE void put(int64_t i, A v) const {
    switch (dtype) {
      case DType::Bool:
        static_cast<bool*>(data)[i] = convert<bool>(v);
        break;
      case DType::UInt8:
        static_cast<uint8_t*>(data)[i] = convert<uint8_t>(v);
        break;
      case DType::Int8:
        static_cast<int8_t*>(data)[i] = convert<int8_t>(v);
        break;
      case DType::Int16:
        static_cast<int16_t*>(data)[i] = convert<int16_t>(v);
        break;
      case DType::Int32:
        static_cast<int32_t*>(data)[i] = convert<int32_t>(v);
        break;
      case DType::Int64:
        static_cast<int64_t*>(data)[i] = convert<int64_t>(v);
        break;
      case DType::Float16:
        static_cast<float16*>(data)[i] = convert<float16>(v);
        break;
      case DType::BFloat16:
        static_cast<bfloat16*>(data)[i] = convert<bfloat16>(v);
        break;
      case DType::Float32:
        static_cast<float*>(data)[i] = convert<float>(v);
        break;
      default:
        static_cast<double*>(data)[i] = convert<double>(v);
    }
  }
};

// Mean and sum of squared deviations of n numbers.
struct Moments {
  double n, mean, m2;
};
CCDL_DEVICE Moments join_moments(const Moments& a, const Moments& b) {
  if (b.n == 0) return a;
  if (a.n == 0) return b;
  const double n = a.n + b.n, d = b.mean - a.mean;
  const double mean = fabs(d) < kInfinity ? a.mean + d * (b.n / n) : (a.mean * a.n + b.mean * b.n) / n;
  return {n, mean, a.m2 + b.m2 + d * d * (a.n * b.n / n)};
}

// Moments of T around each thread's first element in double: the shift is one of the numbers, so m2 loses at
// most a factor of the thread's count in relative error, and equal numbers give exactly 0.
template <class T>
struct MomentsPolicy {
  struct State {
    double shift, sum, squares;
    int64_t n;
  };
  using Acc = Moments;
  static constexpr int kVec = kLanes<T>;
  const T* x;

  CCDL_DEVICE State start(int64_t) const { return {0, 0, 0, 0}; }
  CCDL_DEVICE void add(State& s, double v) const {
    const double d = v - s.shift;
    s.sum += d;
    s.squares = fma(d, d, s.squares);
  }
  CCDL_DEVICE void first(State& s, double v) const {
    if (s.n == 0 && fabs(v) < kInfinity) s.shift = v;
  }
  CCDL_DEVICE void vec(State& s, int64_t at, int64_t) const {
    Compute<T> v[kVec];
    load_row<kVec>(x + at, v);
    first(s, static_cast<double>(v[0]));
#pragma unroll
    for (int k = 0; k < kVec; ++k) add(s, static_cast<double>(v[k]));
    s.n += kVec;
  }
  CCDL_DEVICE void one(State& s, int64_t at, int64_t) const {
    const double v = static_cast<double>(convert<Compute<T>>(x[at]));
    first(s, v);
    add(s, v);
    ++s.n;
  }
  CCDL_DEVICE Moments close(const State& s) const {
    if (s.n == 0) return empty();
    const double n = static_cast<double>(s.n), shift = s.sum / n;
    const double m2 = s.squares - s.sum * shift;  // NaN stays
    return {n, s.shift + shift, m2 < 0 ? 0 : m2};
  }
  CCDL_DEVICE Moments empty() const { return {0, 0, 0}; }
  CCDL_DEVICE Moments join(const Moments& a, const Moments& b) const { return join_moments(a, b); }
};

}  // namespace ccdl::cu
