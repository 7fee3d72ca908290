#include <ccdl/ops/attention.h>

#include <ccdl/core/generator.h>
#include <ccdl/kernels/attention.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/random.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/softmax.h>

#include <cmath>
#include <limits>

namespace ccdl::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// One call seen as q [B, H, L, D], k [B, G, S, D], v [B, G, S, E], mask [B, H, L, S].
struct Problem {
  Tensor q, k, v, mask, key_lengths;
  Dims lead;  // what B and H were made from
  double scale = 1, dropout = 0;
  int64_t causal_offset = kNotCausal;
  RandomState random{0, 0};

  int64_t batch() const { return q.size(0); }
  int64_t heads() const { return q.size(1); }
  int64_t length() const { return q.size(2); }
  int64_t keys() const { return k.size(2); }
};

Dims with_tail(const Dims& lead, std::initializer_list<int64_t> tail) {
  Dims sizes = lead;
  for (int64_t n : tail) sizes.push_back(n);
  return sizes;
}

// x broadcast to leading sizes `lead`, the last of which is `heads` (absent: 1), as [batch, heads, rows,
// columns].
Tensor as_4d(const Tensor& x, Dims lead, std::optional<int64_t> heads, int64_t batch) {
  if (heads) lead.back() = *heads;
  const Dims full = with_tail(lead, {x.size(-2), x.size(-1)});
  const Tensor wide = x.sizes() == full ? x : expand(x, full);
  return wide.dim() == 4 ? wide : reshape(wide, Dims{batch, heads.value_or(1), x.size(-2), x.size(-1)});
}

void check_tensors(const char* op, const Tensor& q, const Tensor& k, const Tensor& v) {
  CCDL_CHECK(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2, Shape, op,
             ": Expected query, key, and value to all be at least 2 dimensional, but got query ", q.sizes(),
             ", key ", k.sizes(), ", value ", v.sizes());
  CCDL_CHECK(is_floating(q.dtype()), DType, op, ": query must be floating point, got ", describe(q));
  CCDL_CHECK(q.dtype() == k.dtype() && q.dtype() == v.dtype(), DType, op,
             ": Expected query, key, and value to have the same dtype, but got query ", dtype_name(q.dtype()),
             ", key ", dtype_name(k.dtype()), " and value ", dtype_name(v.dtype()));
  check_same_device(op, {{"query", &q}, {"key", &k}, {"value", &v}});
  CCDL_CHECK(q.size(-1) == k.size(-1), Shape, op, ": query and key must have the same head size, got ",
             q.size(-1), " and ", k.size(-1), " (query ", q.sizes(), ", key ", k.sizes(), ")");
  CCDL_CHECK(k.size(-2) == v.size(-2), Shape, op, ": key and value must have the same length, got ",
             k.size(-2), " and ", v.size(-2), " (key ", k.sizes(), ", value ", v.sizes(), ")");
}

Dims leading(const Tensor& x, int64_t tail) {
  Dims lead = x.sizes();
  lead.resize(static_cast<size_t>(x.dim() - tail));
  return lead;
}

// Key and value heads of grouped attention: their own number where key and value agree, else the query's.
int64_t shared_heads(const char* op, const Tensor& q, Tensor* k, Tensor* v) {
  CCDL_CHECK(q.dim() >= 3 && k->dim() >= 3 && v->dim() >= 3, Index, op,
             ": enable_gqa needs a head dimension [..., H, L, E], got query ", q.sizes(), ", key ",
             k->sizes(), ", value ", v->sizes());
  const int64_t heads = q.size(-3);
  for (const Tensor* x : {k, v})
    CCDL_CHECK(x->size(-3) > 0 && heads % x->size(-3) == 0, Shape, op,
               ": Number of heads in key and value must divide the number of heads in query, got query ",
               q.sizes(), ", key ", k->sizes(), ", value ", v->sizes());
  if (k->size(-3) == v->size(-3)) return k->size(-3);
  *k = repeat_interleave(*k, heads / k->size(-3), -3);
  *v = repeat_interleave(*v, heads / v->size(-3), -3);
  return heads;
}

