// Cholesky and LU with what is solved by them. Backward formulas: Giles, An extended collection of matrix
// derivative results for forward and reverse mode algorithmic differentiation (2008); Murray,
// Differentiation of the Cholesky decomposition (2016).
#include <ccdl/ops/linalg.h>

#include <ccdl/kernels/linalg.h>
#include <ccdl/ops/linalg_parts.h>

namespace ccdl::ops {
namespace dense_algebra {

void check_matrix(const char* op, const Tensor& a, const char* name) {
  CCDL_CHECK(a.dim() >= 2, Shape, op, ": The input tensor ", name, " must have at least 2 dimensions, got ",
             describe(a));
  CCDL_CHECK(is_floating(a.dtype()), DType, op, ": Expected a floating point tensor as input, got ",
             describe(a), "; convert it with .float()");
  CCDL_CHECK(!is_half(a.dtype()), DType, op, ": Low precision dtypes not supported. Got ", describe(a),
             "; convert it with .float()");
}
void check_square(const char* op, const Tensor& a, const char* name) {
  check_matrix(op, a, name);
  CCDL_CHECK(a.size(-1) == a.size(-2), Shape, op, ": ", name,
             " must be batches of square matrices, but they are ", a.size(-2), " by ", a.size(-1),
             " matrices");
}
void check_same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  CCDL_CHECK(a.dtype() == b.dtype(), DType, op,
             ": Expected A and B to have the same dtype, but found A of type ", dtype_name(a.dtype()),
             " and B of type ", dtype_name(b.dtype()), " instead");
  check_same_device(op, {{"A", &a}, {"B", &b}});
}

Tensor working_copy(const Tensor& a) {
  const NoGradGuard no_grad;
  int64_t batch = 1;
  for (int64_t d = 0; d + 2 < a.dim(); ++d) batch *= a.size(d);
  const Tensor copy = to(a, work_dtype(a), a.device(), true, MemoryFormat::Contiguous);
  return reshape(copy, Dims{batch, a.size(-2), a.size(-1)});
}
// As working_copy, but of matrices that are only read: no copy where they have the type and lie in one piece.
static Tensor readable(const Tensor& a) {
  const bool turned = a.dim() == 2 && a.stride(0) == 1 && a.stride(1) >= a.size(0);
  if (a.dtype() != work_dtype(a) || (!a.is_contiguous() && !(turned && whole(a)))) return working_copy(a);
  const NoGradGuard no_grad;
  int64_t batch = 1;
  for (int64_t d = 0; d + 2 < a.dim(); ++d) batch *= a.size(d);
  return a.dim() == 3 ? detach(a) : reshape(detach(a), Dims{batch, a.size(-2), a.size(-1)});
}
Tensor finished(const Tensor& x, const Dims& sizes, DType dtype) {
  const NoGradGuard no_grad;
  return contiguous(reshape(to(x, dtype), sizes));
}
Tensor turned(const Tensor& x) {
  const NoGradGuard no_grad;
  return detach(mT(x));
}
DType work_dtype(const Tensor& a) { return CCDL_KERNEL(a, linalg_work_dtype(a.dtype())); }
bool whole([[maybe_unused]] const Tensor& a) { return CCDL_KERNEL(a, linalg_takes_any_size()); }
Tensor work_space(const Tensor& like, std::initializer_list<int64_t> sizes) {
  return empty(Dims(sizes), work_dtype(like), like.device());
}
Tensor codes(const Tensor& like, std::initializer_list<int64_t> sizes) {
  return empty(Dims(sizes), DType::Int32, like.device());
}

void check_info(const char* op, const Tensor& info, const std::function<std::string(int64_t)>& text) {
  const NoGradGuard no_grad;
  const Tensor flat = reshape(info, Dims{-1});
  if (flat.numel() == 0 || !item(any(flat)).to_bool()) return;
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const int64_t code = item(select(flat, 0, i)).to_int();
    if (code == 0) continue;
    fail(ErrorKind::LinAlg,
         info.dim() ? str(op, ": (Batch element ", i, "): ", text(code)) : str(op, ": ", text(code)));
  }
}

