// Products of complex numbers held as pairs: the last dimension, 2, of all views; float32 or float64.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl::cpu {

// y = a b, or a conj(b). All of one shape; the parts of a number lie side by side; y is contiguous and
// overlaps nothing.
void complex_multiply(const View& a, const View& b, const View& y, bool conjugate);
// y = a r with a real factor for each number: r has a dimension less.
void complex_scale(const View& a, const View& r, const View& y);

}  // namespace ccdl::cpu
