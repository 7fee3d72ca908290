// Unique values, insertion points, membership and histograms, on the keys of sort_keys.h.
#include <ccdl/kernels/sort.h>

#include <cmath>
#include <numeric>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
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
  for (int64_t i = 0; i < n; ++i) {
    const bool first = i == 0 || g[i] != g[i - 1];
    if (first && y.data)
      copy_rows(static_cast<const char*>(x.data), o[i], static_cast<char*>(y.data), g[i], bytes);
    if (inverse.data) inverse.ptr<int64_t>()[o[i]] = g[i];
    if (counts.data) {
      if (first) counts.ptr<int64_t>()[g[i]] = 0;
      ++counts.ptr<int64_t>()[g[i]];
    }
  }
}

void searchsorted(const View& sequence, const View& values, const View& y, bool right) {
  const int64_t n = sequence.sizes[1], m = values.sizes[1];
  const bool shared = sequence.sizes[0] == 1;
  by_dtype(sequence.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(values.sizes[0] * m, kGrain, [&](int64_t b, int64_t e) {
      for (; b < e; ++b) {
        const T* s = sequence.ptr<T>() + (shared ? 0 : b / m * n);
        const uint64_t key = sort_key(values.ptr<T>()[b]);
        int64_t lo = 0, hi = n;
        while (lo < hi) {
          const int64_t mid = lo + (hi - lo) / 2;
          const uint64_t k = sort_key(s[mid]);
          if (right ? k <= key : k < key)
            lo = mid + 1;
          else
            hi = mid;
        }
        y.ptr<int64_t>()[b] = lo;
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
      for (; b < e; ++b) {
        const T v = x.ptr<T>()[b];
        out[b] = (!is_nan_value(v) && std::binary_search(keys, keys + m, sort_key(v))) != invert;
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