namespace {
constexpr int64_t kBlock = 96;  // below this the plain kernels win over products of blocks

Tensor block(const Tensor& a, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  return narrow(narrow(a, 1, row, rows), 2, column, columns);
}
}  // namespace

void solve_triangle(const Tensor& t, const Tensor& x, bool upper, bool unit) {
  const NoGradGuard no_grad;
  const int64_t n = x.size(1);
  if (whole(x) || n <= kBlock || x.size(2) < 8) {
    const Tensor a = whole(x) ? t : contiguous(t), y = contiguous(x);
    CCDL_KERNEL(x, linalg_triangular_solve(a.view(), y.view(), upper, unit));
    if (!y.same(x)) copy_(x, y);
    return;
  }
  const int64_t half = (n / 2 + 7) / 8 * 8, rest = n - half;
  const Tensor top = narrow(x, 1, 0, half), bottom = narrow(x, 1, half, rest);
  const Tensor t11 = block(t, 0, half, 0, half), t22 = block(t, half, rest, half, rest);
  if (upper) {
    solve_triangle(t22, bottom, true, unit);
    sub_(top, matmul(block(t, 0, half, half, rest), bottom));
    solve_triangle(t11, top, true, unit);
  } else {
    solve_triangle(t11, top, false, unit);
    sub_(bottom, matmul(block(t, half, rest, 0, half), top));
    solve_triangle(t22, bottom, false, unit);
  }
}

// A = U^T U in the upper triangle: U12 = U11^-T A12, U22 from A22 - U12^T U12
void factor_cholesky(const Tensor& at, const Tensor& info) {
  const NoGradGuard no_grad;
  const int64_t n = at.size(1);
  if (whole(at) || n <= 2 * kBlock) {
    const Tensor c = contiguous(at);
    CCDL_KERNEL(at, linalg_cholesky(c.view(), info.view()));
    if (!c.same(at)) copy_(at, c);
    return;
  }
  const int64_t half = (n / 2 + 7) / 8 * 8, rest = n - half;
  const Tensor u11 = block(at, 0, half, 0, half), u12 = block(at, 0, half, half, rest);
  factor_cholesky(u11, info);
  solve_triangle(mT(u11), u12, false, false);
  const Tensor a22 = block(at, half, rest, half, rest);
  sub_(a22, matmul(mT(u12), u12));
  const Tensor second = empty_like(info);
  factor_cholesky(a22, second);
  copy_(info, where(ne(info, 0), info, where(ne(second, 0), add(second, Scalar(half)), second)));
  fill_(block(at, half, rest, 0, half), Scalar(0.0));
}

// The left half of the columns first, then the right half with its rows swapped and reduced.
void factor_lu(const Tensor& a, const Tensor& pivots, const Tensor& info) {
  const NoGradGuard no_grad;
  const int64_t m = a.size(1), n = a.size(2), steps = std::min(m, n);
  if (whole(a) || steps <= kBlock) {
    const Tensor c = contiguous(a), p = contiguous(pivots);
    CCDL_KERNEL(a, linalg_lu(c.view(), p.view(), info.view()));
    if (!c.same(a)) copy_(a, c);
    if (!p.same(pivots)) copy_(pivots, p);
    return;
  }
  const int64_t half = (steps / 2 + 7) / 8 * 8;
  const Tensor left = narrow(a, 2, 0, half), right = contiguous(narrow(a, 2, half, n - half));
  const Tensor first = narrow(pivots, 1, 0, half);
  factor_lu(left, first, info);
  const auto swap = [&](const Tensor& x, const Tensor& p) {
    const Tensor order = contiguous(p);
    CCDL_KERNEL(x, linalg_swap_rows(x.view(), order.view(), false));
  };
  swap(right, first);
  const Tensor top = narrow(right, 1, 0, half), bottom = narrow(right, 1, half, m - half);
  solve_triangle(narrow(left, 1, 0, half), top, false, true);
  sub_(bottom, matmul(narrow(left, 1, half, m - half), top));
  const Tensor later = narrow(pivots, 1, half, steps - half), second = empty_like(info);
  factor_lu(bottom, later, second);
  const Tensor lower = contiguous(narrow(left, 1, half, m - half));
  swap(lower, later);
  copy_(narrow(left, 1, half, m - half), lower);
  copy_(narrow(a, 2, half, n - half), right);
  add_(later, Scalar(half));
  copy_(info, where(ne(info, 0), info, where(ne(second, 0), add(second, Scalar(half)), second)));
}

}  // namespace dense_algebra

