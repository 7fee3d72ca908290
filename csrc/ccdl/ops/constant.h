// Results that are constant almost everywhere in their inputs, or drawn at random: they carry a graph, of
// zeros.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

void record_constant(const char* name, const TensorList& inputs, const Tensor& y);

// Gives y = nextafter(a, b) its graph.
Tensor record_step(const Operand& a, const Operand& b, const Tensor& y);

}  // namespace ccdl::ops
