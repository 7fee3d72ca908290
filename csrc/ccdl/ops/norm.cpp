#include <ccdl/ops/norm.h>

#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/kernels/norm.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>

namespace ccdl::ops {
namespace {

// y = (x - mean) rstd w + b over `dims`, from ops; w and b already broadcastable. rms: without the mean.
Tensor composite_norm(const Tensor& x, const Dims& dims, const Tensor& weight, const Tensor& bias, double eps,
                      bool rms) {
  const Tensor centred = rms ? x : sub(x, mean(x, dims, true));
  const Tensor var = mean(mul(centred, centred), dims, true);
  Tensor y = mul(centred, pow(add(var, Scalar(eps)), Scalar(-0.5)));
  if (weight.defined()) y = mul(y, weight);
  return bias.defined() ? add(y, bias) : y;
}

Tensor like(const Tensor& x, bool wanted) {
  return wanted ? empty(x.sizes(), x.dtype(), x.device()) : Tensor();
}

// [1, C, 1, ...] for a per-channel vector of an n-dimensional input.
Tensor per_channel(const Tensor& v, int64_t ndim) {
  if (!v.defined()) return v;
  Dims shape(static_cast<size_t>(ndim), 1);
  shape[1] = v.numel();
  return reshape(v, shape);
}

Tensor compute_copy(const Tensor& v, DType dtype) {  // dense and of x's dtype, without history
  if (!v.defined()) return v;
  NoGradGuard no_grad;
  return contiguous(to(v, dtype));
}

// Both have the input's dtype or, where ``single`` says so, float32.
void check_vector_dtypes(const char* op, const Tensor& x, bool single, const char* name, const Tensor& a,
                         const char* other, const Tensor& b) {
  for (const auto& [which, v] : {std::pair<const char*, const Tensor*>{name, &a}, {other, &b}})
    CCDL_CHECK(!v->defined() || v->dtype() == x.dtype() || (single && v->dtype() == DType::Float32), DType,
               op, ": mixed dtype: ", which, " is ", describe(*v), " but input is ", describe(x),
               "; convert one of them with .to()");
  CCDL_CHECK(!a.defined() || !b.defined() || a.dtype() == b.dtype(), DType, op, ": mixed dtype: ", name,
             " is ", describe(a), " but ", other, " is ", describe(b), "; convert one of them with .to()");
}

struct RowShape {
  int64_t m, n;
  Dims dims;  // the normalised ones
};

RowShape check_rows(const char* op, const Tensor& x, IntSpan shape, const Tensor& weight,
                    const Tensor& bias) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(x));
  const Dims wanted(shape);
  CCDL_CHECK(!shape.empty(), Runtime, op, ": Expected normalized_shape to be at least 1-dimensional, got ",
             wanted);
  bool fits = static_cast<int64_t>(shape.size()) <= x.dim();
  RowShape r = {1, 1, {}};
  for (int64_t i = 0; fits && i < x.dim(); ++i) {
    const int64_t k = i - (x.dim() - static_cast<int64_t>(shape.size()));
    if (k < 0) {
      r.m *= x.size(i);
      continue;
    }
    fits = x.size(i) == shape[static_cast<size_t>(k)];
    r.n *= x.size(i);
    r.dims.push_back(i);
  }
  CCDL_CHECK(fits, Runtime, op, ": Given normalized_shape=", wanted, ", expected input with shape [*, ",
             wanted, "], but got input of size ", x.sizes());
  for (const auto& [name, v] : {std::pair<const char*, const Tensor*>{"weight", &weight}, {"bias", &bias}})
    if (v->defined()) {
      CCDL_CHECK(v->sizes() == wanted, Runtime, op, ": Expected ", name,
                 " to be of same shape as normalized_shape, but got ", name, " of shape ", v->sizes(),
                 " and normalized_shape = ", wanted);
      check_same_device(op, {{"input", &x}, {name, v}});
    }
  return r;
}

