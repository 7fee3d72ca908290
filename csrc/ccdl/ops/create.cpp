#include <ccdl/ops/create.h>

#include <ccdl/kernels/create.h>

#include <cmath>

#include <ccdl/core/allocator.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// `y` is fresh from empty(): memory of its own.
Tensor filled(Tensor y, Scalar value) {
  if (!value.is_float() && value.to_int() == 0 && y.device().is_cpu() && y.is_contiguous() &&
      cpu_zero_pages(y.storage()->data(), static_cast<size_t>(y.storage()->bytes())))
    return y;
  const Tensor v = scalar_tensor(value, y.dtype());
  CCDL_KERNEL(y, fill(y.view(), v.data()));
  return y;
}

Tensor empty_in(const Tensor& x, std::optional<DType> dtype, MemoryFormat format) {
  const DType t = dtype.value_or(x.dtype());
  return format == MemoryFormat::Preserve ? ccdl::empty_like(x, t) : empty(x.sizes(), t, x.device(), format);
}

Tensor line(const char* op, int64_t n, DType dtype, Device device) {
  CCDL_CHECK(n >= 0, Runtime, op, ": number of steps must be non-negative, got ", n);
  return empty(Dims{n}, dtype, device);
}

}  // namespace

Tensor zeros(IntSpan sizes, DType dtype, Device device) { return filled(empty(sizes, dtype, device), 0); }
Tensor ones(IntSpan sizes, DType dtype, Device device) { return filled(empty(sizes, dtype, device), 1); }
void check_fits(const char* op, Scalar value, DType dtype) {
  if (is_floating(dtype) || dtype == DType::Bool || value.is_bool()) return;
  const int bits = static_cast<int>(8 * item_size(dtype)) - (dtype == DType::UInt8 ? 0 : 1);
  const double high = std::ldexp(1.0, bits), low = dtype == DType::UInt8 && value.is_float() ? 0.0 : -high;
  const double v = value.to_double();  // negative whole numbers wrap in uint8, as PyTorch has it
  const bool fits = value.is_float()
                        ? std::trunc(v) >= low && v < high
                        : bits == 63 || (v >= (dtype == DType::UInt8 ? 1 - high : low) && v < high);
  CCDL_CHECK(fits, Runtime, op, ": value ", value, " cannot be converted to type ", dtype_name(dtype),
             " without overflow");
}

Tensor full(IntSpan sizes, Scalar value, DType dtype, Device device) {
  check_fits("full", value, dtype);
  return filled(empty(sizes, dtype, device), value);
}
Tensor zeros_like(const Tensor& x, std::optional<DType> dtype, MemoryFormat format) {
  return filled(empty_in(x, dtype, format), 0);
}
Tensor ones_like(const Tensor& x, std::optional<DType> dtype, MemoryFormat format) {
  return filled(empty_in(x, dtype, format), 1);
}
Tensor full_like(const Tensor& x, Scalar value, std::optional<DType> dtype, MemoryFormat format) {
  check_fits("full_like", value, dtype.value_or(x.dtype()));
  return filled(empty_in(x, dtype, format), value);
}
Tensor empty_like(const Tensor& x, std::optional<DType> dtype, MemoryFormat format) {
  return empty_in(x, dtype, format);
}

