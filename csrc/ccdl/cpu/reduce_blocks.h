// What one task of a reduction does: rows, columns, short rows and pieces of rows of the input into its
// accumulators. What the SIMD kernels cannot read in place (strided, half, small integers) is packed into
// blocks first.
#pragma once
#include <algorithm>

#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/reduce_plan.h>

namespace ccdl::cpu::reduction {

// From the caching allocator: pages fresh from the system would cost as much as a small reduction.
struct Partial : Buffer<double> {
  using Buffer<double>::Buffer;
  double& operator[](int64_t i) const { return get()[i]; }
};
inline Partial make_partial(int64_t n) { return Partial(n); }

// Walks the outputs o .. o + n in plan order; f(position in the block, y offset).
template <class F>
void for_outputs(const Plan& plan, int64_t o, int64_t n, const F& f) {
  if (plan.nout == 0) return f(int64_t{0}, int64_t{0});
  const Dim& inner = plan.out[plan.nout - 1];
  for (int64_t i = 0; i < n;) {
    const int64_t k = (o + i) % inner.size, len = std::min(inner.size - k, n - i);
    const int64_t off = plan.y_offset_out(o + i);
    for (int64_t j = 0; j < len; ++j) f(i + j, off + j * inner.ys);
    i += len;
  }
}

template <class T>
T narrow(double v) {
  if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>)
    return T(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

// Elements [begin, end) of the reduced space into one accumulator.
template <class P>
void reduce_row(const P& pol, const Plan& plan, const Source& src, const char* base, int64_t begin,
                int64_t end, int64_t o, double* acc) {
  const Dim& inner = plan.red[plan.nred - 1];
  const ReduceKernels& simd = simd_reduce();
  alignas(64) double buffer[kBlock];
  const bool bytes = pol.byte_fn && inner.xs == 1;
  const bool direct = inner.xs == 1 && !src.packed;
  for (int64_t pos = begin; pos < end;) {
    const int64_t i = pos % inner.size;
    const int64_t len = std::min(inner.size - i, end - pos);
    const char* x = base + (plan.x_offset_red(pos - i) + i * inner.xs) * src.bytes;
    if (bytes) {
      pol.byte_fn(x, len, nullptr, acc);
    } else if (direct && len <= kGrain) {
      if (pos + len < end) {  // the next piece lies elsewhere: its first lines are asked for now
        const char* next = base + plan.x_offset_red(pos + len) * src.bytes;
        const int64_t lines = std::min<int64_t>(16, len * src.bytes / 64 + 1);
        for (int64_t l = 0; l < lines; ++l) __builtin_prefetch(next + 64 * l);
      }
      pol.row(x, len, pos, o, acc);
    } else {
      for (int64_t k = 0; k < len; k += kBlock) {
        const int64_t m = std::min(kBlock, len - k);
        const void* from = x + k * inner.xs * src.bytes;
        if (!direct) {
          simd.pack(src.dtype, from, inner.xs, m, buffer);
          from = buffer;
        }
        pol.row(from, m, pos + k, o, acc);
        if (pol.finished(acc)) return;
      }
    }
    if (pol.finished(acc)) return;
    pos += len;
  }
}

// Dense narrow rows: `fold` of them are one wide row of accumulators, which is folded at the end.
template <class P>
void reduce_cols_folded(const P& pol, const char* x, int64_t bytes, int64_t rows, int64_t fold, int64_t o,
                        int64_t cols, double* acc) {
  alignas(64) double wide_acc[kFoldWidth], wide_c[kFoldWidth];
  const int64_t wide = fold * cols, whole = rows / fold;
  P mine = pol;
  if (pol.per_output) {
    for (int64_t k = 0; k < wide; ++k) wide_c[k] = pol.c[o + k % cols];
    mine.c = wide_c;
    o = 0;
  }
  mine.init(wide_acc, wide);
  mine.col(x, whole, wide, wide, 0, o, wide_acc, 0);
  for (int64_t half = fold / 2; half > 0; half /= 2) mine.join(wide_acc, wide_acc + half * cols, half * cols);
  mine.join(acc, wide_acc, cols);
  if (rows > whole * fold)
    mine.col(x + whole * wide * bytes, rows - whole * fold, cols, cols, whole * fold, o, acc, 0);
}

// Rows [begin, end) of the reduced space into cols accumulators; x points at the first column.
template <class P>
void reduce_cols(const P& pol, const Plan& plan, const Source& src, const char* base, int64_t begin,
                 int64_t end, int64_t o, int64_t cols, int64_t xs, double* acc) {
  const Dim& inner = plan.red[plan.nred - 1];
  const ReduceKernels& simd = simd_reduce();
  alignas(64) double buffer[kBlock];
  const bool direct = xs == 1 && !src.packed;
  const int64_t width = kBlock / 8;
  if constexpr (P::kWords == 1) {
    if (direct && plan.nred == 1) {
      const int64_t rows = end - begin;
      const char* x = base + begin * inner.xs * src.bytes;
      int64_t fold = 1;
      if (inner.xs == cols)
        while (2 * fold * cols <= kFoldWidth && 8 * fold <= rows) fold *= 2;
      if (fold == 1) return pol.col(x, rows, inner.xs, cols, begin, o, acc, 0);
      return reduce_cols_folded(pol, x, src.bytes, rows, fold, o, cols, acc);
    }
  } else if (cols <= kFewColumns && end - begin >= 64 && plan.nred == 1) {  // column by column
    for (int64_t j = 0; j < cols; ++j)
      for (int64_t k = begin; k < end; k += kBlock) {
        const int64_t m = std::min(kBlock, end - k);
        simd.pack(src.dtype, base + (k * inner.xs + j * xs) * src.bytes, inner.xs, m, buffer);
        pol.row(buffer, m, k, o + j, acc + j);
      }
    return;
  }
  for (int64_t pos = begin; pos < end;) {
    const int64_t i = pos % inner.size;
    const int64_t len = std::min(inner.size - i, end - pos);
    const char* x = base + (plan.x_offset_red(pos - i) + i * inner.xs) * src.bytes;
    if (direct) {
      pol.col(x, len, inner.xs, cols, pos, o, acc, 0);
    } else {
      const int64_t item = src.packed ? (src.elem == kElemF32 ? 4 : 8) : src.bytes;
      for (int64_t r = 0; r < len; r += 8)
        for (int64_t j = 0; j < cols; j += width) {
          const int64_t nr = std::min<int64_t>(8, len - r), nc = std::min(width, cols - j);
          char* out = reinterpret_cast<char*>(buffer);
          for (int64_t k = 0; k < nr; ++k)
            simd.pack(src.dtype, x + ((r + k) * inner.xs + j * xs) * src.bytes, xs, nc,
                      out + k * width * item);
          pol.col(buffer, nr, width, nc, pos + r, o + j, acc, j);
        }
    }
    pos += len;
  }
}

// Whether short rows of another type than the kernels read are packed together, with the gaps between them.
inline bool packs_short(const Plan& plan) {
  const int64_t step = plan.out[plan.nout - 1].xs;
  return step <= kBlock / 32 && step <= 4 * plan.reduced;
}

// Outputs o .. o + n of short contiguous rows.
template <class P>
void reduce_short(const P& pol, const Plan& plan, const Source& src, int64_t o, int64_t n, double* acc) {
  const Dim& inner = plan.out[plan.nout - 1];
  if (src.packed) {
    alignas(64) double buffer[kBlock];
    const int64_t at_once = std::max<int64_t>(kBlock / inner.xs / 32, 1) * 32;
    for (int64_t i = 0; i < n;) {
      const int64_t rows = std::min({inner.size - (o + i) % inner.size, n - i, at_once});
      simd_reduce().pack(src.dtype, src.data + plan.x_offset_out(o + i) * src.bytes, 1,
                         (rows - 1) * inner.xs + plan.reduced, buffer);
      pol.short_rows(buffer, rows, inner.xs, plan.reduced, o + i, acc + i);
      i += rows;
    }
    return;
  }
  for (int64_t i = 0; i < n;) {
    const int64_t rows = std::min(inner.size - (o + i) % inner.size, n - i);
    pol.short_rows(src.data + plan.x_offset_out(o + i) * src.bytes, rows, inner.xs, plan.reduced, o + i,
                   acc + i);
    i += rows;
  }
}

// Whether short pieces of rows can be added to many outputs at a time.
template <class P>
bool shares_pieces(const Plan& plan, const Source& src) {
  if (P::kWords != 1 || !plan.short_pieces) return false;
  const int64_t step = plan.out[plan.nout - 1].xs;
  return !src.packed || (step <= kBlock / 32 && step <= 4 * plan.red[plan.nred - 1].size);
}

// Outputs o .. o + n of rows made of many short contiguous pieces.
template <class P>
void reduce_pieces(const P& pol, const Plan& plan, const Source& src, int64_t o, int64_t n, double* acc) {
  const Dim &inner = plan.out[plan.nout - 1], &piece = plan.red[plan.nred - 1];
  const int64_t at_once = std::max<int64_t>(kBlock / inner.xs / 32, 1) * 32;
  for (int64_t i = 0; i < n;) {
    int64_t rows = std::min(inner.size - (o + i) % inner.size, n - i);
    if (src.packed) rows = std::min(rows, at_once);
    const char* base = src.data + plan.x_offset_out(o + i) * src.bytes;
    for (int64_t pos = 0; pos < plan.reduced; pos += piece.size) {
      const void* x = base + plan.x_offset_red(pos) * src.bytes;
      alignas(64) double buffer[kBlock];
      if (src.packed) {
        simd_reduce().pack(src.dtype, x, 1, (rows - 1) * inner.xs + piece.size, buffer);
        x = buffer;
      }
      pol.short_rows(x, rows, inner.xs, piece.size, o + i, acc + i);
    }
    i += rows;
  }
}

}  // namespace ccdl::cpu::reduction
