// Rows of dense linear algebra. Names with an underscore are called by python/ccdl/linalg.py.
#include "binding.h"

#include <cmath>

#include <ccdl/ops/create.h>

#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/linalg.h>

namespace ccdl::python {
namespace {

// A tuple with field names, from tensors computed without the GIL.
template <class F>
PyObject* fields(const Args& a, const char* name, std::initializer_list<const char*> names, const F& f) {
  PyObject* all = a.run(f);
  if (!all) return nullptr;
  TensorList values;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(all); ++i) values.push_back(unwrap(PyTuple_GET_ITEM(all, i)));
  Py_DECREF(all);
  return wrap_named(name, names, values);
}

int64_t cross_dim(const Args& a) {
  if (!a.is_none(2)) return a.integer(2);
  const Tensor& x = a.tensor(0);
  for (int64_t d = 0; d < x.dim(); ++d)
    if (x.size(d) == 3) return d;
  fail(ErrorKind::Shape, str("cross: no dimension of size 3 in input ", describe(x), "; give dim"));
}

TensorList svd_old(const Args& a) {  // U, S, V (not its transpose)
  const TensorList r = ops::linalg_svd("svd", a.tensor(0), !a.boolean(1));
  if (a.boolean(2)) return {r[0], r[1], ops::transpose(r[2], -2, -1)};
  return {ops::mul(ops::detach(r[0]), 0), r[1], ops::mul(ops::detach(ops::transpose(r[2], -2, -1)), 0)};
}

// A X = B from the Cholesky factor of A
Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper) {
  const Tensor other = ops::transpose(factor, -2, -1);
  const Tensor& lower = upper ? other : factor;
  const Tensor& high = upper ? factor : other;
  const Tensor half = ops::linalg_solve_triangular("cholesky_solve", lower, b, false, true, false);
  return ops::linalg_solve_triangular("cholesky_solve", high, half, true, true, false);
}

TensorList triangular_solve(const Args& a) {  // X, and A as it was given
  const Tensor& m = a.tensor(1);
  const Tensor used = a.boolean(3) ? ops::transpose(m, -2, -1) : m;
  return {ops::linalg_solve_triangular("triangular_solve", used, a.tensor(0), a.boolean(2) != a.boolean(3),
                                       true, a.boolean(4)),
          ops::clone(m)};
}

Tensor lu_solve(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left, bool adjoint) {
  if (!left)  // X A = B is A^T X^T = B^T
    return ops::transpose(lu_solve(lu, pivots, ops::transpose(b, -2, -1), true, !adjoint), -2, -1);
  const char* op = "linalg.lu_solve";
  CCDL_CHECK(lu.dim() >= 2 && b.dim() >= 2, Shape, op, ": LU and B must have at least 2 dimensions, got ",
             describe(lu), " and ", describe(b));
  Dims batch =
      broadcast_shapes(op, IntSpan(lu.sizes()).first(lu.dim() - 2), IntSpan(b.sizes()).first(b.dim() - 2));
  Dims order = batch;
  if (pivots.dim()) order.push_back(pivots.size(-1));
  if (batch != IntSpan(b.sizes()).first(b.dim() - 2) || order != pivots.sizes()) {
    batch.push_back(b.size(-2));
    batch.push_back(b.size(-1));
    return lu_solve(lu, ops::contiguous(ops::expand(pivots, order)), ops::expand(b, batch), true, adjoint);
  }
  if (!adjoint) {
    const Tensor y =
        ops::linalg_solve_triangular(op, lu, ops::linalg_swap_rows(b, pivots, false), false, true, true);
    return ops::linalg_solve_triangular(op, lu, y, true, true, false);
  }
  const Tensor t = ops::transpose(lu, -2, -1);
  const Tensor y = ops::linalg_solve_triangular(op, t, b, false, true, false);
  return ops::linalg_swap_rows(ops::linalg_solve_triangular(op, t, y, true, true, true), pivots, true);
}

}  // namespace

