// Moves by a bool mask: fill, select, scatter, coordinates. Sixty-four mask bytes become the bits of a word,
// so that the work is in the elements chosen and not in those passed over.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <ccdl/kernels/index.h>

#include <algorithm>
#include <bit>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kWord = 64;    // mask bytes taken together
constexpr int64_t kPiece = 256;  // elements gathered before they are written
constexpr uint64_t kLow = 0x0101010101010101u, kHigh = kLow << 7;

// The top bit of every byte that is not 0.
CCDL_INLINE uint64_t nonzero_bytes(uint64_t v) { return (((v & ~kHigh) + ~kHigh) | v) & kHigh; }
CCDL_INLINE uint64_t eight_bytes(const uint8_t* m) {
  uint64_t v;
  __builtin_memcpy(&v, m, sizeof v);
  if constexpr (std::endian::native == std::endian::big) v = __builtin_bswap64(v);
  return v;
}

// Bit i is set where m[i * stride] is not 0, i < n <= 64.
CCDL_INLINE uint64_t mask_bits(const uint8_t* m, int64_t stride, int64_t n) {
  uint64_t bits = 0;
  if (stride == 1 && n == kWord) {
    for (int k = 0; k < 8; ++k)  // the product moves bit 0 of byte j to bit 56 + j
      bits |= ((nonzero_bytes(eight_bytes(m + 8 * k)) >> 7) * 0x0102040810204080u >> 56) << 8 * k;
    return bits;
  }
  for (int64_t i = 0; i < n; ++i) bits |= static_cast<uint64_t>(m[i * stride] != 0) << i;
  return bits;
}

// fn(i) for every i < n with m[i * stride] not 0, in order.
template <class F>
CCDL_INLINE void each_true(const uint8_t* m, int64_t stride, int64_t n, const F& fn) {
  for (int64_t b = 0; b < n; b += kWord) {
    uint64_t bits = mask_bits(m + b * stride, stride, std::min(n - b, kWord));
    for (; bits; bits &= bits - 1) fn(b + std::countr_zero(bits));
  }
}

int64_t count_true(const uint8_t* m, int64_t stride, int64_t n) {
  int64_t count = 0, i = 0;
  if (stride == 1)
    while (i + 8 <= n) {
      uint64_t sums = 0;  // one in each byte, at most 255
      for (int k = 0; k < 255 && i + 8 <= n; ++k, i += 8) sums += nonzero_bytes(eight_bytes(m + i)) >> 7;
      const uint64_t pairs = (sums & 0x00ff00ff00ff00ffu) + (sums >> 8 & 0x00ff00ff00ff00ffu);
      count += static_cast<int64_t>(pairs * 0x0001000100010001u >> 48);
    }
  for (; i < n; ++i) count += m[i * stride] != 0;
  return count;
}

// True elements before each chunk of kWalkGrain flat positions; returns the total.
int64_t mask_prefix(const Walk& w, int operand, const uint8_t* mask, int64_t** prefix) {
  const int64_t chunks = (w.numel + kWalkGrain - 1) / kWalkGrain;
  int64_t* before = *prefix = scratch<int64_t>(0, chunks + 1);
  const int64_t sm = w.inner()[operand];
  parallel_for(w.numel, kWalkGrain, [&](int64_t begin, int64_t end) {
    int64_t count = 0;
    walk_range(w, begin, end, [&](const int64_t* off, int64_t n, int64_t) {
      count += count_true(mask + off[operand], sm, n);
    });
    before[begin / kWalkGrain] = count;
  });
  int64_t total = 0;
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t here = before[c];
    before[c] = total;
    total += here;
  }
  return total;
}

}  // namespace

void masked_fill(const View& y, const View& mask, const View& value) {
  const View* views[] = {&mask, &y};
  const Walk w = make_walk(views, 2);
  const int64_t sm = w.inner()[0], sy = w.inner()[1];
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    T v;
    __builtin_memcpy(&v, value.data, sizeof(T));
    walk_all(w, [&](const int64_t* off, int64_t n, int64_t) {
      const uint8_t* m = mask.ptr<const uint8_t>() + off[0];
      T* p = y.ptr<T>() + off[1];
      if (sm == 1 && sy == 1) {
        for (int64_t i = 0; i < n; ++i) {
          const T chosen = static_cast<T>(-static_cast<T>(m[i] != 0));  // all bits or none
          p[i] = static_cast<T>((v & chosen) | (p[i] & ~chosen));
        }
      } else if (sm == 0) {
        if (*m) copy_row(&v, 0, p, sy, n);
      } else {
        each_true(m, sm, n, [=](int64_t i) { p[i * sy] = v; });
      }
    });
  });
}

int64_t masked_count(const View& mask) {
  const View* views[] = {&mask};
  const Walk w = make_walk(views, 1);
  int64_t* before = nullptr;
  return mask_prefix(w, 0, mask.ptr<const uint8_t>(), &before);
}

