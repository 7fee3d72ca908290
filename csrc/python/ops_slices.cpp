// Rows of slice writes, even splits, and of what complex numbers would be on real tensors.
#include "binding.h"

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/slices.h>

namespace ccdl::python {
namespace {

// hsplit, vsplit, dsplit: the dimension that is split, and the rank they need.
struct Direction {
  const char* op;
  int64_t dim, rank;
};
constexpr Direction kH{"hsplit", 1, 1}, kV{"vsplit", 0, 2}, kD{"dsplit", 2, 3};

PyObject* split_row(const Args& a, const Direction& to, bool sections) {
  const Tensor& x = a.tensor(0);
  CCDL_CHECK(x.dim() >= to.rank, Shape, to.op, " requires a tensor with at least ", to.rank,
             " dimension(s), but got a tensor with ", x.dim(), " dimensions!");
  const int64_t dim = to.dim < x.dim() ? to.dim : 0;
  return a.run([&] {
    return sections ? ops::split_evenly(to.op, x, a.integer(1), dim)
                    : ops::tensor_split(x, a.all_ints(1), dim);
  });
}

PyObject* itself(const Args& a) { return Py_NewRef(a.self()); }

template <Tensor (*F)(const Tensor&, const ops::Operand&)>
PyObject* in_place(const Args& a, const char* op) {
  return a.run(
      [&] { return ops::inplace(op, a.tensor(0), [&](const Tensor& x) { return F(x, a.operand(1)); }); });
}
Tensor float_power_of(const Tensor& x, const ops::Operand& e) { return ops::float_power(x, e); }

}  // namespace

static const Row kRows[] = {
    {"select_scatter(Tensor input, Tensor src, int dim, int index) -> Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return ops::select_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer(3)); });
     },
     kBoth},
    {"slice_scatter(Tensor input, Tensor src, int dim=0, int? start=None, int? end=None, int step=1, *, "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(6, "slice_scatter", [&] {
         return ops::slice_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer_or(3), a.integer_or(4),
                                   a.integer(5));
       });
     },
     kBoth},
    {"diagonal_scatter(Tensor input, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::diagonal_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer(3), a.integer(4));
       });
     },
     kBoth},
    {"index_reduce(Tensor input, int dim, Tensor index, Tensor source, str reduce, *, bool "
     "include_self=True, "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) {
       const std::string reduce = a.string(4);
       return a.run_out(6, "index_reduce", [&] {
         return ops::index_reduce(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), reduce, a.boolean(5));
       });
     },
     kBoth},
    {"index_reduce_(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool "
     "include_self=True) -> "
     "Tensor",
     [](const Args& a) {
       const std::string reduce = a.string(4);
       return a.run([&] {
         return ops::inplace("index_reduce_", a.tensor(0), [&](const Tensor& x) {
           return ops::index_reduce(x, a.integer(1), a.tensor(2), a.tensor(3), reduce, a.boolean(5));
         });
       });
     }},
    {"fill_diagonal_(Tensor self, Scalar fill_value, bool wrap=False) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::fill_diagonal_(a.tensor(0), a.scalar(1), a.boolean(2)); });
     }},
    {"hsplit(Tensor input, int sections) -> tuple", [](const Args& a) { return split_row(a, kH, true); },
     kBoth},
    {"hsplit(Tensor input, int[] indices) -> tuple", [](const Args& a) { return split_row(a, kH, false); },
     kBoth},
    {"vsplit(Tensor input, int sections) -> tuple", [](const Args& a) { return split_row(a, kV, true); },
     kBoth},
    {"vsplit(Tensor input, int[] indices) -> tuple", [](const Args& a) { return split_row(a, kV, false); },
     kBoth},
    {"dsplit(Tensor input, int sections) -> tuple", [](const Args& a) { return split_row(a, kD, true); },
     kBoth},
    {"dsplit(Tensor input, int[] indices) -> tuple", [](const Args& a) { return split_row(a, kD, false); },
     kBoth},
    {"swapaxes_(Tensor self, int axis0, int axis1) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("swapaxes_", a.tensor(0),
                                     ops::transpose(a.tensor(0), a.integer(1), a.integer(2))));
     }},
    {"swapdims_(Tensor self, int dim0, int dim1) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("swapdims_", a.tensor(0),
                                     ops::transpose(a.tensor(0), a.integer(1), a.integer(2))));
     }},
    {"float_power_(Tensor self, Number exponent) -> Tensor",
     [](const Args& a) {
       CCDL_CHECK(a.tensor(0).dtype() == DType::Float64, DType, "float_power_: the base has dtype ",
                  dtype_name(a.tensor(0).dtype()), " but the operation's result requires dtype float64");
       return in_place<float_power_of>(a, "float_power_");
     }},
    {"renorm_(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("renorm_", a.tensor(0), [&](const Tensor& x) {
           return ops::renorm(x, a.scalar(1), a.integer(2), a.scalar(3).to_double());
         });
       });
     }},
    {"narrow_copy(Tensor input, int dim, int start, int length, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "narrow_copy", [&] {
         return ops::clone(ops::narrow(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
       });
     },
     kBoth},
    {"is_nonzero(Tensor input) -> bool",
     [](const Args& a) {
       CCDL_CHECK(a.tensor(0).numel() == 1, Runtime, "is_nonzero: Boolean value of Tensor with ",
                  a.tensor(0).numel() == 0 ? "no values" : "more than one value", " is ambiguous");
       return wrap(ops::item(a.tensor(0)).to_bool());
     },
     kBoth},
    {"real(Tensor input) -> Tensor", itself},
    {"conj(Tensor input) -> Tensor", itself, kBoth},
    {"conj_physical(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(1, "conj_physical", [&] { return a.tensor(0); }); }, kBoth},
    {"resolve_conj(Tensor input) -> Tensor", itself, kBoth},
    {"resolve_neg(Tensor input) -> Tensor", itself, kBoth},
    {"is_conj(Tensor input) -> bool", [](const Args&) { return wrap(false); }, kBoth},
    {"is_neg(Tensor input) -> bool", [](const Args&) { return wrap(false); }, kBoth},
    {"isreal(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::ones_like(a.tensor(0), DType::Bool); }); }, kBoth},
    {"angle(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(1, "angle", [&] { return ops::angle(a.tensor(0)); }); }, kBoth},
};

void bind_slices(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
