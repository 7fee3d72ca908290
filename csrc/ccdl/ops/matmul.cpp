// Matrix products over one primitive, the scaled batched product; everything else folds its operands to it by
// views. Gradients are products again: dA = dY B^T, dB = A^T dY.
#include <ccdl/ops/matmul.h>

#include <ccdl/kernels/gemm.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/promotion.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

void check_operands(const char* op, const Tensor& a, const Tensor& b) {
  check_same_device(op, {{"first operand", &a}, {"second operand", &b}});
  CCDL_CHECK(a.dtype() == b.dtype(), DType, op, ": expected m1 and m2 to have the same dtype, but got ",
             dtype_name(a.dtype()), " and ", dtype_name(b.dtype()), "; convert one of them with .to()");
  CCDL_CHECK(a.dtype() != DType::Bool, DType, op,
             ": not implemented for bool matrices; convert them with .to()");
}

// A factor of whole matrices loses its fraction.
double checked_factor(const char* op, const char* argument, const Scalar& value, DType dtype) {
  if (is_floating(dtype) || !value.is_float()) return value.to_double();
  CCDL_CHECK(std::abs(value.to_double()) < 9.2e18, Runtime, op, ": argument ", argument,
             " cannot be converted to a factor of ", dtype_name(dtype), " tensors, got ", value);
  return static_cast<double>(value.to_int());
}

// A 2-d or 3-d tensor as the kernel's [batch, rows, columns].
View matrix_view(const Tensor& x) {
  View v;
  const bool batched = x.dim() == 3;
  v.data = x.data();
  v.dtype = x.dtype();
  v.device = x.device_tag();
  v.ndim = 3;
  v.sizes[0] = batched ? x.size(0) : 1;
  v.strides[0] = batched ? x.stride(0) : 0;
  for (int i = 1; i < 3; ++i) {
    v.sizes[i] = x.size(i - 3);
    v.strides[i] = x.stride(i - 3);
  }
  return v;
}

Dims product_sizes(const Tensor& a, const Tensor& b) {
  return a.dim() == 3 ? Dims{a.size(0), a.size(1), b.size(2)} : Dims{a.size(0), b.size(1)};
}

void run_gemm(const Tensor& a, const Tensor& b, const Tensor& c, double alpha, double beta,
              const GemmEpilogue& epilogue = {}) {
  CCDL_KERNEL(c, gemm(matrix_view(a), matrix_view(b), matrix_view(c), alpha, beta, epilogue));
}

View turned_view(const Tensor& x) {
  View v = matrix_view(x);
  std::swap(v.sizes[1], v.sizes[2]);
  std::swap(v.strides[1], v.strides[2]);
  return v;
}

Tensor product(const Tensor& a, const Tensor& b, Scalar alpha);

Tensor turned(const Tensor& x) { return transpose(x, -2, -1); }

// y = alpha a b: da = alpha dy b^T, db = alpha a^T dy
struct ProductBackward : Node {
  const char* name() const override { return "MmBackward"; }
  SavedTensor a, b;
  Scalar alpha;
  TensorList apply(const TensorList& grads) override {
    TensorList result(2);
    if (needs(0)) result[0] = product(grads[0], turned(b.get(this)), alpha);
    if (needs(1)) result[1] = product(turned(a.get(this)), grads[0], alpha);
    return result;
  }
  void release_saved() override {
    a.reset();
    b.reset();
  }
};

// Both 2-d or both 3-d with equal batches, shapes already checked.
Tensor product(const Tensor& a, const Tensor& b, Scalar alpha) {
  const Tensor y = empty(product_sizes(a, b), a.dtype(), a.device());
  run_gemm(a, b, y, alpha.to_double(), 0);
  if (needs_graph(a, b)) {
    auto node = make_ref<ProductBackward>();
    if (requires_grad(b)) node->a = SavedTensor(a);
    if (requires_grad(a)) node->b = SavedTensor(b);
    node->alpha = alpha;
    record(node, {a, b}, y);
  }
  return y;
}

// y = beta input + alpha a b
struct AddProductBackward : Node {
  const char* name() const override { return "AddmmBackward"; }
  SavedTensor a, b;
  Scalar alpha, beta;
  TensorList apply(const TensorList& grads) override {
    TensorList result(3);
    if (needs(0)) result[0] = beta.to_double() == 1 ? grads[0] : mul(grads[0], beta);
    if (needs(1)) result[1] = product(grads[0], turned(b.get(this)), alpha);
    if (needs(2)) result[2] = product(turned(a.get(this)), grads[0], alpha);
    return result;
  }
  void release_saved() override {
    a.reset();
    b.reset();
  }
};

