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

// dy[bag], zeros where bag is negative.
Tensor bag_rows(const Tensor& dy, const Tensor& bag) {
  const Tensor none = zeros(Dims{1, dy.size(1)}, dy.dtype(), dy.device());
  return index_select(cat({none, dy}, 0), 0, add(bag, Scalar(1)));
}

// How a gradient comes to the rows of a table.
struct TableGradient {
  int64_t rows = 0, padding_idx = -1;
  bool by_frequency = false;

  // source [n]: the row of dy of each look-up (undefined: its own); scale [n]: its factor (undefined: 1).
  Tensor kernel(const char* op, const Tensor& dy, const Tensor& index, const Tensor& source,
                const Tensor& scale) const {
    const Tensor g = dy.stride(1) == 1 ? dy : contiguous(dy);
    const Tensor factor = scale.defined() ? contiguous(scale) : scale;
    Tensor dw = empty(Dims{rows, dy.size(1)}, dy.dtype(), dy.device());
    const OpName name(op);
    const IndexFault fault =
        CCDL_KERNEL(dw, embedding_backward(g.view(), index.view(), source.defined() ? source.view() : View{},
                                           factor.defined() ? factor.view() : View{}, padding_idx,
                                           by_frequency, dw.view()));
    CCDL_CHECK(fault.axis < 0, Index, op, ": index ", fault.value, " is out of range for a table of ", rows,
               " rows");
    return dw;
  }
  // The same from differentiable ops.
  Tensor composite(const Tensor& dy, const Tensor& index, const Tensor& source, const Tensor& scale) const {
    Tensor factor;
    {
      NoGradGuard no_grad;
      factor = to(ne(index, Scalar(padding_idx)), dy.dtype());
      if (by_frequency) {
        const Tensor seen = index_add(zeros(Dims{rows}, dy.dtype(), dy.device()), 0, index,
                                      ones(index.sizes(), dy.dtype(), dy.device()));
        factor = div(factor, index_select(seen, 0, index));
      }
    }
    if (scale.defined()) factor = mul(factor, scale);
    const Tensor each = mul(source.defined() ? bag_rows(dy, source) : dy, unsqueeze(factor, 1));
    return index_add(zeros(Dims{rows, dy.size(1)}, dy.dtype(), dy.device()), 0, index, each);
  }
  Tensor operator()(const char* op, const Tensor& dy, const Tensor& index, const Tensor& source = {},
                    const Tensor& scale = {}) const {
    return grad_enabled() ? composite(dy, index, source, scale) : kernel(op, dy, index, source, scale);
  }
};

// dw[v] = sum of dy over the look-ups of v, in their order
struct EmbeddingBackward : Node {
  const char* name() const override { return "EmbeddingBackward"; }
  SavedTensor index;
  TableGradient table;

  TensorList apply(const TensorList& grads) override {
    const Tensor i = index.get(this);
    const int64_t n = i.numel();
    const Tensor dy = reshape(grads[0], Dims{n, grads[0].size(-1)});
    return {table("embedding", dy, contiguous(reshape(i, Dims{n})))};
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
    node->table = {weight.size(0), padding_idx, scale_grad_by_freq};
    record(node, {weight}, y);
  }
  return y;
}

namespace {

// dw[v] = sum of scale dy[bag] (over the bag's count for a mean) over the look-ups of v; for a maximum of
// what it gave. dscale = dy[bag] . w[index]
struct EmbeddingBagBackward : Node {
  const char* name() const override { return "EmbeddingBagBackward"; }
  SavedTensor index, bag, count, largest, weight, scale;
  TableGradient table;
  BagMode mode = BagMode::Sum;
  Dims scale_sizes;

