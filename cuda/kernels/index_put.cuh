// Indexed writing, also into overlapping geometry. The walk falls into outer dimensions, which decide the
// target, and slice dimensions, which every target has for itself; two writes meet only when the keys of
// their outer positions are equal.
#pragma once
#include <kernels/index_walk.cuh>

#include <ccdl/kernels/index.h>

namespace ccdl::cu::moving {

// y at the places of `outer` (strides y, may overlap) = y + src, in the walk's order for every place.
void add_overlapping(const HostWalk& y_and_src, const View& y, const View& src);

}  // namespace ccdl::cu::moving
