// Rows of reductions, statistics, comparisons of whole tensors and cumulative operations.
#include "binding.h"
#include "named_pair.h"

#include <limits>

#include <ccdl/ops/distance.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/linalg.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/scan.h>

namespace ccdl::python {
namespace {

using ops::MaybeDims;

template <Tensor (*F)(const Tensor&, const MaybeDims&, bool, ops::MaybeDType)>
PyObject* total(const Args& a, const char* op) {
  return a.run_out(4, op, [&] { return F(a.tensor(0), a.ints_or(1), a.boolean(2), a.dtype_or(3)); });
}
template <Tensor (*F)(const Tensor&, const MaybeDims&, bool)>
PyObject* over_dims(const Args& a, const char* op) {
  return a.run_out(3, op, [&] { return F(a.tensor(0), a.ints_or(1), a.boolean(2)); });
}
template <std::tuple<Tensor, Tensor> (*F)(const Tensor&, int64_t, bool)>
PyObject* extreme_dim(const Args& a, const char* op) {
  return values_indices(a, op, 3, [&] { return F(a.tensor(0), a.integer(1), a.boolean(2)); });
}
template <Tensor (*F)(const Tensor&, std::optional<int64_t>, bool)>
PyObject* arg_extreme(const Args& a, const char* op) {
  if (!a.is_none(3)) check_index_out(op, a.tensor(3));
  return a.run_out(3, op, [&] { return F(a.tensor(0), a.integer_or(1), a.boolean(2)); });
}
double correction(const Args& a, int i) { return a.is_none(i) ? 1.0 : a.scalar(i).to_double(); }
// (input, dim, *, correction, keepdim, out), (input, dim, unbiased, keepdim, *, out) and (input, unbiased).
template <Tensor (*F)(const Tensor&, const MaybeDims&, double, bool)>
PyObject* spread(const Args& a, const char* op) {
  return a.run_out(4, op, [&] { return F(a.tensor(0), a.ints_or(1), correction(a, 2), a.boolean(3)); });
}
template <Tensor (*F)(const Tensor&, const MaybeDims&, double, bool)>
PyObject* spread_unbiased(const Args& a, const char* op) {
  return a.run_out(4, op, [&] { return F(a.tensor(0), a.ints_or(1), a.boolean(2) ? 1 : 0, a.boolean(3)); });
}
template <Tensor (*F)(const Tensor&, const MaybeDims&, double, bool)>
PyObject* spread_all(const Args& a) {
  return a.run([&] { return F(a.tensor(0), std::nullopt, a.boolean(1) ? 1 : 0, false); });
}
using Pair = std::tuple<Tensor, Tensor>;
template <Pair (*F)(const Tensor&, const MaybeDims&, double, bool)>
PyObject* spread_mean(const Args& a) {
  return a.run([&] { return F(a.tensor(0), a.ints_or(1), correction(a, 2), a.boolean(3)); });
}
template <Pair (*F)(const Tensor&, const MaybeDims&, double, bool)>
PyObject* spread_mean_unbiased(const Args& a) {
  return a.run([&] { return F(a.tensor(0), a.ints_or(1), a.boolean(2) ? 1 : 0, a.boolean(3)); });
}
template <Pair (*F)(const Tensor&, const MaybeDims&, double, bool)>
PyObject* spread_mean_all(const Args& a) {
  return a.run([&] { return F(a.tensor(0), std::nullopt, a.boolean(1) ? 1 : 0, false); });
}

// The order of a norm: a number, None or 'fro' (2), 'inf' and '-inf' as text too.
Scalar order_of(const char* op, PyObject* p) {
  Scalar v;
  if (!p || p == Py_None) return 2.0;
  if (number_from(p, &v)) return v;
  const bool text = PyUnicode_Check(p);
  const std::string name = text ? utf8(p) : "";
  if (name == "fro") return 2.0;
  if (name == "inf") return std::numeric_limits<double>::infinity();
  if (name == "-inf") return -std::numeric_limits<double>::infinity();
  fail(ErrorKind::Runtime,
       str(op, "(): unsupported order p=", text ? "'" + name + "'" : std::string(Py_TYPE(p)->tp_name),
           "; pass a number, 'fro' or 'nuc'"));
}
bool is_nuclear(PyObject* p) {
  return p && PyUnicode_Check(p) && !PyUnicode_CompareWithASCIIString(p, "nuc");
}
// The sum of the singular values over two dimensions.
Tensor nuclear(const Tensor& x, std::optional<Dims> dims, bool keepdim) {
  const Dims two = dims ? *dims : Dims{-2, -1};
  CCDL_CHECK(two.size() == 2 && x.dim() >= 2 && (dims || x.dim() == 2), Runtime,
             "norm: p='nuc' needs a matrix or two dimensions in dim, got input ", describe(x), " and ",
             two.size(), " dimensions");
  const Tensor last = ops::movedim(x, two, Dims{-2, -1});
  Tensor y = ops::sum(ops::linalg_svd("norm", last, false)[1], Dims{-1}, false);
  if (!keepdim) return y;
  y = ops::unsqueeze(ops::unsqueeze(y, -1), -1);
  return ops::movedim(y, Dims{-2, -1}, two);
}
PyObject* norm_row(const Args& a) {
  if (is_nuclear(a.object(1)))
    return a.run_out(4, "norm", [&] { return nuclear(a.tensor(0), a.ints_or(2), a.boolean(3)); });
  const Scalar p = order_of("norm", a.object(1));
  return a.run_out(4, "norm",
                   [&] { return ops::norm(a.tensor(0), p, a.ints_or(2), a.boolean(3), a.dtype_or(5)); });
}
PyObject* norm_method(const Args& a) {
  if (is_nuclear(a.object(1))) return a.run([&] { return nuclear(a.tensor(0), a.ints_or(2), a.boolean(3)); });
  const Scalar p = order_of("norm", a.object(1));
  return a.run([&] { return ops::norm(a.tensor(0), p, a.ints_or(2), a.boolean(3), a.dtype_or(4)); });
}
PyObject* vector_norm_row(const Args& a) {
  return a.run_out(5, "vector_norm", [&] {
    return ops::norm(a.tensor(0), a.scalar(1), a.ints_or(2), a.boolean(3), a.dtype_or(4));
  });
}

template <Tensor (*X)(const Tensor&, const Tensor&, int64_t), Tensor (*D)(const Tensor&, double, int64_t)>
PyObject* integral(const Args& a) {
  return a.run([&] {
    return a.is_none(1) ? D(a.tensor(0), a.scalar(2).to_double(), a.integer(3))
                        : X(a.tensor(0), a.tensor(1), a.integer(3));
  });
}
using ops::cumulative_trapezoid;
using ops::trapezoid;
PyObject* trapezoid_row(const Args& a) { return integral<trapezoid, trapezoid>(a); }
PyObject* cumulative_trapezoid_row(const Args& a) {
  return integral<cumulative_trapezoid, cumulative_trapezoid>(a);
}

template <Tensor (*F)(const Tensor&, int64_t, std::optional<DType>)>
PyObject* cumulative(const Args& a, const char* op) {
  return a.run_out(3, op, [&] { return F(a.tensor(0), a.integer(1), a.dtype_or(2)); });
}
template <Tensor (*F)(const Tensor&, int64_t, std::optional<DType>)>
PyObject* cumulative_inplace(const Args& a, const char* op) {
  return a.run([&] {
    return ops::inplace(op, a.tensor(0), [&](const Tensor& x) {
      return ops::to(F(x, a.integer(1), a.dtype_or(2)), x.dtype());
    });
  });
}

}  // namespace

static  // any and all write truth values: out= is bool, or the bytes PyTorch had before it.
    const Args&
    truth_out(const Args& a, const char* op) {
  const Tensor out = a.tensor_or(3);
  CCDL_CHECK(!out.defined() || out.dtype() == DType::Bool || out.dtype() == DType::UInt8, Runtime, op,
             " only supports bool tensor for result, got: ", dtype_name(out.dtype()));
  return a;
}

const Row kRows[] = {
    {"sum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return total<ops::sum>(a, "sum"); }, kBoth},
    {"nansum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return total<ops::nansum>(a, "nansum"); }, kBoth},
    {"mean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return total<ops::mean>(a, "mean"); }, kBoth},
    {"nanmean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None) -> "
     "Tensor",
     [](const Args& a) { return total<ops::nanmean>(a, "nanmean"); }, kBoth},
    {"prod(Tensor input, *, dtype? dtype=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::prod(a.tensor(0), std::nullopt, false, a.dtype_or(1)); });
     },
     kBoth},
    {"prod(Tensor input, int dim, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "prod",
                        [&] { return ops::prod(a.tensor(0), a.integer(1), a.boolean(2), a.dtype_or(3)); });
     },
     kBoth},

    {"max(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(1, "max", [&] { return ops::max(a.tensor(0)); }); }, kBoth},
    {"max(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "max", [&] { return ops::maximum(a.tensor(0), a.tensor(1)); });
     },
     kBoth},
    {"max(Tensor input, int dim, bool keepdim=False, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) { return extreme_dim<ops::max_dim>(a, "max"); }, kBoth},
    {"min(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(1, "min", [&] { return ops::min(a.tensor(0)); }); }, kBoth},
    {"min(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "min", [&] { return ops::minimum(a.tensor(0), a.tensor(1)); });
     },
     kBoth},
    {"min(Tensor input, int dim, bool keepdim=False, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) { return extreme_dim<ops::min_dim>(a, "min"); }, kBoth},
    {"amax(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return over_dims<ops::amax>(a, "amax"); }, kBoth},
    {"amin(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return over_dims<ops::amin>(a, "amin"); }, kBoth},
    {"aminmax(Tensor input, *, int? dim=None, bool keepdim=False, Tensor[]? out=None) -> tuple[Tensor, "
     "Tensor]",
     [](const Args& a) {
       return named_pair(a, "aminmax", {"min", "max"}, 3,
                         [&] { return ops::aminmax(a.tensor(0), a.integer_or(1), a.boolean(2)); });
     },
     kBoth},
    {"argmax(Tensor input, int? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return arg_extreme<ops::argmax>(a, "argmax"); }, kBoth},
    {"argmin(Tensor input, int? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return arg_extreme<ops::argmin>(a, "argmin"); }, kBoth},
    {"any(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return over_dims<ops::any>(truth_out(a, "any"), "any"); }, kBoth},
    {"all(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return over_dims<ops::all>(truth_out(a, "all"), "all"); }, kBoth},
    {"count_nonzero(Tensor input, int[1]? dim=None) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::count_nonzero(a.tensor(0), a.ints_or(1)); }); },
     kBoth},
    {"logsumexp(Tensor input, int[1] dim, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return over_dims<ops::logsumexp>(a, "logsumexp"); }, kBoth},

    {"var(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False, Tensor? out=None) "
     "-> Tensor",
     [](const Args& a) { return spread<ops::var>(a, "var"); }, kBoth},
    {"var(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return spread_unbiased<ops::var>(a, "var"); }, kBoth},
    {"var(Tensor input, bool unbiased) -> Tensor", [](const Args& a) { return spread_all<ops::var>(a); },
     kBoth},
    {"std(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False, Tensor? out=None) "
     "-> Tensor",
     [](const Args& a) { return spread<ops::stddev>(a, "std"); }, kBoth},
    {"std(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return spread_unbiased<ops::stddev>(a, "std"); }, kBoth},
    {"std(Tensor input, bool unbiased) -> Tensor", [](const Args& a) { return spread_all<ops::stddev>(a); },
     kBoth},
    {"var_mean(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> "
     "tuple[Tensor, Tensor]",
     [](const Args& a) { return spread_mean<ops::var_mean>(a); }},
    {"var_mean(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False) -> tuple[Tensor, Tensor]",
     [](const Args& a) { return spread_mean_unbiased<ops::var_mean>(a); }},
    {"var_mean(Tensor input, bool unbiased) -> tuple[Tensor, Tensor]",
     [](const Args& a) { return spread_mean_all<ops::var_mean>(a); }},
    {"std_mean(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> "
     "tuple[Tensor, Tensor]",
     [](const Args& a) { return spread_mean<ops::std_mean>(a); }},
    {"std_mean(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False) -> tuple[Tensor, Tensor]",
     [](const Args& a) { return spread_mean_unbiased<ops::std_mean>(a); }},
    {"std_mean(Tensor input, bool unbiased) -> tuple[Tensor, Tensor]",
     [](const Args& a) { return spread_mean_all<ops::std_mean>(a); }},

    {"norm(Tensor input, object p='fro', int[1]? dim=None, bool keepdim=False, Tensor? out=None, dtype? "
     "dtype=None) -> Tensor",
     norm_row},
    {"norm(Tensor self, object p='fro', int[1]? dim=None, bool keepdim=False, dtype? dtype=None) -> Tensor",
     norm_method},
    {"_vector_norm(Tensor x, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None, "
     "Tensor? out=None) -> Tensor",
     vector_norm_row},
    {"sum_to_size(Tensor self, int[]* size) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::sum_to_size(a.tensor(0), a.ints(1)); }); }},
    {"renorm(Tensor input, Scalar p, int dim, Scalar maxnorm, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(4, "renorm", [&] {
         return ops::renorm(a.tensor(0), a.scalar(1), a.integer(2), a.scalar(3).to_double());
       });
     },
     kBoth},
    {"dist(Tensor input, Tensor other, Scalar p=2) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::dist(a.tensor(0), a.tensor(1), a.scalar(2).to_double()); });
     },
     kBoth},
    {"cdist(Tensor x1, Tensor x2, Scalar p=2, str? compute_mode=None) -> Tensor",
     [](const Args& a) {
       std::optional<bool> by_product;
       if (const std::optional<std::string> mode = a.string_or(3)) {
         const bool never = *mode == "donot_use_mm_for_euclid_dist";
         CCDL_CHECK(
             never || *mode == "use_mm_for_euclid_dist" || *mode == "use_mm_for_euclid_dist_if_necessary",
             Value, "cdist: ", *mode, " is not a valid value for compute_mode, must be ",
             "'use_mm_for_euclid_dist_if_necessary', 'use_mm_for_euclid_dist' or ",
             "'donot_use_mm_for_euclid_dist'");
         if (never || *mode == "use_mm_for_euclid_dist") by_product = !never;
       }
       return a.run(
           [&] { return ops::cdist(a.tensor(0), a.tensor(1), a.scalar(2).to_double(), by_product); });
     }},
    {"_pdist(Tensor input, Scalar p=2) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::pdist(a.tensor(0), a.scalar(1).to_double()); }); }},
    {"cov(Tensor input, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::cov(a.tensor(0), a.integer(1), a.tensor_or(2), a.tensor_or(3)); });
     },
     kBoth},
    {"corrcoef(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::corrcoef(a.tensor(0)); }); }, kBoth},
    {"trapezoid(Tensor y, Tensor? x=None, *, Scalar dx=1, int dim=-1) -> Tensor", trapezoid_row},
    {"trapz(Tensor y, Tensor? x=None, *, Scalar dx=1, int dim=-1) -> Tensor", trapezoid_row},
    {"cumulative_trapezoid(Tensor y, Tensor? x=None, *, Scalar dx=1, int dim=-1) -> Tensor",
     cumulative_trapezoid_row},

    {"isclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> "
     "Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return ops::isclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4)); });
     },
     kBoth},
    {"allclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool",
     [](const Args& a) {
       return a.run(
           [&] { return ops::allclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4)); });
     },
     kBoth},
    {"equal(Tensor input, Tensor other) -> bool",
     [](const Args& a) { return a.run([&] { return ops::equal(a.tensor(0), a.tensor(1)); }); }, kBoth},

    {"cumsum(Tensor input, int dim, *, dtype? dtype=None, Tensor? out=None) -> Tensor",
     [](const Args& a) { return cumulative<ops::cumsum>(a, "cumsum"); }, kBoth},
    {"cumprod(Tensor input, int dim, *, dtype? dtype=None, Tensor? out=None) -> Tensor",
     [](const Args& a) { return cumulative<ops::cumprod>(a, "cumprod"); }, kBoth},
    {"cumsum_(Tensor self, int dim, *, dtype? dtype=None) -> Tensor",
     [](const Args& a) { return cumulative_inplace<ops::cumsum>(a, "cumsum_"); }},
    {"cumprod_(Tensor self, int dim, *, dtype? dtype=None) -> Tensor",
     [](const Args& a) { return cumulative_inplace<ops::cumprod>(a, "cumprod_"); }},
    {"logcumsumexp(Tensor input, int dim, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "logcumsumexp", [&] { return ops::logcumsumexp(a.tensor(0), a.integer(1)); });
     },
     kBoth},
    {"cummax(Tensor input, int dim, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "cummax", 2, [&] { return ops::cummax(a.tensor(0), a.integer(1)); });
     },
     kBoth},
    {"cummin(Tensor input, int dim, *, Tensor[]? out=None) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return values_indices(a, "cummin", 2, [&] { return ops::cummin(a.tensor(0), a.integer(1)); });
     },
     kBoth},
    {"diff(Tensor input, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None, *, Tensor? "
     "out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(5, "diff", [&] {
         return ops::diff(a.tensor(0), a.integer(1), a.integer(2), a.tensor_or(3), a.tensor_or(4));
       });
     },
     kBoth},
};

void bind_reduce(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