void masked_select(const View& x, const View& mask, const View& y) {
  const View* views[] = {&mask, &x};
  const Walk w = make_walk(views, 2);
  int64_t* before = nullptr;
  mask_prefix(w, 0, mask.ptr<const uint8_t>(), &before);
  const int64_t sm = w.inner()[0], sx = w.inner()[1];
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(w.numel, kWalkGrain, [&](int64_t begin, int64_t end) {
      T* out = y.ptr<T>() + before[begin / kWalkGrain];
      walk_range(w, begin, end, [&](const int64_t* off, int64_t n, int64_t) {
        const T* p = x.ptr<const T>() + off[1];
        each_true(mask.ptr<const uint8_t>() + off[0], sm, n, [&](int64_t i) { *out++ = p[i * sx]; });
      });
    });
  });
}

void masked_scatter(const View& y, const View& mask, const View& src) {
  const View* views[] = {&mask, &y};
  const Walk w = make_walk(views, 2);
  int64_t* before = nullptr;
  mask_prefix(w, 0, mask.ptr<const uint8_t>(), &before);
  const int64_t sm = w.inner()[0], sy = w.inner()[1];
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(w.numel, kWalkGrain, [&](int64_t begin, int64_t end) {
      const T* next = src.ptr<const T>() + before[begin / kWalkGrain];
      walk_range(w, begin, end, [&](const int64_t* off, int64_t n, int64_t) {
        T* p = y.ptr<T>() + off[1];
        each_true(mask.ptr<const uint8_t>() + off[0], sm, n, [&](int64_t i) { p[i * sy] = *next++; });
      });
    });
  });
}

namespace {

// A contiguous mask of rows shorter than a word: words across rows, the place of each of their bits from a
// table. Coordinates of the true elements among [begin, end) to rows and columns.
void narrow_coordinates(const uint8_t* m, int64_t width, int64_t begin, int64_t end, int64_t* rows,
                        int64_t* columns) {
  uint8_t row_of[2 * kWord], column_of[2 * kWord];
  for (int64_t i = 0; i < kWord + width; ++i) {
    row_of[i] = static_cast<uint8_t>(i / width);
    column_of[i] = static_cast<uint8_t>(i % width);
  }
  int64_t row = begin / width, column = begin % width;
  for (int64_t b = begin; b < end; b += kWord) {
    for (uint64_t bits = mask_bits(m + b, 1, std::min(end - b, kWord)); bits; bits &= bits - 1) {
      const int64_t at = column + std::countr_zero(bits);
      *rows++ = row + row_of[at];
      *columns++ = column_of[at];
    }
    row += row_of[column + kWord];
    column = column_of[column + kWord];
  }
}

}  // namespace

void masked_coordinates(const View& mask, const View& out) {
  const View* views[] = {&mask};
  const Walk w = make_walk(views, 1);
  int64_t* before = nullptr;
  const int64_t total = mask_prefix(w, 0, mask.ptr<const uint8_t>(), &before);
  const int last = mask.ndim - 1;
  const int64_t sm = mask.strides[last], width = mask.sizes[last];
  int64_t* rows = out.ptr<int64_t>();
  if (mask.ndim == 2 && width < kWord && mask.is_contiguous())
    return parallel_for(w.numel, kWalkGrain, [&](int64_t begin, int64_t end) {
      int64_t* to = rows + before[begin / kWalkGrain];
      narrow_coordinates(mask.ptr<const uint8_t>(), width, begin, end, to, to + total);
    });
  parallel_for(w.numel, kWalkGrain, [&](int64_t begin, int64_t end) {
    int64_t k = before[begin / kWalkGrain], at[kMaxDims], found[kPiece];
    int64_t rest = begin, offset = 0;
    for (int d = last; d >= 0; --d) {
      at[d] = rest % mask.sizes[d];
      rest /= mask.sizes[d];
      offset += at[d] * mask.strides[d];
    }
    for (int64_t position = begin; position < end;) {  // one piece of a row of the mask at a time
      const uint8_t* m = mask.ptr<const uint8_t>() + offset;
      int64_t n = width - at[last] < end - position ? width - at[last] : end - position;
      n = n < kPiece ? n : kPiece;
      int64_t count = 0;
      each_true(m, sm, n, [&](int64_t i) { found[count++] = at[last] + i; });
      for (int d = 0; d < last; ++d)
        for (int64_t i = 0; i < count; ++i) rows[d * total + k + i] = at[d];
      move_bytes(rows + last * total + k, found, static_cast<size_t>(count) * sizeof(int64_t));
      k += count;
      position += n;
      at[last] += n;
      offset += n * sm;
      for (int d = last; d > 0 && at[d] == mask.sizes[d]; --d) {
        offset += mask.strides[d - 1] - at[d] * mask.strides[d];
        at[d] = 0;
        ++at[d - 1];
      }
    }
  });
}

}  // namespace ccdl::cpu
