#include <ccdl/ops/grid_sample.h>

#include <ccdl/kernels/grid_sample.h>

#include <limits>

#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

constexpr const char* kOp = "grid_sample";

GridSampleOptions options_of(const std::string& mode, const std::string& padding, bool align) {
  CCDL_CHECK(mode == "bilinear" || mode == "nearest" || mode == "bicubic", Value, kOp,
             ": expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '", mode, "'");
  CCDL_CHECK(padding == "zeros" || padding == "border" || padding == "reflection", Value, kOp,
             ": expected padding_mode to be 'zeros', 'border' or 'reflection', but got: '", padding, "'");
  return {mode == "bilinear"  ? GridMode::Bilinear
          : mode == "nearest" ? GridMode::Nearest
                              : GridMode::Bicubic,
          padding == "zeros"    ? GridPadding::Zeros
          : padding == "border" ? GridPadding::Border
                                : GridPadding::Reflection,
          align};
}

void check(const Tensor& x, const Tensor& grid, const GridSampleOptions& o) {
  const std::string shapes = str("input ", x.sizes(), " and grid ", grid.sizes());
  CCDL_CHECK((x.dim() == 4 || x.dim() == 5) && x.dim() == grid.dim(), Shape, kOp,
             ": expected 4-d or 5-d input and grid of the same rank, got ", shapes);
  CCDL_CHECK(o.mode != GridMode::Bicubic || x.dim() == 4, Shape, kOp,
             ": bicubic interpolation only supports 4D input, got ", shapes);
  CCDL_CHECK(x.size(0) == grid.size(0), Shape, kOp, ": expected grid and input to have same batch size, got ",
             shapes);
  CCDL_CHECK(grid.size(-1) == x.dim() - 2, Shape, kOp, ": expected grid to have size ", x.dim() - 2,
             " in last dimension, got ", shapes);
  for (int64_t d = 2; d < x.dim(); ++d)
    CCDL_CHECK(x.size(d) > 0, Shape, kOp, ": expected input to have non-empty spatial dimensions, got ",
               shapes);
  CCDL_CHECK(x.dtype() == grid.dtype() && is_floating(x.dtype()), DType, kOp,
             ": input and grid must have one floating-point dtype, got ", dtype_name(x.dtype()), " and ",
             dtype_name(grid.dtype()));
  check_same_device(kOp, {{"input", &x}, {"grid", &grid}});
}

int64_t product(const Tensor& x, int64_t first, int64_t last) {
  int64_t n = 1;
  for (int64_t d = first; d < last; ++d) n *= x.size(d);
  return n;
}

Dims output_sizes(const Tensor& x, const Tensor& grid) {
  Dims sizes{x.size(0), x.size(1)};
  for (int64_t d = 1; d + 1 < grid.dim(); ++d) sizes.push_back(grid.size(d));
  checked_numel(kOp, sizes);
  return sizes;
}

// Pixels of a channel and taps of an image that the kernels' 31-bit counts hold.
bool fits_kernel(const Tensor& x, const Tensor& grid) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  return product(x, 2, x.dim()) <= kMost && product(grid, 1, grid.dim() - 1) <= kMost / 16;
}

// --- the composite ---

struct Composite {
  Tensor flat;  // [N, C, pixels]
  Dims space;
  GridSampleOptions o;