void check_mask(const char* op, const Tensor& q, const Tensor& mask, const AttentionOptions& o,
                const Dims& lead, int64_t keys) {
  if (!mask.defined()) return;
  CCDL_CHECK(!o.causal, Runtime, op,
             ": Explicit attn_mask should not be set when is_causal=True, got attn_mask ", describe(mask),
             "; put the causal part into the mask");
  CCDL_CHECK(mask.dtype() == DType::Bool || mask.dtype() == DType::Float32 || mask.dtype() == q.dtype(),
             DType, op,
             ": Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask ",
             dtype_name(mask.dtype()), " and query ", dtype_name(q.dtype()));
  check_same_device(op, {{"query", &q}, {"attn_mask", &mask}});
  const Dims full = with_tail(lead, {q.size(-2), keys});
  CCDL_CHECK(is_expandable_to(mask.sizes(), full), Shape, op,
             ": attn_mask must be broadcastable to the attention weights ", full, ", got ", mask.sizes());
}

Problem check(const char* op, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask,
              const AttentionOptions& o) {
  check_tensors(op, query, key, value);
  CCDL_CHECK(o.dropout >= 0 && o.dropout <= 1, Runtime, op,
             ": dropout probability has to be between 0 and 1, but got ", o.dropout);
  Problem p;
  Tensor k = key, v = value;
  std::optional<int64_t> shared;  // key heads, where they are fewer
  if (o.grouped) {
    shared = shared_heads(op, query, &k, &v);
    p.lead = broadcast_shapes(op, leading(query, 3), broadcast_shapes(op, leading(k, 3), leading(v, 3)));
    p.lead.push_back(query.size(-3));
  } else {
    p.lead = broadcast_shapes(op, leading(query, 2), broadcast_shapes(op, leading(k, 2), leading(v, 2)));
    // one key head for all query heads needs no copies of it
    if (query.dim() == 4 && k.dim() == 4 && v.dim() == 4 && k.size(1) == 1 && v.size(1) == 1 &&
        query.size(1) > 1)
      shared = 1;
  }
  check_mask(op, query, mask, o, p.lead, k.size(-2));
  std::optional<int64_t> heads;
  if (o.grouped || p.lead.size() >= 2) heads = p.lead.back();
  int64_t batch = 1;
  for (size_t i = 0; i + (heads ? 1 : 0) < p.lead.size(); ++i) batch *= p.lead[i];
  p.q = as_4d(query, p.lead, heads, batch);
  p.k = as_4d(k, p.lead, shared ? shared : heads, batch);
  p.v = as_4d(v, p.lead, shared ? shared : heads, batch);
  if (mask.defined()) {
    Tensor m = mask.dtype() == DType::Bool ? mask : to(mask, query.dtype());
    m = expand(m, with_tail(p.lead, {query.size(-2), k.size(-2)}));
    p.mask = m.dim() == 4 ? m : reshape(m, Dims{batch, p.heads(), p.length(), p.keys()});
  }
  if (o.key_lengths.defined()) {
    CCDL_CHECK(o.key_lengths.dtype() == DType::Int64 && o.key_lengths.sizes() == Dims{batch}, Shape, op,
               ": key_lengths must be int64 [", batch, "], one per batch entry of query ", query.sizes(),
               ", got ", describe(o.key_lengths));
    check_same_device(op, {{"query", &query}, {"key_lengths", &o.key_lengths}});
    p.key_lengths = o.key_lengths;
  }
  p.scale = o.scale ? *o.scale : 1 / std::sqrt(static_cast<double>(query.size(-1)));
  p.dropout = o.dropout;
  if (o.causal) p.causal_offset = o.lower_right ? p.keys() - p.length() : 0;
  if (p.dropout > 0)
    p.random =
        current_generator().reserve(checked_numel(op, Dims{p.batch(), p.heads(), p.length(), p.keys()}));
  return p;
}

// Which keys each query sees, as a bool that broadcasts to [B, H, L, S]; undefined: all.
Tensor visible(const Problem& p) {
  NoGradGuard no_grad;
  const Device device = p.q.device();
  Tensor seen = p.mask.defined() && p.mask.dtype() == DType::Bool ? p.mask : Tensor();
  const auto also = [&](const Tensor& x) { seen = seen.defined() ? logical_and(seen, x) : x; };
  const Tensor j = arange(Scalar(0), Scalar(p.keys()), Scalar(1), DType::Int64, device);
  if (p.causal_offset != kNotCausal) {
    const Tensor i = arange(Scalar(0), Scalar(p.length()), Scalar(1), DType::Int64, device);
    also(le(j, add(unsqueeze(i, 1), Scalar(p.causal_offset))));
  }
  if (p.key_lengths.defined()) also(lt(j, reshape(p.key_lengths, Dims{p.batch(), 1, 1, 1})));
  return seen;
}