using namespace dense_algebra;

namespace {

// dA = sym(L^-T phi(L^T dL) L^-1), phi: lower triangle with half the diagonal
struct CholeskyBackward : Node {
  const char* name() const override { return "LinalgCholeskyExBackward"; }
  SavedTensor factor;
  bool upper = false;
  TensorList apply(const TensorList& g) override {
    if (!g[0].defined()) return {Tensor()};
    Tensor l = factor.get(this), dl = g[0];
    if (upper) l = mT(l), dl = mT(dl);
    const Tensor p = matmul(mT(l), dl);
    const Tensor phi = sub(tril(p), mul(diag_embed(diagonal(p, 0, -2, -1)), 0.5));
    const Tensor left = linalg_solve_triangular("linalg.cholesky", mT(l), phi, true, true, false);
    const Tensor s = linalg_solve_triangular("linalg.cholesky", l, left, false, false, false);
    return {mul(add(s, mT(s)), 0.5)};
  }
  void release_saved() override { factor.reset(); }
};

// X = A^-1 B: dB = A^-T dX, dA = -dB X^T
struct SolveBackward : Node {
  const char* name() const override { return "LinalgSolveExBackward"; }
  SavedTensor a, x;
  TensorList apply(const TensorList& g) override {
    if (!g[0].defined()) return {Tensor(), Tensor()};
    const Tensor db = linalg_solve_ex("linalg.solve", mT(a.get(this)), g[0], true)[0];
    return {needs(0) ? neg(matmul(db, mT(x.get(this)))) : Tensor(), db};
  }
  void release_saved() override {
    a.reset();
    x.reset();
  }
};

// Y = A^-1: dA = -Y^T dY Y^T
struct InverseBackward : Node {
  const char* name() const override { return "LinalgInvExBackward"; }
  SavedTensor y;
  TensorList apply(const TensorList& g) override {
    if (!g[0].defined()) return {Tensor()};
    const Tensor t = mT(y.get(this));
    return {neg(matmul(t, matmul(g[0], t)))};
  }
  void release_saved() override { y.reset(); }
};

// X = T^-1 B: dB = T^-T dX, dT = -(dB X^T) on T's triangle (without the diagonal when that is 1)
struct SolveTriangularBackward : Node {
  const char* name() const override { return "LinalgSolveTriangularBackward"; }
  SavedTensor t, x;
  bool upper = false, unit = false;
  TensorList apply(const TensorList& g) override {
    const Tensor db =
        linalg_solve_triangular("linalg.solve_triangular", mT(t.get(this)), g[0], !upper, true, unit);
    if (!needs(0)) return {Tensor(), db};
    const Tensor full = neg(matmul(db, mT(x.get(this))));
    return {upper ? triu(full, unit ? 1 : 0) : tril(full, unit ? -1 : 0), db};
  }
  void release_saved() override {
    t.reset();
    x.reset();
  }
};

// A = L U (square, no pivoting left): dA = L^-T [tril(L^T dL, -1) + triu(dU U^T)] U^-T
struct LuBackward : Node {
  const char* name() const override { return "LinalgLuBackward"; }
  SavedTensor l, u;
  bool materialize_grads() const override { return true; }
  TensorList apply(const TensorList& g) override {
    const Tensor lower = l.get(this), up = u.get(this);
    const Tensor inner = add(tril(matmul(mT(lower), g[0]), -1), triu(matmul(g[1], mT(up))));
    const Tensor left = linalg_solve_triangular("linalg.lu", mT(lower), inner, true, true, true);
    return {linalg_solve_triangular("linalg.lu", mT(up), left, false, false, false)};
  }
  void release_saved() override {
    l.reset();
    u.reset();
  }
};

struct Lu {
  Tensor packed, pivots, info;  // working copies: double, pivots from 0
};
Lu lu_of(const Tensor& a) {
  Lu r;
  r.packed = working_copy(a);
  const int64_t batch = r.packed.size(0), steps = std::min(a.size(-1), a.size(-2));
  r.pivots = codes(a, {batch, steps});
  r.info = codes(a, {batch});
  factor_lu(r.packed, r.pivots, r.info);
  return r;
}

// x := A^-1 x for working copies
void solve_in_place(const Lu& lu, const Tensor& x) {
  CCDL_KERNEL(x, linalg_swap_rows(x.view(), lu.pivots.view(), false));
  solve_triangle(lu.packed, x, false, true);
  solve_triangle(lu.packed, x, true, false);
}

Dims batch_dims(const char* op, const Tensor& a, const Tensor& b) {
  return broadcast_shapes(op, batch_of(a), batch_of(b));
}

void check_equation(const char* op, const Tensor& a, const Tensor& b, bool left) {
  CCDL_CHECK(a.size(-1) == b.size(left ? -2 : -1), Shape, op,
             ": Incompatible shapes of A and B for the equation ", left ? "AX = B" : "XA = B", " (",
             a.size(-2), "x", a.size(-1), " and ", b.size(-2), "x", b.size(-1), ")");
}

std::string singular_text(int64_t) { return "The solver failed because the input matrix is singular."; }

}  // namespace

