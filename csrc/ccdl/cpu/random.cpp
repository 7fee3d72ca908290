// Random fills, dropout and sampling. A chunk is a run of elements in logical order: its words come from one
// vector Philox call, a transform turns them into values in a small block, and the block goes to y, straight
// when y is contiguous and through a strided walk otherwise.
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/random.h>
#include <ccdl/cpu/walk.h>
#include <ccdl/kernels/random.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

namespace ccdl::cpu {
namespace {

constexpr int64_t kBlock =
    2048;  // elements whose words and values stay in the first-level cache; a multiple of 4
constexpr int64_t kChunk = 8 * kBlock;

template <class T>
T cast(double v) {
  return static_cast<T>(v);
}
template <>
float16 cast<float16>(double v) {
  return float16(static_cast<float>(v));
}
template <>
bfloat16 cast<bfloat16>(double v) {
  return bfloat16(static_cast<float>(v));
}
template <class T>
double real(T v) {
  return static_cast<double>(v);
}
template <>
double real(float16 v) {
  return static_cast<float>(v);
}
template <>
double real(bfloat16 v) {
  return static_cast<float>(v);
}

uint64_t draw(const uint32_t* w, int64_t i) { return w[2 * i] | static_cast<uint64_t>(w[2 * i + 1]) << 32; }

// Writes the values of elements first ... first + n - 1 to out, which has room for an even number of them.
struct Maker {
  const void* fn;
  void (*call)(const void* fn, uint32_t* words, int64_t first, int64_t n, void* out);
};

// A contiguous block to where the walk's positions first ... first + n - 1 lie.
template <class T>
void place(const Walk& walk, const T* block, void* to, int64_t first, int64_t n) {
  const int64_t stride = walk.inner()[0];
  walk_range(walk, first, first + n, [&](const int64_t* off, int64_t count, int64_t position) {
    copy_row(block + (position - first), int64_t{1}, static_cast<T*>(to) + off[0], stride, count);
  });
}

void fill_blocks(const View& y, RandomState state, int words, const Maker& make) {
  const View* views[] = {&y};
  const Walk walk = make_walk(views, 1);
  const bool straight = y.is_contiguous();
  const auto item = static_cast<int64_t>(item_size(y.dtype));
  parallel_for(walk.numel, kChunk, [&](int64_t begin, int64_t end) {
    uint32_t* w = scratch<uint32_t>(0, words * kBlock);
    void* block = scratch<char>(1, kBlock * item);
    for (int64_t first = begin; first < end; first += kBlock) {
      const int64_t n = std::min(kBlock, end - first);
      const int64_t counters = (n * words + 3) / 4;
      simd_random().philox({state.seed, state.offset + static_cast<uint64_t>(first * words / 4)}, counters,
                           w);
      if (straight && n % 2 == 0) {
        make.call(make.fn, w, first, n, y.ptr<char>() + first * item);
        continue;
      }
      make.call(make.fn, w, first, n, block);
      by_item_size(y.dtype,
                   [&](auto t) { place(walk, static_cast<const decltype(t)*>(block), y.data, first, n); });
    }
  });
}

// make(words, first, n, block) for every block of [0, numel).
template <class T, class Make>
void fill(const View& y, RandomState state, int words, const Make& make) {
  fill_blocks(y, state, words, {&make, [](const void* fn, uint32_t* w, int64_t first, int64_t n, void* out) {
                                  (*static_cast<const Make*>(fn))(w, first, n, static_cast<T*>(out));
                                }});
}

// Values made in float (float64: in double) by one of two functions, then rounded to T.
template <class T, class MakeFloat, class MakeDouble>
void fill_floating(const View& y, RandomState state, const MakeFloat& make_float,
                   const MakeDouble& make_double) {
  if constexpr (std::is_same_v<T, double>) {
    fill<double>(y, state, 2, [&](uint32_t* w, int64_t, int64_t n, double* out) { make_double(w, n, out); });
  } else if constexpr (std::is_same_v<T, float>) {
    fill<float>(y, state, 1, [&](uint32_t* w, int64_t, int64_t n, float* out) { make_float(w, n, out); });
  } else {
    fill<T>(y, state, 1, [&](uint32_t* w, int64_t, int64_t n, T* out) {
      float* values = scratch<float>(2, kBlock);
      make_float(w, n, values);
      for (int64_t i = 0; i < n; ++i) out[i] = T(values[i]);
    });
  }
}

// One value per 64-bit draw, for distributions that are not hot.
template <class F>
void fill_each(const View& y, RandomState state, const F& value) {
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    fill<T>(y, state, 2, [&](const uint32_t* w, int64_t, int64_t n, T* out) {
      for (int64_t i = 0; i < n; ++i) out[i] = cast<T>(value(draw(w, i)));
    });
  });
}

