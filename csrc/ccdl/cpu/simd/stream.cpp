// Streaming stores. A transposition goes through tiles of one line by one line in registers: two tiles side
// by side in the source (the lines that its prefetcher fetches in pairs), then down the source, so that rows
// of the destination are written along. The source lines two tiles on are asked for into the second-level
// cache: rows that lie a power of two apart would throw each other out of the first.
#include <ccdl/cpu/simd/lines.h>
#include <ccdl/cpu/simd/stream.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int kLine = 64;
typedef int16_t vs __attribute__((vector_size(VB)));

template <class V>
CCDL_SI V load_vector(const void* p) {
  V v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
void copy(void* dst, const void* src, int64_t n, const char* const* ahead, int count) {
  char* y = (char*)dst;
  const char* x = (const char*)src;
  const int64_t head = (int64_t)(-(uintptr_t)y & (kLine - 1));
  if (n < head + kLine) {
    __builtin_memcpy(y, x, (size_t)n);
    return;
  }
  __builtin_memcpy(y, x, (size_t)head);
  int64_t i = head;
  for (; i + kLine <= n; i += kLine) {
    for (int k = 0; k < count; ++k) __builtin_prefetch(ahead[k] + i);
    for (int b = 0; b < kLine; b += VB) store_past(y + i + b, load_vector<vi>(x + i + b));
  }
  __builtin_memcpy(y + i, x + i, (size_t)(n - i));
}

// Butterfly: after stage s the bit s of row and lane index have changed places.
template <int s, int L, class V>
CCDL_SI void turn_stage(V* r) {
  V low = {}, high = {};
  for (int l = 0; l < L; ++l) {
    low[l] = (l & s) == 0 ? l : L + l - s;
    high[l] = (l & s) == 0 ? l + s : L + l;
  }

#pragma GCC unroll 32
  for (int i = 0; i < L; ++i) {
    if (i & s) continue;
    const V a = r[i], b = r[i + s];
    r[i] = __builtin_shuffle(a, b, low);
    r[i + s] = __builtin_shuffle(a, b, high);
  }
}
template <int L, class V>
CCDL_SI void turn_block(V* r) {
  turn_stage<1, L>(r);
  if constexpr (L > 2) turn_stage<2, L>(r);
  if constexpr (L > 4) turn_stage<4, L>(r);
  if constexpr (L > 8) turn_stage<8, L>(r);
  if constexpr (L > 16) turn_stage<16, L>(r);
}

// One tile: a line of each of `side` source rows becomes a line of each of `side` destination rows. A
// function of its own: in the loop the compiler would carry a pointer for every row, most of them in memory.
template <bool kPast, class T, class V>
__attribute__((noinline)) void turn_tile(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
  constexpr int side = kLine / (int)sizeof(T), L = VB / (int)sizeof(T), parts = side / L;
  for (int i = 0; i < side; i += L) {
    V r[parts][L];
#pragma GCC unroll 8
    for (int g = 0; g < parts; ++g) {
#pragma GCC unroll 32
      for (int k = 0; k < L; ++k) r[g][k] = load_vector<V>(src + i + (g * L + k) * src_stride);
      turn_block<L>(r[g]);
    }
#pragma GCC unroll 32
    for (int k = 0; k < L; ++k)
#pragma GCC unroll 8
      for (int g = 0; g < parts; ++g)
        if constexpr (kPast)
          store_past(dst + (i + k) * dst_stride + g * L, r[g][k]);
        else
          __builtin_memcpy(dst + (i + k) * dst_stride + g * L, &r[g][k], VB);
  }
}

template <bool kPast, class T, class V>
void turn(const void* from, int64_t src_stride, void* to, int64_t dst_stride, int64_t rows, int64_t cols,
          bool ahead) {
  constexpr int64_t side = kLine / (int64_t)sizeof(T);
  const T* src = (const T*)from;
  T* dst = (T*)to;
  const int64_t high = ahead ? 2 * side : 4 * side;
  for (int64_t i = 0; i < rows; i += high) {
    const int64_t end = i + high < rows ? i + high : rows;
    for (int64_t j = 0; j < cols; j += side)
      for (int64_t k = i; k < end; k += side) {
        if (ahead)
          for (int64_t r = 0; r < side; ++r) __builtin_prefetch(src + k + high + (j + r) * src_stride, 0, 2);
        turn_tile<kPast, T, V>(src + k + j * src_stride, src_stride, dst + k * dst_stride + j, dst_stride);
      }
  }
}

void done() { fence_past(); }

}  // namespace

extern const StreamKernels stream = {
    copy,
    {{turn<false, int16_t, vs>, turn<false, int32_t, vi>, turn<false, int64_t, vl>},
     {turn<true, int16_t, vs>, turn<true, int32_t, vi>, turn<true, int64_t, vl>}},
    done,
};

}  // namespace ccdl::cpu::CCDL_ISA
