// A tensor map as the emulated encoder leaves it in the 128 opaque bytes, and the walk over one box.
#pragma once
#include <cuda.h>

#include <cstddef>
#include <cstdint>

namespace ccdl::emu {

struct TensorMap {
  uint64_t magic;
  char* data;
  uint64_t strides[4];  // bytes, of dimensions 1 ..
  uint32_t last[5];     // sizes - 1
  uint16_t box[5];      // 1 to 256
  uint8_t steps[5];
  uint8_t rank, type, swizzle, nan_fill;
  uint8_t element;  // bytes
};
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));
constexpr uint64_t kTensorMapMagic = 0x70616d726f736e65;  // "ensormap"

// Bytes of a box in shared memory.
size_t box_bytes(const TensorMap& m);
// Bytes after which the pattern of a swizzle mode repeats within a line: 16, 32, 64 or 128.
inline unsigned swizzle_span(unsigned mode) { return 16u << mode; }
// Which bits of the 16-byte chunk's number are exchanged with the line's (address bits 7 ..).
inline uint32_t swizzled(uint32_t address, unsigned mode) {
  return address ^ ((address >> 7 & ((1u << mode) - 1)) << 4);
}
// Calls line(linear byte in the box, address in global memory, elements before the tensor, elements inside,
// elements behind) for each line of the box at these coordinates; address is that of the first inside.
template <class F>
void for_each_line(const TensorMap& m, const int* at, const F& line) {
  const int count0 = m.box[0], begin = at[0];
  const int64_t size0 = static_cast<int64_t>(m.last[0]) + 1;
  int index[5] = {0, 0, 0, 0, 0};
  size_t linear = 0;
  while (true) {
    bool inside = true;
    int64_t off = 0;
    for (int i = 1; i < m.rank; ++i) {
      const int64_t c = static_cast<int64_t>(at[i]) + int64_t{index[i]} * m.steps[i];
      inside = inside && c >= 0 && c <= static_cast<int64_t>(m.last[i]);
      off += c * static_cast<int64_t>(m.strides[i - 1]);
    }
    int64_t lo = begin < 0 ? -static_cast<int64_t>(begin) : 0;
    if (lo > count0) lo = count0;
    int64_t hi = size0 - begin;
    if (hi > count0) hi = count0;
    if (hi < lo || !inside) hi = lo;
    line(linear, m.data + off + (begin + lo) * m.element, static_cast<int>(lo), static_cast<int>(hi - lo),
         static_cast<int>(count0 - hi));
    linear += static_cast<size_t>(count0) * m.element;
    int i = 1;
    for (; i < m.rank; ++i) {
      if (++index[i] * m.steps[i] < m.box[i]) break;
      index[i] = 0;
    }
    if (i >= m.rank) return;
  }
}

}  // namespace ccdl::emu
