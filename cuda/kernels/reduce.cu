// Sums, products, norms, extremes and counts: the policies of reduce.cuh for one accumulator of 8 bytes.
// Float vectors of 16 bytes are added in a tree in float, then in double; squares, powers and products in
// double; integers in int64. Bound: bytes of x.
#include <ccdl/kernels/reduce.h>

#include <algorithm>

#include <kernels/reduce.cuh>

namespace ccdl::cu {
namespace {

struct Dim {
  int64_t size, strides[3];  // strides[0] is x's
};

// By rising x stride (broadcast last), neighbours merged where every stride allows.
int collapse(Dim* d, int n) {
  const auto key = [](const Dim& v) { return v.strides[0] == 0 ? INT64_MAX : v.strides[0]; };
  std::stable_sort(d, d + n, [&](const Dim& a, const Dim& b) { return key(a) < key(b); });
  int m = 0;
  for (int i = 0; i < n; ++i) {
    bool merges = m > 0;
    for (int k = 0; k < 3 && merges; ++k) merges = d[i].strides[k] == d[m - 1].strides[k] * d[m - 1].size;
    if (merges)
      d[m - 1].size *= d[i].size;
    else
      d[m++] = d[i];
  }
  return m;
}

template <int N>
int64_t fill_walk(Walk<N>& w, const Dim* d, int n) {
  w.ndim = n;
  w.numel = 1;
  int64_t last[3] = {0, 0, 0};
  for (int i = 0; i < n; ++i) {
    w.numel *= d[i].size;
    w.sizes[i] = d[i].size;
    for (int k = 0; k < N; ++k) {
      w.strides[k][i] = d[i].strides[k];
      last[k] += (d[i].size - 1) * d[i].strides[k];
    }
  }
  w.small = w.numel <= INT32_MAX;
  for (int k = 0; k < N; ++k) w.small = w.small && last[k] < INT32_MAX;
  for (int i = 0; i < n && w.small; ++i) w.divs[i] = FastDiv(static_cast<uint32_t>(w.sizes[i]));
  return w.numel;
}

int64_t even_chunk(int64_t reduced, int64_t chunks, int64_t multiple) {
  return ceil_div(ceil_div(reduced, chunks), multiple) * multiple;
}

}  // namespace

ReduceShape plan_reduction(const View& x, const View& y, const View& z, int lanes, int phase) {
  ReduceShape s{};
  Dim out[kMaxDims], red[kMaxDims];
  int nout = 0, nred = 0;
  s.outputs = s.reduced = 1;
  for (int d = 0; d < x.ndim; ++d) {
    if (x.sizes[d] == 1) continue;
    Dim& dim = y.sizes[d] == 1 ? red[nred++] : out[nout++];
    const bool kept = y.sizes[d] != 1;
    dim = {x.sizes[d], {x.strides[d], kept ? y.strides[d] : 0, kept && z.data ? z.strides[d] : 0}};
    (kept ? s.outputs : s.reduced) *= x.sizes[d];
  }
  s.chunks = 1;
  if (s.outputs == 0) return s;
  if (s.reduced == 0) {
    s.chunks = 0;
    fill_walk(s.out, out, collapse(out, nout));
    return s;
  }
  nout = collapse(out, nout);
  nred = collapse(red, nred);
  fill_walk(s.out, out, nout);
  fill_walk(s.red, red, nred);
  const auto key = [](const Dim& v) { return v.strides[0] == 0 ? INT64_MAX : v.strides[0]; };
  s.rows = nout == 0 || (nred > 0 && key(red[0]) < key(out[0]));
  if (s.rows) {
    s.phase = std::max(phase, 0);
    s.vector = phase >= 0 && nred > 0 && red[0].strides[0] == 1;
    if (nred == 1) {
      s.vector = s.vector && s.reduced >= 4 * lanes;  // head and tail are taken singly
    } else {
      s.vector = s.vector && phase == 0 && red[0].size % lanes == 0;
      for (int i = 1; i < nred; ++i) s.vector = s.vector && red[i].strides[0] % lanes == 0;
      for (int i = 0; i < nout; ++i) s.vector = s.vector && out[i].strides[0] % lanes == 0;
    }
    const int64_t accesses = s.reduced / (s.vector ? lanes : 1);
    s.group = accesses <= 8 * kWarp ? pow2_at_least(ceil_div<int64_t>(accesses, 4), kWarp) : kReduceThreads;
    if (s.group > kWarp)
      s.chunks = std::clamp<int64_t>(accesses / (16 * kReduceThreads), 1,
                                     std::max<int64_t>(kReduceBlocks / s.outputs, 1));
    s.chunk = even_chunk(s.reduced, s.chunks, lanes);
  } else {
    const int lane_limit = s.outputs >= kWarp ? 8 : kReduceThreads / pow2_at_least(s.outputs, kWarp);
    s.group = pow2_at_least(ceil_div<int64_t>(s.reduced, 4), lane_limit);
    s.width = std::max(1, std::min(kReduceThreads / s.group, pow2_at_least(s.outputs, kReduceThreads)));
    const int64_t tiles = ceil_div<int64_t>(s.outputs, s.width);
    s.chunks =
        std::clamp<int64_t>(s.reduced / (16 * s.group), 1, std::max<int64_t>(kReduceBlocks / tiles, 1));
    s.chunk = even_chunk(s.reduced, s.chunks, 1);
  }
  s.chunks = ceil_div(s.reduced, s.chunk);
  return s;
}

namespace {

// Sum, NanSum, Mean, Norm1 of T.
template <class T>
struct SumPolicy {
  using C = Compute<T>;
  using State = double;
  using Acc = double;
  static constexpr int kVec = kLanes<T>;
  const T* x;
  ReduceOut y;
  ReduceOp op;
  double count;

