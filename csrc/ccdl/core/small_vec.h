// A list that keeps its first N elements inside itself. Neither copied nor moved: it lives in one place.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <new>
#include <utility>

#include <ccdl/core/pool.h>

namespace ccdl {

template <class T, uint32_t N>
class SmallVec {
  static_assert(alignof(T) <= 16);

 public:
  SmallVec() = default;
  SmallVec(const SmallVec&) = delete;
  SmallVec& operator=(const SmallVec&) = delete;
  ~SmallVec() {
    clear();
    drop();
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }

  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) grow(size_ + 1);
    T* at = new (static_cast<void*>(data_ + size_)) T{std::forward<Args>(args)...};
    ++size_;
    return *at;
  }
  void push_back(T x) { emplace_back(std::move(x)); }
  void reserve(size_t n) {
    if (n > capacity_) grow(n);
  }
  void resize(size_t n) {
    reserve(n);
    while (size_ < n) emplace_back();
    while (size_ > n) data_[--size_].~T();
  }
  void assign(size_t n, const T& x) {
    clear();
    reserve(n);
    while (size_ < n) emplace_back(x);
  }
  SmallVec& operator=(std::initializer_list<T> list) {
    clear();
    reserve(list.size());
    for (const T& x : list) emplace_back(x);
    return *this;
  }
  void clear() {
    while (size_ > 0) data_[--size_].~T();
  }

 private:
  T* inside() { return reinterpret_cast<T*>(inside_); }
  void drop() {
    if (data_ != inside()) pool_free(data_, capacity_ * sizeof(T));
  }
  [[gnu::noinline]] void grow(size_t wanted) {
    const size_t n = wanted > size_t{2} * capacity_ ? wanted : size_t{2} * capacity_;
    T* fresh = static_cast<T*>(pool_allocate(n * sizeof(T)));
    for (uint32_t i = 0; i < size_; ++i) {
      new (static_cast<void*>(fresh + i)) T(std::move(data_[i]));
      data_[i].~T();
    }
    drop();
    data_ = fresh;
    capacity_ = static_cast<uint32_t>(n);
  }

  T* data_ = inside();
  uint32_t size_ = 0, capacity_ = N;
  alignas(T) unsigned char inside_[N * sizeof(T)];
};

}  // namespace ccdl
