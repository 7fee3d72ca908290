// Adam, AMSGrad and AdamW (decoupled weight decay).
#pragma once
#include <ccdl/kernels/optim.h>
#include <ccdl/optim/optimizer.h>

namespace ccdl::optim {

class Adam : public Optimizer {
 public:
  // Error(Value) for negative rates or betas outside [0, 1).
  Adam(TensorList params, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
       double weight_decay = 0, bool amsgrad = false, bool maximize = false, bool decoupled = false);
  void step() override;
  AdamOptions options;   // lr may be changed between steps

 private:
  struct State {
    Tensor exp_avg, exp_avg_sq, max_exp_avg_sq;
    double step = 0;
  };
  std::vector<State> states_;
  bool amsgrad_;
};

class AdamW : public Adam {
 public:
  explicit AdamW(TensorList params, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
                 double weight_decay = 1e-2, bool amsgrad = false, bool maximize = false)
      : Adam(std::move(params), lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, true) {}
};

}  // namespace ccdl::optim
