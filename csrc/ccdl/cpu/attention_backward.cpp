// Attention backward: a chunk owns a run of keys of one key head, so dk and dv are written once; dq is summed
// over the key blocks in order, and over the chunks of a key head (a number that depends on the shape alone)
// in order. Scores are made again from q, k and the saved log-sum-exp.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/attention_tiles.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunks = 16;        // wanted; key heads are cut into parts while there are fewer
constexpr int64_t kMaxParts = 4;       // of a key head: each keeps a dq of its own
constexpr int64_t kMinPartKeys = 192;  // keys worth a part
constexpr double kRegionWork = 3e9;    // multiply-adds of a chunk that Ctrl-C may wait for

template <class C>
int64_t block_keys() {
  const int64_t nr = gemm_kernels<C>().nr;
  return 288 / nr * nr;
}

template <class T>
struct Backward {
  using C = ComputeOf<T>;
  const View &q, &k, &v, &out, &lse, &dout, &dq, &dk, &dv;
  const AttentionParams& p;
  const AttentionShape n;
  C* workspace;

  // ---- workspace: delta [B, H, L], then dq [parts][B, H, L, D] in C where dq itself cannot take the sums
  // ----
  int64_t rows() const { return n.batch * n.heads * n.length; }
  int64_t parts() const {
    const int64_t pairs = std::max<int64_t>(1, n.batch * n.groups);
    return std::max<int64_t>(1, std::min({kMaxParts, ceil_div(kChunks, pairs), n.keys / kMinPartKeys}));
  }
  bool direct() const { return std::is_same_v<T, C> && parts() == 1; }
  int64_t workspace_bytes() const {
    return (rows() + (dq.data == nullptr || direct() ? 0 : parts() * rows() * n.depth)) *
           static_cast<int64_t>(sizeof(C));
  }
  C* partial(int64_t part, int64_t b, int64_t h, int64_t i) const {
    return workspace + rows() + (part * rows() + (b * n.heads + h) * n.length + i) * n.depth;
  }
  // Where row i of dq is summed by `part`, and the distance to the next row.
  C* dq_row(int64_t part, int64_t b, int64_t h, int64_t i, int64_t* stride) const {
    if constexpr (std::is_same_v<T, C>)
      if (direct()) {
        *stride = dq.strides[2];
        return const_cast<T*>(row_of<T>(dq, b, h, i));
      }
    *stride = n.depth;
    return partial(part, b, h, i);
  }

  // Room of one chunk, all in C.
  struct Room {
    C *keys, *values;          // packed as columns: S = q keys, dP = dout values
    C *key_rows, *value_rows;  // as rows of C where T is narrower
    C* key_panels;             // rows packed for dq where they cannot be read in place
    C *q_rows, *dout_rows;     // the same for a tile of queries
    C *q_panels, *dout_panels;
    C *s, *dp, *dk, *dv;
  };
  template <class F>
  void lay_out(const F& take, Room* r) const {
    const int64_t block = block_keys<C>(), nr = gemm_kernels<C>().nr, d = n.depth, e = n.width;
    const bool narrow = !std::is_same_v<T, C>;
    r->keys = take(d * block);
    r->values = take(e * block);
    r->key_rows = take(narrow ? block * d : 0);
    r->value_rows = take(narrow ? block * e : 0);
    r->key_panels = take(reads_in_place<C>(d) ? 0 : block * round_up(d, nr));
    r->q_rows = take(narrow ? kQueryRows * d : 0);
    r->dout_rows = take(narrow ? kQueryRows * e : 0);
    r->q_panels = take(reads_in_place<C>(d) ? 0 : kQueryRows * round_up(d, nr));
    r->dout_panels = take(reads_in_place<C>(e) ? 0 : kQueryRows * round_up(e, nr));
    r->s = take(kQueryRows * block);
    r->dp = take(kQueryRows * block);
    r->dk = take(block * d);
    r->dv = take(block * e);
  }

  // Rows of T as rows of C: themselves, or widened into room.
  static const C* rows_as(const View& x, int64_t b, int64_t h, int64_t i, int64_t count, C* room,
                          int64_t* stride) {
    const T* first = row_of<T>(x, b, h, i);
    *stride = x.strides[2];
    if constexpr (std::is_same_v<T, C>) {
      return first;
    } else {
      dense_rows<T, C>(first, *stride, count, x.sizes[3], 1, room);
      *stride = x.sizes[3];
      return room;
    }
  }

