// Sorting and selection along a dimension. A row becomes packs (key, position); long rows are sorted by a
// least-significant-digit radix sort, short ones by comparison. topk keeps a buffer of candidates below a
// falling threshold. Values are copied from x by position, so every bit pattern survives.
#include <ccdl/kernels/sort.h>

#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/sort_keys.h>
#include <ccdl/cpu/sort_lanes.h>
#include <ccdl/cpu/sort_select.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kGrain = 4096;     // elements per task: sorting costs some 10 ns each
constexpr int64_t kRadixFrom = 400;  // rows from this length on are sorted by digits
constexpr int64_t kFewRows = 8;      // fewer long rows than this go one after another
constexpr int kDigit = 11;

int64_t length_of(const View& x, int dim) { return x.ndim ? x.sizes[dim] : 1; }

// The rows of every operand along dim.
Walk walk_of_rows(const View* const* views, int count, int dim) {
  Walk w(count);
  int64_t step[kMaxOperands];
  for (int d = 0; d < views[0]->ndim; ++d) {
    if (d == dim) continue;
    for (int k = 0; k < count; ++k) step[k] = views[k]->data ? views[k]->strides[d] : 0;
    w.add(views[0]->sizes[d], step);
  }
  w.finish();
  return w;
}

// One row of every operand along dim: base offsets and the strides along dim.
template <class F>
void for_rows(const View* const* views, int count, int dim, int64_t cost, const F& fn) {
  const Walk w = walk_of_rows(views, count, dim);
  const auto rows = [&](int64_t b, int64_t e) {
    walk_range(w, b, e, [&](const int64_t* off, int64_t n, int64_t) {
      int64_t at[3];
      for (int64_t i = 0; i < n; ++i) {
        for (int k = 0; k < count; ++k) at[k] = off[k] + i * w.inner()[k];
        fn(at);
      }
    });
  };
  if (w.numel < kFewRows && length_of(*views[0], dim) >= kLongRow)
    rows(0, w.numel);  // one after another, every one by all threads
  else
    parallel_for(w.numel, std::max<int64_t>(1, kGrain / std::max<int64_t>(cost, 1)), rows);
}
// The same for up to kSortLanes rows at a time: fn(offsets of each, rows).
template <class F>
void for_row_groups(const View* const* views, int count, int dim, int64_t cost, const F& fn) {
  const Walk w = walk_of_rows(views, count, dim);
  const int64_t grain = std::max<int64_t>(kSortLanes, kGrain / std::max<int64_t>(cost, 1));
  parallel_for(w.numel, grain / kSortLanes * kSortLanes, [&](int64_t b, int64_t e) {
    int64_t at[kSortLanes][3];
    int held = 0;
    walk_range(w, b, e, [&](const int64_t* off, int64_t n, int64_t) {
      for (int64_t i = 0; i < n; ++i) {
        for (int k = 0; k < count; ++k) at[held][k] = off[k] + i * w.inner()[k];
        if (++held < kSortLanes) continue;
        fn(at, held);
        held = 0;
      }
    });
    if (held) fn(at, held);
  });
}
int64_t stride_of(const View& x, int dim) { return x.ndim && x.data ? x.strides[dim] : 1; }
int key_bits(DType t) { return static_cast<int>(8 * item_size(t)); }

const void* item_at(const View& v, int64_t offset) {
  return static_cast<const char*>(v.data) + offset * item_size(v.dtype);
}

// Where a row's results go: k items.
template <class P>
void emit(const View& x, const View& values, const View& indices, int dim, const int64_t* at, const P* packs,
          int64_t k) {
  const int64_t xs = stride_of(x, dim);
  if (indices.data) {
    int64_t* out = indices.ptr<int64_t>() + at[2];
    const int64_t s = stride_of(indices, dim);
    over_row(k, [=](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) out[i * s] = position_of(packs[i]);
    });
  }
  if (values.data) {
    const int64_t s = stride_of(values, dim);
    by_item_size(x.dtype, [&](auto tag) {
      using T = decltype(tag);
      const T* from = x.ptr<T>() + at[0];
      T* to = values.ptr<T>() + at[1];
      over_row(k, [=](int64_t b, int64_t e) {
        for (int64_t i = b; i < e; ++i) to[i * s] = from[position_of(packs[i]) * xs];
      });
    });
  }
}

