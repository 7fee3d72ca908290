// The optimiser step by an element rule, over lists of tensors, in place and outside the graph.
#pragma once
#include <ccdl/kernels/optim_rules.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// rule: a name of CCDL_OPTIM_RULES. states has three lists, each empty or one entry per parameter, as the
// rule's comment there says; steps[i] counts the present step as 1 at first; scalars is empty or one or two
// lists of a number per parameter.
void fused_rule_step(const std::string& rule, const TensorList& params, const TensorList& grads,
                     const TensorList (&states)[3], const std::vector<double>& steps,
                     const std::vector<double> (&scalars)[2], const RuleOptions& options);

}  // namespace ccdl::ops
