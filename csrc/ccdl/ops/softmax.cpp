#include <ccdl/ops/softmax.h>

#include <ccdl/kernels/softmax.h>

#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>

namespace ccdl::ops {
namespace {

// [outer, n, inner] around dim.
Dims around(const Tensor& x, int64_t dim) {
  Dims shape = {1, 1, 1};
  for (int64_t i = 0; i < x.dim(); ++i) shape[i < dim ? 0 : i == dim ? 1 : 2] *= x.size(i);
  return shape;
}

// softmax: dx = y (dy - sum(y dy));  log_softmax: dx = dy - exp(y) sum(dy)
struct SoftmaxBackward : Node {
  const char* name() const override { return log ? "LogSoftmaxBackward" : "SoftmaxBackward"; }
  SavedTensor output;
  int64_t dim = 0;
  bool log = false;

  TensorList apply(const TensorList& grads) override {
    const Tensor y = output.get(this);
    if (grad_enabled()) return {composite(y, grads[0])};
    const Tensor dy = dense(grads[0]);
    Tensor dx = empty(y.sizes(), y.dtype(), y.device());
    const Dims shape = around(y, dim);
    CCDL_KERNEL(y, softmax_backward(shaped(y, shape), shaped(dy, shape), shaped(dx, shape), log));
    return {dx};
  }
  Tensor composite(const Tensor& y, const Tensor& dy) const {
    if (y.dim() == 0) return mul(dy, Scalar(0.0));
    if (log) return sub(dy, mul(exp(y), sum(dy, Dims{dim}, true)));
    return mul(y, sub(dy, sum(mul(y, dy), Dims{dim}, true)));
  }
  void release_saved() override { output.reset(); }
};

Tensor normalise(const char* op, const Tensor& input, int64_t dim, std::optional<DType> dtype, bool log) {
  dim = wrap_dim(op, dim, input.dim());
  const Tensor x = dtype ? to(input, *dtype) : input;
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(input),
             "; convert it with .float() or pass dtype=");
  const Tensor c = dense(x);
  Tensor y = empty(x.sizes(), x.dtype(), x.device());
  const Dims shape = around(c, dim);
  CCDL_KERNEL(c, softmax_forward(shaped(c, shape), shaped(y, shape), log));
  if (needs_graph(x)) {
    auto node = make_ref<SoftmaxBackward>();
    node->output = SavedTensor(y, node.get());
    node->dim = dim;
    node->log = log;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return normalise("softmax", x, dim, dtype, false);
}

Tensor log_softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return normalise("log_softmax", x, dim, dtype, true);
}

}  // namespace ccdl::ops