// Short rows: fn(at, packs) with the packs of every row in order, `mask` turning the order round. False where
// rows are too long or too few for it.
template <class P, class F>
bool over_sorted_rows(const View& x, const View* const* views, int dim, int64_t n, uint64_t mask,
                      const F& fn) {
  int64_t rows = 1;
  for (int d = 0; d < x.ndim; ++d)
    if (d != dim) rows *= x.sizes[d];
  if (n < 2 || n > kLaneRow || rows < kSortLanes / 2) return false;
  by_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (SortPanel<P>::kWide == (sizeof(T) == 8))
      for_row_groups(views, 3, dim, n / 4, [&](const int64_t(*at)[3], int count) {
        SortPanel<P> panel;
        P packs[kLaneRow];
        for (int r = 0; r < count; ++r)
          panel.load(r, x.ptr<const T>() + at[r][0], stride_of(x, dim), n, mask);
        for (int r = count; r < kSortLanes; ++r) panel.clear(r, n);
        panel.sort(n);
        for (int r = 0; r < count; ++r) {
          panel.store(r, n, packs);
          fn(at[r], static_cast<const P*>(packs));
        }
      });
  });
  return true;
}

// Packs of one row, unsorted, in this thread's scratch.
template <class P>
P* load_row(const View& x, int dim, const int64_t* at, int64_t n, bool flip) {
  P* packs = scratch<P>(0, n);
  pack_keys(x.dtype, item_at(x, at[0]), stride_of(x, dim), n, flip, packs);
  return packs;
}

// Digit by digit as below; every piece counts its own digits and then knows where its elements go.
template <class P>
P* sort_long(P* a, P* tmp, int64_t n, int passes, int digit) {
  const int64_t buckets = int64_t{1} << digit, piece = row_piece(n), pieces = (n + piece - 1) / piece;
  const uint64_t mask = static_cast<uint64_t>(buckets - 1);
  int64_t* counts = scratch<int64_t>(2, pieces * buckets);
  for (int p = 0; p < passes; ++p) {
    const int shift = p * digit;
    over_row(n, [=](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; b += piece) {
        int64_t* c = counts + b / piece * buckets;
        std::fill_n(c, buckets, 0);
        for (int64_t i = b; i < std::min(b + piece, end); ++i) ++c[(key_of(a[i]) >> shift) & mask];
      }
    });
    int64_t sum = 0, most = 0;
    for (int64_t d = 0; d < buckets; ++d) {
      const int64_t before = sum;
      for (int64_t c = d; c < pieces * buckets; c += buckets) {
        const int64_t count = counts[c];
        counts[c] = sum;
        sum += count;
      }
      most = std::max(most, sum - before);
    }
    if (most == n) continue;  // one digit for all
    over_row(n, [=](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; b += piece) {
        int64_t* c = counts + b / piece * buckets;
        for (int64_t i = b; i < std::min(b + piece, end); ++i)
          tmp[c[(key_of(a[i]) >> shift) & mask]++] = a[i];
      }
    });
    std::swap(a, tmp);
  }
  return a;
}

}  // namespace

template <class P>
P* sort_packs(P* a, P* tmp, int64_t n, int bits) {
  if (n < kRadixFrom) {
    std::sort(a, a + n);
    return a;
  }
  const int passes = (bits + kDigit - 1) / kDigit, digit = (bits + passes - 1) / passes;
  // The order is unique, so it does not matter which of the two finds it.
  if (n >= kLongRow && num_threads() > 1 && !in_parallel_region()) return sort_long(a, tmp, n, passes, digit);
  const int64_t buckets = int64_t{1} << digit;
  int64_t* counts = scratch<int64_t>(2, passes * buckets);
  std::fill_n(counts, passes * buckets, 0);
  const uint64_t mask = static_cast<uint64_t>(buckets - 1);
  for (int64_t i = 0; i < n; ++i) {
    uint64_t key = key_of(a[i]);
    for (int p = 0; p < passes; ++p, key >>= digit) ++counts[p * buckets + static_cast<int64_t>(key & mask)];
  }
  for (int p = 0; p < passes; ++p) {
    int64_t* c = counts + p * buckets;
    const int shift = p * digit;
    if (c[(key_of(a[0]) >> shift) & mask] == n) continue;  // one digit for all
    int64_t sum = 0;
    for (int64_t b = 0; b < buckets; ++b) {
      const int64_t count = c[b];
      c[b] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; ++i) tmp[c[(key_of(a[i]) >> shift) & mask]++] = a[i];
    std::swap(a, tmp);
  }
  return a;
}
template NarrowPack* sort_packs(NarrowPack*, NarrowPack*, int64_t, int);
template WidePack* sort_packs(WidePack*, WidePack*, int64_t, int);