  TensorList apply(const TensorList& grads) override {
    TensorList result(2);
    Tensor dy = grads[0];
    if (mode == BagMode::Max) {
      const Tensor row = largest.get(this);
      const Tensor kept = where(ge(row, Scalar(0)), dy, Scalar(0.0));
      result[0] = scatter_add_(zeros(Dims{table.rows, dy.size(1)}, dy.dtype(), dy.device()), 0,
                               clamp(row, Scalar(0), std::nullopt), kept);
      return result;
    }
    if (mode == BagMode::Mean) dy = to(div(dy, unsqueeze(count.get(this), 1)), dy.dtype());
    const Tensor i = index.get(this), b = bag.get(this);
    const Tensor factor = scale.defined() ? reshape(scale.get(this), i.sizes()) : Tensor();
    if (needs(0)) result[0] = table("embedding_bag", dy, i, b, factor);
    if (needs(1)) result[1] = reshape(scale_gradient(dy, weight.get(this), i, b), scale_sizes);
    return result;
  }
  Tensor scale_gradient(const Tensor& dy, const Tensor& w, const Tensor& i, const Tensor& b) const {
    if (grad_enabled()) {
      const Tensor real = to(ne(i, Scalar(table.padding_idx)), dy.dtype());
      return mul(sum(mul(bag_rows(dy, b), index_select(w, 0, i)), Dims{1}), real);
    }
    const Tensor g = dy.stride(1) == 1 ? dy : contiguous(dy), rows = w.stride(1) == 1 ? w : contiguous(w);
    Tensor dscale = empty(i.sizes(), dy.dtype(), dy.device());
    const OpName name("embedding_bag");
    const IndexFault fault =
        CCDL_KERNEL(dscale, embedding_bag_backward_scale(g.view(), rows.view(), i.view(), b.view(),
                                                         table.padding_idx, dscale.view()));
    CCDL_CHECK(fault.axis < 0, Index, "embedding_bag: index ", fault.value,
               " is out of range for a table of ", table.rows, " rows");
    return dscale;
  }
  void release_saved() override {
    for (SavedTensor* s : {&index, &bag, &count, &largest, &weight, &scale}) s->reset();
  }
};

// Starts of the bags, int64 contiguous, and their number; sizes are checked, values by the kernel.
Tensor bag_starts(const Tensor& index, const Tensor& offsets, bool include_last_offset, int64_t* bags) {
  const char* op = "embedding_bag";
  if (index.dim() == 2) {
    CCDL_CHECK(!offsets.defined(), Value, op,
               ": a 2-d input is bags of equal size, so offsets must be None, got ", describe(offsets));
    *bags = index.size(0);
    if (index.size(1) == 0) return zeros(Dims{*bags}, DType::Int64, index.device());
    return arange(Scalar(0), Scalar(index.numel()), Scalar(index.size(1)), DType::Int64, index.device());
  }
  CCDL_CHECK(index.dim() == 1, Value, op, ": input has to be 1-d or 2-d, got ", describe(index));
  CCDL_CHECK(offsets.defined() && offsets.dim() == 1, Value, op,
             ": a 1-d input needs offsets, a 1-d tensor of where its bags start; got ",
             offsets.defined() ? describe(offsets) : std::string("None"));
  CCDL_CHECK(!include_last_offset || offsets.size(0) > 0, Runtime, op,
             ": with include_last_offset offsets holds at least one entry, the end of the last bag; got ",
             describe(offsets));
  CCDL_CHECK(offsets.dtype() == DType::Int64 || offsets.dtype() == DType::Int32, DType, op,
             ": offsets must be int64 or int32, got ", describe(offsets));
  *bags = offsets.size(0) - (include_last_offset ? 1 : 0);
  return contiguous(int64_index(op, "offsets", offsets));
}

void check_bags(const IndexFault& fault, int64_t rows, int64_t n) {
  const char* op = "embedding_bag";
  if (fault.axis < 0) [[likely]]
    return;
  CCDL_CHECK(fault.axis == kStartsFault, Index, op, ": index ", fault.value,
             " is out of range for a table of ", rows, " rows");
  fail(ErrorKind::Runtime,
       str(op, ": offsets must start at 0, not decrease and lie within the input's length ", n, ", got ",
           fault.value));
}

}  // namespace

Tensor embedding_bag(const Tensor& index, const Tensor& weight, const Tensor& offsets, BagMode mode,
                     const Tensor& scale, bool include_last_offset, int64_t padding_idx,
                     bool scale_grad_by_freq) {
  const char* op = "embedding_bag";
  const Tensor ids = check_table(op, index, weight, &padding_idx);
  CCDL_CHECK(is_floating(weight.dtype()), DType, op, ": weight must be floating point, got ",
             describe(weight));
  if (scale.defined()) {
    CCDL_CHECK(mode == BagMode::Sum, NotImplemented, op, ": per_sample_weights needs mode='sum'");
    CCDL_CHECK(scale.sizes() == index.sizes(), Value, op,
               ": per_sample_weights must have the shape of input, got ", describe(scale), " for ",
               describe(index));
    CCDL_CHECK(scale.dtype() == weight.dtype(), DType, op,
               ": per_sample_weights must have the dtype of weight, got ", describe(scale), " for ",
               describe(weight));
    check_same_device(op, {{"weight", &weight}, {"per_sample_weights", &scale}});
  }
  if (offsets.defined()) check_same_device(op, {{"weight", &weight}, {"offsets", &offsets}});
  int64_t bags = 0;
  const Tensor starts = bag_starts(ids, offsets, include_last_offset, &bags);
  const int64_t n = ids.numel();
  const Dims sizes{bags, weight.size(1)};
  checked_numel(op, sizes);
  const Tensor i = contiguous(reshape(ids, Dims{n})), w = weight.stride(1) == 1 ? weight : contiguous(weight);
  const Tensor factor = scale.defined() ? contiguous(reshape(scale, Dims{n})) : scale;
  Tensor y = empty(sizes, weight.dtype(), weight.device()), bag, count, largest;
  const bool recorded = needs_graph(weight) || (scale.defined() && needs_graph(scale));
  if (recorded) {
    if (mode == BagMode::Max) largest = empty(sizes, DType::Int64, y.device());
    if (mode != BagMode::Max) bag = full(Dims{n}, Scalar(-1), DType::Int64, y.device());  // none has it yet
    if (mode == BagMode::Mean)
      count = empty(Dims{bags}, y.dtype() == DType::Float64 ? DType::Float64 : DType::Float32, y.device());
  }
  const auto view = [](const Tensor& t) { return t.defined() ? t.view() : View{}; };
  {
    const OpName name(op);
    const IndexFault fault =
        CCDL_KERNEL(y, embedding_bag_forward(w.view(), i.view(), starts.view(), view(factor), mode,
                                             padding_idx, y.view(), view(bag), view(count), view(largest)));
    check_bags(fault, weight.size(0), n);
  }
  if (!recorded) return y;
  auto node = make_ref<EmbeddingBagBackward>();
  node->table = {weight.size(0), padding_idx, scale_grad_by_freq};
  node->mode = mode;
  if (mode == BagMode::Max) {
    node->largest = SavedTensor(largest);
  } else {
    node->index = SavedTensor(i);
    node->bag = SavedTensor(bag);
    if (mode == BagMode::Mean) node->count = SavedTensor(count);
    if (scale.defined()) {
      node->scale = SavedTensor(scale);
      node->scale_sizes = scale.sizes();
      if (needs_graph(scale)) node->weight = SavedTensor(weight);
    }
  }
  record(node, {weight, scale}, y);
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
