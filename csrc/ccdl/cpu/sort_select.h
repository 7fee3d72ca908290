// The k-th smallest of a row by its values alone: numbers become whole-number keys, a histogram over the
// range they span names the bucket the k-th one lies in, and only that bucket's keys are looked at again.
// Where the element stands is asked for last: among equals the one that a stable sort puts k-th.
#pragma once
#include <limits>
#include <type_traits>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/sort_select.h>
#include <ccdl/cpu/sort_keys.h>

namespace ccdl::cpu {

template <class T>
class SelectRow {
 public:
  using Key = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  static constexpr Key kNan = std::numeric_limits<Key>::max();  // of the floating types

  SelectRow(const T* x, int64_t stride, int64_t n)
      : n_(n), keys_(scratch<Key>(0, n)), rest_(scratch<Key>(1, n + 64)) {
    if constexpr (kNative >= 0) {
      if (stride == 1) {
        simd_.keys[kNative](x, n, keys_);
        return;
      }
    }
    for (int64_t i = 0; i < n; ++i) keys_[i] = key_of(x[i * stride]);
  }

  int64_t nans() const { return is_floating(DTypeOf<T>::value) ? simd_.count[kWide](keys_, n_, kNan) : 0; }
  int64_t first_nan() const { return simd_.find[kWide](keys_, n_, kNan, 0); }

  // Position of the k-th smallest (from 0).
  int64_t place(int64_t k) const {
    const Key* a = keys_;
    int64_t n = n_;
    while (n > kFew) {
      Key low, high;
      simd_.range[kWide](a, n, &low, &high);
      if (low == high) return simd_.find[kWide](keys_, n_, low, k);
      int shift = 0;
      while ((static_cast<uint64_t>(distance(high, low)) >> shift) >> kBits) ++shift;
      uint32_t counts[2][kBuckets] = {};  // neighbours of one bucket do not wait for each other
      int64_t i = 0;
      for (; i + 2 <= n; i += 2) {
        ++counts[0][distance(a[i], low) >> shift];
        ++counts[1][distance(a[i + 1], low) >> shift];
      }
      if (i < n) ++counts[0][distance(a[i], low) >> shift];
      int64_t bucket = 0;
      for (int64_t here; k >= (here = int64_t{counts[0][bucket]} + counts[1][bucket]); ++bucket) k -= here;
      n = simd_.keep[kWide](a, n, low, shift, bucket, rest_);
      a = rest_;
    }
    if (a == keys_) std::copy_n(a, n, rest_);
    std::nth_element(rest_, rest_ + k, rest_ + n);
    const Key key = rest_[k];
    return simd_.find[kWide](keys_, n_, key,
                             k - std::count_if(rest_, rest_ + n, [=](Key v) { return v < key; }));
  }

 private:
  using Unsigned = std::make_unsigned_t<Key>;
  static constexpr int kBits = 10;
  static constexpr int64_t kBuckets = int64_t{1} << kBits, kFew = 48;
  static constexpr int kWide = sizeof(Key) == 8;
  static constexpr int kNative = std::is_same_v<T, float>     ? 0
                                 : std::is_same_v<T, double>  ? 1
                                 : std::is_same_v<T, int32_t> ? 2
                                 : std::is_same_v<T, int64_t> ? 3
                                                              : -1;

  static Unsigned distance(Key a, Key low) { return static_cast<Unsigned>(a) - static_cast<Unsigned>(low); }
  // The same order as signed numbers; narrow types keep their small keys, so that NaN needs a place of its
  // own.
  static Key key_of(T v) {
    if (is_nan_value(v)) return kNan;
    if constexpr (sizeof(T) >= 4)
      return static_cast<Key>(sort_key(v) ^ (uint64_t{1} << (8 * sizeof(T) - 1)));
    else
      return static_cast<Key>(sort_key(v));
  }

  const SortSelectKernels& simd_ = simd_sort_select();
  int64_t n_;
  Key *keys_, *rest_;
};

}  // namespace ccdl::cpu
