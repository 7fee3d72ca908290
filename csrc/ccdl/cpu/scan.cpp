// Scans. The other dimensions are cut into lanes; where neighbouring lanes lie next to each other in memory
// (dim is not the innermost one) a block of lanes advances together row by row, otherwise each lane runs
// alone.
#include <ccdl/kernels/elementwise.h>
#include <ccdl/kernels/scan.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/panel.h>
#include <ccdl/cpu/simd/scan.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kGrain = 32 * 1024;  // elements per task
constexpr int64_t kLanes = 64;         // lanes that advance together
constexpr int64_t kFewLanes = 16;      // below, a panel of them is not worth it
constexpr int64_t kPiece = 64 * 1024;  // elements of a piece of a long contiguous lane

template <class T>
using ScanAcc = std::conditional_t<std::is_integral_v<T>, int64_t, double>;

template <class A>
bool is_nan(A v) {
  return v != v;
}

struct SumStep {
  template <class A>
  static A first() {
    return A(0);
  }
  static double next(double a, double v) { return a + v; }
  static int64_t next(int64_t a, int64_t v) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(v));
  }
};
struct ProdStep {
  template <class A>
  static A first() {
    return A(1);
  }
  static double next(double a, double v) { return a * v; }
  static int64_t next(int64_t a, int64_t v) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(v));
  }
};
struct LogSumExpStep {
  template <class A>
  static A first() {
    return -std::numeric_limits<A>::infinity();
  }
  static double next(double a, double v) {
    if (is_nan(a) || is_nan(v)) return a + v;
    const double hi = std::max(a, v), lo = std::min(a, v);
    return lo == hi && std::isinf(hi) ? hi : hi + std::log1p(std::exp(lo - hi));
  }
};

template <class T, class A>
T to_element(A v) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
    return T(static_cast<float>(v));
  else
    return static_cast<T>(v);
}
template <class A, class T>
A from_element(T v) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
    return static_cast<A>(static_cast<float>(v));
  else
    return static_cast<A>(v);
}

// Walk over every position with dim fixed at 0; lanes(offsets, n, inner strides) gets runs of lanes.
template <class F>
void for_lanes(const View* const* views, int count, int dim, const F& fn) {
  Walk w(count);
  int64_t step[kMaxOperands];
  for (int d = 0; d < views[0]->ndim; ++d) {
    if (d == dim) continue;
    for (int k = 0; k < count; ++k) step[k] = views[k]->strides[d];
    w.add(views[0]->sizes[d], step);
  }
  w.finish();
  const int64_t length = std::max<int64_t>(views[0]->ndim ? views[0]->sizes[dim] : 1, 1);
  parallel_for(w.numel, std::max<int64_t>(1, kGrain / length), [&](int64_t b, int64_t e) {
    walk_range(w, b, e, [&](const int64_t* off, int64_t n, int64_t) { fn(off, n, w.inner()); });
  });
}

struct Line {
  int64_t n, xs, ys;
};  // the scanned dimension; strides may be negative (reverse)

template <class Step, class T>
void scan_lanes(const T* x, T* y, const Line& line, int64_t lanes, int64_t xl, int64_t yl) {
  using A = ScanAcc<T>;
  A acc[kLanes];
  for (int64_t b = 0; b < lanes; b += kLanes) {
    const int64_t m = std::min(kLanes, lanes - b);
    std::fill_n(acc, m, Step::template first<A>());
    const T* xp = x + b * xl;
    T* yp = y + b * yl;
    for (int64_t i = 0; i < line.n; ++i, xp += line.xs, yp += line.ys) {
      if (xl == 1 && yl == 1) {
        for (int64_t j = 0; j < m; ++j)
          yp[j] = to_element<T>(acc[j] = Step::next(acc[j], from_element<A>(xp[j])));
      } else {
        for (int64_t j = 0; j < m; ++j)
          yp[j * yl] = to_element<T>(acc[j] = Step::next(acc[j], from_element<A>(xp[j * xl])));
      }
    }
  }
}

