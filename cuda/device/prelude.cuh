// What every kernel file includes first: the CUDA programming model (the real one, or the emulator's), shared
// memory, and conversions between storage and compute types. Sources stay compilable by nvcc and, against
// cuda/emulator, by a plain C++ compiler: launches go through CCDL_LAUNCH, shared memory through CCDL_SHARED
// and dyn_smem, inline PTX lives in device/ptx_*.cuh only, waits on memory go through spin_until.
#pragma once
#include <cuda_runtime.h>

#include <ccdl/core/view.h>

#ifdef CCDL_CUDA_EMULATED
#include <emulator/device.h>
#define CCDL_DEVICE inline __attribute__((always_inline))  // or stores through return slots go unseen
#else
#define CCDL_DEVICE __device__ __forceinline__
#endif

// CCDL_SHARED(float, tile, [32][33]) declares a block-wide array; dims are constant expressions.
#ifdef CCDL_CUDA_EMULATED
#define CCDL_SHARED(type, name, dims)      \
  using name##_shared_type = type dims;    \
  static const char name##_shared_key = 0; \
  name##_shared_type& name = ::ccdl::emu::shared_array<name##_shared_type>(&name##_shared_key, #name)
#else
#define CCDL_SHARED(type, name, dims) __shared__ __align__(16) type name dims
#endif

namespace ccdl::cu {

constexpr int kWarp = 32;
constexpr unsigned kFullWarp = 0xffffffffu;

// The dynamic shared memory of the block (LaunchConfig::smem bytes), 128-byte aligned.
template <class T>
CCDL_DEVICE T* dyn_smem() {
#ifdef CCDL_CUDA_EMULATED
  return static_cast<T*>(::ccdl::emu::dynamic_shared());
#else
  extern __shared__ __align__(128) unsigned char ccdl_dynamic_shared[];
  return reinterpret_cast<T*>(ccdl_dynamic_shared);
#endif
}

// Waits until pred() holds; pred reads memory with acquire semantics.
template <class F>
CCDL_DEVICE void spin_until(const F& pred) {
#ifdef CCDL_CUDA_EMULATED
  while (!pred()) ::ccdl::emu::yield();
#else
  while (!pred()) __nanosleep(20);
#endif
}

template <class T>
CCDL_HD constexpr T least(T a, T b) {
  return b < a ? b : a;
}
template <class T>
CCDL_HD constexpr T most(T a, T b) {
  return a < b ? b : a;
}
template <class T>
CCDL_HD constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

// Arithmetic type of a storage type: float for half formats, itself for float and double, int64 for integers
// and bool.
template <class T>
struct ComputeOf {
  using type = int64_t;
};
template <>
struct ComputeOf<float> {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <>
struct ComputeOf<float16> {
  using type = float;
};
template <>
struct ComputeOf<bfloat16> {
  using type = float;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

template <class T>
constexpr bool kIsHalf = false;
template <>
inline constexpr bool kIsHalf<float16> = true;
template <>
inline constexpr bool kIsHalf<bfloat16> = true;

// Storage to storage or compute type, as the CPU does it: half formats through float, floats outside an
// integer's range and NaN as x86 converts them (the most negative int32 or int64, then wrapped), bool is
// "not zero".
template <class To, class From>
CCDL_DEVICE To convert(From v);

}  // namespace ccdl::cu

#include <device/convert.cuh>
