// Moving bits: widened walks for copies and fills. A walk over elements becomes one over items of up to 16
// bytes where every operand is dense along the fast dimension and aligned.
#pragma once
#include <kernels/elementwise_walk.cuh>

namespace ccdl::cu {

constexpr int kMoves = 4;  // items of a thread

// What a widened walk leaves over, bytes of one dense run.
struct Widened {
  int item = 1;
  int64_t tail = 0;
};

// Makes the items of w as wide as strides, sizes and the addresses allow; item is the element's size.
template <int N>
Widened widen(Walk<N>& w, int item, const void* const (&data)[N]) {
  if (w.ndim == 0) return {item, 0};
  for (int k = 0; k < N; ++k)
    if (w.strides[k][0] != 1) return {item, 0};
  int factor = 16 / item;
  const auto fits = [&](int64_t f) {
    if (w.ndim > 1 && w.sizes[0] % f != 0) return false;
    if (w.sizes[0] < f) return false;
    for (int k = 0; k < N; ++k) {
      if (reinterpret_cast<uintptr_t>(data[k]) % static_cast<uintptr_t>(f * item) != 0) return false;
      for (int d = 1; d < w.ndim; ++d)
        if (w.strides[k][d] % f != 0) return false;
    }
    return true;
  };
  while (factor > 1 && !fits(factor)) factor /= 2;
  const int64_t left = w.sizes[0] % factor;
  w.sizes[0] /= factor;
  w.numel = (w.numel - left) / factor;
  if (w.small) w.divs[0] = FastDiv(static_cast<uint32_t>(w.sizes[0]));
  for (int d = 1; d < w.ndim; ++d)
    for (int k = 0; k < N; ++k) w.strides[k][d] /= factor;
  return {item * factor, left * item};
}

using Wide = Vec<uint32_t>;

// fn(T()) for an unsigned type of item bytes.
template <class F>
void by_item(int item, const F& fn) {
  switch (item) {
    case 1:
      return fn(uint8_t());
    case 2:
      return fn(uint16_t());
    case 4:
      return fn(uint32_t());
    case 8:
      return fn(uint64_t());
    default:
      return fn(Wide());
  }
}

}  // namespace ccdl::cu
