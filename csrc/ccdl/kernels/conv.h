// Convolution (cross-correlation) over one to three spatial dims, always seen as three: [N, C, D, H, W] with
// leading spatial sizes 1 for the missing ones.
#pragma once
#include <ccdl/core/view.h>
#include <ccdl/kernels/gemm.h>

namespace ccdl {

struct ConvGeometry {
  int64_t stride[3];
  int64_t padding[3];  // zeros in front; what is behind follows from the sizes
  int64_t dilation[3];
  int64_t groups;
};

}  // namespace ccdl

// x [N, C, D, H, W], w [K, C / groups, KD, KH, KW], y [N, K, OD, OH, OW] of one dtype; x and y both
// contiguous or both with channels innermost, w (dw) then either. float16 and bfloat16 are accumulated in
// float and rounded once. All overwrite. bias [K] contiguous or null. Sums run
// over (channel, tap) in blocks whose borders depend on shapes only.
#define CCDL_CONV_CONTRACT                                                                               \
  void conv_forward(const View& x, const View& w, const void* bias, const View& y,                       \
                    const ConvGeometry& geometry, Activation activation);                                \
  /* dx = the adjoint of conv_forward in x; also the forward of a transposed convolution */              \
  void conv_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& geometry); \
  void conv_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& geometry);
namespace ccdl::cpu {
CCDL_CONV_CONTRACT
}  // namespace ccdl::cpu
namespace ccdl::cu {
CCDL_CONV_CONTRACT
}
#undef CCDL_CONV_CONTRACT
