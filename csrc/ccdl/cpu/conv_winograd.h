// 3x3 convolution of stride 1 by minimal filtering F(2x2, 3x3), float32. Which shapes take it is a rule of
// shapes alone (winograd_fits); the error is that of the direct sum within a factor of two
// (docs/convolution.md).
#pragma once
#include <cstdint>

namespace ccdl::cpu {

// x [batch, channels, in] and y [batch, rows, out] with out = in + 2 * padding - 2, one group; planes, or
// with channels innermost (last).
struct WinogradShape {
  int64_t batch, channels, rows;
  int64_t in[2], out[2], padding[2];
  bool last = false;
};

bool winograd_fits(const WinogradShape& s);

struct WinogradFilterView {  // tap t of row r and channel c at w + r * row + c * channel + t * tap
  const float* w;
  int64_t row, channel, tap;
  bool turned;  // taps backwards
};

// y = x * w (+ bias, relu). False: some result is not finite, and y must be computed directly, since a
// transform spreads infinities and NaN over its tile.
bool winograd_forward(const WinogradShape& s, const float* x, const WinogradFilterView& w, const float* bias,
                      bool relu, float* y);
// dw [rows, channels, 3, 3] (or, with last_weights, [rows, 3, 3, channels]) = the adjoint of winograd_forward
// in w; false as above.
bool winograd_backward_weight(const WinogradShape& s, const float* x, const float* dy, float* dw,
                              bool last_weights);

}  // namespace ccdl::cpu
