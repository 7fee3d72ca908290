// Matrix products on the CPU. Work is cut into (batch, row block, column block) chunks by shape alone; each
// chunk packs its own column block of B per K block, takes it from a copy packed once for all row blocks, or
// reads it in place when few rows use it; rows of A are streamed unpacked, unless A is transposed. Up to four
// rows or columns take paths without packing; a long K over a small C is summed in a fixed number of parts.
#include <ccdl/core/error.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/gemm_problem.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/kernels/gemm.h>

#include <algorithm>
#include <type_traits>

namespace ccdl::cpu {
namespace {

constexpr int64_t kPanelBytes = 480 << 10;  // packed B of a chunk, half of a 1 MB second-level cache
constexpr int64_t kSharedBytes = 8 << 20;   // packed B that all row blocks share
constexpr int64_t kInPlaceRows = 96;        // below: packing B costs more than it gives
constexpr int64_t kPackedRows = 64;         // rows of A packed at a time
constexpr int64_t kReadOnce = 8;            // a multiply-add whose operand comes from memory is worth so many

// Post-processing of the block at (i, j); `last` K blocks carry bias and activation, `first` ones the
// caller's beta.
template <class T>
GemmPost<T> post_at(const Problem<T>& p, int64_t i, int64_t j, bool first, bool last) {
  GemmPost<T> post{static_cast<T>(p.alpha), first ? static_cast<T>(p.beta) : T(1), nullptr, nullptr,
                   last && p.relu};
  if (last && p.bias != nullptr && p.bias_row != 0) post.bias_row = p.bias + i * p.bias_row;
  if (last && p.bias != nullptr && p.bias_row == 0) post.bias_column = p.bias + j * p.bias_column;
  return post;
}

struct Blocking {
  int64_t mb, nb, kc;
};

template <class T>
Blocking choose_blocking(const Problem<T>& p, const GemmTypeKernels<T>& kernels, bool pack_a) {
  Blocking s;
  const int64_t kc_max = p.n < 1024 ? 256 : 512;
  s.kc = p.k <= kc_max + kc_max / 2 ? p.k : ceil_div(p.k, ceil_div(p.k, kc_max));
  const int64_t columns = kPanelBytes / static_cast<int64_t>(sizeof(T)) / s.kc / kernels.nr * kernels.nr;
  s.nb = std::max<int64_t>(kernels.nr, std::min(columns, round_up(p.n, kernels.nr)));
  if (p.n > s.nb) s.nb = round_up(ceil_div(p.n, ceil_div(p.n, s.nb)), kernels.nr);
  s.mb = std::min<int64_t>(p.m, 512);
  // Halve blocks until there are enough chunks, columns first: packing B may be repeated for every row block.
  // A, where it is packed, is packed for every column block.
  const auto chunks = [&] { return p.batch * ceil_div(p.m, s.mb) * ceil_div(p.n, s.nb); };
  const auto work = [&] { return s.mb * s.nb * p.k; };
  while ((chunks() < 16 && work() > 4 * kChunkWork) || (chunks() == 1 && work() >= 2 * kChunkWork)) {
    if (!pack_a && s.nb >= 4 * kernels.nr && s.nb * 4 > s.mb)
      s.nb = round_up(s.nb / 2, kernels.nr);
    else if (s.mb >= 8 * kernels.mr)
      s.mb = round_up(s.mb / 2, kernels.mr);
    else if (s.nb >= 2 * kernels.nr)
      s.nb = round_up(s.nb / 2, kernels.nr);
    else
      break;
  }
  return s;
}

// All of B in panels: K block k0 of copy c begins at (c K + k0) * padded columns.
template <class T>
void pack_shared(const Problem<T>& p, int64_t kc, int64_t copies, T* out) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t nr = kernels.nr, panels = ceil_div(p.n, nr), blocks = ceil_div(p.k, kc);
  parallel_for(
      copies * blocks * panels, std::max<int64_t>(1, 65536 / (kc * nr)), [&](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          const int64_t copy = i / (blocks * panels), k0 = i / panels % blocks * kc, j = i % panels * nr;
          const int64_t depth = std::min(kc, p.k - k0);
          kernels.pack_b(out + (copy * p.k + k0) * panels * nr + j * depth,
                         p.b + copy * p.b_batch + k0 * p.b_k + j * p.b_column, p.b_k, p.b_column, depth,
                         std::min(nr, p.n - j));
        }
      });
}

