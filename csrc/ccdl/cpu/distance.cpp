// Distances between rows: chunks of rows of a.
#include <ccdl/kernels/distance.h>

#include <algorithm>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/simd/distance.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kWork = 65536;  // differences per chunk

// fn(batch, first row, rows) over all rows of [B, M], a chunk never crossing a batch.
template <class F>
void for_rows(const View& a, int64_t N, const F& fn) {
  const int64_t M = a.sizes[1], work = std::max<int64_t>(1, a.sizes[2] * N);
  parallel_for(a.sizes[0] * M, std::max<int64_t>(1, kWork / work), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t first = begin % M, rows = std::min(M - first, end - begin);
      fn(begin / M, first, rows);
      begin += rows;
    }
  });
}

template <class T>
void forward(int table, const View& a, const View& bt, const View& y, double p) {
  const int64_t M = a.sizes[1], K = a.sizes[2], N = bt.sizes[2];
  for_rows(a, N, [&](int64_t batch, int64_t first, int64_t rows) {
    const int64_t row = batch * M + first;
    simd_distance().forward[table](a.ptr<T>() + row * K, bt.ptr<T>() + batch * K * N, N, y.ptr<T>() + row * N,
                                   rows, K, N, p);
  });
}
template <class T>
void backward(int table, const View& a, const View& bt, const View& y, const View& w, const View& da,
              double p) {
  const int64_t M = a.sizes[1], K = a.sizes[2], N = bt.sizes[2];
  for_rows(a, N, [&](int64_t batch, int64_t first, int64_t rows) {
    const int64_t row = batch * M + first;
    simd_distance().backward[table](a.ptr<T>() + row * K, bt.ptr<T>() + batch * K * N, y.ptr<T>() + row * N,
                                    w.ptr<T>() + row * N, da.ptr<T>() + row * K, rows, K, N, p);
  });
}

// Row i against the rows behind it: columns i + 1 .. N of xt, whose distances lie one behind the other.
template <class T>
void pairs(int table, const View& x, const View& xt, const View& y, double p) {
  const int64_t N = x.sizes[0], K = x.sizes[1];
  parallel_for(N - 1, std::max<int64_t>(1, kWork / std::max<int64_t>(1, K * N)), [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      simd_distance().forward[table](x.ptr<T>() + i * K, xt.ptr<T>() + i + 1, N,
                                     y.ptr<T>() + i * (2 * N - i - 1) / 2, 1, K, N - i - 1, p);
  });
}

template <class T>
void square(const View& list, const View& matrix) {
  constexpr int64_t kTile = 16;  // rows and columns mirrored at a time
  const int64_t N = matrix.sizes[0];
  const T* from = list.ptr<T>();
  T* to = matrix.ptr<T>();
  for (int64_t i = 0; i < N; ++i) {
    to[i * N + i] = 0;
    std::copy_n(from, N - i - 1, to + i * N + i + 1);
    from += N - i - 1;
  }
  for (int64_t r = 0; r < N; r += kTile)
    for (int64_t c = 0; c <= r; c += kTile)
      for (int64_t i = r; i < std::min(N, r + kTile); ++i)
        for (int64_t j = c; j < std::min(i, c + kTile); ++j) to[i * N + j] = to[j * N + i];
}

}  // namespace

void pdist_forward(const View& x, const View& xt, const View& y, double p) {
  if (y.numel() == 0) return;
  y.dtype == DType::Float32 ? pairs<float>(0, x, xt, y, p) : pairs<double>(1, x, xt, y, p);
}

void pdist_square(const View& list, const View& matrix) {
  list.dtype == DType::Float32 ? square<float>(list, matrix) : square<double>(list, matrix);
}

void cdist_forward(const View& a, const View& bt, const View& y, double p) {
  if (y.numel() == 0) return;
  if (y.dtype == DType::Float32) return forward<float>(0, a, bt, y, p);
  forward<double>(1, a, bt, y, p);
}

void cdist_backward(const View& a, const View& bt, const View& y, const View& w, const View& da, double p) {
  if (y.numel() == 0) return;
  if (y.dtype == DType::Float32) return backward<float>(0, a, bt, y, w, da, p);
  backward<double>(1, a, bt, y, w, da, p);
}

}  // namespace ccdl::cpu