Tensor add_product(const char* op, const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta,
                   Scalar alpha) {
  check_operands(op, a, b);
  CCDL_CHECK(input.dtype() == a.dtype(), DType, op, ": input is ", dtype_name(input.dtype()),
             " but the matrices are ", dtype_name(a.dtype()), "; all three must share one dtype");
  const Dims sizes = product_sizes(a, b);
  CCDL_CHECK(is_expandable_to(input.sizes(), sizes), Shape, op, ": input ", input.sizes(),
             " does not broadcast to the shape of the product ", sizes);
  const double scale = checked_factor(op, "alpha", alpha, a.dtype()),
               keep = checked_factor(op, "beta", beta, a.dtype());
  const Tensor y = empty(sizes, a.dtype(), a.device());
  const bool row = is_floating(a.dtype()) && keep == 1 && input.dim() == 1 && input.size(0) == sizes.back();
  if (row) {
    run_gemm(a, b, y, scale, 0, {input.data(), 0, input.stride(0), Activation::None});
  } else {
    if (keep != 0) {
      NoGradGuard guard;
      copy_(y, input);
    }
    run_gemm(a, b, y, scale, keep);
  }
  if (needs_graph(input, a, b)) {
    auto node = make_ref<AddProductBackward>();
    if (requires_grad(b)) node->a = SavedTensor(a);
    if (requires_grad(a)) node->b = SavedTensor(b);
    node->alpha = alpha;
    node->beta = beta;
    record(node, {input, a, b}, y);
  }
  return y;
}

void check_mm(const char* op, const Tensor& a, const Tensor& b) {
  CCDL_CHECK(a.dim() == 2, Shape, op, ": first operand must be a matrix, got ", describe(a));
  CCDL_CHECK(b.dim() == 2, Shape, op, ": second operand must be a matrix, got ", describe(b));
  CCDL_CHECK(a.size(1) == b.size(0), Shape, op, ": mat1 and mat2 shapes cannot be multiplied (", a.size(0),
             "x", a.size(1), " and ", b.size(0), "x", b.size(1),
             "); the columns of the first must be as many as the rows of the second");
}

void check_bmm(const char* op, const Tensor& a, const Tensor& b) {
  CCDL_CHECK(a.dim() == 3, Shape, op, ": batch1 must be a 3D tensor, got ", describe(a));
  CCDL_CHECK(b.dim() == 3, Shape, op, ": batch2 must be a 3D tensor, got ", describe(b));
  CCDL_CHECK(a.size(0) == b.size(0) && a.size(2) == b.size(1), Shape, op, ": batch1 ", a.sizes(),
             " and batch2 ", b.sizes(),
             " do not fit: expected size for first two dimensions of batch2 tensor to be [", a.size(0), ", ",
             a.size(2), "]");
}

void check_vectors(const char* op, const Tensor& a, const Tensor& b) {
  CCDL_CHECK(a.dim() == 1 && b.dim() == 1, Shape, op, ": 1D tensors expected, got ", describe(a), " and ",
             describe(b));
}

// Operands of at least 2-d with batch dims broadcast against each other.
Tensor batched_matmul(const Tensor& a, const Tensor& b) {
  const Dims ba(a.sizes().begin(), a.sizes().end() - 2), bb(b.sizes().begin(), b.sizes().end() - 2);
  const int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  CCDL_CHECK(k == b.size(-2), Shape, "matmul: operands ", a.sizes(), " and ", b.sizes(),
             " cannot be multiplied: the last size ", k, " of the first must equal size ", b.size(-2),
             " of the second");
  if (b.dim() == 2) {  // one matrix for all rows: fold the batch into rows
    Dims out = a.sizes();
    out.back() = n;
    return reshape(product(reshape(a, Dims{numel_of(ba) * m, k}), b, 1), out);
  }
  const Dims batch = broadcast_shapes("matmul", ba, bb);
  const auto folded = [&](const Tensor& x, int64_t rows, int64_t columns) {
    Dims full = batch;
    full.push_back(rows);
    full.push_back(columns);
    const Tensor wide = x.sizes() == full ? x : expand(x, full);
    return wide.dim() == 3 ? wide : reshape(wide, Dims{numel_of(batch), rows, columns});
  };
  const Tensor y = product(folded(a, m, k), folded(b, k, n), 1);
  if (batch.size() == 1) return y;
  Dims out = batch;
  out.push_back(m);
  out.push_back(n);
  return reshape(y, out);
}

}  // namespace