// dx = rstd (dy w - mean(dy w) - xhat mean(dy w xhat)), dw = sum dy xhat, db = sum dy; rms norm without
// mean(dy w)
struct LayerNormBackward : Node {
  const char* name() const override { return rms ? "RmsNormBackward" : "LayerNormBackward"; }
  SavedTensor input, weight, bias;
  Tensor mean, rstd;
  RowShape rows;
  double eps = 0;
  bool rms = false;

  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), w = weight.defined() ? weight.get(this) : Tensor();
    if (grad_enabled()) return composite(x, w, grads);
    const Tensor c = dense(x), wc = compute_copy(w, x.dtype()), dy = dense(grads[0]);
    Tensor dx = like(x, needs(0)), dw = like(wc.defined() ? wc : x, wc.defined() && needs(1));
    Tensor db;
    if (!rms && needs(2)) db = empty(bias_sizes, x.dtype(), x.device());
    const Dims flat = {rows.m, rows.n}, line = {rows.n};
    const auto optional = [](const Tensor& t, const Dims& s) { return t.defined() ? shaped(t, s) : View{}; };
    const int64_t bytes = CCDL_KERNEL(x, layer_norm_workspace_bytes(rows.m, rows.n, x.dtype()));
    Tensor workspace = empty(Dims{bytes}, DType::UInt8, x.device());
    if (rms)
      CCDL_KERNEL(x, rms_norm_backward(shaped(c, flat), optional(wc, line), rstd.view(), shaped(dy, flat),
                                       optional(dx, flat), optional(dw, line), workspace.data()));
    else
      CCDL_KERNEL(x, layer_norm_backward(shaped(c, flat), optional(wc, line), mean.view(), rstd.view(),
                                         shaped(dy, flat), optional(dx, flat), optional(dw, line),
                                         optional(db, line), workspace.data()));
    return {dx, dw, db};
  }
  TensorList composite(const Tensor& x, const Tensor& w, const TensorList& grads) {
    TensorList inputs = {x};
    if (w.defined()) inputs.push_back(w);
    const bool with_weight = w.defined();
    TensorList d = autograd::differentiate(
        [&](const TensorList& in) {
          return TensorList{composite_norm(in[0], rows.dims, with_weight ? in[1] : Tensor(), {}, eps, rms)};
        },
        inputs, grads);
    return {d[0], with_weight ? d[1] : Tensor(), grads[0]};
  }
  Dims bias_sizes;
  void release_saved() override {
    input.reset();
    weight.reset();
    mean = rstd = Tensor();
  }
};

Tensor row_norm(const char* op, const Tensor& x, IntSpan shape, const Tensor& weight, const Tensor& bias,
                double eps, bool rms) {
  const RowShape r = check_rows(op, x, shape, weight, bias);
  const Tensor c = dense(x), w = compute_copy(weight, x.dtype()), b = compute_copy(bias, x.dtype());
  Tensor y = empty(x.sizes(), x.dtype(), x.device());
  const DType stat = stat_dtype(x.dtype());
  Tensor mean = rms ? Tensor() : empty(Dims{r.m}, stat, x.device()),
         rstd = empty(Dims{r.m}, stat, x.device());
  const Dims flat = {r.m, r.n}, line = {r.n};
  const View wv = w.defined() ? shaped(w, line) : View{}, bv = b.defined() ? shaped(b, line) : View{};
  if (rms)
    CCDL_KERNEL(x, rms_norm_forward(shaped(c, flat), wv, shaped(y, flat), rstd.view(), eps));
  else
    CCDL_KERNEL(x,
                layer_norm_forward(shaped(c, flat), wv, bv, shaped(y, flat), mean.view(), rstd.view(), eps));
  if (needs_graph(x, weight, bias)) {
    auto node = make_ref<LayerNormBackward>();
    node->input = SavedTensor(x);
    if (weight.defined()) node->weight = SavedTensor(weight);
    if (bias.defined()) node->bias_sizes = bias.sizes();
    node->mean = mean;
    node->rstd = rstd;
    node->rows = r;
    node->eps = eps;
    node->rms = rms;
    record(node, {x, weight, bias}, y);
  }
  return y;
}

