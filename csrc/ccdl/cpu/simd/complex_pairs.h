// Vectors of complex numbers: real and imaginary parts apart in registers, side by side in memory.
#pragma once
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using VecOf = typename Lanes<T>::V;
template <class T>
using IndexOf = typename Lanes<T>::M;
template <class T>
constexpr int kLanes = Lanes<T>::kN;

// Two vectors of alternating parts <-> a vector of each.
template <class T>
CCDL_SI void part_pairs(VecOf<T>& a, VecOf<T>& b) {
  constexpr int L = kLanes<T>;
  IndexOf<T> even, odd;
  for (int i = 0; i < L; ++i) even[i] = 2 * i, odd[i] = 2 * i + 1;
  const VecOf<T> r = __builtin_shuffle(a, b, even), i = __builtin_shuffle(a, b, odd);
  a = r, b = i;
}
template <class T>
CCDL_SI void join_pairs(VecOf<T>& r, VecOf<T>& i) {
  constexpr int L = kLanes<T>;
  IndexOf<T> lo, hi;
  for (int j = 0; j < L; ++j) lo[j] = (j & 1) * L + j / 2, hi[j] = (j & 1) * L + L / 2 + j / 2;
  const VecOf<T> a = __builtin_shuffle(r, i, lo), b = __builtin_shuffle(r, i, hi);
  r = a, i = b;
}
// The first n numbers (1 <= n <= kLanes), the others as zeros.
template <class T>
CCDL_SI void load_pairs(const T* from, int n, VecOf<T>& r, VecOf<T>& i) {
  constexpr int L = kLanes<T>;
  if (n == L) {
    r = ld(from), i = ld(from + L);
  } else {
    r = ldn(from, 2 * n < L ? 2 * n : L);
    i = 2 * n > L ? ldn(from + L, 2 * n - L) : VecOf<T>{};
  }
  part_pairs<T>(r, i);
}
template <class T>
CCDL_SI void store_pairs(T* to, int n, VecOf<T> r, VecOf<T> i) {
  constexpr int L = kLanes<T>;
  join_pairs<T>(r, i);
  if (n == L) {
    st(to, r), st(to + L, i);
  } else {
    stn(to, r, 2 * n < L ? 2 * n : L);
    if (2 * n > L) stn(to + L, i, 2 * n - L);
  }
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
