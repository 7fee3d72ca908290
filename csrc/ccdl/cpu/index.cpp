// Indexed moves over any strides. Reading runs in parallel over flat positions. Writing may meet one
// destination many times, so it is split only along a dimension that the destination itself has (stride not
// 0): every destination then belongs to one chunk and receives its updates in walk order, whatever the number
// of threads.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <ccdl/kernels/index.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kPiece = 256;     // offsets resolved at a time
constexpr int64_t kShortRow = 128;  // elements up to which rows are not walked one by one
constexpr int64_t kNoFault = INT64_MAX;

struct Axes {
  const IndexAxis* axis;
  int count;
  bool wrap;
  const int64_t* inner;  // index strides along the inner row

  bool constant_row() const {
    for (int a = 0; a < count; ++a)
      if (inner[a] != 0) return false;
    return true;
  }
  // Element offsets of n walked elements (of one when the row is constant); the position of the first bad
  // one, or -1.
  int64_t resolve(const int64_t* off, int64_t first, int64_t n, int64_t* out) const {
    uint64_t bad = 0;
    for (int a = 0; a < count; ++a) {
      const int64_t* p = axis[a].index.ptr<const int64_t>() + off[a] + first * inner[a];
      bad |= inner[a] == 1 ? add_axis(axis[a], p, 1, n, out, a == 0)
                           : add_axis(axis[a], p, inner[a], n, out, a == 0);
    }
    if (count == 0)
      for (int64_t i = 0; i < n; ++i) out[i] = 0;
    if (bad == 0) [[likely]]
      return -1;
    for (int64_t i = 0; i < n; ++i)
      for (int a = 0; a < count; ++a)
        if (wrapped(axis[a], axis[a].index.ptr<const int64_t>()[off[a] + (first + i) * inner[a]]) >=
            size_of(axis[a]))
          return i;
    return 0;  // unreachable unless the index is being changed meanwhile
  }

  // Whether one of n walked indices of the only axis is outside.
  bool any_outside(const int64_t* off, int64_t n) const {
    const int64_t *p = axis[0].index.ptr<const int64_t>() + off[0], stride = inner[0];
    const int64_t lift = wrap ? axis[0].size : 0, last = axis[0].size - 1;
    if (stride == 1) return simd_index().outside(p, n, lift, last);
    bool bad = false;
    for (int64_t i = 0; i < n; ++i) bad |= p[i * stride] < -lift || p[i * stride] > last;
    return bad;
  }

  // The only axis: use(i, offset) for i in [0, n), up to the first bad index, which is returned (-1: none).
  template <class F>
  CCDL_INLINE int64_t each(const int64_t* off, int64_t n, const F& use) const {
    const int64_t* p = axis[0].index.ptr<const int64_t>() + off[0];
    const uint64_t size = size_of(axis[0]), lift = wrap ? size : 0,
                   step = static_cast<uint64_t>(axis[0].step);
    if (inner[0] == 1 && step == 1 && !wrap) {
      for (int64_t i = 0; i < n; ++i) {
        if (static_cast<uint64_t>(p[i]) >= size) [[unlikely]]
          return i;
        use(i, p[i]);
      }
      return -1;
    }
    const int64_t stride = inner[0];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t raw = p[i * stride];
      const uint64_t j = static_cast<uint64_t>(raw) + (static_cast<uint64_t>(raw >> 63) & lift);
      if (j >= size) [[unlikely]]
        return i;
      use(i, static_cast<int64_t>(j * step));
    }
    return -1;
  }

 private:
  static uint64_t size_of(const IndexAxis& ax) { return static_cast<uint64_t>(ax.size); }
  uint64_t wrapped(const IndexAxis& ax, int64_t j) const {
    return static_cast<uint64_t>(j + ((j >> 63) & (wrap ? ax.size : 0)));
  }
  // Nonzero when an index is outside; offsets of bad places are then not used.
  CCDL_INLINE uint64_t add_axis(const IndexAxis& ax, const int64_t* p, int64_t stride, int64_t n,
                                int64_t* out, bool first) const {
    const uint64_t size = size_of(ax), step = static_cast<uint64_t>(ax.step), lift = wrap ? size : 0;
    uint64_t bad = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t raw = p[i * stride];
      const uint64_t j = static_cast<uint64_t>(raw) + (static_cast<uint64_t>(raw >> 63) & lift);
      bad |= j >= size;
      out[i] = static_cast<int64_t>((first ? 0 : static_cast<uint64_t>(out[i])) + j * step);
    }
    return bad;
  }
};

