// Ops that choose elements by a bool mask: fill, select, scatter, coordinates.
#include <ccdl/core/warn.h>
#include <ccdl/kernels/index.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

void check_mask(const char* op, const Tensor& x, const Tensor& mask) {
  CCDL_CHECK(mask.dtype() == DType::Bool, DType, op,
             ": only supports boolean masks, but got mask with dtype ", dtype_name(mask.dtype()),
             "; convert it with .bool()");
  check_same_device(op, {{"input", &x}, {"mask", &mask}});
}

Tensor fill_value(const char* op, const Tensor& x, const Operand& value) {
  if (!value.is_tensor()) {
    CCDL_CHECK(is_floating(x.dtype()) || !value.scalar.is_float() ||
                   (value.scalar.to_double() > -9.3e18 && value.scalar.to_double() < 9.2e18),
               Runtime, op, ": value cannot be converted to type ", dtype_name(x.dtype()),
               " without overflow, got ", value.scalar);
    return scalar_tensor(value.scalar, x.dtype());
  }
  CCDL_CHECK(value.tensor.dim() == 0, Shape, op,
             ": only supports a 0-dimensional value tensor, but got tensor with ", value.tensor.dim(),
             " dimension(s)");
  NoGradGuard no_grad;
  return to(value.tensor, x.dtype(), x.device(), false);
}

// dx = dy outside the mask, dvalue = sum of dy inside
struct MaskedFillBackward : Node {
  const char* name() const override { return "MaskedFillBackward"; }
  SavedTensor mask;
  TensorList apply(const TensorList& g) override {
    const Tensor m = mask.get(this);
    return {needs(0) ? masked_fill(g[0], m, Scalar(0)) : Tensor(),
            needs(1) ? sum(masked_fill(g[0], logical_not(m), Scalar(0))) : Tensor()};
  }
  void release_saved() override { mask.reset(); }
};

// y[mask] = src, in order, without history; mask of y's shape.
void scatter_into(const Tensor& y, const View& mask, const Tensor& src) {
  const int64_t count = CCDL_KERNEL(y, masked_count(mask));
  CCDL_CHECK(count <= src.numel(), Shape,
             "masked_scatter: expected the source to have at least as many elements as the mask has ones (",
             count, "), got ", src.numel());
  NoGradGuard no_grad;
  const Tensor flat = contiguous(reshape(src, Dims{src.numel()}));
  CCDL_KERNEL(y, masked_scatter(y.view(), mask, flat.view()));
}

// dx = dy written back to the true places of a zero tensor
struct MaskedSelectBackward : Node {
  const char* name() const override { return "MaskedSelectBackward"; }
  SavedTensor mask;
  Dims sizes;
  TensorList apply(const TensorList& g) override {
    const Tensor dx = zeros(sizes, g[0].dtype(), g[0].device()), m = mask.get(this);
    if (grad_enabled()) return {masked_scatter(dx, m, g[0])};
    scatter_into(dx, m.view_as(sizes), g[0]);
    return {dx};
  }
  void release_saved() override { mask.reset(); }
};

// dx = dy outside the mask, dsrc = dy inside, in order; what was not used gets zero
struct MaskedScatterBackward : Node {
  const char* name() const override { return "MaskedScatterBackward"; }
  SavedTensor mask;
  Dims src_sizes;
  TensorList apply(const TensorList& g) override {
    const Tensor m = mask.get(this);
    Tensor dsrc;
    if (needs(1)) {
      const Tensor used = masked_select(g[0], m);
      Tensor all = zeros(Dims{numel_of(src_sizes)}, g[0].dtype(), g[0].device());
      dsrc = reshape(index_add(all, 0, arange(0, used.numel(), 1, DType::Int64, g[0].device()), used),
                     src_sizes);
    }
    return {needs(0) ? masked_fill(g[0], m, Scalar(0)) : Tensor(), dsrc};
  }
  void release_saved() override { mask.reset(); }
};

