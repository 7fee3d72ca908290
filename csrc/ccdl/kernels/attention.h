// Attention without the score matrix (FlashAttention 2022, FlashAttention-2 2023):
//   s = scale q k^T (+ mask), p = softmax(s) over the keys, o = dropout(p) v
// q [B, H, L, D], k [B, G, S, D], v [B, G, S, E], out [B, H, L, E]; G divides H: query head h uses key head
// h / (H / G). One floating dtype T; last stride 1, all others any (0 only in inputs). D, E >= 1 of any size;
// kernels are tuned for 16-256. Accumulation in float (double for float64).
#pragma once
#include <ccdl/core/rng.h>
#include <ccdl/core/view.h>

namespace ccdl {

constexpr int64_t kNotCausal = INT64_MAX;

struct AttentionParams {
  double scale;
  int64_t causal_offset = kNotCausal;  // query i sees keys j <= i + causal_offset (may be negative)
  View mask{};  // [B, H, L, S], any strides (0: broadcast): Bool (true: may attend) or T (added; -inf: may
                // not attend, whatever the score); or absent
  View key_lengths{};  // int64 [B], on the device of q: keys >= key_lengths[b] are not seen; or absent
  double dropout =
      0;  // element (b, h, i, j) in logical order [B, H, L, S] takes that word of the stream, kept
  RandomState random{0,
                     0};  // when rng::kept(word, rng::keep_threshold(dropout)), scaled by 1 / (1 - dropout)
};
}  // namespace ccdl

// A query that sees no key (every score -inf, or masked whatever it is) gives out = 0, lse = -inf and no
// gradient.
#define CCDL_ATTENTION_CONTRACT                                                                              \
  /* lse [B, H, L] contiguous in the stat dtype (float32, or float64 for float64): log sum exp of the scores \
     (natural logarithm); may be absent. Overwrites out and lse. */                                          \
  void attention_forward(const View& q, const View& k, const View& v, const View& out, const View& lse,      \
                         const AttentionParams& p, void* workspace);                                         \
  int64_t attention_forward_workspace_bytes(const View& q, const View& k, const View& v,                     \
                                            const AttentionParams& p);                                       \
  /* ds = p (dropout'(dout v^T) - sum(dout out)), dq = scale ds k, dk = scale ds^T q, dv = dropout(p)^T      \
     dout, summed over the query heads of a key head in fixed order. dq, dk, dv like q, k, v, last stride 1, \
     each may be absent; overwritten. */                                                                     \
  void attention_backward(const View& q, const View& k, const View& v, const View& out, const View& lse,     \
                          const View& dout, const View& dq, const View& dk, const View& dv,                  \
                          const AttentionParams& p, void* workspace);                                        \
  int64_t attention_backward_workspace_bytes(const View& q, const View& k, const View& v,                    \
                                             const AttentionParams& p);

namespace ccdl::cpu {
CCDL_ATTENTION_CONTRACT
}
namespace ccdl::cu {
CCDL_ATTENTION_CONTRACT
}
#undef CCDL_ATTENTION_CONTRACT
