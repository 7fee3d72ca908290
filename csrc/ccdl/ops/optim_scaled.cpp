#include <ccdl/ops/optim_scaled.h>

#include <ccdl/ops/optim_lists.h>

namespace ccdl::ops {
namespace {

Tensor bytes_on(const Tensor& where, int64_t bytes) {
  return empty(Dims{bytes}, DType::UInt8, where.device());
}

void check_count(const char* op, const char* name, size_t got, size_t want) {
  CCDL_CHECK(got == want, Value, op, ": ", name, " has ", got, " entries, params has ", want);
}

// What a contiguous kernel writes for a tensor: itself, or a copy that is copied back.
struct Dense {
  Tensor original, used;
  Dense(const char* op, const char* name, const Tensor& param, const Tensor& t, const Dims& sizes)
      : original(t), used(dense(t)) {
    CCDL_CHECK(t.sizes() == sizes, Shape, op, ": ", name, " is ", describe(t), ", must have the size ",
               sizes);
    CCDL_CHECK(t.dtype() == param.dtype(), DType, op, ": ", name, " is ", dtype_name(t.dtype()),
               ", must have the parameter's dtype ", dtype_name(param.dtype()));
    check_same_device(op, {{"params", &param}, {name, &t}});
  }
  void write_back() const {
    NoGradGuard no_grad;
    if (!used.same(original))
      copy_(original, used);
    else
      original.bump_version();
  }
};

}  // namespace

void fused_lamb_step(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                     const TensorList& exp_avg_sqs, const std::vector<double>& steps,
                     const LambOptions& options) {
  const char* op = "fused_lamb_step";
  check_list(op, "grads", grads, params.size(), false);
  check_list(op, "exp_avgs", exp_avgs, params.size(), false);
  check_list(op, "exp_avg_sqs", exp_avg_sqs, params.size(), false);
  check_count(op, "steps", steps.size(), params.size());
  for (double s : steps) CCDL_CHECK(s >= 1, Value, op, ": steps count from 1, got ", s);
  run_step<OptimItem>(
      op, params, {{"grads", &grads}, {"exp_avgs", &exp_avgs}, {"exp_avg_sqs", &exp_avg_sqs}},
      [&](size_t i, OptimItem* item) { item->step = static_cast<int64_t>(steps[i]); },
      [&](const Tensor& where, const OptimItem* items, int64_t n) {
        const Tensor space = bytes_on(where, CCDL_KERNEL(where, lamb_workspace_bytes(items, n)));
        CCDL_KERNEL(where, lamb_step(items, n, options, space.data()));
      });
}

void fused_adafactor_step(const TensorList& params, const TensorList& grads, const TensorList& row_vars,
                          const TensorList& col_vars, const TensorList& variances,
                          const std::vector<double>& weights, const std::vector<double>& rates,
                          const std::vector<double>& eps1, const AdafactorOptions& options) {
  const char* op = "fused_adafactor_step";
  const size_t count = params.size();
  for (const auto& [name, list] : {NamedList{"grads", &grads}, NamedList{"row_vars", &row_vars},
                                   NamedList{"col_vars", &col_vars}, NamedList{"variances", &variances}})
    check_count(op, name, list->size(), count);
  check_count(op, "weights", weights.size(), count);
  check_count(op, "rates", rates.size(), count);
  check_count(op, "eps1", eps1.size(), count);
  std::vector<Dense> written, read;
  std::vector<std::pair<const Tensor*, std::vector<AdafactorItem>>> launches;  // one per device
  for (size_t i = 0; i < count; ++i) {
    const Tensor& p = params[i];
    CCDL_CHECK(is_floating(p.dtype()), DType, op, ": parameter ", i, " must be floating point, got ",
               describe(p));
    AdafactorItem item{};
    item.n = p.numel();
    item.dtype = p.dtype();
    item.weight = weights[i];
    item.rate = rates[i];
    item.eps1 = eps1[i];
    item.param = written.emplace_back(op, "params", p, p, p.sizes()).used.data();
    item.grad = read.emplace_back(op, "grads", p, grads[i], p.sizes()).used.data();
    if (p.dim() < 2) {
      item.state[0] = written.emplace_back(op, "variances", p, variances[i], p.sizes()).used.data();
    } else {
      Dims rows = p.sizes(), columns = p.sizes();
      item.rows = p.size(-2);
      item.columns = p.size(-1);
      item.batch = item.n == 0 ? 0 : item.n / (item.rows * item.columns);
      rows.back() = 1;
      columns[columns.size() - 2] = 1;
      item.state[0] = written.emplace_back(op, "row_vars", p, row_vars[i], rows).used.data();
      item.state[1] = written.emplace_back(op, "col_vars", p, col_vars[i], columns).used.data();
    }
    if (item.n == 0) continue;
    size_t at = 0;
    while (at < launches.size() && !(launches[at].first->device() == p.device())) ++at;
    if (at == launches.size()) launches.push_back({&p, {}});
    launches[at].second.push_back(item);
  }
  for (const Dense& t : written) autograd::announce_write(t.original);
  for (const auto& [where, items] : launches) {
    const int64_t n = static_cast<int64_t>(items.size());
    const Tensor space = bytes_on(*where, CCDL_KERNEL(*where, adafactor_workspace_bytes(items.data(), n)));
    CCDL_KERNEL(*where, adafactor_step(items.data(), n, options, space.data()));
  }
  for (const Dense& t : written) t.write_back();
}

}  // namespace ccdl::ops
