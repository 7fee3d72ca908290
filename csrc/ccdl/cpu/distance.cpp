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
    simd_distance().forward[table](a.ptr<T>() + row * K, bt.ptr<T>() + batch * K * N, y.ptr<T>() + row * N,
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

}  // namespace

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
