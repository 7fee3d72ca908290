// Inner loops of the Fourier transforms. Table index: float32, float64. A block is as many lines as a vector
// has lanes; working memory holds number j of them as the vectors 2 j (real parts) and 2 j + 1.
#pragma once
#include <ccdl/cpu/isa.h>
#include <ccdl/kernels/fft.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kFftPasses = 44;

struct FftPass {
  int64_t radix;
  const void* turns;  // [rest][radix - 1] pairs exp(-2 pi i p k / (radix rest)), k from 1
  const void* roots;  // [radix] pairs (cos, sin)(2 pi k / radix) of an odd radix
};
// The passes of one length, or, where it has a large prime factor, of a circular convolution (Bluestein).
struct FftLanes {
  int64_t n, size;       // size: of the passes
  const void* chirp;     // [n] pairs exp(-pi i j^2 / n), or null
  const void* spectrum;  // [size] pairs: of the conjugate chirp, over size
  int passes;
  FftPass pass[kFftPasses];
};
// n = a b: lines of length a, turned, then lines of length b.
struct FftSplit {
  int64_t n, a, b, padded;  // padded: of a row of b numbers between the two steps
  const FftLanes *first, *second;
  const void* turns;  // [blocks of b][a][2][lanes]: exp(-2 pi i k q / n)
};
// What one block reads and writes, in elements of the real type: number j of lane l stands at
// from + l from_lane + j from_step. For scattered lanes from_at and to_at say where each lane begins.
struct FftBlock {
  const void* from;
  void* to;
  int64_t from_lane, from_step, to_lane, to_step;
  int64_t in, out;  // numbers of a line that are read and written
  int64_t lanes;
  const int64_t *from_at, *to_at;
};

struct FftKernels {
  int lanes[2];
  // a: holds 2 (max(size, n) + 1) vectors, with the whole n where mirrored, b as well
  void (*block[2])(const FftSpec& spec, const FftLanes& lanes, const void* half_turns, const FftBlock& block,
                   void* a, void* b);
  // Both steps of one line of pairs, for a block of columns q or rows k: from -> between -> to. flip
  // exchanges real and imaginary parts on the way in and out, which changes the sign of the exponent.
  void (*split_first[2])(const FftSplit& split, const void* from, bool flip, void* between, int64_t q,
                         void* a, void* b);
  void (*split_second[2])(const FftSplit& split, const void* between, void* to, bool flip, double factor,
                          int64_t k, void* a, void* b);
  // y = factor x w of pairs, parts exchanged on the way in or out
  void (*multiply[2])(const void* x, const void* w, void* y, int64_t count, bool flip_in, bool flip_out,
                      double factor);
  // the half spectrum from the transform of n / 2 pairs of neighbours and the way back; factor, conjugated,
  // ends
  void (*join_half[2])(const void* z, void* y, int64_t h, const void* turns, double factor, bool conjugate,
                       double ends);
  void (*part_half[2])(const void* x, void* z, int64_t h, const void* turns, bool conjugate, double ends);
};
CCDL_SIMD_FAMILY(FftKernels, fft)

}  // namespace ccdl::cpu