void sort(const View& x, int dim, bool descending, const View& values, const View& indices) {
  const int64_t n = length_of(x, dim);
  const View* views[] = {&x, &values, &indices};
  by_pack(x.dtype, n, [&](auto tag) {
    using P = decltype(tag);
    if (over_sorted_rows<P>(
            x, views, dim, n, descending ? key_limit(x.dtype) : 0,
            [&](const int64_t* at, const P* sorted) { emit(x, values, indices, dim, at, sorted, n); }))
      return;
    for_rows(views, 3, dim, n, [&](const int64_t* at) {
      P* packs = load_row<P>(x, dim, at, n, descending);
      P* sorted = sort_packs(packs, scratch<P>(1, n), n, key_bits(x.dtype));
      emit(x, values, indices, dim, at, sorted, n);
    });
  });
}

namespace {

// May one of 32 contiguous elements beat `bound`? NaN counts as largest. A cheap filter: true is always
// right.
template <class T>
bool block_may_beat(const T* x, T bound, bool largest) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) {
    // Bits as signed numbers that order as the values do, but for NaN and -0 below 0.
    const int16_t infinity = std::is_same_v<T, float16> ? 0x7c00 : 0x7f80;
    const auto magnitude = [](T v) { return static_cast<int16_t>(v.bits & 0x7fff); };
    const auto order = [](T v) {
      const int16_t b = static_cast<int16_t>(v.bits);
      return static_cast<int16_t>(b ^ ((b >> 15) & 0x7fff));
    };
    if (magnitude(bound) > infinity || magnitude(bound) == 0) return true;
    const int16_t limit = order(bound);
    int16_t any = 0;
    if (largest)
      for (int i = 0; i < 32; ++i)
        any |= static_cast<int16_t>(-(order(x[i]) > limit) | -(magnitude(x[i]) > infinity));
    else
      for (int i = 0; i < 32; ++i) any |= static_cast<int16_t>(-(order(x[i]) < limit));
    return any != 0;
  } else {
    int any = bound != bound;
    if (largest)
      for (int i = 0; i < 32; ++i) any |= (x[i] > bound) | (x[i] != x[i]);
    else
      for (int i = 0; i < 32; ++i) any |= x[i] < bound;
    return any != 0;
  }
}

// The same kept sorted by insertion: for small k, where the threshold should fall with every element found.
template <class P, class T>
P* insert_smallest(const T* x, int64_t stride, int64_t n, int64_t k, uint64_t mask) {
  P* best = scratch<P>(0, k + 1);
  int64_t count = 0;
  for (int64_t block = 0; block < n; block += 32) {
    const int64_t end = std::min(n, block + 32);
    if (count == k && stride == 1 && end == block + 32 &&
        !block_may_beat(x + block, x[position_of(best[k - 1])], mask != 0))
      continue;
    for (int64_t i = block; i < end; ++i) {
      P pack;
      set_pack(pack, sort_key(x[i * stride]) ^ mask, i);
      if (count == k && !(pack < best[k - 1])) [[likely]]
        continue;
      int64_t at = count < k ? count++ : k - 1;
      for (; at > 0 && pack < best[at - 1]; --at) best[at] = best[at - 1];
      best[at] = pack;
    }
  }
  return best;
}