TensorList linalg_cholesky_ex(const Tensor& a, bool upper) {
  check_square("linalg.cholesky", a);
  const Tensor work = working_copy(upper ? a : mT(a)), info = codes(a, {work.size(0)});
  factor_cholesky(work, info);
  Tensor factor = finished(work, a.sizes(), a.dtype());
  if (!upper) factor = turned(factor);
  if (needs_graph(a)) {
    auto node = make_ref<CholeskyBackward>();
    node->factor = SavedTensor(factor, node.get());
    node->upper = upper;
    record(node, {a}, factor);
  }
  return {factor, reshape(info, batch_of(a))};
}

Tensor linalg_cholesky(const char* op, const Tensor& a, bool upper) {
  const TensorList r = linalg_cholesky_ex(a, upper);
  check_info(op, r[1], [](int64_t k) {
    return str(
        "The factorization could not be completed because the input is not positive-definite (the "
        "leading minor of order ",
        k, " is not positive-definite).");
  });
  return r[0];
}

TensorList linalg_solve_ex(const char* op, const Tensor& a, const Tensor& b, bool left) {
  check_square(op, a);
  CCDL_CHECK(b.dim() >= 1, Shape, op, ": B must have at least 1 dimension, got ", describe(b));
  check_same_dtype(op, a, b);
  const bool vector =
      b.dim() == 1 || (a.dim() - 1 == b.dim() && b.sizes() == Dims(a.sizes().begin(), a.sizes().end() - 1));
  CCDL_CHECK(left || !vector, Shape, op, ": with left=False, B must be a batch of matrices, got ",
             describe(b));
  if (vector) {
    const TensorList r = linalg_solve_ex(op, a, unsqueeze(b, -1), true);
    return {squeeze(r[0], Dims{-1}), r[1]};
  }
  check_equation(op, a, b, left);
  if (!left) {
    const TensorList r = linalg_solve_ex(op, mT(a), mT(b), true);
    return {mT(r[0]), r[1]};
  }
  const Dims batch = batch_dims(op, a, b);
  const Tensor ea = expand(a, with(batch, {a.size(-2), a.size(-1)}));
  const Tensor eb = expand(b, with(batch, {b.size(-2), b.size(-1)}));
  const Lu lu = lu_of(ea);
  const Tensor work = working_copy(eb);
  solve_in_place(lu, work);
  const Tensor x = finished(work, eb.sizes(), b.dtype());
  if (needs_graph(ea, eb)) {
    auto node = make_ref<SolveBackward>();
    node->a = SavedTensor(ea);
    node->x = SavedTensor(x, node.get());
    record(node, {ea, eb}, x);
  }
  return {x, reshape(lu.info, batch)};
}