// [N, C, S] as the kernel wants it, in the layout of x.
View channel_view(const Tensor& x, MemoryFormat format) {
  const int64_t n = x.size(0), c = x.size(1);
  int64_t s = 1;
  for (int64_t i = 2; i < x.dim(); ++i) s *= x.size(i);
  View v = shaped(x, Dims{n, c, s});
  if (format != MemoryFormat::Contiguous) {
    v.strides[1] = 1;
    v.strides[2] = c;
  }
  return v;
}

void check_channels(const char* op, const Tensor& x,
                    std::initializer_list<std::pair<const char*, const Tensor*>> vectors) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": input must be floating point, got ", describe(x));
  CCDL_CHECK(x.dim() >= 2, Value, op, ": expected at least 2 dimensions [N, C, ...], got ", describe(x));
  for (const auto& [name, v] : vectors)
    if (v->defined()) {
      CCDL_CHECK(v->dim() == 1 && v->size(0) == x.size(1), Runtime, op, ": ", name, " should contain ",
                 x.size(1), " elements not ", v->numel(), " (", name, " ", describe(*v), ", input ",
                 describe(x), ")");
      CCDL_CHECK(is_floating(v->dtype()), DType, op, ": ", name, " must be floating point, got ",
                 describe(*v));
      check_same_device(op, {{"input", &x}, {name, v}});
    }
}

// With M = N S: dx = w rstd (dy - sum(dy) / M - xhat sum(dy xhat) / M) when the statistics are the batch's,
// dx = w rstd dy otherwise; dw = sum dy xhat, db = sum dy
struct BatchNormBackward : Node {
  const char* name() const override { return "BatchNormBackward"; }
  SavedTensor input, weight;
  Tensor mean, rstd;
  double eps = 0;
  bool batch = false, has_bias = false;

  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), w = weight.defined() ? weight.get(this) : Tensor();
    if (grad_enabled()) return composite(x, w, grads);
    const MemoryFormat format = x.suggest_memory_format();
    const Tensor c = dense(x, format), dy = dense(grads[0], format), wc = w.defined() ? dense(w) : Tensor();
    Tensor dx = needs(0) ? empty(x.sizes(), x.dtype(), x.device(), format) : Tensor();
    Tensor dw = like(mean, w.defined() && needs(1)), db = like(mean, has_bias && needs(2));
    CCDL_KERNEL(
        x, batch_norm_backward(channel_view(c, format), maybe_view(wc), mean.view(), rstd.view(),
                               channel_view(dy, format), dx.defined() ? channel_view(dx, format) : View{},
                               maybe_view(dw), maybe_view(db), batch));
    return {dx, dw, db};
  }
  TensorList composite(const Tensor& x, const Tensor& w, const TensorList& grads) {
    TensorList inputs = {x};
    if (w.defined()) inputs.push_back(w);
    Dims dims = {0};
    for (int64_t i = 2; i < x.dim(); ++i) dims.push_back(i);
    TensorList d = autograd::differentiate(
        [&](const TensorList& in) {
          const Tensor wc = in.size() > 1 ? per_channel(in[1], x.dim()) : Tensor();
          if (batch) return TensorList{composite_norm(in[0], dims, wc, {}, eps, false)};
          const Tensor xhat = mul(sub(in[0], per_channel(mean, x.dim())), per_channel(rstd, x.dim()));
          return TensorList{wc.defined() ? mul(xhat, wc) : xhat};
        },
        inputs, grads);
    return {d[0], w.defined() ? d[1] : Tensor(), has_bias ? sum(grads[0], dims) : Tensor()};
  }
  void release_saved() override {
    input.reset();
    weight.reset();
    mean = rstd = Tensor();
  }
};

// On the CPU the layout of the input; the device kernels take contiguous ones.
MemoryFormat group_format(const Tensor& x) {
  return x.device().is_cpu() ? x.suggest_memory_format() : MemoryFormat::Contiguous;
}

