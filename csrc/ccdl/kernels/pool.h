// Pooling over up to three spatial dims: every view is [N, C, D, H, W] (1-d and 2-d pooling have D = 1, H =
// 1), of one floating dtype, contiguous or with channels innermost, all views of a call alike. Window arrays
// are in D, H, W order. Output sizes are those of y; an output index covers i * stride - pad + j * dilation
// for j < kernel, clipped to the input; adaptive windows are [floor(i H / OH), ceil((i + 1) H / OH)).
// Everything is overwritten. Indices of max pooling: int64 positions in the D*H*W plane, or uint8 positions
// in the window, (d kh + h) kw + w, allowed when it holds at most 255 elements.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {
struct PoolWindow {
  int64_t kernel[3], stride[3], pad[3], dilation[3];
  // Where int64 indices handed back to max pooling come from: these windows, adaptive ones, or anywhere.
  enum Origin : int32_t { kWindows, kAdaptive, kUnknown } origin;
};
}  // namespace ccdl

#define CCDL_POOL_CONTRACT                                                                                \
  /* First maximum wins, NaN wins over everything; indices.data may be null. */                           \
  void max_pool_forward(const View& x, const View& y, const View& indices, const PoolWindow& window);     \
  void adaptive_max_pool_forward(const View& x, const View& y, const View& indices /* int64 */);          \
  /* dx[plane position of indices[o]] = sum of dy[o]. int64 indices: window is a hint. */                 \
  void max_pool_backward(const View& dy, const View& indices, const View& dx, const PoolWindow& window);  \
  /* out[o] = src[plane position of indices[o]], the transpose of max_pool_backward */                    \
  void max_pool_gather(const View& src, const View& indices, const View& out, const PoolWindow& window);  \
  /* Mean over the window: divided by divisor if not 0, else by the window clipped to the padded input    \
     (include_pad) or to the input. */                                                                    \
  void avg_pool_forward(const View& x, const View& y, const PoolWindow& window, bool include_pad,         \
                        int64_t divisor);                                                                 \
  void avg_pool_backward(const View& dy, const View& dx, const PoolWindow& window, bool include_pad,      \
                         int64_t divisor);                                                                \
  void adaptive_avg_pool_forward(const View& x, const View& y);                                           \
  void adaptive_avg_pool_backward(const View& dy, const View& dx);                                        \
  /* y[indices[i]] = x[i], zero elsewhere; the last of equal indices wins. int64 indices of x's shape; on \
     the device contiguous. Returns -1, or where in memory an index outside the plane of y is (y is       \
     undefined). */                                                                                       \
  int64_t max_unpool_forward(const View& x, const View& indices, const View& y);

namespace ccdl::cpu {
CCDL_POOL_CONTRACT
}
namespace ccdl::cu {
CCDL_POOL_CONTRACT
}
#undef CCDL_POOL_CONTRACT
