// Inner loops of the normalisation kernels. Table index: float16, bfloat16, float32, float64; statistics are
// passed as double, which holds every stat dtype exactly.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kNormStrip = 64;  // most channels of one strip in the channels-last and [N, C] layouts

// Count, mean and sum of squared deviations; joined pairwise without cancellation.
struct Moments {
  double count, mean, m2;
};

struct NormKernels {
  // mean and squared deviations of n contiguous elements
  Moments (*moments[4])(const void* x, int64_t n);
  double (*sum_squares[4])(const void* x, int64_t n);
  // y = (x - mean) scale w + b over one row; w, b may be null
  void (*row_affine[4])(const void* x, const void* w, const void* b, void* y, int64_t n, double mean,
                        double scale);
  // y = (x - mean) scale + shift with scalars
  void (*affine[4])(const void* x, void* y, int64_t n, double mean, double scale, double shift);
  // sums[0] = sum dy, sums[1] = sum dy (x - mean)
  void (*grad_sums[4])(const void* x, const void* dy, int64_t n, double mean, double* sums);
  // dx = dy a + (x - mean) b + c
  void (*grad_affine[4])(const void* x, const void* dy, void* dx, int64_t n, double mean, double a, double b,
                         double c);
  // layer norm rows [0, rows) of n: dx (or null), and dw += dy xhat, db += dy into stat-dtype rows (or null).
  // mean null: rms norm. mean, rstd point to stat-dtype arrays.
  void (*layer_backward[4])(const void* x, const void* w, const void* mean, const void* rstd, const void* dy,
                            void* dx, void* dw, void* db, int64_t rows, int64_t n);
  // channels-last strips: element (r, c) at r * stride + c, c < count (of strip_moments and strip_grad_sums
  // at most kNormStrip)
  void (*strip_moments[4])(const void* x, int64_t rows, int64_t stride, int count, Moments* out);
  void (*strip_affine[4])(const void* x, void* y, int64_t rows, int64_t stride, int count, const double* mean,
                          const double* scale, const double* shift);
  void (*strip_grad_sums[4])(const void* x, const void* dy, int64_t rows, int64_t stride, int count,
                             const double* mean, double* sum_dy, double* sum_dyx);
  void (*strip_grad_affine[4])(const void* x, const void* dy, void* dx, int64_t rows, int64_t stride,
                               int count, const double* mean, const double* a, const double* b,
                               const double* c);
};
CCDL_SIMD_FAMILY(NormKernels, norm)

}  // namespace ccdl::cpu
