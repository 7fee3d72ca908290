// 16-byte accesses: Vec<T> holds kLanes<T> elements and moves as one transaction; addresses must be 16-byte
// aligned.
#pragma once
#include <device/prelude.cuh>

namespace ccdl::cu {

template <class T, int N = 16 / static_cast<int>(sizeof(T))>
struct alignas(N * sizeof(T)) Vec {
  T v[N];
  CCDL_DEVICE T& operator[](int i) { return v[i]; }
  CCDL_DEVICE const T& operator[](int i) const { return v[i]; }
};
template <class T>
constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

template <class T, int N = kLanes<T>>
CCDL_DEVICE Vec<T, N> load_vec(const T* p) {
  return *reinterpret_cast<const Vec<T, N>*>(p);
}
template <class T, int N>
CCDL_DEVICE void store_vec(T* p, const Vec<T, N>& v) {
  *reinterpret_cast<Vec<T, N>*>(p) = v;
}
inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace ccdl::cu
