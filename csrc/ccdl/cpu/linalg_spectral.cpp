// Eigenvalues of symmetric matrices and singular values: condensed by reflections, then by implicit
// iterations (values only) or divide and conquer (vectors), whose vectors the reflections take back.
#include <ccdl/kernels/linalg.h>

#include <numeric>

#include <ccdl/cpu/linalg_condense.h>
#include <ccdl/cpu/linalg_divide_eigen.h>
#include <ccdl/cpu/linalg_divide_svd.h>

namespace ccdl::cpu {
namespace {

using namespace dense;

template <class T>
std::vector<int64_t> order_of(const T* values, int64_t n, bool ascending) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return ascending ? values[a] < values[b] : values[a] > values[b];
  });
  return order;
}

// 1 where a matrix whose largest magnitude is `most` is far from over- and underflow.
template <class T>
T safe_scale(T most) {
  return most == 0 || (most > T(1e-9) && most < T(1e9)) ? T(1) : unit_scale(most);
}

template <class T>
bool eigen(T* a, int64_t n, T* w, T* vt) {
  const auto& simd = linalg_kernels<T>();
  T most = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T row = simd.largest(a + i * (n + 1), n - i);
    if (row - row != 0) return false;
    most = std::max(most, row);
  }
  const T scale = safe_scale(most);
  for (int64_t i = 0; scale != 1 && i < n; ++i) simd.scale(a + i * (n + 1), n - i, scale);
  Buffer<T> d(n), e(n), tau(n);
  tridiagonalise(a, n, d.get(), e.get(), tau.get());
  if (vt == nullptr) {
    if (!tridiagonal_values(d.get(), e.get(), n)) return false;
    std::sort(d.get(), d + n);
    for (int64_t i = 0; i < n; ++i) w[i] = d[i] / scale;
    return true;
  }
  Buffer<T> z(n * n);
  if (!TridiagonalDivide<T>(d, e, n, z).run()) return false;
  const std::vector<int64_t> order = order_of(d.get(), n, true);
  for (int64_t i = 0; i < n; ++i) {
    w[i] = d[order[i]] / scale;
    std::copy_n(z + order[i] * n, n, vt + i * n);
  }
  if (n > 2) apply_reflectors(a + 1, n, tau.get(), n - 2, n - 1, vt + 1, n, n);
  return true;
}

template <class T>
bool singular(T* at, int64_t n, int64_t m, T* s, T* vt) {
  const auto& simd = linalg_kernels<T>();
  const T most = simd.largest(at, n * m);
  if (most - most != 0) return false;
  const T scale = safe_scale(most);
  if (scale != 1) simd.scale(at, n * m, scale);
  Buffer<T> d(n), e(n), left(n), right(n), reflectors(vt == nullptr ? 0 : n * n);
  Bidiagonaliser<T>(at, n, m, d, e, left, right, reflectors).run();
  if (vt == nullptr) {
    if (!BidiagonalQr<T>(d, e, n, nullptr, 0, 0, nullptr, 0, 0).run()) return false;
    std::sort(d.get(), d + n, [](T x, T y) { return x > y; });
    for (int64_t i = 0; i < n; ++i) s[i] = d[i] / scale;
    return true;
  }
  Buffer<T> u(n * n), v(n * n), wide(n * m);
  if (!BidiagonalDivide<T>(d, e, n, u, v).run()) return false;
  const std::vector<int64_t> order = order_of(d.get(), n, false);
  for (int64_t i = 0; i < n; ++i) {
    s[i] = d[order[i]] / scale;
    std::copy_n(u + order[i] * n, n, wide + i * m);
    std::fill_n(wide + i * m + n, m - n, T(0));
    std::copy_n(v + order[i] * n, n, vt + i * n);
  }
  apply_reflectors(at, m, left.get(), n, m, wide.get(), m, n);
  if (n > 1) apply_reflectors(reflectors + 1, n, right.get(), n - 1, n - 1, vt + 1, n, n);
  std::copy_n(wide.get(), n * m, at);
  return true;
}

template <class F>
void for_each_matrix(const View& x, int64_t batch, int64_t work, const F& fn) {
  parallel_for(batch, std::max<int64_t>(1, 40000 / std::max<int64_t>(work, 1)),
               [&](int64_t first, int64_t last) {
                 for (int64_t b = first; b < last; ++b)
                   x.dtype == DType::Float32 ? fn(float{}, b) : fn(double{}, b);
               });
}

}  // namespace

void linalg_eigh(const View& a, const View& w, const View& vt, const View&, const View& info) {
  const int64_t n = a.sizes[1];
  const bool vectors = vt.numel() > 0;
  for_each_matrix(a, a.sizes[0], 4 * n * n * n, [&](auto type, int64_t b) {
    using T = decltype(type);
    const bool good =
        eigen(a.ptr<T>() + b * n * n, n, w.ptr<T>() + b * n, vectors ? vt.ptr<T>() + b * n * n : nullptr);
    info.ptr<int32_t>()[b] = good ? 0 : 1;
  });
}

void linalg_svd(const View& at, const View& s, const View& vt, const View& info) {
  const int64_t n = at.sizes[1], m = at.sizes[2];
  const bool vectors = vt.numel() > 0;
  for_each_matrix(at, at.sizes[0], 8 * m * n * n, [&](auto type, int64_t b) {
    using T = decltype(type);
    const bool good = singular(at.ptr<T>() + b * m * n, n, m, s.ptr<T>() + b * n,
                               vectors ? vt.ptr<T>() + b * n * n : nullptr);
    info.ptr<int32_t>()[b] = good ? 0 : 1;
  });
}

}  // namespace ccdl::cpu
