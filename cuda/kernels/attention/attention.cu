// cu::attention_forward and cu::attention_backward: views into a problem, the choice of kernels, and the
// small kernels around them: rows the tensor-core kernels cannot copy in 16-byte pieces are repacked; few
// query rows share the keys out among blocks, whose parts are joined in ascending order; delta = sum of dout
// out per query. Everything is chosen from shapes, strides and types alone. Bound of the small kernels:
// bytes.
#include <ccdl/core/matmul_precision.h>
#include <ccdl/kernels/attention.h>

#include <optional>

#include <kernels/attention/problem.cuh>
#include <kernels/attention/sm90.cuh>
#include <kernels/row_bricks.cuh>

namespace ccdl::cu {
namespace {

constexpr int64_t kFullGrid = 96;      // blocks below which the keys are split
constexpr int64_t kSplitBlocks = 192;  // blocks that splitting aims at
constexpr int64_t kMinSplit = 256;     // keys worth a split of their own
constexpr int64_t kSplitGranule = 64;
constexpr int64_t kMostRows = INT32_MAX - 1024;  // of a head, for kernels that count in 32 bits
constexpr int kThreads = 256;

// ---- small kernels ----

// A line of [B, H, L].
struct Line {
  int64_t b, h, query;
  CCDL_DEVICE Line(int64_t line, int64_t H, int64_t L) {
    const int64_t unit = line / L;
    query = line - unit * L;
    b = unit / H;
    h = unit - b * H;
  }
};

// dst [batch][head][row][pitch], pitch a multiple of 16 bytes, zeros behind `columns`.
template <class T>
struct AttentionRepack {
  AttentionOperand<const T> from;
  T* to;
  int64_t batches, heads, rows;
  int columns, pitch;
};
template <class T>
__global__ void __launch_bounds__(kThreads) attention_repack_kernel(const AttentionRepack<T> r) {
  constexpr int kE = 16 / static_cast<int>(sizeof(T));
  const int across = r.pitch / kE;
  const int64_t e = flat_block() * kThreads + threadIdx.x, line = e / across;
  const int column = static_cast<int>(e % across) * kE;
  if (line >= r.batches * r.heads * r.rows) return;
  const Line at(line, r.heads, r.rows);
  const T* src = r.from.at(at.b, at.h) + at.query * r.from.row + column;
  Vec<T, kE> v;
#pragma unroll
  for (int x = 0; x < kE; ++x) v[x] = column + x < r.columns ? src[x] : T{};
  store_vec(r.to + line * r.pitch + column, v);
}

// The parts of the splits, each normalised, weighted by their sums; four columns per thread.
template <class T>
__global__ void __launch_bounds__(kThreads) attention_join_kernel(const AttentionProblem<T> p) {
  using S = Compute<T>;
  const int across = p.pitch / 4;
  const int64_t lines = p.B * p.H * p.L, e = flat_block() * kThreads + threadIdx.x, line = e / across;
  const int column = static_cast<int>(e % across) * 4;
  if (line >= lines) return;
  S top = -S(kInfinity), total = 0, sum[4] = {0, 0, 0, 0};
  bool bad = false;  // a NaN among the sums
  for (int s = 0; s < p.splits; ++s) {
    const S lse = p.partial_lse()[s * lines + line];
    bad = bad || lse != lse;
    top = lse > top ? lse : top;
  }
  const S shift = top == -S(kInfinity) ? S(0) : top;
  for (int s = 0; s < p.splits; ++s) {
    const S weight = exp_of(p.partial_lse()[s * lines + line] - shift);
    const S* from = p.partial + (s * lines + line) * p.pitch + column;
    total += weight;
#pragma unroll
    for (int x = 0; x < 4; ++x)
      if (column + x < p.E) sum[x] = fma_of(weight, from[x], sum[x]);
  }
  const Line at(line, p.H, p.L);
  T* to = p.out.at(at.b, at.h) + at.query * p.out.row + column;
  const S factor = total == S(0) ? S(0) : S(1) / total;
#pragma unroll
  for (int x = 0; x < 4; ++x)
    if (column + x < p.E) to[x] = convert<T>(sum[x] * factor);
  if (p.lse != nullptr && column == 0)
    p.lse[line] = bad ? total : total == S(0) ? -S(kInfinity) : shift + log_of(total);
}

// `group` threads, a power of two up to a warp, per query.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) attention_delta_kernel(const AttentionProblem<T> p, int group) {
  using S = Compute<T>;
  const int64_t lines = p.B * p.H * p.L, line = flat_block() * (kThreads / group) + threadIdx.x / group;
  const int lane = static_cast<int>(threadIdx.x) % group;
  const Line at(least(line, lines - 1), p.H, p.L);
  const T* x = p.out_in.at(at.b, at.h) + at.query * p.out_in.row;
  const T* dy = p.dout.at(at.b, at.h) + at.query * p.dout.row;
  S sum = 0;
#pragma unroll 1
  for (int c = lane * V; c < p.E; c += group * V) {
    if (V > 1 && c + V <= p.E) {
      const Vec<T, V> vx = load_vec<T, V>(x + c), vy = load_vec<T, V>(dy + c);
#pragma unroll
      for (int i = 0; i < V; ++i) sum = fma_of(convert<S>(vx[i]), convert<S>(vy[i]), sum);
    } else {
      for (int i = c; i < least(c + V, p.E); ++i) sum = fma_of(convert<S>(x[i]), convert<S>(dy[i]), sum);
    }
  }
  sum = group_sum(sum, group);
  if (line < lines && lane == 0) p.delta[line] = sum;
}

// ---- planning ----

template <class T>
AttentionOperand<T> operand(const View& v) {
  AttentionOperand<T> x;
  if (v.data == nullptr) return x;
  x.data = v.ptr<T>();
  x.batch = v.sizes[0] == 1 ? 0 : v.strides[0];
  x.head = v.sizes[1] == 1 ? 0 : v.strides[1];
  x.row = v.sizes[2] == 1 ? 0 : v.strides[2];
  const uint64_t bits =
      reinterpret_cast<uintptr_t>(x.data) | 16 | static_cast<uint64_t>(x.batch | x.head | x.row) * sizeof(T);
  x.access = static_cast<int>(bits & (~bits + 1));
  return x;
}

// The part of a problem that q, k, v and the parameters give.
template <class T>
AttentionProblem<T> problem(const View& q, const View& k, const View& v, const AttentionParams& a) {
  AttentionProblem<T> p{};
  p.B = q.sizes[0], p.H = q.sizes[1], p.L = q.sizes[2];
  p.G = k.sizes[1], p.S = k.sizes[2];
  p.D = static_cast<int>(q.sizes[3]), p.E = static_cast<int>(v.sizes[3]);
  p.group = p.G > 0 ? static_cast<int>(p.H / p.G) : 1;
  p.q = operand<const T>(q), p.k = operand<const T>(k), p.v = operand<const T>(v);
  p.scale = static_cast<Compute<T>>(a.scale);
  p.causal_offset = least(most(a.causal_offset, -p.L - 1), p.S);
  if (a.mask.data != nullptr) {
    p.mask = a.mask.data;
    p.mask_bool = a.mask.dtype == DType::Bool;
    p.mask_batch = a.mask.strides[0], p.mask_head = a.mask.strides[1];
    p.mask_query = a.mask.strides[2], p.mask_key = a.mask.strides[3];
  }
  if (a.key_lengths.data != nullptr) {
    p.lengths = a.key_lengths.ptr<const int64_t>();
    p.lengths_stride = a.key_lengths.strides[0];
  }
  p.drops = a.dropout > 0;
  p.threshold = rng::keep_threshold(a.dropout);
  p.keep_scale = static_cast<Compute<T>>(a.dropout < 1 ? 1 / (1 - a.dropout) : 0);
  p.random = a.random;
  p.pack = p.splits = 1;
  p.split_keys = most<int64_t>(p.S, 1);
  return p;
}

template <class T>
bool on_tensor_cores(const AttentionProblem<T>& p) {
  return (kIsHalf<T> || matmul_precision() == MatmulPrecision::Tf32) && most(p.D, p.E) <= kMostHead<T> &&
         most(p.L, p.S) < kMostRows;
}

// Few queries: those of a key head's query heads go into one block, and the keys are shared out.
template <class T>
void plan_forward(AttentionProblem<T>& p) {
  const bool mma = on_tensor_cores(p);
  const int64_t tile = mma ? mma_forward_rows(most(p.D, p.E)) : kGeneralTile<T>;
  const int64_t chunks = mma ? 1 : ceil_div<int64_t>(p.E, 2 * tile);
  if (p.group > 1 && p.group * p.L <= least<int64_t>(tile, 64)) p.pack = p.group;
  const int64_t blocks = p.B * (p.H / p.pack) * ceil_div(p.pack * p.L, tile) * chunks;
  if (blocks == 0 || blocks >= kFullGrid) return;
  const int64_t splits = least(ceil_div(kSplitBlocks, blocks), p.S / kMinSplit);
  if (splits <= 1) return;
  p.split_keys = ceil_div(ceil_div(p.S, splits), kSplitGranule) * kSplitGranule;
  p.splits = static_cast<int>(ceil_div(p.S, p.split_keys));
  p.pitch = ceil_div(p.E, 4) * 4;
}
template <class T>
int64_t forward_bytes(const AttentionProblem<T>& p) {
  if (p.splits == 1) return 0;
  return p.splits * p.B * p.H * p.L * (p.pitch + 1) * static_cast<int64_t>(sizeof(Compute<T>));
}

LaunchConfig threads_for(int64_t count) {
  return {flat_grid(ceil_div<int64_t>(count, kThreads)), dim3(kThreads)};
}

// Makes rows start at 16-byte borders; `space` owns the copy.
template <class T>
void align(AttentionOperand<const T>& x, int64_t batches, int64_t heads, int64_t rows, int columns,
           std::optional<Scratch>& space) {
  if (x.access == 16 || batches * heads * rows == 0) return;
  constexpr int kE = 16 / static_cast<int>(sizeof(T));
  AttentionRepack<T> r{x,    nullptr, x.batch == 0 ? 1 : batches, x.head == 0 ? 1 : heads,
                       rows, columns, ceil_div(columns, kE) * kE};
  const int64_t lines = r.batches * r.heads * rows;
  r.to = space.emplace(lines * r.pitch * static_cast<int64_t>(sizeof(T))).template ptr<T>();
  CCDL_LAUNCH(threads_for(lines * r.pitch / kE), attention_repack_kernel<T>, r);
  x = {r.to, x.batch == 0 ? 0 : r.heads * rows * r.pitch, x.head == 0 ? 0 : rows * r.pitch, r.pitch, 16};
}

// What the Hopper kernels can do goes to them where they are wanted.
template <class T>
bool forward_on_sm90([[maybe_unused]] const AttentionProblem<T>& p) {
  if constexpr (kIsHalf<T>) return wants_sm90() && attention_forward_sm90(p);
  return false;
}
template <class T>
bool backward_on_sm90([[maybe_unused]] const AttentionProblem<T>& p) {
  if constexpr (kIsHalf<T>) return wants_sm90() && attention_backward_sm90(p);
  return false;
}

template <class T>
void forward(AttentionProblem<T> p, const View& out, const View& lse, void* workspace) {
  if (p.B * p.H * p.L == 0) return;
  plan_forward(p);
  p.out = operand<T>(out);
  p.lse = lse.ptr<Compute<T>>();
  p.partial = static_cast<Compute<T>*>(workspace);
  std::optional<Scratch> rooms[3];
  if constexpr (kMostHead < T >> 0) {
    if (on_tensor_cores(p)) {
      align(p.q, p.B, p.H, p.L, p.D, rooms[0]);
      align(p.k, p.B, p.G, p.S, p.D, rooms[1]);
      align(p.v, p.B, p.G, p.S, p.E, rooms[2]);
      if (!forward_on_sm90(p)) attention_forward_mma(p);
    } else {
      attention_forward_general(p);
    }
  } else {
    attention_forward_general(p);
  }
  if (p.splits > 1) CCDL_LAUNCH(threads_for(p.B * p.H * p.L * p.pitch / 4), attention_join_kernel<T>, p);
}

template <class T>
void delta(const AttentionProblem<T>& p) {
  constexpr int V = 16 / static_cast<int>(sizeof(T));
  if (p.B * p.H * p.L == 0) return;
  const bool wide = p.out_in.access == 16 && p.dout.access == 16;
  int group = 1;
  while (group < kWarp && group * (wide ? V : 1) < p.E) group *= 2;
  const LaunchConfig config = threads_for(p.B * p.H * p.L * group);
  if (wide)
    CCDL_LAUNCH(config, (attention_delta_kernel<T, V>), p, group);
  else
    CCDL_LAUNCH(config, (attention_delta_kernel<T, 1>), p, group);
}

template <class T>
void backward(AttentionProblem<T> p, const View& out, const View& lse, const View& dout, const View& dq,
              const View& dk, const View& dv, void* workspace) {
  p.out_in = operand<const T>(out);
  p.dout = operand<const T>(dout);
  p.lse = lse.ptr<Compute<T>>();
  p.dq = operand<T>(dq), p.dk = operand<T>(dk), p.dv = operand<T>(dv);
  const bool want_q = p.dq.data != nullptr && dq.numel() > 0, want_k = p.dk.data != nullptr && dk.numel() > 0,
             want_v = p.dv.data != nullptr && dv.numel() > 0;
  if (want_q || want_k) {
    p.delta = static_cast<Compute<T>*>(workspace);
    delta(p);
  }
  if constexpr (kMostHead < T >> 0) {
    if (on_tensor_cores(p)) {
      std::optional<Scratch> rooms[4];
      align(p.q, p.B, p.H, p.L, p.D, rooms[0]);
      align(p.k, p.B, p.G, p.S, p.D, rooms[1]);
      align(p.v, p.B, p.G, p.S, p.E, rooms[2]);
      align(p.dout, p.B, p.H, p.L, p.E, rooms[3]);
      if (!want_q) p.dq.data = nullptr;
      if (!want_k) p.dk.data = nullptr;
      if (!want_v) p.dv.data = nullptr;
      if (backward_on_sm90(p)) return;
      if (want_q) attention_backward_mma_q(p);
      if (want_k) attention_backward_mma_k(p);
      if (want_v) attention_backward_mma_v(p);
      return;
    }
  }
  if (want_q) attention_backward_general(p, AttentionGradient::Q);
  if (want_k) attention_backward_general(p, AttentionGradient::K);
  if (want_v) attention_backward_general(p, AttentionGradient::V);
}

template <class F>
auto by_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::Float32:
      return f(float());
    case DType::Float64:
      return f(double());
    case DType::Float16:
      return f(float16());
    case DType::BFloat16:
      return f(bfloat16());
    default:
      fail(ErrorKind::DType, str("attention: ", dtype_name(dtype), " has no attention"));
  }
}

}  // namespace

void attention_forward(const View& q, const View& k, const View& v, const View& out, const View& lse,
                       const AttentionParams& p, void* workspace) {
  by_type(q.dtype, [&](auto tag) { forward(problem<decltype(tag)>(q, k, v, p), out, lse, workspace); });
}

int64_t attention_forward_workspace_bytes(const View& q, const View& k, const View& v,
                                          const AttentionParams& p) {
  return by_type(q.dtype, [&](auto tag) {
    auto plan = problem<decltype(tag)>(q, k, v, p);
    plan_forward(plan);
    return forward_bytes(plan);
  });
}

void attention_backward(const View& q, const View& k, const View& v, const View& out, const View& lse,
                        const View& dout, const View& dq, const View& dk, const View& dv,
                        const AttentionParams& p, void* workspace) {
  by_type(q.dtype, [&](auto tag) {
    backward(problem<decltype(tag)>(q, k, v, p), out, lse, dout, dq, dk, dv, workspace);
  });
}

int64_t attention_backward_workspace_bytes(const View& q, const View&, const View&, const AttentionParams&) {
  return q.sizes[0] * q.sizes[1] * q.sizes[2] * (q.dtype == DType::Float64 ? 8 : 4);
}

}  // namespace ccdl::cu
