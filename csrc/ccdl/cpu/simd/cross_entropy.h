// Inner loops of cross-entropy. Row functions take one contiguous row of n classes; column functions a
// vector-wide strip of neighbouring columns of an [n, inner] slab, `count` columns wide (at most kStrip).
// Table index: float16, bfloat16, float32, float64. Statistics are double so that one signature serves all
// types.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kCrossEntropyStrip = 64;

struct CrossEntropyKernels {
  // log sum exp of one row; and for smoothing sum_c w_c x_c (weight null: ones), only when sum_wx is not null
  double (*lse_row[4])(const void* x, int64_t n, const void* weight, double* sum_wx);
  // dx_c = scale exp(x_c - lse) - minus w_c (weight null: ones)
  void (*backward_row[4])(const void* x, void* dx, int64_t n, double lse, double scale, double minus,
                          const void* weight);
  void (*lse_columns[4])(const void* x, int64_t n, int64_t inner, int count, const void* weight, double* lse,
                         double* sum_wx);
  void (*backward_columns[4])(const void* x, void* dx, int64_t n, int64_t inner, int count, const double* lse,
                              const double* scale, const double* minus, const void* weight);
  // probability targets, t' = keep t + add: sum_c w_c t'_c (lse - x_c), mass = sum_c w_c t'_c,
  // and the gradient dx_c = g (mass exp(x_c - lse) - w_c t'_c)
  double (*prob_loss_row[4])(const void* x, const void* t, int64_t n, double lse, double keep, double add,
                             const void* weight);
  double (*prob_mass_row[4])(const void* t, int64_t n, double keep, double add, const void* weight);
  void (*prob_backward_row[4])(const void* x, const void* t, void* dx, int64_t n, double lse, double keep,
                               double add, const void* weight, double g, double mass);
  void (*prob_loss_columns[4])(const void* x, const void* t, int64_t n, int64_t inner, int count,
                               const double* lse, double keep, double add, const void* weight, double* loss);
  void (*prob_mass_columns[4])(const void* t, int64_t n, int64_t inner, int count, double keep, double add,
                               const void* weight, double* mass);
  void (*prob_backward_columns[4])(const void* x, const void* t, void* dx, int64_t n, int64_t inner,
                                   int count, const double* lse, double keep, double add, const void* weight,
                                   const double* g, const double* mass);
};
CCDL_SIMD_FAMILY(CrossEntropyKernels, cross_entropy)

}  // namespace ccdl::cpu