  Tensor unnormalised(const Tensor& g, int64_t n) const {
    const double size = static_cast<double>(n);
    if (o.align_corners) return mul(add(g, Scalar(1)), Scalar((size - 1) / 2));
    return div(sub(mul(add(g, Scalar(1)), Scalar(size)), Scalar(1)), Scalar(2.0));
  }
  // into [0, n - 1], where the slope ends
  static Tensor clipped(const Tensor& x, int64_t n) {
    const double last = static_cast<double>(n - 1);
    const Tensor inside = logical_and(gt(x, Scalar(0)), lt(x, Scalar(last)));
    return where(inside, x, clamp(detach(x), Scalar(0.0), Scalar(last)));
  }
  Tensor reflected(const Tensor& x, int64_t n) const {
    const double size = static_cast<double>(n);
    const double low = o.align_corners ? 0 : -0.5, span = o.align_corners ? size - 1 : size;
    if (span <= 0) return mul(x, Scalar(0.0));
    const Tensor from = sub(x, Scalar(low));
    const Tensor length = where(lt(from, Scalar(0)), neg(from), from);
    const Tensor turns = floor(div(detach(length), Scalar(span)));
    const Tensor extra = sub(length, mul(turns, Scalar(span)));
    const Tensor odd = ne(remainder(turns, Scalar(2.0)), Scalar(0));
    return add(where(odd, sub(Scalar(span), extra), extra), Scalar(low));
  }
  Tensor padded(const Tensor& x, int64_t n) const {
    const Tensor y = o.padding == GridPadding::Reflection ? reflected(x, n) : x;
    if (o.padding != GridPadding::Zeros) return clipped(y, n);
    return clamp(y, Scalar(-100.0), Scalar(static_cast<double>(n + 100)));
  }
  // [N, C, P] at integer coordinates [N, P], one per dimension; 0 outside
  Tensor pixels(const TensorList& at) const {
    Tensor place, inside;
    for (size_t d = 0; d < at.size(); ++d) {
      const double last = static_cast<double>(space[d] - 1);
      const Tensor good = logical_and(ge(at[d], Scalar(0)), le(at[d], Scalar(last)));
      const Tensor index = to(clamp(at[d], Scalar(0.0), Scalar(last)), DType::Int64);
      place = d == 0 ? index : add(mul(place, Scalar(space[d])), index);
      inside = d == 0 ? good : logical_and(inside, good);
    }
    const Dims sizes{flat.size(0), flat.size(1), place.size(1)};
    const Tensor found = gather(flat, 2, expand(unsqueeze(place, 1), sizes));
    return where(unsqueeze(inside, 1), found, zeros(Dims{}, found.dtype(), found.device()));
  }
  static TensorList cubic_weights(const Tensor& t) {
    const double a = -0.75;
    auto near = [&](const Tensor& u) {
      const Tensor inner = mul(sub(mul(u, Scalar(a + 2)), Scalar(a + 3)), u);
      return add(mul(inner, u), Scalar(1));
    };
    auto far = [&](const Tensor& u) {
      const Tensor inner = add(mul(sub(mul(u, Scalar(a)), Scalar(5 * a)), u), Scalar(8 * a));
      return sub(mul(inner, u), Scalar(4 * a));
    };
    return {far(add(t, Scalar(1))), near(t), near(sub(Scalar(1), t)), far(sub(Scalar(2), t))};
  }
  // Per dimension the integer coordinates and weights of its taps.
  void taps(const Tensor& x, int64_t n, TensorList* at, TensorList* weights) const {
    if (o.mode == GridMode::Bicubic) {
      const Tensor y = o.padding == GridPadding::Zeros ? padded(x, n) : x, low = floor(detach(y));
      for (int k = 0; k < 4; ++k) at->push_back(detach(padded(add(low, Scalar(k - 1)), n)));
      *weights = cubic_weights(sub(y, low));
      return;
    }
    const Tensor y = padded(x, n);
    if (o.mode == GridMode::Nearest) {  // steps have no slope: the grid's gradient is zero, not absent
      at->push_back(round(detach(y)));
      weights->push_back(add(mul(y, Scalar(0.0)), Scalar(1.0)));
      return;
    }
    const Tensor low = floor(detach(y)), high = add(low, Scalar(1));
    *at = {low, high};
    *weights = {sub(high, y), sub(y, low)};
  }
};

