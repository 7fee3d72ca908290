// Rearranging kernels. Everything is a strided copy of boxes where the value does not matter; sums (pad,
// fold) are split along dimensions whose elements never meet and run in a fixed order
// inside, so results do not depend on the thread count.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <ccdl/kernels/shape.h>

#include <algorithm>
#include <type_traits>

#include <ccdl/cpu/copy_view.h>
#include <ccdl/cpu/scratch.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kFilled = 4096;  // bytes of short rows filled together before they are copied over
constexpr int64_t kWide = 512;     // elements of two bytes converted at a time
constexpr int kTableSlot = 0, kSumSlot = 1;  // scratch of the caller, of a chunk

void roll_box(View x, View y, const int64_t* shift, int d) {
  for (; d < x.ndim; ++d) {
    if (shift[d] == 0) continue;
    const int64_t n = x.sizes[d], s = shift[d];
    View head = x, to_head = moved(y, s * y.strides[d]);
    head.sizes[d] = to_head.sizes[d] = n - s;
    roll_box(head, to_head, shift, d + 1);
    View tail = moved(x, (n - s) * x.strides[d]), to_tail = y;
    tail.sizes[d] = to_tail.sizes[d] = s;
    roll_box(tail, to_tail, shift, d + 1);
    return;
  }
  copy_view(x, y);
}

// Source coordinate of output i of a dimension with n inputs, or -1 outside.
int64_t pad_source(int64_t i, int64_t before, int64_t n, PadMode mode) {
  int64_t j = i - before;
  switch (mode) {
    case PadMode::Constant:
      return j >= 0 && j < n ? j : -1;
    case PadMode::Replicate:
      return j < 0 ? 0 : j >= n ? n - 1 : j;
    case PadMode::Circular:
      return j < 0 ? j + n : j >= n ? j - n : j;
    case PadMode::Reflect:
      return j < 0 ? -j : j >= n ? 2 * (n - 1) - j : j;
  }
  return -1;
}

// Source offsets (in elements, -1 outside) of every output coordinate of every dimension, one table after
// another.
struct PadTables {
  const int64_t* of[kMaxDims];

  PadTables(const View& x, const View& y, const int64_t* before, PadMode mode) {
    int64_t total = 1;
    for (int d = 0; d < y.ndim; ++d) total += y.sizes[d];
    int64_t* p = scratch<int64_t>(kTableSlot, total);
    for (int d = 0; d < y.ndim; ++d) {
      of[d] = p;
      for (int64_t i = 0; i < y.sizes[d]; ++i) {
        const int64_t j = pad_source(i, before[d], x.sizes[d], mode);
        *p++ = j < 0 ? -1 : j * x.strides[d];
      }
    }
  }
};

// run(y offset, x offset or -1, first, stop): the rows [begin, end) of y, its last dimension left out, in
// runs along the dimension before; the offsets are those of coordinate 0 of that dimension. y has two
// dimensions or more.
template <class F>
void pad_runs(const View& y, const PadTables& table, int64_t begin, int64_t end, const F& fn) {
  int64_t at[kMaxDims], rest = begin;
  for (int d = y.ndim - 2; d >= 0; --d) {
    at[d] = rest % y.sizes[d];
    rest /= y.sizes[d];
  }
  const int run = y.ndim - 2;
  for (int64_t row = begin; row < end;) {
    int64_t to = 0, from = 0;
    for (int d = 0; d < run; ++d) {
      const int64_t s = table.of[d][at[d]];
      to += at[d] * y.strides[d];
      from = (from | s) < 0 ? -1 : from + s;
    }
    const int64_t stop = y.sizes[run] - at[run] < end - row ? y.sizes[run] : at[run] + end - row;
    fn(to, from, at[run], stop);
    row += stop - at[run];
    at[run] = 0;
    for (int d = run - 1; d >= 0 && ++at[d] == y.sizes[d]; --d) at[d] = 0;
  }
}