Tensor linalg_solve(const char* op, const Tensor& a, const Tensor& b, bool left) {
  const TensorList r = linalg_solve_ex(op, a, b, left);
  check_info(op, r[1], singular_text);
  return r[0];
}

TensorList linalg_inv_ex(const char* op, const Tensor& a) {
  check_square(op, a);
  const Lu lu = lu_of(a);
  const int64_t n = a.size(-1);
  const Tensor identity = eye(n, n, lu.packed.dtype(), a.device());
  const Tensor work = working_copy(expand(identity, Dims{lu.packed.size(0), n, n}));
  solve_in_place(lu, work);
  const Tensor y = finished(work, a.sizes(), a.dtype());
  if (needs_graph(a)) {
    auto node = make_ref<InverseBackward>();
    node->y = SavedTensor(y, node.get());
    record(node, {a}, y);
  }
  return {y, reshape(lu.info, batch_of(a))};
}

Tensor linalg_inv(const char* op, const Tensor& a) {
  const TensorList r = linalg_inv_ex(op, a);
  check_info(op, r[1], [](int64_t k) {
    return str("The diagonal element ", k,
               " is zero, the inversion could not be completed because the input matrix is singular.");
  });
  return r[0];
}

Tensor linalg_solve_triangular(const char* op, const Tensor& a, const Tensor& b, bool upper, bool left,
                               bool unit) {
  check_square(op, a);
  check_matrix(op, b, "B");
  check_same_dtype(op, a, b);
  check_equation(op, a, b, left);
  if (!left) return mT(linalg_solve_triangular(op, mT(a), mT(b), !upper, true, unit));
  const Dims batch = batch_dims(op, a, b);
  const Tensor ea = expand(a, with(batch, {a.size(-2), a.size(-1)}));
  const Tensor eb = expand(b, with(batch, {b.size(-2), b.size(-1)}));
  const Tensor work = working_copy(eb);
  solve_triangle(readable(ea), work, upper, unit);
  const Tensor x = finished(work, eb.sizes(), b.dtype());
  if (needs_graph(ea, eb)) {
    auto node = make_ref<SolveTriangularBackward>();
    node->t = SavedTensor(ea);
    node->x = SavedTensor(x, node.get());
    node->upper = upper;
    node->unit = unit;
    record(node, {ea, eb}, x);
  }
  return x;
}

TensorList linalg_lu_factor(const char* op, const Tensor& a) {
  check_matrix(op, a);
  const Lu lu = lu_of(a);
  const Dims batch = batch_of(a);
  const NoGradGuard no_grad;
  return {finished(lu.packed, a.sizes(), a.dtype()),
          reshape(add(lu.pivots, Scalar(1)), with(batch, {std::min(a.size(-1), a.size(-2))})),
          reshape(lu.info, batch)};
}

namespace {
// y = P x: dx = P^T dy
struct SwapRowsBackward : Node {
  const char* name() const override { return "LinalgSwapRowsBackward"; }
  Tensor pivots;
  bool inverse = false;
  TensorList apply(const TensorList& g) override { return {ops::linalg_swap_rows(g[0], pivots, !inverse)}; }
};
}  // namespace