  CCDL_DEVICE double start(int64_t) const { return 0; }
  CCDL_DEVICE double close(double s) const { return s; }
  CCDL_DEVICE double empty() const { return 0; }
  CCDL_DEVICE double join(double a, double b) const { return a + b; }
  CCDL_DEVICE C map(C v) const {
    if (op == ReduceOp::NanSum) return v != v ? C(0) : v;
    return op == ReduceOp::Norm1 ? fabs(v) : v;
  }
  CCDL_DEVICE void vec(double& s, int64_t at, int64_t) const {
    C v[kVec];
    load_row<kVec>(x + at, v);
#pragma unroll
    for (int k = 0; k < kVec; ++k) v[k] = map(v[k]);
#pragma unroll
    for (int h = kVec / 2; h > 0; h /= 2)
#pragma unroll
      for (int k = 0; k < h; ++k) v[k] += v[k + h];
    s += static_cast<double>(v[0]);
  }
  CCDL_DEVICE void one(double& s, int64_t at, int64_t) const {
    s += static_cast<double>(map(convert<C>(x[at])));
  }
  CCDL_DEVICE void store(double v, int64_t, const int64_t (&at)[3]) const {
    y.put(at[1], op == ReduceOp::Mean ? v / count : v);
  }
};

// Prod, Norm2, NormP: each element in double.
template <class T>
struct WidePolicy {
  using State = double;
  using Acc = double;
  static constexpr int kVec = kLanes<T>;
  const T* x;
  ReduceOut y;
  ReduceOp op;
  double p;

  CCDL_DEVICE double start(int64_t) const { return empty(); }
  CCDL_DEVICE double close(double s) const { return s; }
  CCDL_DEVICE double empty() const { return op == ReduceOp::Prod ? 1 : 0; }
  CCDL_DEVICE double join(double a, double b) const { return op == ReduceOp::Prod ? a * b : a + b; }
  CCDL_DEVICE void add(double& s, double v) const {
    if (op == ReduceOp::Prod)
      s *= v;
    else if (op == ReduceOp::Norm2)
      s = fma(v, v, s);
    else
      s += pow(fabs(v), p);
  }
  CCDL_DEVICE void vec(double& s, int64_t at, int64_t) const {
    Compute<T> v[kVec];
    load_row<kVec>(x + at, v);
#pragma unroll
    for (int k = 0; k < kVec; ++k) add(s, static_cast<double>(v[k]));
  }
  CCDL_DEVICE void one(double& s, int64_t at, int64_t) const {
    add(s, static_cast<double>(convert<Compute<T>>(x[at])));
  }
  CCDL_DEVICE void store(double v, int64_t, const int64_t (&at)[3]) const {
    y.put(at[1], op == ReduceOp::Norm2 ? sqrt(v) : op == ReduceOp::NormP ? pow(v, 1.0 / p) : v);
  }
};

// Max, Min, NormInf, NormNegInf. A minimum is the negated maximum of negated numbers.
template <class T>
struct ExtremePolicy {
  using C = Compute<T>;
  using State = C;
  using Acc = C;
  static constexpr int kVec = kLanes<T>;
  const T* x;
  ReduceOut y;
  bool flip, magnitude;