// fn(y offset, x offset or -1) for the rows [begin, end) of y, its last dimension left out.
template <class F>
void pad_rows(const View& y, const PadTables& table, int64_t begin, int64_t end, const F& fn) {
  if (y.ndim < 2) {
    if (begin < end) fn(int64_t{0}, int64_t{0});
    return;
  }
  const int run = y.ndim - 2;
  pad_runs(y, table, begin, end, [&](int64_t to, int64_t from, int64_t first, int64_t stop) {
    for (int64_t i = first; i < stop; ++i) {
      const int64_t s = table.of[run][i];
      fn(to + i * y.strides[run], (from | s) < 0 ? int64_t{-1} : from + s);
    }
  });
}

int64_t rows_of(const View& y) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < y.ndim; ++d) rows *= y.sizes[d];
  return rows;
}

template <class T>
void pad_typed(const View& x, const View& y, const PadTables& table, const int64_t* before, PadMode mode,
               T value) {
  const int last = y.ndim - 1;
  const int64_t first = before[last];
  const int64_t n = y.sizes[last], nx = x.sizes[last], sy = y.strides[last], sx = x.strides[last];
  const int64_t* inner = table.of[last];
  const int64_t lo = first < 0 ? 0 : first < n ? first : n;  // [lo, hi): copied straight from x
  const int64_t hi = first + nx < lo ? lo : first + nx < n ? first + nx : n;
  const auto edges = [&](T * p, const T* q) __attribute__((always_inline)) {
    for (int64_t i = 0; i < lo; ++i) p[i * sy] = inner[i] < 0 ? value : q[inner[i]];
    for (int64_t i = hi; i < n; ++i) p[i * sy] = inner[i] < 0 ? value : q[inner[i]];
  };
  const auto row = [&](int64_t to, int64_t from) {
    T* p = y.ptr<T>() + to;
    if (from < 0) return copy_row(&value, 0, p, sy, n);
    const T* q = x.ptr<const T>() + from;
    edges(p, q);
    if (hi > lo) copy_row(q + (lo - first) * sx, sx, p + lo * sy, sy, hi - lo);
  };
  const int64_t grain = kWalkGrain / (n + 1) + 1, rows = rows_of(y);
  if (y.ndim < 2 || sx != 1 || sy != 1 || hi == lo) {
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) { pad_rows(y, table, begin, end, row); });
    return;
  }
  // Contiguous rows: those whose neighbours in y are neighbours in x are copied together.
  const int run = last - 1;
  const int64_t ry = y.strides[run], rx = x.strides[run];
  constexpr auto kItem = static_cast<int64_t>(sizeof(T));
  const bool filled = mode == PadMode::Constant && ry == n && n * kItem <= kFilled / 8;
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    pad_runs(y, table, begin, end, [&](int64_t to, int64_t from, int64_t start, int64_t stop) {
      int64_t a = std::clamp(before[run], start, stop);
      const int64_t b = from < 0 ? a : std::clamp(before[run] + x.sizes[run], a, stop);
      const auto single = [&](int64_t i) {
        const int64_t s = table.of[run][i];
        row(to + i * ry, (from | s) < 0 ? int64_t{-1} : from + s);
      };
      for (int64_t i = start; i < a; ++i) single(i);
      if (b > a) {
        T* p = y.ptr<T>() + to + a * ry;
        const T* q = x.ptr<const T>() + from + table.of[run][a];
        const ElementwiseConvertKernels& simd = simd_elementwise_convert();
        if (filled) {  // some rows at a time are filled, then copied over
          const int64_t most = kFilled / (n * kItem);
          for (int64_t i = a, m; i < b; i += m, p += m * ry, q += m * rx) {
            m = std::min(most, b - i);
            simd.fill[width_index(kItem)](&value, p, m * n);
            simd.copy_rows(q + (lo - first), rx * kItem, p + lo, ry * kItem, m, (hi - lo) * kItem);
          }
          a = b;
        } else {
          simd.copy_rows(q + (lo - first), rx * kItem, p + lo, ry * kItem, b - a, (hi - lo) * kItem);
        }
        for (int64_t i = a; i < b; ++i, p += ry, q += rx) edges(p, q);
      }
      for (int64_t i = b; i < stop; ++i) single(i);
    });
  });
}

