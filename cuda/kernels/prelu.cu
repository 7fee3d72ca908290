// Gradients of prelu: the reduction kernels sum x dy per channel and write dx of every element they meet, so
// x and dy are read once. Bound: 3 N C L s bytes.
#include <ccdl/kernels/prelu.h>

#include <kernels/reduce.cuh>

namespace ccdl::cu {
namespace {

template <class T>
struct PreluGradients {
  using C = Compute<T>;
  struct State {
    double sum;
    C w;
  };
  using Acc = double;
  static constexpr int kVec = kLanes<T>;
  const T *x, *dy, *w;
  T *dx, *dw;

  CCDL_DEVICE State start(int64_t o) const { return {0, convert<C>(w[o])}; }
  CCDL_DEVICE Acc close(const State& s) const { return s.sum; }
  CCDL_DEVICE Acc empty() const { return 0; }
  CCDL_DEVICE Acc join(const Acc& a, const Acc& b) const { return a + b; }
  CCDL_DEVICE void vec(State& s, int64_t at, int64_t) const {
    C v[kVec], g[kVec], part = 0;
    load_row<kVec>(x + at, v);
    load_row<kVec>(dy + at, g);
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      const bool above = v[k] > C(0);
      part += above ? C(0) : v[k] * g[k];
      g[k] = above ? g[k] : g[k] * s.w;
    }
    store_row<kVec>(dx + at, g);
    s.sum += static_cast<double>(part);
  }
  CCDL_DEVICE void one(State& s, int64_t at, int64_t) const {
    const C v = convert<C>(x[at]), g = convert<C>(dy[at]);
    const bool above = v > C(0);
    s.sum += above ? 0.0 : static_cast<double>(v * g);
    dx[at] = convert<T>(above ? g : g * s.w);
  }
  CCDL_DEVICE void store(const Acc& sum, int64_t o, const int64_t (&)[3]) const { dw[o] = convert<T>(sum); }
};

}  // namespace

void prelu_backward(const View& x, const View& w, const View& dy, const View& dx, const View& dw) {
  View out = x;  // numbered by channel
  for (int d = 0; d < 3; ++d) {
    if (d != 1) out.sizes[d] = 1;
    out.strides[d] = 1;
  }
  by_float(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const int phase = phase_of<T>(x.data);
    const bool together = phase == phase_of<T>(dy.data) && phase == phase_of<T>(dx.data);
    const PreluGradients<T> policy{x.ptr<const T>(), dy.ptr<const T>(), w.ptr<const T>(), dx.ptr<T>(),
                                   dw.ptr<T>()};
    run_reduction(x, out, View{}, policy, together ? phase : -1);
  });
}

}  // namespace ccdl::cu
