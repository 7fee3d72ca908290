// Sizes and strides: a short inline list of int64, and the checked arithmetic every shape function uses.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>

#include <ccdl/core/error.h>
#include <ccdl/core/view.h>

namespace ccdl {

using IntSpan = std::span<const int64_t>;

// At most kMaxDims integers, stored inline. Used for sizes, strides, dims, kernel sizes, paddings.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> v) { assign(v.begin(), v.end()); }
  Dims(IntSpan v) { assign(v.begin(), v.end()); }
  Dims(size_t n, int64_t value) { resize(n, value); }
  template <class It>
  Dims(It first, It last) {
    assign(first, last);
  }

  size_t size() const { return static_cast<size_t>(n_); }
  int ndim() const { return n_; }
  bool empty() const { return n_ == 0; }
  int64_t* begin() { return v_; }
  int64_t* end() { return v_ + n_; }
  const int64_t* begin() const { return v_; }
  const int64_t* end() const { return v_ + n_; }
  const int64_t* data() const { return v_; }
  int64_t& operator[](size_t i) { return v_[i]; }
  int64_t operator[](size_t i) const { return v_[i]; }
  int64_t& back() { return v_[n_ - 1]; }
  int64_t back() const { return v_[n_ - 1]; }
  operator IntSpan() const { return {v_, size()}; }

  template <class It>
  void assign(It first, It last) {
    n_ = 0;
    for (; first != last; ++first) push_back(*first);
  }
  void push_back(int64_t x) {
    if (n_ >= kMaxDims) too_many();
    v_[n_++] = x;
  }
  void pop_back() { --n_; }
  void resize(size_t n, int64_t value = 0) {
    if (n > kMaxDims) too_many();
    for (size_t i = n_; i < n; ++i) v_[i] = value;
    n_ = static_cast<int>(n);
  }
  void insert(size_t at, int64_t x) {
    push_back(x);
    for (size_t i = n_ - 1; i > at; --i) std::swap(v_[i], v_[i - 1]);
  }
  void erase(size_t at) {
    for (int i = static_cast<int>(at); i + 1 < n_; ++i) v_[i] = v_[i + 1];
    --n_;
  }
  void clear() { n_ = 0; }
  friend bool operator==(const Dims& a, const Dims& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend std::ostream& operator<<(std::ostream& out, const Dims& d) {
    out << '[';
    for (int i = 0; i < d.n_; ++i) out << (i ? ", " : "") << d.v_[i];
    return out << ']';
  }

 private:
  [[noreturn]] static void too_many();
  int n_ = 0;
  int64_t v_[kMaxDims];
};

// Number of elements; every size must be >= 0 and the product of the non-zero sizes must fit: Error(Shape)
// for a negative size, Error(Value) on overflow.
int64_t checked_numel(const char* op, IntSpan sizes);
int64_t checked_bytes(const char* op, IntSpan sizes, DType dtype);
inline int64_t numel_of(IntSpan sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}
Dims contiguous_strides(IntSpan sizes);
Dims channels_last_strides(IntSpan sizes);  // 3-d: NCL, 4-d: NCHW, 5-d: NCDHW stored with C innermost
// Wraps a negative dim; Error(Index) "op: Dimension out of range (expected to be in range of [-n, n-1], but
// got d)".
int64_t wrap_dim(const char* op, int64_t dim, int64_t ndim);
// Wrapped, sorted as given, no duplicates allowed. Empty means "no dims" (the caller decides what that stands
// for).
Dims wrap_dims(const char* op, IntSpan dims, int64_t ndim);
// Result of broadcasting; Error(Shape) names both shapes.
Dims broadcast_shapes(const char* op, IntSpan a, IntSpan b);
bool is_expandable_to(IntSpan from, IntSpan to);
// Strides of a view that shows `sizes` (broadcast of a tensor with these sizes and strides); sizes must be
// compatible.
Dims expanded_strides(IntSpan sizes, IntSpan strides, IntSpan target);
// Strides of a view with new sizes over the same memory, if there is one.
bool view_strides(IntSpan sizes, IntSpan strides, IntSpan target, Dims* out);
// Replaces one -1 by what the number of elements asks for; Error(Shape) when impossible.
Dims infer_size(const char* op, IntSpan shape, int64_t numel);
bool strides_contiguous(IntSpan sizes, IntSpan strides);
bool strides_channels_last(IntSpan sizes, IntSpan strides);
// Every element at its own address and no gaps: some permutation of a contiguous tensor.
bool strides_dense(IntSpan sizes, IntSpan strides);

}  // namespace ccdl
