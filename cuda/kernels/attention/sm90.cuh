// Entries of the Hopper attention kernels. Each is
// false, with nothing queued, where the problem does not suit it: a mask, dropout, split keys, packed heads,
// rows that TMA cannot step over, or a driver without tensor maps.
#pragma once
#include <kernels/attention/problem.cuh>

namespace ccdl::cu {

bool attention_forward_sm90(const AttentionProblem<float16>& p);
bool attention_forward_sm90(const AttentionProblem<bfloat16>& p);
// The gradients asked for (p.dq, p.dk and p.dv present).
bool attention_backward_sm90(const AttentionProblem<float16>& p);
bool attention_backward_sm90(const AttentionProblem<bfloat16>& p);

}  // namespace ccdl::cu
