// Optimisers for C++ programs, over the same fused step ops as Python's. Parameters without a gradient are
// skipped; step() writes outside the graph. Options have PyTorch's names and defaults (C++20 designated
// initialisers).
//   optim::Adam adam(parameters, {.lr = 1e-3});  ...  adam.zero_grad(); autograd::backward({loss});
//   adam.step();
#pragma once
#include <vector>

#include <ccdl/core/tensor.h>

namespace ccdl::optim {

class Optimizer {
 public:
  explicit Optimizer(
      TensorList parameters);  // Error(Value) for an empty list, Error(Autograd) for a non-leaf
  virtual ~Optimizer() = default;
  virtual void step() = 0;
  void zero_grad();
  const TensorList& parameters() const { return parameters_; }

 protected:
  // Positions of the parameters that have a gradient, and those gradients.
  std::vector<size_t> with_gradient(TensorList* grads) const;
  TensorList parameters_;
};

struct SGDOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false, maximize = false;
};

class SGD : public Optimizer {
 public:
  SGD(TensorList parameters, const SGDOptions& options = {});
  void step() override;
  SGDOptions options;

 private:
  TensorList buffers_;
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool amsgrad = false, maximize = false;
  bool decoupled = false;  // weight decay as in AdamW
};

class Adam : public Optimizer {
 public:
  Adam(TensorList parameters, const AdamOptions& options = {});
  void step() override;
  AdamOptions options;

 private:
  TensorList exp_avgs_, exp_avg_sqs_, max_exp_avg_sqs_;
  std::vector<double> steps_;
};

}  // namespace ccdl::optim