// One chunk's sums: in dx itself, or for half formats in a float copy of that part of dx.
template <class T, class F>
void summed(T* dx, int64_t n, const F& fill) {
  if constexpr (std::is_same_v<typename Accumulator<T>::type, T>) {
    for (int64_t i = 0; i < n; ++i) dx[i] = T(0);
    fill(dx);
  } else {
    float* sum = scratch<float>(kSumSlot, n);
    for (int64_t i = 0; i < n; ++i) sum[i] = 0.0f;
    fill(sum);
    if constexpr (sizeof(T) == 2 && std::is_same_v<typename Accumulator<T>::type, float>) {
      constexpr DType kHalf = std::is_same_v<T, bfloat16> ? DType::BFloat16 : DType::Float16;
      simd_elementwise_convert().convert[static_cast<int>(DType::Float32)][static_cast<int>(kHalf)](sum, dx,
                                                                                                    n);
    } else {
      for (int64_t i = 0; i < n; ++i) dx[i] = T(sum[i]);
    }
  }
}

// dx contiguous. Leading dimensions without padding are split; each block is summed in row-major order of dy.
template <class T>
void pad_backward_typed(const View& dy, const int64_t* before, PadMode mode, const View& dx) {
  using A = typename Accumulator<T>::type;
  int lead = 0;
  int64_t blocks = 1;
  while (lead + 1 < dy.ndim && before[lead] == 0 && dy.sizes[lead] == dx.sizes[lead])
    blocks *= dy.sizes[lead++];
  View part_y = dy, part_x = dx;
  part_y.ndim = part_x.ndim = dy.ndim - lead;
  for (int d = lead; d < dy.ndim; ++d) {
    part_y.sizes[d - lead] = dy.sizes[d];
    part_y.strides[d - lead] = dy.strides[d];
    part_x.sizes[d - lead] = dx.sizes[d];
    part_x.strides[d - lead] = dx.strides[d];
  }
  const PadTables table(part_x, part_y, before + lead, mode);
  const int64_t per = part_x.numel(), rows = rows_of(part_y);
  const int last = part_y.ndim - 1;
  const int64_t n = part_y.sizes[last], sy = part_y.strides[last];
  const int64_t* inner = table.of[last];
  const int64_t shift = before[lead + last], lo = std::clamp<int64_t>(shift, 0, n),
                hi = std::clamp<int64_t>(shift + dx.sizes[lead + last], lo, n);  // [lo, hi): from neighbours
  const auto* convert =
      &simd_elementwise_convert().convert[static_cast<int>(dy.dtype)][static_cast<int>(DType::Float32)];
  const auto add = [&](const T* __restrict g, A* __restrict out) {
    for (int64_t i = 0; i < lo; ++i)
      if (inner[i] >= 0) out[inner[i]] += static_cast<A>(g[i * sy]);
    A* run = out + (lo - shift);
    if (sy != 1) {
      for (int64_t i = lo; i < hi; ++i) run[i - lo] += static_cast<A>(g[i * sy]);
    } else if constexpr (sizeof(T) == 2) {
      A wide[kWide];
      for (int64_t i = lo, m; i < hi; i += m) {
        m = std::min(kWide, hi - i);
        (*convert)(g + i, wide, m);
        for (int64_t k = 0; k < m; ++k) run[i - lo + k] += wide[k];
      }
    } else {
      for (int64_t i = lo; i < hi; ++i) run[i - lo] += static_cast<A>(g[i]);
    }
    for (int64_t i = hi; i < n; ++i)
      if (inner[i] >= 0) out[inner[i]] += static_cast<A>(g[i * sy]);
  };
  parallel_for(blocks, kWalkGrain / (rows * n + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      int64_t rest = block, base = 0;
      for (int d = lead - 1; d >= 0; --d) {
        base += rest % dy.sizes[d] * dy.strides[d];
        rest /= dy.sizes[d];
      }
      summed<T>(dx.ptr<T>() + block * per, per, [&](A* sum) {
        pad_rows(part_y, table, 0, rows, [&](int64_t to, int64_t from) {
          if (from < 0) return;
          add(dy.ptr<const T>() + base + to, sum + from);
        });
      });
    }
  });
}