// The k smallest packs of elements [begin, end) of a row into the front of a buffer, in no particular order.
template <class P>
struct Selected {
  P* packs;
  int64_t count;
};

// limit (null: none): a pack at a lower position that k elements do not exceed; then there may be fewer than
// k.
template <class P, class T>
Selected<P> select_smallest(const T* x, int64_t stride, int64_t begin, int64_t end, int64_t k, uint64_t mask,
                            const P* limit = nullptr) {
  const int64_t capacity = std::min(end - begin, std::max<int64_t>(2 * k, 64));
  P* buffer = scratch<P>(0, capacity);
  int64_t count = 0;
  uint64_t threshold = 0;  // once `full`: positions rise, so keys from it on cannot belong to the k smallest
  bool full = false;
  T bound{};
  const auto lower = [&](const P& pack) {
    threshold = key_of(pack);
    bound = x[position_of(pack) * stride];
    full = true;
  };
  const auto shrink = [&] {
    std::nth_element(buffer, buffer + (k - 1), buffer + count);
    lower(buffer[k - 1]);
    count = k;
  };
  if (limit) lower(*limit);
  for (int64_t block = begin; block < end; block += 32) {
    const int64_t stop = std::min(end, block + 32);
    if (full && stride == 1 && stop == block + 32 && !block_may_beat(x + block, bound, mask != 0)) continue;
    for (int64_t i = block; i < stop; ++i) {
      const uint64_t key = sort_key(x[i * stride]) ^ mask;
      if (full && key >= threshold) [[likely]]
        continue;
      set_pack(buffer[count++], key, i);
      if (count == capacity && i + 1 < end) shrink();
    }
  }
  if (count > k) shrink();
  return {buffer, count};
}

// The k smallest packs of a row's first n elements; in order where `sorted`.
template <class P, class T>
P* smallest(const T* x, int64_t stride, int64_t n, int64_t k, uint64_t mask, bool sorted) {
  if (k <= 32 && k < n / 4) return insert_smallest<P>(x, stride, n, k, mask);
  P* best = select_smallest<P>(x, stride, 0, n, k, mask).packs;
  if (sorted) std::sort(best, best + k);  // not by digits: the packs are not in their order
  return best;
}

// The same of a long row, in order: what the first piece finds limits what the others look at. Every other
// piece still meets about k elements below that limit, so k must be small beside a piece for this to pay.
template <class P, class T>
P* smallest_of_pieces(const T* x, int64_t stride, int64_t n, int64_t k, uint64_t mask) {
  const int64_t piece = row_piece(n), pieces = (n + piece - 1) / piece;
  P* best = scratch<P>(1, pieces * k);
  int64_t* counts = scratch<int64_t>(2, pieces);
  std::copy_n(smallest<P>(x, stride, piece, k, mask, false), k, best);
  const P limit = *std::max_element(best, best + k);
  parallel_for(pieces - 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin + 1; p < end + 1; ++p) {
      const auto [packs, count] =
          select_smallest<P>(x, stride, p * piece, std::min(p * piece + piece, n), k, mask, &limit);
      std::copy_n(packs, count, best + p * k);
      counts[p] = count;
    }
  });
  int64_t total = k;
  for (int64_t p = 1; p < pieces; ++p) {
    std::copy_n(best + p * k, counts[p], best + total);  // never to a place behind its own
    total += counts[p];
  }
  std::nth_element(best, best + (k - 1), best + total);
  std::sort(best, best + k);
  return best;
}

}  // namespace

void topk(const View& x, int dim, int64_t k, bool largest, bool sorted, const View& values,
          const View& indices) {
  const int64_t n = length_of(x, dim);
  if (k == 0) return;
  const View* views[] = {&x, &values, &indices};
  const uint64_t mask = largest ? key_limit(x.dtype) : 0;
  by_pack(x.dtype, n, [&](auto tag) {
    using P = decltype(tag);
    // For a few of a row insertion is quicker.
    if (8 * k > n && over_sorted_rows<P>(x, views, dim, n, mask, [&](const int64_t* at, const P* best) {
          emit(x, values, indices, dim, at, best, k);
        }))
      return;
    by_dtype(x.dtype, [&](auto element) {
      using T = decltype(element);
      if constexpr (sizeof(P) == 8 && sizeof(T) == 8)
        return;  // never asked for
      else
        for_rows(views, 3, dim, n / 4, [&](const int64_t* at) {
          const T* row = x.ptr<T>() + at[0];
          const int64_t stride = stride_of(x, dim);
          P* best = n >= kLongRow && k <= row_piece(n) / 4096 ? smallest_of_pieces<P>(row, stride, n, k, mask)
                                                              : smallest<P>(row, stride, n, k, mask, sorted);
          emit(x, values, indices, dim, at, best, k);
        });
    });
  });
}