double log_positive(uint64_t w) { return rng::log_double<rng::DoubleLane>(rng::positive_double(w)); }

// w / 2^32 < p, as an integer comparison.
uint64_t bernoulli_threshold(double p) { return static_cast<uint64_t>(std::ceil(p * 0x1p32)); }

// y = x * factor over one row; w[0] is the word of the first element, `into` how far that element is inside
// its group.
template <class T>
void drop_row(const uint32_t* w, int64_t into, int64_t group, uint32_t threshold, double scale, const T* x,
              int64_t sx, T* y, int64_t sy, int64_t n) {
  using A = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const A factor = static_cast<A>(scale);
  if constexpr (std::is_same_v<T, float>) {
    if (group == 1 && sy == 1) {
      if (sx != 1) {  // an expanded gradient, for example
        copy_row(x, sx, y, sy, n);
        x = y;
      }
      return simd_random().dropout_f32(w, n, threshold, factor, x, y);
    }
  }
  for (int64_t i = 0; i < n; ++w, into = 0) {
    const A f = rng::kept(*w, threshold) ? factor : A{0};
    for (const int64_t end = std::min(n, i + group - into); i < end; ++i)
      y[i * sy] = T(static_cast<A>(x[i * sx]) * f);
  }
}

template <class T>
void dropout(const View& x, const View& y, RandomState state, double p, int64_t group) {
  const View* views[] = {&x, &y};
  const Walk walk = make_walk(views, 2);
  const uint32_t threshold = rng::keep_threshold(p);
  const double scale = p < 1 ? 1 / (1 - p) : 0;
  const T* in = x.ptr<T>();
  T* out = y.ptr<T>();
  parallel_for(walk.numel, kChunk, [&](int64_t begin, int64_t end) {
    uint32_t* w = scratch<uint32_t>(0, kBlock + 8);
    for (int64_t first = begin; first < end; first += kBlock) {
      const int64_t n = std::min(kBlock, end - first);
      const int64_t word = first / group, counter = word / 4;
      const int64_t counters = (first + n - 1) / group / 4 - counter + 1;
      simd_random().philox({state.seed, state.offset + static_cast<uint64_t>(counter)}, counters, w);
      const int64_t sx = walk.inner()[0], sy = walk.inner()[1];
      walk_range(walk, first, first + n, [&](const int64_t* off, int64_t count, int64_t position) {
        const int64_t at = position / group;
        drop_row(w + (at - 4 * counter), position - at * group, group, threshold, scale, in + off[0], sx,
                 out + off[1], sy, count);
      });
    }
  });
}

// A permutation sorts (upper half of the key) << 32 | index; equal upper halves are put in order afterwards.
using Packed = uint64_t;
constexpr int64_t kBucket =
    2048;  // elements sorted at a time: source and target fit into the first-level cache

// Sorts n elements that agree in the skip top bits and are spread evenly over the rest: one pass over the
// digit that leaves about one element to a value, then insertion, which moves every element by a place or
// two.
void sort_even(Packed* a, Packed* b, int64_t n, int skip) {
  constexpr int kDigit = 11;
  uint32_t start[1 << kDigit] = {};
  const int shift = 64 - skip - kDigit;  // skip + kDigit <= 32
  const auto digit = [shift](Packed v) { return v >> shift & ((1 << kDigit) - 1); };
  for (int64_t i = 0; i < n; ++i) ++start[digit(a[i])];
  uint32_t at = 0;
  for (uint32_t& c : start) at += std::exchange(c, at);
  for (int64_t i = 0; i < n; ++i) b[start[digit(a[i])]++] = a[i];
  for (int64_t i = 0; i < n; ++i) {
    const Packed v = b[i];
    int64_t j = i;
    for (; j > 0 && a[j - 1] > v; --j) a[j] = a[j - 1];
    a[j] = v;
  }
}

// Elements with equal upper halves are few: they are ordered by their whole draws.
void order_ties(Packed* a, int64_t n, RandomState state) {
  for (int64_t i = 0; i + 1 < n;) {
    int64_t end = i + 1;
    while (end < n && a[end] >> 32 == a[i] >> 32) ++end;
    if (end > i + 1) {
      std::stable_sort(a + i, a + end, [&](Packed x, Packed y) {
        return rng::draw64(state, x & 0xffffffffu) < rng::draw64(state, y & 0xffffffffu);
      });
    }
    i = end;
  }
}