void keep_first(std::atomic<int64_t>& first, int64_t position) {
  int64_t seen = first.load(std::memory_order_relaxed);
  while (position < seen && !first.compare_exchange_weak(seen, position, std::memory_order_relaxed)) {
  }
}

int64_t view_offset(const View& v, int64_t position) {
  int64_t off = 0;
  for (int d = v.ndim - 1; d >= 0; --d) {
    off += position % v.sizes[d] * v.strides[d];
    position /= v.sizes[d];
  }
  return off;
}

// The bad index at a position, `known` to be there unless the index is being changed meanwhile.
IndexFault fault_at(const IndexAxis* axes, int n, bool wrap, int64_t position, bool known = true) {
  IndexFault fault;
  if (position == kNoFault) return fault;
  for (int a = 0; a < n; ++a) {
    const int64_t j = axes[a].index.ptr<const int64_t>()[view_offset(axes[a].index, position)];
    if (j >= axes[a].size || j < (wrap ? -axes[a].size : 0)) {
      fault.axis = a;
      fault.value = j;
      return fault;
    }
  }
  if (known) fault.axis = 0;
  return fault;
}

// Operands of the walk: the axes' indices first, then a and b.
Walk index_walk(const IndexAxis* axes, int n, const View& a, const View& b) {
  const View* views[kMaxOperands];
  for (int k = 0; k < n; ++k) views[k] = &axes[k].index;
  views[n] = &a;
  views[n + 1] = &b;
  return make_walk(views, n + 2);
}

// Whole contiguous rows of tables, by one index each; dimensions before these two choose the table. What is
// copied some rows later is asked for now, unless the table lies in the second cache.
template <class T>
void get_table_rows(const Walk& w, const Axes& ax, const T* x, T* y, std::atomic<int64_t>& first) {
  constexpr int64_t kItem = sizeof(T), kAhead = 8;
  const int d = w.ndim - 2;
  const int64_t n = w.sizes[d + 1], rows = w.sizes[d], si = w.strides[d][0], sy = w.strides[d][2];
  const int64_t* index = ax.axis[0].index.ptr<const int64_t>();
  const bool far = ax.axis[0].size > (1 << 19) / (n * kItem);
  const int64_t ahead = far ? std::max<int64_t>(kAhead * 256 / (n * kItem), 2) : 0;
  parallel_for(w.numel / n, kWalkGrain / n + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end;) {
      const int64_t from = row % rows, count = std::min(rows - from, end - row);
      int64_t off[3] = {};
      for (int64_t k = d - 1, rest = row / rows; k >= 0; rest /= w.sizes[k--])
        for (int v = 0; v < 3; ++v) off[v] += rest % w.sizes[k] * w.strides[k][v];
      const int64_t bad = simd_index().get_rows(x + off[1], ax.axis[0].step * kItem,
                                                index + off[0] + from * si, si, ax.axis[0].size, ax.wrap,
                                                y + off[2] + from * sy, sy * kItem, n * kItem, count, ahead);
      if (bad >= 0) return keep_first(first, (row + bad) * n);
      row += count;
    }
  });
}

