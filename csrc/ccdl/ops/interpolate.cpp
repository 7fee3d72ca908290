// Interpolation as separable weighted sums: per dimension a table of neighbours and weights, then resample
// along it.
#include <ccdl/ops/interpolate.h>

#include <ccdl/kernels/shape.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <ccdl/ops/create.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

struct Taps {
  Tensor index, weight;  // [n_out, taps]: int64, float64
};

Tensor resample_op(const Tensor& x, int64_t dim, const Taps& taps);
Tensor resample_sum(const Tensor& dy, int64_t dim, const Taps& taps, int64_t n_in);

// dx = the transposed sums of dy
struct ResampleBackward : Node {
  const char* name() const override { return "InterpolateBackward"; }
  Taps taps;
  int64_t dim = 0, n_in = 0;
  TensorList apply(const TensorList& g) override { return {resample_sum(g[0], dim, taps, n_in)}; }
};

// ddy = resampled like x was
struct ResampleSumBackward : Node {
  const char* name() const override { return "InterpolateSumBackward"; }
  Taps taps;
  int64_t dim = 0;
  TensorList apply(const TensorList& g) override { return {resample_op(g[0], dim, taps)}; }
};

Tensor resample_op(const Tensor& x, int64_t dim, const Taps& taps) {
  Tensor from;
  {
    NoGradGuard no_grad;
    from = contiguous(x);
  }
  Dims sizes = x.sizes();
  sizes[static_cast<size_t>(dim)] = taps.index.size(0);
  checked_numel("interpolate", sizes);
  Tensor y = empty(sizes, x.dtype(), x.device());
  CCDL_KERNEL(x,
              resample(from.view(), static_cast<int>(dim), taps.index.view(), taps.weight.view(), y.view()));
  if (needs_graph(x)) {
    auto node = make_ref<ResampleBackward>();
    node->taps = taps;
    node->dim = dim;
    node->n_in = x.size(dim);
    record(node, {x}, y);
  }
  return y;
}

Tensor resample_sum(const Tensor& dy, int64_t dim, const Taps& taps, int64_t n_in) {
  Tensor from;
  {
    NoGradGuard no_grad;
    from = contiguous(dy);
  }
  Dims sizes = dy.sizes();
  sizes[static_cast<size_t>(dim)] = n_in;
  Tensor dx = empty(sizes, dy.dtype(), dy.device());
  CCDL_KERNEL(dy, resample_backward(from.view(), static_cast<int>(dim), taps.index.view(), taps.weight.view(),
                                    dx.view()));
  if (needs_graph(dy)) {
    auto node = make_ref<ResampleSumBackward>();
    node->taps = taps;
    node->dim = dim;
    record(node, {dy}, dx);
  }
  return dx;
}

enum class Filter { Nearest, NearestExact, Linear, Cubic, Area };

struct Axis {
  int64_t n_in, n_out;
  double ratio;  // input steps per output step
  bool align_corners, antialias;

  // Position of output o in input coordinates.
  double source(int64_t o) const {
    return align_corners ? static_cast<double>(o) * ratio : (static_cast<double>(o) + 0.5) * ratio - 0.5;
  }
  int64_t clamp(int64_t i) const { return std::clamp<int64_t>(i, 0, n_in - 1); }
};

