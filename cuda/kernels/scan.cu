// Cumulative sum, product and log-sum-exp by the kernels of scan.cuh, in double or int64. Bound: bytes of x
// and y.
#include <ccdl/kernels/scan.h>

#include <algorithm>

#include <kernels/scan.cuh>

namespace ccdl::cu {

ScanShape plan_scan(const View* const (&views)[4], int dim, bool reverse, int64_t quad_bytes) {
  ScanShape s{};
  View flat[4];
  const View& x = *views[0];
  const bool scalar = x.ndim == 0;
  s.n = scalar ? 1 : x.sizes[dim];
  s.reverse = reverse;
  for (int k = 0; k < 4; ++k) {
    flat[k] = *views[k];
    s.steps[k] = scalar ? 0 : flat[k].strides[dim];
    if (!scalar) flat[k].sizes[dim] = 1;
  }
  s.lines = make_walk<4>({&flat[0], &flat[1], &flat[2], &flat[3]});
  const int64_t lines = s.lines.numel;
  s.chunks = 1;
  s.chunk = s.n;
  if (lines == 0 || s.n == 0) return s;
  bool beside = false;  // some other dimension is closer in memory
  for (int d = 0; d < s.lines.ndim; ++d)
    beside = beside || (s.lines.strides[1][d] < s.steps[1] && s.lines.sizes[d] > 1);
  s.per_line = s.n <= 32 || (beside && lines >= kWarp);
  if (s.per_line) {
    if (s.n > 256) s.chunks = std::clamp<int64_t>((int64_t{1} << 16) / lines, 1, s.n / 64);
    s.chunk = ceil_div(s.n, s.chunks);
    s.threads = kScanThreads / 2;
  } else {
    s.threads = most(kWarp, pow2_at_least(ceil_div<int64_t>(s.n, kScanQuad), kScanThreads));
    const int64_t tile = static_cast<int64_t>(s.threads) * kScanQuad;
    if (s.n > 8 * tile) s.chunks = std::clamp<int64_t>(2048 / lines, 1, s.n / (8 * tile));
    s.chunk = ceil_div(ceil_div(s.n, s.chunks), tile) * tile;
  }
  s.chunks = ceil_div(s.n, s.chunk);
  s.quad = quad_bytes > 0 && !s.per_line && s.n % kScanQuad == 0;
  for (int k = 0; k < 2 && s.quad; ++k) {
    s.quad = s.steps[k] == 1 &&
             reinterpret_cast<uintptr_t>(views[k]->data) % std::min<int64_t>(quad_bytes, 16) == 0;
    for (int d = 0; d < s.lines.ndim; ++d) s.quad = s.quad && s.lines.strides[k][d] % kScanQuad == 0;
  }
  return s;
}

namespace {

// Four neighbours as one or two accesses of at most 16 bytes.
template <class T>
struct Quad {
  static constexpr int kPart = sizeof(T) == 8 ? 2 : 4;
  CCDL_DEVICE static void load(const T* p, T (&v)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i += kPart) {
      const Vec<T, kPart> part = load_vec<T, kPart>(p + i);
#pragma unroll
      for (int j = 0; j < kPart; ++j) v[i + j] = part[j];
    }
  }
  CCDL_DEVICE static void store(T* p, const T (&v)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i += kPart) {
      Vec<T, kPart> part;
#pragma unroll
      for (int j = 0; j < kPart; ++j) part[j] = v[i + j];
      store_vec(p + i, part);
    }
  }
};

template <class T>
struct ScanAccOf {
  using type = double;
  CCDL_DEVICE static double from(T v) { return static_cast<double>(convert<Compute<T>>(v)); }
};
#define CCDL_INTEGER_SCAN(T)                           \
  template <>                                          \
  struct ScanAccOf<T> {                                \
    using type = int64_t;                              \
    CCDL_DEVICE static int64_t from(T v) { return v; } \
  };
CCDL_INTEGER_SCAN(uint8_t)
CCDL_INTEGER_SCAN(int8_t)
CCDL_INTEGER_SCAN(int16_t)
CCDL_INTEGER_SCAN(int32_t)
CCDL_INTEGER_SCAN(int64_t)
#undef CCDL_INTEGER_SCAN

template <class T>
struct TotalPolicy {
  using Acc = typename ScanAccOf<T>::type;
  static constexpr bool kQuads = true;
  const T* x;
  T* y;
  bool product;

  CCDL_DEVICE Acc empty() const { return product ? Acc(1) : Acc(0); }
  CCDL_DEVICE double join(double a, double b) const { return product ? a * b : a + b; }
  CCDL_DEVICE int64_t join(int64_t a, int64_t b) const {
    const uint64_t l = static_cast<uint64_t>(a), r = static_cast<uint64_t>(b);
    return static_cast<int64_t>(product ? l * r : l + r);
  }
  CCDL_DEVICE Acc load(const ScanShape& s, const ScanLine& line, int64_t i) const {
    return ScanAccOf<T>::from(x[scan_offset(s, line, 0, i)]);
  }
  CCDL_DEVICE void store(const ScanShape& s, const ScanLine& line, int64_t i, Acc v) const {
    y[scan_offset(s, line, 1, i)] = convert<T>(v);
  }
  // v in scan order; i is the lowest of the four elements
  CCDL_DEVICE void load4(const ScanShape& s, const ScanLine& line, int64_t i, Acc (&v)[4]) const {
    T t[4];
    Quad<T>::load(x + line.at[0] + i, t);
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = ScanAccOf<T>::from(s.reverse ? t[3 - j] : t[j]);
  }
  CCDL_DEVICE void store4(const ScanShape& s, const ScanLine& line, int64_t i, const Acc (&v)[4]) const {
    T t[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) t[j] = convert<T>(s.reverse ? v[3 - j] : v[j]);
    Quad<T>::store(y + line.at[1] + i, t);
  }
};

template <class T>
struct LogSumExpScan {
  using Acc = double;
  static constexpr bool kQuads = false;
  const T* x;
  T* y;

  CCDL_DEVICE double empty() const { return -kInfinity; }
  CCDL_DEVICE double join(double a, double b) const {
    if (a != a || b != b) return a + b;
    const double hi = most(a, b), lo = least(a, b);
    return lo == -kInfinity || (lo == hi && fabs(hi) == kInfinity) ? hi : hi + log1p(exp(lo - hi));
  }
  CCDL_DEVICE double load(const ScanShape& s, const ScanLine& line, int64_t i) const {
    return ScanAccOf<T>::from(x[scan_offset(s, line, 0, i)]);
  }
  CCDL_DEVICE void store(const ScanShape& s, const ScanLine& line, int64_t i, double v) const {
    y[scan_offset(s, line, 1, i)] = convert<T>(v);
  }
};

}  // namespace

void scan(ScanOp op, const View& x, const View& y, int dim, bool reverse) {
  if (op == ScanOp::LogSumExp)
    return by_float(x.dtype, [&](auto tag) {
      using T = decltype(tag);
      run_scan({&x, &y, &x, &x}, dim, reverse, LogSumExpScan<T>{x.ptr<const T>(), y.ptr<T>()});
    });
  const auto with = [&](auto tag) {
    using T = decltype(tag);
    run_scan({&x, &y, &x, &x}, dim, reverse, TotalPolicy<T>{x.ptr<const T>(), y.ptr<T>(), op == ScanOp::Prod},
             4 * sizeof(T));
  };
  is_floating(x.dtype) ? by_float(x.dtype, with) : by_integer(x.dtype, with);
}

}  // namespace ccdl::cu