// A row of a [rows, k] view as doubles.
template <class T>
void weights(const View& p, int64_t row, int64_t k, double* out) {
  const int64_t step = p.strides[p.ndim - 1];
  const T* x = p.ptr<T>() + (p.ndim == 2 ? row * p.strides[0] : 0);
  if (step == 1)
    return simd_elementwise_convert()
        .convert[static_cast<int>(DTypeOf<T>::value)][static_cast<int>(DType::Float64)](x, out, k);
  for (int64_t c = 0; c < k; ++c) out[c] = real(x[c * step]);
}

// Words of the draws first ... first + n - 1 (64 bits each) in a scratch buffer; draw(w, j) reads draw first
// + j.
const uint32_t* row_draws(RandomState state, int64_t first, int64_t n) {
  uint32_t* w = scratch<uint32_t>(1, 2 * n + 8);
  simd_random().philox({state.seed, state.offset + static_cast<uint64_t>(first / 2)},
                       (first + n + 1) / 2 - first / 2, w);
  return w + 2 * (first % 2);
}

// A few rows side by side, whose running sums do not wait for one another.
template <class T>
void multinomial_replace(const View& p, int64_t* y, int64_t rows, int64_t k, int64_t n, RandomState state) {
  constexpr int kRows = 4;
  parallel_for(rows, std::max<int64_t>(1, kChunk / (k + n)), [&](int64_t begin, int64_t end) {
    double* sums = scratch<double>(0, kRows * k);
    for (int64_t first = begin; first < end; first += kRows) {
      const int count = static_cast<int>(std::min<int64_t>(kRows, end - first));
      for (int q = 0; q < count; ++q) weights<T>(p, first + q, k, sums + q * k);
      const auto add_up = [&](auto together, int from) {
        constexpr int kTogether = decltype(together)::value;
        double total[kTogether] = {};
        for (int64_t c = 0; c < k; ++c)
#pragma GCC unroll 4
          for (int q = 0; q < kTogether; ++q) {
            double& sum = sums[(from + q) * k + c];
            sum = total[q] += sum;
          }
      };
      if (count == kRows)
        add_up(std::integral_constant<int, kRows>{}, 0);
      else
        for (int q = 0; q < count; ++q) add_up(std::integral_constant<int, 1>{}, q);
      for (int q = 0; q < count; ++q) {
        const double *sum = sums + q * k, total = sum[k - 1];
        // the last category with weight: where a draw lands that rounding pushes past the end
        const int64_t last = std::lower_bound(sum, sum + k, total) - sum, r = first + q;
        const uint32_t* w = row_draws(state, r * n, n);
        for (int64_t j = 0; j < n; ++j) {
          const double u = rng::uniform_double(draw(w, j)) * total;
          y[r * n + j] = std::min<int64_t>(std::upper_bound(sum, sum + k, u) - sum, last);
        }
      }
    }
  });
}

template <class T>
void multinomial_distinct(const View& p, int64_t* y, int64_t rows, int64_t k, int64_t n, RandomState state) {
  parallel_for(rows, std::max<int64_t>(1, kChunk / k), [&](int64_t begin, int64_t end) {
    struct Arrival {
      double time;
      int64_t index;
    };
    Arrival* arrivals = scratch<Arrival>(0, k);
    double *e = scratch<double>(2, k), *row = scratch<double>(3, k);
    for (int64_t r = begin; r < end; ++r) {
      simd_random().exponential_f64(row_draws(state, r * k, k), k, 1.0, e);
      weights<T>(p, r, k, row);
      for (int64_t c = 0; c < k; ++c) {
        const double v = row[c];
        arrivals[c] = {v > 0 ? e[c] / v : std::numeric_limits<double>::infinity(), c};
      }
      std::partial_sort(arrivals, arrivals + n, arrivals + k, [](const Arrival& a, const Arrival& b) {
        return a.time != b.time ? a.time < b.time : a.index < b.index;
      });
      for (int64_t j = 0; j < n; ++j) y[r * n + j] = arrivals[j].index;
    }
  });
}

}  // namespace

void random_uniform(const View& y, RandomState state, double from, double to) {
  // A half type holds fewer bits: the surplus is cut so that rounding cannot reach `to`.
  const uint32_t mask = y.dtype == DType::Float16    ? 0xffe00000u
                        : y.dtype == DType::BFloat16 ? 0xff000000u
                                                     : ~0u;
  by_floating(y.dtype, [&](auto tag) {
    fill_floating<decltype(tag)>(
        y, state,
        [&](uint32_t* w, int64_t n, float* out) {
          if (mask != ~0u) {
            for (int64_t i = 0; i < n; ++i) w[i] &= mask;
          }
          simd_random().uniform_f32(w, n, static_cast<float>(from), static_cast<float>(to - from), out);
        },
        [&](uint32_t* w, int64_t n, double* out) { simd_random().uniform_f64(w, n, from, to - from, out); });
  });
}

