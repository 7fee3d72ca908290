// Scaled dot-product attention with PyTorch's semantics, and what PyTorch has no argument for.
#pragma once
#include <optional>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

struct AttentionOptions {
  double dropout = 0;
  bool causal = false;
  bool lower_right = false;     // causal: the last query sees the last key, not the first query the first key
  std::optional<double> scale;  // 1 / sqrt(D) when absent
  bool grouped = false;         // query head h uses key head h / (H / G)
  Tensor key_lengths;           // int64 [batch]: keys from there on are not seen; undefined: all are
};

// query [..., H, L, D], key [..., H, S, D], value [..., H, S, E]; leading dimensions broadcast. mask
// (broadcast to [..., H, L, S]): bool (true may attend) or floating (added); may be undefined. A query that
// sees no key gives 0. Second result: log-sum-exp of the scores [..., H, L] in float32 (float64 for float64),
// -inf without a key.
std::tuple<Tensor, Tensor> attention(const char* op, const Tensor& query, const Tensor& key,
                                     const Tensor& value, const Tensor& mask,
                                     const AttentionOptions& options);

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& mask = {}, double dropout = 0, bool causal = false,
                                    std::optional<double> scale = std::nullopt, bool grouped = false);

// The same from matrix products and softmax: what the fused form is checked against, and its second
// derivative.
std::tuple<Tensor, Tensor> attention_composite(const char* op, const Tensor& query, const Tensor& key,
                                               const Tensor& value, const Tensor& mask,
                                               const AttentionOptions& options);

}  // namespace ccdl::ops
