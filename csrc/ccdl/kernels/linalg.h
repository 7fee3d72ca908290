// Dense factorisations of batches of matrices. Every operand is contiguous and of the dtype that
// linalg_work_dtype names: matrices [batch, rows, columns], vectors [batch, n]. Names ending in `t` hold a
// transposed matrix: row j is column j of what the text says. On the CPU any size is cut into blocks here; on
// CUDA (linalg_team.h, linalg_spectral.h) one block of threads works on a matrix, and ops cut larger ones.
#pragma once
#include <ccdl/core/view.h>

#define CCDL_LINALG_CONTRACT                                                                               \
  /* What float32 and float64 matrices are computed in. */                                                 \
  DType linalg_work_dtype(DType dtype);                                                                    \
  /* Whether large matrices need no cutting into blocks by the caller. */                                  \
  bool linalg_takes_any_size();                                                                            \
  /* a = L L^T: the upper triangle of at (the lower one of a) becomes L^T, with zeros below. info          \
     (Int32): 0, or the order of the first leading minor that is not positive. */                          \
  void linalg_cholesky(const View& at, const View& info);                                                  \
  /* P a = L U with partial pivoting in place (unit L below, U on and above the diagonal). pivots (Int32   \
     [batch, min(m, n)]): row i was swapped with row pivots[i]. info: 0, or i when U's i-th (from 1)       \
     diagonal entry is the first exact zero. */                                                            \
  void linalg_lu(const View& a, const View& pivots, const View& info);                                     \
  /* Swaps rows of x [batch, n, k] as pivots say, in order, or backwards when `inverse`. */                \
  void linalg_swap_rows(const View& x, const View& pivots, bool inverse);                                  \
  /* x := T^-1 x for lower or upper triangular t [batch, n, n], contiguous, on a CPU with any strides;     \
     `unit`: the diagonal counts as 1. */                                                                  \
  void linalg_triangular_solve(const View& t, const View& x, bool upper, bool unit);                       \
  /* Householder QR in place of at [batch, n, m]: R on and above the diagonal (of the transposed), the     \
     reflectors below it, without their leading 1; tau [batch, min(m, n)]. work [batch, n]. */             \
  void linalg_qr(const View& at, const View& tau, const View& work);                                       \
  /* qt [batch, p, m]: the first p columns of H_0 H_1 ... from linalg_qr. work [batch, p]. */              \
  void linalg_qr_form(const View& at, const View& tau, const View& qt, const View& work);                  \
  /* Symmetric a = V diag(w) V^T, w ascending; a is destroyed, vt row j = vector j; work [batch, 5 n].     \
     info: 1 where it did not converge or a is not finite. The upper triangle is read, on CUDA both. vt of \
     size 0: values only. */                                                                               \
  void linalg_eigh(const View& a, const View& w, const View& vt, const View& work, const View& info);      \
  /* at [batch, n, m], n <= m: a = U diag(s) V^T, s descending; at becomes the left vectors (row j), vt    \
     [batch, n, n] the right ones (row j); info as above. vt of size 0: values only, at is destroyed. */   \
  void linalg_svd(const View& at, const View& s, const View& vt, const View& info);

namespace ccdl::cpu {
CCDL_LINALG_CONTRACT
}
namespace ccdl::cu {
CCDL_LINALG_CONTRACT
}
#undef CCDL_LINALG_CONTRACT
