// Base of the C++ optimisers: a list of parameters that require grad. step() updates those that have a gradient.
#pragma once
#include <ccdl/core/tensor.h>

namespace ccdl::optim {

class Optimizer {
 public:
  explicit Optimizer(TensorList params);   // Error(Value) when empty or when a tensor does not require grad
  virtual ~Optimizer() = default;
  virtual void step() = 0;
  void zero_grad();                        // drops the gradients
  const TensorList& params() const { return params_; }

 protected:
  TensorList params_;
};

}  // namespace ccdl::optim