// Per group of D channels: dx = rstd (w dy - mean(w dy) - xhat mean(w dy xhat)); dw, db summed over images
// and positions
struct GroupNormBackward : Node {
  const char* name() const override { return "GroupNormBackward"; }
  SavedTensor input, weight;
  Tensor mean, rstd;
  int64_t groups = 1;
  double eps = 0;
  bool has_bias = false;

  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), w = weight.defined() ? weight.get(this) : Tensor();
    if (grad_enabled()) return composite(x, w, grads);
    const MemoryFormat format = group_format(x);
    const Tensor c = dense(x, format), dy = dense(grads[0], format), wc = w.defined() ? dense(w) : Tensor();
    const DType stat = stat_dtype(x.dtype());
    const auto vector = [&](bool wanted) {
      return wanted ? empty(Dims{x.size(1)}, stat, x.device()) : Tensor();
    };
    Tensor dx = needs(0) ? empty(x.sizes(), x.dtype(), x.device(), format) : Tensor();
    Tensor dw = vector(w.defined() && needs(1)), db = vector(has_bias && needs(2));
    Tensor workspace = empty(Dims{2 * x.size(0) * x.size(1)}, DType::Float64, x.device());
    CCDL_KERNEL(
        x, group_norm_backward(channel_view(c, format), maybe_view(wc), mean.view(), rstd.view(),
                               channel_view(dy, format), dx.defined() ? channel_view(dx, format) : View{},
                               maybe_view(dw), maybe_view(db), groups, workspace.data()));
    return {dx, dw, db};
  }
  TensorList composite(const Tensor& x, const Tensor& w, const TensorList& grads) {
    TensorList inputs = {x};
    if (w.defined()) inputs.push_back(w);
    TensorList d = autograd::differentiate(
        [&](const TensorList& in) {
          const Tensor grouped = reshape(in[0], Dims{x.size(0), groups, -1});
          const Tensor y = reshape(composite_norm(grouped, Dims{2}, {}, {}, eps, false), x.sizes());
          return TensorList{in.size() > 1 ? mul(y, per_channel(in[1], x.dim())) : y};
        },
        inputs, grads);
    Dims dims = {0};
    for (int64_t i = 2; i < x.dim(); ++i) dims.push_back(i);
    return {d[0], w.defined() ? d[1] : Tensor(), has_bias ? sum(grads[0], dims) : Tensor()};
  }
  void release_saved() override {
    input.reset();
    weight.reset();
    mean = rstd = Tensor();
  }
};

double machine_epsilon(DType t) {
  switch (t) {
    case DType::Float16:
      return 0x1p-10;
    case DType::BFloat16:
      return 0x1p-7;
    case DType::Float32:
      return 0x1p-23;
    default:
      return 0x1p-52;
  }
}

}  // namespace

Tensor layer_norm(const Tensor& x, IntSpan normalized_shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  check_vector_dtypes("layer_norm", x, item_size(x.dtype()) < 4, "weight", weight, "bias", bias);
  return row_norm("layer_norm", x, normalized_shape, weight, bias, eps, false);
}

