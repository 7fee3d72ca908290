// The optimiser step by an element rule (ccdl/kernels/optim_rules.h): the numbers of the step are computed
// once per block in double, as the CPU does, so that captured graphs and plain steps give the same bits.
#include <kernels/optim_pieces.cuh>

#include <ccdl/kernels/optim_rules.h>

namespace ccdl::cu {
namespace {

struct RuleEntry : Item {
  double scalar[2];
};
using RulePlan = Plan<RuleOptions, RuleEntry, 36>;

template <class A>
struct RuleMath {
  using S = A;
  CCDL_DEVICE static constexpr A k(double c) { return static_cast<A>(c); }
  CCDL_DEVICE static A sel(bool m, A a, A b) { return m ? a : b; }
  CCDL_DEVICE static A fma(A a, A b, A c) {
    if constexpr (sizeof(A) == 4)
      return ::fmaf(a, b, c);
    else
      return ::fma(a, b, c);
  }
  CCDL_DEVICE static A sqrt(A a) {
    if constexpr (sizeof(A) == 4)
      return ::sqrtf(a);
    else
      return ::sqrt(a);
  }
  CCDL_DEVICE static A abs(A a) { return a < 0 ? -a : a == 0 ? A(0) : a; }
};

template <class T, class Rule>
struct RuleUpdate {
  using A = Compute<T>;
  const RuleEntry& item;
  RuleNumbers<A> c;

  template <int N>
  CCDL_DEVICE void run(int64_t i) const {
    Vec<T, N> p = read<T, N>(item.param, i), s[3] = {};
    const Vec<T, N> g = read<T, N>(item.grad, i);
#pragma unroll
    for (int j = 0; j < 3; ++j)
      if (item.state[j] != nullptr) s[j] = read<T, N>(item.state[j], i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      A v[3] = {convert<A>(s[0][k]), convert<A>(s[1][k]), convert<A>(s[2][k])};
      p[k] = convert<T>(optim_rules::advance<Rule, RuleMath<A>, A>(convert<A>(p[k]), convert<A>(g[k]), v, c));
#pragma unroll
      for (int j = 0; j < 3; ++j) s[j][k] = convert<T>(v[j]);
    }
#pragma unroll
    for (int j = 0; j < 3; ++j)
      if (item.state[j] != nullptr) write<T, N>(item.state[j], i, s[j]);
    write<T, N>(item.param, i, p);
  }
};

template <class T, class Rule>
__global__ void __launch_bounds__(kThreads) rule_kernel(const __grid_constant__ RulePlan plan) {
  using A = Compute<T>;
  CCDL_SHARED(RuleNumbers<double>, exact, [1]);
  const RuleEntry& item = item_of_block(plan);
  const RuleOptions& o = plan.options;
  if (o.found_inf && *o.found_inf != 0) return;  // all threads of all blocks
  if (threadIdx.x == 0) {
    double scalar[2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
      scalar[i] = o.device_scalar[i] != nullptr ? *o.device_scalar[i] : item.scalar[i];
    const double t = static_cast<double>(step_of(o, item)) - (o.skipped ? *o.skipped : 0);
    exact[0] = optim_rules::numbers_of<Rule>(o, rate_of(o), t, scalar);
  }
  __syncthreads();  // the numbers are there
  const RuleNumbers<double>& e = exact[0];
  RuleUpdate<T, Rule> update{item,
                             {static_cast<A>(e.sign), static_cast<A>(e.decay), static_cast<A>(e.shrink), {}}};
#pragma unroll
  for (int i = 0; i < 7; ++i) update.c.k[i] = static_cast<A>(e.k[i]);
  for_piece<T>(item, update);
}

template <class Rule>
void step(const RuleItem* items, int64_t count, const RuleOptions& options) {
  const auto entry = [](const RuleItem& item, int64_t first_block) {
    return RuleEntry{entry_of(item, first_block), {item.scalar[0], item.scalar[1]}};
  };
  launch_step<float>(items, count, options, rule_kernel<float, Rule>, entry);
  launch_step<float16>(items, count, options, rule_kernel<float16, Rule>, entry);
  launch_step<bfloat16>(items, count, options, rule_kernel<bfloat16, Rule>, entry);
  launch_step<double>(items, count, options, rule_kernel<double, Rule>, entry);
}

}  // namespace

void rule_step(OptimRule rule, const RuleItem* items, int64_t count, const RuleOptions& options) {
  switch (rule) {
#define CCDL_X(Name)    \
  case OptimRule::Name: \
    return step<optim_rules::Name>(items, count, options);
    CCDL_OPTIM_RULES(CCDL_X)
#undef CCDL_X
    default:
      return;
  }
}

}  // namespace ccdl::cu
