// Inner loops of the dense factorisations, float and double. Matrices are row-major with a row stride
// `stride` unless said otherwise; work on small or narrow blocks that stay in the caches. What is larger is
// cut into matrix products by cpu/linalg_dense.h.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kSmallLu = 24;
constexpr int kLaneOrder = 8;
constexpr int64_t kSolveFewColumns = 3;      // so few are solved one after the other
constexpr int64_t kSolveVectorOrder = 1024;  // of those, which stay in the first cache

// H = I - tau v v^T with v = (1, ...) takes x to (beta, 0, ...).
template <class T>
struct Reflection {
  T tau, beta;
};

template <class T>
struct LinalgTypeKernels {
  // x [n, k] := t^-1 x for lower triangular t, element (i, j) at t[i * t_row + j * t_column]; strides may be
  // negative, which is how upper triangles are solved. unit: the diagonal counts as 1.
  void (*solve)(const T* t, int64_t t_row, int64_t t_column, bool unit, T* x, int64_t x_row, int64_t n,
                int64_t k);
  // lu() below for row-major a of at most kSmallLu rows and columns.
  int32_t (*lu_small)(T* a, int64_t stride, int64_t m, int64_t n, int32_t* pivots);
  // a = U^T U from the upper triangle of a, U over it. Returns 0, or the order of the first leading minor
  // that is not positive.
  int32_t (*cholesky)(T* a, int64_t stride, int64_t n);
  // cholesky() of `count` matrices of n <= kLaneOrder one after another, zeros below, one matrix to a lane
  void (*cholesky_lanes)(T* a, int64_t count, int64_t n, int32_t* info);
  // lu_small() of `count` square matrices of n <= kLaneOrder one after another, one matrix to a lane
  void (*lu_lanes)(T* a, int64_t count, int64_t n, int32_t* pivots, int32_t* info);
  // P a = L U of a [m, n] whose columns are contiguous (element (i, j) at a[j * stride + i]); pivots from 0.
  // Returns 0, or i when U's i-th (from 1) diagonal entry is the first zero.
  int32_t (*lu)(T* a, int64_t stride, int64_t m, int64_t n, int32_t* pivots);
  // b[j][i] = a[i][j] for a [m, n]
  void (*transpose)(const T* a, int64_t a_row, T* b, int64_t b_row, int64_t m, int64_t n);
  // The reflection of x [n]; x becomes v with its leading 1.
  Reflection<T> (*reflection)(T* x, int64_t n);
  // rows of a [m, n]: a_i := a_i - tau (a_i . v) v
  void (*reflect)(T* a, int64_t stride, int64_t m, int64_t n, const T* v, T tau);
  // y [m] = a x + (add ? y : 0)
  void (*rows)(const T* a, int64_t stride, int64_t m, int64_t n, const T* x, T* y, bool add);
  // y [n] += alpha a^T x
  void (*columns)(const T* a, int64_t stride, int64_t m, int64_t n, T alpha, const T* x, T* y);
  // y [n] = a x for symmetric a of which the upper triangle is read
  void (*symmetric)(const T* a, int64_t stride, int64_t n, const T* x, T* y);
  // The rotations of rows (i, i + 1) of z [.., n] by (c[i], s[i]), i from `last` - 1 down to `first`, or up
  // from `first` when `up`: (z_i, z_i+1) := (c z_i - s z_i+1, s z_i + c z_i+1).
  void (*rotate)(T* z, int64_t stride, int64_t n, const T* c, const T* s, int64_t first, int64_t last,
                 bool up);
  T (*dot)(const T* x, const T* y, int64_t n);
  void (*scale)(T* x, int64_t n, T by);
  T (*largest)(const T* x, int64_t n);  // magnitude; NaN or infinite where an element is
};

// Root j of 1 + rho sum z_i^2 / (p_i - x) = 0, where p_i - p_o = (d_i - d_o) for eigenvalues and
// (d_i - d_o) (d_i + d_o) for singular values, d ascending, z_i^2 > 0, rho > 0.
template <class T>
struct SecularRoot {
  int64_t origin;  // o: the nearer pole
  T tau;           // the root is p_o + tau
};

template <class T>
struct LinalgSecularKernels {
  SecularRoot<T> (*root)(const T* d, const T* z2, int64_t k, int64_t j, T rho, T sum, bool squares, T* poles);
  // f_i := |prod_j gaps[j][i] / prod_j' (p_j' - p_i)|, j' != i: the z_i^2 that make the computed roots exact
  // (Gu and Eisenstat). gaps [k, k]: p_i - root_j in row j.
  void (*rebuild)(const T* d, const T* gaps, int64_t k, bool squares, T* f);
  // u_i := z_i / gaps_i, scaled to length 1
  void (*quotients)(const T* z, const T* gaps, int64_t k, T* u);
};

struct LinalgKernels {
  LinalgTypeKernels<float> f32;
  LinalgTypeKernels<double> f64;
};
struct SecularKernels {
  LinalgSecularKernels<float> f32;
  LinalgSecularKernels<double> f64;
};
CCDL_SIMD_FAMILY(LinalgKernels, linalg)
CCDL_SIMD_FAMILY(SecularKernels, secular)

template <class T>
inline const LinalgTypeKernels<T>& linalg_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_linalg().f32;
  else
    return simd_linalg().f64;
}
template <class T>
inline const LinalgSecularKernels<T>& secular_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_secular().f32;
  else
    return simd_secular().f64;
}

}  // namespace ccdl::cpu