template <class T>
void multiply_tiles(const Problem<T>& p) {
  const auto& kernels = gemm_kernels<T>();
  const bool pack_a = p.a_k != 1 && (p.n > kernels.nr || p.a_row != 1) && p.m * p.k > 2048;
  const Blocking s = choose_blocking(p, kernels, pack_a);
  const int64_t nr = kernels.nr;
  const bool in_place = p.b_column == 1 &&
                        (s.mb <= kInPlaceRows || p.k * s.nb * static_cast<int64_t>(sizeof(T)) <= 64 << 10) &&
                        (kernels.masked || p.n % nr == 0);
  const int64_t n_padded = round_up(p.n, nr), copies = p.b_batch == 0 ? 1 : p.batch;
  const bool share = !in_place && ceil_div(p.m, s.mb) > 1 &&
                     copies * p.k * n_padded * static_cast<int64_t>(sizeof(T)) <= kSharedBytes;
  Buffer<T> shared(share ? copies * p.k * n_padded : 0);
  if (share) pack_shared(p, s.kc, copies, shared.get());
  for_blocks(p.batch, p.m, s.mb, p.n, s.nb, p.k,
             [&](int64_t batch, int64_t i0, int64_t rows, int64_t j0, int64_t columns) {
               const T* a = p.a + batch * p.a_batch + i0 * p.a_row;
               const T* b = p.b + batch * p.b_batch + j0 * p.b_column;
               T* c = p.c + batch * p.c_batch + i0 * p.c_row + j0;
               Buffer<T> b_panels(in_place || share ? 0 : s.kc * round_up(columns, nr));
               Buffer<T> a_tiles(pack_a ? kPackedRows * s.kc : 0);
               for (int64_t k0 = 0; k0 < p.k; k0 += s.kc) {
                 const int64_t kc = std::min(s.kc, p.k - k0);
                 GemmBlock<T> g;
                 if (in_place) {
                   g.b = b + k0 * p.b_k;
                   g.b_panel = nr;
                   g.b_k = p.b_k;
                 } else if (share) {
                   g.b = shared + ((copies == 1 ? 0 : batch) * p.k + k0) * n_padded + j0 * kc;
                   g.b_panel = nr * kc;
                   g.b_k = nr;
                 } else {
                   kernels.pack_b(b_panels, b + k0 * p.b_k, p.b_k, p.b_column, kc, columns);
                   g.b = b_panels;
                   g.b_panel = nr * kc;
                   g.b_k = nr;
                 }
                 g.c_row = p.c_row;
                 g.n = columns;
                 g.k = kc;
                 const int64_t step = pack_a ? kPackedRows : rows;
                 for (int64_t i = 0; i < rows; i += step) {
                   g.m = std::min(step, rows - i);
                   g.a = a + i * p.a_row + k0 * p.a_k;
                   g.a_tile = g.a_row = p.a_row;
                   g.a_k = p.a_k;
                   g.a_packed = pack_a;
                   if (pack_a) {
                     kernels.pack_a(a_tiles, g.a, p.a_row, p.a_k, g.m, kc);
                     g.a = a_tiles;
                     g.a_tile = kc;
                   }
                   g.c = c + i * p.c_row;
                   g.post = post_at(p, i0 + i, j0, k0 == 0, k0 + kc == p.k);
                   kernels.block(g);
                 }
               }
             });
}

// m <= 4 and B's columns adjacent: B is read once, in order, against accumulators that stay in the
// first-level cache.
template <class T>
void multiply_streams(const Problem<T>& p) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t depth = p.k * kReadOnce;
  const int64_t nb = std::min<int64_t>(p.n, (p.k < 256 ? 2048 : 1024) * 4 / static_cast<int64_t>(sizeof(T)));
  for_blocks(p.batch, p.m, p.m, p.n, nb, depth,
             [&](int64_t batch, int64_t, int64_t, int64_t j0, int64_t columns) {
               Buffer<T> acc(p.m * columns);
               std::fill_n(acc.get(), p.m * columns, T(0));
               kernels.streams(acc, p.a + batch * p.a_batch, p.a_row, p.a_k, p.b + batch * p.b_batch + j0,
                               p.b_k, p.m, columns, p.k);
               kernels.finish(acc, columns, p.c + batch * p.c_batch + j0, p.c_row, p.m, columns,
                              post_at(p, 0, j0, true, true));
             });
}

