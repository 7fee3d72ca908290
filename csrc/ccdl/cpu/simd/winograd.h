// Inner loops of the 3x3 convolution by minimal filtering, F(2x2, 3x3): an output tile of 2 x 2 pixels from
// an input tile of 4 x 4 takes 16 products per channel pair instead of 36. Y = A'[(G w G') * (B' d B)]A with
//   B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1], G = [1 0 0; .5 .5 .5; .5 -.5 .5; 0 0 1],
//   A' = [1 1 1 0; 0 1 -1 -1].
// Vectors run over channels: pixels lie with their channels innermost, each of the 16 points of a transform
// is a plain matrix. Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015).
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kWinogradPoints = 16;

// Planes [channels][count] with `channel` floats between them, and pixels: pixel q at place[q], `channels`
// rounded up to a whole vector floats long.
struct WinogradPlanes {
  float* planes;  // read by gather, written by scatter
  int64_t channel, channels;
  float* pixels;  // written by gather (zeros behind the channels), read by scatter
  const int32_t* place;
  int64_t count;
};

// Pixel (i, j) of tile t at pixels + place[t] + i * row + j * width; `width` floats (whole vectors) each.
// Point f of tile t at points + f * point + t * width.
struct WinogradTiles {
  float* pixels;
  const int32_t* place;
  int64_t row, width, tiles;
  float* points;
  int64_t point;
  const float* bias;  // [width], or null; output only, as relu
  bool relu;
};

// Filter of row r and depth k at w + r * w_row + k * w_depth, nine taps w_tap apart, read backwards if
// turned. The points of rows [row, row + lanes) go to dst + f * point + k * dst_depth; rows from `rows` on
// give zeros.
struct WinogradFilters {
  const float* w;
  int64_t w_row, w_depth, w_tap;
  bool turned;
  int64_t row, rows, depth;
  float* dst;
  int64_t point, dst_depth;
};

// dw[k * dw_depth + t * dw_tap] (one of them 1) from the sums over `parts` blocks (of `part` floats) of
// sums[f * point + k], k in [0, depth).
struct WinogradFilterGradient {
  const float* sums;
  int64_t point, parts, part, depth;
  float* dw;
  int64_t dw_depth, dw_tap;
};

struct WinogradKernels {
  int lanes;
  void (*gather)(const WinogradPlanes&);
  void (*scatter)(const WinogradPlanes&);
  void (*filter)(const WinogradFilters&);
  void (*input)(const WinogradTiles&);     // points = B' d B, d 4 x 4
  void (*gradient)(const WinogradTiles&);  // points = A dy A', dy 2 x 2
  // pixels = A' m A (+ bias, relu), and G' s G: whether all results were finite
  bool (*output)(const WinogradTiles&);
  bool (*filter_gradient)(const WinogradFilterGradient&);
};
CCDL_SIMD_FAMILY(WinogradKernels, winograd)

}  // namespace ccdl::cpu
