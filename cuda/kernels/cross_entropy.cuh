// What the loss kernels share: the end of a reduction over rows, and the factor of a row's loss in the
// gradient.
#pragma once
#include <ccdl/kernels/cross_entropy.h>

#include <kernels/row_bricks.cuh>

namespace ccdl::cu {

// dout of a row: its own (None), or the one number, divided for the mean by *total or else by count.
struct RowGradient {
  FloatRef dout;
  const double* total;
  double count;
  LossReduction reduction;
  CCDL_DEVICE double get(int64_t row) const {
    if (reduction == LossReduction::None) return dout.get(row);
    const double g = dout.get(0);
    return reduction == LossReduction::Mean ? g / (total ? *total : count) : g;
  }
};

// Adds blocks partial sums (loss, weight) in a fixed order: *total = weight; out = loss, for the mean divided
// by the weight, or by count where that is not negative. total and out may be absent.
void finish_loss(const Pair<double>* partial, int64_t blocks, const View& out, double* total,
                 LossReduction reduction, double count);

}  // namespace ccdl::cu
