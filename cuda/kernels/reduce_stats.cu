// Variance (moments joined as in Chan, Golub and LeVeque 1983), log-sum-exp in one online pass, and the
// position of an extreme: the policies of reduce.cuh with several numbers per accumulator. Bound: bytes of x,
// read once.
#include <ccdl/kernels/reduce.h>

#include <kernels/reduce.cuh>

namespace ccdl::cu {
namespace {

template <class T>
struct VariancePolicy : MomentsPolicy<T> {
  ReduceOut y, mean;
  double correction;
  bool root;

  CCDL_DEVICE void store(const Moments& m, int64_t, const int64_t (&at)[3]) const {
    const double free = m.n - correction, v = (m.n == 0 ? m.n / m.n : m.m2) / (free > 0 ? free : 0.0);
    y.put(at[1], root ? sqrt(v) : v);
    if (mean.data) mean.put(at[2], m.n == 0 ? m.n / m.n : m.mean);
  }
};

// An infinite maximum shifts by 0 here: all -inf gives -inf, any +inf gives +inf.
template <class T>
struct LogSumExpPolicy {
  using C = Compute<T>;
  struct State {
    C max;
    double sum;
  };
  struct Acc {
    double max, sum;
  };
  static constexpr int kVec = kLanes<T>;
  const T* x;
  ReduceOut y;

  template <class A>
  CCDL_DEVICE A shift_of(A max) const {
    return fabs(max) == A(kInfinity) ? A(0) : max;
  }
  CCDL_DEVICE State start(int64_t) const { return {-C(kInfinity), 0}; }
  CCDL_DEVICE Acc empty() const { return {-kInfinity, 0}; }
  CCDL_DEVICE Acc close(const State& s) const { return {static_cast<double>(s.max), s.sum}; }
  CCDL_DEVICE Acc join(const Acc& a, const Acc& b) const {
    const double max = b.max > a.max ? b.max : a.max, to = shift_of(max);
    return {max, rescaled(a, to) + rescaled(b, to)};
  }
  CCDL_DEVICE double rescaled(const Acc& a, double to) const {
    const double from = shift_of(a.max);
    return from == to || a.sum == 0 ? a.sum : a.sum * exp(from - to);
  }
  template <int N>
  CCDL_DEVICE void add(State& s, const C (&v)[N]) const {
    C max = s.max;
#pragma unroll
    for (int k = 0; k < N; ++k) max = v[k] > max ? v[k] : max;
    const C from = shift_of(s.max), to = shift_of(max);
    C sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += exp_of(v[k] - to);
    if (from != to && s.sum != 0) s.sum *= static_cast<double>(exp_of(from - to));
    s.sum += static_cast<double>(sum);
    s.max = max;
  }
  CCDL_DEVICE void vec(State& s, int64_t at, int64_t) const {
    C v[kVec];
    load_row<kVec>(x + at, v);
    add(s, v);
  }
  CCDL_DEVICE void one(State& s, int64_t at, int64_t) const {
    const C v[1] = {convert<C>(x[at])};
    add(s, v);
  }
  CCDL_DEVICE void store(const Acc& a, int64_t, const int64_t (&at)[3]) const {
    y.put(at[1], log(a.sum) + shift_of(a.max));
  }
};

// The first of the best elements; NaN is best. flip: the smallest, as the largest of mirrored numbers (-v, or
// ~v for integers).
template <class T>
struct ArgPolicy {
  using C = Compute<T>;
  struct State {
    C value;
    int64_t index;
  };
  using Acc = State;
  static constexpr int kVec = kLanes<T>;
  const T* x;
  ReduceOut values;
  int64_t* indices;
  bool flip;

  CCDL_DEVICE C mirror(C v) const {
    if constexpr (C(0.5) == C(0))
      return flip ? ~v : v;
    else
      return flip ? -v : v;
  }
  CCDL_DEVICE State start(int64_t) const { return empty(); }
  CCDL_DEVICE State empty() const { return {C(0), -1}; }
  CCDL_DEVICE State close(const State& s) const { return s; }
  CCDL_DEVICE State join(const State& a, const State& b) const {
    if (b.index < 0) return a;
    if (a.index < 0) return b;
    const bool nan_a = a.value != a.value, nan_b = b.value != b.value;
    const bool same = a.value == b.value || (nan_a && nan_b);
    if (same) return a.index < b.index ? a : b;
    return nan_b || (!nan_a && b.value > a.value) ? b : a;
  }
  CCDL_DEVICE void add(State& s, C v, int64_t index) const {  // indices rise
    const bool better = s.index < 0 || v > s.value || (v != v && s.value == s.value);
    if (better) s = {v, index};
  }
  CCDL_DEVICE void vec(State& s, int64_t at, int64_t index) const {
    const Vec<T> v = load_vec(x + at);
#pragma unroll
    for (int k = 0; k < kVec; ++k) add(s, mirror(convert<C>(v[k])), index + k);
  }
  CCDL_DEVICE void one(State& s, int64_t at, int64_t index) const {
    add(s, mirror(convert<C>(x[at])), index);
  }
  CCDL_DEVICE void store(const State& s, int64_t, const int64_t (&at)[3]) const {
    indices[at[1]] = s.index;
    if (values.data) values.put(at[2], mirror(s.value));
  }
};

}  // namespace

void reduce_log_sum_exp(const View& x, const View& y) {
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    run_reduction(x, y, View{}, LogSumExpPolicy<T>{x.ptr<const T>(), {y.data, y.dtype}}, phase_of<T>(x.data));
  });
}

void variance(const View& x, const View& y, const View& mean, double correction, bool root) {
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    VariancePolicy<T> policy;
    policy.x = x.ptr<const T>();
    policy.y = {y.data, y.dtype};
    policy.mean = {mean.data, mean.dtype};
    policy.correction = correction;
    policy.root = root;
    run_reduction(x, y, mean, policy, phase_of<T>(x.data));
  });
}

void arg_reduce(bool largest, const View& x, int, const View& values, const View& indices) {
  const auto with = [&](auto tag) {
    using T = decltype(tag);
    run_reduction(
        x, indices, values,
        ArgPolicy<T>{x.ptr<const T>(), {values.data, values.dtype}, indices.ptr<int64_t>(), !largest},
        phase_of<T>(x.data));
  };
  is_floating(x.dtype) ? by_float(x.dtype, with) : by_integer(x.dtype, with);
}

}  // namespace ccdl::cu
