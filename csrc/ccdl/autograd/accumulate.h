// The sink of a leaf's gradient.
#pragma once
#include <atomic>

#include <ccdl/autograd/node.h>

namespace ccdl::autograd {

// grad += dy, under a lock; the engine runs the leaf's hooks before. The leaf owns the one accumulator it
// ever gets. As long as anybody counts a reference on it, a graph above all, it holds the leaf in turn: the
// first reference takes one on the leaf, and the end of the last, which is not the end of the object, gives
// it back.
class AccumulateGrad : public Node {
 public:
  explicit AccumulateGrad(const Tensor& variable);
  const char* name() const override { return "AccumulateGrad"; }
  bool is_accumulator() const override { return true; }
  TensorList apply(const TensorList& grads) override;
  Tensor variable() const { return Tensor(Ref<TensorImpl>(leaf_)); }
  Tensor run_hooks(Tensor grad) const;
  Ref<Node> acquire();   // the caller holds the leaf
  void describe_leaf();  // after its shape, dtype or device changed

 protected:
  void destroy() noexcept override;

 private:
  TensorImpl* leaf_;
};

Ref<Node> accumulator_of(const Tensor& leaf);  // the one accumulator of that leaf
void accumulate_grad(const Tensor& variable, const Tensor& grad);
void run_post_accumulate_hooks(const Tensor& leaf);

// Runs f at the end of the pass that is going on on this thread; an error outside of one.
void queue_callback(std::function<void()> f);

// Anomaly mode, for all threads: a backward whose node returns NaN is an error that names the node.
struct Anomaly {
  std::atomic<bool> enabled{false}, check_nan{false};
};
Anomaly& anomaly();

}  // namespace ccdl::autograd