Tensor composite(const Tensor& input, const Tensor& grid, const GridSampleOptions& o) {
  const int64_t dims = input.dim() - 2, n = input.size(0);
  const int64_t points = product(grid, 1, grid.dim() - 1);
  Composite c{reshape(input, Dims{n, input.size(1), product(input, 2, input.dim())}),
              Dims(input.sizes().begin() + 2, input.sizes().end()), o};
  const bool half = input.dtype() == DType::Float16 || input.dtype() == DType::BFloat16;
  const Tensor wide = reshape(half ? to(grid, DType::Float32) : grid, Dims{n, points, dims});
  std::vector<TensorList> at(static_cast<size_t>(dims)), weights(static_cast<size_t>(dims));
  for (int64_t d = 0; d < dims; ++d) {
    const int64_t size = input.size(d + 2);
    const Tensor x = c.unnormalised(select(wide, 2, dims - 1 - d), size);
    const Tensor outside = full(Dims{}, Scalar(-100.0), x.dtype(), x.device());
    c.taps(where(isfinite(detach(x)), x, outside), size, &at[static_cast<size_t>(d)],
           &weights[static_cast<size_t>(d)]);
  }
  const size_t taps = at[0].size();
  size_t combinations = 1;
  for (int64_t d = 0; d < dims; ++d) combinations *= taps;
  Tensor total;
  for (size_t k = 0; k < combinations; ++k) {
    TensorList places;
    Tensor weight;
    size_t rest = k;
    for (size_t d = 0; d < static_cast<size_t>(dims); ++d, rest /= taps) {
      places.push_back(at[d][rest % taps]);
      weight = d == 0 ? weights[d][rest % taps] : mul(weight, weights[d][rest % taps]);
    }
    const Tensor part = mul(c.pixels(places), unsqueeze(weight, 1));
    total = k == 0 ? part : add(total, part);
  }
  return reshape(to(total, input.dtype()), output_sizes(input, grid));
}

// --- the kernel ---

// y = sum of w x: dx = sum over the samples of w dy; dgrid = sum over channels and taps of w' x dy
struct GridSampleBackward : Node {
  const char* name() const override { return "GridSampleBackward"; }
  SavedTensor input, grid;
  GridSampleOptions o{};

  TensorList apply(const TensorList& grads) override {
    const Tensor x = input.get(this), g = grid.get(this);
    if (grad_enabled())
      return autograd::differentiate(
          [&](const TensorList& in) { return TensorList{composite(in[0], in[1], o)}; }, {x, g}, grads);
    const Tensor gc = dense(g), dy = dense(grads[0]);
    TensorList result(2);
    if (needs(0)) {
      result[0] = empty(x.sizes(), x.dtype(), x.device());
      CCDL_KERNEL(dy, grid_sample_backward_input(gc.view(), dy.view(), result[0].view(), o));
    }
    if (needs(1)) {
      const Tensor xc = dense(x);
      result[1] = empty(g.sizes(), g.dtype(), g.device());
      CCDL_KERNEL(dy, grid_sample_backward_grid(xc.view(), gc.view(), dy.view(), result[1].view(), o));
    }
    return result;
  }
  void release_saved() override {
    input.reset();
    grid.reset();
  }
};

}  // namespace

Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode,
                   const std::string& padding_mode, bool align_corners) {
  const GridSampleOptions o = options_of(mode, padding_mode, align_corners);
  check(input, grid, o);
  if (!fits_kernel(input, grid)) return composite(input, grid, o);
  const Tensor x = dense(input), g = dense(grid);
  Tensor y = empty(output_sizes(input, grid), x.dtype(), x.device());
  CCDL_KERNEL(x, grid_sample_forward(x.view(), g.view(), y.view(), o));
  if (needs_graph(input, grid)) {
    auto node = make_ref<GridSampleBackward>();
    node->input = SavedTensor(input);
    node->grid = SavedTensor(grid);
    node->o = o;
    record(node, {input, grid}, y);
  }
  return y;
}

Tensor grid_sample_composite(const Tensor& input, const Tensor& grid, const std::string& mode,
                             const std::string& padding_mode, bool align_corners) {
  const GridSampleOptions o = options_of(mode, padding_mode, align_corners);
  check(input, grid, o);
  return composite(input, grid, o);
}

}  // namespace ccdl::ops
