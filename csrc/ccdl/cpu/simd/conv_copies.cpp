// Channels are turned to pixels by blocks of a vector's width; columns of residues of powers of two are
// sorted by rounds of even and odd ones, others turned like channels.
#include <ccdl/cpu/simd/conv_copies.h>
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/transpose.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

// One round of turning W vectors of a plane each to vectors of whole pixels: log2(W) of them do.
template <class T, int W>
CCDL_SI void interleave_round(Vec<T>* r) {
  constexpr int L = Lanes<T>::kN;
  typename Lanes<T>::M lo, hi;
  for (int l = 0; l < L; ++l) {
    lo[l] = (l & 1) * L + l / 2;
    hi[l] = (l & 1) * L + L / 2 + l / 2;
  }
  Vec<T> t[W];
  CCDL_UNROLL for (int i = 0; i < W / 2; ++i) {
    t[2 * i] = __builtin_shuffle(r[i], r[i + W / 2], lo);
    t[2 * i + 1] = __builtin_shuffle(r[i], r[i + W / 2], hi);
  }
  CCDL_UNROLL for (int i = 0; i < W; ++i) r[i] = t[i];
}

// Channels `count` <= W <= L from src on, of pixels that lie `step` apart; stores reach beyond them. Narrow:
// these are all channels, and pixels are stored several at a time.
template <class T, int W, bool Narrow>
CCDL_SI void interleave_some(const T* src, int64_t plane, int64_t step, int count, int64_t n, T* out) {
  constexpr int L = Lanes<T>::kN, kPixels = L / W;
  typename Lanes<T>::M close = {};  // leaves out channels that are none
  for (int l = 0, p = 0, c = 0; Narrow && l < L; ++l) {
    close[l] = p < kPixels ? p * W + c : L - 1;
    if (++c == count) ++p, c = 0;
  }
  for (int64_t i = 0; i < n; i += L) {
    const int lanes = n - i < L ? (int)(n - i) : L;
    Vec<T> r[W];
    CCDL_UNROLL for (int c = 0; c < W; ++c) r[c] = c < count ? at<T>(src + c * plane + i, lanes) : Vec<T>{};
    interleave_round<T, W>(r);
    if constexpr (W > 2) interleave_round<T, W>(r);
    if constexpr (W > 4) interleave_round<T, W>(r);
    if constexpr (W > 8) interleave_round<T, W>(r);
    T* to = out + i * step;
    CCDL_UNROLL for (int v = 0; v < W; ++v) {
      if (v * kPixels >= lanes) continue;
      if (Narrow && count < W) r[v] = __builtin_shuffle(r[v], close);
      st(to + v * kPixels * step, r[v]);
    }
  }
}

// All of few channels. Pixels behind n are written too, less than a vector of them.
template <class T>
void interleave_narrow(const T* src, int64_t plane, int64_t channels, int64_t n, T* out) {
  if (channels == 1)
    each_vector<T>(
        n, [&](int64_t i, int lanes)
               __attribute__((always_inline)) { to(out + i, at<T>(src + i, lanes), lanes); });
  else if (channels == 2)
    interleave_some<T, 2, true>(src, plane, 2, 2, n, out);
  else if constexpr (Lanes<T>::kN >= 4) {
    if (channels == 4)
      interleave_some<T, 4, true>(src, plane, 4, 4, n, out);
    else if (channels == 3)
      interleave_some<T, 4, true>(src, plane, 3, 3, n, out);
    else if constexpr (Lanes<T>::kN >= 8)
      if (channels <= 8) interleave_some<T, 8, true>(src, plane, channels, (int)channels, n, out);
  }
}

// The last channels first: what their stores write beyond them is written again.
template <class T>
void interleave(const T* src, int64_t plane, int64_t channels, int64_t n, T* out) {
  constexpr int L = Lanes<T>::kN;
  if (channels == 1 || channels <= (L < 8 ? L : 8)) return interleave_narrow(src, plane, channels, n, out);
  const int64_t full = channels / L * L;
  if (full < channels)
    interleave_some<T, L, false>(src + full * plane, plane, channels, (int)(channels - full), n, out + full);
  for (int64_t c = 0; c < full; c += L)
    interleave_some<T, L, false>(src + c * plane, plane, channels, L, n, out + c);
}