Tensor linalg_swap_rows(const Tensor& x, const Tensor& pivots, bool inverse) {
  const char* op = "linalg.lu_solve";
  check_matrix(op, x, "B");
  const int64_t steps = pivots.dim() ? pivots.size(-1) : 0;
  CCDL_CHECK(pivots.dtype() == DType::Int32 && pivots.dim() == x.dim() - 1 && steps <= x.size(-2) &&
                 batch_of(x) == Dims(pivots.sizes().begin(), pivots.sizes().end() - 1),
             Shape, op, ": pivots must be int32 [..., n] with the batch of B, got ", describe(pivots),
             " for B ", describe(x));
  Tensor y;
  {
    const NoGradGuard no_grad;
    const Tensor work = working_copy(x);
    const Tensor order = contiguous(reshape(sub(pivots, Scalar(1)), Dims{work.size(0), steps}));
    CCDL_CHECK(
        order.numel() == 0 || (item(min(order)).to_int() >= 0 && item(max(order)).to_int() < work.size(1)),
        Index, op, ": pivots must be between 1 and n=", work.size(1));
    CCDL_KERNEL(x, linalg_swap_rows(work.view(), order.view(), inverse));
    y = finished(work, x.sizes(), x.dtype());
  }
  if (needs_graph(x)) {
    auto node = make_ref<SwapRowsBackward>();
    node->pivots = pivots;
    node->inverse = inverse;
    record(node, {x}, y);
  }
  return y;
}

// The square part without pivoting is the node; the rest of a tall or wide matrix is solved from it.
TensorList linalg_lu(const char* op, const Tensor& a) {
  check_matrix(op, a);
  const int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  const Dims batch = batch_of(a);
  const Lu lu = lu_of(a);
  Tensor p, l, u;
  {
    const NoGradGuard no_grad;
    const Tensor rows =
        working_copy(expand(eye(m, m, lu.packed.dtype(), a.device()), Dims{lu.packed.size(0), m, m}));
    CCDL_KERNEL(rows, linalg_swap_rows(rows.view(), lu.pivots.view(), true));
    p = finished(rows, with(batch, {m, m}), a.dtype());
    const Tensor packed = finished(lu.packed, a.sizes(), a.dtype());
    l = add(tril(narrow(packed, -1, 0, k), -1), eye(m, k, a.dtype(), a.device()));
    u = triu(narrow(packed, -2, 0, k));
  }
  if (!needs_graph(a)) return {p, l, u};
  const Tensor pa = matmul(mT(p), a);
  const Tensor square = narrow(narrow(pa, -2, 0, k), -1, 0, k);
  const Tensor l1 = clone(detach(narrow(l, -2, 0, k))), u1 = clone(detach(narrow(u, -1, 0, k)));
  auto node = make_ref<LuBackward>();
  node->l = SavedTensor(l1, node.get(), 0);
  node->u = SavedTensor(u1, node.get(), 1);
  record(node.get(), {square}, TensorList{l1, u1});
  if (m == n) return {p, l1, u1};
  if (m > n)
    return {p, cat({l1, linalg_solve_triangular(op, u1, narrow(pa, -2, k, m - k), true, false, false)}, -2),
            u1};
  return {p, l1, cat({u1, linalg_solve_triangular(op, l1, narrow(pa, -1, k, n - k), false, true, true)}, -1)};
}

