// A window's points are walked once for each group of channels, four vectors of them at a time, so that the
// comparisons of one vector do not wait for each other.
#include <ccdl/cpu/simd/pool_channels.h>
#include <ccdl/cpu/simd/pool_lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T, class F>
CCDL_SI void each_point(const T* x, const PoolWalk& w, const F& fn) {
  for (int64_t i = 0; i < w.count[0]; ++i)
    for (int64_t j = 0; j < w.count[1]; ++j) {
      const T* p = x + i * w.step[0] + j * w.step[1];
      int64_t mark = w.mark + i * w.mark_step[0] + j * w.mark_step[1];
      for (int64_t k = 0; k < w.count[2]; ++k, p += w.step[2], mark += w.mark_step[2]) fn(p, mark);
    }
}

CCDL_SI vi marks_like(vi, int64_t mark) { return vi{} + (int32_t)mark; }
CCDL_SI vl marks_like(vl, int64_t mark) { return vl{} + mark; }
CCDL_SI void store_marks(int64_t* p, vi v, int n) {
  for (int k = 0; k < n; ++k) p[k] = v[k];
}
CCDL_SI void store_marks(int64_t* p, vl v, int n) {
  for (int k = 0; k < n; ++k) p[k] = v[k];
}

template <class T, int W, bool kMark>
CCDL_SI void max_part(const T* x, const PoolWalk& w, T* y, int64_t* position, uint8_t* code, int n) {
  using V = typename Lanes<T>::V;
  using M = typename Lanes<T>::M;
  using S = typename Lanes<T>::S;
  constexpr int kN = Lanes<T>::kN;
  V best[W];
  M where[W];
  for (int v = 0; v < W; ++v) {
    best[v] = set1(-(S)__builtin_inff());
    where[v] = marks_like(M{}, w.mark);
  }
  each_point(
      x, w, [&](const T* p, int64_t mark) __attribute__((always_inline)) {
        const M here = marks_like(M{}, kMark ? mark : 0);
        for (int v = 0; v < W; ++v) take_larger<kMark>(at(p + v * kN, n), here, best[v], where[v]);
      });
  for (int v = 0; v < W; ++v) {
    to(y + v * kN, best[v], n);
    if (kMark && position) store_marks(position + v * kN, where[v], n);
    if (kMark && code) store_bytes(code + v * kN, where[v], n);
  }
}

template <class T, bool kMark>
CCDL_SI void max_any(const T* x, const PoolWalk& w, T* y, int64_t* position, uint8_t* code,
                     int64_t channels) {
  constexpr int kN = Lanes<T>::kN;
  int64_t c = 0;
  const auto mark_at = [&](auto* p) { return p ? p + c : p; };
  for (; c + 4 * kN <= channels; c += 4 * kN)
    max_part<T, 4, kMark>(x + c, w, y + c, mark_at(position), mark_at(code), kN);
  for (; c + kN <= channels; c += kN)
    max_part<T, 1, kMark>(x + c, w, y + c, mark_at(position), mark_at(code), kN);
  if (c < channels)
    max_part<T, 1, kMark>(x + c, w, y + c, mark_at(position), mark_at(code), (int)(channels - c));
}

template <class T>
void maxima(const void* xp, const PoolWalk& w, void* yp, int64_t* position, uint8_t* code, int64_t channels) {
  const T* x = static_cast<const T*>(xp);
  T* y = static_cast<T*>(yp);
  if (position || code)
    max_any<T, true>(x, w, y, position, code, channels);
  else
    max_any<T, false>(x, w, y, nullptr, nullptr, channels);
}

template <class T, int W>
CCDL_SI void mean_part(const T* x, const PoolWalk& w, T* y, double divisor, int n) {
  constexpr int kN = Lanes<T>::kN;
  typename Lanes<T>::V sum[W] = {};
  each_point(
      x, w, [&](const T* p, int64_t) __attribute__((always_inline)) {
        for (int v = 0; v < W; ++v) sum[v] += at(p + v * kN, n);
      });
  for (int v = 0; v < W; ++v) to(y + v * kN, mean_of(sum[v], divisor), n);
}

template <class T>
void means(const void* xp, const PoolWalk& w, void* yp, double divisor, int64_t channels) {
  constexpr int kN = Lanes<T>::kN;
  const T* x = static_cast<const T*>(xp);
  T* y = static_cast<T*>(yp);
  int64_t c = 0;
  for (; c + 4 * kN <= channels; c += 4 * kN) mean_part<T, 4>(x + c, w, y + c, divisor, kN);
  for (; c + kN <= channels; c += kN) mean_part<T, 1>(x + c, w, y + c, divisor, kN);
  if (c < channels) mean_part<T, 1>(x + c, w, y + c, divisor, (int)(channels - c));
}

template <class T>
void columns(const void* const* rows, int64_t count, void* yp, int64_t n) {
  using S = typename Lanes<T>::S;
  S* y = static_cast<S*>(yp);
  each_vector<T>(n, [&](int64_t i, int k) {
    typename Lanes<T>::V sum = {};
    for (int64_t r = 0; r < count; ++r) sum += at(static_cast<const T*>(rows[r]) + i, k);
    to(y + i, sum, k);
  });
}

template <class T>
void plane_means(const void* xp, void* yp, int64_t planes, int64_t n) {
  using S = typename Lanes<T>::S;
  const T* x = static_cast<const T*>(xp);
  for (int64_t p = 0; p < planes; ++p, x += n)
    put(static_cast<T*>(yp) + p, sum_over<T>(n, [&](int64_t i, int k) { return at(x + i, k); }) / (S)n);
}

}  // namespace

#define CCDL_TYPES(name) \
  { name<float16>, name<bfloat16>, name<float>, name<double> }
const PoolChannelKernels pool_channels = {CCDL_TYPES(maxima), CCDL_TYPES(means), CCDL_TYPES(columns),
                                          CCDL_TYPES(plane_means)};
#undef CCDL_TYPES

}  // namespace ccdl::cpu::CCDL_ISA