// n <= 4 and A's rows adjacent (A transposed): the same with A in B's place.
template <class T>
void multiply_streams_swapped(const Problem<T>& p) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t depth = p.k * kReadOnce;
  const int64_t mb = std::min<int64_t>(p.m, 1024 * 4 / static_cast<int64_t>(sizeof(T)));
  for_blocks(p.batch, p.m, mb, p.n, p.n, depth,
             [&](int64_t batch, int64_t i0, int64_t rows, int64_t, int64_t) {
               Buffer<T> acc(2 * p.n * rows);
               T* turned = acc + p.n * rows;
               std::fill_n(acc.get(), p.n * rows, T(0));
               kernels.streams(acc, p.b + batch * p.b_batch, p.b_column, p.b_k, p.a + batch * p.a_batch + i0,
                               p.a_k, p.n, rows, p.k);
               if (p.n == 1 && p.c_row == 1) {  // a column is a row turned already
                 GemmPost<T> post = post_at(p, i0, 0, true, true);
                 std::swap(post.bias_row, post.bias_column);
                 return kernels.finish(acc, rows, p.c + batch * p.c_batch + i0, rows, 1, rows, post);
               }
               for (int64_t i = 0; i < rows; ++i)
                 for (int64_t j = 0; j < p.n; ++j) turned[i * p.n + j] = acc[j * rows + i];
               kernels.finish(turned, p.n, p.c + batch * p.c_batch + i0 * p.c_row, p.c_row, rows, p.n,
                              post_at(p, i0, 0, true, true));
             });
}

// m <= 4 with B's columns running along k, or (swapped) n <= 4 with A's rows running along k: dot products.
template <class T>
void multiply_dots(const Problem<T>& p, bool swapped) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t few = swapped ? p.n : p.m, many = swapped ? p.m : p.n;
  const int64_t x_row = swapped ? p.b_column : p.a_row, x_k = swapped ? p.b_k : p.a_k;
  const int64_t depth = p.k * kReadOnce;
  const int64_t nb =
      std::min(many, round_up(std::max<int64_t>(1, (int64_t{1} << 18) / std::max<int64_t>(p.k, 1)), 4));
  for_blocks(
      p.batch, few, few, many, nb, depth, [&](int64_t batch, int64_t, int64_t, int64_t j0, int64_t columns) {
        GemmDots<T> g;
        g.x = swapped ? p.b + batch * p.b_batch : p.a + batch * p.a_batch;
        g.x_row = x_row;
        Buffer<T> x(x_k == 1 ? 0 : few * p.k);
        if (x_k != 1) {
          for (int64_t i = 0; i < few; ++i)
            for (int64_t k = 0; k < p.k; ++k) x[i * p.k + k] = g.x[i * x_row + k * x_k];
          g.x = x;
          g.x_row = p.k;
        }
        g.y = swapped ? p.a + batch * p.a_batch + j0 * p.a_row : p.b + batch * p.b_batch + j0 * p.b_column;
        g.y_row = swapped ? p.a_row : p.b_column;
        g.out = p.c + batch * p.c_batch + (swapped ? j0 * p.c_row : j0);
        g.out_row = swapped ? 1 : p.c_row;
        g.out_column = swapped ? p.c_row : 1;
        g.m = few;
        g.n = columns;
        g.k = p.k;
        g.post = post_at(p, swapped ? j0 : 0, swapped ? 0 : j0, true, true);
        if (swapped) std::swap(g.post.bias_row, g.post.bias_column);
        kernels.dots(g);
      });
}

template <class T>
void multiply_float(const Problem<T>& p);

