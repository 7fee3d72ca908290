// Inner loops of LAMB and Adafactor over elements [0, n). Table index: float16, bfloat16, float32, float64.
#pragma once
#include <ccdl/cpu/isa.h>
#include <ccdl/kernels/optim_scaled.h>
#include <cstdint>

namespace ccdl::cpu {

struct OptimScaledKernels {
  // sums[0] = sum p^2, sums[1] = sum u^2; nothing is written
  void (*lamb_sums[4])(const void* p, const void* g, const void* m, const void* v, int64_t n,
                       const LambNumbers<double>& c, double* sums);
  // p -= amount u, and the moments
  void (*lamb_move[4])(void* p, const void* g, void* m, void* v, int64_t n, const LambNumbers<double>& c,
                       double amount);
  double (*sum_squares[4])(const void* x, int64_t n);
  // columns[i] += g^2; returns the sum of them
  double (*row_squares[4])(const void* g, int64_t n, double* columns);
  // the sum of u^2 of a row with V = row columns
  double (*row_sum[4])(const void* g, const void* columns, int64_t n, double row, double floor);
  void (*row_move[4])(void* p, const void* g, const void* columns, int64_t n, double row, double floor,
                      double shrink, double amount);
  // v += weight (g^2 - v); returns the sum of u^2
  double (*plain_sum[4])(const void* g, void* v, int64_t n, double weight, double floor);
  void (*plain_move[4])(void* p, const void* g, const void* v, int64_t n, double floor, double shrink,
                        double amount);
};
CCDL_SIMD_FAMILY(OptimScaledKernels, optim_scaled_kernels)

}  // namespace ccdl::cpu
