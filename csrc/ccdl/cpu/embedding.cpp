// Gradient of a table look-up. A counting sort groups the look-ups by table row, keeping their order; then
// every row is summed by one chunk in that order, so the result does not depend on the thread count and needs
// no atomics.
#include <ccdl/kernels/embedding.h>

#include <algorithm>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kPastCaches = 16 << 20;  // bytes from where a table is written around the caches
constexpr int64_t kAhead = 4;              // look-ups whose row is asked for ahead of use

template <class T>
constexpr LookupType lookup_type() {
  return std::is_same_v<T, float>     ? kLookupFloat
         : std::is_same_v<T, double>  ? kLookupDouble
         : std::is_same_v<T, float16> ? kLookupHalf
                                      : kLookupBFloat16;
}

// Every byte of dw is written once: untouched rows as zeros, touched ones as their sum.
template <class T>
void sum_rows(const View& dy, const int64_t* start, const int64_t* order, bool by_frequency, const View& dw) {
  const IndexKernels& kernels = simd_index();
  const auto sum = kernels.sum_rows[lookup_type<T>()];
  const int64_t V = dw.sizes[0], D = dw.sizes[1], stride = dy.strides[0], n = start[V];
  const int64_t row_bytes = D * static_cast<int64_t>(sizeof(T)),
                lines = std::min<int64_t>(row_bytes / 64, 32);
  const bool past_caches = V * row_bytes >= kPastCaches;
  const T* g = dy.ptr<const T>();
  T* to = dw.ptr<T>();
  parallel_for(V, kWalkGrain / (D + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end;) {
      const int64_t lo = start[v], hi = start[v + 1];
      if (lo == hi) {
        int64_t next = v + 1;
        while (next < end && start[next + 1] == lo) ++next;
        if (past_caches)
          kernels.clear(to + v * D, (next - v) * row_bytes);
        else
          __builtin_memset(to + v * D, 0, static_cast<size_t>((next - v) * row_bytes));
        v = next;
        continue;
      }
      for (int64_t i = lo + kAhead; i < std::min(hi + kAhead, n); ++i) {
        const char* p = reinterpret_cast<const char*>(g + order[i] * stride);
        for (int64_t l = 0; l < lines; ++l) __builtin_prefetch(p + 64 * l);
      }
      sum(g, stride, order + lo, nullptr, hi - lo, by_frequency ? static_cast<double>(hi - lo) : 1.0,
          to + v * D, D, past_caches);
      ++v;
    }
    if (past_caches) kernels.finish_stores();
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