// Long K, small C: parts of K as a batch into partial results, added in order.
template <class T>
void multiply_split(const Problem<T>& p, int64_t part) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t parts = p.k / part, rest = p.k - parts * part, size = p.m * p.n;
  Buffer<T> partial((parts + 1) * size);
  Problem<T> q = p;
  q.batch = parts;
  q.k = part;
  q.a_batch = part * p.a_k;
  q.b_batch = part * p.b_k;
  q.c = partial;
  q.c_batch = size;
  q.c_row = p.n;
  q.alpha = 1;
  q.beta = 0;
  q.bias = nullptr;
  q.relu = false;
  multiply_float(q);
  if (rest > 0) {
    q.batch = 1;
    q.k = rest;
    q.a += parts * q.a_batch;
    q.b += parts * q.b_batch;
    q.c += parts * size;
    multiply_float(q);
  }
  parallel_for(size, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t s = 1; s < parts + (rest > 0); ++s)
      for (int64_t i = begin; i < end; ++i) partial[i] += partial[s * size + i];
  });
  kernels.finish(partial, p.n, p.c, p.c_row, p.m, p.n, post_at(p, 0, 0, true, true));
}

// Batches of a few numbers each, N columns: no product is worth packing, or a call.
template <int N, class T>
void multiply_tiny(const Problem<T>& p) {
  constexpr int64_t kProducts = 2048;  // per chunk
  parallel_for(p.batch, kProducts, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) {
      const T *a = p.a + begin * p.a_batch, *b = p.b + begin * p.b_batch;
      T* c = p.c + begin * p.c_batch;
      for (int64_t i = 0; i < p.m; ++i) {
        T sum[N] = {};
        for (int64_t k = 0; k < p.k; ++k)
#pragma GCC unroll 4
          for (int j = 0; j < N; ++j) sum[j] += a[i * p.a_row + k * p.a_k] * b[k * p.b_k + j * p.b_column];
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) c[i * p.c_row + j] = sum[j];
      }
    }
  });
}

template <class T>
void multiply_float(const Problem<T>& p) {
  constexpr int64_t kTiny = 32;  // multiplications
  if (p.batch >= 8 && p.n <= 4 && p.m * p.n * p.k <= kTiny && p.alpha == 1 && p.beta == 0 &&
      p.bias == nullptr && !p.relu) {
    constexpr void (*kByColumns[])(const Problem<T>&) = {multiply_tiny<1, T>, multiply_tiny<2, T>,
                                                         multiply_tiny<3, T>, multiply_tiny<4, T>};
    return kByColumns[p.n - 1](p);
  }
  if (p.batch == 1 && p.k >= 8192 && p.m * p.n <= 262144 && p.m * p.n * 16 <= p.k * (p.m + p.n)) {
    const int64_t part = p.m * p.n <= 16 ? 32768 : std::max<int64_t>(2048, round_up(ceil_div(p.k, 32), 256));
    if (p.k >= 2 * part) return multiply_split(p, part);
  }
  if (p.m <= 4 && p.b_column == 1 && p.n >= 8) return multiply_streams(p);
  if (p.m <= 4 && p.b_k == 1) return multiply_dots(p, false);
  if (p.n <= 4 && p.a_k == 1) return multiply_dots(p, true);
  if (p.n <= 4 && p.a_row == 1) return multiply_streams_swapped(p);
  multiply_tiles(p);
}

template <class T>
void scale_only(const Problem<T>& p) {  // K == 0
  const auto& kernels = gemm_kernels<T>();
  Buffer<T> zero(p.n);
  std::fill_n(zero.get(), p.n, T(0));
  for (int64_t batch = 0; batch < p.batch; ++batch)
    kernels.finish(zero, 0, p.c + batch * p.c_batch, p.c_row, p.m, p.n, post_at(p, 0, 0, true, true));
}

// Rows of halves with any strides to a dense float block whose unit stride is along the given direction.
template <class H>
void widen(const H* src, int64_t outer_stride, int64_t inner_stride, int64_t outer, int64_t inner,
           float* dst) {
  constexpr int kind = std::is_same_v<H, float16> ? 0 : 1;
  const auto convert = simd_gemm().to_float[kind];
  for (int64_t i = 0; i < outer; ++i) {
    const H* row = src + i * outer_stride;
    if (inner_stride == 1)
      convert(row, dst + i * inner, inner);
    else
      for (int64_t j = 0; j < inner; ++j) dst[i * inner + j] = static_cast<float>(row[j * inner_stride]);
  }
}

template <class H>
void narrow_row(const float* src, H* dst, int64_t n) {
  constexpr int kind = std::is_same_v<H, float16> ? 0 : 1;
  simd_gemm().from_float[kind](src, dst, n);
}

