// Steps of the CTC recursions over n states (a multiple of kCtcPad). Rows have kCtcPad entries of -inf before
// and behind them. Table index: float, double.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int64_t kCtcPad = 16;

struct CtcKernels {
  // next = emitted + log(e^prev(s) + e^prev(s-1) + e^(prev(s-2) + skip(s))) - shift; returns its maximum
  double (*forward[2])(const void* prev, const void* skip, const void* emitted, double shift, void* next,
                       int64_t n);
  // b = log(e^next(s) + e^next(s+1) + e^(next(s+2) + skip(s+2))) - shift; posterior = e^(alpha + b + factor);
  // prev = b + emitted, whose maximum is returned; prev may not be next
  double (*backward[2])(const void* next, const void* skip, const void* emitted, const void* alpha,
                        double shift, double factor, void* prev, void* posterior, int64_t n);
};
CCDL_SIMD_FAMILY(CtcKernels, ctc)

}  // namespace ccdl::cpu
