// Unique values, insertion points, membership and histograms, on the keys of sort_keys.h.
#include <ccdl/kernels/sort.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/runs.h>
#include <ccdl/cpu/simd/search.h>
#include <ccdl/cpu/sort_keys.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kGrain = 4096;

void copy_rows(const char* x, int64_t from, char* y, int64_t to, int64_t bytes) {
  std::memcpy(y + to * bytes, x + from * bytes, static_cast<size_t>(bytes));
}

// Row numbers of x [n, m] in ascending lexicographic order, equal rows in their order.
void order_rows(const View& x, int64_t n, int64_t m, int64_t* order) {
  if (m == 1) {
    by_pack(x.dtype, n, [&](auto tag) {
      using P = decltype(tag);
      P* packs = scratch<P>(0, n);
      pack_keys(x.dtype, x.data, 1, n, false, packs);
      const P* s = sort_packs(packs, scratch<P>(1, n), n, static_cast<int>(8 * item_size(x.dtype)));
      for (int64_t i = 0; i < n; ++i) order[i] = position_of(s[i]);
    });
    return;
  }
  std::iota(order, order + n, int64_t{0});
  by_dtype(x.dtype, [&](auto tag) {
    const auto* p = x.ptr<decltype(tag)>();
    std::stable_sort(order, order + n, [&](int64_t a, int64_t b) {
      for (int64_t j = 0; j < m; ++j) {
        const uint64_t ka = sort_key(p[a * m + j]), kb = sort_key(p[b * m + j]);
        if (ka != kb) return ka < kb;
      }
      return false;
    });
  });
}

}  // namespace

int64_t unique_groups(const View& x, bool consecutive, const View& order, const View& group) {
  const int64_t n = x.sizes[0], m = x.sizes[1];
  int64_t* o = order.ptr<int64_t>();
  int64_t* g = group.ptr<int64_t>();
  if (consecutive)
    std::iota(o, o + n, int64_t{0});
  else
    order_rows(x, n, m, o);
  int64_t groups = 0;
  by_dtype(x.dtype, [&](auto tag) {
    const auto* p = x.ptr<decltype(tag)>();
    if (m == 1) {
      uint64_t before = 0;
      for (int64_t i = 0; i < n; ++i) {
        const auto v = p[o[i]];
        const uint64_t key = sort_key(v);
        groups += (i == 0) | (key != before) | is_nan_value(v);
        g[i] = groups - 1;
        before = key;
      }
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      bool same = i > 0;
      for (int64_t j = 0; same && j < m; ++j) {
        const auto a = p[o[i] * m + j], b = p[o[i - 1] * m + j];
        same = sort_key(a) == sort_key(b) && !is_nan_value(a);
      }
      groups += !same;
      g[i] = groups - 1;
    }
  });
  return groups;
}

void unique_fill(const View& x, const View& order, const View& group, const View& y, const View& inverse,
                 const View& counts) {
  const int64_t n = x.sizes[0], bytes = x.sizes[1] * item_size(x.dtype);
  const int64_t *o = order.ptr<int64_t>(), *g = group.ptr<int64_t>();
  const bool single = x.sizes[1] == 1;
  if (single && y.data)
    by_item_size(x.dtype, [&](auto tag) {
      using T = decltype(tag);
      for (int64_t i = 0; i < n; ++i)
        if (i == 0 || g[i] != g[i - 1]) y.ptr<T>()[g[i]] = x.ptr<const T>()[o[i]];
    });
  if (single && !inverse.data && !counts.data) return;
  for (int64_t i = 0; i < n; ++i) {
    const bool first = i == 0 || g[i] != g[i - 1];
    if (first && y.data && !single)
      copy_rows(static_cast<const char*>(x.data), o[i], static_cast<char*>(y.data), g[i], bytes);
    if (inverse.data) inverse.ptr<int64_t>()[o[i]] = g[i];
    if (counts.data) {
      if (first) counts.ptr<int64_t>()[g[i]] = 0;
      ++counts.ptr<int64_t>()[g[i]];
    }
  }
}

