// The nodes behind results whose derivative is zero, or that of a constant step.
#include <ccdl/ops/constant.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>

namespace ccdl::ops {
namespace {

// dx = 0
struct ConstantBackward : Node {
  const char* name() const override { return label; }
  const char* label;
  std::vector<Dims> sizes;
  std::vector<DType> dtypes;
  TensorList apply(const TensorList& grads) override {
    TensorList out;
    for (size_t i = 0; i < sizes.size(); ++i)
      out.push_back(needs(i) ? zeros(sizes[i], dtypes[i], grads[0].device()) : Tensor());
    return out;
  }
};

// y = a + a constant step towards b: da = dy where a != b, otherwise 0 (there y is b); db = 0
struct NextafterBackward : Node {
  const char* name() const override { return "NextafterBackward"; }
  SavedTensor moved;
  TensorList apply(const TensorList& g) override {
    return {needs(0) ? where(moved.get(this), g[0], Operand(0.0)) : Tensor(),
            needs(1) ? zeros(g[0].sizes(), g[0].dtype(), g[0].device()) : Tensor()};
  }
  void release_saved() override { moved.reset(); }
};

}  // namespace

Tensor record_step(const Operand& a, const Operand& b, const Tensor& y) {
  const auto needed = [](const Operand& o) { return o.is_tensor() && needs_graph(o.tensor); };
  if (!needed(a) && !needed(b)) return y;
  auto node = make_ref<NextafterBackward>();
  {
    const NoGradGuard no_grad;
    node->moved = ne(a, b);
  }
  record(node, {a.tensor, b.tensor}, y);
  return y;
}

void record_constant(const char* name, const TensorList& inputs, const Tensor& y) {
  bool any = false;
  for (const Tensor& x : inputs) any = any || (x.defined() && needs_graph(x));
  if (!any) return;
  auto node = make_ref<ConstantBackward>();
  node->label = name;
  for (const Tensor& x : inputs) {
    node->sizes.push_back(x.defined() ? x.sizes() : Dims());
    node->dtypes.push_back(x.defined() ? x.dtype() : DType::Float32);
  }
  record(node, inputs, y);
}

}  // namespace ccdl::ops