// s = scale q k^T + mask, p = softmax(s), o = dropout(p) v; rows without a key give 0 and -inf.
std::tuple<Tensor, Tensor> composite(const Problem& p) {
  const DType t = p.q.dtype(), stat = stat_dtype(t);
  const int64_t repeats = p.k.size(1) > 0 ? p.heads() / p.k.size(1) : 1;
  const auto widened = [&](const Tensor& x) {
    const Tensor wide = to(x, stat);
    return repeats == 1 ? wide : repeat_interleave(wide, repeats, 1);
  };
  Tensor s = matmul(mul(to(p.q, stat), Scalar(p.scale)), transpose(widened(p.k), -2, -1));
  const Dims rows{p.batch(), p.heads(), p.length()};
  if (p.keys() == 0 || s.numel() == 0)
    return {to(matmul(s, widened(p.v)), t), full(rows, Scalar(-kInf), stat, p.q.device())};
  if (p.mask.defined() && p.mask.dtype() != DType::Bool) s = add(s, to(p.mask, stat));
  const Tensor seen = visible(p);
  if (seen.defined()) s = where(seen, s, Scalar(-kInf));
  Tensor dead;
  {
    NoGradGuard no_grad;
    dead = eq(amax(s, Dims{-1}, true), Scalar(-kInf));
  }
  s = where(dead, Scalar(0.0), s);
  const Tensor lse = where(squeeze(dead, Dims{-1}), Scalar(-kInf), logsumexp(s, Dims{-1}));
  Tensor weights = where(dead, Scalar(0.0), softmax(s, -1));
  if (p.dropout > 0) weights = dropout_at(weights, p.random, p.dropout);
  return {to(matmul(weights, widened(p.v)), t), lse};
}

// A row of the last dimension lies densely.
Tensor dense_rows(const Tensor& x) { return x.stride(-1) == 1 ? x : dense(x); }

// Uninitialised [B, H, L, E] stored as [B, L, H, E] when x is stored so.
Tensor empty_heads(const Tensor& x, int64_t columns) {
  const int64_t b = x.size(0), h = x.size(1), l = x.size(2);
  if (h > 1 && l > 1 && x.stride(1) < x.stride(2))
    return empty_strided(Dims{b, h, l, columns}, Dims{l * h * columns, columns, h * columns, 1}, x.dtype(),
                         x.device());
  return empty(Dims{b, h, l, columns}, x.dtype(), x.device());
}

AttentionParams params(const Problem& p) {
  AttentionParams a{p.scale};
  a.causal_offset = p.causal_offset;
  if (p.mask.defined()) a.mask = p.mask.view();
  if (p.key_lengths.defined()) a.key_lengths = p.key_lengths.view();
  a.dropout = p.dropout;
  a.random = p.random;
  return a;
}

Tensor workspace_of(const Tensor& x, int64_t bytes) { return empty(Dims{bytes}, DType::UInt8, x.device()); }

// ds = p (dropout'(dout v^T) - sum(dout out)), dq = scale ds k, dk = scale ds^T q, dv = dropout(p)^T dout,
// with p made again from q, k and lse
struct AttentionBackward : Node {
  const char* name() const override { return "ScaledDotProductAttentionBackward"; }
  SavedTensor query, key, value, output, mask, key_lengths;
  Tensor lse;
  Problem settings;  // without its tensors

