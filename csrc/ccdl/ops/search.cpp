// Unique values, positions, search in sorted sequences, histograms and membership. None of them is
// differentiable.
#include <algorithm>
#include <cmath>

#include <ccdl/kernels/sort.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/sort.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

Unique unique(const Tensor& input, bool consecutive, bool return_inverse, bool return_counts,
              std::optional<int64_t> dim) {
  const char* op = consecutive ? "unique_consecutive" : "unique";
  const NoGradGuard no_grad;
  const Tensor x = detach(input);
  const bool rows = dim && x.dim() > 0;
  const int64_t d = rows ? wrap_dim(op, *dim, x.dim()) : 0;
  const Tensor moved = rows ? contiguous(movedim(x, Dims{d}, Dims{0})) : contiguous(x);
  const int64_t n = rows ? x.size(d) : x.numel();
  if (rows) {
    CCDL_CHECK(n > 0 || x.numel() == 0, Runtime, op, "(): bad input ", describe(x));
    int64_t zeros_beside = 0;
    for (int64_t i = 0; i < x.dim(); ++i) zeros_beside += i != d && x.size(i) == 0;
    CCDL_CHECK(zeros_beside == 0, Runtime, op, "(): There are 0 sized dimensions besides dim ", d,
               " in input ", describe(x), ", so unique cannot be applied");
  }
  const int64_t m = n > 0 ? x.numel() / n : 1;
  const Tensor flat = reshape(moved, Dims{n, m});
  const Tensor order = empty(Dims{n}, DType::Int64, x.device());
  Tensor group;
  int64_t groups = -1;
  if (consecutive && m == 1) groups = CCDL_KERNEL(x, unique_starts(flat.view(), order.view()));
  const bool runs = groups >= 0;
  if (!runs) {
    group = empty(Dims{n}, DType::Int64, x.device());
    groups = CCDL_KERNEL(x, unique_groups(flat.view(), consecutive, order.view(), group.view()));
  }
  Unique out;
  const Tensor values = empty(Dims{groups, m}, x.dtype(), x.device());
  View none{}, inverse = none, counts = none;
  if (return_inverse) {
    out.inverse = empty(rows ? Dims{n} : x.sizes(), DType::Int64, x.device());
    inverse = out.inverse.view();
  }
  if (return_counts) {
    out.counts = empty(Dims{groups}, DType::Int64, x.device());
    counts = out.counts.view();
  }
  if (runs)
    CCDL_KERNEL(x, unique_runs(flat.view(), order.view(), groups, values.view(), inverse, counts));
  else
    CCDL_KERNEL(x, unique_fill(flat.view(), order.view(), group.view(), values.view(), inverse, counts));
  if (!rows) {
    out.values = reshape(values, Dims{groups});
    return out;
  }
  Dims sizes = moved.sizes();
  sizes[0] = groups;
  out.values = contiguous(movedim(reshape(values, sizes), Dims{0}, Dims{d}));
  return out;
}

Tensor nonzero(const Tensor& x) {
  const TensorList columns = nonzero_tuple(x);
  if (columns.empty()) return zeros(Dims{item(any(x)).to_bool() ? 1 : 0, 0}, DType::Int64, x.device());
  return stack(columns, 1);
}

namespace {

// Both operands as tensors of their common type; a number joins as a 0-d tensor.
std::pair<Tensor, Tensor> common(const Operand& a, const Operand& b) {
  CCDL_CHECK(a.is_tensor() || b.is_tensor(), Type, "expected at least one tensor argument");
  const Device device =
      (a.is_tensor() && (!b.is_tensor() || !is_host_number(a.tensor)) ? a.tensor : b.tensor).device();
  const auto as_tensor = [&](const Operand& o, const Operand& other) {
    if (o.is_tensor() && is_host_number(o.tensor)) return to(o.tensor, o.tensor.dtype(), device, false);
    if (o.is_tensor()) return o.tensor;
    const DType t = other.tensor.dtype();
    const bool fits = is_floating(t) || (!o.scalar.is_float() && t != DType::Bool);
    return full(Dims{}, o.scalar, fits ? t : o.scalar.dtype(default_dtype()), device);
  };
  const Tensor x = as_tensor(a, b), y = as_tensor(b, a);
  check_same_device("search", {{"the first operand", &x}, {"the second operand", &y}});
  const DType t = promote_types(x.dtype(), y.dtype());
  return {contiguous(to(detach(x), t)), contiguous(to(detach(y), t))};
}

}  // namespace

