// Stores that pass the caches by, one table per instruction-set level: for outputs too large to be found
// there again, whose lines would otherwise be read from memory only to be overwritten. Every such store fills
// a whole line. done() comes last in a task: it orders these stores before what tells other threads of them.
#pragma once
#include <ccdl/cpu/isa.h>

#include <cstdint>

namespace ccdl::cpu {

constexpr int64_t kStreamLine = 64;  // bytes
// Bytes of all operands from which on the result of a row kernel passes the caches by: about what a
// third-level cache holds, so that the operands of the next pass are not thrown out for lines that nobody
// finds there.
constexpr int64_t kPastFrom = 32 << 20;

struct StreamKernels {
  // n bytes of a buffer to memory; while that goes on, as many bytes from ahead[0 .. count) on are asked for.
  void (*copy)(void* dst, const void* src, int64_t n, const char* const* ahead, int count);
  // dst[i * dst_stride + j] = src[i + j * src_stride], i < rows, j < cols, elements of 2, 4 or 8 bytes. rows
  // and cols are multiples of the elements of a line. [1]: past the caches, every row of dst begins on a
  // line. `ahead` suits sources far apart, or not in the cache.
  void (*turn[2][3])(const void* src, int64_t src_stride, void* dst, int64_t dst_stride, int64_t rows,
                     int64_t cols, bool ahead);
  void (*done)();
};
CCDL_SIMD_FAMILY(StreamKernels, stream)

}  // namespace ccdl::cpu