  CCDL_DEVICE C start(int64_t) const { return empty(); }
  CCDL_DEVICE C close(C s) const { return s; }
  CCDL_DEVICE C empty() const { return -C(kInfinity); }
  CCDL_DEVICE C join(C a, C b) const { return MaxOp()(a, b); }
  CCDL_DEVICE C map(C v) const {
    v = magnitude ? fabs(v) : v;
    return flip ? -v : v;
  }
  CCDL_DEVICE void vec(C& s, int64_t at, int64_t) const {
    C v[kVec];
    load_row<kVec>(x + at, v);
#pragma unroll
    for (int k = 0; k < kVec; ++k) s = join(s, map(v[k]));
  }
  CCDL_DEVICE void one(C& s, int64_t at, int64_t) const { s = join(s, map(convert<C>(x[at]))); }
  CCDL_DEVICE void store(C v, int64_t, const int64_t (&at)[3]) const { y.put(at[1], flip ? -v : v); }
};

// Any, All, CountNonzero, Norm0 on the bits of an element; mask drops the sign of zero.
template <class Bits>
struct CountPolicy {
  using State = int64_t;
  using Acc = int64_t;
  static constexpr int kVec = kLanes<Bits>;
  const Bits* x;
  ReduceOut y;
  Bits mask;
  ReduceOp op;
  int64_t count;

  CCDL_DEVICE int64_t start(int64_t) const { return 0; }
  CCDL_DEVICE int64_t close(int64_t s) const { return s; }
  CCDL_DEVICE int64_t empty() const { return 0; }
  CCDL_DEVICE int64_t join(int64_t a, int64_t b) const { return a + b; }
  CCDL_DEVICE void vec(int64_t& s, int64_t at, int64_t) const {
    const Vec<Bits> v = load_vec(x + at);
    int n = 0;
#pragma unroll
    for (int k = 0; k < kVec; ++k) n += (v[k] & mask) != 0;
    s += n;
  }
  CCDL_DEVICE void one(int64_t& s, int64_t at, int64_t) const { s += (x[at] & mask) != 0; }
  CCDL_DEVICE void store(int64_t v, int64_t, const int64_t (&at)[3]) const {
    y.put(at[1], op == ReduceOp::Any ? int64_t{v > 0} : op == ReduceOp::All ? int64_t{v == count} : v);
  }
};

int64_t count_of(const View& x, const View& y) {
  int64_t n = 1;
  for (int d = 0; d < x.ndim; ++d)
    if (y.sizes[d] == 1) n *= x.sizes[d];
  return n;
}

template <class Bits>
void count(ReduceOp op, const View& x, const View& y, Bits mask) {
  run_reduction(x, y, View{},
                CountPolicy<Bits>{x.ptr<const Bits>(), {y.data, y.dtype}, mask, op, count_of(x, y)},
                phase_of<Bits>(x.data));
}

void count_any_type(ReduceOp op, const View& x, const View& y) {
  const bool floating = is_floating(x.dtype);
  switch (item_size(x.dtype)) {
    case 1:
      return count<uint8_t>(op, x, y, 0xff);
    case 2:
      return count<uint16_t>(op, x, y, floating ? 0x7fff : 0xffff);
    case 4:
      return count<uint32_t>(op, x, y, floating ? 0x7fffffffu : 0xffffffffu);
    default:
      return count<uint64_t>(op, x, y, floating ? UINT64_MAX >> 1 : UINT64_MAX);
  }
}

}  // namespace

// reduce_integer.cu, reduce_stats.cu
void reduce_integer(ReduceOp op, const View& x, const View& y);
void reduce_log_sum_exp(const View& x, const View& y);

void reduce(ReduceOp op, const View& x, const View& y, double p) {
  const ReduceOut out{y.data, y.dtype};
  switch (op) {
    case ReduceOp::Any:
    case ReduceOp::All:
    case ReduceOp::CountNonzero:
    case ReduceOp::Norm0:
      return count_any_type(op, x, y);
    case ReduceOp::LogSumExp:
      return reduce_log_sum_exp(x, y);
    default:
      break;
  }
  if (!is_floating(x.dtype)) return reduce_integer(op, x, y);
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* data = x.ptr<const T>();
    switch (op) {
      case ReduceOp::Sum:
      case ReduceOp::NanSum:
      case ReduceOp::Mean:
      case ReduceOp::Norm1:
        return run_reduction(x, y, View{}, SumPolicy<T>{data, out, op, static_cast<double>(count_of(x, y))},
                             phase_of<T>(data));
      case ReduceOp::Prod:
      case ReduceOp::Norm2:
      case ReduceOp::NormP:
        return run_reduction(x, y, View{}, WidePolicy<T>{data, out, op, p}, phase_of<T>(data));
      default:
        return run_reduction(x, y, View{},
                             ExtremePolicy<T>{data, out, op == ReduceOp::Min || op == ReduceOp::NormNegInf,
                                              op == ReduceOp::NormInf || op == ReduceOp::NormNegInf},
                             phase_of<T>(data));
    }
  });
}

}  // namespace ccdl::cu