int64_t unique_starts(const View& x, const View& starts) {
  return simd_runs().starts[static_cast<int>(x.dtype)](x.data, x.numel(), starts.ptr<int64_t>());
}

void unique_runs(const View& x, const View& starts, int64_t runs, const View& y, const View& inverse,
                 const View& counts) {
  const int64_t n = x.numel(), *at = starts.ptr<int64_t>();
  if (y.data && runs == n)
    std::memcpy(y.data, x.data, static_cast<size_t>(n * item_size(x.dtype)));
  else if (y.data)
    by_item_size(x.dtype, [&](auto tag) {
      using T = decltype(tag);
      for (int64_t g = 0; g < runs; ++g) y.ptr<T>()[g] = x.ptr<const T>()[at[g]];
    });
  const auto end = [&](int64_t g) { return g + 1 < runs ? at[g + 1] : n; };
  if (counts.data)
    for (int64_t g = 0; g < runs; ++g) counts.ptr<int64_t>()[g] = end(g) - at[g];
  if (inverse.data) simd_runs().numbers[static_cast<int>(x.dtype)](x.data, n, inverse.ptr<int64_t>());
}

namespace {

uint64_t key_of(uint64_t key) { return key; }
template <class T>
uint64_t key_of(T v) {
  return sort_key(v);
}

// Insertion points of K values in s [n] (elements, or their keys as uint64), side by side and without
// branches: halves are taken as often as not.
template <int K, bool kRight, class S, class T>
void insertion_points(const S* s, int64_t n, const T* values, int64_t* y) {
  uint64_t key[K];
  int64_t low[K] = {};
  for (int k = 0; k < K; ++k) key[k] = sort_key(values[k]);
  const auto before = [&](int64_t at, uint64_t v) {
    const uint64_t other = key_of(s[at]);
    return kRight ? other <= v : other < v;
  };
  for (int64_t length = n; length > 0;) {  // of `length` elements from low on, the middle one
    const int64_t half = (length + 1) / 2;
    for (int k = 0; k < K; ++k) low[k] += half & -static_cast<int64_t>(before(low[k] + half - 1, key[k]));
    length -= half;
  }
  for (int k = 0; k < K; ++k) y[k] = low[k];
}

}  // namespace

void searchsorted(const View& sequence, const View& values, const View& y, bool right) {
  constexpr int kTogether = 8;
  const int64_t n = sequence.sizes[1], m = values.sizes[1];
  const bool shared = sequence.sizes[0] == 1;
  const int which = sequence.dtype == DType::Float32   ? 0
                    : sequence.dtype == DType::Float64 ? 1
                    : sequence.dtype == DType::Int32   ? 2
                    : sequence.dtype == DType::Int64   ? 3
                                                       : -1;
  if (const auto search = which < 0 || n > kSearchMost ? nullptr : simd_search().search[which]) {
    const int64_t bytes = item_size(sequence.dtype);
    const auto at = [&](const View& v, int64_t i) { return static_cast<const char*>(v.data) + i * bytes; };
    parallel_for(values.sizes[0] * m, kGrain, [&](int64_t b, int64_t e) {
      while (b < e) {
        const int64_t end = shared ? e : std::min(e, (b / m + 1) * m);
        search(at(sequence, shared ? 0 : b / m * n), n, at(values, b), end - b, right, y.ptr<int64_t>() + b);
        b = end;
      }
    });
    return;
  }
  by_dtype(sequence.dtype, [&](auto tag) {
    using T = decltype(tag);
    // The calling thread's buffer is only read by the others.
    uint64_t* keys = shared && n <= values.sizes[0] * m ? scratch<uint64_t>(0, n + 1) : nullptr;
    for (int64_t i = 0; keys && i < n; ++i) keys[i] = sort_key(sequence.ptr<T>()[i]);
    parallel_for(values.sizes[0] * m, kGrain, [&, keys](int64_t b, int64_t e) {
      while (b < e) {
        const int64_t end = shared ? e : std::min(e, (b / m + 1) * m);
        const T* v = values.ptr<T>();
        int64_t* out = y.ptr<int64_t>();
        const auto take = [&](auto count, const auto* s) {
          constexpr int K = decltype(count)::value;
          for (; b + K <= end; b += K)
            right ? insertion_points<K, true>(s, n, v + b, out + b)
                  : insertion_points<K, false>(s, n, v + b, out + b);
        };
        const auto all = [&](const auto* s) {
          take(std::integral_constant<int, kTogether>(), s);
          take(std::integral_constant<int, 1>(), s);
        };
        if (keys)
          all(static_cast<const uint64_t*>(keys));
        else
          all(sequence.ptr<const T>() + (shared ? 0 : b / m * n));
      }
    });
  });
}

