// Rows of the matrix products.
#include "binding.h"

#include <ccdl/ops/matmul.h>

namespace ccdl::python {
namespace {

template <Tensor (*F)(const Tensor&, const Tensor&)>
PyObject* product(const Args& a, const char* op) {
  return a.run_out(2, op, [&] { return F(a.tensor(0), a.tensor(1)); });
}

template <Tensor (*F)(const Tensor&, const Tensor&, const Tensor&, Scalar, Scalar)>
PyObject* add_product(const Args& a, const char* op) {
  return a.run_out(5, op, [&] { return F(a.tensor(0), a.tensor(1), a.tensor(2), a.scalar(3), a.scalar(4)); });
}

template <Tensor (*F)(const Tensor&, const Tensor&, const Tensor&, Scalar, Scalar)>
PyObject* add_product_inplace(const Args& a, const char* op) {
  return a.run([&] {
    return ops::inplace(op, a.tensor(0), [&](const Tensor& x) {
      return F(x, a.tensor(1), a.tensor(2), a.scalar(3), a.scalar(4));
    });
  });
}

}  // namespace

static const Row kRows[] = {
    {"matmul(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::matmul>(a, "matmul"); }, kBoth},
    {"mm(Tensor input, Tensor mat2, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::mm>(a, "mm"); }, kBoth},
    {"bmm(Tensor input, Tensor mat2, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::bmm>(a, "bmm"); }, kBoth},
    {"mv(Tensor input, Tensor vec, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::mv>(a, "mv"); }, kBoth},
    {"dot(Tensor input, Tensor tensor, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::dot>(a, "dot"); }, kBoth},
    {"vdot(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::dot>(a, "vdot"); }, kBoth},
    {"inner(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::inner>(a, "inner"); }, kBoth},
    {"outer(Tensor input, Tensor vec2, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::outer>(a, "outer"); }, kBoth},
    {"ger(Tensor input, Tensor vec2, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::outer>(a, "ger"); }, kBoth},
    {"kron(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return product<ops::kron>(a, "kron"); }, kBoth},
    {"addmm(Tensor input, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return add_product<ops::addmm>(a, "addmm"); }, kBoth},
    {"addmm_(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
     [](const Args& a) { return add_product_inplace<ops::addmm>(a, "addmm_"); }},
    {"baddbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1, Tensor? "
     "out=None) -> Tensor",
     [](const Args& a) { return add_product<ops::baddbmm>(a, "baddbmm"); }, kBoth},
    {"baddbmm_(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
     [](const Args& a) { return add_product_inplace<ops::baddbmm>(a, "baddbmm_"); }},
    {"addbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1, Tensor? out=None) "
     "-> Tensor",
     [](const Args& a) { return add_product<ops::addbmm>(a, "addbmm"); }, kBoth},
    {"addbmm_(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
     [](const Args& a) { return add_product_inplace<ops::addbmm>(a, "addbmm_"); }},
    {"addmv(Tensor input, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return add_product<ops::addmv>(a, "addmv"); }, kBoth},
    {"addmv_(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
     [](const Args& a) { return add_product_inplace<ops::addmv>(a, "addmv_"); }},
    {"addr(Tensor input, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return add_product<ops::addr>(a, "addr"); }, kBoth},
    {"addr_(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
     [](const Args& a) { return add_product_inplace<ops::addr>(a, "addr_"); }},
    {"linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::linear(a.tensor(0), a.tensor(1), a.tensor_or(2)); });
     }},
    {"bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::bilinear(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor_or(3)); });
     }},
    {"_einsum(str equation, Tensor[] operands) -> Tensor",
     [](const Args& a) {
       const std::string equation = a.string(0);
       return a.run([&] { return ops::einsum(equation, a.tensors(1)); });
     }},
    {"_tensordot(Tensor a, Tensor b, int[] dims_a, int[] dims_b) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::tensordot(a.tensor(0), a.tensor(1), a.ints(2), a.ints(3)); });
     }},
    {"_multi_dot(Tensor[] tensors) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::multi_dot(a.tensors(0)); }); }},
    {"trace(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::trace(a.tensor(0)); }); }, kBoth},
    {"matrix_power(Tensor input, int n, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "matrix_power", [&] { return ops::matrix_power(a.tensor(0), a.integer(1)); });
     },
     kBoth},
};

void bind_matmul(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