// K lanes side by side, far apart in memory: their additions do not wait for each other. Whole pieces are
// read before any of them is written, so that a store never stands before a load of the same address modulo a
// page.
template <class Step, int K, class T>
void scan_lines(const T* x, T* y, const Line& line, int64_t xl, int64_t yl) {
  constexpr int kPiece = 8;
  using A = ScanAcc<T>;
  A acc[K];
  for (int k = 0; k < K; ++k) acc[k] = Step::template first<A>();
  int64_t i = 0;
  for (; i + kPiece <= line.n; i += kPiece) {
    A v[K][kPiece];
    for (int k = 0; k < K; ++k)
      for (int j = 0; j < kPiece; ++j) v[k][j] = from_element<A>(x[(i + j) * line.xs + k * xl]);
    for (int j = 0; j < kPiece; ++j)
      for (int k = 0; k < K; ++k) v[k][j] = acc[k] = Step::next(acc[k], v[k][j]);
    for (int k = 0; k < K; ++k)
      for (int j = 0; j < kPiece; ++j) y[(i + j) * line.ys + k * yl] = to_element<T>(v[k][j]);
  }
  for (; i < line.n; ++i)
    for (int k = 0; k < K; ++k)
      y[i * line.ys + k * yl] =
          to_element<T>(acc[k] = Step::next(acc[k], from_element<A>(x[i * line.xs + k * xl])));
}

// Contiguous lanes by the vector kernel. Long ones are cut into pieces whose totals are taken first.
template <class A>
void scan_contiguous(ScanKernels::Run run, A first, bool product, const char* x, char* y, int64_t item,
                     int64_t n) {
  if (n <= 2 * kPiece) {
    run(x, y, n, &first);
    return;
  }
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  const std::unique_ptr<A[]> carry(new A[static_cast<size_t>(pieces + 1)]);
  parallel_for(pieces - 1, 1, [&](int64_t b, int64_t e) {
    for (; b < e; ++b) {
      carry[b + 1] = first;
      run(x + b * kPiece * item, nullptr, kPiece, &carry[b + 1]);
    }
  });
  carry[0] = first;
  for (int64_t b = 1; b < pieces; ++b)
    carry[b] = product ? ProdStep::next(carry[b - 1], carry[b]) : SumStep::next(carry[b - 1], carry[b]);
  parallel_for(pieces, 1, [&](int64_t b, int64_t e) {
    for (; b < e; ++b)
      run(x + b * kPiece * item, y + b * kPiece * item, std::min(kPiece, n - b * kPiece), &carry[b]);
  });
}

// Short contiguous lanes: a panel of them, whose columns advance together. x and y are the first elements in
// memory.
template <class Step, class T>
void scan_short(const T* x, T* y, int64_t n, int64_t lanes, int64_t xl, int64_t yl, bool reverse) {
  alignas(64) T panel[kPanelWidth * kLanes] = {};
  ScanKernels::Columns columns = nullptr;
  if constexpr (!std::is_same_v<Step, LogSumExpStep>) {
    const ScanKernels& simd = simd_scan();
    columns = (std::is_same_v<Step, ProdStep> ? simd.prod_columns
                                              : simd.sum_columns)[static_cast<int>(DTypeOf<T>::value)];
  }
  const int64_t step = reverse ? -kLanes : kLanes;
  T* first = reverse ? panel + (n - 1) * kLanes : panel;
  const PanelKernels& move = simd_panel();
  for (int64_t b = 0; b < lanes; b += kLanes) {
    const int64_t m = std::min(kLanes, lanes - b);
    move.from_rows[panel_item(sizeof(T))](x + b * xl, m, xl, n, panel, kLanes);
    if (columns)
      columns(first, n, step, kLanes);
    else
      scan_lanes<Step>(first, first, Line{n, step, step}, m, 1, 1);
    move.to_rows[panel_item(sizeof(T))](panel, kLanes, m, n, y + b * yl, yl);
  }
}