// One chunk of a half-precision product: blocks of A and B are widened per K block, C is accumulated in
// float.
template <class H>
void half_block(const Problem<H>& p, int64_t kc, int64_t batch, int64_t i0, int64_t rows, int64_t j0,
                int64_t columns) {
  const auto& kernels = gemm_kernels<float>();
  const int64_t nr = kernels.nr;
  Buffer<float> acc(rows * columns), a(kPackedRows * kc), b(kc * columns), panels(kc * round_up(columns, nr));
  for (int64_t k0 = 0; k0 < p.k; k0 += kc) {
    const int64_t depth = std::min(kc, p.k - k0);
    const H* bp = p.b + batch * p.b_batch + k0 * p.b_k + j0 * p.b_column;
    const bool along_k = p.b_k == 1 && p.b_column != 1;
    if (along_k)
      widen(bp, p.b_column, p.b_k, columns, depth, b.get());
    else
      widen(bp, p.b_k, p.b_column, depth, columns, b.get());
    kernels.pack_b(panels, b, along_k ? 1 : columns, along_k ? depth : 1, depth, columns);
    for (int64_t i = 0; i < rows; i += kPackedRows) {
      const int64_t m = std::min(kPackedRows, rows - i);
      const H* ap = p.a + batch * p.a_batch + (i0 + i) * p.a_row + k0 * p.a_k;
      const bool turned = p.a_row == 1 && p.a_k != 1;
      if (turned)
        widen(ap, p.a_k, p.a_row, depth, m, a.get());
      else
        widen(ap, p.a_row, p.a_k, m, depth, a.get());
      const int64_t a_row = turned ? 1 : depth;
      const GemmPost<float> post{1.0f, k0 == 0 ? 0.0f : 1.0f, nullptr, nullptr, false};
      kernels.block({a, a_row, a_row, turned ? m : 1, false, panels, nr * depth, nr, acc + i * columns,
                     columns, m, columns, depth, post});
    }
  }
  Buffer<float> row(2 * columns);
  for (int64_t i = 0; i < rows; ++i) {
    H* c = p.c + batch * p.c_batch + (i0 + i) * p.c_row + j0;
    for (int64_t j = 0; j < columns; ++j) {
      float v = static_cast<float>(p.alpha) * (p.k > 0 ? acc[i * columns + j] : 0.0f);
      if (p.beta != 0) v += static_cast<float>(p.beta) * static_cast<float>(c[j]);
      if (p.bias != nullptr)
        v += static_cast<float>(p.bias[(i0 + i) * p.bias_row + (j0 + j) * p.bias_column]);
      row[j] = p.relu && v < 0 ? 0.0f : v;
    }
    narrow_row(row.get(), c, columns);
  }
}

template <class H>
void multiply_half(const Problem<H>& p) {
  if (multiply_half_few(p)) return;
  if constexpr (std::is_same_v<H, bfloat16>)
    if (multiply_bf16(p)) return;
  const int64_t kc = std::clamp<int64_t>(p.k, 1, 256), mb = std::min<int64_t>(p.m, 128),
                nb = std::min<int64_t>(p.n, 240);
  for_blocks(p.batch, p.m, mb, p.n, nb, p.k,
             [&](int64_t batch, int64_t i, int64_t rows, int64_t j, int64_t columns) {
               half_block(p, kc, batch, i, rows, j, columns);
             });
}

