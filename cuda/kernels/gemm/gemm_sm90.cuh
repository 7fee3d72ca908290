// The Hopper kernel's entry.
#pragma once
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {

// Runs p (one split) on a device of capability 9.x; false, with nothing queued, where its layouts do not suit
// TMA or the driver has no tensor maps.
template <class T>
bool gemm_sm90(const GemmProblem<T>& p);

}  // namespace ccdl::cu