// Short rows of doubles are as fast one by one: their additions do not wait for those of the next row.
template <class Step, int N>
void scan_doubles(const double* x, double* y, int64_t rows, int64_t xl, int64_t yl, bool reverse) {
  for (int64_t r = 0; r < rows; ++r, x += xl, y += yl) {
    double v[N];
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) v[i] = x[reverse ? N - 1 - i : i];
#pragma GCC unroll 32
    for (int i = 1; i < N; ++i) v[i] = Step::next(v[i - 1], v[i]);
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) y[reverse ? N - 1 - i : i] = v[i];
  }
}
template <class Step>
auto short_doubles(int64_t n) -> void (*)(const double*, double*, int64_t, int64_t, int64_t, bool) {
  switch (n) {
    case 3:
      return scan_doubles<Step, 3>;
    case 5:
      return scan_doubles<Step, 5>;
    case 6:
      return scan_doubles<Step, 6>;
    case 7:
      return scan_doubles<Step, 7>;
    case 11:
      return scan_doubles<Step, 11>;
    case 9:
      return scan_doubles<Step, 9>;
    case 10:
      return scan_doubles<Step, 10>;
    case 13:
      return scan_doubles<Step, 13>;
    default:
      return nullptr;
  }
}

// Long contiguous lanes side by side, a panel's width at a time: the first row of the panel is what came
// before it.
template <class T>
void scan_pieces(ScanKernels::Columns columns, T first, const T* x, T* y, int64_t n, int64_t lanes,
                 int64_t xl, int64_t yl) {
  alignas(64) T panel[(kPanelWidth + 1) * kLanes] = {};
  const PanelKernels& move = simd_panel();
  for (int64_t b = 0; b < lanes; b += kLanes) {
    const int64_t m = std::min(kLanes, lanes - b);
    std::fill_n(panel, kLanes, first);
    for (int64_t i = 0; i < n; i += kPanelWidth) {
      const int64_t width = std::min(kPanelWidth, n - i);
      move.from_rows[panel_item(sizeof(T))](x + b * xl + i, m, xl, width, panel + kLanes, kLanes);
      columns(panel, width + 1, kLanes, kLanes);
      move.to_rows[panel_item(sizeof(T))](panel + kLanes, kLanes, m, width, y + b * yl + i, yl);
      std::copy_n(panel + width * kLanes, kLanes, panel);
    }
  }
}

template <class Step, class T>
void scan_typed(const View& x, const View& y, int dim, bool reverse) {
  Line line{x.ndim ? x.sizes[dim] : 1, x.ndim ? x.strides[dim] : 0, x.ndim ? y.strides[dim] : 0};
  if (x.numel() == 0) return;
  const T* xp = x.ptr<T>();
  T* yp = y.ptr<T>();
  if (reverse) {
    xp += (line.n - 1) * line.xs;
    yp += (line.n - 1) * line.ys;
    line.xs = -line.xs;
    line.ys = -line.ys;
  }
  const View* views[] = {&x, &y};
  if (line.n <= kPanelWidth && std::abs(line.xs) == 1 && line.xs == line.ys && x.numel() >= 16 * line.n) {
    const int64_t back = reverse ? line.n - 1 : 0;
    if constexpr (std::is_same_v<T, double> && !std::is_same_v<Step, LogSumExpStep>)
      if (const auto rows = short_doubles<Step>(line.n))
        return for_lanes(views, 2, dim, [&](const int64_t* off, int64_t n, const int64_t* inner) {
          rows(xp + off[0] - back, yp + off[1] - back, n, inner[0], inner[1], reverse);
        });
    for_lanes(views, 2, dim, [&](const int64_t* off, int64_t n, const int64_t* inner) {
      scan_short<Step>(xp + off[0] - back, yp + off[1] - back, line.n, n, inner[0], inner[1], reverse);
    });
    return;
  }
  if constexpr (!std::is_same_v<Step, LogSumExpStep>) {
    constexpr bool product = std::is_same_v<Step, ProdStep>;
    const ScanKernels& simd = simd_scan();
    const auto run = (product ? simd.prod : simd.sum)[static_cast<int>(x.dtype)];
    if (run && line.xs == 1 && line.ys == 1) {
      using A = ScanAcc<T>;
      for_lanes(views, 2, dim, [&](const int64_t* off, int64_t n, const int64_t* inner) {
        for (int64_t j = 0; j < n; ++j)
          scan_contiguous<A>(run, Step::template first<A>(), product,
                             reinterpret_cast<const char*>(xp + off[0] + j * inner[0]),
                             reinterpret_cast<char*>(yp + off[1] + j * inner[1]), sizeof(T), line.n);
      });
      return;
    }
  }
  for_lanes(views, 2, dim, [&](const int64_t* off, int64_t n, const int64_t* inner) {
    if constexpr (std::is_same_v<Step, ProdStep> && std::is_same_v<T, double>)
      if (n >= kFewLanes && line.xs == 1 && line.ys == 1)
        return scan_pieces<T>(simd_scan().prod_columns[static_cast<int>(DType::Float64)], 1.0, xp + off[0],
                              yp + off[1], line.n, n, inner[0], inner[1]);
    const bool together = n > 1 && std::abs(line.ys) >= inner[1];
    if (together) return scan_lanes<Step>(xp + off[0], yp + off[1], line, n, inner[0], inner[1]);
    const T* xl = xp + off[0];
    T* yl = yp + off[1];
    int64_t j = 0;
    for (; j + 4 <= n; j += 4)
      scan_lines<Step, 4>(xl + j * inner[0], yl + j * inner[1], line, inner[0], inner[1]);
    for (; j < n; ++j) scan_lines<Step, 1>(xl + j * inner[0], yl + j * inner[1], line, 0, 0);
  });
}

}  // namespace

