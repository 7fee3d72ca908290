// What the forward and backward passes of attention share: sizes, the rows of a tile with their limits, masks
// and dropout factors, and products of tiles by the micro-kernels of gemm. C is what T is computed in.
#pragma once
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/attention.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/random.h>
#include <ccdl/kernels/attention.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace ccdl::cpu {

constexpr int64_t kQueryRows = 64;  // queries of a tile

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

struct AttentionShape {
  int64_t batch, heads, groups, length, keys, depth, width;  // B, H, G, L, S, D, E
  int64_t heads_per_group;

  AttentionShape(const View& q, const View& k, const View& v)
      : batch(q.sizes[0]),
        heads(q.sizes[1]),
        groups(k.sizes[1]),
        length(q.sizes[2]),
        keys(k.sizes[2]),
        depth(q.sizes[3]),
        width(v.sizes[3]),
        heads_per_group(groups > 0 ? heads / groups : 1) {}
};

// Keys that any query of batch b may see.
inline int64_t keys_present(const AttentionShape& n, const AttentionParams& p, int64_t b) {
  if (p.key_lengths.data == nullptr) return n.keys;
  return std::clamp<int64_t>(p.key_lengths.ptr<int64_t>()[b * p.key_lengths.strides[0]], 0, n.keys);
}
// Of the first `present` keys those that query i sees.
inline int64_t keys_seen(const AttentionParams& p, int64_t i, int64_t present) {
  if (p.causal_offset == kNotCausal) return present;
  return std::clamp<int64_t>(
      i + 1 + std::clamp<int64_t>(p.causal_offset, -(int64_t{1} << 60), int64_t{1} << 60), 0, present);
}
// The first query that sees key j.
inline int64_t first_query(const AttentionParams& p, int64_t j) {
  if (p.causal_offset == kNotCausal) return 0;
  return std::max<int64_t>(0,
                           j - std::clamp<int64_t>(p.causal_offset, -(int64_t{1} << 60), int64_t{1} << 60));
}

template <class T>
const T* row_of(const View& x, int64_t b, int64_t h, int64_t i) {
  return x.ptr<T>() + b * x.strides[0] + h * x.strides[1] + i * x.strides[2];
}

// n rows of T, `stride` apart, as dense rows of C times factor.
template <class T, class C>
void dense_rows(const T* src, int64_t stride, int64_t rows, int64_t n, C factor, C* dst) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = src + r * stride;
    C* y = dst + r * n;
    if constexpr (std::is_same_v<T, C>) {
      attention_kernels<C>().scaled(x, factor, y, n);
    } else {
      simd_gemm().to_float[std::is_same_v<T, float16> ? 0 : 1](x, y, n);
      if (factor != C(1)) attention_kernels<C>().scaled(y, factor, y, n);
    }
  }
}

// The queries of a tile and, per block of keys, what each of them sees of it.
template <class T>
class TileRows {
 public:
  using C = ComputeOf<T>;

  TileRows(const AttentionShape& n, const AttentionParams& p, int64_t max_keys)
      : n_(n),
        p_(p),
        max_keys_(max_keys),
        mask_(copies_mask() ? kQueryRows * max_keys : 0),
        keep_(p.dropout > 0 ? kQueryRows * max_keys : 0),
        words_(p.dropout > 0 ? max_keys + 8 : 0) {}

  void start(int64_t b) {
    b_ = b;
    present_ = keys_present(n_, p_, b);
    count_ = 0;
  }
  void add(int64_t head, int64_t query) {
    head_[count_] = head;
    query_[count_++] = query;
  }
  int64_t count() const { return count_; }
  bool any_seen() const {
    return std::any_of(limit_, limit_ + count_, [](int64_t n) { return n > 0; });
  }
  int64_t present() const { return present_; }

  // The tile of scores s [count, n] of keys j0 ... j0 + n - 1.
  AttentionTile<C> tile(C* s, int64_t ld, int64_t j0, int64_t n) {
    for (int64_t r = 0; r < count_; ++r)
      limit_[r] = std::clamp<int64_t>(keys_seen(p_, query_[r], present_) - j0, 0, n);
    AttentionTile<C> t{s, ld, count_, n, limit_, nullptr, p_.mask.dtype != DType::Bool, nullptr};
    if (p_.mask.data != nullptr) {
      for (int64_t r = 0; r < count_; ++r) mask_row_[r] = mask_row(r, j0, limit_[r]);
      t.mask = mask_row_;
      if (p_.mask.dtype == DType::Bool) trim_hidden();
    }
    if (p_.dropout > 0) {
      for (int64_t r = 0; r < count_; ++r) draw(r, j0, limit_[r], keep_ + r * ld);
      t.keep = keep_;
    }
    return t;
  }

