#include <ccdl/ops/fft.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>

namespace ccdl::ops {
namespace {

// [outer, n, inner] around dim, and 2 more for pairs.
View lines_of(const Tensor& x, int64_t dim, bool pairs) {
  Dims shape = {1, 1, 1};
  const int64_t ndim = x.dim() - (pairs ? 1 : 0);
  for (int64_t i = 0; i < ndim; ++i) shape[i < dim ? 0 : i == dim ? 1 : 2] *= x.size(i);
  if (pairs) shape.push_back(2);
  return shaped(x, shape);
}

// dx = F^T dy with F the map: the transposed maps of kernels/fft.h. The map is linear, so that nothing is
// kept.
struct FftBackward : Node {
  const char* name() const override { return "FftBackward"; }
  FftSpec spec;
  int64_t dim = 0, count = 0;

  TensorList apply(const TensorList& grads) override {
    FftSpec turned = spec;
    turned.plus = !spec.plus;
    if (spec.mirrored) {
      turned.kind = FftKind::whole;
      turned.mirrored = false;
      return {select(fft_transform(grads[0], turned, dim, count), -1, 0)};
    }
    if (spec.kind == FftKind::to_half) {
      turned.kind = FftKind::to_real;
      turned.interior = spec.interior / 2;
    } else if (spec.kind == FftKind::to_real) {
      turned.kind = FftKind::to_half;
      turned.interior = 2 * spec.interior;
    }
    return {fft_transform(grads[0], turned, dim, count)};
  }
};

}  // namespace

Tensor fft_transform(const Tensor& x, const FftSpec& spec, int64_t dim, int64_t count) {
  const bool pairs_in = spec.kind != FftKind::to_half, pairs_out = spec.kind != FftKind::to_real;
  CCDL_CHECK(x.dtype() == DType::Float32 || x.dtype() == DType::Float64, DType,
             "fft: input must be float32 or float64, got ", describe(x), "; use .float()");
  CCDL_CHECK(x.device().is_cpu(), Device, "fft: input must be in host memory, got ", describe(x));
  CCDL_CHECK(!pairs_in || (x.dim() > 0 && x.size(-1) == 2), Shape,
             "fft: complex input must end in a dimension of 2, got ", describe(x));
  const int64_t ndim = x.dim() - (pairs_in ? 1 : 0);
  CCDL_CHECK(ndim > 0, Index, "fft: input must have a dimension to transform, got ", describe(x));
  dim = wrap_dim("fft", dim, ndim);
  CCDL_CHECK(spec.n >= 1, Value, "fft: Invalid number of data points (", spec.n, ") specified");
  CCDL_CHECK(count >= 0, Value, "fft: count must not be negative, got ", count);
  Dims sizes = x.sizes();
  sizes[static_cast<size_t>(dim)] = count;
  if (!pairs_in) sizes.push_back(2);
  if (!pairs_out) sizes.pop_back();
  Tensor y = empty(sizes, x.dtype(), x.device());
  CCDL_CHECK(spec.n <= (int64_t{1} << 40), Value, "fft: Invalid number of data points (", spec.n,
             ") specified; at most 2^40");
  const Tensor c = dense(x);
  if (y.numel() > 0) cpu::fft_transform(lines_of(c, dim, pairs_in), lines_of(y, dim, pairs_out), spec);
  if (needs_graph(x)) {
    auto node = make_ref<FftBackward>();
    node->spec = spec;
    node->dim = dim;
    node->count = x.size(dim);
    record(node, {x}, y);
  }
  return y;
}

}  // namespace ccdl::ops