void scan(ScanOp op, const View& x, const View& y, int dim, bool reverse) {
  if (x.ndim == 0 || x.sizes[dim] == 1) return copy_cast(x, y);
  if (op == ScanOp::LogSumExp)
    return by_floating(x.dtype, [&](auto t) { scan_typed<LogSumExpStep, decltype(t)>(x, y, dim, reverse); });
  by_dtype(x.dtype, [&](auto t) {
    using T = decltype(t);
    if (op == ScanOp::Sum)
      scan_typed<SumStep, T>(x, y, dim, reverse);
    else
      scan_typed<ProdStep, T>(x, y, dim, reverse);
  });
}

namespace {

// Strides of x, y and the indices, along the scan and from lane to lane.
struct ExtremeStrides {
  int64_t step[3], lane[3];
};

template <bool Largest, class A>
CCDL_INLINE bool takes_over(A v, A best) {
  return is_nan(v) | (!is_nan(best) & (Largest ? v >= best : v <= best));
}
template <class T>
using ExtremeOf = std::conditional_t<std::is_integral_v<T>, T, std::conditional_t<sizeof(T) == 2, float, T>>;

// One lane. A new extreme is rare or usual, seldom in between: a branch costs less than waiting for the last
// one.
template <bool Largest, class T>
void extreme_lane(const T* x, T* y, int64_t* index, int64_t n, const ExtremeStrides& s) {
  using A = ExtremeOf<T>;
  A best = from_element<A>(x[0]);
  T kept = x[0];
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T element = x[i * s.step[0]];
    const A v = from_element<A>(element);
    if (__builtin_expect(takes_over<Largest>(v, best), 0)) {
      best = v;
      kept = element;
      at = i;
    }
    y[i * s.step[1]] = kept;
    index[i * s.step[2]] = at;
  }
}

// K neighbouring lanes: every position is read for all of them.
template <bool Largest, int K, class T>
void extreme_lanes(const T* x, T* y, int64_t* index, int64_t n, const ExtremeStrides& s) {
  using A = ExtremeOf<T>;
  A best[K];
  int64_t at[K] = {};
  for (int k = 0; k < K; ++k) best[k] = from_element<A>(x[k * s.lane[0]]);
  for (int64_t i = 0; i < n; ++i)
    for (int k = 0; k < K; ++k) {
      const A v = from_element<A>(x[i * s.step[0] + k * s.lane[0]]);
      const bool taken = takes_over<Largest>(v, best[k]);
      best[k] = taken ? v : best[k];
      at[k] = taken ? i : at[k];
      y[i * s.step[1] + k * s.lane[1]] = to_element<T>(best[k]);
      index[i * s.step[2] + k * s.lane[2]] = at[k];
    }
}

