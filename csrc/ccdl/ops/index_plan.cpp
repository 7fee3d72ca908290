#include <ccdl/ops/index_plan.h>

namespace ccdl::ops {

View IndexPlan::target(const Tensor& x) const {
  View v;
  v.data = x.data();
  v.dtype = x.dtype();
  v.device = x.device_tag();
  v.ndim = sizes.ndim();
  for (int d = 0; d < v.ndim; ++d) {
    v.sizes[d] = sizes[d];
    v.strides[d] = strides[d];
  }
  return v;
}

void IndexPlan::add(const Tensor& index, const Dims& index_strides, const Tensor& x, int64_t dim) {
  IndexAxis axis;
  axis.index.data = index.data();
  axis.index.dtype = DType::Int64;
  axis.index.device = index.device_tag();
  axis.index.ndim = sizes.ndim();
  for (int d = 0; d < sizes.ndim(); ++d) {
    axis.index.sizes[d] = sizes[d];
    axis.index.strides[d] = index_strides[d];
  }
  axis.size = x.dim() ? x.size(dim) : 1;
  axis.step = x.dim() ? x.stride(dim) : 0;
  axis.dim = dim;
  axes.push_back(axis);
}

void IndexPlan::check(const char* op, const IndexFault& fault) const {
  if (fault.axis < 0) return;
  const IndexAxis& axis = axes[static_cast<size_t>(fault.axis)];
  fail(ErrorKind::Index, str(op, ": index ", fault.value, " is out of bounds for dimension ", axis.dim,
                             " with size ", axis.size, wrap ? " (negative indices count from the end)" : ""));
}

void IndexPlan::get(const char* op, const Tensor& x, const Tensor& y) const {
  const OpName name(op);
  check(op, CCDL_KERNEL(x, index_get(target(x), axes.data(), static_cast<int>(axes.size()), wrap, y.view())));
}

void IndexPlan::put(const char* op, const Tensor& y, const Tensor& src, PutMode mode, bool fresh) const {
  const OpName name(op);
  check(op, CCDL_KERNEL(y, index_put(target(y), axes.data(), static_cast<int>(axes.size()), wrap,
                                     src.view_as(sizes), mode, !fresh)));
}

IndexPlan pointwise_plan(const Tensor& x, int64_t dim, const Tensor& index) {
  IndexPlan plan;
  plan.sizes = index.sizes();
  plan.strides = x.strides();
  if (x.dim() == 0)
    plan.strides = Dims(plan.sizes.size(), 0);  // a 0-d tensor is indexed like one of size 1
  else if (plan.sizes.empty())
    plan.strides.clear();
  else
    plan.strides[static_cast<size_t>(dim)] = 0;
  plan.add(index, index.strides(), x, dim);
  return plan;
}

IndexPlan slice_plan(const Tensor& x, int64_t dim, const Tensor& index) {
  IndexPlan plan;
  plan.sizes = x.sizes();
  plan.strides = x.strides();
  Dims along(plan.sizes.size(), 0);
  if (x.dim() > 0) {
    plan.sizes[static_cast<size_t>(dim)] = index.numel();
    plan.strides[static_cast<size_t>(dim)] = 0;
    along[static_cast<size_t>(dim)] = index.dim() ? index.stride(0) : 0;
  } else if (index.dim() == 1 && index.numel() != 1) {
    plan.sizes = index.sizes();
    plan.strides = {0};
    along = index.strides();
  }
  plan.add(index, along, x, dim);
  return plan;
}

IndexPlan advanced_plan(const char* op, const Tensor& x, const TensorList& indices) {
  IndexPlan plan;
  plan.wrap = true;
  const Tensor* first = nullptr;
  int64_t begin = -1, end = -1, count = 0;  // [begin, end): from the first index tensor past the last one
  for (size_t k = 0; k < indices.size(); ++k) {
    if (!indices[k].defined()) continue;
    if (!first) first = &indices[k], begin = static_cast<int64_t>(k);
    end = static_cast<int64_t>(k) + 1;
    ++count;
  }
  const Dims shape = first ? first->sizes() : Dims{};
  const int64_t at = end - begin == count ? begin : 0;  // where the broadcast dims land
  CCDL_CHECK(x.dim() - count + shape.ndim() <= kMaxDims, Index, op, ": the result would have ",
             x.dim() - count + shape.ndim(), " dimensions; at most ", kMaxDims, " are supported");
  size_t place = 0;
  auto place_index = [&] {
    place = plan.sizes.size();
    for (int64_t s : shape) {
      plan.sizes.push_back(s);
      plan.strides.push_back(0);
    }
  };
  if (at == 0) place_index();
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (at != 0 && d == at) place_index();
    if (d < static_cast<int64_t>(indices.size()) && indices[static_cast<size_t>(d)].defined()) continue;
    plan.sizes.push_back(x.size(d));
    plan.strides.push_back(x.stride(d));
  }
  for (size_t k = 0; k < indices.size(); ++k) {
    if (!indices[k].defined()) continue;
    CCDL_CHECK(static_cast<int64_t>(k) >= x.dim() || x.size(static_cast<int64_t>(k)) || !indices[k].numel(),
               Index, op, ": index is out of bounds for dimension ", k, " with size 0");
    Dims strides(plan.sizes.size(), 0);
    for (size_t d = 0; d < shape.size(); ++d) strides[place + d] = indices[k].strides()[d];
    plan.add(indices[k], strides, x, static_cast<int64_t>(k));
  }
  return plan;
}

DType sum_dtype(DType t) { return is_half(t) ? DType::Float32 : t; }

}  // namespace ccdl::ops
