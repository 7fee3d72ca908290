// Integers, slices and new axes: one view, whatever the number of steps.
#include <ccdl/ops/create.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// dx = dy in the same window of a zero tensor
struct BasicIndexBackward : Node {
  const char* name() const override { return "SliceBackward"; }
  std::vector<BasicStep> steps;
  Dims sizes;
  TensorList apply(const TensorList& g) override {
    if (g[0].numel() == numel_of(sizes)) return {reshape(g[0], sizes)};  // all elements, in their order
    Tensor dx = zeros(sizes, g[0].dtype(), g[0].device());
    copy_(basic_index(dx, steps.data(), steps.size()), g[0]);
    return {dx};
  }
};

}  // namespace

Tensor basic_index(const Tensor& x, const BasicStep* steps, size_t count) {
  const Dims &from = x.sizes(), &by = x.strides();
  Dims sizes, strides;
  int64_t offset = x.offset();
  size_t d = 0;  // the next dimension of x
  for (size_t i = 0; i < count; ++i) {
    const BasicStep& s = steps[i];
    if (s.kind == BasicStep::New) {
      sizes.push_back(1);
      strides.push_back(d < from.size() ? from[d] * by[d] : 1);
      continue;
    }
    CCDL_CHECK(d < from.size(), Index, "index: too many indices for tensor of dimension ", x.dim());
    if (s.kind == BasicStep::At) {
      const int64_t n = from[d];
      CCDL_CHECK(s.start >= -n && s.start < n, Index, "index ", s.start, " is out of bounds for dimension ",
                 d, " with size ", n);
      offset += (s.start < 0 ? s.start + n : s.start) * by[d];
    } else if (s.kind == BasicStep::Range) {
      CCDL_CHECK(s.start >= 0 && s.length >= 0 && s.step > 0 &&
                     (s.length == 0 || s.start + (s.length - 1) * s.step < from[d]),
                 Index, "index: range start ", s.start, ", length ", s.length, ", step ", s.step,
                 " does not fit dimension ", d, " with size ", from[d]);
      int64_t stride = 0;
      if (s.length < 2 || __builtin_mul_overflow(by[d], s.step, &stride)) stride = by[d];
      sizes.push_back(s.length);
      strides.push_back(stride);
      if (s.length > 0) offset += s.start * by[d];
    } else {
      sizes.push_back(from[d]);
      strides.push_back(by[d]);
    }
    ++d;
  }
  for (; d < from.size(); ++d) {
    sizes.push_back(from[d]);
    strides.push_back(by[d]);
  }
  Ref<BasicIndexBackward> node;
  if (needs_graph(x)) {
    node = make_ref<BasicIndexBackward>();
    node->steps.assign(steps, steps + count);
    node->sizes = from;
  }
  return autograd::make_view(x, alias(x, sizes, strides, offset), node);
}

}  // namespace ccdl::ops
