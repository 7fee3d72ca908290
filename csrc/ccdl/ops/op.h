// What every op file includes: tensors, autograd, dispatch, and the small helpers that keep an op to
// shapes, checks, promote, allocate, dispatch, record.
#pragma once
#include <ccdl/autograd/node.h>
#include <ccdl/core/dispatch.h>

namespace ccdl::ops {

using autograd::Edge;
using autograd::grad_enabled;
using autograd::GradModeGuard;
using autograd::needs_graph;
using autograd::Node;
using autograd::NoGradGuard;
using autograd::record;
using autograd::requires_grad;
using autograd::SavedTensor;

// A tensor or a number: what arithmetic ops take. A number never decides the dtype beyond its category.
struct Operand {
  Operand(const Tensor& t) : tensor(t) {}
  Operand(Scalar s) : scalar(s) {}
  Operand(double s) : scalar(s) {}
  Operand(int s) : scalar(s) {}
  bool is_tensor() const { return tensor.defined(); }
  Tensor tensor;
  Scalar scalar;
};

// A 0-d tensor in host memory mixes with tensors of any device: it is a number with a dtype.
inline bool is_host_number(const Tensor& x) { return x.dim() == 0 && x.device().is_cpu(); }

// x.op_(...) from the functional op: f gets x (a tracked clone while a graph is recorded, so that saved
// inputs survive the write) and returns the new value, which must have x's shape after broadcasting and a
// dtype that casts to x's.
Tensor inplace(const char* op, const Tensor& x, const std::function<Tensor(const Tensor&)>& f);
// out= : copies result into out, resizing it when its shape differs; returns out. Neither may require grad
// while recording.
Tensor write_out(const char* op, const Tensor& result, const Tensor& out);
// Whether a kernel may write a result of that size and dtype straight into `out`: nothing is recorded, and no
// operand lies in the same memory unless it is the same window of it.
bool takes_result(const Tensor& out, const Dims& sizes, DType dtype,
                  std::initializer_list<const Tensor*> operands);

}  // namespace ccdl::ops