template <bool Largest, class T>
void extreme_typed(const View& x, const View& y, const View& indices, int dim) {
  const int64_t n = x.ndim ? x.sizes[dim] : 1;
  const View* views[] = {&x, &y, &indices};
  ExtremeStrides s;
  for (int k = 0; k < 3; ++k) s.step[k] = x.ndim ? views[k]->strides[dim] : 0;
  constexpr int64_t kUnit[] = {1, 1, 1};
  const auto rows = simd_scan().extreme_rows[Largest][static_cast<int>(x.dtype)];
  const auto columns = simd_scan().extreme_columns[Largest][static_cast<int>(x.dtype)];
  for_lanes(views, 3, dim, [&](const int64_t* off, int64_t lanes, const int64_t* inner) {
    ExtremeStrides here = s;
    std::copy_n(inner, 3, here.lane);
    const T* xp = x.ptr<T>() + off[0];
    T* yp = y.ptr<T>() + off[1];
    int64_t* ip = indices.ptr<int64_t>() + off[2];
    int64_t j = 0;
    if (rows && std::equal(s.step, s.step + 3, kUnit))
      return rows(xp, inner[0], yp, inner[1], ip, inner[2], n, lanes);
    if (columns && std::equal(inner, inner + 3, kUnit))
      j = columns(xp, s.step[0], yp, s.step[1], ip, s.step[2], n, lanes);
    const bool near = std::abs(s.step[1]) >= inner[1];
    for (; near && j + 8 <= lanes; j += 8)
      extreme_lanes<Largest, 8>(xp + j * inner[0], yp + j * inner[1], ip + j * inner[2], n, here);
    for (; j < lanes; ++j)
      extreme_lane<Largest>(xp + j * inner[0], yp + j * inner[1], ip + j * inner[2], n, here);
  });
}

}  // namespace

void scan_extreme(bool largest, const View& x, const View& y, const View& indices, int dim) {
  if (x.numel() == 0) return;
  by_dtype(x.dtype, [&](auto t) {
    using T = decltype(t);
    largest ? extreme_typed<true, T>(x, y, indices, dim) : extreme_typed<false, T>(x, y, indices, dim);
  });
}

namespace {

// K lanes side by side, a fixed distance apart; a distance of 1 lets the compiler use vectors. All lanes are
// read before one is written, so that no load waits for a store to the same address modulo a page. before:
// the products of what stands in front of the lanes; tail: what comes from behind them, and then from them.
template <int K, class T>
void cumprod_backward_lanes(const T* x, const T* dy, T* dx, int64_t n, const int64_t* step,
                            const int64_t* lane, double* left, double* before, double* tail) {
  double v[K], g[K];
  for (int64_t i = 0; i < n; ++i) {
    const T* xp = x + i * step[0];
#pragma GCC unroll 16
    for (int k = 0; k < K; ++k) {
      left[i * K + k] = before[k];
      before[k] *= from_element<double>(xp[k * lane[0]]);
    }
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    const T *xp = x + i * step[0], *gp = dy + i * step[1];
    T* dp = dx + i * step[2];
#pragma GCC unroll 16
    for (int k = 0; k < K; ++k) {
      v[k] = from_element<double>(xp[k * lane[0]]);
      g[k] = from_element<double>(gp[k * lane[1]]);
    }
#pragma GCC unroll 16
    for (int k = 0; k < K; ++k) {
      tail[k] += g[k];
      dp[k * lane[2]] = to_element<T>(left[i * K + k] * tail[k]);
      tail[k] *= v[k];
    }
  }
}

// One long contiguous lane in K parts whose multiplications do not wait for each other: the product of each
// and what it sends to the left from nothing come first. False, with nothing done, where a part leaves the
// range of double, so that 0 would meet infinity.
template <int K, class T>
bool cumprod_backward_parts(const T* x, const T* dy, T* dx, int64_t n, double* left) {
  constexpr int64_t kUnit[] = {1, 1, 1};
  const int64_t part = n / K, lane[] = {part, part, part};
  double product[K], sent[K] = {}, before[K], tail[K];
  for (int k = 0; k < K; ++k) product[k] = 1;
  for (int64_t i = part - 1; i >= 0; --i)
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const double v = from_element<double>(x[i + k * part]);
      product[k] *= v;
      sent[k] = (sent[k] + from_element<double>(dy[i + k * part])) * v;
    }
  double whole = 1, check = 0;
  for (int k = 0; k < K; ++k) {
    before[k] = whole;
    whole *= product[k];
    check += std::abs(product[k]) + std::abs(sent[k]);
  }
  if (!std::isfinite(check) || !std::isfinite(whole)) return false;
  double from_right = 0;
  cumprod_backward_lanes<1>(x + K * part, dy + K * part, dx + K * part, n - K * part, kUnit, kUnit, left,
                            &whole, &from_right);
  for (int k = K - 1; k >= 0; --k) {
    tail[k] = from_right;
    from_right = sent[k] + product[k] * from_right;
  }
  cumprod_backward_lanes<K>(x, dy, dx, part, kUnit, lane, left, before, tail);
  return true;
}

}  // namespace

