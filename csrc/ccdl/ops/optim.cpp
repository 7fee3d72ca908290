#include <ccdl/ops/optim.h>

#include <ccdl/ops/dense.h>

namespace ccdl::ops {
namespace {

void check_list(const char* op, const char* name, const TensorList& list, size_t n, bool may_be_empty) {
  CCDL_CHECK(list.size() == n || (may_be_empty && list.empty()), Value, op, ": ", name, " has ", list.size(),
             " tensors, params has ", n);
}

// A parameter, gradient or state in the element order of the step: itself, or a copy that is written back.
class Aligned {
 public:
  Aligned(const char* op, const char* name, const Tensor& param, const Tensor& t) : original_(t), used_(t) {
    CCDL_CHECK(t.sizes() == param.sizes(), Shape, op, ": ", name, " is ", describe(t),
               ", must have the parameter's size ", param.sizes());
    CCDL_CHECK(t.dtype() == param.dtype(), DType, op, ": ", name, " is ", dtype_name(t.dtype()),
               ", must have the parameter's dtype ", dtype_name(param.dtype()));
    check_same_device(op, {{"params", &param}, {name, &t}});
    fits_ = t.strides() == param.strides() && strides_dense(param.sizes(), param.strides());
  }
  bool fits() const { return fits_; }
  void* data() const { return used_.data(); }
  void make_contiguous() {
    NoGradGuard no_grad;
    used_ = contiguous(original_);
  }
  void write_back() const {
    NoGradGuard no_grad;
    if (!used_.same(original_))
      copy_(original_, used_);
    else
      original_.bump_version();
  }

 private:
  Tensor original_, used_;
  bool fits_;
};

// One parameter with its gradient and state, in one common order of elements.
struct Group {
  std::vector<Aligned> tensors;  // param, grad, states
  void add(const char* op, const char* name, const Tensor& param, const Tensor& t) {
    tensors.emplace_back(op, name, param, t);
  }
  // Where the memory orders differ, all use the contiguous one.
  void settle() {
    bool fit = true;
    for (const Aligned& t : tensors) fit = fit && t.fits();
    for (Aligned& t : tensors)
      if (!fit) t.make_contiguous();
  }
  OptimItem item(const Tensor& param, int64_t step) const {
    OptimItem it = {tensors[0].data(), tensors[1].data(), {nullptr, nullptr, nullptr},
                    param.numel(),     param.dtype(),     step};
    for (size_t i = 2; i < tensors.size(); ++i) it.state[i - 2] = tensors[i].data();
    return it;
  }
  void finish() const {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (i != 1) tensors[i].write_back();
  }
};

struct NamedList {
  const char* name;
  const TensorList* list;
};

// run(some parameter, items) once per device, after the checks; params and states are marked as written.
template <class Step, class Run>
void run_step(const char* op, const TensorList& params, std::initializer_list<NamedList> others,
              const Step& step_of, const Run& run) {
  std::vector<Group> groups(params.size());
  std::vector<std::pair<const Tensor*, std::vector<OptimItem>>> launches;  // one per device
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor& p = params[i];
    CCDL_CHECK(is_floating(p.dtype()), DType, op, ": parameter ", i, " must be floating point, got ",
               describe(p));
    groups[i].add(op, "params", p, p);
    for (const NamedList& other : others)
      if (!other.list->empty()) groups[i].add(op, other.name, p, (*other.list)[i]);
    groups[i].settle();
    size_t at = 0;
    while (at < launches.size() && !(launches[at].first->device() == p.device())) ++at;
    if (at == launches.size()) launches.push_back({&p, {}});
    launches[at].second.push_back(groups[i].item(p, step_of(i)));
  }
  for (const auto& [where, items] : launches) run(*where, items.data(), static_cast<int64_t>(items.size()));
  for (const Group& g : groups) g.finish();
}

}  // namespace

void fused_sgd_step(const TensorList& params, const TensorList& grads, const TensorList& momentum_buffers,
                    const std::vector<bool>& first, const SgdOptions& options) {
  const char* op = "fused_sgd_step";
  check_list(op, "grads", grads, params.size(), false);
  check_list(op, "momentum_buffers", momentum_buffers, params.size(), options.momentum == 0);
  CCDL_CHECK(momentum_buffers.empty() || first.size() == params.size(), Value, op, ": first has ",
             first.size(), " entries, params has ", params.size());
  run_step(
      op, params, {{"grads", &grads}, {"momentum_buffers", &momentum_buffers}},
      [&](size_t i) { return int64_t{i < first.size() && first[i] ? 1 : 2}; },
      [&]([[maybe_unused]] const Tensor& where, const OptimItem* items, int64_t n) {
        CCDL_KERNEL(where, sgd_step(items, n, options));
      });
}

void fused_adam_step(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                     const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs,
                     const std::vector<double>& steps, const AdamOptions& options) {
  const char* op = "fused_adam_step";
  check_list(op, "grads", grads, params.size(), false);
  check_list(op, "exp_avgs", exp_avgs, params.size(), false);
  check_list(op, "exp_avg_sqs", exp_avg_sqs, params.size(), false);
  check_list(op, "max_exp_avg_sqs", max_exp_avg_sqs, params.size(), true);
  CCDL_CHECK(steps.size() == params.size(), Value, op, ": steps has ", steps.size(), " numbers, params has ",
             params.size());
  for (double s : steps) CCDL_CHECK(s >= 1, Value, op, ": steps count from 1, got ", s);
  run_step(
      op, params,
      {{"grads", &grads},
       {"exp_avgs", &exp_avgs},
       {"exp_avg_sqs", &exp_avg_sqs},
       {"max_exp_avg_sqs", &max_exp_avg_sqs}},
      [&](size_t i) { return static_cast<int64_t>(steps[i]); },
      [&]([[maybe_unused]] const Tensor& where, const OptimItem* items, int64_t n) {
        CCDL_KERNEL(where, adam_step(items, n, options));
      });
}

}  // namespace ccdl::ops