  TensorList apply(const TensorList& grads) override {
    Problem p = settings;
    p.q = query.get(this);
    p.k = key.get(this);
    p.v = value.get(this);
    if (mask.defined()) p.mask = mask.get(this);
    if (key_lengths.defined()) p.key_lengths = key_lengths.get(this);
    const bool through_lse = grads.size() > 1 && grads[1].defined();
    if (grad_enabled() || through_lse) return composite_gradients(p, grads);
    return fused_gradients(p, grads[0]);
  }
  TensorList fused_gradients(const Problem& p, const Tensor& grad) {
    const Tensor q = dense_rows(p.q), k = dense_rows(p.k), v = dense_rows(p.v), dout = dense_rows(grad),
                 out = dense_rows(output.get(this));
    Tensor dq, dk, dv;
    if (needs(0)) dq = empty_heads(q, q.size(3));
    if (needs(1)) dk = empty_heads(k, k.size(3));
    if (needs(2)) dv = empty_heads(v, v.size(3));
    const AttentionParams a = params(p);
    const Tensor workspace =
        workspace_of(q, CCDL_KERNEL(q, attention_backward_workspace_bytes(q.view(), k.view(), v.view(), a)));
    CCDL_KERNEL(q, attention_backward(q.view(), k.view(), v.view(), out.view(), lse.view(), dout.view(),
                                      maybe_view(dq), maybe_view(dk), maybe_view(dv), a, workspace.data()));
    return {dq, dk, dv};
  }
  TensorList composite_gradients(const Problem& p, const TensorList& grads) {
    const bool recording = grad_enabled();
    TensorList d = autograd::differentiate(
        [&](const TensorList& in) {
          Problem again = p;
          again.q = in[0];
          again.k = in[1];
          again.v = in[2];
          const auto [out, sums] = composite(again);
          return TensorList{out, sums};
        },
        {p.q, p.k, p.v}, grads);
    if (!recording)
      for (Tensor& x : d)
        if (x.defined()) x = detach(x);
    return d;
  }
  void release_saved() override {
    for (SavedTensor* s : {&query, &key, &value, &output, &mask, &key_lengths}) s->reset();
    lse = Tensor();
  }
};

std::tuple<Tensor, Tensor> fused(const Problem& p) {
  const Tensor q = dense_rows(p.q), k = dense_rows(p.k), v = dense_rows(p.v);
  Tensor out = empty_heads(p.q, p.v.size(3));
  Tensor lse = empty(Dims{p.batch(), p.heads(), p.length()}, stat_dtype(q.dtype()), q.device());
  const AttentionParams a = params(p);
  {
    const Tensor workspace =
        workspace_of(q, CCDL_KERNEL(q, attention_forward_workspace_bytes(q.view(), k.view(), v.view(), a)));
    CCDL_KERNEL(q,
                attention_forward(q.view(), k.view(), v.view(), out.view(), lse.view(), a, workspace.data()));
  }
  if (needs_graph(p.q, p.k, p.v)) {
    auto node = make_ref<AttentionBackward>();
    node->query = p.q;
    node->key = p.k;
    node->value = p.v;
    if (p.mask.defined()) node->mask = p.mask;
    if (p.key_lengths.defined()) node->key_lengths = p.key_lengths;
    node->settings = p;
    for (Tensor* x : {&node->settings.q, &node->settings.k, &node->settings.v, &node->settings.mask,
                      &node->settings.key_lengths})
      *x = Tensor();
    node->output = SavedTensor(out, node.get());
    node->lse = lse;
    lse = autograd::detach(lse);  // the node keeps its own handle: an output must not hold itself
    record(node.get(), {p.q, p.k, p.v}, {out, lse});
  }
  return {out, lse};
}

// Results back in the caller's leading dimensions.
std::tuple<Tensor, Tensor> restored(const Problem& p, const std::tuple<Tensor, Tensor>& results) {
  const auto& [out, lse] = results;
  if (p.lead.size() == 2) return results;
  return {reshape(out, with_tail(p.lead, {out.size(2), out.size(3)})),
          reshape(lse, with_tail(p.lead, {lse.size(2)}))};
}

}  // namespace

std::tuple<Tensor, Tensor> attention(const char* op, const Tensor& query, const Tensor& key,
                                     const Tensor& value, const Tensor& mask,
                                     const AttentionOptions& options) {
  const OpName name(op);
  const Problem p = check(op, query, key, value, mask, options);
  const bool nothing = p.q.numel() == 0 || p.k.numel() == 0 || p.v.numel() == 0;
  const bool learns_mask = p.mask.defined() && requires_grad(p.mask) && grad_enabled();
  return restored(p, nothing || learns_mask ? composite(p) : fused(p));
}

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& mask, double dropout, bool causal,
                                    std::optional<double> scale, bool grouped) {
  AttentionOptions o;
  o.dropout = dropout;
  o.causal = causal;
  o.scale = scale;
  o.grouped = grouped;
  return std::get<0>(attention("scaled_dot_product_attention", query, key, value, mask, o));
}

std::tuple<Tensor, Tensor> attention_composite(const char* op, const Tensor& query, const Tensor& key,
                                               const Tensor& value, const Tensor& mask,
                                               const AttentionOptions& options) {
  const Problem p = check(op, query, key, value, mask, options);
  return restored(p, composite(p));
}

}  // namespace ccdl::ops
