#include <ccdl/optim/optimizer.h>

#include <ccdl/autograd/node.h>

namespace ccdl::optim {

Optimizer::Optimizer(TensorList params) : params_(std::move(params)) {
  CCDL_CHECK(!params_.empty(), Value, "Optimizer: params is an empty list");
  for (size_t i = 0; i < params_.size(); ++i)
    CCDL_CHECK(params_[i].defined() && autograd::requires_grad(params_[i]) && autograd::is_leaf(params_[i]), Value,
               "Optimizer: params[", i, "] must be a leaf tensor that requires grad");
}

void Optimizer::zero_grad() {
  for (const Tensor& p : params_) autograd::set_grad(p, Tensor());
}

}  // namespace ccdl::optim
