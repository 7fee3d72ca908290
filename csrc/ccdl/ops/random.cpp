// Random factories and fills: check, reserve draws, launch.
#include <ccdl/kernels/random.h>
#include <ccdl/ops/constant.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/random.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

RandomState reserve(Generator* generator, int64_t words) {
  return (generator != nullptr ? *generator : current_generator()).reserve(words);
}

void check_floating(const char* op, const Tensor& x) {
  CCDL_CHECK(is_floating(x.dtype()), DType, op, ": needs a floating point tensor but got ", describe(x));
}
void check_floating(const char* op, DType dtype) {
  CCDL_CHECK(is_floating(dtype), DType, op, ": needs a floating point dtype but got ", dtype_name(dtype));
}

// Draws of 64 bits per element.
RandomState reserve_wide(Generator* generator, const Tensor& x) { return reserve(generator, 2 * x.numel()); }
RandomState reserve_for(Generator* generator, const Tensor& x) {
  return reserve(generator, random_words(x.dtype()) * x.numel());
}

void fill_uniform(const Tensor& x, double from, double to, Generator* generator) {
  const RandomState state = reserve_for(generator, x);
  CCDL_KERNEL(x, random_uniform(x.view(), state, from, to));
}
void fill_normal(const Tensor& x, double mean, double std, Generator* generator) {
  const RandomState state = reserve_for(generator, x);
  CCDL_KERNEL(x, random_normal(x.view(), state, mean, std));
}
void fill_integers(const char* op, const Tensor& x, int64_t low, int64_t high, Generator* generator) {
  CCDL_CHECK(low < high, Value, op, ": expects 'from' to be less than 'to', but got from=", low,
             " >= to=", high);
  const RandomState state = reserve_wide(generator, x);
  CCDL_KERNEL(
      x, random_integers(x.view(), state, low, static_cast<uint64_t>(high) - static_cast<uint64_t>(low)));
}

struct Range {
  int64_t least, greatest;
};

// The integers a type holds; a floating type up to the power of two below which every integer is exact.
Range integer_range(DType t) {
  switch (t) {
    case DType::Bool:
      return {0, 1};
    case DType::UInt8:
      return {0, 255};
    case DType::Int8:
      return {-128, 127};
    case DType::Int16:
      return {-32768, 32767};
    case DType::Int32:
      return {INT32_MIN, INT32_MAX};
    case DType::Int64:
      return {INT64_MIN, INT64_MAX};
    case DType::Float16:
      return {-2048, 2048};
    case DType::BFloat16:
      return {-256, 256};
    case DType::Float32:
      return {-(1 << 24), 1 << 24};
    default:
      return {-(int64_t{1} << 53), int64_t{1} << 53};
  }
}

// Bounds [low, high) must be values of an integer type; a floating type rounds.
void check_range(const char* op, DType t, int64_t low, int64_t high) {
  if (is_floating(t)) return;
  const Range r = integer_range(t);
  CCDL_CHECK(low >= r.least && low <= r.greatest, Value, op, ": from=", low, " is out of bounds for ",
             dtype_name(t), " (", r.least, " to ", r.greatest, ")");
  CCDL_CHECK(high - 1 <= r.greatest, Value, op, ": to - 1 = ", high - 1, " is out of bounds for ",
             dtype_name(t), " (", r.least, " to ", r.greatest, ")");
}

Tensor like(const Tensor& x, DType dtype, MemoryFormat format) {
  return format == MemoryFormat::Preserve ? empty_like(x, dtype)
                                          : empty(x.sizes(), dtype, x.device(), format);
}

// Overwrites x by fill() as an in-place op without history.
template <class F>
Tensor overwrite(const char* op, const Tensor& x, const F& fill) {
  autograd::check_inplace(op, x);
  fill();
  autograd::rebase_history(x, {});
  return x;
}

void check_probability(const char* op, double p) {
  CCDL_CHECK(p >= 0 && p <= 1, Value, op, ": expects p to be in [0, 1], but got p=", p);
}
void check_std(const char* op, double std) {
  CCDL_CHECK(std >= 0, Value, op, ": expects std >= 0.0, but found std ", std);
}

}  // namespace

Tensor rand(IntSpan sizes, DType dtype, Generator* generator, Device device) {
  check_floating("rand", dtype);
  Tensor y = empty(sizes, dtype, device);
  fill_uniform(y, 0, 1, generator);
  return y;
}

Tensor randn(IntSpan sizes, DType dtype, Generator* generator, Device device) {
  check_floating("randn", dtype);
  Tensor y = empty(sizes, dtype, device);
  fill_normal(y, 0, 1, generator);
  return y;
}

Tensor randint(int64_t low, int64_t high, IntSpan sizes, DType dtype, Generator* generator, Device device) {
  check_range("randint", dtype, low, high);
  Tensor y = empty(sizes, dtype, device);
  fill_integers("randint", y, low, high, generator);
  return y;
}

