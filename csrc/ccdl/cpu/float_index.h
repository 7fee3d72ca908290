// Small helpers of the fused floating-point kernels: position of a dtype in their per-type tables (float16,
// bfloat16, float32, float64), element addresses, and single reads and writes through a dtype.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl::cpu {

inline int float_index(DType t) { return static_cast<int>(t) - static_cast<int>(DType::Float16); }

// Address of element i of a contiguous buffer of dtype t.
inline void* element(void* base, DType t, int64_t i) { return static_cast<char*>(base) + i * item_size(t); }
inline void* element(const View& v, int64_t i) { return element(v.data, v.dtype, i); }

inline double read_float(const void* p, DType t) {
  switch (t) {
    case DType::Float16:
      return static_cast<float>(*static_cast<const float16*>(p));
    case DType::BFloat16:
      return static_cast<float>(*static_cast<const bfloat16*>(p));
    case DType::Float32:
      return *static_cast<const float*>(p);
    default:
      return *static_cast<const double*>(p);
  }
}
inline void write_float(void* p, DType t, double v) {
  switch (t) {
    case DType::Float16:
      *static_cast<float16*>(p) = float16(static_cast<float>(v));
      return;
    case DType::BFloat16:
      *static_cast<bfloat16*>(p) = bfloat16(static_cast<float>(v));
      return;
    case DType::Float32:
      *static_cast<float*>(p) = static_cast<float>(v);
      return;
    default:
      *static_cast<double*>(p) = v;
  }
}
inline double read_float(const View& v, int64_t i) { return read_float(element(v, i), v.dtype); }
inline void write_float(const View& v, int64_t i, double x) { write_float(element(v, i), v.dtype, x); }

// Calls fn(T{}) with the C++ type of a floating dtype.
template <class F>
inline auto with_float(DType t, const F& fn) {
  switch (t) {
    case DType::Float16:
      return fn(float16{});
    case DType::BFloat16:
      return fn(bfloat16{});
    case DType::Float32:
      return fn(float{});
    default:
      return fn(double{});
  }
}

// What an element is computed in.
template <class T>
struct Compute {
  using type = float;
};
template <>
struct Compute<double> {
  using type = double;
};
template <class T>
using ComputeOf = typename Compute<T>::type;

}  // namespace ccdl::cpu