Ref<MaskedFillBackward> fill_node(const Tensor& x, const Tensor& mask, const Operand& value) {
  if (!needs_graph(x, value.tensor)) return {};
  auto node = make_ref<MaskedFillBackward>();
  node->mask = SavedTensor(mask);
  return node;
}

}  // namespace

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Operand& value) {
  check_mask("masked_fill", x, mask);
  const Tensor v = fill_value("masked_fill", x, value);
  const Dims sizes = broadcast_shapes("masked_fill", x.sizes(), mask.sizes());
  const auto node = fill_node(x, mask, value);
  Tensor y;
  {
    NoGradGuard no_grad;
    y = x.sizes() == sizes ? clone(x) : clone(expand(x, sizes), MemoryFormat::Contiguous);
  }
  CCDL_KERNEL(y, masked_fill(y.view(), mask.view_as(sizes), v.view()));
  if (node) record(node, {x, value.tensor}, y);
  return y;
}

// An expanded x: what several elements share is filled where the mask has any of them.
static bool shares_elements(const Tensor& x) {
  for (int64_t d = 0; d < x.dim(); ++d)
    if (x.stride(d) == 0 && x.size(d) > 1 && x.numel()) return true;
  return false;
}

static Tensor fill_shared(const Tensor& x, const Tensor& mask, const Operand& value) {
  warn(
      "Use of masked_fill_ on expanded tensors is deprecated: elements share memory, and all that do are "
      "filled; clone() the tensor before performing the operation");
  Tensor shared = x, any_of = expand(mask, x.sizes());
  for (int64_t d = 0; d < x.dim(); ++d)
    if (x.stride(d) == 0 && x.size(d) > 1) {
      shared = slice(shared, d, 0, 1, 1);
      any_of = any(any_of, Dims{d}, true);
    }
  masked_fill_(shared, any_of, value);
  return x;
}

Tensor masked_fill_(const Tensor& x, const Tensor& mask, const Operand& value) {
  check_mask("masked_fill_", x, mask);
  const Tensor v = fill_value("masked_fill_", x, value);
  CCDL_CHECK(is_expandable_to(mask.sizes(), x.sizes()), Shape, "masked_fill_: mask of shape ", mask.sizes(),
             " cannot be broadcast to the input's shape ", x.sizes());
  if (shares_elements(x)) return fill_shared(x, mask, value);
  autograd::check_inplace("masked_fill_", x);
  const auto node = fill_node(x, mask, value);
  CCDL_KERNEL(x, masked_fill(x.view(), mask.view_as(x.sizes()), v.view()));
  autograd::rebase_history(x, node, {x, value.tensor});
  return x;
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_mask("masked_select", x, mask);
  const Dims sizes = broadcast_shapes("masked_select", x.sizes(), mask.sizes());
  const View m = mask.view_as(sizes);
  Tensor y = empty(Dims{CCDL_KERNEL(x, masked_count(m))}, x.dtype(), x.device());
  CCDL_KERNEL(x, masked_select(x.view_as(sizes), m, y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<MaskedSelectBackward>();
    node->mask = SavedTensor(mask);
    node->sizes = sizes;
    record(node, {x}, y);
  }
  return y;
}

Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& src) {
  check_mask("masked_scatter", x, mask);
  CCDL_CHECK(src.dtype() == x.dtype(), DType,
             "masked_scatter: expected self and source to have same dtypes, got ", dtype_name(x.dtype()),
             " and ", dtype_name(src.dtype()));
  check_same_device("masked_scatter", {{"input", &x}, {"source", &src}});
  const Dims sizes = broadcast_shapes("masked_scatter", x.sizes(), mask.sizes());
  Tensor y;
  {
    NoGradGuard no_grad;
    y = x.sizes() == sizes ? clone(x) : clone(expand(x, sizes), MemoryFormat::Contiguous);
  }
  scatter_into(y, mask.view_as(sizes), src);
  if (needs_graph(x, src)) {
    auto node = make_ref<MaskedScatterBackward>();
    node->mask = SavedTensor(mask);
    node->src_sizes = src.sizes();
    record(node, {x, src}, y);
  }
  return y;
}

TensorList nonzero_tuple(const Tensor& x) {
  NoGradGuard no_grad;
  const Tensor mask = x.dtype() == DType::Bool || x.dtype() == DType::UInt8 ? x : ne(x, Scalar(0));
  const int64_t n = CCDL_KERNEL(x, masked_count(mask.view()));
  Tensor rows = empty(Dims{x.dim(), n}, DType::Int64, x.device());
  if (x.dim() > 0) CCDL_KERNEL(x, masked_coordinates(mask.view(), rows.view()));
  TensorList out;
  for (int64_t d = 0; d < x.dim(); ++d) out.push_back(alias(rows, Dims{n}, Dims{1}, d * n));
  return out;
}

}  // namespace ccdl::ops
