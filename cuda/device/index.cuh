// Walking strided views: division by a run-time constant as multiply and shift, and the walk of a linear
// index over up to kMaxDims merged dimensions for several operands at once. Offsets are 64-bit; the 32-bit
// path is chosen by fits_32bit() from the reachable offset of every operand, never from numel.
#pragma once
#include <device/prelude.cuh>

namespace ccdl::cu {

// q = n / d for n < 2^32 (Granlund and Montgomery 1994, the round-up form).
struct FastDiv {
  uint32_t d = 1, magic = 0, shift = 0;
  FastDiv() = default;
  explicit FastDiv(uint32_t divisor) : d(divisor ? divisor : 1) {  // 0: walks of empty views
    while ((uint64_t{1} << shift) < d) ++shift;
    magic = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - d)) / d + 1);
  }
  CCDL_DEVICE uint32_t div(uint32_t n) const {
#if defined(__CUDA_ARCH__)
    const uint32_t t = __umulhi(n, magic);
#else
    const uint32_t t = static_cast<uint32_t>((static_cast<uint64_t>(n) * magic) >> 32);
#endif
    return static_cast<uint32_t>((static_cast<uint64_t>(t) + n) >> shift);
  }
};

// Largest element offset a view can reach, + 1; 0 for an empty view.
inline int64_t reach_of(const View& v) {
  int64_t last = 0;
  for (int i = 0; i < v.ndim; ++i) {
    if (v.sizes[i] == 0) return 0;
    last += (v.sizes[i] - 1) * v.strides[i];
  }
  return last + 1;
}
inline bool fits_32bit(const View& v) { return reach_of(v) <= INT32_MAX && v.numel() <= INT32_MAX; }

// Sizes and the strides of N operands, dimensions of size 1 dropped and neighbours merged where every operand
// allows it. Dimension 0 is the innermost here.
template <int N>
struct Walk {
  int ndim = 0;
  bool small = true;  // numel and every reach fit in 31 bits
  int64_t numel = 1;
  int64_t sizes[kMaxDims];
  FastDiv divs[kMaxDims];  // valid when small
  int64_t strides[N][kMaxDims];

  // Offset of every operand (in elements) at linear position i in row-major order.
  CCDL_DEVICE void offsets(int64_t i, int64_t (&out)[N]) const {
    for (int k = 0; k < N; ++k) out[k] = 0;
    if (small) {
      uint32_t rest = static_cast<uint32_t>(i);
      for (int d = 0; d < ndim; ++d) {
        const uint32_t q = d + 1 < ndim ? divs[d].div(rest) : 0;
        const uint32_t r = rest - q * static_cast<uint32_t>(sizes[d]);
        for (int k = 0; k < N; ++k) out[k] += static_cast<int64_t>(r) * strides[k][d];
        rest = q;
      }
    } else {
      for (int d = 0; d < ndim; ++d) {
        const int64_t q = d + 1 < ndim ? i / sizes[d] : 0;
        const int64_t r = i - q * sizes[d];
        for (int k = 0; k < N; ++k) out[k] += r * strides[k][d];
        i = q;
      }
    }
  }
  // Every operand dense in the walk's order: position i is offset i.
  bool contiguous() const {
    for (int k = 0; k < N; ++k)
      if (ndim > 1 || (ndim == 1 && strides[k][0] != 1)) return false;
    return true;
  }
};

// Views of equal sizes (already broadcast). Keeps row-major order.
template <int N>
Walk<N> make_walk(const View* const (&views)[N]) {
  Walk<N> w;
  const View& first = *views[0];
  for (int d = first.ndim - 1; d >= 0; --d) {
    const int64_t size = first.sizes[d];
    w.numel *= size;
    if (size == 1) continue;
    bool merges = w.ndim > 0;
    for (int k = 0; k < N && merges; ++k)
      merges = views[k]->strides[d] == w.strides[k][w.ndim - 1] * w.sizes[w.ndim - 1];
    if (merges) {
      w.sizes[w.ndim - 1] *= size;
      continue;
    }
    w.sizes[w.ndim] = size;
    for (int k = 0; k < N; ++k) w.strides[k][w.ndim] = views[k]->strides[d];
    ++w.ndim;
  }
  for (int k = 0; k < N; ++k) w.small = w.small && fits_32bit(*views[k]);
  w.small = w.small && w.numel <= INT32_MAX;
  for (int d = 0; d < w.ndim && w.small && w.numel > 0; ++d)
    w.divs[d] = FastDiv(static_cast<uint32_t>(w.sizes[d]));
  return w;
}

}  // namespace ccdl::cu
