// Transposition of a square block of vectors in registers.
#pragma once
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// Transposes an L x L block by log2(L) rounds of pairwise interleaving: r[i] lane j <-> r[j] lane i.
template <class V, class I, int L>
CCDL_SI void transpose_block(V* r) {
  I lo, hi;
  for (int i = 0; i < L; ++i) {
    lo[i] = (i & 1) * L + i / 2;
    hi[i] = (i & 1) * L + L / 2 + i / 2;
  }
  _Pragma("GCC unroll 16") for (int step = 1; step < L; step *= 2) {
    V t[L];
    _Pragma("GCC unroll 16") for (int i = 0; i < L / 2; ++i) {
      t[2 * i] = __builtin_shuffle(r[i], r[i + L / 2], lo);
      t[2 * i + 1] = __builtin_shuffle(r[i], r[i + L / 2], hi);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < L; ++i) r[i] = t[i];
  }
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
