// Kernels that rearrange elements: cat, roll, flip, triangles, padding, sliding windows, interpolation along
// a dimension, and addition into overlapping geometry. Any strides unless said otherwise; moves go by item
// size (all dtypes). Backward kernels take floating dtypes; half formats sum in float.
#pragma once
#include <span>

#include <ccdl/core/view.h>

namespace ccdl {

enum class PadMode { Constant, Reflect, Replicate, Circular };

// One window geometry for unfold/fold: height, width.
struct WindowShape {
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  int64_t blocks[2];  // window positions per dimension
};

}  // namespace ccdl

#define CCDL_SHAPE_CONTRACT                                                                                  \
  /* y = inputs one after another along dim; inputs have y's dtype and sizes but for dim; overwrite */       \
  void cat(const View* inputs, int64_t n, int dim, const View& y);                                           \
  /* y[i + shift[d] mod size] = x[i] in every dimension; 0 <= shift[d] < max(size, 1); overwrite */          \
  void roll(const View& x, const int64_t* shift, const View& y);                                             \
  /* y = x with the marked dimensions reversed; overwrite */                                                 \
  void flip(const View& x, const bool* flipped, const View& y);                                              \
  /* Last two dims: keeps column - row >= diagonal (upper) or <= diagonal (lower), zero elsewhere; y         \
     may be x */                                                                                             \
  void triangle(const View& x, int64_t diagonal, bool upper, const View& y);                                 \
  /* y[i] = x[source(i - before[d])] per dimension; Constant writes *value outside and allows negative       \
     before */                                                                                               \
  void pad(const View& x, const int64_t* before, PadMode mode, const void* value, const View& y);            \
  /* dx = sum of dy over the places each element was copied to; overwrite */                                 \
  void pad_backward(const View& dy, const int64_t* before, PadMode mode, const View& dx);                    \
  /* y[n, c * kh * kw, blocks] = windows of x [N, C, H, W], zeros outside; y contiguous; overwrite */        \
  void window_gather(const View& x, const WindowShape& shape, const View& y);                                \
  /* y [N, C, H, W] contiguous = sum of the columns of x [N, C * kh * kw, blocks] at their places;           \
     overwrite */                                                                                            \
  void window_scatter(const View& x, const WindowShape& shape, const View& y);                               \
  /* buffer (1-d, contiguous) += x at the places of a strided geometry, element by element in row-major      \
     order; the places may coincide; x has those sizes; floating dtypes */                                   \
  void as_strided_scatter_add(const View& buffer, std::span<const int64_t> sizes,                            \
                              std::span<const int64_t> strides, int64_t offset, const View& x);              \
  /* y[.., o, ..] = sum over t of weight[o, t] * x[.., index[o, t], ..] along dim; index int64 and weight    \
     float64 contiguous [n_out, taps]; zero weights are skipped; x, y contiguous; overwrite; floating dtypes \
   */                                                                                                        \
  void resample(const View& x, int dim, const View& index, const View& weight, const View& y);               \
  /* The transpose of resample: dx[.., index[o, t], ..] += weight[o, t] * dy[.., o, ..] from zero;           \
     overwrite */                                                                                            \
  void resample_backward(const View& dy, int dim, const View& index, const View& weight, const View& dx);    \
  /* Sum of repeats (int64, 1-d), or -1 when one is negative, -2 when the sum overflows */                   \
  int64_t repeat_count(const View& repeats);                                                                 \
  /* y (int64 contiguous, 1-d) = i written repeats[i] times, in order */                                     \
  void repeat_index(const View& repeats, const View& y);

namespace ccdl::cpu {
CCDL_SHAPE_CONTRACT
}
namespace ccdl::cu {
CCDL_SHAPE_CONTRACT
}
#undef CCDL_SHAPE_CONTRACT
