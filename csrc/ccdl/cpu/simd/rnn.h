// Pointwise parts of a recurrent step, one row (sequence) at a time over `n` units. Gate blocks lie `hidden`
// elements apart, so that a block of units can be worked on alone. float and double.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

template <class T>
struct RnnRow {
  int64_t hidden, n;
  T* gates;            // in: pre-activations (Gru: input part alone), out: activated
  const T* recurrent;  // Gru: U h' + b, blocks r z n
  const T* peephole;   // rows i f o, or null
  const T* h_before;   // Gru modes
  const T* c_before;   // Lstm modes
  T* h;                // new state (with a projection: o tanh c)
  T* y;                // its copy, or null
  T* c;                // new cell; may be c_before
  T* cells;            // its copy, or null
  T* extra;            // Gru: copy of the n block of `recurrent`, or null
  T* reset;            // GruBefore: r h'
};

template <class T>
struct RnnRowBack {
  int64_t hidden, n;
  const T *gates, *cells, *extra;  // as the forward left them
  const T *h_before, *c_before;    // Gru modes, Lstm modes
  const T *peephole, *dy;          // or null
  T* dh;                 // in: gradient of h without dy; out (Gru modes): the direct part of that of h'
  T* dc;                 // in: gradient of c, out: of c'
  T *dgates, *dgates_h;  // dgates_h: Gru
  T* dreset;             // GruBefore, second part: gradient of r h'
  T* dpeephole;          // sums, rows i f o, or null
};

template <class T>
struct RnnTypeKernels {
  void (*forward[6])(const RnnRow<T>&);          // by RnnMode; GruBefore: gates r z and `reset`
  void (*candidate)(const RnnRow<T>&);           // GruBefore: n and h
  void (*backward[6])(const RnnRowBack<T>&);     // GruBefore: z and n
  void (*reset_backward)(const RnnRowBack<T>&);  // GruBefore: r, and its part of dh
};

struct RnnKernels {
  RnnTypeKernels<float> f32;
  RnnTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(RnnKernels, rnn)

template <class T>
inline const RnnTypeKernels<T>& rnn_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_rnn().f32;
  else
    return simd_rnn().f64;
}

}  // namespace ccdl::cpu