void cumprod_backward(const View& x, const View& dy, const View& dx, int dim) {
  if (x.numel() == 0) return;
  const int64_t n = x.ndim ? x.sizes[dim] : 1;
  const auto along = [&](const View& v) { return v.ndim ? v.strides[dim] : 0; };
  const int64_t step[] = {along(x), along(dy), along(dx)};
  constexpr int kNear = 16, kFar = 4, kParts = 8;  // far lanes share the sets of the cache
  constexpr int64_t kLong = 1024;
  const View* views[] = {&x, &dy, &dx};
  by_floating(x.dtype, [&](auto t) {
    using T = decltype(t);
    for_lanes(views, 3, dim, [&](const int64_t* off, int64_t lanes, const int64_t* inner) {
      constexpr int64_t kUnit[] = {1, 1, 1};
      const bool near = inner[0] == 1 && inner[1] == 1 && inner[2] == 1;
      double* left = scratch<double>(0, n * (near && lanes >= kNear ? kNear : lanes >= kFar ? kFar : 1));
      const T* xp = x.ptr<T>() + off[0];
      const T* gp = dy.ptr<T>() + off[1];
      T* dp = dx.ptr<T>() + off[2];
      int64_t j = 0;
      const auto take = [&](auto count, const int64_t* lane) {
        constexpr int K = decltype(count)::value;
        for (; j + K <= lanes; j += K) {
          double before[K], tail[K] = {};
          std::fill_n(before, K, 1.0);
          cumprod_backward_lanes<K>(xp + j * inner[0], gp + j * inner[1], dp + j * inner[2], n, step, lane,
                                    left, before, tail);
        }
      };
      if (near) take(std::integral_constant<int, kNear>(), kUnit);
      take(std::integral_constant<int, kFar>(), inner);
      const bool in_parts = n >= kLong && std::equal(step, step + 3, kUnit);
      while (in_parts && j < lanes &&
             cumprod_backward_parts<kParts>(xp + j * inner[0], gp + j * inner[1], dp + j * inner[2], n, left))
        ++j;
      take(std::integral_constant<int, 1>(), inner);
    });
  });
}

// With s_k = sum over i >= k of dy_i exp(y_k - y_i), whose exponents never exceed 0: dx_k = exp(x_k - y_k)
// s_k.
void logcumsumexp_backward(const View& x, const View& y, const View& dy, const View& dx, int dim) {
  if (x.numel() == 0) return;
  const int64_t n = x.ndim ? x.sizes[dim] : 1;
  const auto step = [&](const View& v) { return v.ndim ? v.strides[dim] : 0; };
  const int64_t xs = step(x), ys = step(y), gs = step(dy), ds = step(dx);
  const auto ratio = [](double a, double b) { return a == b ? 1.0 : std::exp(a - b); };  // infinities cancel
  const View* views[] = {&x, &y, &dy, &dx};
  by_floating(x.dtype, [&](auto t) {
    using T = decltype(t);
    for_lanes(views, 4, dim, [&](const int64_t* off, int64_t lanes, const int64_t* inner) {
      for (int64_t j = 0; j < lanes; ++j) {
        const T* xp = x.ptr<T>() + off[0] + j * inner[0];
        const T* yp = y.ptr<T>() + off[1] + j * inner[1];
        const T* gp = dy.ptr<T>() + off[2] + j * inner[2];
        T* dp = dx.ptr<T>() + off[3] + j * inner[3];
        double s = 0, next = 0;
        for (int64_t i = n - 1; i >= 0; --i) {
          const double here = from_element<double>(yp[i * ys]);
          s = from_element<double>(gp[i * gs]) + (i + 1 < n ? ratio(here, next) * s : 0);
          dp[i * ds] = to_element<T>(ratio(from_element<double>(xp[i * xs]), here) * s);
          next = here;
        }
      }
    });
  });
}

}  // namespace ccdl::cpu
