// QR, symmetric eigenvalues, singular values and the pseudo-inverse. Backward formulas: Walter and Lehmann,
// Algorithmic differentiation of linear algebra functions (2010); Townsend, Differentiating the singular
// value decomposition (2016); Golub and Pereyra, The differentiation of pseudo-inverses (1973).
#include <ccdl/kernels/linalg.h>
#include <ccdl/ops/linalg_parts.h>

#include <cmath>

namespace ccdl::ops {

using namespace dense_algebra;

namespace {

// A = Q R, R square: M = R dR^T - dQ^T Q, dA = (dQ + Q (tril(M) + tril(M, -1)^T)) R^-T
struct QrBackward : Node {
  const char* name() const override { return "LinalgQrBackward"; }
  SavedTensor q, r;
  bool materialize_grads() const override { return true; }
  TensorList apply(const TensorList& g) override {
    const Tensor sq = q.get(this), sr = r.get(this);
    const Tensor m = sub(matmul(sr, mT(g[1])), matmul(mT(g[0]), sq));
    const Tensor symmetric = add(tril(m), mT(tril(m, -1)));
    return {
        linalg_solve_triangular("linalg.qr", mT(sr), add(g[0], matmul(sq, symmetric)), false, false, false)};
  }
  void release_saved() override {
    q.reset();
    r.reset();
  }
};

Tensor differences(const Tensor& values) {  // E_ij = v_j - v_i, 1 on the diagonal
  const Tensor e = sub(unsqueeze(values, -2), unsqueeze(values, -1));
  const int64_t n = values.size(-1);
  return add(e, eye(n, n, values.dtype(), values.device()));
}

// dA = V (diag(dw) + (V^T dV off the diagonal) / E) V^T with E_ij = w_j - w_i
struct EighBackward : Node {
  const char* name() const override { return "LinalgEighBackward"; }
  SavedTensor w, v;
  TensorList apply(const TensorList& g) override {
    const Tensor vectors = v.get(this);
    Tensor inner;
    if (g[1].defined()) {
      const Tensor p = matmul(mT(vectors), g[1]);
      inner = div(sub(p, diag_embed(diagonal(p, 0, -2, -1))), differences(w.get(this)));
    }
    if (g[0].defined()) inner = inner.defined() ? add(inner, diag_embed(g[0])) : diag_embed(g[0]);
    if (!inner.defined()) return {Tensor()};
    return {matmul(vectors, matmul(inner, mT(vectors)))};
  }
  void release_saved() override {
    w.reset();
    v.reset();
  }
};

Tensor skew(const Tensor& x) { return sub(x, mT(x)); }

// A = U S V^T: dA = U [(skew(U^T dU) / E) S + S (skew(V^T dV) / E) + diag(dS)] V^T
//                   + (I - U U^T) dU S^-1 V^T + U S^-1 dV^T (I - V V^T), E_ij = s_j^2 - s_i^2
struct SvdBackward : Node {
  const char* name() const override { return "LinalgSvdBackward"; }
  SavedTensor u, s, vh;
  TensorList apply(const TensorList& g) override {
    const Tensor left = u.get(this), values = s.get(this), right = vh.get(this);
    if (!g[0].defined() && !g[1].defined() && !g[2].defined()) return {Tensor()};
    const Tensor row = unsqueeze(values, -2), column = unsqueeze(values, -1);
    Tensor inner = g[1].defined() ? diag_embed(g[1]) : Tensor();
    const auto plus = [&](const Tensor& t) { inner = inner.defined() ? add(inner, t) : t; };
    Tensor e;
    if (g[0].defined() || g[2].defined()) e = differences(square(values));
    if (g[0].defined()) plus(mul(div(skew(matmul(mT(left), g[0])), e), row));
    if (g[2].defined()) plus(mul(column, div(skew(matmul(right, mT(g[2]))), e)));
    Tensor da = matmul(left, matmul(inner, right));
    const int64_t k = values.size(-1);
    if (g[0].defined() && left.size(-2) > k) {
      const Tensor part = div(g[0], row);
      da = add(da, matmul(sub(part, matmul(left, matmul(mT(left), part))), right));
    }
    if (g[2].defined() && right.size(-1) > k) {
      const Tensor part = div(g[2], column);
      da = add(da, matmul(left, sub(part, matmul(matmul(part, mT(right)), right))));
    }
    return {da};
  }
  void release_saved() override {
    u.reset();
    s.reset();
    vh.reset();
  }
};

// Y = A^+: dA = -Y^T dY Y^T + (I - A Y) dY^T Y Y^T + Y^T Y dY^T (I - Y A)
struct PinvBackward : Node {
  const char* name() const override { return "LinalgPinvBackward"; }
  SavedTensor a, y;
  TensorList apply(const TensorList& g) override {
    const Tensor x = a.get(this), p = y.get(this), pt = mT(p), gt = mT(g[0]);
    const Tensor first = matmul(pt, matmul(g[0], pt));
    const Tensor right = matmul(gt, matmul(p, pt)), left = matmul(matmul(pt, p), gt);
    return {add(sub(sub(right, matmul(x, matmul(p, right))), first), sub(left, matmul(matmul(left, p), x)))};
  }
  void release_saved() override {
    a.reset();
    y.reset();
  }
};

struct Qr {
  Tensor qt, rt;  // working copies, transposed
};

constexpr int64_t kPanel = 32;  // columns whose reflectors are applied together

// The reflectors of one panel, H_1 H_2 ... = I - V^T T V with V [batch, columns, rows], T upper triangular:
// T^-1 = diag(1 / tau) + the strict upper triangle of V V^T.
struct Panel {
  Tensor v, t;
};
Panel panel_of(const Tensor& reflectors, const Tensor& tau) {
  const int64_t columns = reflectors.size(1), rows = reflectors.size(2);
  const Tensor v = add(triu(reflectors, 1), eye(columns, rows, tau.dtype(), tau.device()));
  // a reflector with tau = 0 is the identity: its T_jj is as good as 0
  const Tensor inverse = where(eq(tau, 0), Operand(1e300), reciprocal(tau));
  const Tensor system = add(triu(matmul(v, mT(v)), 1), diag_embed(inverse));
  const Tensor t = contiguous(expand(eye(columns, columns, tau.dtype(), tau.device()), system.sizes()));
  solve_triangle(contiguous(system), t, true, false);
  return {v, t};
}

void factor_qr(const Tensor& at, const Tensor& tau, const Tensor& scratch) {
  if (tau.numel() == 0) return;  // no reflector, however many columns there are
  CCDL_KERNEL(at, linalg_qr(at.view(), tau.view(), scratch.view()));
}

// columns: how many columns of Q to form. Panels are factored by the kernel, all else is products.
Qr qr_blocked(const Tensor& at, int64_t columns) {
  const int64_t batch = at.size(0), n = at.size(1), m = at.size(2), steps = std::min(m, n);
  std::vector<Panel> panels;
  for (int64_t k = 0; k < steps; k += kPanel) {
    const int64_t width = std::min(kPanel, steps - k), rest = n - k - width;
    const Tensor place = narrow(narrow(at, 1, k, width), 2, k, m - k), part = contiguous(place);
    const Tensor tau = work_space(at, {batch, std::min(width, m - k)});
    factor_qr(part, tau, work_space(at, {batch, width}));
    copy_(place, part);
    panels.push_back(panel_of(part, tau));
    if (rest == 0) continue;
    const Tensor later = narrow(narrow(at, 1, k + width, rest), 2, k, m - k);
    const Panel& p = panels.back();
    sub_(later, matmul(matmul(matmul(later, mT(p.v)), p.t), p.v));
  }
  Qr r{zeros(Dims{batch, columns, m}, at.dtype(), at.device()), at};
  fill_(diagonal(r.qt, 0, 1, 2), Scalar(1.0));
  for (size_t i = panels.size(); i-- > 0;) {
    const int64_t k = static_cast<int64_t>(i) * kPanel;
    const Tensor q = narrow(r.qt, 2, k, m - k);
    sub_(q, matmul(matmul(matmul(q, mT(panels[i].v)), mT(panels[i].t)), panels[i].v));
  }
  return r;
}

// at: a working copy of the transposed matrices, overwritten
Qr qr_of(const Tensor& at, int64_t columns) {
  const NoGradGuard no_grad;
  const int64_t batch = at.size(0), n = at.size(1), m = at.size(2), k = std::min(m, n);
  if (!whole(at) && k >= 3 * kPanel && batch > 0) return qr_blocked(at, columns);
  const Tensor tau = work_space(at, {batch, k});
  const Tensor scratch = work_space(at, {batch, whole(at) ? 0 : std::max(n, columns)});
  factor_qr(at, tau, scratch);
  Qr r{work_space(at, {batch, columns, m}), at};
  if (r.qt.numel() > 0) CCDL_KERNEL(at, linalg_qr_form(at.view(), tau.view(), r.qt.view(), scratch.view()));
  return r;
}

std::string not_finite(int64_t) {
  return "The algorithm failed to converge because the input matrix contained non-finite values.";
}

struct Svd {
  Tensor ut, s, vt;  // working copies
};
// at [batch, n, m], n <= m, overwritten: the singular values of a matrix with at least as many rows as
// columns. Tall ones are those of R in A = Q R. vectors: 0 none, 1 the first n, 2 all m on the left.
Svd svd_of(const char* op, const Tensor& at, bool single, int vectors) {
  const NoGradGuard no_grad;
  const int64_t batch = at.size(0), n = at.size(1), m = at.size(2), p = vectors == 2 ? m : n;
  const bool reduce = m > n && (!whole(at) || p > n || m > 7 * n / 4);
  Tensor left = at;
  Qr qr;
  if (reduce) {
    qr = qr_of(at, vectors ? p : 0);
    left = contiguous(tril(narrow(qr.rt, 2, 0, n)));  // R^T; its rows are R's columns
  }
  const Tensor s = work_space(at, {batch, n}), vt = work_space(at, {batch, vectors ? n : 0, n});
  const Tensor info = codes(at, {batch});
  CCDL_KERNEL(at, linalg_svd(left.view(), s.view(), vt.view(), info.view()));
  check_info(op, single ? reshape(info, Dims{}) : info, not_finite);
  if (!vectors) return {Tensor(), s, Tensor()};
  if (!reduce) return {left, s, vt};
  Tensor ut = matmul(left, narrow(qr.qt, 1, 0, n));
  if (p > n) ut = cat({ut, narrow(qr.qt, 1, n, m - n)}, 1);
  return {ut, s, vt};
}

}  // namespace

TensorList linalg_qr(const char* op, const Tensor& a, const std::string& mode) {
  check_matrix(op, a);
  CCDL_CHECK(mode == "reduced" || mode == "complete" || mode == "r", Runtime, op,
             ": received unrecognized mode '", mode,
             "' but expected one of 'reduced' (default), 'r', or 'complete'");
  const int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  const Dims batch = batch_of(a);
  const bool graph = needs_graph(a);
  CCDL_CHECK(
      !graph || mode != "r", Autograd, op,
      ": The derivative of linalg.qr depends on Q, which is not computed when mode='r'; use mode='reduced'");
  CCDL_CHECK(!graph || mode != "complete" || m <= n, Autograd, op,
             ": The QR decomposition is not differentiable when mode='complete' and nrows > ncols, got ", m,
             " by ", n, "; use mode='reduced'");
  const int64_t columns = mode == "complete" ? m : k;
  const Qr qr = qr_of(working_copy(mT(a)), mode == "r" ? 0 : columns);
  Tensor q, r;
  {
    const NoGradGuard no_grad;
    r = turned(finished(tril(narrow(qr.rt, 2, 0, columns)), with(batch, {n, columns}), a.dtype()));
    q = mode == "r" ? empty(Dims{0}, a.dtype(), a.device())
                    : turned(finished(qr.qt, with(batch, {columns, m}), a.dtype()));
  }
  if (!graph) return {q, r};
  const Tensor r1 = m >= n ? r : contiguous(detach(narrow(r, -1, 0, k)));
  auto node = make_ref<QrBackward>();
  node->q = SavedTensor(q, node.get(), 0);
  node->r = SavedTensor(r1, node.get(), 1);
  record(node.get(), {m >= n ? a : narrow(a, -1, 0, k)}, TensorList{q, r1});
  if (m >= n) return {q, r1};
  return {q, cat({r1, matmul(mT(q), narrow(a, -1, k, n - k))}, -1)};
}

namespace {
struct Eigen {
  Tensor w, vt;
};
Eigen eigen_of(const char* op, const Tensor& a, const std::string& uplo, bool vectors) {
  check_square(op, a);
  CCDL_CHECK(uplo == "L" || uplo == "U" || uplo == "l" || uplo == "u", Runtime, op,
             ": Expected UPLO argument to be 'L' or 'U', but got ", uplo);
  const NoGradGuard no_grad;
  const bool lower = uplo == "L" || uplo == "l";
  const int64_t n = a.size(-1);
  Tensor work = working_copy(lower ? mT(a) : a);  // what is read lies in the upper triangle
  if (!whole(a)) work = add(triu(work), mT(triu(work, 1)));
  const int64_t batch = work.size(0);
  const Tensor w = work_space(a, {batch, n}), vt = work_space(a, {batch, vectors ? n : 0, n});
  const Tensor scratch = work_space(a, {batch, whole(a) ? 0 : 5 * n}), info = codes(a, {batch});
  CCDL_KERNEL(a, linalg_eigh(work.view(), w.view(), vt.view(), scratch.view(), info.view()));
  check_info(op, a.dim() == 2 ? reshape(info, Dims{}) : info, not_finite);
  return {finished(w, with(batch_of(a), {n}), a.dtype()), vt};
}
}  // namespace

TensorList linalg_eigh(const char* op, const Tensor& a, const std::string& uplo) {
  const Eigen r = eigen_of(op, a, uplo, true);
  const Tensor w = r.w, v = turned(finished(r.vt, a.sizes(), a.dtype()));
  if (needs_graph(a)) {
    auto node = make_ref<EighBackward>();
    node->w = SavedTensor(w, node.get(), 0);
    node->v = SavedTensor(v, node.get(), 1);
    record(node.get(), {a}, TensorList{w, v});
  }
  return {w, v};
}

Tensor linalg_eigvalsh(const char* op, const Tensor& a, const std::string& uplo) {
  return needs_graph(a) ? linalg_eigh(op, a, uplo)[0] : eigen_of(op, a, uplo, false).w;
}

TensorList linalg_svd(const char* op, const Tensor& a, bool full) {
  check_matrix(op, a);
  const int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  const bool graph = needs_graph(a), tall = m > n;
  const Svd r = svd_of(op, working_copy(tall ? mT(a) : a), a.dim() == 2, full ? 2 : 1);
  const Dims batch = batch_of(a);
  const int64_t rows = full ? m : k, columns = full ? n : k;
  const Tensor s = finished(r.s, with(batch, {k}), a.dtype());
  const Tensor u = turned(finished(tall ? r.ut : r.vt, with(batch, {rows, m}), a.dtype()));
  const Tensor vh = finished(tall ? r.vt : r.ut, with(batch, {columns, n}), a.dtype());
  if (!graph) return {u, s, vh};
  // Only the first k vectors have a derivative; the others of full_matrices follow without history.
  const Tensor u1 = u.size(-1) == k ? u : contiguous(detach(narrow(u, -1, 0, k)));
  const Tensor v1 = vh.size(-2) == k ? vh : contiguous(detach(narrow(vh, -2, 0, k)));
  auto node = make_ref<SvdBackward>();
  node->u = SavedTensor(u1, node.get(), 0);
  node->s = SavedTensor(s, node.get(), 1);
  node->vh = SavedTensor(v1, node.get(), 2);
  record(node.get(), {a}, TensorList{u1, s, v1});
  return {u.size(-1) == k ? u1 : cat({u1, narrow(u, -1, k, m - k)}, -1), s,
          vh.size(-2) == k ? v1 : cat({v1, narrow(vh, -2, k, n - k)}, -2)};
}

Tensor linalg_svdvals(const char* op, const Tensor& a) {
  if (needs_graph(a)) return linalg_svd(op, a, false)[1];
  check_matrix(op, a);
  const Tensor at = working_copy(a.size(-2) > a.size(-1) ? mT(a) : a);
  const Svd r = svd_of(op, at, a.dim() == 2, 0);
  return finished(r.s, with(batch_of(a), {std::min(a.size(-2), a.size(-1))}), a.dtype());
}

Tensor linalg_pinv(const char* op, const Tensor& a, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  check_matrix(op, a);
  if (hermitian) check_square(op, a);
  Tensor y;
  {
    const NoGradGuard no_grad;
    Tensor s, left, right;
    if (a.numel() == 0) {
      y = zeros(with(batch_of(a), {a.size(-1), a.size(-2)}), a.dtype(), a.device());
    } else {
      const Tensor in = to(a, work_dtype(a));
      if (hermitian) {
        const TensorList wv = linalg_eigh(op, in, "L");
        s = wv[0], left = wv[1], right = mT(wv[1]);
      } else {
        const TensorList usv = linalg_svd(op, in, false);
        s = usv[1], left = usv[0], right = usv[2];
      }
      const double eps = a.dtype() == DType::Float64 ? 2.220446049250313e-16 : 1.1920929e-07;
      const Tensor size = abs(s), largest = amax(size, Dims{-1}, true);
      const double standard = static_cast<double>(std::max(a.size(-1), a.size(-2))) * eps;
      const auto column = [&](const Tensor& t) { return t.dim() ? unsqueeze(t, -1) : t; };
      Tensor limit = rtol.defined()   ? mul(largest, column(to(rtol, s.dtype())))
                     : atol.defined() ? where(gt(column(atol), 0), Operand(0.0), mul(largest, standard))
                                      : mul(largest, standard);
      if (atol.defined()) limit = maximum(limit, column(to(atol, s.dtype())));
      const Tensor keep = gt(size, limit);
      const Tensor inverse = where(keep, reciprocal(where(keep, s, Operand(1.0))), Operand(0.0));
      y = to(matmul(mul(mT(right), unsqueeze(inverse, -2)), mT(left)), a.dtype());
    }
  }
  if (needs_graph(a)) {
    auto node = make_ref<PinvBackward>();
    node->a = SavedTensor(a);
    node->y = SavedTensor(y, node.get());
    record(node, {a}, y);
  }
  return y;
}

namespace {

// Norms up to which Taylor's series of a degree is exact to the dtype's rounding: Bader, Blanes and Casas,
// Computing the matrix exponential with an optimized Taylor polynomial approximation (2019), table 2.
struct ExponentialRule {
  int degree, width;  // powers up to `width` are formed, the series is a polynomial in the last of them
  double double_norm, float_norm;
};
constexpr ExponentialRule kExponentialRules[] = {{2, 2, 2.58e-8, 5.98e-4},
                                                 {4, 2, 3.40e-4, 5.12e-2},
                                                 {8, 4, 4.99e-2, 5.80e-1},
                                                 {12, 4, 3.00e-1, 1.46},
                                                 {18, 6, 1.09, 3.01}};

Tensor exponential_series(const Tensor& x, const Tensor& identity, const ExponentialRule& rule) {
  TensorList power{identity, x};
  for (int k = 2; k <= rule.width; ++k) power.push_back(matmul(power[(k + 1) / 2], power[k / 2]));
  double factor[19] = {1};
  for (int k = 1; k <= rule.degree; ++k) factor[k] = factor[k - 1] / k;
  const auto part = [&](int first, int count) {  // factor[first] I + factor[first + 1] x + ...
    Tensor sum = mul(power[0], factor[first]);
    for (int k = 1; k < count; ++k) sum = add(sum, power[k], factor[first + k]);
    return sum;
  };
  int first = rule.degree - rule.width;
  Tensor y = part(first, rule.width + 1);
  while (first > 0) {
    first -= rule.width;
    y = add(matmul(y, power[rule.width]), part(first, rule.width));
  }
  return y;
}

}  // namespace

// The series of A / 2^s, squared s times.
Tensor linalg_matrix_exp(const char* op, const Tensor& a) {
  check_square(op, a);
  double norm = 0;
  if (a.numel() > 0) {
    const NoGradGuard no_grad;
    norm = item(max(sum(abs(a), Dims{-2}))).to_double();
  }
  CCDL_CHECK(std::isfinite(norm), LinAlg, op, ": the input contains non-finite values: ", describe(a));
  const int64_t n = a.size(-1);
  const auto limit = [&](const ExponentialRule& r) {
    return a.dtype() == DType::Float64 ? r.double_norm : r.float_norm;
  };
  const ExponentialRule* rule = kExponentialRules;
  while (rule + 1 != std::end(kExponentialRules) && norm > limit(*rule)) ++rule;
  const double ratio = norm / limit(*rule);
  const int squarings = ratio > 1 ? static_cast<int>(std::ceil(std::log2(ratio))) : 0;
  const Tensor x = squarings > 0 ? mul(a, std::ldexp(1.0, -squarings)) : a;
  Tensor y = exponential_series(x, eye(n, n, a.dtype(), a.device()), *rule);
  for (int i = 0; i < squarings; ++i) y = matmul(y, y);
  return y;
}

}  // namespace ccdl::ops
