// Discrete Fourier transforms of lines, float32 or float64. A line is the middle dimension of x [outer, m,
// inner] and y [outer, count, inner]; complex numbers are pairs, a last dimension of 2 more. With M(f) the
// multiplication of all but the first and (n even) the middle number of a half spectrum by f,
//   whole:   y[k] = factor sum_j x[j] exp(s 2 pi i j k / n)             pairs to pairs
//   to_half: y = M(interior) of the first n / 2 + 1 of those            real numbers to pairs; where
//   mirrored,
//            of all n, which are each other's conjugates
//   to_real: y[j] of the spectrum whose first half is M(interior) x     pairs to real numbers
// with s = 1 where plus, else -1. Of x the first n (n / 2 + 1) numbers count, missing ones are zeros; y takes
// as many as it has room for, more become zeros. All views contiguous; y overlaps nothing. The transposed
// maps are of this form: of whole the other sign; of to_half(interior) to_real(interior / 2), of
// to_real(interior) to_half(2 interior), each with the other sign; of the mirrored one the real
// parts of whole.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

enum class FftKind : int { whole, to_half, to_real };

struct FftSpec {
  FftKind kind = FftKind::whole;
  bool plus = false, mirrored = false;
  int64_t n = 1;
  double factor = 1, interior = 1;  // interior: a power of two
};

namespace cpu {
void fft_transform(const View& x, const View& y, const FftSpec& spec);
}

}  // namespace ccdl
