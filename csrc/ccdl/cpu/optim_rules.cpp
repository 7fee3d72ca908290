// The step shared by the optimisers with an element rule.
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/item_pieces.h>
#include <ccdl/cpu/simd/optim_rules.h>
#include <ccdl/kernels/optim_rules.h>

namespace ccdl::cpu {
namespace {

RuleNumbers<double> numbers_of(OptimRule rule, const RuleOptions& o, const RuleItem& item) {
  const double t = static_cast<double>(item.step);
  switch (rule) {
#define CCDL_X(Name)    \
  case OptimRule::Name: \
    return optim_rules::numbers_of<optim_rules::Name>(o, o.lr, t, item.scalar);
    CCDL_OPTIM_RULES(CCDL_X)
#undef CCDL_X
    default:
      return {};
  }
}

void* advance(void* p, const RuleItem& item, int64_t start) {
  return p ? element(p, item.dtype, start) : nullptr;
}

}  // namespace

void rule_step(OptimRule rule, const RuleItem* items, int64_t count, const RuleOptions& o) {
  std::vector<RuleNumbers<double>> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(numbers_of(rule, o, items[i]));
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const RuleItem& item = items[i];
    void* const state[3] = {advance(item.state[0], item, start), advance(item.state[1], item, start),
                            advance(item.state[2], item, start)};
    simd_optim_rules().step[static_cast<int>(rule)][float_index(item.dtype)](
        advance(item.param, item, start), advance(const_cast<void*>(item.grad), item, start), state, n,
        numbers[static_cast<size_t>(i)]);
  });
}

}  // namespace ccdl::cpu
