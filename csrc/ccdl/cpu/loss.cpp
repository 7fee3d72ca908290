// Elementwise losses: fixed chunks, each summed on its own, added in order in double.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/loss.h>
#include <ccdl/kernels/loss.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunk = 16384;

}  // namespace

void point_loss_forward(PointLoss loss, const View& x, const View& t, const View& out,
                        LossReduction reduction) {
  const int kind = static_cast<int>(loss.kind), type = float_index(x.dtype);
  const int64_t n = x.numel(), chunks = (n + kChunk - 1) / kChunk;
  if (reduction == LossReduction::None) {
    parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
      simd_loss().each[kind][type](element(x, begin), element(t, begin), element(out, begin), end - begin,
                                   loss.delta, loss.scale);
    });
    return;
  }
  double* partial = scratch<double>(0, chunks > 0 ? chunks : 1);
  parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
    partial[begin / kChunk] = simd_loss().sum[kind][type](element(x, begin), element(t, begin), end - begin,
                                                          loss.delta, loss.scale);
  });
  double total = 0;
  for (int64_t i = 0; i < chunks; ++i) total += partial[i];
  write_float(out, 0, reduction == LossReduction::Mean ? total / static_cast<double>(n) : total);
}

void point_loss_backward(PointLoss loss, const View& x, const View& t, const View& dout, const View& dx,
                         LossReduction reduction) {
  const int kind = static_cast<int>(loss.kind), type = float_index(x.dtype);
  const int64_t n = x.numel();
  const bool each = reduction == LossReduction::None;
  double g = 1;
  if (!each) g = read_float(dout, 0) / (reduction == LossReduction::Mean ? static_cast<double>(n) : 1.0);
  parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
    simd_loss().backward[kind][type](element(x, begin), element(t, begin),
                                     each ? element(dout, begin) : nullptr, g, element(dx, begin),
                                     end - begin, loss.delta, loss.scale);
  });
}

}  // namespace ccdl::cpu
