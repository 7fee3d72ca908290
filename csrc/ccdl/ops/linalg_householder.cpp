// Products of Householder reflections and the packed QR they come from. The gradients are those of
// I - V T V^T with T^-1 = diag(1 / tau) + triu(V^T V, 1): R. Schreiber, C. Van Loan, A storage-efficient WY
// representation for products of Householder transformations, SIAM J. Sci. Stat. Comput. 1989.
#include <ccdl/kernels/linalg.h>
#include <ccdl/ops/linalg_parts.h>

namespace ccdl::ops {

using namespace dense_algebra;

namespace {

// In double, whose digits the gradient of nearly dependent columns needs.
Tensor composite(const Tensor& a, const Tensor& tau) {
  const int64_t m = a.size(-2), n = a.size(-1), k = tau.size(-1);
  const Tensor wide = to(narrow(a, -1, 0, k), DType::Float64);
  const Tensor v = add(tril(wide, -1), eye(m, k, DType::Float64, a.device()));
  const Tensor scaled = mul(unsqueeze(to(tau, DType::Float64), -1), mT(v));
  const Tensor inverse = add(triu(matmul(scaled, v), 1), eye(k, k, DType::Float64, a.device()));
  const Tensor w = linalg_solve_triangular("linalg.householder_product", inverse, narrow(scaled, -1, 0, n),
                                           true, true, true);
  return to(sub(eye(m, n, DType::Float64, a.device()), matmul(v, w)), a.dtype());
}

struct HouseholderProductBackward : Node {
  const char* name() const override { return "LinalgHouseholderProductBackward"; }
  SavedTensor a, tau;
  TensorList apply(const TensorList& grads) override {
    return autograd::differentiate([](const TensorList& in) { return TensorList{composite(in[0], in[1])}; },
                                   {a.get(this), tau.get(this)}, grads);
  }
  void release_saved() override {
    a.reset();
    tau.reset();
  }
};

}  // namespace

Tensor linalg_householder_product(const Tensor& a, const Tensor& tau) {
  const int64_t m = a.size(-2), n = a.size(-1), k = tau.size(-1);
  Tensor q;
  {
    const NoGradGuard no_grad;
    if (!whole(a)) {
      q = mT(contiguous(mT(composite(a, tau))));  // columns in a row, as the kernel leaves them
    } else {
      // reflectors that are none (any vector, any tau) grow without bound: many of them lose float's digits
      const Tensor at = working_copy(mT(n > 8 ? to(a, DType::Float64) : a));
      const Tensor factors = work_space(at, {at.size(0), n}), qt = work_space(at, {at.size(0), n, m});
      fill_(factors, Scalar(0.0));
      if (k > 0) copy_(narrow(factors, 1, 0, k), reshape(tau, Dims{at.size(0), k}));
      CCDL_KERNEL(
          at, linalg_qr_form(at.view(), factors.view(), qt.view(), work_space(at, {at.size(0), n}).view()));
      q = turned(finished(qt, with(batch_of(a), {n, m}), a.dtype()));
    }
  }
  if (needs_graph(a, tau)) {
    auto node = make_ref<HouseholderProductBackward>();
    node->a = SavedTensor(a);
    node->tau = SavedTensor(tau);
    record(node, {a, tau}, q);
  }
  return q;
}

TensorList linalg_geqrf(const Tensor& a) {
  check_matrix("geqrf", a);
  CCDL_CHECK(!needs_graph(a), Autograd, "geqrf: the derivative is not implemented; use linalg.qr");
  const NoGradGuard no_grad;
  const int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  const Tensor at = working_copy(mT(a));
  const Tensor tau = work_space(at, {at.size(0), k});
  CCDL_KERNEL(at, linalg_qr(at.view(), tau.view(), work_space(at, {at.size(0), n}).view()));
  const Dims batch = batch_of(a);
  return {turned(finished(at, with(batch, {n, m}), a.dtype())), finished(tau, with(batch, {k}), a.dtype())};
}

}  // namespace ccdl::ops
