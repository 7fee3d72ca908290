#include <ccdl/ops/optim_rules.h>

#include <ccdl/ops/optim_lists.h>

namespace ccdl::ops {
namespace {

struct RuleRow {
  const char* name;
  int least_states, scalars;
};

// In the order of OptimRule. Rules without a state of their own number take fewer lists.
constexpr RuleRow kRules[] = {{"Adagrad", 1, 0}, {"Adadelta", 2, 0},     {"RmsProp", 1, 0}, {"Adamax", 2, 0},
                              {"NAdam", 2, 1},   {"RAdam", 2, 0},        {"Asgd", 1, 2},    {"Rprop", 2, 0},
                              {"Lion", 1, 0},    {"AmsCorrected", 3, 0}, {"Lerp", 0, 1}};
static_assert(std::size(kRules) == static_cast<size_t>(OptimRule::kCount));

OptimRule rule_named(const char* op, const std::string& name) {
  for (size_t i = 0; i < std::size(kRules); ++i)
    if (name == kRules[i].name) return static_cast<OptimRule>(i);
  fail(ErrorKind::Value, str(op, ": there is no rule '", name, "'"));
}

}  // namespace

void fused_rule_step(const std::string& name, const TensorList& params, const TensorList& grads,
                     const TensorList (&states)[3], const std::vector<double>& steps,
                     const std::vector<double> (&scalars)[2], const RuleOptions& options) {
  const char* op = "fused_rule_step";
  const OptimRule rule = rule_named(op, name);
  const RuleRow& row = kRules[static_cast<size_t>(rule)];
  const size_t count = params.size();
  check_list(op, "grads", grads, count, false);
  static constexpr const char* kStates[] = {"states0", "states1", "states2"};
  for (int i = 0; i < 3; ++i) check_list(op, kStates[i], states[i], count, i >= row.least_states);
  CCDL_CHECK(rule != OptimRule::RmsProp || ((options.number[2] == 0 || !states[1].empty()) &&
                                            (options.number[3] == 0 || !states[2].empty())),
             Value, op, ": RmsProp needs a momentum buffer with momentum and a mean gradient when centered");
  CCDL_CHECK(steps.size() == count, Value, op, ": steps has ", steps.size(), " numbers, params has ", count);
  for (double s : steps) CCDL_CHECK(s >= 1, Value, op, ": steps count from 1, got ", s);
  for (int i = 0; i < row.scalars; ++i)
    CCDL_CHECK(scalars[i].size() == count, Value, op, ": scalars has ", scalars[i].size(),
               " numbers, params has ", count);
  run_step<RuleItem>(
      op, params,
      {{"grads", &grads}, {kStates[0], &states[0]}, {kStates[1], &states[1]}, {kStates[2], &states[2]}},
      [&](size_t i, RuleItem* item) {
        item->step = static_cast<int64_t>(steps[i]);
        for (int j = 0; j < 2; ++j) item->scalar[j] = i < scalars[j].size() ? scalars[j][i] : 0;
      },
      [&]([[maybe_unused]] const Tensor& where, const RuleItem* items, int64_t n) {
        CCDL_KERNEL(where, rule_step(rule, items, n, options));
      });
}

}  // namespace ccdl::ops
