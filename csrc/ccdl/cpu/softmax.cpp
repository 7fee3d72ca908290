// Softmax and log-softmax: chunks of whole rows, or of column blocks when the softmax dimension is not the
// last one.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/panel.h>
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

// Rows too short for vectors become the columns of a panel.
constexpr int64_t kPanel = kPanelRows * kPanelWidth * 8;  // bytes

bool short_rows(int64_t rows, int64_t n) { return n > 1 && n <= kPanelWidth && rows >= 16; }

}  // namespace

void softmax_forward(const View& x, const View& y, bool log) {
  int64_t outer = x.sizes[0], inner = x.sizes[2];
  const int64_t n = x.sizes[1];
  if (n == 1) inner *= outer, outer = 1;
  if (x.numel() == 0) return;
  const int t = float_index(x.dtype);
  const SoftmaxKernels& simd = simd_softmax();
  if (inner == 1 && short_rows(outer, n)) {
    const int item = panel_item(item_size(x.dtype));
    parallel_for(outer, rows_per_chunk(n), [&](int64_t begin, int64_t end) {
      alignas(64) char panel[kPanel];
      for (; begin < end; begin += kPanelRows) {
        const int64_t rows = end - begin < kPanelRows ? end - begin : kPanelRows;
        simd_panel().from_rows[item](element(x, begin * n), rows, n, n, panel, kPanelRows);
        simd.forward_inner[t](panel, panel, n, kPanelRows, 0, rows, log);
        simd_panel().to_rows[item](panel, kPanelRows, rows, n, element(y, begin * n), n);
      }
    });
    return;
  }
  if (inner == 1 && n > 1) {
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
  int64_t outer = y.sizes[0], inner = y.sizes[2];
  const int64_t n = y.sizes[1];
  if (n == 1) inner *= outer, outer = 1;
  if (y.numel() == 0) return;
  const DType d = y.dtype;
  const int t = float_index(d);
  const SoftmaxKernels& simd = simd_softmax();
  if (inner == 1 && short_rows(outer, n)) {
    const int item = panel_item(item_size(d));
    parallel_for(outer, rows_per_chunk(n), [&](int64_t begin, int64_t end) {
      alignas(64) char py[kPanel], pdy[kPanel];
      for (; begin < end; begin += kPanelRows) {
        const int64_t rows = end - begin < kPanelRows ? end - begin : kPanelRows;
        simd_panel().from_rows[item](element(y, begin * n), rows, n, n, py, kPanelRows);
        simd_panel().from_rows[item](element(dy, begin * n), rows, n, n, pdy, kPanelRows);
        simd.backward_inner[t](py, pdy, pdy, n, kPanelRows, 0, rows, log);
        simd_panel().to_rows[item](pdy, kPanelRows, rows, n, element(dx, begin * n), n);
      }
    });
    return;
  }
  if (inner == 1 && n > 1) {
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