// Keys' cubic convolution kernel.
double cubic(double t, double a) {
  t = std::fabs(t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}
double triangle_filter(double t) {
  t = std::fabs(t);
  return t < 1 ? 1 - t : 0;
}

Taps make_taps(int64_t n_out, int64_t count) {
  checked_numel("interpolate", Dims{n_out, count});
  return {empty(Dims{n_out, count}, DType::Int64), empty(Dims{n_out, count}, DType::Float64)};
}

// Windows [first, last) of varying length, shorter ones filled up with weight 0.
template <class Range, class Weight>
Taps window_taps(const Axis& a, const Range& range, const Weight& weight) {
  int64_t longest = 1;
  for (int64_t o = 0; o < a.n_out; ++o) {
    const auto [first, last] = range(o);
    longest = std::max(longest, last - first);
  }
  const Taps taps = make_taps(a.n_out, longest);
  for (int64_t o = 0; o < a.n_out; ++o) {
    const auto [first, last] = range(o);
    int64_t* at = taps.index.ptr<int64_t>() + o * longest;
    double* w = taps.weight.ptr<double>() + o * longest;
    double total = 0;
    for (int64_t t = 0; t < longest; ++t) {
      at[t] = std::min(first + t, last - 1);
      w[t] = first + t < last ? weight(o, first + t) : 0;
      total += w[t];
    }
    for (int64_t t = 0; t < longest && total != 0; ++t) w[t] /= total;
  }
  return taps;
}

Taps filter_taps(const Axis& a, Filter filter) {
  if (filter == Filter::Area)
    return window_taps(
        a,
        [&](int64_t o) {
          return std::pair(o * a.n_in / a.n_out, ((o + 1) * a.n_in + a.n_out - 1) / a.n_out);
        },
        [](int64_t, int64_t) { return 1.0; });
  if (a.antialias) {
    const double width = std::max(a.ratio, 1.0), support = (filter == Filter::Cubic ? 2.0 : 1.0) * width;
    auto center = [&](int64_t o) { return (static_cast<double>(o) + 0.5) * a.ratio; };
    return window_taps(
        a,
        [&](int64_t o) {
          const int64_t first =
              std::clamp<int64_t>(static_cast<int64_t>(center(o) - support + 0.5), 0, a.n_in - 1);
          const int64_t last =
              std::clamp<int64_t>(static_cast<int64_t>(center(o) + support + 0.5), first + 1, a.n_in);
          return std::pair(first, last);
        },
        [&](int64_t o, int64_t i) {
          const double t = (static_cast<double>(i) - center(o) + 0.5) / width;
          return filter == Filter::Cubic ? cubic(t, -0.5) : triangle_filter(t);
        });
  }
  const int64_t count = filter == Filter::Cubic ? 4 : 2;
  const Taps taps = make_taps(a.n_out, count);
  for (int64_t o = 0; o < a.n_out; ++o) {
    int64_t* at = taps.index.ptr<int64_t>() + o * count;
    double* w = taps.weight.ptr<double>() + o * count;
    const double s = filter == Filter::Cubic ? a.source(o) : std::max(a.source(o), 0.0);
    const double base = std::floor(s), t = s - base;
    const auto i = static_cast<int64_t>(base);
    if (filter == Filter::Cubic) {
      for (int64_t k = 0; k < 4; ++k) {
        at[k] = a.clamp(i - 1 + k);
        w[k] = cubic(t + 1 - static_cast<double>(k), -0.75);
      }
    } else {
      at[0] = a.clamp(i);
      at[1] = a.clamp(i + 1);
      w[0] = 1 - t;
      w[1] = t;
    }
  }
  return taps;
}

// PyTorch's arithmetic, so that the chosen neighbour is the one it picks: in float32, for doubles in double
// and then rounded to float32.
Tensor nearest_index(const Axis& a, bool exact, DType dtype) {
  Tensor index = empty(Dims{a.n_out}, DType::Int64);
  const auto single = static_cast<float>(a.ratio);
  for (int64_t o = 0; o < a.n_out; ++o) {
    const float place = static_cast<float>(o) + (exact ? 0.5f : 0.0f);
    const float at = dtype == DType::Float64 ? static_cast<float>(place * a.ratio) : place * single;
    index.ptr<int64_t>()[o] = a.clamp(static_cast<int64_t>(std::floor(at)));
  }
  return index;
}
Taps nearest_taps(const Axis& a, bool exact, DType dtype) {
  return {reshape(nearest_index(a, exact, dtype), Dims{a.n_out, 1}), ones(Dims{a.n_out, 1}, DType::Float64)};
}

// Whether the output has at most half as many pixels.
bool sizes_shrink(const Tensor& x, const Dims& out) {
  int64_t before = 1, after = 1;
  for (size_t d = 0; d < out.size(); ++d) {
    before *= x.size(static_cast<int64_t>(d) + 2);
    after *= out[d];
  }
  return 2 * after <= before;
}
// The nearest pixels of x [N, ..., C] in one pass: a table of few pixels costs less than a pass per
// dimension.
template <class F>
Tensor nearest_pixels(const Tensor& x, const Dims& out, const F& axis, bool exact) {
  std::vector<int64_t> chosen{0};
  Dims sizes{x.size(0)};
  int64_t plane = 1;
  for (size_t d = 0; d < out.size(); ++d) {
    const Axis a = axis(d);
    const Tensor index = nearest_index(a, exact, x.dtype());
    std::vector<int64_t> next;
    for (int64_t at : chosen)
      for (int64_t o = 0; o < a.n_out; ++o) next.push_back(at * a.n_in + index.ptr<int64_t>()[o]);
    chosen = std::move(next);
    sizes.push_back(a.n_out);
    plane *= a.n_in;
  }
  const auto count = static_cast<int64_t>(chosen.size()), channels = x.size(-1);
  sizes.push_back(channels);
  const Taps taps = {empty(Dims{count, 1}, DType::Int64), ones(Dims{count, 1}, DType::Float64)};
  std::copy(chosen.begin(), chosen.end(), taps.index.ptr<int64_t>());
  return reshape(resample_op(reshape(x, Dims{x.size(0), plane, channels}), 1, taps), sizes);
}

Filter filter_named(const std::string& mode, int64_t spatial) {
  if (mode == "nearest") return Filter::Nearest;
  if (mode == "nearest-exact") return Filter::NearestExact;
  if (mode == "area") return Filter::Area;
  const char* wanted = spatial == 1 ? "linear" : spatial == 2 ? "bilinear" : "trilinear";
  if (mode == "bicubic" && spatial == 2) return Filter::Cubic;
  CCDL_CHECK(mode == "linear" || mode == "bilinear" || mode == "trilinear" || mode == "bicubic",
             NotImplemented, "interpolate: unknown mode ", mode,
             "; expected nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area");
  CCDL_CHECK(mode == wanted, NotImplemented, "interpolate: mode ", mode, " does not fit an input with ",
             spatial, " spatial dimension(s); use ", wanted);
  return Filter::Linear;
}

// The output size per spatial dimension, and the sampling scale where scale_factor decides it (else 0).
Dims output_size(const Tensor& x, const std::optional<Dims>& size, const std::vector<double>& scale,
                 bool recompute, std::vector<double>* used) {
  const auto spatial = static_cast<size_t>(x.dim() - 2);
  CCDL_CHECK(size || !scale.empty(), Value, "interpolate: either size or scale_factor should be defined");
  CCDL_CHECK(!size || scale.empty(), Value,
             "interpolate: only one of size or scale_factor should be defined");
  const size_t given = size ? size->size() : scale.size();
  CCDL_CHECK(given == spatial || given == 1, Value,
             "interpolate: Input and output must have the same number of spatial dimensions, but got input "
             "with spatial ",
             "dimensions of ", Dims(x.sizes().begin() + 2, x.sizes().end()), " and ", given, " values");
  Dims out;
  used->assign(spatial, 0);
  for (size_t d = 0; d < spatial; ++d) {
    const int64_t n = x.size(static_cast<int64_t>(d) + 2);
    if (size) {
      out.push_back((*size)[given == 1 ? 0 : d]);
    } else {
      const double s = scale[given == 1 ? 0 : d];
      const double to = std::floor(static_cast<double>(n) * s);
      CCDL_CHECK(std::isfinite(s) && s > 0 && to < 9e15, Value,
                 "interpolate: scale_factor must be positive and finite, got ", s);
      out.push_back(static_cast<int64_t>(to));
      if (!recompute) (*used)[d] = s;
    }
    CCDL_CHECK(n > 0 && out[d] > 0, Runtime,
               "interpolate: Input and output sizes should be greater than 0, but got input ", x.sizes(),
               " and output size ", out);
  }
  return out;
}

}  // namespace

