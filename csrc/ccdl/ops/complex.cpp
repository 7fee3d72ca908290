#include <ccdl/ops/complex.h>

#include <ccdl/kernels/complex.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>

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

// y = a r: da = dy r, dr = sum over the parts of dy a
struct ComplexScaleBackward : Node {
  const char* name() const override { return "ComplexScaleBackward"; }
  SavedTensor a, r;
  Dims a_sizes, r_sizes;

  TensorList apply(const TensorList& g) override {
    TensorList result(2);
    if (needs(0)) result[0] = sum_to(complex_scale(g[0], r.get(this)), a_sizes);
    if (needs(1)) result[1] = sum_to(sum(mul(g[0], a.get(this)), Dims{-1}), r_sizes);
    return result;
  }
  void release_saved() override {
    a.reset();
    r.reset();
  }
};

void check_real(const Tensor& x) {
  CCDL_CHECK(x.dtype() == DType::Float32 || x.dtype() == DType::Float64, DType,
             "complex product: input must be float32 or float64, got ", describe(x), "; use .float()");
  CCDL_CHECK(x.device().is_cpu(), Device, "complex product: input must be in host memory, got ", describe(x));
}
void check_pairs(const Tensor& x) {
  check_real(x);
  CCDL_CHECK(x.dim() > 0 && x.size(-1) == 2, Shape,
             "complex product: input must end in a dimension of 2, got ", describe(x));
}
void check_dtypes(const Tensor& a, const Tensor& b) {
  CCDL_CHECK(a.dtype() == b.dtype(), DType, "complex product: expected one dtype, got ", describe(a), " and ",
             describe(b));
}

// The parts of a number side by side.
Tensor adjacent(const Tensor& x) { return x.strides().back() == 1 ? x : dense(x); }

}  // namespace

Tensor complex_multiply(const Tensor& a, const Tensor& b, bool conjugate) {
  check_pairs(a);
  check_pairs(b);
  check_dtypes(a, b);
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

Tensor complex_scale(const Tensor& a, const Tensor& r) {
  check_pairs(a);
  check_real(r);
  check_dtypes(a, r);
  Dims numbers = a.sizes();
  numbers.pop_back();
  const Dims sizes = broadcast_shapes("mul", numbers, r.sizes());
  Dims pairs = sizes;
  pairs.push_back(2);
  const Tensor y = empty(pairs, a.dtype(), a.device());
  if (y.numel() > 0) {
    const Tensor x = adjacent(a);
    cpu::complex_scale(x.view_as(pairs), r.view_as(sizes), y.view());
  }
  if (needs_graph(a, r)) {
    auto node = make_ref<ComplexScaleBackward>();
    if (requires_grad(r)) node->a = SavedTensor(a);
    if (requires_grad(a)) node->r = SavedTensor(r);
    node->a_sizes = a.sizes();
    node->r_sizes = r.sizes();
    record(node, {a, r}, y);
  }
  return y;
}

}  // namespace ccdl::ops
