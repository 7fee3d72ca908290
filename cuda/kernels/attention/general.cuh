// Attention of any type and size on the ordinary arithmetic units, forward and each gradient by one scheme:
// out[row] = sum over columns of w(row, column) x[column], where w comes from scores that are recomputed tile
// by tile and never leave the block. Forward: w = softmax numerators (online), x = v; dq: w = ds, x = k; dk:
// w = ds^T, x = q; dv: w = p^T, x = dout; the last two over all query heads of a key head, in order. A block
// owns 16 G rows (G: numbers in 16 bytes) and V 16 G columns of out; wider outputs repeat the scores per
// chunk. 256 threads as 16 x 16, each with G x G scores. Bound: FMA rate.
#pragma once
#include <kernels/attention/tiles_general.cuh>

namespace ccdl::cu {

// Over the 16 threads of a row.
template <class S, class Op>
CCDL_DEVICE S row_reduce(S v, const Op& op) {
#pragma unroll
  for (int offset = 8; offset > 0; offset /= 2) v = op(v, __shfl_xor_sync(kFullWarp, v, offset));
  return v;
}
struct LargerOp {  // NaN loses; it shows in the sum
  template <class S>
  CCDL_DEVICE S operator()(S a, S b) const {
    return b > a || a != a ? b : a;
  }
};

// Scores to softmax numerators under the running maximum; those that dropout removes are 0 afterwards.
template <class C>
CCDL_DEVICE void general_softmax(const AttentionProblem<typename C::T>& p, const ForwardPlace& at,
                                 int64_t key0, GeneralScores<C>& s, typename C::S (&top)[C::kG],
                                 typename C::S (&sum)[C::kG], GeneralOut<C>& out) {
  using S = typename C::S;
  const S none = -S(kInfinity);
#pragma unroll
  for (int i = 0; i < C::kG; ++i) {
    const int r = tile_y() * C::kG + i;
    const QueryRow q = query_row(p, at.row0 + r);
    const ScoreRule<typename C::T> rule(p, at.b, at.head + q.head);
    const int64_t key = key0 + tile_x() * C::kG;
    const int64_t limit = r < at.rows ? least(p.limit(q.query, at.keys), at.key_end) : 0;
    S now = top[i], part = 0;
#pragma unroll
    for (int j = 0; j < C::kG; ++j) {
      s[i][j] *= p.scale;
      if (key + j >= limit)
        s[i][j] = none;
      else if (p.mask != nullptr)
        s[i][j] = rule.masked(s[i][j], q.query, key + j, S(1));
      now = LargerOp()(now, s[i][j]);
    }
    now = row_reduce(now, LargerOp());
    const S shift = now == none ? S(0) : now, factor = exp_of(top[i] - shift);
    top[i] = now;
#pragma unroll
    for (int j = 0; j < C::kG; ++j) part += s[i][j] = exp_of(s[i][j] - shift);
    sum[i] = fma_of(sum[i], factor, row_reduce(part, SumOp()));
#pragma unroll
    for (int j = 0; j < C::kV * C::kG; ++j) out[i][j] *= factor;
    if (p.drops) {
#pragma unroll
      for (int j = 0; j < C::kG; j += 2) {
        bool keep[2];
        rule.kept_pair(q.query, key + j, keep);
        if (!keep[0]) s[i][j] = 0;
        if (!keep[1]) s[i][j + 1] = 0;
      }
    }
  }
}

template <class C>
CCDL_DEVICE void general_finish(const AttentionProblem<typename C::T>& p, const ForwardPlace& at,
                                const typename C::S (&top)[C::kG], const typename C::S (&sum)[C::kG],
                                const GeneralOut<C>& out) {
  using S = typename C::S;
#pragma unroll
  for (int i = 0; i < C::kG; ++i) {
    const int r = tile_y() * C::kG + i;
    if (r >= at.rows) continue;
    const QueryRow q = query_row(p, at.row0 + r);
    const int64_t line = (at.b * p.H + at.head + q.head) * p.L + q.query;
    const int64_t place = at.split * (p.B * p.H * p.L) + line;
    const S factor = sum[i] == S(0) ? S(0) : p.keep_scale / sum[i];
    S* lse = p.splits > 1 ? p.partial_lse() + place : p.lse == nullptr ? nullptr : p.lse + line;
    if (lse != nullptr && tile_x() == 0 && at.chunk == 0)
      *lse = sum[i] == S(0) ? -S(kInfinity) : top[i] + log_of(sum[i]);
    typename C::T* to = p.out.at(at.b, at.head + q.head) + q.query * p.out.row;
#pragma unroll
    for (int j = 0; j < C::kV * C::kG; ++j) {
      const int c = at.chunk * C::kOut + out_column<C>(j);
      if (c >= p.E) continue;
      const S y = sum[i] == S(0) ? S(0) : out[i][j] * factor;  // values nobody sees may be NaN
      if (p.splits > 1)
        p.partial[place * p.pitch + c] = y;
      else
        to[c] = convert<typename C::T>(y);
    }
  }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, 2)
    attention_forward_general_kernel(const AttentionProblem<typename C::T> p) {
  using S = typename C::S;
  const ForwardPlace at = forward_place(p, C::kTile, ceil_div(p.E, C::kOut));
  if (at.b >= p.B) return;
  S* shared = dyn_smem<S>();
  const typename C::T* q = p.q.at(at.b, at.head);
  const typename C::T* k = p.k.at(at.b, at.head / p.group);
  const typename C::T* v = p.v.at(at.b, at.head / p.group) + at.chunk * C::kOut;
  S top[C::kG], sum[C::kG];
  GeneralOut<C> out;
  clear<C>(out);
#pragma unroll
  for (int i = 0; i < C::kG; ++i) top[i] = -S(kInfinity), sum[i] = 0;
  for (int64_t key = at.key_begin; key < at.key_end; key += C::kTile) {
    GeneralScores<C> s;
    general_scores<C>(
        shared, q,
        [&](int r) {
          const QueryRow row = query_row(p, at.row0 + r);
          return row.head * p.q.head + row.query * p.q.row;
        },
        at.rows, k + key * p.k.row, [&](int r) { return r * p.k.row; }, at.keys - key, p.D, s);
    general_softmax<C>(p, at, key, s, top, sum, out);
    general_values<C>(shared, s, at.rows, v + key * p.v.row, p.v.row, at.keys - key, p.E - at.chunk * C::kOut,
                      out);
  }
  general_finish<C>(p, at, top, sum, out);
}

// Turns scores (and dp = dout v^T) of rows from row0 and columns from column0 on into the weights of a
// gradient.
template <class C>
CCDL_DEVICE void general_weights(const AttentionProblem<typename C::T>& p, int64_t b, int64_t head,
                                 int64_t keys, int64_t row0, int64_t column0, GeneralScores<C>& s,
                                 const GeneralScores<C>& dp) {
  using S = typename C::S;
  const ScoreRule<typename C::T> rule(p, b, head);
  const int thread = recomputed(static_cast<int>(threadIdx.x));
  const int64_t first_row = row0 + thread / 16 * C::kG, first_column = column0 + thread % 16 * C::kG;
  const int64_t line0 = (b * p.H + head) * p.L;
  unsigned kept = ~0u;  // bit i G + j
  if (p.drops) {
    kept = 0;
#pragma unroll 1
    for (int e = 0; e < C::kG * C::kG; ++e) {
      const int64_t row = first_row + e / C::kG, column = first_column + e % C::kG;
      kept |= static_cast<unsigned>(rule.kept(C::kQueryRows ? row : column, C::kQueryRows ? column : row))
              << e;
    }
  }
#pragma unroll
  for (int i = 0; i < C::kG; ++i)
#pragma unroll
    for (int j = 0; j < C::kG; ++j) {
      const int64_t query = C::kQueryRows ? first_row + i : first_column + j;
      const int64_t key = C::kQueryRows ? first_column + j : first_row + i;
      S w = 0;
      if (query < p.L && key < p.limit(query, keys)) {
        const S lse = p.lse[line0 + query];
        S v = s[i][j] * p.scale;
        if (p.mask != nullptr) v = rule.masked(v, query, key, S(1));
        if (lse != -S(kInfinity)) {
          const bool keep = (kept >> (i * C::kG + j) & 1) != 0;
          w = exp_of(v - lse);
          if constexpr (C::kKind == AttentionKind::V)
            w = keep ? w : S(0);
          else
            w *= (keep ? dp[i][j] * p.keep_scale : S(0)) - p.delta[line0 + query];
        }
      }
      s[i][j] = w;
    }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocks)
    attention_backward_general_kernel(const AttentionProblem<typename C::T> p) {
  using S = typename C::S;
  using T = typename C::T;
  const int width = C::kWide ? p.E : p.D, chunks = ceil_div(width, C::kOut);
  const int64_t all = C::kQueryRows ? p.L : p.S, units = C::kQueryRows ? p.H : p.G;
  const int64_t blocks = ceil_div<int64_t>(all, C::kTile), id = flat_block(), unit = id / chunks / blocks;
  const int64_t b = unit / units, row0 = id / chunks % blocks * C::kTile,
                rows = least<int64_t>(all - row0, C::kTile);
  const int chunk = static_cast<int>(id % chunks) * C::kOut;
  if (b >= p.B) return;
  const int64_t key_head = C::kQueryRows ? unit % units / p.group : unit % units;
  const int64_t first_head = C::kQueryRows ? unit % units : key_head * p.group, keys = p.keys(b);
  const int64_t begin = C::kQueryRows ? 0 : most<int64_t>(0, row0 - p.causal_offset);
  const int64_t end = C::kQueryRows ? p.limit(row0 + rows - 1, keys) : row0 < keys ? p.L : begin;
  S* shared = dyn_smem<S>();
  GeneralOut<C> out;
  clear<C>(out);
  for (int64_t head = first_head; head < first_head + (C::kQueryRows ? 1 : p.group); ++head)
    for (int64_t column = begin; column < end; column += C::kTile) {
      const T *q = p.q.at(b, head), *k = p.k.at(b, key_head), *v = p.v.at(b, key_head),
              *dout = p.dout.at(b, head);
      const int64_t qr = p.q.row, kr = p.k.row, vr = p.v.row, gr = p.dout.row;
      // rows and columns that exist: keys beyond the length are not read
      const int64_t row_count = C::kQueryRows ? rows : least(rows, keys - row0);
      const int64_t column_count = (C::kQueryRows ? keys : p.L) - column;
      GeneralScores<C> s, dp = {};
      const auto scores = [&](const T* of_queries, int64_t query_stride, const T* of_keys, int64_t key_stride,
                              int depth, GeneralScores<C>& acc) {
        const T *a = C::kQueryRows ? of_queries : of_keys, *c = C::kQueryRows ? of_keys : of_queries;
        const int64_t as = C::kQueryRows ? query_stride : key_stride,
                      cs = C::kQueryRows ? key_stride : query_stride;
        general_scores<C>(
            shared, a + row0 * as, [&](int r) { return r * as; }, row_count, c + column * cs,
            [&](int r) { return r * cs; }, column_count, depth, acc);
      };
      scores(q, qr, k, kr, p.D, s);
      if constexpr (C::kKind != AttentionKind::V) scores(dout, gr, v, vr, p.E, dp);
      general_weights<C>(p, b, head, keys, row0, column, s, dp);
      const T* x = C::kKind == AttentionKind::Q ? k : C::kKind == AttentionKind::K ? q : dout;
      const int64_t xr = C::kKind == AttentionKind::Q ? kr : C::kKind == AttentionKind::K ? qr : gr;
      general_values<C>(shared, s, rows, x + column * xr + chunk, xr, column_count, width - chunk, out);
    }
  const auto& to = C::kKind == AttentionKind::Q ? p.dq : C::kKind == AttentionKind::K ? p.dk : p.dv;
  T* y = to.at(b, C::kQueryRows ? first_head : key_head) + chunk;
  const S factor = C::kKind == AttentionKind::V ? p.keep_scale : p.scale;
#pragma unroll
  for (int i = 0; i < C::kG; ++i) {
    const int r = tile_y() * C::kG + i;
#pragma unroll
    for (int j = 0; j < C::kV * C::kG; ++j)
      if (r < rows && chunk + out_column<C>(j) < width)
        y[(row0 + r) * to.row + out_column<C>(j)] = convert<T>(out[i][j] * factor);
  }
}

template <class T, int V>
void run_forward_general(const AttentionProblem<T>& p) {
  using C = GeneralConfig<T, V, AttentionKind::Forward>;
  const int64_t blocks =
      forward_blocks(p.B * (p.H / p.pack), p.pack * p.L, C::kTile, p.splits, ceil_div(p.E, C::kOut));
  CCDL_LAUNCH((LaunchConfig{flat_grid(blocks), dim3(C::kThreads), C::kSmem}),
              (attention_forward_general_kernel<C>), p);
}
template <class T, int V, AttentionKind Kind>
void run_backward_general(const AttentionProblem<T>& p) {
  using C = GeneralConfig<T, V, Kind>;
  const int64_t rows = C::kQueryRows ? p.L : p.S, units = p.B * (C::kQueryRows ? p.H : p.G);
  const int64_t blocks = units * ceil_div<int64_t>(rows, C::kTile) * ceil_div(C::kWide ? p.E : p.D, C::kOut);
  CCDL_LAUNCH((LaunchConfig{flat_grid(blocks), dim3(C::kThreads), C::kSmem}),
              (attention_backward_general_kernel<C>), p);
}
template <class T, int V>
void run_backward_general(const AttentionProblem<T>& p, AttentionGradient of) {
  switch (of) {
    case AttentionGradient::Q:
      return run_backward_general<T, V, AttentionKind::Q>(p);
    case AttentionGradient::K:
      return run_backward_general<T, V, AttentionKind::K>(p);
    case AttentionGradient::V:
      return run_backward_general<T, V, AttentionKind::V>(p);
  }
}

}  // namespace ccdl::cu
