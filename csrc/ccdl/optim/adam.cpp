#include <ccdl/optim/adam.h>

#include <ccdl/autograd/node.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/optim.h>

namespace ccdl::optim {

Adam::Adam(TensorList params, double lr, double beta1, double beta2, double eps, double weight_decay, bool amsgrad,
           bool maximize, bool decoupled)
    : Optimizer(std::move(params)), options{lr, beta1, beta2, eps, weight_decay, decoupled, maximize},
      states_(params_.size()), amsgrad_(amsgrad) {
  CCDL_CHECK(lr >= 0 && eps >= 0 && weight_decay >= 0, Value, "Adam: lr ", lr, ", eps ", eps, " and weight_decay ",
             weight_decay, " must not be negative");
  CCDL_CHECK(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, Value, "Adam: betas (", beta1, ", ", beta2,
             ") must be in [0, 1)");
}

void Adam::step() {
  autograd::NoGradGuard no_grad;
  TensorList used, grads, mean, square, top;
  std::vector<double> steps;
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor g = autograd::grad(params_[i]);
    if (!g.defined()) continue;
    State& s = states_[i];
    if (!s.exp_avg.defined()) {
      s.exp_avg = ops::zeros_like(params_[i]);
      s.exp_avg_sq = ops::zeros_like(params_[i]);
      if (amsgrad_) s.max_exp_avg_sq = ops::zeros_like(params_[i]);
    }
    used.push_back(params_[i]);
    grads.push_back(g);
    mean.push_back(s.exp_avg);
    square.push_back(s.exp_avg_sq);
    if (amsgrad_) top.push_back(s.max_exp_avg_sq);
    steps.push_back(s.step += 1);
  }
  ops::fused_adam_step(used, grads, mean, square, top, steps, options);
}

}  // namespace ccdl::optim
