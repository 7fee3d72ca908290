#include <ccdl/optim/optimizer.h>

#include <ccdl/core/device_api.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/optim.h>

namespace ccdl::optim {

Optimizer::Optimizer(TensorList parameters) : parameters_(std::move(parameters)) {
  CCDL_CHECK(!parameters_.empty(), Value, "optimizer: got an empty list of parameters");
  for (const Tensor& p : parameters_)
    CCDL_CHECK(p.defined() && autograd::is_leaf(p), Autograd,
               "optimizer: can only optimise leaf tensors, got the result of an op");
}

void Optimizer::zero_grad() {
  for (const Tensor& p : parameters_) autograd::set_grad(p, Tensor());
}

std::vector<size_t> Optimizer::with_gradient(TensorList* grads) const {
  std::vector<size_t> positions;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor g = autograd::grad(parameters_[i]);
    if (!g.defined()) continue;
    positions.push_back(i);
    grads->push_back(g);
  }
  return positions;
}

namespace {
// State of the given parameters, made on first use.
TensorList state_of(TensorList& all, const TensorList& parameters, const std::vector<size_t>& positions) {
  all.resize(parameters.size());
  TensorList chosen;
  for (size_t i : positions) {
    if (!all[i].defined()) all[i] = ops::zeros_like(parameters[i]);
    chosen.push_back(all[i]);
  }
  return chosen;
}

// While a CUDA graph is captured, lr and the number of replays live on the device: each replay takes lr as it
// is then, and counts the steps of Adam. The optimiser must outlive the graph.
template <class Fused>
void follow_replays(Fused* fused, const double* lr, std::vector<double>* steps,
                    const std::vector<size_t>& positions) {
  cu::Graph* graph = cu::capturing_graph();
  if (graph == nullptr) return;
  void* device_lr = graph->add_scalar(*lr);
  void* device_step = graph->add_scalar(int64_t{0});
  fused->device_lr = static_cast<const double*>(device_lr);
  fused->device_step = static_cast<const int64_t*>(device_step);
  graph->before_replay([=, replays = int64_t{0}]() mutable {
    if (steps != nullptr && replays > 0)
      for (size_t i : positions) (*steps)[i] += 1;
    graph->set_scalar(device_lr, *lr);
    graph->set_scalar(device_step, replays++);
  });
}

// State made by a captured step would be made anew by every replay.
void check_state(const char* op, bool made) {
  CCDL_CHECK(
      made || cu::capturing_graph() == nullptr, Runtime, op,
      ": the first step makes the optimiser's state and cannot be captured in a CUDA graph; run a step "
      "before the capture");
}

TensorList pick(const TensorList& all, const std::vector<size_t>& positions) {
  TensorList chosen;
  for (size_t i : positions) chosen.push_back(all[i]);
  return chosen;
}
}  // namespace

SGD::SGD(TensorList parameters, const SGDOptions& o) : Optimizer(std::move(parameters)), options(o) {
  CCDL_CHECK(o.lr >= 0, Value, "SGD: lr must not be negative, got ", o.lr);
  CCDL_CHECK(o.momentum >= 0, Value, "SGD: momentum must not be negative, got ", o.momentum);
  CCDL_CHECK(!o.nesterov || (o.momentum > 0 && o.dampening == 0), Value,
             "SGD: nesterov needs a momentum and zero dampening, got momentum ", o.momentum, ", dampening ",
             o.dampening);
}

void SGD::step() {
  TensorList grads;
  const std::vector<size_t> positions = with_gradient(&grads);
  ccdl::SgdOptions fused{options.lr,           options.momentum, options.dampening,
                         options.weight_decay, options.nesterov, options.maximize};
  TensorList buffers;
  std::vector<bool> first;  // a parameter's first step fills its buffer with the gradient
  if (options.momentum != 0) {
    buffers_.resize(parameters_.size());
    for (size_t i : positions) {
      first.push_back(!buffers_[i].defined());
      check_state("SGD::step", !first.back());
    }
    buffers = state_of(buffers_, parameters_, positions);
  }
  if (positions.empty()) return;
  follow_replays(&fused, &options.lr, nullptr, positions);
  ops::fused_sgd_step(pick(parameters_, positions), grads, buffers, first, fused);
}

Adam::Adam(TensorList parameters, const AdamOptions& o) : Optimizer(std::move(parameters)), options(o) {
  CCDL_CHECK(o.lr >= 0 && o.eps >= 0, Value, "Adam: lr and eps must not be negative, got lr ", o.lr, ", eps ",
             o.eps);
  CCDL_CHECK(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, Value,
             "Adam: betas must be in [0, 1), got ", o.beta1, " and ", o.beta2);
}

void Adam::step() {
  TensorList grads;
  const std::vector<size_t> positions = with_gradient(&grads);
  if (positions.empty()) return;
  steps_.resize(parameters_.size(), 0);
  std::vector<double> steps;
  for (size_t i : positions) {
    check_state("Adam::step", steps_[i] > 0);
    steps.push_back(++steps_[i]);
  }
  ccdl::AdamOptions fused{options.lr,           options.beta1,     options.beta2,   options.eps,
                          options.weight_decay, options.decoupled, options.maximize};
  follow_replays(&fused, &options.lr, &steps_, positions);
  ops::fused_adam_step(pick(parameters_, positions), grads, state_of(exp_avgs_, parameters_, positions),
                       state_of(exp_avg_sqs_, parameters_, positions),
                       options.amsgrad ? state_of(max_exp_avg_sqs_, parameters_, positions) : TensorList{},
                       steps, fused);
}

}  // namespace ccdl::optim