// The window positions o with 0 <= o * stride + shift < size, as [lo, hi).
void window_range(int64_t size, int64_t stride, int64_t shift, int64_t blocks, int64_t* lo, int64_t* hi) {
  *lo = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  *hi = shift >= size ? 0 : (size - 1 - shift) / stride + 1;
  *hi = *hi < blocks ? *hi : blocks;
  *lo = *lo < *hi ? *lo : *hi;
}

template <class T>
void window_gather_plane(const T* x, int64_t sh, int64_t sw, int64_t H, int64_t W, const WindowShape& s,
                         T* y) {
  const int64_t bh = s.blocks[0], bw = s.blocks[1];
  const T zero{};
  for (int64_t kh = 0; kh < s.kernel[0]; ++kh) {
    for (int64_t kw = 0; kw < s.kernel[1]; ++kw, y += bh * bw) {
      const int64_t dh = kh * s.dilation[0] - s.padding[0], dw = kw * s.dilation[1] - s.padding[1];
      int64_t h0, h1, w0, w1;
      window_range(H, s.stride[0], dh, bh, &h0, &h1);
      window_range(W, s.stride[1], dw, bw, &w0, &w1);
      for (int64_t oh = 0; oh < bh; ++oh) {
        T* row = y + oh * bw;
        if (oh < h0 || oh >= h1 || w0 >= w1) {
          copy_row(&zero, 0, row, 1, bw);
          continue;
        }
        const T* from = x + (oh * s.stride[0] + dh) * sh + (w0 * s.stride[1] + dw) * sw;
        copy_row(&zero, 0, row, 1, w0);
        copy_row(from, s.stride[1] * sw, row + w0, 1, w1 - w0);
        copy_row(&zero, 0, row + w1, 1, bw - w1);
      }
    }
  }
}

template <class T>
void window_scatter_plane(const T* x, int64_t sc, int64_t sl, int64_t H, int64_t W, const WindowShape& s,
                          typename Accumulator<T>::type* y) {
  using A = typename Accumulator<T>::type;
  const int64_t bh = s.blocks[0], bw = s.blocks[1];
  for (int64_t kh = 0; kh < s.kernel[0]; ++kh) {
    for (int64_t kw = 0; kw < s.kernel[1]; ++kw, x += sc) {
      const int64_t dh = kh * s.dilation[0] - s.padding[0], dw = kw * s.dilation[1] - s.padding[1];
      int64_t h0, h1, w0, w1;
      window_range(H, s.stride[0], dh, bh, &h0, &h1);
      window_range(W, s.stride[1], dw, bw, &w0, &w1);
      for (int64_t oh = h0; oh < h1; ++oh) {
        A* row = y + (oh * s.stride[0] + dh) * W + dw;
        const T* from = x + oh * bw * sl;
        for (int64_t ow = w0; ow < w1; ++ow) row[ow * s.stride[1]] += static_cast<A>(from[ow * sl]);
      }
    }
  }
}

template <class T>
void overlapping_add_walk(const Walk& w, T* y, const T* x) {
  using A = typename Accumulator<T>::type;
  const int64_t sy = w.inner()[0], sx = w.inner()[1];
  walk_range(w, 0, w.numel, [&](const int64_t* off, int64_t n, int64_t) {
    T* p = y + off[0];
    const T* q = x + off[1];
    for (int64_t i = 0; i < n; ++i)
      p[i * sy] = static_cast<T>(static_cast<A>(p[i * sy]) + static_cast<A>(q[i * sx]));
  });
}

}  // namespace

void roll(const View& x, const int64_t* shift, const View& y) { roll_box(x, y, shift, 0); }

