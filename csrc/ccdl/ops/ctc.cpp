#include <ccdl/ops/ctc.h>

#include <ccdl/kernels/ctc.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>

namespace ccdl::ops {
namespace {

// The labels with blanks between them and how much of everything each sample has; on the host.
struct Samples {
  std::vector<int64_t> labels, times, states;
  int64_t T = 0, N = 0, C = 0, L = 1, blank = 0;

  CtcProblem problem() const { return {labels.data(), times.data(), states.data(), T, N, C, L, blank}; }
  template <class T, class F>
  Tensor table(const Dims& sizes, DType dtype, Device device, const F& value) const {
    Tensor t = empty(sizes, dtype);
    for (int64_t n = 0, i = 0; n < N; ++n)
      for (int64_t s = 0; s < sizes[1]; ++s, ++i) t.ptr<T>()[i] = static_cast<T>(value(n, s));
    return to(t, dtype, device, false);
  }
};

Samples make_samples(const Tensor& log_probs, const Tensor& targets, IntSpan input_lengths,
                     IntSpan target_lengths, int64_t blank) {
  CCDL_CHECK(log_probs.numel() > 0, Runtime, "ctc_loss: log_probs tensor must not be empty, got ",
             describe(log_probs));
  Samples p;
  p.T = log_probs.size(0), p.N = log_probs.size(1), p.C = log_probs.size(2), p.blank = blank;
  p.times.assign(input_lengths.begin(), input_lengths.end());
  int64_t longest = 0;
  for (int64_t n : target_lengths) {
    longest = std::max(longest, n);
    p.states.push_back(2 * n + 1);
  }
  p.L = 2 * longest + 1;
  checked_numel("ctc_loss", Dims{p.N, p.T, p.L});
  p.labels.assign(static_cast<size_t>(p.N * p.L), blank);
  const Tensor host = dense(to(targets, DType::Int64, Device{}, false));
  const auto* from = host.ptr<const int64_t>();
  for (int64_t n = 0; n < p.N; ++n) {
    const int64_t count = (p.states[static_cast<size_t>(n)] - 1) / 2;
    for (int64_t s = 0; s < count; ++s) {
      CCDL_CHECK(from[s] >= 0 && from[s] < p.C && from[s] != blank, Index, "ctc_loss: target ", from[s],
                 " must be in [0, ", p.C, ") and not the blank ", blank);
      p.labels[static_cast<size_t>(n * p.L + 2 * s + 1)] = from[s];
    }
    from += targets.dim() == 2 ? targets.size(1) : count;
  }
  return p;
}

// The recursion from ops, all samples at once, in double: of 1500 steps float loses three digits. A very
// small number stands for -inf, so that gradients stay finite.
Tensor composite(const Tensor& given, const Samples& p, bool zero_infinity) {
  constexpr double kFloor = -1e30;
  constexpr DType dtype = DType::Float64;
  const Device device = given.device();
  const Tensor log_probs = to(given, dtype);
  if (p.N == 0) return sum(given, Dims{0, 2});
  auto states = [&](int64_t n) { return p.states[static_cast<size_t>(n)]; };
  auto label_of = [&](int64_t n, int64_t s) { return p.labels[static_cast<size_t>(n * p.L + s)]; };
  const Dims all{p.N, p.L};
  const Tensor label = p.table<int64_t>(all, DType::Int64, device, label_of);
  const Tensor skip = p.table<bool>(all, DType::Bool, device, [&](int64_t n, int64_t s) {
    return s >= 2 && label_of(n, s) != p.blank && label_of(n, s) != label_of(n, s - 2);
  });
  const Tensor first = p.table<bool>(all, DType::Bool, device, [&](int64_t n, int64_t s) {
    return s == 0 && p.times[static_cast<size_t>(n)] >= 0;
  });
  const Tensor low = full(all, Scalar(kFloor), dtype, device);
  const Tensor border = full(Dims{p.N, 2}, Scalar(kFloor), dtype, device);
  Tensor alpha = where(first, full(all, Scalar(0.0), dtype, device), low);
  for (int64_t t = 0; t < p.T; ++t) {
    const Tensor padded = cat({border, alpha}, 1);
    const Tensor two = where(skip, narrow(padded, 1, 0, p.L), low);
    const Tensor sums = logsumexp(stack({alpha, narrow(padded, 1, 1, p.L), two}, 0), Dims{0});
    const Tensor next = add(sums, gather(select(log_probs, 0, t), 1, label));
    const Tensor active = p.table<bool>(Dims{p.N, 1}, DType::Bool, device, [&](int64_t n, int64_t) {
      return p.times[static_cast<size_t>(n)] > t;
    });
    alpha = where(active, next, alpha);
  }
  const Tensor last = p.table<int64_t>(Dims{p.N, 2}, DType::Int64, device, [&](int64_t n, int64_t i) {
    return std::max<int64_t>(states(n) - 1 - i, 0);
  });
  const Tensor none = p.table<bool>(Dims{p.N, 2}, DType::Bool, device,
                                    [&](int64_t n, int64_t i) { return i == 1 && states(n) == 1; });
  const Tensor ends = where(none, border, gather(alpha, 1, last));
  const Tensor total = neg(logsumexp(ends, Dims{1}));
  return to(where(gt(total, Scalar(1e29)), Operand(Scalar(zero_infinity ? 0.0 : HUGE_VAL)), total),
            given.dtype());
}

// dx = -dy posterior
struct CtcLossBackward : Node {
  const char* name() const override { return "CtcLossBackward"; }
  SavedTensor log_probs, alpha, offsets;
  std::shared_ptr<const Samples> samples;
  bool zero_infinity = false;
  TensorList apply(const TensorList& grads) override {
    const Tensor x = log_probs.get(this);
    const Samples& p = *samples;
    if (grad_enabled() || !alpha.defined())
      return autograd::differentiate(
          [&](const TensorList& in) { return TensorList{composite(in[0], p, zero_infinity)}; }, {x}, grads);
    const Tensor xc = dense(x), a = alpha.get(this), o = offsets.get(this);
    const Tensor dy = dense(grads[0]);
    Tensor dx = empty(x.sizes(), x.dtype());
    cpu::ctc_backward(p.problem(), xc.view(), a.view(), o.view(), dy.view(), dx.view());
    return {dx};
  }
  void release_saved() override {
    log_probs.reset();
    alpha.reset();
    offsets.reset();
  }
};

}  // namespace

Tensor ctc_loss(const Tensor& x, const Tensor& targets, IntSpan input_lengths, IntSpan target_lengths,
                int64_t blank, bool zero_infinity) {
  auto samples = std::make_shared<Samples>(make_samples(x, targets, input_lengths, target_lengths, blank));
  const Samples& p = *samples;
  const bool records = needs_graph(x), kernel = x.device().is_cpu();
  Tensor loss, alpha, offsets;
  if (kernel) {
    const Tensor xc = dense(x);
    loss = empty(Dims{p.N}, x.dtype());
    if (records) {
      alpha = empty(Dims{p.N, p.T, p.L}, x.dtype());
      offsets = empty(Dims{p.N, p.T + 1}, DType::Float64);
    }
    cpu::ctc_forward(p.problem(), xc.view(), loss.view(), maybe_view(alpha), maybe_view(offsets));
  } else {
    NoGradGuard no_grad;
    loss = composite(x, p, false);
  }
  Tensor y = loss;
  if (zero_infinity) {
    NoGradGuard no_grad;
    y = where(eq(loss, Scalar(HUGE_VAL)), Operand(Scalar(0.0)), loss);
  }
  if (records) {
    auto node = make_ref<CtcLossBackward>();
    node->log_probs = SavedTensor(x);
    if (kernel) {
      node->alpha = SavedTensor(alpha);
      node->offsets = SavedTensor(offsets);
    }
    node->samples = std::move(samples);
    node->zero_infinity = zero_infinity;
    record(node, {x}, y);
  }
  return y;
}

}  // namespace ccdl::ops