static const Row kRows[] = {
    {"cholesky(Tensor input, bool upper=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "cholesky",
                        [&] { return ops::linalg_cholesky("linalg.cholesky", a.tensor(0), a.boolean(1)); });
     },
     kBoth},
    {"inverse(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(1, "inverse", [&] { return ops::linalg_inv("linalg.inv", a.tensor(0)); });
     },
     kBoth},
    {"det(Tensor input) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::linalg_det("linalg.det", a.tensor(0)); }); }, kBoth},
    {"logdet(Tensor input) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         const TensorList r = ops::linalg_slogdet("logdet", a.tensor(0));
         return ops::where(ops::lt(r[0], 0), ops::Operand(NAN), r[1]);
       });
     },
     kBoth},
    {"slogdet(Tensor input) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "slogdet", {"sign", "logabsdet"},
                     [&] { return ops::linalg_slogdet("linalg.slogdet", a.tensor(0)); });
     },
     kBoth},
    {"qr(Tensor input, bool some=True) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "qr", {"Q", "R"}, [&] {
         return ops::linalg_qr("linalg.qr", a.tensor(0), a.boolean(1) ? "reduced" : "complete");
       });
     },
     kBoth},
    {"svd(Tensor input, bool some=True, bool compute_uv=True) -> tuple[Tensor, Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "svd", {"U", "S", "V"}, [&] { return svd_old(a); });
     },
     kBoth},
    {"pinverse(Tensor input, float rcond=1e-15) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::linalg_pinv("pinverse", a.tensor(0), {}, scalar_tensor(a.real(1), DType::Float64),
                                 false);
       });
     },
     kBoth},
    {"matrix_exp(Tensor input) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::linalg_matrix_exp("linalg.matrix_exp", a.tensor(0)); });
     },
     kBoth},
    {"triangular_solve(Tensor input, Tensor A, bool upper=True, bool transpose=False, bool "
     "unitriangular=False) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "triangular_solve", {"solution", "cloned_coefficient"},
                     [&] { return triangular_solve(a); });
     },
     kBoth},
    {"cholesky_solve(Tensor input, Tensor input2, bool upper=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(3, "cholesky_solve",
                        [&] { return cholesky_solve(a.tensor(0), a.tensor(1), a.boolean(2)); });
     },
     kBoth},
    {"cholesky_inverse(Tensor input, bool upper=False, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "cholesky_inverse", [&] {
         const Tensor& l = a.tensor(0);
         CCDL_CHECK(l.dim() >= 2, Shape, "cholesky_inverse: input must have at least 2 dimensions, got ",
                    describe(l));
         const Tensor identity =
             ops::expand(ops::eye(l.size(-1), l.size(-1), l.dtype(), l.device()), l.sizes());
         return cholesky_solve(identity, l, a.boolean(1));
       });
     },
     kBoth},
    {"lu_solve(Tensor input, Tensor LU_data, Tensor LU_pivots, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(3, "lu_solve",
                        [&] { return lu_solve(a.tensor(1), a.tensor(2), a.tensor(0), true, false); });
     },
     kBoth},
    {"cross(Tensor input, Tensor other, int? dim=None, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       const int64_t dim = cross_dim(a);
       return a.run_out(3, "cross",
                        [&] { return ops::linalg_cross("cross", a.tensor(0), a.tensor(1), dim); });
     },
     kBoth},
    {"_linalg_cross(Tensor a, Tensor b, int dim) -> Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return ops::linalg_cross("linalg.cross", a.tensor(0), a.tensor(1), a.integer(2)); });
     }},
    {"_linalg_cholesky_ex(Tensor a, bool upper) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_cholesky_ex", {"L", "info"},
                     [&] { return ops::linalg_cholesky_ex(a.tensor(0), a.boolean(1)); });
     }},
    {"_linalg_inv_ex(Tensor a) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_inv_ex", {"inverse", "info"},
                     [&] { return ops::linalg_inv_ex("linalg.inv", a.tensor(0)); });
     }},
    {"_linalg_solve_ex(Tensor a, Tensor b, bool left) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_solve_ex", {"result", "info"}, [&] {
         return ops::linalg_solve_ex("linalg.solve", a.tensor(0), a.tensor(1), a.boolean(2));
       });
     }},
    {"_linalg_solve(Tensor a, Tensor b, bool left) -> Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return ops::linalg_solve("linalg.solve", a.tensor(0), a.tensor(1), a.boolean(2)); });
     }},
    {"_linalg_solve_triangular(Tensor a, Tensor b, bool upper, bool left, bool unitriangular) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::linalg_solve_triangular("linalg.solve_triangular", a.tensor(0), a.tensor(1),
                                             a.boolean(2), a.boolean(3), a.boolean(4));
       });
     }},
    {"_linalg_slogdet(Tensor a) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_slogdet", {"sign", "logabsdet"},
                     [&] { return ops::linalg_slogdet("linalg.slogdet", a.tensor(0)); });
     }},
    {"_linalg_lu(Tensor a) -> tuple[Tensor, Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_lu", {"P", "L", "U"},
                     [&] { return ops::linalg_lu("linalg.lu", a.tensor(0)); });
     }},
    {"_linalg_lu_factor(Tensor a) -> tuple[Tensor, Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_lu_factor_ex", {"LU", "pivots", "info"},
                     [&] { return ops::linalg_lu_factor("linalg.lu_factor", a.tensor(0)); });
     }},
    {"_linalg_lu_solve(Tensor lu, Tensor pivots, Tensor b, bool left, bool adjoint) -> Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return lu_solve(a.tensor(0), a.tensor(1), a.tensor(2), a.boolean(3), a.boolean(4)); });
     }},
    {"_linalg_qr(Tensor a, str mode) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       const std::string mode = a.string(1);
       return fields(a, "linalg_qr", {"Q", "R"},
                     [&] { return ops::linalg_qr("linalg.qr", a.tensor(0), mode); });
     }},
    {"_linalg_householder_product(Tensor a, Tensor tau) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::linalg_householder_product(a.tensor(0), a.tensor(1)); });
     }},
    {"_linalg_geqrf(Tensor a) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "geqrf", {"a", "tau"}, [&] { return ops::linalg_geqrf(a.tensor(0)); });
     }},
    {"_linalg_eigh(Tensor a, str uplo) -> tuple[Tensor, Tensor]",
     [](const Args& a) {
       const std::string uplo = a.string(1);
       return fields(a, "linalg_eigh", {"eigenvalues", "eigenvectors"},
                     [&] { return ops::linalg_eigh("linalg.eigh", a.tensor(0), uplo); });
     }},
    {"_linalg_eigvalsh(Tensor a, str uplo) -> Tensor",
     [](const Args& a) {
       const std::string uplo = a.string(1);
       return a.run([&] { return ops::linalg_eigvalsh("linalg.eigvalsh", a.tensor(0), uplo); });
     }},
    {"_linalg_svdvals(Tensor a) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::linalg_svdvals("linalg.svdvals", a.tensor(0)); }); }},
    {"_linalg_svd(Tensor a, bool full_matrices) -> tuple[Tensor, Tensor, Tensor]",
     [](const Args& a) {
       return fields(a, "linalg_svd", {"U", "S", "Vh"},
                     [&] { return ops::linalg_svd("linalg.svd", a.tensor(0), a.boolean(1)); });
     }},
    {"_linalg_pinv(Tensor a, Tensor? atol, Tensor? rtol, bool hermitian) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::linalg_pinv("linalg.pinv", a.tensor(0), a.tensor_or(1), a.tensor_or(2), a.boolean(3));
       });
     }},
};

void bind_linalg(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