void flip(const View& x, const bool* flipped, const View& y) {
  View from = x;
  int64_t offset = 0;
  for (int d = 0; d < x.ndim; ++d) {
    if (!flipped[d] || x.sizes[d] == 0) continue;
    offset += (x.sizes[d] - 1) * x.strides[d];
    from.strides[d] = -x.strides[d];
  }
  copy_view(moved(from, offset), y);
}

void triangle(const View& x, int64_t diagonal, bool upper, const View& y) {
  const int r = x.ndim - 2, c = x.ndim - 1;
  const int64_t columns = x.sizes[c], sx = x.strides[c], sy = y.strides[c];
  View xr = x, yr = y;  // rows: the last dimension left out
  xr.ndim = yr.ndim = c;
  const View* views[] = {&xr, &yr};
  Walk w(2);
  int64_t step[2];
  for (int d = 0; d < c; ++d) {
    for (int k = 0; k < 2; ++k) step[k] = views[k]->strides[d];
    w.add(x.sizes[d], step);
  }
  w.finish();
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    const T zero{};
    parallel_for(w.numel, kWalkGrain / (columns + 1) + 1, [&](int64_t begin, int64_t end) {
      walk_range(w, begin, end, [&](const int64_t* off, int64_t n, int64_t position) {
        const bool whole = sx == 1 && sy == 1 && w.inner()[0] == columns && w.inner()[1] == columns;
        for (int64_t i = 0; i < n; ++i) {
          const int64_t row = (position + i) % x.sizes[r];
          if (whole) {
            const bool kept = upper ? row <= -diagonal : row >= columns - 1 - diagonal;
            const bool none = upper ? row >= columns - diagonal : row < -diagonal;
            if (kept || none) {  // rows alike from here to where the diagonal enters, or to the matrix's end
              const bool above = kept == upper;
              const int64_t stop = above ? (upper ? 1 - diagonal : -diagonal) : x.sizes[r];
              const int64_t alike = std::min({n - i, stop - row, x.sizes[r] - row});
              const T* all = x.ptr<const T>() + off[0] + i * columns;
              T* out = y.ptr<T>() + off[1] + i * columns;
              if (none)
                copy_row(&zero, 0, out, 1, alike * columns);
              else if (all != out)
                copy_row(all, 1, out, 1, alike * columns);
              i += alike - 1;
              continue;
            }
          }
          const T* from = x.ptr<const T>() + off[0] + i * w.inner()[0];
          T* to = y.ptr<T>() + off[1] + i * w.inner()[1];
          // column - row >= diagonal starts at `edge`; the lower triangle ends one later
          const int64_t limit = columns - (upper ? 0 : 1);
          int64_t edge = diagonal > limit - row ? columns : row + diagonal + (upper ? 0 : 1);
          edge = edge < 0 ? 0 : edge > columns ? columns : edge;
          if (upper) {
            copy_row(&zero, 0, to, sy, edge);
            if (from != to) copy_row(from + edge * sx, sx, to + edge * sy, sy, columns - edge);
          } else {
            if (from != to) copy_row(from, sx, to, sy, edge);
            copy_row(&zero, 0, to + edge * sy, sy, columns - edge);
          }
        }
      });
    });
  });
}

void pad(const View& x0, const int64_t* before0, PadMode mode, const void* value, const View& y0) {
  View x = x0, y = y0;
  int64_t before[kMaxDims];
  std::copy_n(before0, y.ndim, before);
  if (mode == PadMode::Constant) {  // rows that are whole are one row with those beside them
    for (int d = y.ndim - 1;
         d > 0 && before[d] == 0 && x.sizes[d] == y.sizes[d] && y.strides[d] == 1 && x.strides[d] == 1 &&
         x.strides[d - 1] == x.sizes[d] && y.strides[d - 1] == y.sizes[d];
         --d) {
      const int64_t n = y.sizes[d];
      x.sizes[d - 1] *= n;
      y.sizes[d - 1] *= n;
      x.strides[d - 1] = y.strides[d - 1] = 1;
      before[d - 1] *= n;
      x.ndim = y.ndim = d;
    }
  }
  const PadTables table(x, y, before, mode);
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    T v;
    __builtin_memcpy(&v, value, sizeof(T));
    pad_typed<T>(x, y, table, before, mode, v);
  });
}