DType arange_dtype(Scalar start, Scalar end, Scalar step) {
  return start.is_float() || end.is_float() || step.is_float() ? default_dtype() : DType::Int64;
}

Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device) {
  const bool real = start.is_float() || end.is_float() || step.is_float();
  const bool rounded = is_integral(dtype) && real;  // start and step are rounded towards zero
  if (rounded && dtype == DType::Int64) {
    for (const Scalar& v : {start, end, step})  // for int64 the end as well, before the elements are counted
      CCDL_CHECK(std::abs(v.to_double()) < 9.2e18, Runtime, "arange: unsupported range: ", start, " -> ",
                 end);
    auto whole = [](const Scalar& v) { return Scalar(static_cast<long>(v.to_int())); };
    return arange(whole(start), whole(end), whole(step), dtype, device);
  }
  const double a = start.to_double(), b = end.to_double(), s = step.to_double();
  CCDL_CHECK(s != 0 && !std::isnan(s), Value, "arange: step must be nonzero, got ", step);
  CCDL_CHECK(std::isfinite(a) && std::isfinite(b), Runtime, "arange: unsupported range: ", start, " -> ",
             end);
  CCDL_CHECK((s > 0 && a <= b) || (s < 0 && a >= b), Runtime,
             "arange: upper bound and lower bound inconsistent with step sign: start ", start, ", end ", end,
             ", step ", step);
  if (!real) {
    const auto from = static_cast<__int128>(start.to_int()), to = static_cast<__int128>(end.to_int()),
               by = static_cast<__int128>(step.to_int());
    const __int128 n = by > 0 ? (to - from + by - 1) / by : (from - to - by - 1) / -by;
    CCDL_CHECK(n < (__int128{1} << 62), Value, "arange: the range from ", start, " to ", end, " is too long");
    Tensor y = empty(Dims{static_cast<int64_t>(n)}, dtype, device);
    CCDL_KERNEL(y, arange_int(y.view(), start.to_int(), step.to_int()));
    return y;
  }
  const double n = std::ceil((b - a) / s);
  CCDL_CHECK(n >= 0 && n < 4.6e18, Value, "arange: invalid size, possible overflow: start ", start, ", end ",
             end, ", step ", step);
  Tensor y = empty(Dims{static_cast<int64_t>(n)}, dtype, device);
  if (rounded) {
    CCDL_KERNEL(y, arange_int(y.view(), start.to_int(), step.to_int()));
    return y;
  }
  CCDL_KERNEL(y, arange_float(y.view(), a, s));
  return y;
}

Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device) {
  Tensor y = line("linspace", steps, dtype, device);
  CCDL_KERNEL(y, linspace(y.view(), start, end));
  return y;
}

Tensor logspace(double start, double end, int64_t steps, double base, DType dtype, Device device) {
  Tensor y = line("logspace", steps, dtype, device);
  CCDL_KERNEL(y, logspace(y.view(), start, end, base));
  return y;
}

Tensor eye(int64_t rows, int64_t columns, DType dtype, Device device) {
  CCDL_CHECK(rows >= 0 && columns >= 0, Runtime, "eye: n and m must be greater or equal to 0, got n=", rows,
             ", m=", columns);
  Tensor y = empty(Dims{rows, columns}, dtype, device);
  CCDL_KERNEL(y, eye(y.view()));
  return y;
}

Tensor triangle_indices(int64_t rows, int64_t columns, int64_t offset, bool upper, DType dtype,
                        Device device) {
  const char* op = upper ? "triu_indices" : "tril_indices";
  CCDL_CHECK(rows >= 0 && columns >= 0, Runtime, op, ": row and col must be non-negative, got row=", rows,
             ", col=", columns);
  checked_numel(op, Dims{2, rows, columns});
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t edge =
        offset > columns - r ? columns : std::clamp<int64_t>(r + offset + (upper ? 0 : 1), 0, columns);
    count += upper ? columns - edge : edge;
  }
  Tensor y = empty(Dims{2, count}, DType::Int64, device);
  CCDL_KERNEL(y, triangle_indices(y.view(), rows, columns, offset, upper));
  return to(y, dtype);
}

Tensor one_hot(const Tensor& index, int64_t classes) {
  CCDL_CHECK(index.dtype() == DType::Int64, DType,
             "one_hot: is only applicable to index tensor of type int64, got ", describe(index));
  NoGradGuard no_grad;
  if (index.numel() == 0) {
    CCDL_CHECK(classes > 0, Runtime,
               "one_hot: Can not infer total number of classes from empty tensor; pass num_classes");
  } else if (classes < 0 ||
             index.device().is_cpu()) {  // with classes given, scatter_ finds bad values itself
    const int64_t low = item(amin(index)).to_int(), high = item(amax(index)).to_int();
    CCDL_CHECK(low >= 0, Runtime, "one_hot: Class values must be non-negative, got ", low);
    if (classes < 0) classes = high + 1;
    CCDL_CHECK(classes > 0 && high < classes, Runtime,
               "one_hot: Class values must be smaller than num_classes, got ", high,
               " with num_classes=", classes);
  }
  Dims sizes = index.sizes();
  sizes.push_back(classes);
  return scatter_(zeros(sizes, DType::Int64, index.device()), -1, unsqueeze(index, -1), Scalar(1));
}

}  // namespace ccdl::ops