void random_normal(const View& y, RandomState state, double mean, double std) {
  by_floating(y.dtype, [&](auto tag) {
    fill_floating<decltype(tag)>(
        y, state,
        [&](uint32_t* w, int64_t n, float* out) {
          simd_random().normal_f32(w, n + n % 2, static_cast<float>(mean), static_cast<float>(std), out);
        },
        [&](uint32_t* w, int64_t n, double* out) { simd_random().normal_f64(w, n + n % 2, mean, std, out); });
  });
}

void random_exponential(const View& y, RandomState state, double lambda) {
  by_floating(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    fill<T>(y, state, 2, [&](const uint32_t* w, int64_t, int64_t n, T* out) {
      if constexpr (std::is_same_v<T, double>) {
        simd_random().exponential_f64(w, n, lambda, out);
      } else {
        double* values = scratch<double>(2, kBlock);
        simd_random().exponential_f64(w, n, lambda, values);
        for (int64_t i = 0; i < n; ++i) out[i] = cast<T>(values[i]);
      }
    });
  });
}

void random_geometric(const View& y, RandomState state, double p) {
  const double base = std::log1p(-p);  // p == 1: -inf, one trial
  fill_each(y, state, [&](uint64_t w) { return std::floor(log_positive(w) / base) + 1; });
}

void random_cauchy(const View& y, RandomState state, double median, double sigma) {
  fill_each(y, state, [&](uint64_t w) {
    return median + sigma * std::tan(3.14159265358979323846 * (rng::positive_double(w) - 0.5));
  });
}

void random_integers(const View& y, RandomState state, int64_t low, uint64_t range) {
  const bool narrow = range - 1 < UINT32_MAX;
  const auto values = [&](const uint32_t* w, int64_t n, int64_t* out) {
    if (narrow) return simd_random().integers_i64(w, n, low, static_cast<uint32_t>(range), out);
    for (int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<int64_t>(static_cast<uint64_t>(low) + rng::bounded(draw(w, i), range));
    }
  };
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    fill<T>(y, state, 2, [&](const uint32_t* w, int64_t, int64_t n, T* out) {
      if constexpr (std::is_same_v<T, int64_t>) {
        values(w, n, out);
      } else {
        int64_t* wide = scratch<int64_t>(2, kBlock);
        values(w, n, wide);
        for (int64_t i = 0; i < n; ++i) {
          if constexpr (std::is_integral_v<T>)
            out[i] = static_cast<T>(wide[i]);
          else
            out[i] = cast<T>(static_cast<double>(wide[i]));
        }
      }
    });
  });
}

void random_bernoulli(const View& y, RandomState state, double p) {
  const uint64_t threshold = bernoulli_threshold(p);
  const bool always = threshold > UINT32_MAX;
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T one = cast<T>(1), zero = cast<T>(0);
    fill<T>(y, state, 1, [&](const uint32_t* w, int64_t, int64_t n, T* out) {
      if (always) {
        std::fill(out, out + n, one);
      } else if constexpr (std::is_same_v<T, float>) {
        simd_random().bernoulli_f32(w, n, static_cast<uint32_t>(threshold), out);
      } else {
        uint8_t* hits = scratch<uint8_t>(2, kBlock);
        simd_random().bernoulli_u8(w, n, static_cast<uint32_t>(threshold), hits);
        for (int64_t i = 0; i < n; ++i) out[i] = hits[i] ? one : zero;
      }
    });
  });
}

void random_bernoulli_each(const View& p, const View& y, RandomState state) {
  const View* views[] = {&p};
  const Walk walk = make_walk(views, 1);
  by_floating(p.dtype, [&](auto p_tag) {
    using P = decltype(p_tag);
    by_dtype(y.dtype, [&](auto tag) {
      using T = decltype(tag);
      const T one = cast<T>(1), zero = cast<T>(0);
      fill<T>(y, state, 1, [&](const uint32_t* w, int64_t first, int64_t n, T* out) {
        const P* values = p.ptr<P>();
        const int64_t stride = walk.inner()[0];
        walk_range(walk, first, first + n, [&](const int64_t* off, int64_t count, int64_t position) {
          for (int64_t i = 0; i < count; ++i) {
            const int64_t j = position - first + i;
            // of whole numbers, below the threshold is below what is rounded up to it
            out[j] = static_cast<double>(w[j]) < real(values[off[0] + i * stride]) * 0x1p32 ? one : zero;
          }
        });
      });
    });
  });
}

