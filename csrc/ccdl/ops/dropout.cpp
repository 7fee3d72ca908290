// The dropout family, inverted form. Nothing is stored for backward: the same (seed, offset) draws the same
// mask again. Source: Srivastava et al. 2014; Tompson et al. 2015 (channels); Klambauer et al. 2017 (alpha).
#include <ccdl/kernels/random.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/random.h>

#include <cmath>

namespace ccdl::ops {
namespace {

Tensor masked_scale(const Tensor& x, RandomState state, double p, int64_t group);

// dx = dy / (1 - p) where kept, 0 elsewhere: the forward map itself, so it differentiates again.
struct DropoutBackward : Node {
  const char* name() const override { return "DropoutBackward"; }
  RandomState state{};
  double p = 0;
  int64_t group = 1;
  TensorList apply(const TensorList& grads) override { return {masked_scale(grads[0], state, p, group)}; }
};

Tensor masked_scale(const Tensor& x, RandomState state, double p, int64_t group) {
  Tensor y = empty_like(x);
  CCDL_KERNEL(x, dropout_forward(x.view(), y.view(), state, p, group));
  if (needs_graph(x)) {
    auto node = make_ref<DropoutBackward>();
    node->state = state;
    node->p = p;
    node->group = group;
    record(node, {x}, y);
  }
  return y;
}

void check(const char* op, const Tensor& x, double p) {
  CCDL_CHECK(p >= 0 && p <= 1, Value, op, ": dropout probability has to be between 0 and 1, but got ", p);
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(x));
}

// Elements per channel of [N, C, ...].
int64_t channel_group(const char* op, const Tensor& x) {
  CCDL_CHECK(x.dim() >= 2, Shape, op, ": input must have at least 2 dimensions [N, C, ...], got ",
             describe(x));
  int64_t group = 1;
  for (int64_t d = 2; d < x.dim(); ++d) group *= x.size(d);
  return group;
}

Tensor scale_channels(const Tensor& x, double p, int64_t group) {
  if (x.numel() == 0) return masked_scale(x, {0, 0}, p, 1);
  return masked_scale(x, current_generator().reserve(x.numel() / group), p, group);
}

// keep * a * x + (keep - 1) * alpha' a + alpha' a p: dropped units sit at SELU's lower limit -alpha'.
Tensor alpha_mix(const Tensor& x, double p, int64_t group) {
  constexpr double kLimit = 1.7580993408473766;
  if (p == 1) return mul(x, Scalar(0.0));
  const double a = 1 / std::sqrt((kLimit * kLimit * p + 1) * (1 - p));
  Tensor keep = empty_like(x);
  {
    const NoGradGuard no_grad;
    const Tensor ones = ones_like(x);
    keep = mul(scale_channels(ones, p, group), Scalar(1 - p));
  }
  const Tensor shift = add(mul(keep, Scalar(kLimit * a)), Scalar(kLimit * a * (p - 1)));
  return add(mul(x, mul(keep, Scalar(a))), shift);
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool train) {
  check("dropout", x, p);
  if (!train || p == 0) return x;
  return scale_channels(x, p, 1);
}

Tensor dropout_at(const Tensor& x, RandomState state, double p) { return masked_scale(x, state, p, 1); }

Tensor feature_dropout(const Tensor& x, double p, bool train) {
  check("feature_dropout", x, p);
  if (!train || p == 0) return x;
  return scale_channels(x, p, channel_group("feature_dropout", x));
}

Tensor alpha_dropout(const Tensor& x, double p, bool train) {
  check("alpha_dropout", x, p);
  if (!train || p == 0) return x;
  return alpha_mix(x, p, 1);
}

Tensor feature_alpha_dropout(const Tensor& x, double p, bool train) {
  check("feature_alpha_dropout", x, p);
  if (!train || p == 0) return x;
  return alpha_mix(x, p, channel_group("feature_alpha_dropout", x));
}

}  // namespace ccdl::ops
