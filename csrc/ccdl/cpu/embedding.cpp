// Gradient of a table look-up. A counting sort groups the look-ups by table row, keeping their order; then
// every row is summed by one chunk in that order, so the result does not depend on the thread count and needs
// no atomics.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <ccdl/kernels/embedding.h>

#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kColumns = 256;  // columns summed at a time

template <class T>
void sum_rows(const View& dy, const int64_t* start, const int64_t* order, bool by_frequency, const View& dw) {
  using A = typename Accumulator<T>::type;
  const int64_t D = dw.sizes[1], stride = dy.strides[0];
  const T* g = dy.ptr<const T>();
  [[maybe_unused]] const auto add = simd_index().add_float;
  parallel_for(dw.sizes[0], kWalkGrain / (D + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v) {
      T* row = dw.ptr<T>() + v * D;
      const int64_t lo = start[v], hi = start[v + 1];
      if (lo == hi) {
        __builtin_memset(row, 0, static_cast<size_t>(D) * sizeof(T));
        continue;
      }
      const A scale = by_frequency ? static_cast<A>(hi - lo) : A(1);
      for (int64_t b = 0; b < D; b += kColumns) {
        const int64_t m = D - b < kColumns ? D - b : kColumns;
        A sum[kColumns] = {};
        for (int64_t i = lo; i < hi; ++i) {
          const T* from = g + order[i] * stride + b;
          if constexpr (std::is_same_v<T, float>)
            add(sum, from, m);
          else
            for (int64_t j = 0; j < m; ++j) sum[j] += static_cast<A>(from[j]);
        }
        if (by_frequency)
          for (int64_t j = 0; j < m; ++j) sum[j] /= scale;
        for (int64_t j = 0; j < m; ++j) row[b + j] = static_cast<T>(sum[j]);
      }
    }
  });
}

}  // namespace

IndexFault embedding_backward(const View& dy, const View& index, int64_t padding_idx, bool by_frequency,
                              const View& dw) {
  const int64_t n = index.sizes[0], V = dw.sizes[0];
  const int64_t* id = index.ptr<const int64_t>();
  int64_t* start = scratch<int64_t>(0, V + 1 + n);
  int64_t* order = start + V + 1;
  for (int64_t v = 0; v <= V; ++v) start[v] = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (id[i] < 0 || id[i] >= V) return {0, id[i]};
    start[id[i] + 1] += id[i] != padding_idx;
  }
  for (int64_t v = 0; v < V; ++v) start[v + 1] += start[v];
  // start[v] runs to the end of group v while the order is written, then everything moves back by one.
  for (int64_t i = 0; i < n; ++i)
    if (id[i] != padding_idx) order[start[id[i]]++] = i;
  for (int64_t v = V; v > 0; --v) start[v] = start[v - 1];
  start[0] = 0;
  by_floating(dw.dtype, [&](auto t) { sum_rows<decltype(t)>(dy, start, order, by_frequency, dw); });
  return {};
}

}  // namespace ccdl::cpu
