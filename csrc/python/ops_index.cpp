// Rows of gather, scatter, index_* and the masks.
#include "binding.h"

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/overlap.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {
namespace {

// self.name_(...) for an op without an in-place form of its own.
template <class F>
PyObject* inplace_row(const Args& a, const char* op, const F& f) {
  return a.run([&] { return ops::inplace(op, a.tensor(0), f); });
}

std::string scatter_mode(const std::string& reduce) {
  if (reduce == "add") return "sum";
  CCDL_CHECK(reduce == "multiply", Value, "scatter: reduce argument must be either add or multiply, got ",
             reduce);
  return "prod";
}

Tensor value_like(const Args& a) {  // a number spread over index, for scatter(..., value, reduce=)
  return ops::expand(ops::full(Dims{}, a.scalar(3), a.tensor(0).dtype(), a.tensor(0).device()),
                     a.tensor(2).sizes());
}

}  // namespace

static const Row kRows[] = {
    {"gather(Tensor input, int dim, Tensor index, *, bool sparse_grad=False, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "gather", [&] { return ops::gather(a.tensor(0), a.integer(1), a.tensor(2)); });
     },
     kBoth},
    {"scatter(Tensor input, int dim, Tensor index, Tensor src, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "scatter",
                        [&] { return ops::scatter(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)); });
     },
     kBoth},
    {"scatter(Tensor input, int dim, Tensor index, Scalar value, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "scatter",
                        [&] { return ops::scatter(a.tensor(0), a.integer(1), a.tensor(2), a.scalar(3)); });
     },
     kBoth},
    {"scatter(Tensor input, int dim, Tensor index, Tensor src, *, str reduce, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       const std::string mode = scatter_mode(a.string(4));
       return a.run_out(5, "scatter", [&] {
         return ops::scatter_reduce(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), mode);
       });
     },
     kBoth},
    {"scatter(Tensor input, int dim, Tensor index, Scalar value, *, str reduce, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       const std::string mode = scatter_mode(a.string(4));
       return a.run_out(5, "scatter", [&] {
         return ops::scatter_reduce(a.tensor(0), a.integer(1), a.tensor(2), value_like(a), mode);
       });
     },
     kBoth},
    {"scatter_(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::scatter_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)); });
     }},
    {"scatter_(Tensor self, int dim, Tensor index, Scalar value) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::scatter_(a.tensor(0), a.integer(1), a.tensor(2), a.scalar(3)); });
     }},
    {"scatter_(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor",
     [](const Args& a) {
       const std::string mode = scatter_mode(a.string(4));
       return inplace_row(a, "scatter_", [&](const Tensor& x) {
         return ops::scatter_reduce(x, a.integer(1), a.tensor(2), a.tensor(3), mode);
       });
     }},
    {"scatter_(Tensor self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor",
     [](const Args& a) {
       const std::string mode = scatter_mode(a.string(4));
       return inplace_row(a, "scatter_", [&](const Tensor& x) {
         return ops::scatter_reduce(x, a.integer(1), a.tensor(2), value_like(a), mode);
       });
     }},
    {"scatter_add(Tensor input, int dim, Tensor index, Tensor src, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "scatter_add", [&] {
         return ops::scatter_add(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3));
       });
     },
     kBoth},
    {"scatter_add_(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::scatter_add_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)); });
     }},
    {"scatter_reduce(Tensor input, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True, "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) {
       const std::string mode = a.string(4);
       return a.run_out(6, "scatter_reduce", [&] {
         return ops::scatter_reduce(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), mode, a.boolean(5));
       });
     },
     kBoth},
    {"scatter_reduce_(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) "
     "-> Tensor",
     [](const Args& a) {
       const std::string mode = a.string(4);
       return inplace_row(a, "scatter_reduce_", [&](const Tensor& x) {
         return ops::scatter_reduce(x, a.integer(1), a.tensor(2), a.tensor(3), mode, a.boolean(5));
       });
     }},
    {"index_select(Tensor input, int dim, Tensor index, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(3, "index_select",
                        [&] { return ops::index_select(a.tensor(0), a.integer(1), a.tensor(2)); });
     },
     kBoth},
    {"index_add(Tensor input, int dim, Tensor index, Tensor source, *, Scalar alpha=1, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) {
       return a.run_out(5, "index_add", [&] {
         return ops::index_add(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.scalar(4));
       });
     },
     kBoth},
    {"index_add_(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return ops::index_add_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.scalar(4)); });
     }},
    {"index_copy(Tensor input, int dim, Tensor index, Tensor source, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "index_copy",
                        [&] { return ops::index_copy(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)); });
     },
     kBoth},
    {"index_copy_(Tensor self, int dim, Tensor index, Tensor source) -> Tensor",
     [](const Args& a) {
       ops::check_no_overlap("index_copy_", a.tensor(0), {&a.tensor(2), &a.tensor(3)});
       return inplace_row(a, "index_copy_", [&](const Tensor& x) {
         return ops::index_copy(x, a.integer(1), a.tensor(2), a.tensor(3));
       });
     }},
    {"index_fill(Tensor input, int dim, Tensor index, Number value) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::index_fill(a.tensor(0), a.integer(1), a.tensor(2), a.operand(3)); });
     },
     kBoth},
    {"index_fill_(Tensor self, int dim, Tensor index, Number value) -> Tensor",
     [](const Args& a) {
       ops::check_no_overlap("index_fill_", a.tensor(0), {&a.tensor(2)});
       return inplace_row(a, "index_fill_", [&](const Tensor& x) {
         return ops::index_fill(x, a.integer(1), a.tensor(2), a.operand(3));
       });
     }},
    {"index_put(Tensor input, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::index_put(a.tensor(0), a.tensors(1), a.tensor(2), a.boolean(3)); });
     },
     kBoth},
    {"index_put_(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::index_put_(a.tensor(0), a.tensors(1), a.tensor(2), a.boolean(3)); });
     }},
    {"take(Tensor input, Tensor index, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "take", [&] { return ops::take(a.tensor(0), a.tensor(1)); }); },
     kBoth},
    {"put(Tensor input, Tensor index, Tensor source, bool accumulate=False) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::put(a.tensor(0), a.tensor(1), a.tensor(2), a.boolean(3)); });
     },
     kBoth},
    {"put_(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor",
     [](const Args& a) {
       ops::check_no_overlap("put_", a.tensor(0), {&a.tensor(1), &a.tensor(2)});
       return inplace_row(
           a, "put_", [&](const Tensor& x) { return ops::put(x, a.tensor(1), a.tensor(2), a.boolean(3)); });
     }},
    {"take_along_dim(Tensor input, Tensor indices, int? dim=None, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(3, "take_along_dim",
                        [&] { return ops::take_along_dim(a.tensor(0), a.tensor(1), a.integer_or(2)); });
     },
     kBoth},
    {"masked_fill(Tensor input, Tensor mask, Number value) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::masked_fill(a.tensor(0), a.tensor(1), a.operand(2)); });
     },
     kBoth},
    {"masked_fill_(Tensor self, Tensor mask, Number value) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::masked_fill_(a.tensor(0), a.tensor(1), a.operand(2)); });
     }},
    {"masked_select(Tensor input, Tensor mask, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "masked_select", [&] { return ops::masked_select(a.tensor(0), a.tensor(1)); });
     },
     kBoth},
    {"masked_scatter(Tensor input, Tensor mask, Tensor source) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::masked_scatter(a.tensor(0), a.tensor(1), a.tensor(2)); });
     },
     kBoth},
    {"masked_scatter_(Tensor self, Tensor mask, Tensor source) -> Tensor",
     [](const Args& a) {
       return inplace_row(a, "masked_scatter_",
                          [&](const Tensor& x) { return ops::masked_scatter(x, a.tensor(1), a.tensor(2)); });
     }},
    {"where(Tensor condition) -> Tensor[]",
     [](const Args& a) {
       return a.run([&] {
         const Tensor& c = a.tensor(0);
         return ops::nonzero_tuple(c.dim() ? c : ops::unsqueeze(c, 0));
       });
     }},
};

void bind_index(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
