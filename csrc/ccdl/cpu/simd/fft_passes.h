// Stockham passes over vectors of lines: a butterfly of 2, 3, 4, 5, 7, 8 or any odd number of points, times
// the turns, written in the order of the next pass (Stockham, 1966; Swarztrauber, 1984). Exponents are
// negative.
#pragma once
#include <ccdl/cpu/simd/complex_pairs.h>
#include <ccdl/cpu/simd/fft.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class V>
CCDL_SI void add_sub(V& a, V& b) {
  const V t = a - b;
  a += b;
  b = t;
}
// Four points at r[0], r[step], ...; results 0, 1, 2, 3 in place.
template <class V, int kStep>
CCDL_SI void four_points(V* r, V* i) {
  add_sub(r[0], r[2 * kStep]), add_sub(i[0], i[2 * kStep]);
  add_sub(r[kStep], r[3 * kStep]), add_sub(i[kStep], i[3 * kStep]);
  add_sub(r[0], r[kStep]), add_sub(i[0], i[kStep]);  // outputs 0 and 2
  const V dr = r[2 * kStep], di = i[2 * kStep], er = r[3 * kStep], ei = i[3 * kStep];
  r[2 * kStep] = r[kStep], i[2 * kStep] = i[kStep];
  r[kStep] = dr + ei, i[kStep] = di - er;
  r[3 * kStep] = dr - ei, i[3 * kStep] = di + er;
}
template <class T, class V>
CCDL_SI void eight_points(V* r, V* i) {
  const V c = set1((T)0.70710678118654752440);
  four_points<V, 2>(r, i);          // even points
  four_points<V, 2>(r + 1, i + 1);  // odd points
  V tr = (r[3] + i[3]) * c, ti = (i[3] - r[3]) * c;
  r[3] = tr, i[3] = ti;
  tr = i[5], ti = -r[5];
  r[5] = tr, i[5] = ti;
  tr = (i[7] - r[7]) * c, ti = -(r[7] + i[7]) * c;
  r[7] = tr, i[7] = ti;
  for (int k = 0; k < 8; k += 2) add_sub(r[k], r[k + 1]), add_sub(i[k], i[k + 1]);
  // 0 4 1 5 2 6 3 7 -> 0 .. 7
  V a = r[1], b = i[1];
  r[1] = r[2], i[1] = i[2];
  r[2] = r[4], i[2] = i[4];
  r[4] = a, i[4] = b;
  a = r[3], b = i[3];
  r[3] = r[6], i[3] = i[6];
  r[6] = r[5], i[6] = i[5];
  r[5] = a, i[5] = b;
}
constexpr int kMostPoints = 64;
// Any odd number of points: sums and differences of opposite ones, (cos, sin) of roots.
template <class T, class V>
CCDL_SI void odd_points(V* r, V* i, const T* roots, int n) {
  const int half = (n - 1) / 2;
  const V r0 = r[0], i0 = i[0];
  V yr[kMostPoints], yi[kMostPoints];
  for (int j = 1; j <= half; ++j) {
    add_sub(r[j], r[n - j]), add_sub(i[j], i[n - j]);
    r[0] += r[j], i[0] += i[j];
  }
  for (int k = 1; k <= half; ++k) {
    V ar = r0, ai = i0, sr = {}, si = {};
    for (int j = 1; j <= half; ++j) {
      const int at = j * k % n;
      const V c = set1(roots[2 * at]), s = set1(roots[2 * at + 1]);
      ar = fma(c, r[j], ar), ai = fma(c, i[j], ai);
      sr = fma(s, i[n - j], sr), si = fma(s, r[n - j], si);
    }
    yr[k] = ar + sr, yi[k] = ai - si;
    yr[n - k] = ar - sr, yi[n - k] = ai + si;
  }
  for (int k = 1; k < n; ++k) r[k] = yr[k], i[k] = yi[k];
}
template <class T, class V, int kPoints>
CCDL_SI void few_odd_points(V* r, V* i, const T* roots) {
  constexpr int kHalf = (kPoints - 1) / 2;
  V tr[kHalf], ti[kHalf], ur[kHalf], ui[kHalf];
  const V r0 = r[0], i0 = i[0];
  _Pragma("GCC unroll 8") for (int j = 1; j <= kHalf; ++j) {
    tr[j - 1] = r[j] + r[kPoints - j], ti[j - 1] = i[j] + i[kPoints - j];
    ur[j - 1] = r[j] - r[kPoints - j], ui[j - 1] = i[j] - i[kPoints - j];
    r[0] += tr[j - 1], i[0] += ti[j - 1];
  }
  _Pragma("GCC unroll 8") for (int k = 1; k <= kHalf; ++k) {
    V ar = r0, ai = i0, sr = {}, si = {};
    _Pragma("GCC unroll 8") for (int j = 1; j <= kHalf; ++j) {
      const V c = set1(roots[2 * (j * k % kPoints)]), s = set1(roots[2 * (j * k % kPoints) + 1]);
      ar = fma(c, tr[j - 1], ar), ai = fma(c, ti[j - 1], ai);
      sr = j == 1 ? s * ui[0] : fma(s, ui[j - 1], sr), si = j == 1 ? s * ur[0] : fma(s, ur[j - 1], si);
    }
    r[k] = ar + sr, i[k] = ai - si;
    r[kPoints - k] = ar - sr, i[kPoints - k] = ai + si;
  }
}

template <class T, class V, int kPoints>
CCDL_SI void points(V* r, V* i, const T* roots) {
  if constexpr (kPoints == 2)
    add_sub(r[0], r[1]), add_sub(i[0], i[1]);
  else if constexpr (kPoints == 4)
    four_points<V, 1>(r, i);
  else if constexpr (kPoints == 8)
    eight_points<T>(r, i);
  else
    few_odd_points<T, V, kPoints>(r, i, roots);
}

