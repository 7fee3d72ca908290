#include <ccdl/ops/complex.h>

#include <ccdl/kernels/complex.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>

namespace ccdl::ops {
namespace {

// y = a b: da = dy conj(b), db = dy conj(a);  y = a conj(b): da = dy b, db = a conj(dy)
struct ComplexMultiplyBackward : Node {
  const char* name() const override { return "ComplexMultiplyBackward"; }
  SavedTensor a, b;
  Dims a_sizes, b_sizes;
  bool conjugate = false;

  TensorList apply(const TensorList& g) override {
    TensorList result(2);
    if (needs(0)) result[0] = sum_to(complex_multiply(g[0], b.get(this), !conjugate), a_sizes);
    if (needs(1)) {
      const Tensor x = a.get(this);
      result[1] =
          sum_to(conjugate ? complex_multiply(x, g[0], true) : complex_multiply(g[0], x, true), b_sizes);
    }
    return result;
  }
  void release_saved() override {
    a.reset();
    b.reset();
  }
};

// The parts of a number side by side.
Tensor adjacent(const Tensor& x) { return x.strides().back() == 1 ? x : dense(x); }

}  // namespace

Tensor complex_multiply(const Tensor& a, const Tensor& b, bool conjugate) {
  for (const Tensor* x : {&a, &b}) {
    CCDL_CHECK(x->dtype() == DType::Float32 || x->dtype() == DType::Float64, DType,
               "complex product: input must be float32 or float64, got ", describe(*x), "; use .float()");
    CCDL_CHECK(x->dim() > 0 && x->size(-1) == 2, Shape,
               "complex product: input must end in a dimension of 2, got ", describe(*x));
    CCDL_CHECK(x->device().is_cpu(), Device, "complex product: input must be in host memory, got ",
               describe(*x));
  }
  CCDL_CHECK(a.dtype() == b.dtype(), DType, "complex product: expected one dtype, got ", describe(a), " and ",
             describe(b));
  const Dims sizes = broadcast_shapes("mul", a.sizes(), b.sizes());
  const Tensor y = empty(sizes, a.dtype(), a.device());
  if (y.numel() > 0) {
    const Tensor x = adjacent(a), w = adjacent(b);
    cpu::complex_multiply(x.view_as(sizes), w.view_as(sizes), y.view(), conjugate);
  }
  if (needs_graph(a, b)) {
    auto node = make_ref<ComplexMultiplyBackward>();
    if (requires_grad(b)) node->a = SavedTensor(a);
    if (requires_grad(a)) node->b = SavedTensor(b);
    node->a_sizes = a.sizes();
    node->b_sizes = b.sizes();
    node->conjugate = conjugate;
    record(node, {a, b}, y);
  }
  return y;
}

}  // namespace ccdl::ops
