#include <ccdl/ops/embedding.h>

#include <ccdl/kernels/embedding.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/index_plan.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// dw[v] = sum of dy over the look-ups of v, in their order
struct EmbeddingBackward : Node {
  const char* name() const override { return "EmbeddingBackward"; }
  SavedTensor index;
  int64_t rows = 0, padding_idx = -1;
  bool by_frequency = false;

  TensorList apply(const TensorList& grads) override {
    const Tensor i = index.get(this);
    const int64_t n = i.numel();
    const Tensor dy = reshape(grads[0], Dims{n, grads[0].size(-1)});
    if (grad_enabled()) return {composite(dy, reshape(i, Dims{n}))};
    const Tensor g = dy.stride(1) == 1 ? dy : contiguous(dy);
    const Tensor flat = contiguous(reshape(i, Dims{n}));
    Tensor dw = empty(Dims{rows, dy.size(1)}, dy.dtype(), dy.device());
    const OpName name("embedding");
    const IndexFault fault =
        CCDL_KERNEL(dw, embedding_backward(g.view(), flat.view(), padding_idx, by_frequency, dw.view()));
    CCDL_CHECK(fault.axis < 0, Index, "embedding: index ", fault.value, " is out of range for a table of ",
               rows, " rows");
    return {dw};
  }
  // The same from differentiable ops.
  Tensor composite(Tensor dy, const Tensor& i) {
    Tensor scale;
    {
      NoGradGuard no_grad;
      scale = to(ne(i, Scalar(padding_idx)), dy.dtype());
      if (by_frequency) {
        const Tensor seen = index_add(zeros(Dims{rows}, dy.dtype(), dy.device()), 0, i,
                                      ones(i.sizes(), dy.dtype(), dy.device()));
        scale = div(scale, index_select(seen, 0, i));
      }
    }
    dy = mul(dy, unsqueeze(scale, 1));
    return index_add(zeros(Dims{rows, dy.size(1)}, dy.dtype(), dy.device()), 0, i, dy);
  }
  void release_saved() override { index.reset(); }
};

Tensor check_table(const char* op, const Tensor& index, const Tensor& weight, int64_t* padding_idx) {
  CCDL_CHECK(weight.dim() == 2, Runtime, op, ": 'weight' must be 2-D, got ", describe(weight));
  CCDL_CHECK(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, DType, op,
             ": Expected tensor for argument 'input' (indices) to have scalar type int64 or int32, got ",
             describe(index));
  check_same_device(op, {{"weight", &weight}, {"input", &index}});
  if (*padding_idx != -1) {
    CCDL_CHECK(*padding_idx >= -weight.size(0) && *padding_idx < weight.size(0), Value, op,
               ": padding_idx must be within num_embeddings (", weight.size(0), "), got ", *padding_idx);
    if (*padding_idx < 0) *padding_idx += weight.size(0);
  }
  return int64_index(op, "input", index);
}

}  // namespace

Tensor embedding(const Tensor& index, const Tensor& weight, int64_t padding_idx, bool scale_grad_by_freq) {
  const Tensor i = check_table("embedding", index, weight, &padding_idx);
  Dims sizes = i.sizes();
  sizes.push_back(weight.size(1));
  checked_numel("embedding", sizes);
  Tensor y = empty(sizes, weight.dtype(), weight.device());
  IndexPlan plan;
  plan.sizes = sizes;
  plan.strides = Dims(sizes.size(), 0);
  plan.strides.back() = weight.stride(1);
  Dims along = i.strides();
  along.push_back(0);
  plan.add(i, along, weight, 0);
  plan.get("embedding", weight, y);
  if (needs_graph(weight)) {
    auto node = make_ref<EmbeddingBackward>();
    node->index = SavedTensor(i);
    node->rows = weight.size(0);
    node->padding_idx = padding_idx;
    node->by_frequency = scale_grad_by_freq;
    record(node, {weight}, y);
  }
  return y;
}

void embedding_renorm_(const Tensor& weight, const Tensor& index, double max_norm, double norm_type) {
  int64_t padding = -1;
  const Tensor i = reshape(check_table("embedding_renorm_", index, weight, &padding), Dims{index.numel()});
  NoGradGuard no_grad;
  const Tensor rows = index_select(weight, 0, i);
  const Tensor size = norm(rows, Scalar(norm_type), Dims{1}, true);
  const Tensor scale =
      where(gt(size, Scalar(max_norm)), div(Scalar(max_norm), add(size, Scalar(1e-7))), Scalar(1.0));
  copy_(weight, index_copy(weight, 0, i, to(mul(rows, scale), weight.dtype())));
}

}  // namespace ccdl::ops
