// Row-major walk over operands of one shape with any strides (negative ones too, for internal use).
// Dimensions of size 1 are dropped and neighbours merged when every operand allows it; the visiting order and
// the flat position stay those of the original shape. A callback receives one offset per operand and a row
// length.
#pragma once
#include <ccdl/core/parallel.h>
#include <ccdl/core/view.h>
#include <ccdl/cpu/simd/elementwise_convert.h>

namespace ccdl::cpu {

constexpr int kMaxOperands = kMaxDims + 2;
constexpr int64_t kWalkGrain = 32768;  // elements per chunk: 10 us or more of moving

struct Walk {
  int ndim = 0;  // at least 1 after finish()
  int operands = 0;
  int64_t numel = 1;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxDims][kMaxOperands];

  explicit Walk(int count) : operands(count) {}

  // Appends one inner dimension; step[k] is its stride in operand k.
  void add(int64_t size, const int64_t* step) {
    numel *= size;
    if (size == 1) return;
    if (ndim > 0) {
      bool merge = true;
      for (int k = 0; k < operands; ++k) merge = merge && strides[ndim - 1][k] == step[k] * size;
      if (merge) {
        sizes[ndim - 1] *= size;
        for (int k = 0; k < operands; ++k) strides[ndim - 1][k] = step[k];
        return;
      }
    }
    sizes[ndim] = size;
    for (int k = 0; k < operands; ++k) strides[ndim][k] = step[k];
    ++ndim;
  }
  void finish() {
    if (ndim > 0) return;
    sizes[0] = numel;  // 1, or 0 when a dimension was empty
    for (int k = 0; k < operands; ++k) strides[0][k] = 0;
    ndim = 1;
  }
  const int64_t* inner() const { return strides[ndim - 1]; }
};

// Walk over views of equal sizes.
inline Walk make_walk(const View* const* views, int count) {
  Walk w(count);
  int64_t step[kMaxOperands];
  for (int d = 0; d < views[0]->ndim; ++d) {
    for (int k = 0; k < count; ++k) step[k] = views[k]->strides[d];
    w.add(views[0]->sizes[d], step);
  }
  w.finish();
  return w;
}

// fn(offsets, n, position): pieces of inner rows that cover the flat positions [begin, end).
template <class F>
inline void walk_range(const Walk& w, int64_t begin, int64_t end, const F& fn) {
  if (begin >= end) return;
  const int last = w.ndim - 1, count = w.operands;
  int64_t at[kMaxDims], off[kMaxOperands] = {};
  int64_t rest = begin;
  for (int d = last; d >= 0; --d) {
    at[d] = rest % w.sizes[d];
    rest /= w.sizes[d];
    for (int k = 0; k < count; ++k) off[k] += at[d] * w.strides[d][k];
  }
  for (int64_t position = begin;;) {
    const int64_t row = w.sizes[last] - at[last];
    const int64_t n = row < end - position ? row : end - position;
    fn(static_cast<const int64_t*>(off), n, position);
    position += n;
    if (position >= end) return;
    if (at[last] != 0) {  // the first row may have begun inside
      for (int k = 0; k < count; ++k) off[k] -= at[last] * w.strides[last][k];
      at[last] = 0;
    }
    for (int d = last - 1; d >= 0; --d) {
      for (int k = 0; k < count; ++k) off[k] += w.strides[d][k];
      if (++at[d] < w.sizes[d]) break;
      for (int k = 0; k < count; ++k) off[k] -= w.sizes[d] * w.strides[d][k];
      at[d] = 0;
    }
  }
}

template <class F>
inline void walk_all(const Walk& w, const F& fn) {
  parallel_for(w.numel, kWalkGrain, [&](int64_t begin, int64_t end) { walk_range(w, begin, end, fn); });
}

// memcpy without the call for a few bytes, which is what the rows of narrow arrays have.
inline void move_bytes(void* to, const void* from, size_t n) {
  typedef char Sixteen __attribute__((vector_size(16)));
  char* y = static_cast<char*>(to);
  const char* x = static_cast<const char*>(from);
  const auto ends = [&](auto piece) __attribute__((always_inline)) {  // two pieces that may overlap
    auto a = piece, b = piece;
    __builtin_memcpy(&a, x, sizeof(a));
    __builtin_memcpy(&b, x + n - sizeof(b), sizeof(b));
    __builtin_memcpy(y, &a, sizeof(a));
    __builtin_memcpy(y + n - sizeof(b), &b, sizeof(b));
  };
  if (n > 256) {
    __builtin_memcpy(y, x, n);
  } else if (n > 32) {
    Sixteen last, v;
    __builtin_memcpy(&last, x + n - 16, 16);
    for (size_t i = 0; i + 16 <= n; i += 16) {
      __builtin_memcpy(&v, x + i, 16);
      __builtin_memcpy(y + i, &v, 16);
    }
    __builtin_memcpy(y + n - 16, &last, 16);
  } else if (n >= 16) {
    ends(Sixteen{});
  } else if (n >= 8) {
    ends(uint64_t{});
  } else if (n >= 4) {
    ends(uint32_t{});
  } else {
    for (size_t i = 0; i < n; ++i) y[i] = x[i];
  }
}

