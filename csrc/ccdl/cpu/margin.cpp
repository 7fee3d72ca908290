// Hinges over classes, row by row.
#include <ccdl/kernels/margin.h>

#include <algorithm>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/margin.h>

namespace ccdl::cpu {
namespace {

template <class S>
struct Hinges {
  S sum, count;
};
Hinges<float> add_hinges(const float* x, const float* keep, int64_t n, float shift, float step,
                         float* slope) {
  float r[2];
  simd_margin().floats(x, keep, n, shift, step, slope, r);
  return {r[0], r[1]};
}
Hinges<double> add_hinges(const double* x, const double* keep, int64_t n, double shift, double step,
                          double* slope) {
  double r[2];
  simd_margin().doubles(x, keep, n, shift, step, slope, r);
  return {r[0], r[1]};
}

// fn(row, x in the type of the sums, slope in it or null) -> the loss, rows shared out.
template <class T, class F>
void each_row(const View& x, const View& out, const View& slope, int64_t work, const F& fn) {
  using S = ComputeOf<T>;
  const int64_t n = x.sizes[0], c = x.sizes[1];
  parallel_for(n, 16384 / (work + 1) + 1, [&](int64_t begin, int64_t end) {
    S* wide = scratch<S>(0, 3 * c);
    for (int64_t i = begin; i < end; ++i) {
      const T* from = x.ptr<const T>() + i * c;
      const S* row = wide;
      S* gradient = slope.data ? wide + c : nullptr;
      if constexpr (sizeof(T) == sizeof(S)) {
        row = from;
        if (gradient) gradient = slope.ptr<T>() + i * c;
      } else {
        for (int64_t j = 0; j < c; ++j) wide[j] = static_cast<S>(from[j]);
      }
      if (gradient) std::fill_n(gradient, c, S(0));
      out.ptr<T>()[i] = static_cast<T>(fn(i, row, gradient, wide + 2 * c));
      if constexpr (sizeof(T) != sizeof(S))
        for (int64_t j = 0; gradient && j < c; ++j) slope.ptr<T>()[i * c + j] = static_cast<T>(gradient[j]);
    }
  });
}

}  // namespace

int64_t multi_margin(const View& x, const View& target, const View& weight, double margin, const View& out,
                     const View& slope) {
  const int64_t n = x.sizes[0], c = x.sizes[1];
  const auto* labels = target.ptr<const int64_t>();
  for (int64_t i = 0; i < n; ++i)
    if (labels[i] < 0 || labels[i] >= c) return i;
  with_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    using S = ComputeOf<T>;
    each_row<T>(x, out, slope, c, [&](int64_t i, const S* row, S* gradient, S*) {
      const int64_t label = labels[i];
      const S scale = (weight.data ? static_cast<S>(weight.ptr<const T>()[label]) : S(1)) / static_cast<S>(c);
      const S shift = static_cast<S>(margin) - row[label], own = row[label] + shift;
      const Hinges<S> all = add_hinges(row, nullptr, c, shift, scale, gradient);
      if (gradient) gradient[label] -= all.count * scale;
      return scale * (all.sum - (own > 0 ? own : S(0)));  // the label itself was among them
    });
  });
  return -1;
}

int64_t multilabel_margin(const View& x, const View& target, const View& out, const View& slope) {
  const int64_t n = x.sizes[0], c = x.sizes[1];
  const auto* listed = target.ptr<const int64_t>();
  int64_t longest = 1;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t* row = listed + i * c;
    for (int64_t j = 0; j < c; ++j)
      if (row[j] < -1 || row[j] >= c) return i * c + j;
    longest = std::max<int64_t>(longest, std::find(row, row + c, -1) - row);
  }
  with_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    using S = ComputeOf<T>;
    each_row<T>(x, out, slope, c * longest, [&](int64_t i, const S* row, S* gradient, S* others) {
      const int64_t *first = listed + i * c, *last = std::find(first, first + c, -1);
      std::fill_n(others, c, S(1));
      for (const int64_t* l = first; l < last; ++l) others[*l] = 0;
      const S scale = S(1) / static_cast<S>(c);
      S sum = 0;
      for (const int64_t* l = first; l < last; ++l) {
        const Hinges<S> all = add_hinges(row, others, c, S(1) - row[*l], scale, gradient);
        sum += all.sum;
        if (gradient) gradient[*l] -= all.count * scale;
      }
      return sum * scale;
    });
  });
  return -1;
}

}  // namespace ccdl::cpu