// Integers: unsigned arithmetic of at least 32 bits, so that overflow wraps as the type does.
template <class T>
void multiply_integer(const Problem<T>& p) {
  using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  constexpr int64_t kColumns = 256, kDepth = 128;
  const U alpha = static_cast<U>(static_cast<int64_t>(p.alpha)),
          beta = static_cast<U>(static_cast<int64_t>(p.beta));
  const int64_t mb = std::min<int64_t>(p.m, 64);
  for_blocks(p.batch, p.m, mb, p.n, kColumns, p.k,
             [&](int64_t batch, int64_t i0, int64_t rows, int64_t j0, int64_t columns) {
               Buffer<U> acc(rows * columns), panel(kDepth * columns);
               std::fill_n(acc.get(), rows * columns, U(0));
               for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
                 const int64_t depth = std::min(kDepth, p.k - k0);
                 const T* b = p.b + batch * p.b_batch + k0 * p.b_k + j0 * p.b_column;
                 for (int64_t k = 0; k < depth; ++k)
                   for (int64_t j = 0; j < columns; ++j)
                     panel[k * columns + j] = static_cast<U>(b[k * p.b_k + j * p.b_column]);
                 const T* a = p.a + batch * p.a_batch + i0 * p.a_row + k0 * p.a_k;
                 for (int64_t i = 0; i < rows; ++i) {
                   U* out = acc + i * columns;
                   for (int64_t k = 0; k < depth; ++k) {
                     const U x = static_cast<U>(a[i * p.a_row + k * p.a_k]);
                     const U* row = panel + k * columns;
                     for (int64_t j = 0; j < columns; ++j) out[j] += x * row[j];
                   }
                 }
               }
               for (int64_t i = 0; i < rows; ++i) {
                 T* c = p.c + batch * p.c_batch + (i0 + i) * p.c_row + j0;
                 for (int64_t j = 0; j < columns; ++j) {
                   U v = alpha * acc[i * columns + j];
                   if (p.beta != 0) v += beta * static_cast<U>(c[j]);
                   c[j] = static_cast<T>(v);
                 }
               }
             });
}

template <class T>
void run(const View& a, const View& b, const View& c, double alpha, double beta, const GemmEpilogue& e) {
  Problem<T> p{c.sizes[0],
               c.sizes[1],
               c.sizes[2],
               a.sizes[2],
               a.ptr<T>(),
               a.strides[0],
               a.strides[1],
               a.strides[2],
               b.ptr<T>(),
               b.strides[0],
               b.strides[1],
               b.strides[2],
               c.ptr<T>(),
               c.strides[0],
               c.strides[1],
               alpha,
               beta,
               static_cast<const T*>(e.bias),
               e.row_stride,
               e.column_stride,
               e.activation == Activation::Relu};
  if (p.batch == 0 || p.m == 0 || p.n == 0) return;
  // Kernels read the bias densely.
  const int64_t step = p.bias_row != 0 ? p.bias_row : p.bias_column, count = p.bias_row != 0 ? p.m : p.n;
  Buffer<T> dense(p.bias != nullptr && step != 1 ? count : 0);
  if (dense.get() != nullptr) {
    for (int64_t i = 0; i < count; ++i) dense[i] = p.bias[i * step];
    p.bias = dense;
    (p.bias_row != 0 ? p.bias_row : p.bias_column) = 1;
  }
  // A stride of a dimension of size 1 is never used: give it the value the fast paths look for.
  if (p.k == 1) p.a_k = p.b_k = 1;
  if (p.n == 1) p.b_column = p.b_k == 1 ? p.b_column : 1;
  if (p.m == 1 && p.a_row == 0) p.a_row = 1;
  // Batches that share B and whose rows follow each other are one tall product.
  if (p.batch > 1 && p.b_batch == 0 && p.a_batch == p.m * p.a_row && p.c_batch == p.m * p.c_row &&
      (e.bias == nullptr || e.row_stride == 0)) {
    p.m *= p.batch;
    p.batch = 1;
  }
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    if (p.k == 0) return scale_only(p);
    multiply_float(p);
  } else if constexpr (std::is_integral_v<T>) {
    multiply_integer(p);
  } else {
    multiply_half(p);
  }
}

}  // namespace

void gemm(const View& a, const View& b, const View& c, double alpha, double beta,
          const GemmEpilogue& epilogue) {
  switch (c.dtype) {
    case DType::Float32:
      return run<float>(a, b, c, alpha, beta, epilogue);
    case DType::Float64:
      return run<double>(a, b, c, alpha, beta, epilogue);
    case DType::Float16:
      return run<float16>(a, b, c, alpha, beta, epilogue);
    case DType::BFloat16:
      return run<bfloat16>(a, b, c, alpha, beta, epilogue);
    case DType::UInt8:
      return run<uint8_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int8:
      return run<int8_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int16:
      return run<int16_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int32:
      return run<int32_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int64:
      return run<int64_t>(a, b, c, alpha, beta, epilogue);
    default:
      fail(ErrorKind::DType, str("gemm: ", dtype_name(c.dtype), " matrices have no product"));
  }
}

}  // namespace ccdl::cpu
