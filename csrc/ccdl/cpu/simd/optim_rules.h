// Inner loops of the shared optimiser step over elements [0, n) of one parameter, one per rule. Second index:
// float16, bfloat16, float32, float64. States may be null where the rule does without.
#pragma once
#include <ccdl/cpu/isa.h>
#include <ccdl/kernels/optim_rules.h>
#include <cstdint>

namespace ccdl::cpu {

struct OptimRulesKernels {
  void (*step[static_cast<int>(OptimRule::kCount)][4])(void* p, const void* g, void* const* state, int64_t n,
                                                       const RuleNumbers<double>& c);
};
CCDL_SIMD_FAMILY(OptimRulesKernels, optim_rules)

}  // namespace ccdl::cpu
