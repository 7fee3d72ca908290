// The sink of a leaf's gradient.
#pragma once
#include <atomic>

#include <ccdl/autograd/node.h>

namespace ccdl::autograd {

// grad += dy, under a lock; the engine runs the leaf's hooks before.
class AccumulateGrad : public Node {
 public:
  explicit AccumulateGrad(const Tensor& variable);
  ~AccumulateGrad() override;
  const char* name() const override { return "AccumulateGrad"; }
  bool is_accumulator() const override { return true; }
  TensorList apply(const TensorList& grads) override;
  const Tensor& variable() const { return variable_; }
  Tensor run_hooks(Tensor grad) const;

 private:
  Tensor variable_;
};

Ref<Node> accumulator_of(const Tensor& leaf);  // the one accumulator of that leaf
void accumulate_grad(const Tensor& variable, const Tensor& grad);
void run_post_accumulate_hooks(const Tensor& leaf);

// Anomaly mode, for all threads: a backward whose node returns NaN is an error that names the node.
struct Anomaly {
  std::atomic<bool> enabled{false}, check_nan{false};
};
Anomaly& anomaly();

}  // namespace ccdl::autograd
