// The reduction in two passes that reduce() hands on.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl::cpu {

// max + log(sum(exp(x - max))); y as for reduce().
void log_sum_exp(const View& x, const View& y);

}  // namespace ccdl::cpu
