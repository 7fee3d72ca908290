// Stochastic gradient descent with momentum: b = momentum b + (1 - dampening) g, p -= lr b (Nesterov: lr (g + momentum b)).
#pragma once
#include <ccdl/kernels/optim.h>
#include <ccdl/optim/optimizer.h>

namespace ccdl::optim {

class SGD : public Optimizer {
 public:
  // Error(Value) for negative rates, or nesterov without momentum or with dampening.
  SGD(TensorList params, double lr, double momentum = 0, double dampening = 0, double weight_decay = 0,
      bool nesterov = false, bool maximize = false);
  void step() override;
  SgdOptions options;   // lr may be changed between steps

 private:
  TensorList buffers_;   // one per parameter, undefined before its first step
};

}  // namespace ccdl::optim