void pad_backward(const View& dy, const int64_t* before, PadMode mode, const View& dx) {
  by_floating(dx.dtype, [&](auto t) { pad_backward_typed<decltype(t)>(dy, before, mode, dx); });
}

void window_gather(const View& x, const WindowShape& shape, const View& y) {
  const int64_t C = x.sizes[1], H = x.sizes[2], W = x.sizes[3];
  const int64_t per = shape.kernel[0] * shape.kernel[1] * shape.blocks[0] * shape.blocks[1];
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(x.sizes[0] * C, kWalkGrain / (per + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p)
        window_gather_plane<T>(x.ptr<const T>() + p / C * x.strides[0] + p % C * x.strides[1], x.strides[2],
                               x.strides[3], H, W, shape, y.ptr<T>() + p * per);
    });
  });
}

void window_scatter(const View& x, const WindowShape& shape, const View& y) {
  const int64_t C = y.sizes[1], H = y.sizes[2], W = y.sizes[3], taps = shape.kernel[0] * shape.kernel[1];
  const int64_t per = taps * shape.blocks[0] * shape.blocks[1];
  by_floating(y.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(y.sizes[0] * C, kWalkGrain / (per + H * W + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p)
        summed<T>(y.ptr<T>() + p * H * W, H * W, [&](auto* sum) {
          const T* from = x.ptr<const T>() + p / C * x.strides[0] + p % C * taps * x.strides[1];
          window_scatter_plane<T>(from, x.strides[1], x.strides[2], H, W, shape, sum);
        });
    });
  });
}

void as_strided_scatter_add(const View& buffer, std::span<const int64_t> sizes,
                            std::span<const int64_t> strides, int64_t offset, const View& x) {
  View y = moved(buffer, offset);
  y.ndim = static_cast<int32_t>(sizes.size());
  for (int d = 0; d < y.ndim; ++d) {
    y.sizes[d] = sizes[static_cast<size_t>(d)];
    y.strides[d] = strides[static_cast<size_t>(d)];
  }
  const View* views[] = {&y, &x};
  const Walk w = make_walk(views, 2);
  // A dimension that steps over everything the others reach may be split: its slices never meet.
  int split = 0;
  int64_t reach = 0;
  for (int d = 0; d < w.ndim; ++d) {
    reach += (w.sizes[d] - 1) * w.strides[d][0];
    if (w.strides[d][0] > w.strides[split][0]) split = d;
  }
  reach -= (w.sizes[split] - 1) * w.strides[split][0];
  const bool apart = w.numel > kWalkGrain && w.strides[split][0] > reach;
  by_floating(y.dtype, [&](auto t) {
    using T = decltype(t);
    if (!apart) return overlapping_add_walk<T>(w, y.ptr<T>(), x.ptr<const T>());
    const int64_t per = w.numel / w.sizes[split];
    parallel_for(w.sizes[split], kWalkGrain / per + 1, [&](int64_t begin, int64_t end) {
      Walk part = w;
      part.sizes[split] = end - begin;
      part.numel = per * (end - begin);
      overlapping_add_walk<T>(part, y.ptr<T>() + begin * w.strides[split][0],
                              x.ptr<const T>() + begin * w.strides[split][1]);
    });
  });
}

int64_t repeat_count(const View& repeats) {
  const int64_t* r = repeats.ptr<const int64_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < repeats.sizes[0]; ++i) {
    const int64_t n = r[i * repeats.strides[0]];
    if (n < 0) return -1;
    if (__builtin_add_overflow(total, n, &total)) return -2;
  }
  return total;
}

void repeat_index(const View& repeats, const View& y) {
  const int64_t* r = repeats.ptr<const int64_t>();
  int64_t* out = y.ptr<int64_t>();
  for (int64_t i = 0; i < repeats.sizes[0]; ++i)
    for (int64_t n = r[i * repeats.strides[0]]; n > 0; --n) *out++ = i;
}

}  // namespace ccdl::cpu