Tensor mm(const Tensor& a, const Tensor& b) {
  check_operands("mm", a, b);
  check_mm("mm", a, b);
  return product(a, b, 1);
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  check_operands("bmm", a, b);
  check_bmm("bmm", a, b);
  return product(a, b, 1);
}

Tensor mv(const Tensor& a, const Tensor& x) {
  check_operands("mv", a, x);
  CCDL_CHECK(a.dim() == 2 && x.dim() == 1, Shape, "mv: expected a matrix and a vector, got ", describe(a),
             " and ", describe(x));
  CCDL_CHECK(a.size(1) == x.size(0), Shape, "mv: size mismatch, got a matrix ", a.sizes(), " and a vector ",
             x.sizes());
  return squeeze(product(a, unsqueeze(x, 1), 1), Dims{1});
}

Tensor dot(const Tensor& a, const Tensor& b) {
  check_operands("dot", a, b);
  check_vectors("dot", a, b);
  CCDL_CHECK(a.size(0) == b.size(0), Shape,
             "dot: inconsistent tensor size, expected tensors of the same number of elements, but got ",
             a.size(0), " and ", b.size(0));
  return view(product(unsqueeze(a, 0), unsqueeze(b, 1), 1), Dims{});
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_operands("matmul", a, b);
  CCDL_CHECK(a.dim() > 0 && b.dim() > 0, Shape, "matmul: both arguments must be at least 1D, but they are ",
             a.dim(), "D and ", b.dim(), "D; multiply numbers with *");
  if (a.dim() == 2 && b.dim() == 2) {
    check_mm("matmul", a, b);
    return product(a, b, 1);
  }
  if (a.dim() == 1 && b.dim() == 1) return dot(a, b);
  const Tensor wide_a = a.dim() == 1 ? unsqueeze(a, 0) : a, wide_b = b.dim() == 1 ? unsqueeze(b, 1) : b;
  const Tensor y = batched_matmul(wide_a, wide_b);
  if (a.dim() == 1) return squeeze(y, Dims{-2});
  if (b.dim() == 1) return squeeze(y, Dims{-1});
  return y;
}

Tensor outer(const Tensor& a, const Tensor& b) {
  check_vectors("outer", a, b);
  return mul(unsqueeze(a, 1), b);
}

Tensor inner(const Tensor& a, const Tensor& b) {
  if (a.dim() == 0 || b.dim() == 0) return mul(a, b);
  check_operands("inner", a, b);
  CCDL_CHECK(a.size(-1) == b.size(-1), Shape, "inner: the last dimensions must be equal, got ", a.sizes(),
             " and ", b.sizes());
  return tensordot(a, b, Dims{-1}, Dims{-1});
}

Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  check_mm("addmm", a, b);
  return add_product("addmm", input, a, b, beta, alpha);
}

Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  check_bmm("baddbmm", a, b);
  return add_product("baddbmm", input, a, b, beta, alpha);
}

Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  check_bmm("addbmm", a, b);
  const int64_t depth = a.size(0) * a.size(2);
  return add_product("addbmm", input, reshape(transpose(a, 0, 1), Dims{a.size(1), depth}),
                     reshape(b, Dims{depth, b.size(2)}), beta, alpha);
}

Tensor addmv(const Tensor& input, const Tensor& a, const Tensor& x, Scalar beta, Scalar alpha) {
  CCDL_CHECK(a.dim() == 2 && x.dim() == 1 && a.size(1) == x.size(0), Shape,
             "addmv: expected a matrix and a vector that fit, got ", describe(a), " and ", describe(x));
  CCDL_CHECK(is_expandable_to(input.sizes(), Dims{a.size(0)}), Shape, "addmv: input ", input.sizes(),
             " does not broadcast to [", a.size(0), "]");
  const Tensor column = input.dim() == 0 ? input : unsqueeze(input, 1);
  return squeeze(add_product("addmv", column, a, unsqueeze(x, 1), beta, alpha), Dims{1});
}

Tensor addr(const Tensor& input, const Tensor& x, const Tensor& y, Scalar beta, Scalar alpha) {
  check_vectors("addr", x, y);
  CCDL_CHECK(is_expandable_to(input.sizes(), Dims{x.size(0), y.size(0)}), Runtime, "addr: input ",
             describe(input), " cannot be expanded to [", x.size(0), ", ", y.size(0), "]");
  const DType kind = result_type(TensorList{input, x, y});
  for (const auto& [name, factor] : {std::pair<const char*, Scalar*>{"beta", &beta}, {"alpha", &alpha}}) {
    CCDL_CHECK(is_floating(kind) || !factor->is_float(), DType, "addr: For integral input tensors, argument ",
               name, " must not be a floating point number, got ", *factor);
    if (kind == DType::Bool) *factor = Scalar(factor->to_bool());
  }
  const auto scaled = [](const Tensor& t, Scalar by) { return by.to_double() == 1 ? t : mul(t, by); };
  const Tensor product = scaled(outer(x, y), alpha);
  if (beta.to_double() != 0) return add(scaled(input, beta), product);
  if (!needs_graph(input)) return product;
  // the input takes no part, not even as NaN, and has a gradient of zero
  const Tensor never = zeros(Dims{}, DType::Bool, input.device());
  return add(where(never, Operand(input), Operand(0.0)), product);
}

