// Inner loops of the normalisation kernels. Table index: float16, bfloat16, float32, float64; statistics are
// passed as double, which holds every stat dtype exactly.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// Count, mean and sum of squared deviations; joined pairwise without cancellation.
struct Moments {
  double count, mean, m2;
};

struct NormKernels {
  // mean and squared deviations of n contiguous elements
  Moments (*moments[4])(const void* x, int64_t n);
  // layer norm of rows [0, rows) of n: y = (x - mean) rstd w + b; w, b may be null. mean, rstd point to
  // stat-dtype arrays; mean null: rms norm. w and b have `slices` rows, which take turns.
  void (*layer_forward[4])(const void* x, const void* w, const void* b, void* y, void* mean, void* rstd,
                           int64_t rows, int64_t n, int64_t slices, double eps);
  // out[i] = sum over the rows of from[r * stride + i], stat dtype to T
  void (*add_rows[4])(const void* from, int64_t rows, int64_t stride, void* out, int64_t n);
  // y = (x - mean) scale + shift with scalars; x + ahead is fetched on the way, unless ahead is 0
  void (*affine[4])(const void* x, void* y, int64_t n, double mean, double scale, double shift,
                    int64_t ahead);
  // sums[0] = sum dy, sums[1] = sum dy (x - mean)
  void (*grad_sums[4])(const void* x, const void* dy, int64_t n, double mean, double* sums);
  // dx = dy a + (x - mean) b + c; ahead as above, of x and dy; past: dx passes the caches by
  void (*grad_affine[4])(const void* x, const void* dy, void* dx, int64_t n, double mean, double a, double b,
                         double c, int64_t ahead, bool past);
  // layer norm rows [0, rows) of n: dx (or null), and dw += dy xhat, db += dy into stat-dtype rows (or null).
  // mean null: rms norm. mean, rstd point to stat-dtype arrays. w, dw and db have `slices` rows, which take
  // turns. past: dx passes the caches by.
  void (*layer_backward[4])(const void* x, const void* w, const void* mean, const void* rstd, const void* dy,
                            void* dx, void* dw, void* db, int64_t rows, int64_t n, int64_t slices, bool past);
  // rows of n channels; all other vectors have n elements of the stat dtype.
  // out [3, n]: rounded means, sums and squares of the deviations from them
  void (*row_moments[4])(const void* x, int64_t rows, int64_t n, void* out);
  // y = (x - mean) scale + shift
  void (*row_scale[4])(const void* x, void* y, int64_t rows, int64_t n, const void* mean, const void* scale,
                       const void* shift);
  // out [2, n]: sum dy, sum dy (x - mean)
  void (*row_grad_sums[4])(const void* x, const void* dy, int64_t rows, int64_t n, const void* mean,
                           void* out);
  // dx = dy a + (x - mean) b + c
  void (*row_grad_scale[4])(const void* x, const void* dy, void* dx, int64_t rows, int64_t n,
                            const void* mean, const void* a, const void* b, const void* c);
};
CCDL_SIMD_FAMILY(NormKernels, norm)

}  // namespace ccdl::cpu