 private:
  // The mask as the kernels read it: dense along the keys, bytes or C.
  bool copies_mask() const {
    const View& m = p_.mask;
    return m.data != nullptr && (m.strides[3] != 1 || !(m.dtype == DType::Bool || std::is_same_v<T, C>));
  }
  const void* mask_row(int64_t r, int64_t j0, int64_t n) {
    const View& m = p_.mask;
    const int64_t at =
        b_ * m.strides[0] + head_[r] * m.strides[1] + query_[r] * m.strides[2] + j0 * m.strides[3];
    if (!copies_mask()) return element(m, at);
    C* row = mask_ + r * max_keys_;
    const int64_t step = m.strides[3];
    if (m.dtype == DType::Bool) {
      uint8_t* bytes = reinterpret_cast<uint8_t*>(row);
      for (int64_t j = 0; j < n; ++j) bytes[j] = m.ptr<uint8_t>()[at + j * step];
      return bytes;
    }
    for (int64_t j = 0; j < n; ++j) row[j] = static_cast<C>(m.ptr<T>()[at + j * step]);
    return row;
  }
  // Limits up to the last key that the mask shows: padding and triangles given as masks cost what they show.
  void trim_hidden() {
    int64_t before = -1;
    for (int64_t r = 0; r < count_; ++r) {
      const bool same = r > 0 && mask_row_[r] == mask_row_[r - 1] && limit_[r] == before;
      before = limit_[r];
      limit_[r] = same ? limit_[r - 1] : last_set(static_cast<const uint8_t*>(mask_row_[r]), limit_[r]);
    }
  }
  static int64_t last_set(const uint8_t* bytes, int64_t n) {
    for (uint64_t word; n >= 8; n -= 8) {
      std::memcpy(&word, bytes + n - 8, 8);
      if (word != 0) break;
    }
    while (n > 0 && bytes[n - 1] == 0) --n;
    return n;
  }
  void draw(int64_t r, int64_t j0, int64_t n, C* keep) {
    if (n == 0) return;
    const int64_t first = ((b_ * n_.heads + head_[r]) * n_.length + query_[r]) * n_.keys + j0;
    const int64_t counter = first / 4, counters = (first + n - 1) / 4 - counter + 1;
    simd_random().philox({p_.random.seed, p_.random.offset + static_cast<uint64_t>(counter)}, counters,
                         words_);
    attention_kernels<C>().keep(words_ + (first - 4 * counter), n, rng::keep_threshold(p_.dropout),
                                static_cast<C>(p_.dropout < 1 ? 1 / (1 - p_.dropout) : 0), keep);
  }

  const AttentionShape& n_;
  const AttentionParams& p_;
  int64_t max_keys_, b_ = 0, present_ = 0, count_ = 0;
  int64_t head_[kQueryRows], query_[kQueryRows], limit_[kQueryRows];
  const void* mask_row_[kQueryRows];
  Buffer<C> mask_, keep_;
  Buffer<uint32_t> words_;
};

// B of a product: packed panels of nr columns, or a row-major matrix read in place.
template <class C>
struct TileOperand {
  const C* b;
  int64_t panel, step;
};

// Row-major matrices can be read in place when their last panel may be cut or is whole.
template <class C>
bool reads_in_place(int64_t columns) {
  const auto& gemm = gemm_kernels<C>();
  return gemm.masked || columns % gemm.nr == 0;
}

// [k, n] row-major with rows `stride` apart (a unit column stride), packed into `room` where it must be.
template <class C>
TileOperand<C> row_operand(const C* x, int64_t stride, int64_t k, int64_t n, C* room) {
  const auto& gemm = gemm_kernels<C>();
  if (reads_in_place<C>(n)) return {x, gemm.nr, stride};
  gemm.pack_b(room, x, stride, 1, k, n);
  return {room, gemm.nr * k, gemm.nr};
}

// c [m, n] = beta c + a [m, k] b; element (i, k) of a at i * a_row + k * a_k.
template <class C>
void tile_product(const C* a, int64_t a_row, int64_t a_k, const TileOperand<C>& b, C* c, int64_t c_row,
                  int64_t m, int64_t n, int64_t k, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  gemm_kernels<C>().block({a,
                           a_row,
                           a_row,
                           a_k,
                           false,
                           b.b,
                           b.panel,
                           b.step,
                           c,
                           c_row,
                           m,
                           n,
                           k,
                           {C(1), accumulate ? C(1) : C(0), nullptr, nullptr, false}});
}

// Scores s [rows, n] = a [rows, depth] x packed keys, panel by panel so that a panel stays in the first-level
// cache; rows before the first that sees something of a panel are left out.
template <class C>
void score_product(const C* a, int64_t a_row, const C* panels, int64_t depth, C* s, int64_t ld, int64_t rows,
                   int64_t n, const int64_t* limit) {
  const auto& gemm = gemm_kernels<C>();
  int64_t first = 0;
  for (int64_t j = 0; j < n; j += gemm.nr) {
    while (first < rows && limit[first] <= j) ++first;
    const int64_t r = first / gemm.mr * gemm.mr;
    tile_product<C>(a + r * a_row, a_row, 1, {panels + j * depth, gemm.nr * depth, gemm.nr}, s + r * ld + j,
                    ld, rows - r, std::min<int64_t>(gemm.nr, n - j), depth, false);
  }
}

// c [rows, width] (+)= p [rows, n] x b, each tile of rows up to the last key that one of them sees.
template <class C>
void value_product(const C* p, int64_t ld, const TileOperand<C>& b, C* c, int64_t c_row, int64_t rows,
                   int64_t n, int64_t width, const int64_t* limit, bool accumulate) {
  if (rows == 0) return;
  if (limit[0] >= n) return tile_product<C>(p, ld, 1, b, c, c_row, rows, width, n, accumulate);
  const int64_t mr = gemm_kernels<C>().mr;
  for (int64_t r = 0; r < rows; r += mr) {
    const int64_t m = std::min(mr, rows - r), k = *std::max_element(limit + r, limit + r + m);
    if (k > 0 || !accumulate)
      tile_product<C>(p + r * ld, ld, 1, b, c + r * c_row, c_row, m, width, k, accumulate);
  }
}

}  // namespace ccdl::cpu
