// Gradients of cumulative products and log-sum-exps as scans of affine maps t -> a t + b from the end of the
// line, by the kernels of scan.cuh, so that one long line is parallel too. The products before an element lie
// in scratch of 8 bytes per element. Bound: bytes of the views, plus 16 per element for the products.
#include <ccdl/kernels/scan.h>

#include <kernels/scan.cuh>

namespace ccdl::cu {
namespace {

template <class T>
CCDL_DEVICE double wide(T v) {
  return static_cast<double>(convert<Compute<T>>(v));
}

// left[line n + i] = x_0 ... x_{i-1}
template <class T>
struct ProductsBefore {
  using Acc = double;
  static constexpr bool kQuads = false;
  const T* x;
  double* left;

  CCDL_DEVICE double empty() const { return 1; }
  CCDL_DEVICE double join(double a, double b) const { return a * b; }
  CCDL_DEVICE double load(const ScanShape& s, const ScanLine& line, int64_t i) const {
    return wide(x[scan_offset(s, line, 0, i)]);
  }
  CCDL_DEVICE void store(const ScanShape& s, const ScanLine& line, int64_t i, double v) const {
    double* row = left + line.number * s.n;
    if (i == 0) row[0] = 1;
    if (i + 1 < s.n) row[i + 1] = v;
  }
};

// Composition of affine maps; `used` tells nothing-yet from a map with b == 0, whose factor may be infinite.
struct Affine {
  double a, b;
  int64_t used;
};
struct AffineJoin {
  using Acc = Affine;
  static constexpr bool kQuads = false;
  CCDL_DEVICE Affine empty() const { return {1, 0, 0}; }
  CCDL_DEVICE Affine join(const Affine& first, const Affine& then) const {
    if (!first.used) return then;
    if (!then.used) return first;
    return {first.a * then.a, then.a * first.b + then.b, 1};
  }
};

// tail_i = dy_i + x_{i+1} tail_{i+1};  dx_i = left_i tail_i
template <class T>
struct CumprodTail : AffineJoin {
  const T *x, *dy;
  T* dx;
  const double* left;
  CCDL_DEVICE Affine load(const ScanShape& s, const ScanLine& line, int64_t i) const {
    const double factor = i + 1 < s.n ? wide(x[scan_offset(s, line, 0, i + 1)]) : 0;
    return {factor, wide(dy[scan_offset(s, line, 1, i)]), 1};
  }
  CCDL_DEVICE void store(const ScanShape& s, const ScanLine& line, int64_t i, const Affine& v) const {
    dx[scan_offset(s, line, 2, i)] = convert<T>(left[line.number * s.n + i] * v.b);
  }
};

// s_i = dy_i + exp(y_i - y_{i+1}) s_{i+1}, exponents never above 0;  dx_i = exp(x_i - y_i) s_i
template <class T>
struct LogcumsumexpTail : AffineJoin {
  const T *x, *y, *dy;
  T* dx;
  CCDL_DEVICE static double ratio(double a, double b) {
    return a == b ? 1.0 : exp(a - b);
  }  // infinities cancel
  CCDL_DEVICE Affine load(const ScanShape& s, const ScanLine& line, int64_t i) const {
    const int64_t at = scan_offset(s, line, 1, i);
    const double factor = i + 1 < s.n ? ratio(wide(y[at]), wide(y[at + s.steps[1]])) : 0;
    return {factor, wide(dy[scan_offset(s, line, 2, i)]), 1};
  }
  CCDL_DEVICE void store(const ScanShape& s, const ScanLine& line, int64_t i, const Affine& v) const {
    const double above = ratio(wide(x[scan_offset(s, line, 0, i)]), wide(y[scan_offset(s, line, 1, i)]));
    dx[scan_offset(s, line, 3, i)] = convert<T>(above * v.b);
  }
};

}  // namespace

void cumprod_backward(const View& x, const View& dy, const View& dx, int dim) {
  const Scratch left(x.numel() * static_cast<int64_t>(sizeof(double)));
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    run_scan({&x, &dy, &dx, &x}, dim, false, ProductsBefore<T>{x.ptr<const T>(), left.ptr<double>()});
    CumprodTail<T> tail;
    tail.x = x.ptr<const T>();
    tail.dy = dy.ptr<const T>();
    tail.dx = dx.ptr<T>();
    tail.left = left.ptr<const double>();
    run_scan({&x, &dy, &dx, &x}, dim, true, tail);
  });
}

void logcumsumexp_backward(const View& x, const View& y, const View& dy, const View& dx, int dim) {
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    LogcumsumexpTail<T> tail;
    tail.x = x.ptr<const T>();
    tail.y = y.ptr<const T>();
    tail.dy = dy.ptr<const T>();
    tail.dx = dx.ptr<T>();
    run_scan({&x, &y, &dy, &dx}, dim, true, tail);
  });
}

}  // namespace ccdl::cu