  // dk and dv of keys j0 ... j0 + keys - 1, and their share of dq.
  void key_block(int64_t b, int64_t g, int64_t part, int64_t j0, int64_t keys, bool first_block,
                 TileRows<T>& rows, const Room& room) const {
    const auto& gemm = gemm_kernels<C>();
    int64_t k_stride, v_stride;
    const C* key_rows = rows_as(k, b, g, j0, keys, room.key_rows, &k_stride);
    const C* value_rows = rows_as(v, b, g, j0, keys, room.value_rows, &v_stride);
    gemm.pack_b(room.keys, key_rows, 1, k_stride, n.depth, keys);
    gemm.pack_b(room.values, value_rows, 1, v_stride, n.width, keys);
    const TileOperand<C> key_operand = row_operand(key_rows, k_stride, keys, n.depth, room.key_panels);
    const int64_t present = std::max<int64_t>(0, std::min(keys, keys_present(n, p, b) - j0));
    const int64_t first = present == 0 ? n.length : std::min(n.length, first_query(p, j0));
    bool any = false;
    for (int64_t h = g * n.heads_per_group; h < (g + 1) * n.heads_per_group; ++h) {
      if (first_block) clear_dq(part, b, h, 0, first / kQueryRows * kQueryRows);
      for (int64_t i0 = first / kQueryRows * kQueryRows; i0 < n.length; i0 += kQueryRows, any = true)
        query_tile(b, h, part, i0, j0, present, first_block, any, key_operand, rows, room);
    }
    write(dk, b, g, j0, keys, any ? room.dk : nullptr, n.depth, present);
    write(dv, b, g, j0, keys, any ? room.dv : nullptr, n.width, present);
  }

  void query_tile(int64_t b, int64_t h, int64_t part, int64_t i0, int64_t j0, int64_t keys, bool first_block,
                  bool accumulate, const TileOperand<C>& key_operand, TileRows<T>& rows,
                  const Room& room) const {
    const int64_t count = std::min(kQueryRows, n.length - i0), block = block_keys<C>();
    int64_t q_stride, dout_stride, dq_stride;
    const C* q_rows = rows_as(q, b, h, i0, count, room.q_rows, &q_stride);
    const C* dout_rows = rows_as(dout, b, h, i0, count, room.dout_rows, &dout_stride);
    rows.start(b);
    for (int64_t r = 0; r < count; ++r) rows.add(h, i0 + r);
    const AttentionTile<C> t = rows.tile(room.s, block, j0, keys);
    score_product<C>(q_rows, q_stride, room.keys, n.depth, room.s, block, count, keys, t.limit);
    score_product<C>(dout_rows, dout_stride, room.values, n.width, room.dp, block, count, keys, t.limit);
    const int64_t row = (b * n.heads + h) * n.length + i0;
    attention_kernels<C>().backward_step(t, room.dp, static_cast<C>(p.scale), lse.ptr<C>() + row,
                                         workspace + row);
    if (dv.data != nullptr)
      key_product(room.s, row_operand(dout_rows, dout_stride, count, n.width, room.dout_panels), room.dv,
                  n.width, count, keys, t.limit, accumulate);
    if (dk.data != nullptr)
      key_product(room.dp, row_operand(q_rows, q_stride, count, n.depth, room.q_panels), room.dk, n.depth,
                  count, keys, t.limit, accumulate);
    if (dq.data != nullptr) {
      C* to = dq_row(part, b, h, i0, &dq_stride);
      value_product<C>(room.dp, block, key_operand, to, dq_stride, count, keys, n.depth, t.limit,
                       !first_block);
    }
  }

  // c [keys, width] (+)= p^T x, each tile of keys from the first query that sees one of them.
  void key_product(const C* tile, const TileOperand<C>& x, C* c, int64_t width, int64_t count, int64_t keys,
                   const int64_t* limit, bool accumulate) const {
    const int64_t block = block_keys<C>();
    if (limit[0] >= keys) return tile_product<C>(tile, 1, block, x, c, width, keys, width, count, accumulate);
    const int64_t mr = gemm_kernels<C>().mr;
    int64_t r = 0;
    for (int64_t j = 0; j < keys; j += mr) {
      while (r < count && limit[r] <= j) ++r;
      if (r == count && accumulate) return;
      const TileOperand<C> rest{x.b + r * x.step, x.panel, x.step};
      tile_product<C>(tile + r * block + j, 1, block, rest, c + j * width, width, std::min(mr, keys - j),
                      width, count - r, accumulate);
    }
  }

  void clear_dq(int64_t part, int64_t b, int64_t h, int64_t begin, int64_t end) const {
    if (dq.data == nullptr) return;
    for (int64_t i = begin; i < std::min(end, n.length); ++i) {
      int64_t stride;
      std::fill_n(dq_row(part, b, h, i, &stride), n.depth, C(0));
    }
  }

