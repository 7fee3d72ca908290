// Micro-kernels of the matrix product for float and double. A block multiplies m rows of A with a few column
// panels of B; A is read through strides (unpacked) or packed in row tiles, B in panels of nr columns, packed
// or in place.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// c = post(alpha * sum_k a b + beta * c): bias and relu only where set (last K block). c is not read when
// beta == 0.
template <class T>
struct GemmPost {
  T alpha, beta;
  const T* bias_row;     // one per row of the block, or null
  const T* bias_column;  // one per column of the block, or null
  bool relu;
};

template <class T>
struct GemmBlock {
  const T* a;  // element (i, k) of the row tile starting at i0: a[i0 * a_tile + (i - i0) * a_row + k * a_k]
  int64_t a_tile, a_row, a_k;
  bool a_packed;  // by pack_a: a_row and a_k are not used
  const T* b;     // column j = p * nr + l at step k: b[p * b_panel + k * b_k + l]
  int64_t b_panel, b_k;
  T* c;
  int64_t c_row;
  int64_t m, n, k;
  GemmPost<T> post;
  // Memory the caller reads next, fetched to L2 meanwhile: full tile t < ahead_tiles touches
  // ahead[t * ahead_tile + s * ahead_k] for every step s in [0, k).
  const T* ahead = nullptr;
  int64_t ahead_tile = 0, ahead_k = 0, ahead_tiles = 0;
};

// out[i * out_row + j * out_column] = post(sum_k x[i][k] y[j][k]), both with unit k stride.
template <class T>
struct GemmDots {
  const T* x;
  const T* y;
  int64_t x_row, y_row;
  T* out;
  int64_t out_row, out_column;
  int64_t m, n, k;   // m <= 4 is what it is made for
  GemmPost<T> post;  // bias_row follows i, bias_column follows j
};

template <class T>
struct GemmTypeKernels {
  int mr, nr;   // rows of a full tile, columns of a panel
  bool masked;  // panels may be read in place although n is no multiple of nr
  void (*block)(const GemmBlock<T>&);
  void (*dots)(const GemmDots<T>&);
  // out [m][n] (dense, m <= 4) += x[i * x_row + k * x_k] * b[k * b_k + j]
  void (*streams)(T* out, const T* x, int64_t x_row, int64_t x_k, const T* b, int64_t b_k, int64_t m,
                  int64_t n, int64_t k);
  // B block [k, n] into zero-padded panels of nr columns, panel p at dst + p * nr * k.
  void (*pack_b)(T* dst, const T* b, int64_t b_k, int64_t b_column, int64_t k, int64_t n);
  // A block [m, k] into row tiles of the height block() uses: tile at dst + i0 * k, element (k, i) at k *
  // height + i.
  void (*pack_a)(T* dst, const T* a, int64_t a_row, int64_t a_k, int64_t m, int64_t k);
  // c = post(acc) for a dense accumulator block.
  void (*finish)(const T* acc, int64_t acc_row, T* c, int64_t c_row, int64_t m, int64_t n,
                 const GemmPost<T>& post);
};

struct GemmKernels {
  GemmTypeKernels<float> f32;
  GemmTypeKernels<double> f64;
  // n contiguous elements of float16 [0] or bfloat16 [1] to and from float
  void (*to_float[2])(const void* src, float* dst, int64_t n);
  void (*from_float[2])(const float* src, void* dst, int64_t n);
};
CCDL_SIMD_FAMILY(GemmKernels, gemm)

template <class T>
inline const GemmTypeKernels<T>& gemm_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_gemm().f32;
  else
    return simd_gemm().f64;
}

}  // namespace ccdl::cpu
