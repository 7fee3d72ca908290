// Helpers shared by all ops: functional-to-in-place, out=, device agreement.
#include <ccdl/ops/op.h>

#include <algorithm>
#include <string_view>

#include <ccdl/core/tls.h>
#include <ccdl/core/warn.h>

#include <ccdl/ops/overlap.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/view.h>

namespace ccdl {

void check_same_device(const char* op, std::initializer_list<std::pair<const char*, const Tensor*>> args) {
  const std::pair<const char*, const Tensor*>* first = nullptr;
  for (const auto& arg : args) {
    if (!arg.second->defined()) continue;
    if (!first) first = &arg;
    CCDL_CHECK(arg.second->device() == first->second->device(), Device, op,
               ": Expected all tensors to be on the same device, but ", first->first, " is on ",
               first->second->device().name(), " and ", arg.first, " is on ", arg.second->device().name(),
               "; move one with .to(device)");
  }
}

static CCDL_TLS const char* t_op_name = nullptr;
OpName::OpName(const char* name) : before_(t_op_name) { t_op_name = name; }
OpName::~OpName() { t_op_name = before_; }
const char* current_op_name() { return t_op_name ? t_op_name : "op"; }

namespace ops {

Tensor inplace(const char* op, const Tensor& x, const std::function<Tensor(const Tensor&)>& f) {
  autograd::check_inplace(op, x);
  const bool tracked = grad_enabled() && requires_grad(x);
  // Saved inputs must survive the write, so the graph is built on a clone: also when only another operand
  // requires grad.
  const Tensor y = f(grad_enabled() && (tracked || is_floating(x.dtype())) ? clone(x) : x);
  CCDL_CHECK(y.sizes() == x.sizes(), Shape, op, ": output with shape ", x.sizes(),
             " doesn't match the broadcast shape ", y.sizes());
  CCDL_CHECK(can_cast(y.dtype(), x.dtype()), DType, op, ": result type ", dtype_name(y.dtype()),
             " can't be cast to the desired output type ", dtype_name(x.dtype()),
             "; use the out-of-place form");
  check_same_device(op, {{"self", &x}, {"the result", &y}});
  const Edge history = requires_grad(y) ? autograd::gradient_edge(y) : Edge{};
  {
    NoGradGuard no_grad;
    copy_(x, y);
  }
  autograd::rebase_history(x, history);
  return x;
}

// Ops whose out= must have the dtype of the result; the others cast within the same category.
static bool keeps_dtype(std::string_view op) {
  static constexpr std::string_view kOps[] = {
      "abs",          "absolute",   "addbmm",       "addmm",        "addmv",         "amax",
      "amin",         "aminmax",    "argmax",       "argmin",       "baddbmm",       "bitwise_not",
      "bmm",          "bucketize",  "ceil",         "clamp",        "clip",          "conj_physical",
      "cross",        "cummax",     "cummin",       "diag",         "dot",           "fix",
      "float_power",  "floor",      "frac",         "gather",       "heaviside",     "histc",
      "index_add",    "index_copy", "index_select", "inner",        "inverse",       "isneginf",
      "isposinf",     "kthvalue",   "log_softmax",  "logcumsumexp", "masked_select", "matmul",
      "max",          "median",     "min",          "mm",           "mode",          "multinomial",
      "mv",           "nan_to_num", "nanmedian",    "nanquantile",  "neg",           "negative",
      "nonzero",      "quantile",   "renorm",       "round",        "scatter",       "scatter_add",
      "searchsorted", "sgn",        "sign",         "signbit",      "softmax",       "sort",
      "take",         "tensordot",  "topk",         "tril",         "triu",          "trunc",
      "vdot",         "where"};
  return std::binary_search(std::begin(kOps), std::end(kOps), op);
}

// Ops whose out= takes the size asked for without a word: factories and random numbers.
static bool fits_silently(std::string_view op) {
  static constexpr std::string_view kOps[] = {"bernoulli", "empty",       "eye",      "full", "linspace",
                                              "logspace",  "multinomial", "normal",   "ones", "rand",
                                              "randint",   "randn",       "randperm", "zeros"};
  return std::binary_search(std::begin(kOps), std::end(kOps), op);
}

Tensor write_out(const char* op, const Tensor& result, const Tensor& out) {
  CCDL_CHECK(!grad_enabled() || (!requires_grad(result) && !requires_grad(out)), Autograd, op,
             ": functions with out=... arguments don't support automatic differentiation, but one of the "
             "arguments requires grad");
  CCDL_CHECK(!keeps_dtype(op) || result.dtype() == out.dtype(), DType, op,
             ": Expected out tensor to have dtype ", dtype_name(result.dtype()), ", but got ",
             dtype_name(out.dtype()), " instead");
  CCDL_CHECK(can_cast(result.dtype(), out.dtype()), DType, op, ": result type ", dtype_name(result.dtype()),
             " can't be cast to the desired output type ", dtype_name(out.dtype()), " of out=");
  CCDL_CHECK(result.device() == out.device(), Device, op, ": out= is on ", out.device().name(),
             " but the result on ", result.device().name());
  for (int64_t d = 0; d < out.dim(); ++d)
    CCDL_CHECK(out.size(d) < 2 || out.stride(d) != 0, Runtime, op,
               ": more than one element of out= refers to the same memory (", describe(out),
               " with stride 0 along dimension ", d, "); clone() it first");
  if (!(out.sizes() == result.sizes())) {
    if (out.numel() && !fits_silently(op))
      warn(str("An output with one or more elements was resized since it had shape ", out.sizes(),
               ", which does not match the required output shape ", result.sizes(), " of ", op,
               ". Give out= that shape, or none with out.resize_(0)"));
    resize_(out, result.sizes());
  }
  return copy_(out, result);
}

void check_no_overlap(const char* op, const Tensor& written, std::initializer_list<const Tensor*> read) {
  const auto dense = [](const Tensor& t) {
    return t.numel() > 0 && (t.is_contiguous() || strides_dense(t.sizes(), t.strides()));
  };
  const auto start = [](const Tensor& t) { return t.offset() * item_size(t.dtype()); };
  const auto bytes = [](const Tensor& t) { return t.numel() * item_size(t.dtype()); };
  for (const Tensor* t : read) {
    if (!t->defined() || !(t->storage() == written.storage()) || !dense(*t) || !dense(written)) continue;
    CCDL_CHECK(
        start(*t) + bytes(*t) <= start(written) || start(written) + bytes(written) <= start(*t), Runtime, op,
        ": unsupported operation: some elements of the input tensor and the written-to tensor refer "
        "to a single memory location (",
        describe(*t), " and ", describe(written), "); clone() the tensor before performing the operation");
  }
}

bool takes_result(const Tensor& out, const Dims& sizes, DType dtype,
                  std::initializer_list<const Tensor*> operands) {
  if (out.dtype() != dtype || !(out.sizes() == sizes) || requires_grad(out)) return false;
  if (!out.is_contiguous() && !strides_dense(sizes, out.strides())) return false;
  for (const Tensor* t : operands) {
    if (!t->defined()) continue;
    if (!(t->device() == out.device()) && !is_host_number(*t)) return false;
    if (grad_enabled() && requires_grad(*t)) return false;
    if (t->storage() == out.storage() && !t->same(out) &&
        !(t->offset() == out.offset() && t->strides() == out.strides() && t->sizes() == out.sizes() &&
          t->dtype() == out.dtype()))
      return false;
  }
  return true;
}

}  // namespace ops
}  // namespace ccdl
