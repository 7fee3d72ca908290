// Normalisation kernels. x, y, dy, dx share one floating dtype T; weight, bias and their gradients have dtype
// T too, or data == null (absent: ones, zeros, not wanted). Statistics (mean, rstd, running_*) have the stat
// dtype: float32, or float64 for float64. Everything is overwritten unless said otherwise; rstd = 1 /
// sqrt(var + eps), var biased.
#pragma once
#include <ccdl/core/view.h>

#define CCDL_NORM_CONTRACT                                                                                  \
  /* x [M, N] contiguous; weight, bias [N]; mean, rstd [M]. y = (x - mean) rstd w + b */                    \
  void layer_norm_forward(const View& x, const View& weight, const View& bias, const View& y,               \
                          const View& mean, const View& rstd, double eps);                                  \
  /* dx, dweight, dbias may each be absent. workspace: layer_norm_workspace_bytes(M, N, T), any content. */ \
  void layer_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,           \
                           const View& dy, const View& dx, const View& dweight, const View& dbias,          \
                           void* workspace);                                                                \
  int64_t layer_norm_workspace_bytes(int64_t m, int64_t n, DType t);                                        \
  /* y = x rstd w, rstd = 1 / sqrt(mean(x^2) + eps); same layout and workspace as layer_norm */             \
  void rms_norm_forward(const View& x, const View& weight, const View& y, const View& rstd, double eps);    \
  void rms_norm_backward(const View& x, const View& weight, const View& rstd, const View& dy,               \
                         const View& dx, const View& dweight, void* workspace);                             \
  /* x [N, C, S], contiguous or with strides (C S, 1, C); all big views of a call have the same strides.    \
     Statistics over N and S; running = (1 - momentum) running + momentum (mean, var M / (M - 1)), or       \
     absent. */                                                                                             \
  void batch_norm_forward_train(const View& x, const View& weight, const View& bias,                        \
                                const View& running_mean, const View& running_var, const View& y,           \
                                const View& mean, const View& rstd, double momentum, double eps);           \
  /* y = (x - running_mean) / sqrt(running_var + eps) w + b */                                              \
  void batch_norm_forward_eval(const View& x, const View& weight, const View& bias,                         \
                               const View& running_mean, const View& running_var, const View& y,            \
                               double eps);                                                                 \
  /* train: dx includes the gradient through the statistics; otherwise mean and rstd are constants.         \
     dx, dweight, dbias may each be absent. */                                                              \
  void batch_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,           \
                           const View& dy, const View& dx, const View& dweight, const View& dbias,          \
                           bool train);                                                                     \
  /* x [N, C, S] contiguous, on the CPU also with strides (C S, 1, C) in all big views; mean, rstd          \
     [N, groups]; groups divides C. groups == C is instance norm. */                                        \
  void group_norm_forward(const View& x, const View& weight, const View& bias, const View& y,               \
                          const View& mean, const View& rstd, int64_t groups, double eps);                  \
  /* workspace: 2 N C float64 */                                                                            \
  void group_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,           \
                           const View& dy, const View& dx, const View& dweight, const View& dbias,          \
                           int64_t groups, void* workspace);

namespace ccdl::cpu {
CCDL_NORM_CONTRACT
}
namespace ccdl::cu {
CCDL_NORM_CONTRACT
}
#undef CCDL_NORM_CONTRACT
