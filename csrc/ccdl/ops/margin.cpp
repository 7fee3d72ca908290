#include <ccdl/ops/margin.h>

#include <ccdl/kernels/margin.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// dx = dy slope; the slope is constant between the corners of the loss
struct MarginBackward : Node {
  const char* name() const override { return "MarginLossBackward"; }
  SavedTensor slope;
  TensorList apply(const TensorList& grads) override {
    return {mul(unsqueeze(grads[0], 1), slope.get(this))};
  }
  void release_saved() override { slope.reset(); }
};

}  // namespace

Tensor margin_rows(const Tensor& x, const Tensor& target, const Tensor& weight, double margin) {
  const bool several = target.dim() == 2;
  const char* op = several ? "multilabel_margin_loss" : "multi_margin_loss";
  CCDL_CHECK(x.device().is_cpu() && target.device().is_cpu(), Value, op,
             ": this form takes tensors on the host");
  CCDL_CHECK(is_floating(x.dtype()) && target.dtype() == DType::Int64, DType, op,
             ": input must be floating point and target int64, got ", describe(x), " and ", describe(target));
  CCDL_CHECK(x.dim() == 2 && x.size(1) > 0 && target.size(0) == x.size(0) &&
                 (several ? target.size(1) == x.size(1) : target.dim() == 1),
             Runtime, op, ": input [N, C] and target [N] or [N, C] do not fit: ", describe(x), " and ",
             describe(target));
  CCDL_CHECK(!weight.defined() || (weight.dtype() == x.dtype() && weight.dim() == 1 &&
                                   weight.size(0) == x.size(1) && weight.device().is_cpu() && !several),
             Runtime, op, ": weight must have one entry per class and input's dtype, got ",
             weight.defined() ? describe(weight) : "none");
  const bool records = needs_graph(x);
  const Tensor xc = dense(x), labels = dense(target), w = weight.defined() ? dense(weight) : weight;
  Tensor out = empty(Dims{x.size(0)}, x.dtype()), slope;
  if (records) slope = empty(x.sizes(), x.dtype());
  const int64_t bad =
      several
          ? cpu::multilabel_margin(xc.view(), labels.view(), out.view(), maybe_view(slope))
          : cpu::multi_margin(xc.view(), labels.view(), maybe_view(w), margin, out.view(), maybe_view(slope));
  if (bad >= 0)
    CCDL_CHECK(false, Index, op, ": target ", labels.ptr<int64_t>()[bad], " is out of bounds, must be in [",
               several ? -1 : 0, ", ", x.size(1), ")");
  if (records) {
    auto node = make_ref<MarginBackward>();
    node->slope = SavedTensor(slope);
    record(node, {x}, out);
  }
  return out;
}

}  // namespace ccdl::ops
