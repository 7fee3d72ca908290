// Totals of one block of contiguous elements; same rules of inclusion as vec.h.
#pragma once
#include <ccdl/cpu/simd/reduce_ops.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int kAheadBytes = 512;  // how far ahead of long rows the memory is asked for

// Total of n contiguous elements, n at most one block; E is the arithmetic type (float, or double when wide).
template <class Op, class E, class T, bool kAhead = false>
CCDL_SI E block_total(const T* x, int64_t n, double c) {
  using V = typename Lanes<E>::Vec;
  constexpr int L = Lanes<E>::n;
  const V cv = V{} + (E)c;
  E total = (E)Op::kId;
  int64_t i = 0;
  if (n >= L) {
    const V id = V{} + (E)Op::kId;
    V a[8];
    for (int k = 0; k < 8; ++k) a[k] = id;
    for (; i + 8 * L <= n; i += 8 * L)
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        if (kAhead && k * L * sizeof(T) % 64 == 0)
          __builtin_prefetch((const char*)(x + i + k * L) + kAheadBytes);
        a[k] = Op::join(a[k], Op::map(load_as(x + i + k * L, E{}), cv));
      }
    for (; i + L <= n; i += L) a[0] = Op::join(a[0], Op::map(load_as(x + i, E{}), cv));
    for (int h = 4; h > 0; h /= 2)
      for (int k = 0; k < h; ++k) a[k] = Op::join(a[k], a[k + h]);
    E t[L];
    __builtin_memcpy(t, &a[0], VB);
    for (int h = L / 2; h > 0; h /= 2)
      for (int k = 0; k < h; ++k) t[k] = Op::join(t[k], t[k + h]);
    total = t[0];
  }
  for (; i < n; ++i) total = Op::join(total, Op::map((E)x[i], (E)c));
  return total;
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