template <class T>
void get_rows(const Walk& w, const Axes& ax, const T* x, T* y, std::atomic<int64_t>& first) {
  if (w.numel == 0) return;
  const int k = ax.count;
  const int64_t sx = w.inner()[k], sy = w.inner()[k + 1];
  const bool constant = ax.constant_row();
  if (constant && k == 1 && w.ndim >= 2 && sx == 1 && sy == 1 && w.strides[w.ndim - 2][k] == 0)
    return get_table_rows(w, ax, x, y, first);
  const bool gathers = k == 1 && sx == 0 && sy == 1 && ax.inner[0] == 1 && ax.axis[0].step == 1 && !ax.wrap;
  if (gathers && w.ndim == 2 && w.sizes[1] <= kShortRow) {
    const int64_t n = w.sizes[1], rows = w.sizes[0];
    const auto strides = w.strides[0];
    parallel_for(rows, kWalkGrain / n + 1, [&](int64_t begin, int64_t end) {
      const int64_t bad = simd_index().gather_rows[width_index(sizeof(T))](
          x + begin * strides[1], strides[1], ax.axis[0].index.ptr<const int64_t>() + begin * strides[0],
          strides[0], ax.axis[0].size, y + begin * strides[2], strides[2], n, end - begin);
      if (bad >= 0) keep_first(first, begin * n + bad);
    });
    return;
  }
  walk_all(w, [&](const int64_t* off, int64_t n, int64_t position) {
    int64_t at[kPiece];
    const T* from = x + off[k];
    T* to = y + off[k + 1];
    if (constant) {
      if (ax.resolve(off, 0, 1, at) >= 0) return keep_first(first, position);
      return copy_row(from + at[0], sx, to, sy, n);
    }
    if (gathers) {
      const int64_t bad = simd_index().gather[width_index(sizeof(T))](
          from, ax.axis[0].index.ptr<const int64_t>() + off[0], ax.axis[0].size, to, n);
      if (bad >= 0) keep_first(first, position + bad);
      return;
    }
    if (ax.count == 1) {
      const int64_t bad =
          sx == 0 && sy == 1
              ? ax.each(off, n, [=](int64_t i, int64_t place) { to[i] = from[place]; })
              : ax.each(off, n, [=](int64_t i, int64_t place) { to[i * sy] = from[i * sx + place]; });
      if (bad >= 0) keep_first(first, position + bad);
      return;
    }
    for (int64_t b = 0; b < n; b += kPiece) {
      const int64_t m = n - b < kPiece ? n - b : kPiece;
      const int64_t bad = ax.resolve(off, b, m, at);
      if (bad >= 0) return keep_first(first, position + b + bad);
      for (int64_t i = 0; i < m; ++i) to[(b + i) * sy] = from[(b + i) * sx + at[i]];
    }
  });
}

// NaN wins in Max and Min.
template <class T, PutMode M>
CCDL_INLINE T combine(T y, T s) {
  using A = typename Accumulator<T>::type;
  if constexpr (M == PutMode::Set) {
    return s;
  } else if constexpr (M == PutMode::Add) {
    if constexpr (std::is_same_v<T, bool>)
      return y || s;
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(y) + static_cast<uint64_t>(s));
    else
      return static_cast<T>(static_cast<A>(y) + static_cast<A>(s));
  } else if constexpr (M == PutMode::Mul) {
    if constexpr (std::is_same_v<T, bool>)
      return y && s;
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(y) * static_cast<uint64_t>(s));
    else
      return static_cast<T>(static_cast<A>(y) * static_cast<A>(s));
  } else {
    const A a = static_cast<A>(y), b = static_cast<A>(s);
    const bool kept = (M == PutMode::Max ? a >= b : a <= b) | (a != a);  // as likely as not: no branch
    if constexpr (sizeof(T) == 1) {
      return kept ? y : s;
    } else {
      using Bits = std::conditional_t<sizeof(T) == 8, uint64_t,
                                      std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
      const Bits all = static_cast<Bits>(-static_cast<Bits>(kept));
      return std::bit_cast<T>(
          static_cast<Bits>((std::bit_cast<Bits>(y) & all) | (std::bit_cast<Bits>(s) & ~all)));
    }
  }
}

// y[index[i]] = combine(.., src[i]) for i < n, in order; false at an index outside.
template <class T, PutMode M>
CCDL_INLINE bool put_in_row(T* y, const int64_t* index, uint64_t size, const T* src, int64_t n) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const int64_t a = index[i], b = index[i + 1], c = index[i + 2], d = index[i + 3];
    if ((static_cast<uint64_t>(a) >= size) | (static_cast<uint64_t>(b) >= size) |
        (static_cast<uint64_t>(c) >= size) | (static_cast<uint64_t>(d) >= size)) [[unlikely]]
      return false;
    y[a] = combine<T, M>(y[a], src[i]);
    y[b] = combine<T, M>(y[b], src[i + 1]);
    y[c] = combine<T, M>(y[c], src[i + 2]);
    y[d] = combine<T, M>(y[d], src[i + 3]);
  }
  for (; i < n; ++i) {
    if (static_cast<uint64_t>(index[i]) >= size) [[unlikely]]
      return false;
    y[index[i]] = combine<T, M>(y[index[i]], src[i]);
  }
  return true;
}

