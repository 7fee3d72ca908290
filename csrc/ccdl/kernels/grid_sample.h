// Samples of images at real-valued positions. The taps of one dimension (which pixels, their weights, the
// slope of each weight by the grid's coordinate) are written once for every backend: M is the mathematics of
// one element type, T its scalar or a vector of it. A sample is the sum over all combinations of one tap per
// dimension of the product of their weights with the pixel; pixels outside count as 0.
// Source: Jaderberg et al., 2015; cubic weights: Keys, 1981, a = -0.75.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

enum class GridMode : int32_t { Bilinear, Nearest, Bicubic };
enum class GridPadding : int32_t { Zeros, Border, Reflection };

struct GridSampleOptions {
  GridMode mode;
  GridPadding padding;
  bool align_corners;
};

constexpr int kMaxGridTaps = 4;  // of one dimension
CCDL_HD constexpr int grid_taps_of(GridMode mode) {
  return mode == GridMode::Nearest ? 1 : mode == GridMode::Bilinear ? 2 : 4;
}

namespace grid_sample {

// x, a number of pixels, mirrored at the corner pixels' centres (align) or at the outer edges; slope changes
// sign with the direction.
template <class M, class T>
CCDL_HD CCDL_INLINE T reflect(T x, typename M::S n, bool align, T& slope) {
  typedef typename M::S S;
  const S low = align ? S(0) : S(-0.5), span = align ? n - S(1) : n;
  if (span <= S(0)) {
    slope = slope * S(0);
    return x * S(0);
  }
  const T from = x - low, zero = T{};
  slope = M::sel(from < zero, -slope, slope);
  const T length = M::sel(from < zero, -from, from);
  const T turns = M::floor(length / span), extra = M::fma(-turns, zero + span, length);
  const T odd = turns - M::floor(turns * S(0.5)) * S(2);
  slope = M::sel(odd != zero, -slope, slope);
  return M::sel(odd != zero, span - extra, extra) + low;
}

// x moved into [0, n - 1], where the slope ends
template <class M, class T>
CCDL_HD CCDL_INLINE T clip(T x, typename M::S n, T& slope) {
  const T zero = T{}, last = zero + (n - typename M::S(1));
  slope = M::sel((x > zero) & (x < last), slope, zero);
  x = M::sel(x > zero, x, zero);
  return M::sel(x < last, x, last);
}

template <class M, class T>
CCDL_HD CCDL_INLINE T padded(T x, typename M::S n, const GridSampleOptions& o, T& slope) {
  if (o.padding == GridPadding::Reflection) x = reflect<M, T>(x, n, o.align_corners, slope);
  if (o.padding != GridPadding::Zeros) return clip<M, T>(x, n, slope);
  const T zero = T{}, low = zero - typename M::S(100), high = zero + (n + typename M::S(100));
  x = M::sel(x > low, x, low);  // far outside is as good as outside
  return M::sel(x < high, x, high);
}

// The taps of coordinate g in [-1, 1] of a dimension of n pixels: at[k] the pixel, or outside [0, n) where
// there is none. NaN and infinite coordinates count as outside, without slope.
template <class M, class T>
CCDL_HD CCDL_INLINE void taps(T g, typename M::S n, const GridSampleOptions& o, T* at, T* weight, T* slope) {
  typedef typename M::S S;
  const T zero = T{};
  const T scale = zero + (o.align_corners ? (n - S(1)) / S(2) : n / S(2));
  T x = o.align_corners ? (g + S(1)) * scale : M::fma(g + S(1), scale, zero - S(0.5));
  const auto finite = (x - x) == zero;
  x = M::sel(finite, x, zero - S(100));
  T rate = M::sel(finite, scale, zero);
  if (o.mode == GridMode::Bicubic) {
    T none = zero;
    if (o.padding == GridPadding::Zeros) x = padded<M, T>(x, n, o, none);
    const T low = M::floor(x), t = x - low;
    const S a = S(-0.75);
    for (int k = 0; k < 4; ++k) {
      at[k] = padded<M, T>(low + S(k - 1), n, o, none);
      const bool near = k == 1 || k == 2, left = k < 2;
      const T u = k == 0 ? t + S(1) : k == 1 ? t : k == 2 ? S(1) - t : S(2) - t;
      weight[k] = near ? ((a + S(2)) * u - (a + S(3))) * u * u + S(1)
                       : ((a * u - S(5) * a) * u + S(8) * a) * u - S(4) * a;
      const T du =
          near ? (S(3) * (a + S(2)) * u - S(2) * (a + S(3))) * u : (S(3) * a * u - S(10) * a) * u + S(8) * a;
      slope[k] = left ? du * rate : -du * rate;
    }
    return;
  }
  x = padded<M, T>(x, n, o, rate);
  if (o.mode == GridMode::Nearest) {
    at[0] = M::round(x);
    weight[0] = zero + S(1);
    slope[0] = zero;
    return;
  }
  at[0] = M::floor(x);
  at[1] = at[0] + S(1);
  weight[0] = at[1] - x;
  weight[1] = x - at[0];
  slope[0] = -rate;
  slope[1] = rate;
}

}  // namespace grid_sample
}  // namespace ccdl

// x [N, C, H, W] or [N, C, D, H, W], grid [N, (D',) H', W', 2 or 3] with x first, y [N, C, (D',) H', W']; all
// contiguous, one floating dtype; a channel of x has fewer than 2^31 pixels. Coordinates and sums in float
// for half formats.
#define CCDL_GRID_SAMPLE_CONTRACT                                                                       \
  void grid_sample_forward(const View& x, const View& grid, const View& y, const GridSampleOptions& o); \
  /* dx = the sums of weight dy over the samples that used a pixel, in their order; overwrite. On CUDA  \
     an image has fewer than 2^31 samples times taps. */                                                \
  void grid_sample_backward_input(const View& grid, const View& dy, const View& dx,                     \
                                  const GridSampleOptions& o);                                          \
  /* dgrid = the sum over channels and taps of slope x dy; overwrite */                                 \
  void grid_sample_backward_grid(const View& x, const View& grid, const View& dy, const View& dgrid,    \
                                 const GridSampleOptions& o);

namespace ccdl::cpu {
CCDL_GRID_SAMPLE_CONTRACT
}
namespace ccdl::cu {
CCDL_GRID_SAMPLE_CONTRACT
}
#undef CCDL_GRID_SAMPLE_CONTRACT