void isin(const View& x, const View& test, const View& y, bool invert) {
  const int64_t n = test.numel();
  bool* out = y.ptr<bool>();
  by_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    // The calling thread's buffer is only read by the others.
    uint64_t* keys = scratch<uint64_t>(0, n + 1);
    int64_t m = 0;
    for (int64_t i = 0; i < n; ++i)
      if (!is_nan_value(test.ptr<T>()[i])) keys[m++] = sort_key(test.ptr<T>()[i]);
    std::sort(keys, keys + m);
    m = std::unique(keys, keys + m) - keys;
    parallel_for(x.numel(), kGrain, [&, keys](int64_t b, int64_t e) {
      constexpr int kTogether = 8;
      const T* v = x.ptr<T>();
      int64_t at[kTogether];
      const auto found = [&](T value, int64_t place) {
        return (!is_nan_value(value) & (place < m) & (keys[std::min(place, m - 1)] == sort_key(value))) != 0;
      };
      if (m == 0) return static_cast<void>(std::fill_n(out + b, e - b, invert));
      for (; b + kTogether <= e; b += kTogether) {
        insertion_points<kTogether, false>(static_cast<const uint64_t*>(keys), m, v + b, at);
        for (int k = 0; k < kTogether; ++k) out[b + k] = found(v[b + k], at[k]) != invert;
      }
      for (; b < e; ++b) {
        insertion_points<1, false>(static_cast<const uint64_t*>(keys), m, v + b, at);
        out[b] = found(v[b], at[0]) != invert;
      }
    });
  });
}

void histc(const View& x, double lo, double hi, const View& y) {
  const int64_t bins = y.numel(), n = x.numel();
  int64_t* counts = scratch<int64_t>(0, bins);
  std::fill_n(counts, bins, 0);
  by_floating(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using A = std::conditional_t<sizeof(T) == 8, double, float>;
    const A low = static_cast<A>(lo), high = static_cast<A>(hi);
    for (int64_t i = 0; i < n; ++i) {
      const A v = static_cast<A>(x.ptr<T>()[i]);
      if (!(v >= low && v <= high)) continue;
      const int64_t at = static_cast<int64_t>((v - low) / (high - low) * static_cast<A>(bins));
      ++counts[std::min(at, bins - 1)];
    }
    for (int64_t i = 0; i < bins; ++i) y.ptr<T>()[i] = T(static_cast<A>(counts[i]));
  });
}

void bincount(const View& x, const View& w, const View& y) {
  const int64_t n = x.numel();
  const int64_t* at = x.ptr<int64_t>();
  if (w.data) {
    std::fill_n(y.ptr<double>(), y.numel(), 0.0);
    for (int64_t i = 0; i < n; ++i) y.ptr<double>()[at[i]] += w.ptr<double>()[i];
  } else {
    std::fill_n(y.ptr<int64_t>(), y.numel(), int64_t{0});
    for (int64_t i = 0; i < n; ++i) ++y.ptr<int64_t>()[at[i]];
  }
}

}  // namespace ccdl::cpu