template <class T, PutMode M>
void put_range(const Walk& w, const Axes& ax, T* y, const T* src, std::atomic<int64_t>& fault) {
  const int k = ax.count;
  const int64_t sy = w.inner()[k], ss = w.inner()[k + 1];
  const bool constant = ax.constant_row();
  if constexpr (M == PutMode::Set)
    if (constant && k == 1 && w.ndim == 2 && sy == 1 && ss == 1 && w.strides[0][k] == 0) {
      constexpr int64_t kItem = sizeof(T);
      if (simd_index().put_rows(y, ax.axis[0].step * kItem, ax.axis[0].index.ptr<const int64_t>(),
                                w.strides[0][0], ax.axis[0].size, ax.wrap, src, w.strides[0][k + 1] * kItem,
                                w.sizes[1] * kItem, w.sizes[0]) >= 0)
        keep_first(fault, 0);
      return;
    }
  if constexpr (M == PutMode::Set || M == PutMode::Add)
    if (k == 1 && w.ndim <= 2 && sy == 0 && ss == 1 && ax.inner[0] == 1 && ax.axis[0].step == 1 && !ax.wrap) {
      const bool rows = w.ndim == 2;
      const auto strides = w.strides[0];
      const int64_t *index = ax.axis[0].index.ptr<const int64_t>(), n = w.sizes[w.ndim - 1];
      for (int64_t r = 0; r < (rows ? w.sizes[0] : 1); ++r) {
        if (!put_in_row<T, M>(y, index, static_cast<uint64_t>(ax.axis[0].size), src, n))
          return keep_first(fault, 0);
        if (rows) y += strides[1], src += strides[2], index += strides[0];
      }
      return;
    }
  walk_range(w, 0, w.numel, [&](const int64_t* off, int64_t n, int64_t position) {
    int64_t at[kPiece];
    T* to = y + off[k];
    const T* from = src + off[k + 1];
    if (constant) {
      if (ax.resolve(off, 0, 1, at) >= 0) return keep_first(fault, position);
      to += at[0];
      if constexpr (M == PutMode::Set) {
        if (sy != 0) return copy_row(from, ss, to, sy, n);
      } else if (M == PutMode::Add && sy == 1 && ss == 1) {
        if constexpr (std::is_same_v<T, float>)
          return simd_index().add_float(to, from, n);
        else if constexpr (std::is_same_v<T, double>)
          return simd_index().add_double(to, from, n);
        for (int64_t i = 0; i < n; ++i) to[i] = combine<T, M>(to[i], from[i]);
        return;
      }
      for (int64_t i = 0; i < n; ++i) to[i * sy] = combine<T, M>(to[i * sy], from[i * ss]);
      return;
    }
    auto write = [&](int64_t i, int64_t place) {
      T* p = to + i * sy + place;
      *p = combine<T, M>(*p, from[i * ss]);
    };
    if (k == 1) {
      auto write_in_row = [=](int64_t i, int64_t place) { to[place] = combine<T, M>(to[place], from[i]); };
      const bool in_row = (M == PutMode::Set || M == PutMode::Add) && sy == 0 && ss == 1;
      const int64_t bad = in_row ? ax.each(off, n, write_in_row) : ax.each(off, n, write);
      if (bad >= 0) keep_first(fault, position + bad);
      return;
    }
    for (int64_t b = 0; b < n; b += kPiece) {
      const int64_t m = n - b < kPiece ? n - b : kPiece;
      if (const int64_t bad = ax.resolve(off, b, m, at); bad >= 0)
        return keep_first(fault, position + b + bad);
      for (int64_t i = 0; i < m; ++i) write(b + i, at[i]);
    }
  });
}

