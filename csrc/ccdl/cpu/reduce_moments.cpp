// Reductions in two passes: variance about the mean, log-sum-exp about the largest.
#include <ccdl/cpu/reduce_values.h>

#include <cmath>

#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/reduce_moments.h>
#include <ccdl/cpu/simd/elementwise.h>
#include <ccdl/cpu/simd/panel.h>
#include <ccdl/cpu/simd/softmax.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {

using namespace reduction;

namespace reduction {
namespace {

void store_raw(const ValuePolicy& pol, const double* acc, int64_t o, int64_t n, const Plan&) {
  for (int64_t i = 0; i < n; ++i) pol.raw[o + i] = pol.op == ReduceOp::Mean ? acc[i] / pol.count : acc[i];
}
}  // namespace

void run_to_raw(RedKernel kernel, ReduceOp op, const View& x, const View& y, const Plan& plan,
                const double* c, double* raw) {
  const Source src = source_for(x, plan, kernel);
  ValuePolicy pol = value_policy(kernel, op, src, y, plan);
  pol.c = c;
  pol.per_output = c != nullptr;
  pol.store = store_raw;
  pol.raw = raw;
  run_values(pol, plan, src);
}

}  // namespace reduction

namespace {

// Short contiguous rows as the columns of a panel.
void log_sum_exp_short(const View& x, const View& y, const Plan& plan) {
  const Dim& inner = plan.out[plan.nout - 1];
  const int64_t bytes = item_size(x.dtype), n = plan.reduced;
  const auto kernel = simd_softmax().log_sum_exp[float_index(x.dtype)];
  parallel_for(plan.outputs, std::max<int64_t>(kPanelRows, 16384 / n), [&](int64_t b, int64_t e) {
    alignas(64) char panel[kPanelRows * kPanelWidth * 8], result[kPanelRows * 8];
    for (int64_t rows = 0; b < e; b += rows) {
      rows = std::min({kPanelRows, e - b, inner.size - b % inner.size});
      simd_panel().from_rows[panel_item(bytes)](
          static_cast<const char*>(x.data) + plan.x_offset_out(b) * bytes, rows, inner.xs, n, panel,
          kPanelRows);
      kernel(panel, result, n, kPanelRows, rows);
      by_dtype(y.dtype, [&](auto tag) {
        using T = decltype(tag);
        for_outputs(plan, b, rows,
                    [&](int64_t i, int64_t at) { y.ptr<T>()[at] = reinterpret_cast<const T*>(result)[i]; });
      });
    }
  });
}

}  // namespace

// An infinite largest element counts as 0 in the exponent.
void log_sum_exp(const View& x, const View& y) {
  const Plan plan = make_plan(x, y);
  if (plan.short_rows && plan.reduced <= kPanelWidth && x.dtype == y.dtype)
    return log_sum_exp_short(x, y, plan);
  const auto shift = make_partial(plan.outputs), sums = make_partial(plan.outputs);
  run_to_raw(RedKernel::Max, ReduceOp::Max, x, y, plan, nullptr, shift.get());
  for (int64_t i = 0; i < plan.outputs; ++i)
    if (std::isinf(shift[i])) shift[i] = 0;
  run_to_raw(RedKernel::SumExp, ReduceOp::Sum, x, y, plan, shift.get(), sums.get());
  const ElementFn log = simd_elementwise_unary().full.fn[static_cast<int>(UnaryOp::Log)];
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(plan.outputs, 8192, [&](int64_t b, int64_t e) {
      void* ptr[] = {sums.get() + b, sums.get() + b};
      log(ptr, e - b, {});
      for_outputs(plan, b, e - b,
                  [&](int64_t i, int64_t at) { y.ptr<T>()[at] = narrow<T>(sums[b + i] + shift[b + i]); });
    });
  });
}

void variance(const View& x, const View& y, const View& mean, double correction, bool root) {
  const Plan plan = make_plan(x, y);
  const auto means = make_partial(plan.outputs), sums = make_partial(plan.outputs);
  run_to_raw(RedKernel::SumD, ReduceOp::Mean, x, y, plan, nullptr, means.get());
  run_to_raw(RedKernel::SqDiff, ReduceOp::Sum, x, y, plan, means.get(), sums.get());
  const double free = std::max(0.0, static_cast<double>(plan.reduced) - correction);
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_outputs(plan, 0, plan.outputs, [&](int64_t i, int64_t at) {
      const double v = sums[i] / free;
      y.ptr<T>()[at] = narrow<T>(root ? std::sqrt(v) : v);
    });
    if (!mean.data) return;
    const Plan to_mean = make_plan(x, mean);
    for_outputs(to_mean, 0, plan.outputs,
                [&](int64_t i, int64_t at) { mean.ptr<T>()[at] = narrow<T>(means[i]); });
  });
}

}  // namespace ccdl::cpu
