// Softmax and log-softmax: chunks of whole rows, or of column blocks when the softmax dimension is not the
// last one.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/softmax.h>
#include <ccdl/cpu/simd/stream.h>
#include <ccdl/kernels/softmax.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunkElements = 16384;  // about 10 us of exp work
constexpr int64_t kBlockColumns = 64;

int64_t rows_per_chunk(int64_t n) {
  const int64_t rows = n >= kChunkElements ? 1 : kChunkElements / (n < 1 ? 1 : n);
  return rows < 4 ? rows : rows / 4 * 4;  // they go by fours
}

// fn(outer index, first column, past-the-last column) over all column blocks of [outer, n, inner].
template <class F>
void for_column_blocks(int64_t outer, int64_t n, int64_t inner, const F& fn) {
  const int64_t blocks = (inner + kBlockColumns - 1) / kBlockColumns;
  parallel_for(outer * blocks, rows_per_chunk(n * (inner < kBlockColumns ? inner : kBlockColumns)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t first = i % blocks * kBlockColumns;
                   fn(i / blocks, first, first + kBlockColumns < inner ? first + kBlockColumns : inner);
                 }
               });
}

}  // namespace

void softmax_forward(const View& x, const View& y, bool log) {
  const int64_t outer = x.sizes[0], n = x.sizes[1], inner = x.sizes[2];
  if (x.numel() == 0) return;
  const int t = float_index(x.dtype);
  const SoftmaxKernels& simd = simd_softmax();
  if (inner == 1) {
    parallel_for(outer, rows_per_chunk(n), [&](int64_t begin, int64_t end) {
      simd.forward[t](element(x.data, x.dtype, begin * n), element(y.data, x.dtype, begin * n), end - begin,
                      n, log);
    });
    return;
  }
  for_column_blocks(outer, n, inner, [&](int64_t i, int64_t first, int64_t last) {
    const int64_t slab = i * n * inner;
    simd.forward_inner[t](element(x.data, x.dtype, slab), element(y.data, x.dtype, slab), n, inner, first,
                          last, log);
  });
}

void softmax_backward(const View& y, const View& dy, const View& dx, bool log) {
  const int64_t outer = y.sizes[0], n = y.sizes[1], inner = y.sizes[2];
  if (y.numel() == 0) return;
  const DType d = y.dtype;
  const int t = float_index(d);
  const SoftmaxKernels& simd = simd_softmax();
  if (inner == 1) {
    const bool past = 3 * y.numel() * item_size(d) >= kPastFrom;
    parallel_for(outer, rows_per_chunk(n), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * n;
      simd.backward[t](element(y.data, d, at), element(dy.data, d, at), element(dx.data, d, at), end - begin,
                       n, log, past);
    });
    return;
  }
  for_column_blocks(outer, n, inner, [&](int64_t i, int64_t first, int64_t last) {
    const int64_t at = i * n * inner;
    simd.backward_inner[t](element(y.data, d, at), element(dy.data, d, at), element(dx.data, d, at), n, inner,
                           first, last, log);
  });
}

}  // namespace ccdl::cpu
