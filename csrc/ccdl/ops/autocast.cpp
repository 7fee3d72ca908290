#include <ccdl/ops/autocast.h>

#include <unordered_map>

#include <ccdl/core/device_api.h>
#include <ccdl/core/tls.h>

#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

struct Cached {
  Tensor source, cast;  // the source is kept: its address is the key
  uint32_t version;
};

struct State {
  bool enabled[2] = {false, false};
  DType dtype[2] = {DType::BFloat16, DType::Float16};
  bool cache_enabled = true;
  int depth = 0;
  const void* capture = nullptr;  // of the CUDA graph that the outermost region was entered in
  std::unordered_map<const void*, Cached> cache;
};

thread_local State t_state;
CCDL_TLS bool t_active = false;

int index_of(DeviceKind kind) { return static_cast<int>(kind); }

void list(std::unordered_map<std::string, CastPolicies>& table, std::initializer_list<DeviceKind> kinds,
          CastPolicy policy, std::initializer_list<const char*> names) {
  for (const char* name : names)
    for (DeviceKind kind : kinds) table[name].of[index_of(kind)] = policy;
}

// By the names of the rows, private ones included.
std::unordered_map<std::string, CastPolicies> make_table() {
  std::unordered_map<std::string, CastPolicies> t;
  constexpr DeviceKind cpu = DeviceKind::Cpu, cuda = DeviceKind::Cuda;
  list(t, {cpu, cuda}, CastPolicy::Low,
       {"conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "matmul",
        "mm",
        "bmm",
        "addmm",
        "addbmm",
        "baddbmm",
        "linear",
        "prelu",
        "inner",
        "matrix_power",
        "_einsum",
        "_tensordot",
        "_multi_dot",
        "scaled_dot_product_attention",
        "_attention",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "lstm_cell",
        "gru_cell",
        "rnn_tanh_cell",
        "rnn_relu_cell",
        "peephole_lstm",
        "peephole_lstm_cell"});
  list(t, {cuda}, CastPolicy::Low, {"addmv", "addr", "mv"});
  list(t, {cpu, cuda}, CastPolicy::Float32,
       {"binary_cross_entropy_with_logits", "cdist", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
        "kl_div", "nll_loss", "cross_entropy", "poisson_nll_loss", "hinge_embedding_loss",
        "margin_ranking_loss", "cosine_embedding_loss", "soft_margin_loss", "multi_margin_loss",
        "multilabel_margin_loss", "triplet_margin_loss"});
  list(t, {cpu}, CastPolicy::Float32,
       {"avg_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool3d", "max_pool3d", "max_unpool2d",
        "max_unpool3d", "binary_cross_entropy", "ctc_loss", "grid_sample", "prod", "quantile", "nanquantile",
        "trace"});
  list(t, {cuda}, CastPolicy::Float32,
       {"acos",  "arccos", "asin",   "arcsin",    "cosh",        "erfinv",           "exp",
        "expm1", "log",    "log10",  "log2",      "log1p",       "reciprocal",       "rsqrt",
        "sinh",  "tan",    "pow",    "softplus",  "layer_norm",  "rms_norm",         "group_norm",
        "dist",  "pdist",  "renorm", "logsumexp", "interpolate", "cosine_similarity"});
  list(t, {cuda}, CastPolicy::SetFloat32,
       {"prod", "softmax", "log_softmax", "cumprod", "cumsum", "sum", "norm", "_vector_norm"});
  list(t, {cpu}, CastPolicy::Promote, {"cat", "concat", "concatenate", "stack", "index_copy"});
  list(t, {cuda}, CastPolicy::Promote,
       {"addcdiv", "addcmul", "atan2", "arctan2", "bilinear", "cross", "dot", "vdot", "grid_sample",
        "index_put", "_tensordot", "inner", "scatter_add"});
  list(t, {cpu}, CastPolicy::Pad, {"pad"});
  list(t, {cuda}, CastPolicy::Banned, {"binary_cross_entropy"});
  return t;
}

}  // namespace

CastPolicies cast_policies(const std::string& op) {
  static const auto* table = new std::unordered_map<std::string, CastPolicies>(make_table());
  const auto found = table->find(op);
  return found == table->end() ? CastPolicies{} : found->second;
}

bool autocast_active() noexcept { return t_active; }
bool autocast_enabled(DeviceKind kind) noexcept { return t_state.enabled[index_of(kind)]; }
void set_autocast_enabled(DeviceKind kind, bool on) {
  t_state.enabled[index_of(kind)] = on;
  t_active = t_state.enabled[0] || t_state.enabled[1];
}
DType autocast_dtype(DeviceKind kind) noexcept { return t_state.dtype[index_of(kind)]; }
void set_autocast_dtype(DeviceKind kind, DType dtype) {
  CCDL_CHECK(is_floating(dtype), DType, "set_autocast_dtype: expected a floating-point dtype, got ",
             dtype_name(dtype));
  t_state.dtype[index_of(kind)] = dtype;
}
bool autocast_cache_enabled() noexcept { return t_state.cache_enabled; }
void set_autocast_cache_enabled(bool on) { t_state.cache_enabled = on; }
void clear_autocast_cache() {
  const auto dropped = std::move(t_state.cache);  // dies after the map is consistent again
  t_state.cache.clear();
}
int autocast_enter() {
  if (t_state.depth == 0) t_state.capture = cu::capturing_graph();
  return ++t_state.depth;
}
int autocast_leave() {
  if (t_state.depth > 0) --t_state.depth;
  return t_state.depth;
}

bool autocast_eligible(const Tensor& x, DeviceKind kind) {
  return x.defined() && is_floating(x.dtype()) && x.dtype() != DType::Float64 && x.device().kind == kind;
}

DType autocast_target(CastPolicy policy, DeviceKind kind, bool any_float32) {
  if (policy == CastPolicy::Low || (policy == CastPolicy::Promote && !any_float32))
    return autocast_dtype(kind);
  return DType::Float32;
}

Tensor autocast_to(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  const bool keep = t_state.cache_enabled && t_state.depth > 0 && is_half(dtype) &&
                    x.dtype() == DType::Float32 && requires_grad(x) && autograd::is_leaf(x) &&
                    !autograd::is_view(x) && t_state.capture == cu::capturing_graph();
  if (!keep) return to(x, dtype);
  const auto found = t_state.cache.find(x.impl());
  if (found != t_state.cache.end()) {
    const Cached& c = found->second;
    // a cast made without recording has no way back to its source; a written source has a new value
    if (c.cast.dtype() == dtype && c.version == x.version() && (requires_grad(c.cast) || !grad_enabled()))
      return c.cast;
  }
  const Tensor cast = to(x, dtype);
  t_state.cache[x.impl()] = {x, cast, x.version()};
  return cast;
}

}  // namespace ccdl::ops