Tensor interpolate(const Tensor& x, const std::optional<Dims>& size, const std::vector<double>& scale_factor,
                   const std::string& mode, std::optional<bool> align_corners, std::optional<bool> recompute,
                   bool antialias) {
  CCDL_CHECK(x.dim() >= 3 && x.dim() <= 5, NotImplemented, "interpolate: Got ", x.dim(),
             "D input, but only 3D, 4D and 5D Tensors [N, C, ...] are supported");
  const Filter filter = filter_named(mode, x.dim() - 2);
  const bool nearest = filter == Filter::Nearest || filter == Filter::NearestExact;
  CCDL_CHECK(!align_corners || (!nearest && filter != Filter::Area), Value,
             "interpolate: align_corners option can only be set with the interpolating modes: linear | "
             "bilinear | bicubic | trilinear, got mode ",
             mode);
  CCDL_CHECK(!antialias || mode == "bilinear" || mode == "bicubic", Value,
             "interpolate: Anti-alias option is restricted to bilinear and bicubic modes, got ", mode);
  CCDL_CHECK(!recompute.value_or(false) || !scale_factor.empty(), Value,
             "interpolate: recompute_scale_factor is not meaningful with an explicit size");
  CCDL_CHECK(nearest || is_floating(x.dtype()), DType, "interpolate: mode ", mode,
             " needs a floating point input, got ", describe(x), "; convert it with .float()");
  std::vector<double> used;
  const Dims out = output_size(x, size, scale_factor, recompute.value_or(false), &used);
  Dims sizes{x.size(0), x.size(1)};
  for (int64_t n : out) sizes.push_back(n);
  if (checked_bytes("interpolate", sizes, x.dtype()) > int64_t{1} << 30)
    (void)empty(sizes, x.dtype(), x.device());  // what cannot fit is refused before weights are worked out
  // Shrinking dimensions first, so that the others work on less; among equals the last one, whose sums are
  // the slow ones, where it has less to do: at the end when shrinking, at the beginning when growing.
  Dims order;
  for (size_t d = 0; d < out.size(); ++d) order.push_back(static_cast<int64_t>(d));
  auto growth = [&](int64_t d) {
    return static_cast<double>(out[static_cast<size_t>(d)]) / static_cast<double>(x.size(d + 2));
  };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const double ga = growth(a), gb = growth(b);
    return ga != gb ? ga < gb : ga > 1 ? a > b : a < b;
  });
  // channels_last: along rows of pixels, whose channels are neighbours
  const bool last = x.suggest_memory_format() != MemoryFormat::Contiguous, solid = x.dim() == 5;
  const Tensor from = last ? permute(x, solid ? Dims{0, 2, 3, 4, 1} : Dims{0, 2, 3, 1}) : x;
  const auto axis = [&](size_t d) {
    const int64_t n = x.size(static_cast<int64_t>(d) + 2);
    Axis a{n, out[d], used[d] > 0 ? 1.0 / used[d] : static_cast<double>(n) / static_cast<double>(out[d]),
           align_corners.value_or(false), antialias};
    if (a.align_corners)
      a.ratio = out[d] > 1 ? static_cast<double>(n - 1) / static_cast<double>(out[d] - 1) : 0;
    else if (filter == Filter::Linear && !antialias && n == out[d])
      a.ratio = 1;  // whatever scale_factor says: no pixel moves, as in PyTorch
    return a;
  };
  if (last && nearest && is_floating(x.dtype()) && x.device().is_cpu() && sizes_shrink(x, out))
    return permute(nearest_pixels(from, out, axis, filter == Filter::NearestExact),
                   solid ? Dims{0, 4, 1, 2, 3} : Dims{0, 3, 1, 2});
  Tensor y = from;
  for (int64_t at : order) {
    const auto d = static_cast<size_t>(at);
    const int64_t dim = last ? at + 1 : at + 2, n = from.size(dim);
    const Axis a = axis(d);
    if (a.ratio == 1 && out[d] == n) continue;
    if (nearest && !is_floating(x.dtype())) {
      y = index_select(
          y, dim,
          to(nearest_index(a, filter == Filter::NearestExact, x.dtype()), DType::Int64, x.device(), false));
    } else {
      Taps taps =
          nearest ? nearest_taps(a, filter == Filter::NearestExact, x.dtype()) : filter_taps(a, filter);
      taps.index = to(taps.index, DType::Int64, x.device(), false);
      taps.weight = to(taps.weight, DType::Float64, x.device(), false);
      y = resample_op(y, dim, taps);
    }
  }
  if (y.same(from)) return clone(x);
  return last ? permute(y, solid ? Dims{0, 4, 1, 2, 3} : Dims{0, 3, 1, 2}) : y;
}

}  // namespace ccdl::ops