  // Rows of a finished block; keys that no query sees have no gradient.
  void write(const View& x, int64_t b, int64_t g, int64_t j0, int64_t keys, const C* rows, int64_t width,
             int64_t present) const {
    if (x.data == nullptr) return;
    for (int64_t j = 0; j < keys; ++j) {
      T* y = const_cast<T*>(row_of<T>(x, b, g, j0 + j));
      if (rows == nullptr || j >= present)
        std::fill_n(y, width, T(0.0f));
      else
        simd_attention().store[float_index(x.dtype)](rows + j * width, 1.0, y, width);
    }
  }

  int64_t blocks_per_part() const { return ceil_div(ceil_div(n.keys, block_keys<C>()), parts()); }

  // Key blocks [begin, end) of a part.
  void chunk(int64_t pair, int64_t part, int64_t begin, int64_t end, TileRows<T>& rows,
             const Room& room) const {
    const int64_t block = block_keys<C>(), b = pair / n.groups, g = pair % n.groups;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j0 = (part * blocks_per_part() + i) * block;
      if (j0 < n.keys) key_block(b, g, part, j0, std::min(block, n.keys - j0), i == 0, rows, room);
      if (j0 >= n.keys && i == 0)  // a part without keys
        for (int64_t h = g * n.heads_per_group; h < (g + 1) * n.heads_per_group; ++h)
          clear_dq(part, b, h, 0, n.length);
    }
  }

  void finish_dq() const {
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, n.depth));
    parallel_for(rows(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t b = r / n.length / n.heads, h = r / n.length % n.heads, i = r % n.length;
        C* total = partial(0, b, h, i);
        for (int64_t part = 1; part < parts(); ++part)
          attention_kernels<C>().add(partial(part, b, h, i), total, n.depth);
        simd_attention().store[float_index(dq.dtype)](total, 1.0, const_cast<T*>(row_of<T>(dq, b, h, i)),
                                                      n.depth);
      }
    });
  }

  // delta = sum(dout out)
  void deltas() const {
    const int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, n.width));
    parallel_for(rows(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t b = r / n.length / n.heads, h = r / n.length % n.heads, i = r % n.length;
        workspace[r] = static_cast<C>(simd_attention().dot[float_index(q.dtype)](
            row_of<T>(dout, b, h, i), row_of<T>(out, b, h, i), n.width));
      }
    });
  }

  void run() const {
    deltas();
    int64_t size = 0;
    Room none;
    lay_out([&](int64_t count) { return size += round_up(count, 16), static_cast<C*>(nullptr); }, &none);
    // So many key blocks at a time that a chunk ends after about 30 ms, for Ctrl-C.
    const double work =
        static_cast<double>(std::min(n.keys, block_keys<C>()) * n.length * n.heads_per_group) *
        static_cast<double>(3 * n.depth + 2 * n.width);
    const int64_t blocks = std::max<int64_t>(1, blocks_per_part());  // without keys: dq is still written
    const int64_t step =
        std::clamp<int64_t>(static_cast<int64_t>(kRegionWork / std::max(work, 1.0)), 1, blocks);
    for (int64_t first = 0; first < blocks; first += step)
      parallel_for(n.batch * n.groups * parts(), 1, [&](int64_t begin, int64_t end) {
        TileRows<T> rows(n, p, block_keys<C>());
        Buffer<C> memory(size);
        Room room;
        C* next = memory;
        lay_out([&](int64_t count) { return (next += round_up(count, 16)) - round_up(count, 16); }, &room);
        for (int64_t c = begin; c < end; ++c)
          chunk(c / parts(), c % parts(), first, std::min(first + step, blocks), rows, room);
      });
    if (dq.data != nullptr && !direct()) finish_dq();
  }
};

}  // namespace

int64_t attention_backward_workspace_bytes(const View& q, const View& k, const View& v,
                                           const AttentionParams& p) {
  return with_float(q.dtype, [&](auto t) {
    const View none{};
    return Backward<decltype(t)>{q, k, v, none, none, none, q, none, none, p, {q, k, v}, nullptr}
        .workspace_bytes();
  });
}

void attention_backward(const View& q, const View& k, const View& v, const View& out, const View& lse,
                        const View& dout, const View& dq, const View& dk, const View& dv,
                        const AttentionParams& p, void* workspace) {
  with_float(q.dtype, [&](auto t) {
    using T = decltype(t);
    Backward<T>{q, k, v, out, lse, dout, dq, dk, dv, p, {q, k, v}, static_cast<ComputeOf<T>*>(workspace)}
        .run();
  });
}

}  // namespace ccdl::cpu