namespace {

// det(A): dA = g det(A) A^-T; for singular A the cofactors, from A = U S V^T with S without one value at a
// time
struct DetBackward : Node {
  const char* name() const override { return "LinalgDetBackward"; }
  SavedTensor a, det;
  TensorList apply(const TensorList& g) override {
    const Tensor x = a.get(this), value = det.get(this);
    const auto wide = [](const Tensor& v) { return unsqueeze(unsqueeze(v, -1), -1); };
    bool regular = true;
    {
      const NoGradGuard no_grad;
      regular = value.numel() == 0 || !item(any(eq(value, 0))).to_bool();
    }
    if (regular) return {mul(wide(mul(g[0], value)), mT(linalg_inv_ex("linalg.det", x)[0]))};
    const TensorList usv = linalg_svd("linalg.det", x, false);
    const int64_t n = x.size(-1);
    const Tensor others = where(eq(eye(n, n, x.dtype(), x.device()), 1), Operand(1.0),
                                expand(unsqueeze(usv[1], -2), with(batch_of(x), {n, n})));
    const Tensor adjugate = prod(others, int64_t{-1});
    const Tensor sign =
        mul(linalg_det("linalg.det", detach(usv[0])), linalg_det("linalg.det", detach(usv[2])));
    return {mul(wide(mul(g[0], sign)), matmul(mul(usv[0], unsqueeze(adjugate, -2)), usv[2]))};
  }
  void release_saved() override {
    a.reset();
    det.reset();
  }
};

// log |det(A)|: dA = g A^-T
struct SlogdetBackward : Node {
  const char* name() const override { return "LinalgSlogdetBackward"; }
  SavedTensor a;
  TensorList apply(const TensorList& g) override {
    const Tensor wide = unsqueeze(unsqueeze(g[0], -1), -1);
    return {mul(wide, mT(linalg_inv_ex("linalg.slogdet", a.get(this))[0]))};
  }
  void release_saved() override { a.reset(); }
};

// The diagonal of U and the sign of the permutation, in double.
std::pair<Tensor, Tensor> diagonal_and_parity(const Tensor& a) {
  const NoGradGuard no_grad;
  const Lu lu = lu_of(a);
  const int64_t n = a.size(-1);
  const Tensor moved = ne(lu.pivots, arange(0, Scalar(n), 1, DType::Int32, a.device()));
  const Tensor parity = sub(1.0, mul(remainder(to(sum(moved, Dims{1}), lu.packed.dtype()), 2), 2.0));
  return {diagonal(lu.packed, 0, 1, 2), parity};
}

}  // namespace

Tensor linalg_det(const char* op, const Tensor& a) {
  check_square(op, a);
  const auto [d, parity] = diagonal_and_parity(a);
  Tensor value;
  {
    const NoGradGuard no_grad;
    value = finished(mul(prod(d, int64_t{1}), parity), batch_of(a), a.dtype());
  }
  if (needs_graph(a)) {
    auto node = make_ref<DetBackward>();
    node->a = SavedTensor(a);
    node->det = SavedTensor(value, node.get());
    record(node, {a}, value);
  }
  return value;
}

TensorList linalg_slogdet(const char* op, const Tensor& a) {
  check_square(op, a);
  const auto [d, parity] = diagonal_and_parity(a);
  Tensor signs, logs;
  {
    const NoGradGuard no_grad;
    signs = finished(mul(prod(sign(d), int64_t{1}), parity), batch_of(a), a.dtype());
    logs = finished(sum(log(abs(d)), Dims{1}), batch_of(a), a.dtype());
  }
  if (needs_graph(a)) {
    auto node = make_ref<SlogdetBackward>();
    node->a = SavedTensor(a);
    record(node, {a}, logs);
  }
  return {signs, logs};
}

Tensor linalg_cross(const char* op, const Tensor& a, const Tensor& b, int64_t dim) {
  CCDL_CHECK(a.dim() == b.dim(), Shape, op, ": inputs must have the same number of dimensions, got ",
             describe(a), " and ", describe(b));
  check_same_device(op, {{"input", &a}, {"other", &b}});
  dim = wrap_dim(op, dim, a.dim());
  CCDL_CHECK(a.size(dim) == 3 && b.size(dim) == 3, Shape, op, ": inputs dimension ", dim,
             " must have length 3. Got ", a.size(dim), " and ", b.size(dim));
  const auto next = [&](const Tensor& x) { return roll(x, Dims{-1}, Dims{dim}); };
  // component i + 2 is a_i b_(i + 1) - a_(i + 1) b_i: one roll of the result in place of two of operands
  return next(sub(mul(a, next(b)), mul(next(a), b)));
}

}  // namespace ccdl::ops