template <class T>
inline void copy_row(const T* __restrict x, int64_t sx, T* __restrict y, int64_t sy, int64_t n) {
  constexpr int kWidth = width_index(sizeof(T));
  if (sx == 1 && sy == 1) {
    move_bytes(y, x, static_cast<size_t>(n) * sizeof(T));
  } else if (sx == 0 && sy == 1) {
    const T v = *x;
    if (n >= 32) return simd_elementwise_convert().fill[kWidth](&v, y, n);
    for (int64_t i = 0; i < n; ++i) y[i] = v;
  } else if (sx == -1 && sy == 1) {
    simd_elementwise_convert().reverse[kWidth](x, y, n);
  } else if (sx == 2 && sy == 1 && n >= 32) {
    simd_elementwise_convert().every_second[kWidth](x, y, n);
  } else if (sx == 3 && sy == 1 && n >= 32) {
    simd_elementwise_convert().every_third[kWidth](x, y, n);
  } else if (sx == 4 && sy == 1 && n >= 16) {
    simd_elementwise_convert().every_fourth[kWidth](x, y, n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * sy] = x[i * sx];
  }
}

// Walks y = x; both of one shape, strides in elements.
template <class T>
inline void copy_walk(const Walk& w, const T* x, T* y) {
  const int64_t sx = w.inner()[0], sy = w.inner()[1];
  if (w.numel == 0) return;
  if (w.ndim < 2 || sy != 1 || w.sizes[w.ndim - 1] > 512)
    return walk_all(
        w, [&](const int64_t* off, int64_t n, int64_t) { copy_row(x + off[0], sx, y + off[1], sy, n); });
  // Short rows: whole ones, in runs along the dimension before.
  Walk rows = w;
  const int64_t n = rows.sizes[--rows.ndim];
  rows.numel = w.numel / n;
  const int64_t rx = rows.inner()[0], ry = rows.inner()[1];
  parallel_for(rows.numel, (kWalkGrain + n - 1) / n, [&](int64_t begin, int64_t end) {
    walk_range(rows, begin, end, [&](const int64_t* off, int64_t m, int64_t) {
      const T* from = x + off[0];
      T* to = y + off[1];
      if (sx == 1) {
        constexpr auto kItem = static_cast<int64_t>(sizeof(T));
        simd_elementwise_convert().copy_rows(from, rx * kItem, to, ry * kItem, m, n * kItem);
      } else if (sx == 0 && n == 2) {
        for (int64_t i = 0; i < m; ++i, from += rx, to += ry) to[0] = to[1] = *from;
      } else if (n >= 2 && n <= 4 && rx == 1 && ry == n && m >= 8) {
        simd_elementwise_convert().deal[width_index(sizeof(T))](from, sx, n, to, m);
      } else if (n < 32 && !(sx == 4 && n >= 16)) {
        for (int64_t i = 0; i < m; ++i, from += rx, to += ry)
          for (int64_t j = 0; j < n; ++j) to[j] = from[j * sx];
      } else {
        for (int64_t i = 0; i < m; ++i, from += rx, to += ry) copy_row(from, sx, to, sy, n);
      }
    });
  });
}

// fn(T{}) with the unsigned type as wide as one element: for moves, where the value does not matter.
template <class F>
inline decltype(auto) by_item_size(DType t, const F& fn) {
  switch (item_size(t)) {
    case 1:
      return fn(uint8_t{});
    case 2:
      return fn(uint16_t{});
    case 4:
      return fn(uint32_t{});
    default:
      return fn(uint64_t{});
  }
}

// fn(T{}) with the element type itself; bool is stored as one byte, 0 or 1.
template <class F>
inline decltype(auto) by_dtype(DType t, const F& fn) {
  switch (t) {
    case DType::Bool:
      return fn(bool{});
    case DType::UInt8:
      return fn(uint8_t{});
    case DType::Int8:
      return fn(int8_t{});
    case DType::Int16:
      return fn(int16_t{});
    case DType::Int32:
      return fn(int32_t{});
    case DType::Int64:
      return fn(int64_t{});
    case DType::Float16:
      return fn(float16{});
    case DType::BFloat16:
      return fn(bfloat16{});
    case DType::Float32:
      return fn(float{});
    default:
      return fn(double{});
  }
}
template <class F>
inline decltype(auto) by_floating(DType t, const F& fn) {
  switch (t) {
    case DType::Float16:
      return fn(float16{});
    case DType::BFloat16:
      return fn(bfloat16{});
    case DType::Float32:
      return fn(float{});
    default:
      return fn(double{});
  }
}

// The type sums are formed in.
template <class T>
struct Accumulator {
  using type = T;
};
template <>
struct Accumulator<float16> {
  using type = float;
};
template <>
struct Accumulator<bfloat16> {
  using type = float;
};

}  // namespace ccdl::cpu