bool probabilities_valid(const View& p) {
  const View* views[] = {&p};
  const Walk walk = make_walk(views, 1);
  std::atomic<bool> valid{true};
  by_floating(p.dtype, [&](auto tag) {
    using T = decltype(tag);
    walk_all(walk, [&](const int64_t* off, int64_t n, int64_t) {
      const T* row = p.ptr<T>() + off[0];
      bool good = true;
      for (int64_t i = 0; i < n; ++i) {
        const double v = real(row[i * walk.inner()[0]]);
        good = good && v >= 0 && v <= 1;
      }
      if (!good) valid.store(false, std::memory_order_relaxed);
    });
  });
  return valid.load();
}

void random_permutation(const View& y, RandomState state) {
  const int64_t n = y.sizes[0], stride = y.strides[0];
  int64_t* out = y.ptr<int64_t>();
  int bits = 0;  // buckets by the top bits of the key; sorting them one by one sorts the whole
  while (bits < 20 && (n >> bits) > kBucket) ++bits;
  const int64_t buckets = int64_t{1} << bits;
  const Buffer<Packed> buffer(n);
  Packed* packed = buffer.get();
  int64_t* start = scratch<int64_t>(1, buckets + 1);
  uint32_t* w = scratch<uint32_t>(2, 2 * kBlock);
  const auto each_key = [&](const auto& fn) {
    for (int64_t first = 0; first < n; first += kBlock) {
      const int64_t m = std::min(kBlock, n - first);
      simd_random().philox({state.seed, state.offset + static_cast<uint64_t>(first / 2)}, (m + 1) / 2, w);
      for (int64_t i = 0; i < m; ++i) fn(w[2 * i + 1], first + i);
    }
  };
  const auto bucket = [bits](uint32_t key) { return static_cast<uint64_t>(key) << bits >> 32; };
  std::fill(start, start + buckets + 1, int64_t{0});
  each_key([&](uint32_t key, int64_t) { ++start[bucket(key) + 1]; });
  for (int64_t b = 0; b < buckets; ++b) start[b + 1] += start[b];
  each_key([&](uint32_t key, int64_t i) {
    packed[start[bucket(key)]++] = Packed{key} << 32 | static_cast<uint64_t>(i);
  });
  // start[b] is now the end of bucket b.
  parallel_for(buckets, 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t from = b == 0 ? 0 : start[b - 1], m = start[b] - from;
      Packed* part = packed + from;
      sort_even(part, scratch<Packed>(3, m), m, bits);
      order_ties(part, m, state);
      for (int64_t i = 0; i < m; ++i) out[(from + i) * stride] = static_cast<int64_t>(part[i] & 0xffffffffu);
    }
  });
}

void dropout_forward(const View& x, const View& y, RandomState state, double p, int64_t group) {
  by_floating(x.dtype, [&](auto tag) { dropout<decltype(tag)>(x, y, state, p, group); });
}

void dropout_backward(const View& dy, const View& dx, RandomState state, double p, int64_t group) {
  dropout_forward(dy, dx, state, p, group);
}

int multinomial_check(const View& p, int64_t n) {
  const int64_t rows = p.ndim == 2 ? p.sizes[0] : 1, k = p.sizes[p.ndim - 1];
  int found = 0;
  by_floating(p.dtype, [&](auto tag) {
    double* row = scratch<double>(0, k);
    for (int64_t r = 0; r < rows; ++r) {
      weights<decltype(tag)>(p, r, k, row);
      int64_t positive = 0, good = 0;
      for (int64_t c = 0; c < k; ++c) {
        good += (row[c] >= 0) & (row[c] <= std::numeric_limits<double>::max());
        positive += row[c] > 0;
      }
      if (good < k) found |= 1;
      if (positive == 0) found |= 2;
      if (positive < n) found |= 4;
    }
  });
  return found;
}

void multinomial(const View& p, const View& y, RandomState state, bool replacement) {
  const int64_t rows = p.ndim == 2 ? p.sizes[0] : 1, k = p.sizes[p.ndim - 1], n = y.sizes[y.ndim - 1];
  by_floating(p.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (replacement)
      multinomial_replace<T>(p, y.ptr<int64_t>(), rows, k, n, state);
    else
      multinomial_distinct<T>(p, y.ptr<int64_t>(), rows, k, n, state);
  });
}

}  // namespace ccdl::cpu
