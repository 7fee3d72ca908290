// softclip(x, a) = a * tanh(x / a): a plain C++ loop forward, and its backward dx = dy * (1 - (y / a)^2) made
// of ops, so that it can be differentiated again.
#include <ccdl/ccdl.h>
#include <ccdl/python/extension.h>

#include <cmath>

namespace ops = ccdl::ops;
using ccdl::Tensor;

struct SoftclipBackward : ccdl::autograd::Node {
  const char* name() const override { return "SoftclipBackward"; }
  ccdl::autograd::SavedTensor y;
  double a = 1;
  ccdl::TensorList apply(const ccdl::TensorList& grads) override {
    const Tensor r = ops::mul(y.get(this), 1 / a);
    return {ops::mul(grads[0], ops::sub(1.0, ops::mul(r, r)))};
  }
  void release_saved() override { y.reset(); }
};

static Tensor softclip(const Tensor& input, double a) {
  CCDL_CHECK(input.dtype() == ccdl::DType::Float64, DType, "softclip: input must be float64, got ",
             ccdl::describe(input), "; convert it with .double()");
  CCDL_CHECK(a > 0, Value, "softclip: a must be positive, got ", a);
  const Tensor x = ops::contiguous(input);
  const Tensor y = ccdl::empty(x.sizes(), x.dtype());
  ccdl::parallel_for(x.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y.ptr<double>()[i] = a * std::tanh(x.ptr<double>()[i] / a);
  });
  if (ccdl::autograd::needs_graph(input)) {
    auto node = ccdl::make_ref<SoftclipBackward>();
    node->y = ccdl::autograd::SavedTensor(y, node.get());
    node->a = a;
    ccdl::autograd::record(node, {input}, y);
  }
  return y;
}

PYBIND11_MODULE(custom_op, m) {
  ccdl::python::use_errors();
  m.def("softclip", &softclip, pybind11::arg("input"), pybind11::arg("a") = 1.0);
}
