#include <ccdl/ops/optim.h>

#include <ccdl/ops/optim_lists.h>

namespace ccdl::ops {

void fused_sgd_step(const TensorList& params, const TensorList& grads, const TensorList& momentum_buffers,
                    const std::vector<bool>& first, const SgdOptions& options) {
  const char* op = "fused_sgd_step";
  check_list(op, "grads", grads, params.size(), false);
  check_list(op, "momentum_buffers", momentum_buffers, params.size(), options.momentum == 0);
  CCDL_CHECK(momentum_buffers.empty() || first.size() == params.size(), Value, op, ": first has ",
             first.size(), " entries, params has ", params.size());
  run_step<OptimItem>(
      op, params, {{"grads", &grads}, {"momentum_buffers", &momentum_buffers}},
      [&](size_t i, OptimItem* item) { item->step = i < first.size() && first[i] ? 1 : 2; },
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
  run_step<OptimItem>(
      op, params,
      {{"grads", &grads},
       {"exp_avgs", &exp_avgs},
       {"exp_avg_sqs", &exp_avg_sqs},
       {"max_exp_avg_sqs", &max_exp_avg_sqs}},
      [&](size_t i, OptimItem* item) { item->step = static_cast<int64_t>(steps[i]); },
      [&]([[maybe_unused]] const Tensor& where, const OptimItem* items, int64_t n) {
        CCDL_KERNEL(where, adam_step(items, n, options));
      });
}

}  // namespace ccdl::ops