// Vectors whole but for the last, which takes the zeros along.
template <class T>
void spread(const T* src, int64_t src_step, int64_t length, int64_t zeros, int64_t n, T* out, int64_t step) {
  constexpr int L = Lanes<T>::kN;
  const int64_t full = length > L ? (length - 1) / L * L : 0;
  const int rest = (int)(length - full), stored = rest + zeros < L ? rest + (int)zeros : L;
  for (int64_t i = 0; i < n; ++i, src += src_step, out += step) {
    for (int64_t e = 0; e < full; e += L) st(out + e, ld(src + e));
    stn(out + full, ldn(src + full, rest), stored);
    for (int64_t e = full + stored; e < length + zeros; ++e) out[e] = T(0);
  }
}

// Vector v * step + r of x is part v of the elements of residue r modulo `step`; then modulo twice the step.
template <class T, int Step, int Count>
CCDL_SI void split_round(Vec<T>* x) {
  constexpr int L = Lanes<T>::kN;
  typename Lanes<T>::M even, odd;
  for (int l = 0; l < L; ++l) {
    even[l] = 2 * l;
    odd[l] = 2 * l + 1;
  }
  Vec<T> y[Count];
  CCDL_UNROLL for (int v = 0; v < Count / Step / 2; ++v) CCDL_UNROLL for (int r = 0; r < Step; ++r) {
    const Vec<T> a = x[2 * v * Step + r], b = x[(2 * v + 1) * Step + r];
    y[v * 2 * Step + r] = __builtin_shuffle(a, b, even);
    y[v * 2 * Step + r + Step] = __builtin_shuffle(a, b, odd);
  }
  CCDL_UNROLL for (int v = 0; v < Count; ++v) x[v] = y[v];
}

// `lanes` groups of Step elements.
template <class T, int Step>
CCDL_SI void split_rounds(const T* src, int64_t rows, int lanes, T* out, int64_t out_row) {
  constexpr int L = Lanes<T>::kN;
  T last[Step * L];
  if (lanes < L) {
    for (int i = 0; i < Step * L; ++i) last[i] = i < lanes * Step ? src[i] : T(0);
    src = last;
  }
  Vec<T> x[Step];
  CCDL_UNROLL for (int v = 0; v < Step; ++v) x[v] = ld(src + v * L);
  split_round<T, 1, Step>(x);
  if constexpr (Step > 2) split_round<T, 2, Step>(x);
  if constexpr (Step > 4) split_round<T, 4, Step>(x);
  CCDL_UNROLL for (int r = 0; r < Step; ++r) if (r < rows) to(out + r * out_row, x[r], lanes);
}

template <class T>
CCDL_SI void split_turned(const T* src, int64_t step, int64_t rows, int lanes, T* out, int64_t out_row) {
  constexpr int L = Lanes<T>::kN;
  for (int64_t r0 = 0; r0 < rows; r0 += L) {
    const int count = rows - r0 < L ? (int)(rows - r0) : L;
    Vec<T> x[L];
    CCDL_UNROLL for (int i = 0; i < L; ++i) x[i] = i < lanes ? at<T>(src + i * step + r0, count) : Vec<T>{};
    transpose_block<Vec<T>, typename Lanes<T>::M, L>(x);
    CCDL_UNROLL for (int r = 0; r < L; ++r) if (r < count) to(out + (r0 + r) * out_row, x[r], lanes);
  }
}

template <class T>
void split(const T* src, int64_t step, int64_t rows, int64_t n, T* out, int64_t out_row) {
  constexpr int L = Lanes<T>::kN;
  for (int64_t i = 0; i < n; i += L, src += L * step) {
    const int lanes = n - i < L ? (int)(n - i) : L;
    if (step == 2)
      split_rounds<T, 2>(src, rows, lanes, out + i, out_row);
    else if (step == 4)
      split_rounds<T, 4>(src, rows, lanes, out + i, out_row);
    else if (step == 8)
      split_rounds<T, 8>(src, rows, lanes, out + i, out_row);
    else
      split_turned(src, step, rows, lanes, out + i, out_row);
  }
}

template <class T>
constexpr ConvCopyTypeKernels<T> kernels() {
  return {interleave<T>, spread<T>, split<T>};
}

}  // namespace

extern const ConvCopyKernels conv_copies;
const ConvCopyKernels conv_copies = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