void kthvalue(const View& x, int dim, int64_t k, const View& values, const View& indices) {
  const int64_t n = length_of(x, dim);
  const View* views[] = {&x, &values, &indices};
  by_pack(x.dtype, n, [&](auto tag) {
    using P = decltype(tag);
    if (over_sorted_rows<P>(x, views, dim, n, 0, [&](const int64_t* at, const P* sorted) {
          emit(x, values, indices, dim, at, sorted + (k - 1), 1);
        }))
      return;
    by_dtype(x.dtype, [&](auto element) {
      using T = decltype(element);
      for_rows(views, 3, dim, n, [&](const int64_t* at) {
        const T* row = x.ptr<const T>() + at[0];
        const int64_t stride = stride_of(x, dim);
        P pack;
        set_pack(pack, 0, SelectRow<T>(row, stride, n).place(k - 1));
        emit(x, values, indices, dim, at, &pack, 1);
      });
    });
  });
}

void median(const View& x, int dim, bool ignore_nan, const View& values, const View& indices) {
  const int64_t n = length_of(x, dim);
  const View* views[] = {&x, &values, &indices};
  const bool floating = is_floating(x.dtype);
  by_pack(x.dtype, n, [&](auto tag) {
    using P = decltype(tag);
    const uint64_t limit = key_limit(x.dtype);
    if (over_sorted_rows<P>(x, views, dim, n, 0, [&](const int64_t* at, const P* sorted) {
          int64_t numbers = n;  // those that are NaN stand behind
          while (floating && numbers > 0 && key_of(sorted[numbers - 1]) == limit) --numbers;
          const int64_t place = numbers == n ? (n - 1) / 2
                                : ignore_nan ? std::max<int64_t>(numbers - 1, 0) / 2
                                             : numbers;
          emit(x, values, indices, dim, at, sorted + place, 1);
        }))
      return;
    by_dtype(x.dtype, [&](auto element) {
      using T = decltype(element);
      for_rows(views, 3, dim, n, [&](const int64_t* at) {
        const T* row = x.ptr<const T>() + at[0];
        const int64_t stride = stride_of(x, dim);
        const SelectRow<T> numbers(row, stride, n);
        const int64_t nans = numbers.nans();
        P pack;
        set_pack(pack, 0,
                 nans && !ignore_nan ? numbers.first_nan()
                                     : numbers.place(std::max<int64_t>(n - nans - 1, 0) / 2));
        emit(x, values, indices, dim, at, &pack, 1);
      });
    });
  });
}

void mode(const View& x, int dim, const View& values, const View& indices) {
  const int64_t n = length_of(x, dim);
  const View* views[] = {&x, &values, &indices};
  by_pack(x.dtype, n, [&](auto tag) {
    using P = decltype(tag);
    const auto choose = [&](const int64_t* at, const P* s) {
      int64_t best = 0, most = 0;
      for (int64_t b = 0, e = 0; b < n; b = e) {
        while (e < n && key_of(s[e]) == key_of(s[b])) ++e;
        if (e - b > most) most = e - b, best = e - 1;
      }
      emit(x, values, indices, dim, at, s + best, 1);
    };
    if (over_sorted_rows<P>(x, views, dim, n, 0, choose)) return;
    for_rows(views, 3, dim, n, [&](const int64_t* at) {
      P* packs = load_row<P>(x, dim, at, n, false);
      choose(at, sort_packs(packs, scratch<P>(1, n), n, key_bits(x.dtype)));
    });
  });
}

}  // namespace ccdl::cpu