Tensor searchsorted(const Tensor& sorted_sequence, const Operand& values, bool right, bool out_int32,
                    const Tensor& sorter) {
  const NoGradGuard no_grad;
  CCDL_CHECK(sorted_sequence.dim() > 0, Runtime,
             "searchsorted(): input value can be a scalar only when sorted_sequence is 1-d, and "
             "sorted_sequence needs at least one dimension, got ",
             describe(sorted_sequence));
  Tensor sequence = sorted_sequence;
  if (sorter.defined()) {
    CCDL_CHECK(sorter.sizes() == sequence.sizes() && sorter.dtype() == DType::Int64, Runtime,
               "searchsorted(): sorter must be an int64 tensor of the size of sorted_sequence, got ",
               describe(sorter), " and ", describe(sequence));
    sequence = gather(sequence, -1, sorter);
  }
  auto [s, v] = common(sequence, values);
  const int64_t n = s.size(-1);
  if (s.dim() > 1) {
    bool fits = v.dim() == s.dim();
    for (int64_t d = 0; fits && d + 1 < s.dim(); ++d) fits = v.size(d) == s.size(d);
    CCDL_CHECK(fits, Runtime,
               "searchsorted(): sorted_sequence must be 1-d, or its dimensions up to the last must match "
               "input, got ",
               describe(s), " and input ", describe(v));
  }
  const Tensor y = empty(v.sizes(), DType::Int64, v.device());
  if (v.numel() > 0) {
    const int64_t rows = s.dim() > 1 ? s.numel() / std::max<int64_t>(n, 1) : 1;
    if (n == 0) return zeros(v.sizes(), out_int32 ? DType::Int32 : DType::Int64, v.device());
    const Tensor flat = reshape(y, Dims{rows, v.numel() / rows});
    CCDL_KERNEL(v, searchsorted(reshape(s, Dims{rows, n}).view(), reshape(v, flat.sizes()).view(),
                                flat.view(), right));
  }
  return out_int32 ? to(y, DType::Int32) : y;
}

Tensor bucketize(const Operand& x, const Tensor& boundaries, bool right, bool out_int32) {
  CCDL_CHECK(boundaries.dim() == 1, Runtime, "bucketize(): boundaries tensor must be 1 dimension, but got ",
             describe(boundaries));
  return searchsorted(boundaries, x, right, out_int32);
}

Tensor histc(const Tensor& input, int64_t bins, double low, double high) {
  const NoGradGuard no_grad;
  CCDL_CHECK(bins > 0, Runtime, "histc(): bins must be > 0, but got ", bins);
  CCDL_CHECK(is_floating(input.dtype()), DType, "histc(): expected a floating point input, got ",
             describe(input), "; convert it with .float()");
  const Tensor x = contiguous(detach(input));
  if (low == high && x.numel() > 0) {
    low = item(amin(x)).to_double();
    high = item(amax(x)).to_double();
  }
  if (low == high) {
    low -= 1;
    high += 1;
  }
  CCDL_CHECK(std::isfinite(low) && std::isfinite(high), Runtime, "histc(): range of [", low, ", ", high,
             "] is not finite");
  CCDL_CHECK(low < high, Runtime, "histc(): max must be larger than min, got min=", low, ", max=", high);
  const Tensor y = empty(Dims{bins}, x.dtype(), x.device());
  CCDL_KERNEL(x, histc(x.view(), low, high, y.view()));
  return y;
}

Tensor bincount(const Tensor& input, const Tensor& weights, int64_t minlength) {
  const NoGradGuard no_grad;
  CCDL_CHECK(is_integral(input.dtype(), false) && input.dim() == 1, Runtime,
             "bincount(): only supports 1-d non-negative integral inputs, got ", describe(input));
  CCDL_CHECK(minlength >= 0, Runtime, "bincount(): minlength should be >= 0, got ", minlength);
  CCDL_CHECK(!weights.defined() || weights.sizes() == input.sizes(), Runtime,
             "bincount(): weights should be 1-d and have the same length as input, got ",
             weights.defined() ? describe(weights) : "", " for input ", describe(input));
  check_same_device("bincount", {{"input", &input}, {"weights", &weights}});
  const Tensor x = contiguous(to(input, DType::Int64));
  int64_t size = minlength;
  if (x.numel() > 0) {
    const int64_t least = item(amin(x)).to_int();
    CCDL_CHECK(least >= 0, Runtime,
               "bincount(): only supports 1-d non-negative integral inputs, got the value ", least);
    size = std::max(size, item(amax(x)).to_int() + 1);
  }
  const Tensor y = empty(Dims{size}, weights.defined() ? DType::Float64 : DType::Int64, x.device());
  const Tensor w = weights.defined() ? contiguous(to(detach(weights), DType::Float64)) : Tensor();
  CCDL_KERNEL(x, bincount(x.view(), w.defined() ? w.view() : View{}, y.view()));
  return weights.defined() && weights.dtype() == DType::Float32 ? to(y, DType::Float32) : y;
}

Tensor isin(const Operand& elements, const Operand& test_elements, bool invert) {
  const NoGradGuard no_grad;
  const auto [x, test] = common(elements, test_elements);
  const Tensor y = empty(x.sizes(), DType::Bool, x.device());
  CCDL_KERNEL(x, isin(x.view(), test.view(), y.view(), invert));
  return y;
}

}  // namespace ccdl::ops
