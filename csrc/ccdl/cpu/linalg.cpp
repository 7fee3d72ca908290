// Dense factorisations and solves: batches are shared out, one large matrix is shared by its products.
#include <ccdl/kernels/linalg.h>

#include <ccdl/cpu/linalg_dense.h>

namespace ccdl::cpu {
namespace {

// fn(first, last) over a batch of matrices that take about `work` multiply-adds each
template <class F>
void for_matrices(int64_t batch, int64_t work, const F& fn) {
  parallel_for(batch, std::max<int64_t>(1, 40000 / std::max<int64_t>(work, 1)), fn);
}

template <class F>
void dispatch(const View& x, const F& fn) {
  if (x.dtype == DType::Float32)
    fn(float{});
  else
    fn(double{});
}

}  // namespace

bool linalg_takes_any_size() { return true; }
DType linalg_work_dtype(DType dtype) { return dtype; }

void linalg_cholesky(const View& a, const View& info) {
  const int64_t n = a.sizes[1];
  dispatch(a, [&](auto type) {
    using T = decltype(type);
    for_matrices(a.sizes[0], n * n * n / 3, [&](int64_t first, int64_t last) {
      if (n <= kLaneOrder && a.sizes[0] > 1)
        return linalg_kernels<T>().cholesky_lanes(a.ptr<T>() + first * n * n, last - first, n,
                                                  info.ptr<int32_t>() + first);
      for (int64_t b = first; b < last; ++b) {
        T* x = a.ptr<T>() + b * n * n;
        info.ptr<int32_t>()[b] = dense::factor_cholesky(x, n, n);
        for (int64_t i = 1; i < n; ++i) std::fill_n(x + i * n, i, T(0));
      }
    });
  });
}

void linalg_lu(const View& a, const View& pivots, const View& info) {
  const int64_t m = a.sizes[1], n = a.sizes[2], steps = std::min(m, n);
  dispatch(a, [&](auto type) {
    using T = decltype(type);
    for_matrices(a.sizes[0], m * n * steps, [&](int64_t first, int64_t last) {
      if (m == n && n <= kLaneOrder && a.sizes[0] > 1)
        return linalg_kernels<T>().lu_lanes(a.ptr<T>() + first * n * n, last - first, n,
                                            pivots.ptr<int32_t>() + first * n, info.ptr<int32_t>() + first);
      for (int64_t b = first; b < last; ++b)
        info.ptr<int32_t>()[b] =
            dense::factor_lu(a.ptr<T>() + b * m * n, n, m, n, pivots.ptr<int32_t>() + b * steps);
    });
  });
}

void linalg_swap_rows(const View& x, const View& pivots, bool inverse) {
  const int64_t n = x.sizes[1], k = x.sizes[2], steps = pivots.sizes[1];
  dispatch(x, [&](auto type) {
    using T = decltype(type);
    for_matrices(x.sizes[0], steps * k, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b)
        dense::swap_rows(x.ptr<T>() + b * n * k, k, k, pivots.ptr<int32_t>() + b * steps, steps, inverse);
    });
  });
}

void linalg_triangular_solve(const View& t, const View& x, bool upper, bool unit) {
  const int64_t n = x.sizes[1], k = x.sizes[2];
  dispatch(x, [&](auto type) {
    using T = decltype(type);
    for_matrices(x.sizes[0], n * n * k, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b)
        dense::solve_triangle<T>({t.ptr<T>() + b * t.strides[0], t.strides[1], t.strides[2]}, upper, unit,
                                 x.ptr<T>() + b * n * k, k, n, k);
    });
  });
}

void linalg_qr(const View& at, const View& tau, const View&) {
  const int64_t n = at.sizes[1], m = at.sizes[2], steps = std::min(m, n);
  dispatch(at, [&](auto type) {
    using T = decltype(type);
    for_matrices(at.sizes[0], 2 * m * n * steps, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b)
        dense::factor_qr(at.ptr<T>() + b * m * n, m, m, n, tau.ptr<T>() + b * steps);
    });
  });
}

void linalg_qr_form(const View& at, const View& tau, const View& qt, const View&) {
  const int64_t n = at.sizes[1], m = at.sizes[2], steps = std::min(m, n), p = qt.sizes[1];
  dispatch(at, [&](auto type) {
    using T = decltype(type);
    for_matrices(at.sizes[0], 2 * m * p * steps, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b)
        dense::form_q(at.ptr<T>() + b * m * n, tau.ptr<T>() + b * steps, m, n, qt.ptr<T>() + b * p * m, p);
    });
  });
}

}  // namespace ccdl::cpu
