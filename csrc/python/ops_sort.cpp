// Rows of sorting, selection, quantiles, unique values, search and counting.
#include "binding.h"
#include "named_pair.h"

#include <ccdl/ops/create.h>
#include <ccdl/ops/sort.h>

namespace ccdl::python {
namespace {

using ops::ValuesIndices;

PyObject* quantile_row(const Args& a, const char* op, bool ignore_nan) {
  const std::string mode = a.string(4);
  return a.run_out(5, op, [&] {
    const Tensor& x = a.tensor(0);
    const ops::Operand q = a.operand(1);
    return ops::quantile(x, q.is_tensor() ? q.tensor : ops::full(Dims{}, q.scalar, x.dtype(), x.device()),
                         a.integer_or(2), a.boolean(3), mode, ignore_nan);
  });
}

// One tensor, or a tuple with the inverse and the counts that were asked for.
PyObject* unique_result(const Args& a, bool consecutive, bool inverse, bool counts,
                        std::optional<int64_t> dim) {
  PyObject* all = a.run([&] {
    const ops::Unique u = ops::unique(a.tensor(0), consecutive, inverse, counts, dim);
    TensorList out{u.values};
    if (inverse) out.push_back(u.inverse);
    if (counts) out.push_back(u.counts);
    return out;
  });
  if (!all || inverse || counts) return all;
  PyObject* values = PyTuple_GET_ITEM(all, 0);
  Py_INCREF(values);
  Py_DECREF(all);
  return values;
}

PyObject* nonzero_row(const Args& a) {
  if (!a.is_none(2)) {
    CCDL_CHECK(!a.boolean(1), Runtime, "nonzero: out= goes with as_tuple=False only");
    check_index_out("nonzero", a.tensor(2));
  }
  if (!a.boolean(1)) return a.run_out(2, "nonzero", [&] { return ops::nonzero(a.tensor(0)); });
  return a.run([&] {
    const Tensor& x = a.tensor(0);
    const Tensor rows = ops::nonzero(x.dim() ? x : ops::unsqueeze(x, 0));
    return ops::unbind(rows, 1);
  });
}

bool right_side(const Args& a, int right, int side) {
  if (a.is_none(side)) return a.boolean(right);
  const std::string s = a.string(side);
  CCDL_CHECK(s == "left" || s == "right", Runtime,
             "searchsorted(): side can only be 'left' or 'right' but got ", s);
  CCDL_CHECK(
      s == "right" || !a.boolean(right), Runtime,
      "searchsorted(): side and right can't be set to opposites, got side of left while right was True");
  return s == "right";
}

}  // namespace

static const Row kRows[] = {
    {"sort(Tensor input, int dim=-1, bool descending=False, bool? stable=False, *, Tensor[]? out=None) -> "
     "tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "sort", 4,
                             [&] { return ops::sort(a.tensor(0), a.integer(1), a.boolean(2)); });
     },
     kBoth},
    {"argsort(Tensor input, int dim=-1, bool descending=False, bool stable=False, *, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) {
       return a.run_out(4, "argsort", [&] { return ops::argsort(a.tensor(0), a.integer(1), a.boolean(2)); });
     },
     kBoth},
    {"msort(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(1, "msort", [&] { return ops::msort(a.tensor(0)); }); }, kBoth},
    {"topk(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True, *, Tensor[]? out=None) -> "
     "tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "topk", 5, [&] {
         return ops::topk(a.tensor(0), a.integer(1), a.integer(2), a.boolean(3), a.boolean(4));
       });
     },
     kBoth},
    {"kthvalue(Tensor input, int k, int dim=-1, bool keepdim=False, *, Tensor[]? out=None) -> tuple[Tensor, "
     "Tensor]",
     [](const Args& a) {
       return values_indices(a, "kthvalue", 4, [&] {
         return ops::kthvalue(a.tensor(0), a.integer(1), a.integer(2), a.boolean(3));
       });
     },
     kBoth},
    {"median(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::median(a.tensor(0)); }); }, kBoth},
    {"median(Tensor input, int dim, bool keepdim=False, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "median", 3,
                             [&] { return ops::median_dim(a.tensor(0), a.integer(1), a.boolean(2)); });
     },
     kBoth},
    {"nanmedian(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::median(a.tensor(0), true); }); }, kBoth},
    {"nanmedian(Tensor input, int dim, bool keepdim=False, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "nanmedian", 3,
                             [&] { return ops::median_dim(a.tensor(0), a.integer(1), a.boolean(2), true); });
     },
     kBoth},
    {"mode(Tensor input, int dim=-1, bool keepdim=False, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "mode", 3,
                             [&] { return ops::mode(a.tensor(0), a.integer(1), a.boolean(2)); });
     },
     kBoth},
    {"quantile(Tensor input, Number q, int? dim=None, bool keepdim=False, *, str interpolation='linear', "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) { return quantile_row(a, "quantile", false); }, kBoth},
    {"nanquantile(Tensor input, Number q, int? dim=None, bool keepdim=False, *, str interpolation='linear', "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) { return quantile_row(a, "nanquantile", true); }, kBoth},

    {"unique(Tensor input, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? "
     "dim=None) -> object",
     [](const Args& a) { return unique_result(a, false, a.boolean(2), a.boolean(3), a.integer_or(4)); },
     kBoth},
    {"unique_consecutive(Tensor input, bool return_inverse=False, bool return_counts=False, int? dim=None) "
     "-> object",
     [](const Args& a) { return unique_result(a, true, a.boolean(1), a.boolean(2), a.integer_or(3)); },
     kBoth},
    {"nonzero(Tensor input, *, bool as_tuple=False, Tensor? out=None) -> object", nonzero_row, kBoth},
    {"argwhere(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::nonzero(a.tensor(0)); }); }, kBoth},
    {"searchsorted(Tensor sorted_sequence, Number input, *, bool out_int32=False, bool right=False, str? "
     "side=None, Tensor? sorter=None, "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) {
       const bool right = right_side(a, 3, 4);
       return a.run_out(6, "searchsorted", [&] {
         return ops::searchsorted(a.tensor(0), a.operand(1), right, a.boolean(2), a.tensor_or(5));
       });
     }},
    {"bucketize(Number input, Tensor boundaries, *, bool out_int32=False, bool right=False, Tensor? "
     "out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "bucketize", [&] {
         return ops::bucketize(a.operand(0), a.tensor(1), a.boolean(3), a.boolean(2));
       });
     }},
    {"histc(Tensor input, int bins=100, Scalar min=0, Scalar max=0, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "histc", [&] {
         return ops::histc(a.tensor(0), a.integer(1), a.scalar(2).to_double(), a.scalar(3).to_double());
       });
     },
     kBoth},
    {"bincount(Tensor input, Tensor? weights=None, int minlength=0) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::bincount(a.tensor(0), a.tensor_or(1), a.integer(2)); });
     },
     kBoth},
    {"isin(Number elements, Number test_elements, *, bool assume_unique=False, bool invert=False, Tensor? "
     "out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "isin", [&] { return ops::isin(a.operand(0), a.operand(1), a.boolean(3)); });
     }},
};

void bind_sort(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
