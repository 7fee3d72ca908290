#include <ccdl/optim/sgd.h>

#include <ccdl/autograd/node.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/optim.h>

namespace ccdl::optim {

SGD::SGD(TensorList params, double lr, double momentum, double dampening, double weight_decay, bool nesterov,
         bool maximize)
    : Optimizer(std::move(params)), options{lr, momentum, dampening, weight_decay, nesterov, maximize},
      buffers_(params_.size()) {
  CCDL_CHECK(lr >= 0 && momentum >= 0 && weight_decay >= 0, Value, "SGD: lr ", lr, ", momentum ", momentum,
             " and weight_decay ", weight_decay, " must not be negative");
  CCDL_CHECK(!nesterov || (momentum > 0 && dampening == 0), Value,
             "SGD: Nesterov momentum requires a momentum and zero dampening");
}

void SGD::step() {
  autograd::NoGradGuard no_grad;
  TensorList used, grads, buffers;
  std::vector<bool> first;
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor g = autograd::grad(params_[i]);
    if (!g.defined()) continue;
    used.push_back(params_[i]);
    grads.push_back(g);
    if (options.momentum == 0) continue;
    first.push_back(!buffers_[i].defined());
    if (!buffers_[i].defined()) buffers_[i] = ops::zeros_like(params_[i]);
    buffers.push_back(buffers_[i]);
  }
  ops::fused_sgd_step(used, grads, buffers, first, options);
}

}  // namespace ccdl::optim
