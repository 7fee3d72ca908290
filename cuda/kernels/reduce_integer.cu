// Sum, product and extremes of integers in int64 (modulo 2^64), by the kernels of reduce.cuh. Bound: bytes of
// x.
#include <ccdl/kernels/reduce.h>

#include <kernels/reduce.cuh>

namespace ccdl::cu {
namespace {

CCDL_DEVICE int64_t wrapped_sum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
CCDL_DEVICE int64_t wrapped_product(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

template <class T>
struct IntegerPolicy {
  using State = int64_t;
  using Acc = int64_t;
  static constexpr int kVec = kLanes<T>;
  const T* x;
  ReduceOut y;
  ReduceOp op;

  CCDL_DEVICE int64_t start(int64_t) const { return empty(); }
  CCDL_DEVICE int64_t close(int64_t s) const { return s; }
  CCDL_DEVICE int64_t empty() const {
    switch (op) {
      case ReduceOp::Prod:
        return 1;
      case ReduceOp::Max:
        return INT64_MIN;
      case ReduceOp::Min:
        return INT64_MAX;
      default:
        return 0;
    }
  }
  CCDL_DEVICE int64_t join(int64_t a, int64_t b) const {
    switch (op) {
      case ReduceOp::Prod:
        return wrapped_product(a, b);
      case ReduceOp::Max:
        return most(a, b);
      case ReduceOp::Min:
        return least(a, b);
      default:
        return wrapped_sum(a, b);
    }
  }
  CCDL_DEVICE void vec(int64_t& s, int64_t at, int64_t) const {
    const Vec<T> v = load_vec(x + at);
    if (op == ReduceOp::Prod) {
#pragma unroll
      for (int k = 0; k < kVec; ++k) s = wrapped_product(s, v[k]);
    } else if (op == ReduceOp::Max || op == ReduceOp::Min) {
      T best = v[0];
#pragma unroll
      for (int k = 1; k < kVec; ++k) best = op == ReduceOp::Max ? most(best, v[k]) : least(best, v[k]);
      s = join(s, static_cast<int64_t>(best));
    } else if constexpr (sizeof(T) <= 2) {
      int sum = 0;
#pragma unroll
      for (int k = 0; k < kVec; ++k) sum += v[k];
      s += sum;
    } else {
#pragma unroll
      for (int k = 0; k < kVec; ++k) s = wrapped_sum(s, v[k]);
    }
  }
  CCDL_DEVICE void one(int64_t& s, int64_t at, int64_t) const { s = join(s, static_cast<int64_t>(x[at])); }
  CCDL_DEVICE void store(int64_t v, int64_t, const int64_t (&at)[3]) const { y.put(at[1], v); }
};

}  // namespace

void reduce_integer(ReduceOp op, const View& x, const View& y) {
  by_integer(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    run_reduction(x, y, View{}, IntegerPolicy<T>{x.ptr<const T>(), {y.data, y.dtype}, op},
                  phase_of<T>(x.data));
  });
}

}  // namespace ccdl::cu
