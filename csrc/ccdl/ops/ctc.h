// Connectionist temporal classification.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Losses [N] of log_probs [T, N, C] (float or double) against targets, int64, [N, S] or one behind another
// [sum of target_lengths]. Where no alignment exists the loss is infinite, or 0 with zero_infinity.
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, IntSpan input_lengths, IntSpan target_lengths,
                int64_t blank, bool zero_infinity);

}  // namespace ccdl::ops