Tensor randperm(int64_t n, DType dtype, Generator* generator, Device device) {
  CCDL_CHECK(n >= 0, Value, "randperm: n must be non-negative, got ", n);
  CCDL_CHECK(n < (int64_t{1} << 32), Value, "randperm: n=", n,
             " is too large; fewer than 2^32 elements are supported");
  CCDL_CHECK(n - 1 <= integer_range(dtype).greatest && dtype != DType::Bool, Value, "randperm: n=", n,
             " is too large for ", dtype_name(dtype));
  Tensor y = empty({&n, 1}, DType::Int64, device);
  const RandomState state = reserve_wide(generator, y);
  CCDL_KERNEL(y, random_permutation(y.view(), state));
  return to(y, dtype);
}

Tensor rand_like(const Tensor& x, DType dtype, MemoryFormat format, Generator* generator) {
  check_floating("rand_like", dtype);
  Tensor y = like(x, dtype, format);
  fill_uniform(y, 0, 1, generator);
  return y;
}

Tensor randn_like(const Tensor& x, DType dtype, MemoryFormat format, Generator* generator) {
  check_floating("randn_like", dtype);
  Tensor y = like(x, dtype, format);
  fill_normal(y, 0, 1, generator);
  return y;
}

Tensor randint_like(const Tensor& x, int64_t low, int64_t high, DType dtype, MemoryFormat format,
                    Generator* generator) {
  check_range("randint_like", dtype, low, high);
  Tensor y = like(x, dtype, format);
  fill_integers("randint_like", y, low, high, generator);
  return y;
}

Tensor normal(const Operand& mean, const Operand& std, Generator* generator) {
  CCDL_CHECK(mean.is_tensor() || std.is_tensor(), Type, "normal: mean and std are both numbers; give a size");
  if (mean.is_tensor()) check_floating("normal", mean.tensor);
  if (std.is_tensor())
    check_floating("normal", std.tensor);
  else
    check_std("normal", std.scalar.to_double());
  if (std.is_tensor()) {
    const NoGradGuard no_grad;
    CCDL_CHECK(!item(any(lt(std.tensor, Scalar(0)))).to_bool(), Value,
               "normal: expects all elements of std >= 0.0, std is ", describe(std.tensor));
  }
  const Tensor& first = mean.is_tensor() ? mean.tensor : std.tensor;
  Dims sizes = first.sizes();
  if (mean.is_tensor() && std.is_tensor())
    sizes = broadcast_shapes("normal", mean.tensor.sizes(), std.tensor.sizes());
  const Tensor y = [&] {
    const NoGradGuard no_grad;
    return add(mul(randn(sizes, first.dtype(), generator, first.device()), std), mean);
  }();
  record_constant("NormalBackward", {mean.tensor, std.tensor}, y);
  return y;
}

Tensor normal(double mean, double std, IntSpan sizes, DType dtype, Generator* generator, Device device) {
  check_floating("normal", dtype);
  check_std("normal", std);
  Tensor y = empty(sizes, dtype, device);
  fill_normal(y, mean, std, generator);
  return y;
}

Tensor bernoulli(const Tensor& p, Generator* generator) {
  check_floating("bernoulli", p);
  Tensor y = empty_like(p);
  const OpName name("bernoulli");
  CCDL_CHECK(CCDL_KERNEL(p, probabilities_valid(p.view())), Runtime,
             "bernoulli: expects every probability in input to be in [0, 1], input is ", describe(p));
  const RandomState state = reserve(generator, p.numel());
  CCDL_KERNEL(p, random_bernoulli_each(p.view(), y.view(), state));
  record_constant("BernoulliBackward", {p}, y);
  return y;
}

Tensor bernoulli(const Tensor& x, double p, Generator* generator) {
  check_probability("bernoulli", p);
  Tensor y = empty_like(x);
  const RandomState state = reserve(generator, x.numel());
  CCDL_KERNEL(y, random_bernoulli(y.view(), state, p));
  if (is_floating(y.dtype())) record_constant("BernoulliBackward", {x}, y);
  return y;
}

Tensor multinomial(const Tensor& weights, int64_t samples, bool replacement, Generator* generator) {
  check_floating("multinomial", weights);
  CCDL_CHECK(weights.dim() == 1 || weights.dim() == 2, Shape,
             "multinomial: prob_dist must be 1 or 2 dim, input is ", describe(weights));
  CCDL_CHECK(samples > 0, Value, "multinomial: cannot sample num_samples=", samples, " <= 0 samples");
  const int64_t k = weights.size(-1), rows = weights.dim() == 2 ? weights.size(0) : 1;
  CCDL_CHECK(k > 0, Shape, "multinomial: input has no categories: ", describe(weights));
  CCDL_CHECK(replacement || samples <= k, Value, "multinomial: cannot sample num_samples=", samples, " > ", k,
             " categories without replacement");
  const OpName name("multinomial");
  const int faults = CCDL_KERNEL(weights, multinomial_check(weights.view(), replacement ? 0 : samples));
  CCDL_CHECK(
      (faults & 1) == 0, Value,
      "multinomial: probability tensor contains either `inf`, `nan` or element < 0: ", describe(weights));
  CCDL_CHECK(
      (faults & 2) == 0, Value,
      "multinomial: invalid multinomial distribution (sum of probabilities <= 0): ", describe(weights));
  CCDL_CHECK((faults & 4) == 0, Value,
             "multinomial: a row has fewer non-zero categories than num_samples=", samples,
             " and replacement is False");
  Dims sizes = weights.sizes();
  sizes.back() = samples;
  Tensor y = empty(sizes, DType::Int64, weights.device());
  const RandomState state = reserve(generator, 2 * rows * (replacement ? samples : k));
  CCDL_KERNEL(weights, multinomial(weights.view(), y.view(), state, replacement));
  return y;
}