Tensor rms_norm(const Tensor& x, IntSpan normalized_shape, const Tensor& weight, std::optional<double> eps) {
  return row_norm("rms_norm", x, normalized_shape, weight, {}, eps ? *eps : machine_epsilon(x.dtype()), true);
}

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, double momentum, double eps) {
  check_channels(
      "batch_norm", x,
      {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  check_vector_dtypes("batch_norm", x, item_size(x.dtype()) < 4, "weight", weight, "bias", bias);
  check_vector_dtypes("batch_norm", x, true, "running_mean", running_mean, "running_var", running_var);
  CCDL_CHECK(training || (running_mean.defined() && running_var.defined()), Runtime,
             "batch_norm: Expected running_mean and running_var to be defined when training is False");
  const MemoryFormat format = x.suggest_memory_format();
  const Tensor c = dense(x, format), w = weight.defined() ? dense(weight) : weight,
               b = bias.defined() ? dense(bias) : bias;
  Tensor y = empty(x.sizes(), x.dtype(), x.device(), format);
  const DType stat = stat_dtype(x.dtype());
  Tensor mean, rstd;
  if (training) {
    const Tensor kept_mean = running_mean.defined() ? dense(running_mean) : running_mean;
    const Tensor kept_var = running_var.defined() ? dense(running_var) : running_var;
    for (const Tensor* given : {&running_mean, &running_var})
      if (given->defined()) autograd::announce_write(*given);
    mean = empty(Dims{x.size(1)}, stat, x.device());
    rstd = empty(Dims{x.size(1)}, stat, x.device());
    CCDL_KERNEL(x,
                batch_norm_forward_train(channel_view(c, format), maybe_view(w), maybe_view(b),
                                         maybe_view(kept_mean), maybe_view(kept_var), channel_view(y, format),
                                         mean.view(), rstd.view(), momentum, eps));
    const NoGradGuard no_grad;
    for (const auto& [kept, given] :
         {std::pair<const Tensor*, const Tensor*>{&kept_mean, &running_mean}, {&kept_var, &running_var}}) {
      if (!given->defined()) continue;
      if (given->is_contiguous())
        given->bump_version();
      else
        copy_(*given, *kept);
    }
  } else {
    CCDL_KERNEL(x, batch_norm_forward_eval(channel_view(c, format), maybe_view(w), maybe_view(b),
                                           dense(running_mean).view(), dense(running_var).view(),
                                           channel_view(y, format), eps));
  }
  if (needs_graph(x, weight, bias)) {
    auto node = make_ref<BatchNormBackward>();
    node->input = SavedTensor(x);
    if (weight.defined()) node->weight = SavedTensor(weight);
    if (!training) {
      NoGradGuard no_grad;  // copies: the running statistics may move on before backward
      mean = clone(to(running_mean, stat), MemoryFormat::Contiguous);
      rstd = pow(add(to(running_var, stat), Scalar(eps)), Scalar(-0.5));
    }
    node->mean = mean;
    node->rstd = rstd;
    node->eps = eps;
    node->batch = training;
    node->has_bias = bias.defined();
    record(node, {x, weight, bias}, y);
  }
  return y;
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  check_channels("group_norm", x, {{"weight", &weight}, {"bias", &bias}});
  check_vector_dtypes("group_norm", x, item_size(x.dtype()) < 4, "weight", weight, "bias", bias);
  CCDL_CHECK(groups > 0, Runtime, "group_norm: Expected num groups to be greater than 0, got ", groups);
  CCDL_CHECK(x.size(1) % groups == 0, Runtime,
             "group_norm: Expected number of channels in input to be divisible by num_groups, but got input "
             "of shape ",
             x.sizes(), " and num_groups=", groups);
  const MemoryFormat format = group_format(x);
  const Tensor c = dense(x, format), w = weight.defined() ? dense(weight) : weight,
               b = bias.defined() ? dense(bias) : bias;
  Tensor y = empty(x.sizes(), x.dtype(), x.device(), format);
  const DType stat = stat_dtype(x.dtype());
  Tensor mean = empty(Dims{x.size(0), groups}, stat, x.device()),
         rstd = empty(Dims{x.size(0), groups}, stat, x.device());
  CCDL_KERNEL(x, group_norm_forward(channel_view(c, format), maybe_view(w), maybe_view(b),
                                    channel_view(y, format), mean.view(), rstd.view(), groups, eps));
  if (needs_graph(x, weight, bias)) {
    auto node = make_ref<GroupNormBackward>();
    node->input = SavedTensor(x);
    if (weight.defined()) node->weight = SavedTensor(weight);
    node->mean = mean;
    node->rstd = rstd;
    node->groups = groups;
    node->eps = eps;
    node->has_bias = bias.defined();
    record(node, {x, weight, bias}, y);
  }
  return y;
}

}  // namespace ccdl::ops
