// Sums of hinges over classes, x [N, C] contiguous, of one floating dtype, out [N], target int64 on the host:
//   multi_margin:      l_n = sum_{j != t_n} w(t_n) max(0, margin - x(t_n) + x(j)) / C     target [N]
//   multilabel_margin: l_n = sum_{j listed, i not} max(0, 1 - x(j) + x(i)) / C            target [N, C], a
//   row's
//     classes end at the first -1; one named twice counts twice
// slope [N, C] (data may be null) = dl_n / dx_nj. Each is linear between its corners, so that slope is all
// that the gradient needs. Returns -1, or the position of the first target outside [least, C), all else
// undefined.
#pragma once
#include <ccdl/core/view.h>

// Other devices take the composite of Python.
namespace ccdl::cpu {
int64_t multi_margin(const View& x, const View& target, const View& weight, double margin, const View& out,
                     const View& slope);
int64_t multilabel_margin(const View& x, const View& target, const View& out, const View& slope);
}  // namespace ccdl::cpu
