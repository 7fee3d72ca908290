// Weighted sums along a dimension. Rows of neighbours are added as they lie. Single elements: as many lines
// as a vector has lanes stand side by side in a panel, so that every output is a sum of whole vectors; what
// is left of the lines takes the same operations one by one.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/resample.h>
#include <ccdl/cpu/simd/transpose.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T, int W>
CCDL_SI void row_part(const T* x, int64_t inner, const int64_t* index, const typename Lanes<T>::S* weight,
                      int64_t count, T* y, int tail) {
  using V = typename Lanes<T>::V;
  constexpr int kN = Lanes<T>::kN;
  V sum[W];
  for (int k = 0; k < W; ++k) sum[k] = set1(weight[0]) * at(x + index[0] * inner + k * kN, tail);
  for (int64_t e = 1; e < count; ++e) {
    const V w = set1(weight[e]);
    const T* from = x + index[e] * inner;
    for (int k = 0; k < W; ++k) sum[k] = fma(w, at(from + k * kN, tail), sum[k]);
  }
  for (int k = 0; k < W; ++k) to(y + k * kN, sum[k], tail);
}

template <class T>
void rows(const ResampleTable& t, const void* xp, int64_t inner, int64_t begin, int64_t end, void* yp) {
  using S = typename Lanes<T>::S;
  constexpr int kN = Lanes<T>::kN;
  const T* x = static_cast<const T*>(xp);
  for (int64_t o = begin; o < end; ++o) {
    T* y = static_cast<T*>(yp) + o * inner;
    const int64_t first = t.starts[o], count = t.starts[o + 1] - first;
    const int64_t* index = t.index + first;
    const S* weight = static_cast<const S*>(t.weight) + first;
    if (count == 0) {
      __builtin_memset(y, 0, static_cast<uint64_t>(inner) * sizeof(T));
      continue;
    }
    if (count == 1 && weight[0] == 1) {
      __builtin_memcpy(y, x + index[0] * inner, static_cast<uint64_t>(inner) * sizeof(T));
      continue;
    }
    int64_t i = 0;
    for (; i + 4 * kN <= inner; i += 4 * kN) row_part<T, 4>(x + i, inner, index, weight, count, y + i, kN);
    for (; i + kN <= inner; i += kN) row_part<T, 1>(x + i, inner, index, weight, count, y + i, kN);
    if (i < inner) row_part<T, 1>(x + i, inner, index, weight, count, y + i, static_cast<int>(inner - i));
  }
}

// Inputs [low, high) of kN lines: panel[i - low] holds input i of all of them.
template <class T>
CCDL_SI void fill_panel(const T* x, int64_t n_in, int64_t low, int64_t high, typename Lanes<T>::V* panel) {
  using V = typename Lanes<T>::V;
  constexpr int kN = Lanes<T>::kN;
  for (int64_t i = low; i < high; i += kN) {
    const int count = high - i < kN ? static_cast<int>(high - i) : kN;
    V v[kN];
#pragma GCC unroll 16
    for (int k = 0; k < kN; ++k) v[k] = at(x + k * n_in + i, count);
    transpose_block<V, typename Lanes<T>::M, kN>(v);
    for (int k = 0; k < count; ++k) __builtin_memcpy(&panel[i - low + k], &v[k], VB);
  }
}

template <class T>
CCDL_SI void lanes_of_lines(const ResampleTable& t, const T* x, typename Lanes<T>::V* panel, T* y) {
  using V = typename Lanes<T>::V;
  using S = typename Lanes<T>::S;
  constexpr int kN = Lanes<T>::kN;
  const S* weight = static_cast<const S*>(t.weight);
  for (int64_t s = 0; s < t.n_out; s += kResampleSegment) {
    const int64_t* span = t.spans + s / kResampleSegment * 2;
    const int64_t low = span[0];
    fill_panel(x, t.n_in, low, span[1], panel);
    const int64_t stop = s + kResampleSegment < t.n_out ? s + kResampleSegment : t.n_out;
    for (int64_t o = s; o < stop; o += kN) {
      const int count = stop - o < kN ? static_cast<int>(stop - o) : kN;
      V v[kN];
      for (int k = 0; k < count; ++k) {
        int64_t e = t.starts[o + k];
        const int64_t last = t.starts[o + k + 1];
        V sum = {};
        if (e < last) sum = set1(weight[e]) * panel[t.index[e] - low];
        for (++e; e < last; ++e) sum = fma(set1(weight[e]), panel[t.index[e] - low], sum);
        v[k] = sum;
      }
      for (int k = count; k < kN; ++k) v[k] = V{};
      transpose_block<V, typename Lanes<T>::M, kN>(v);
#pragma GCC unroll 16
      for (int k = 0; k < kN; ++k) to(y + k * t.n_out + o, v[k], count);
    }
  }
}

template <class T>
void lines(const ResampleTable& t, const void* xp, int64_t rows, void* panel, void* yp) {
  using S = typename Lanes<T>::S;
  constexpr int kN = Lanes<T>::kN;
  const S* weight = static_cast<const S*>(t.weight);
  const T* x = static_cast<const T*>(xp);
  T* y = static_cast<T*>(yp);
  for (; panel && rows >= kN; rows -= kN, x += kN * t.n_in, y += kN * t.n_out)
    lanes_of_lines(t, x, static_cast<typename Lanes<T>::V*>(panel), y);
  for (; rows > 0; --rows, x += t.n_in, y += t.n_out) {
    for (int64_t o = 0; o < t.n_out; ++o) {
      int64_t e = t.starts[o];
      const int64_t last = t.starts[o + 1];
      S sum = 0;
      if (e < last) sum = weight[e] * get(x + t.index[e]);
      for (++e; e < last; ++e) sum = fma(weight[e], get(x + t.index[e]), sum);
      put(y + o, sum);
    }
  }
}

}  // namespace

const ResampleKernels resample = {{rows<float16>, rows<bfloat16>, rows<float>, rows<double>},
                                  {lines<float16>, lines<bfloat16>, lines<float>, lines<double>}};

}  // namespace ccdl::cpu::CCDL_ISA