// Butterflies of one p: from x[q + s (p + rest j)] to y[q + s (radix p + k)], turned by w[k - 1].
template <class T, int kPoints, bool kTurned>
CCDL_SI void butterflies(const VecOf<T>* x, VecOf<T>* y, int64_t s, int64_t apart, const T* w,
                         const T* roots) {
  typedef VecOf<T> V;
  for (int64_t q = 0; q < 2 * s; q += 2) {
    V r[kPoints], i[kPoints];
    _Pragma("GCC unroll 8") for (int j = 0; j < kPoints; ++j) r[j] = x[q + j * apart],
                                                              i[j] = x[q + j * apart + 1];
    points<T, V, kPoints>(r, i, roots);
    y[q] = r[0], y[q + 1] = i[0];
    _Pragma("GCC unroll 8") for (int k = 1; k < kPoints; ++k) {
      V a = r[k], b = i[k];
      if constexpr (kTurned) {
        const V c = set1(w[2 * k - 2]), d = set1(w[2 * k - 1]);
        a = fma(r[k], c, -(i[k] * d)), b = fma(r[k], d, i[k] * c);
      }
      y[q + 2 * s * k] = a, y[q + 2 * s * k + 1] = b;
    }
  }
}
template <class T, int kPoints>
void one_pass(const VecOf<T>* x, VecOf<T>* y, int64_t rest, int64_t s, const FftPass& pass) {
  const T *w = static_cast<const T*>(pass.turns), *roots = static_cast<const T*>(pass.roots);
  const int64_t apart = 2 * s * rest;
  butterflies<T, kPoints, false>(x, y, s, apart, w, roots);
  for (int64_t p = 1; p < rest; ++p)
    butterflies<T, kPoints, true>(x + 2 * s * p, y + 2 * s * kPoints * p, s, apart, w + p * 2 * (kPoints - 1),
                                  roots);
}
template <class T>
void odd_pass(const VecOf<T>* x, VecOf<T>* y, int64_t rest, int64_t s, const FftPass& pass) {
  typedef VecOf<T> V;
  const int n = (int)pass.radix;
  for (int64_t p = 0; p < rest; ++p)
    for (int64_t q = 0; q < s; ++q) {
      const T* w = static_cast<const T*>(pass.turns) + p * 2 * (n - 1);
      V r[kMostPoints], i[kMostPoints];
      for (int j = 0; j < n; ++j) {
        const V* from = x + 2 * (q + s * (p + rest * j));
        r[j] = from[0], i[j] = from[1];
      }
      odd_points<T>(r, i, static_cast<const T*>(pass.roots), n);
      V* to = y + 2 * (q + s * n * p);
      to[0] = r[0], to[1] = i[0];
      for (int k = 1; k < n; ++k) {
        const V c = set1(w[2 * k - 2]), d = set1(w[2 * k - 1]);
        to[2 * s * k] = fma(r[k], c, -(i[k] * d)), to[2 * s * k + 1] = fma(r[k], d, i[k] * c);
      }
    }
}

// All passes from a; the result is in what is returned, a or b.
template <class T>
CCDL_SI VecOf<T>* all_passes(const FftLanes& lanes, VecOf<T>* a, VecOf<T>* b) {
  int64_t s = 1, rest = lanes.size;
  for (int i = 0; i < lanes.passes; ++i) {
    const FftPass& pass = lanes.pass[i];
    rest /= pass.radix;
    switch (pass.radix) {
      case 2:
        one_pass<T, 2>(a, b, rest, s, pass);
        break;
      case 3:
        one_pass<T, 3>(a, b, rest, s, pass);
        break;
      case 4:
        one_pass<T, 4>(a, b, rest, s, pass);
        break;
      case 5:
        one_pass<T, 5>(a, b, rest, s, pass);
        break;
      case 7:
        one_pass<T, 7>(a, b, rest, s, pass);
        break;
      case 8:
        one_pass<T, 8>(a, b, rest, s, pass);
        break;
      default:
        odd_pass<T>(a, b, rest, s, pass);
    }
    s *= pass.radix;
    VecOf<T>* t = a;
    a = b, b = t;
  }
  return a;
}
// Vectors [2 count] times pairs; kFlip: real and imaginary parts exchanged before (1) or after (2).
template <class T, int kFlip>
CCDL_SI void times_pairs(VecOf<T>* x, const T* w, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    const VecOf<T> r = x[2 * j + (kFlip == 1)], i = x[2 * j + (kFlip != 1)];
    const VecOf<T> c = set1(w[2 * j]), d = set1(w[2 * j + 1]);
    x[2 * j + (kFlip == 2)] = fma(r, c, -(i * d));
    x[2 * j + (kFlip != 2)] = fma(r, d, i * c);
  }
}
template <class T>
VecOf<T>* run_lanes(const FftLanes& lanes, VecOf<T>* a, VecOf<T>* b) {
  if (lanes.chirp == nullptr) return all_passes<T>(lanes, a, b);
  const T* chirp = static_cast<const T*>(lanes.chirp);
  times_pairs<T, 0>(a, chirp, lanes.n);
  for (int64_t j = 2 * lanes.n; j < 2 * lanes.size; ++j) a[j] = VecOf<T>{};
  VecOf<T>* r = all_passes<T>(lanes, a, b);
  times_pairs<T, 2>(r, static_cast<const T*>(lanes.spectrum), lanes.size);
  r = all_passes<T>(lanes, r, r == a ? b : a);
  times_pairs<T, 1>(r, chirp, lanes.n);
  return r;
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