// Fault positions are those of a chunk's own part: only whether there was one is used.
template <class T, PutMode M>
void put_rows(const Walk& w, const Axes& ax, T* y, const T* src, std::atomic<int64_t>& fault) {
  const int k = ax.count;
  int split = -1;  // the longest dimension of the destination itself
  for (int d = 0; d < w.ndim; ++d)
    if (w.strides[d][k] != 0 && (split < 0 || w.sizes[d] > w.sizes[split])) split = d;
  if (split < 0 || w.numel <= kWalkGrain) return put_range<T, M>(w, ax, y, src, fault);
  const int64_t per = w.numel / w.sizes[split];  // elements per unit of the split dimension
  int64_t grain = kWalkGrain / per;              // pieces of a split row stay long
  if (split == w.ndim - 1) grain = std::max({grain, w.sizes[split] / 16, 2 * kPiece});
  grain = grain < 1 ? 1 : grain;
  parallel_for(w.sizes[split], grain, [&](int64_t begin, int64_t end) {
    Walk part = w;
    part.sizes[split] = end - begin;
    part.numel = per * (end - begin);
    IndexAxis moved[kMaxDims];
    Axes mine = ax;
    for (int a = 0; a < k; ++a) {
      moved[a] = ax.axis[a];
      moved[a].index.data = moved[a].index.ptr<int64_t>() + begin * w.strides[split][a];
    }
    mine.axis = moved;
    mine.inner = part.inner();
    put_range<T, M>(part, mine, y + begin * w.strides[split][k], src + begin * w.strides[split][k + 1],
                    fault);
  });
}

template <PutMode M>
void put_typed(const Walk& w, const Axes& ax, const View& y, const View& src, std::atomic<int64_t>& fault) {
  by_dtype(y.dtype, [&](auto t) {
    using T = decltype(t);
    put_rows<T, M>(w, ax, y.ptr<T>(), src.ptr<const T>(), fault);
  });
}

// Every index of every axis once: dimensions an index is broadcast over do not count.
IndexFault check_axes(const IndexAxis* axes, int n, bool wrap) {
  for (int a = 0; a < n; ++a) {
    IndexAxis one = axes[a];
    bool empty = false;
    int dims = 0;
    for (int d = 0; d < axes[a].index.ndim; ++d) {
      empty = empty || axes[a].index.sizes[d] == 0;
      if (axes[a].index.strides[d] == 0) continue;
      one.index.sizes[dims] = axes[a].index.sizes[d];
      one.index.strides[dims++] = axes[a].index.strides[d];
    }
    one.index.ndim = dims;
    if (empty) continue;
    const View* views[] = {&one.index};
    const Walk w = make_walk(views, 1);
    const Axes ax{&one, 1, wrap, w.inner()};
    std::atomic<int64_t> first{kNoFault};
    walk_all(w, [&](const int64_t* off, int64_t m, int64_t position) {
      if (ax.any_outside(off, m)) keep_first(first, position);
    });
    IndexFault fault;
    for (int64_t at = first.load(); at < w.numel && fault.axis < 0; ++at)
      fault = fault_at(&one, 1, wrap, at, false);
    if (fault.axis >= 0) {
      fault.axis = a;
      return fault;
    }
  }
  return {};
}

}  // namespace

IndexFault index_get(const View& x, const IndexAxis* axes, int n, bool wrap, const View& y) {
  const Walk w = index_walk(axes, n, x, y);
  const Axes ax{axes, n, wrap, w.inner()};
  std::atomic<int64_t> first{kNoFault};
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    get_rows<T>(w, ax, x.ptr<const T>(), y.ptr<T>(), first);
  });
  return fault_at(axes, n, wrap, first.load());
}

IndexFault index_put(const View& y, const IndexAxis* axes, int n, bool wrap, const View& src, PutMode mode,
                     bool check_first) {
  if (check_first) {
    const IndexFault found = check_axes(axes, n, wrap);
    if (found.axis >= 0) return found;
  }
  const Walk w = index_walk(axes, n, y, src);
  const Axes ax{axes, n, wrap, w.inner()};
  std::atomic<int64_t> fault{kNoFault};
  switch (mode) {
    case PutMode::Set:
      by_item_size(y.dtype, [&](auto t) {
        using T = decltype(t);
        put_rows<T, PutMode::Set>(w, ax, y.ptr<T>(), src.ptr<const T>(), fault);
      });
      break;
    case PutMode::Add:
      put_typed<PutMode::Add>(w, ax, y, src, fault);
      break;
    case PutMode::Mul:
      put_typed<PutMode::Mul>(w, ax, y, src, fault);
      break;
    case PutMode::Max:
      put_typed<PutMode::Max>(w, ax, y, src, fault);
      break;
    case PutMode::Min:
      put_typed<PutMode::Min>(w, ax, y, src, fault);
      break;
  }
  if (fault.load() == kNoFault) return {};
  IndexFault found = check_axes(axes, n, wrap);
  if (found.axis < 0) found.axis = 0;  // the index was changed meanwhile
  return found;
}

}  // namespace ccdl::cpu