namespace {

// y = x w^T + bias: dx = dy w, dw = dy^T x, dbias = dy summed over rows (by the engine)
struct LinearBackward : Node {
  const char* name() const override { return "LinearBackward"; }
  SavedTensor x, w;
  TensorList apply(const TensorList& grads) override {
    const Tensor& dy = grads[0];
    TensorList result(3);
    if (needs(0)) result[0] = product(dy, w.get(this), 1);
    if (needs(1)) result[1] = product(turned(dy), x.get(this), 1);
    result[2] = dy;
    return result;
  }
  void release_saved() override {
    x.reset();
    w.reset();
  }
};

Tensor linear_2d(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const Tensor y = empty(Dims{x.size(0), w.size(0)}, x.dtype(), x.device());
  const bool fused = bias.defined() && is_floating(x.dtype());
  const GemmEpilogue epilogue{fused ? bias.data() : nullptr, 0, fused ? bias.stride(0) : 0, Activation::None};
  CCDL_KERNEL(y, gemm(matrix_view(x), turned_view(w), matrix_view(y), 1, 0, epilogue));
  if (needs_graph(x, w, bias)) {
    auto node = make_ref<LinearBackward>();
    if (requires_grad(w)) node->x = SavedTensor(x);
    if (requires_grad(x)) node->w = SavedTensor(w);
    record(node, {x, w, bias}, y);
  }
  return bias.defined() && !fused ? add(y, bias) : y;
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  check_operands("linear", x, w);
  CCDL_CHECK(x.dim() >= 1, Shape, "linear: input must be at least 1D, got ", describe(x));
  CCDL_CHECK(w.dim() == 1 || w.dim() == 2, Shape, "linear: weight must be [out_features, in_features], got ",
             describe(w));
  CCDL_CHECK(x.size(-1) == w.size(-1), Shape,
             "linear: input and weight.T shapes cannot be multiplied: input ", x.sizes(), " has ", x.size(-1),
             " features but weight ", w.sizes(), " expects ", w.size(-1));
  if (w.dim() == 1) {
    const Tensor y = matmul(x, w);
    return bias.defined() ? add(y, bias) : y;
  }
  if (bias.defined()) {
    check_operands("linear", x, bias);
    CCDL_CHECK(is_expandable_to(bias.sizes(), Dims{w.size(0)}), Shape, "linear: bias ", bias.sizes(),
               " must be [", w.size(0), "] to match weight ", w.sizes());
  }
  const Tensor row = !bias.defined() || (bias.dim() == 1 && bias.size(0) == w.size(0))
                         ? bias
                         : expand(bias, Dims{w.size(0)});
  if (x.dim() == 2) return linear_2d(x, w, row);
  Dims out = x.sizes();
  out.back() = w.size(0);
  Dims leading(x.sizes().begin(), x.sizes().end() - 1);
  return reshape(linear_2d(reshape(x, Dims{numel_of(leading), x.size(-1)}), w, row), out);
}

Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& w, const Tensor& bias) {
  check_operands("bilinear", x1, x2);
  check_operands("bilinear", x1, w);
  CCDL_CHECK(w.dim() == 3 && x1.dim() >= 1 && x1.dim() == x2.dim() && x1.size(-1) == w.size(1) &&
                 x2.size(-1) == w.size(2),
             Shape, "bilinear: input1 ", x1.sizes(), ", input2 ", x2.sizes(), " and weight ", w.sizes(),
             " do not fit: weight must be [out, in1, in2] and the last sizes of the inputs in1 and in2");
  CCDL_CHECK(std::equal(x1.sizes().begin(), x1.sizes().end() - 1, x2.sizes().begin()), Shape,
             "bilinear: input dimensions do not match except the last: input1 ", x1.sizes(), " and input2 ",
             x2.sizes());
  const Tensor y = einsum("...i,oij,...j->...o", {x1, w, x2});
  return bias.defined() ? add(y, bias) : y;
}

}  // namespace ccdl::ops