Tensor uniform_(const Tensor& x, double from, double to, Generator* generator) {
  check_floating("uniform_", x);
  CCDL_CHECK(from <= to, Value, "uniform_: expects to return a [from, to) range, but found from=", from,
             " > to=", to);
  return overwrite("uniform_", x, [&] { fill_uniform(x, from, to, generator); });
}

Tensor normal_(const Tensor& x, double mean, double std, Generator* generator) {
  check_floating("normal_", x);
  check_std("normal_", std);
  return overwrite("normal_", x, [&] { fill_normal(x, mean, std, generator); });
}

Tensor log_normal_(const Tensor& x, double mean, double std, Generator* generator) {
  check_floating("log_normal_", x);
  CCDL_CHECK(std > 0, Value, "log_normal_: expects std > 0.0, but found std=", std);
  return overwrite("log_normal_", x, [&] {
    const NoGradGuard no_grad;
    copy_(x, exp(normal(mean, std, x.sizes(), x.dtype(), generator, x.device())));
  });
}

Tensor exponential_(const Tensor& x, double lambda, Generator* generator) {
  check_floating("exponential_", x);
  CCDL_CHECK(lambda > 0, Value, "exponential_: expects lambd > 0, but got lambd=", lambda);
  return overwrite("exponential_", x,
                   [&] { CCDL_KERNEL(x, random_exponential(x.view(), reserve_wide(generator, x), lambda)); });
}

Tensor geometric_(const Tensor& x, double p, Generator* generator) {
  CCDL_CHECK(p > 0 && p < 1, Value, "geometric_: expects p to be in (0, 1), but got p=", p);
  CCDL_CHECK(x.dtype() != DType::Bool, DType, "geometric_: bool cannot hold counts, self is ", describe(x));
  return overwrite("geometric_", x,
                   [&] { CCDL_KERNEL(x, random_geometric(x.view(), reserve_wide(generator, x), p)); });
}

Tensor cauchy_(const Tensor& x, double median, double sigma, Generator* generator) {
  check_floating("cauchy_", x);
  CCDL_CHECK(sigma > 0, Value, "cauchy_: expects sigma > 0.0, but found sigma=", sigma);
  return overwrite("cauchy_", x, [&] {
    CCDL_KERNEL(x, random_cauchy(x.view(), reserve_wide(generator, x), median, sigma));
  });
}

Tensor bernoulli_(const Tensor& x, double p, Generator* generator) {
  check_probability("bernoulli_", p);
  return overwrite("bernoulli_", x,
                   [&] { CCDL_KERNEL(x, random_bernoulli(x.view(), reserve(generator, x.numel()), p)); });
}

Tensor bernoulli_(const Tensor& x, const Tensor& p, Generator* generator) {
  check_floating("bernoulli_", p);
  const OpName name("bernoulli_");
  CCDL_CHECK(CCDL_KERNEL(p, probabilities_valid(p.view())), Runtime,
             "bernoulli_: expects every probability in p to be in [0, 1], p is ", describe(p));
  CCDL_CHECK(is_expandable_to(p.sizes(), x.sizes()), Shape, "bernoulli_: p of shape ", p.sizes(),
             " does not broadcast to self of shape ", x.sizes());
  return overwrite("bernoulli_", x, [&] {
    CCDL_KERNEL(x, random_bernoulli_each(p.view_as(x.sizes()), x.view(), reserve(generator, x.numel())));
  });
}

Tensor random_(const Tensor& x, int64_t from, std::optional<int64_t> to, Generator* generator) {
  const Range range = integer_range(x.dtype());
  if (to) check_range("random_", x.dtype(), from, *to);
  CCDL_CHECK(to || from <= range.greatest, Value, "random_: from=", from, " is out of bounds for ",
             dtype_name(x.dtype()));
  return overwrite("random_", x, [&] {
    if (to) return fill_integers("random_", x, from, *to, generator);
    const uint64_t span = static_cast<uint64_t>(range.greatest) - static_cast<uint64_t>(from) + 1;
    CCDL_KERNEL(x, random_integers(x.view(), reserve_wide(generator, x), from, span));
  });
}

}  // namespace ccdl::ops
