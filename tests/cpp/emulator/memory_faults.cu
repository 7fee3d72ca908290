// Broken kernels and their repaired twins: bounds, lifetime, alignment, initialisation, asynchronous copies.
#include <algorithm>

#include "cases.h"
#include "launch.h"

namespace {

template <bool kRepaired>
__global__ void out_of_bounds_global(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (kRepaired && i >= n) return;
  y[i] = 2 * x[i];  // fault: out_of_bounds_global
}
bool run_out_of_bounds_global(bool repaired) {
  Buffer<float> x(ramp(100)), y(100);
  const Shape shape{.grid = 4, .block = 32};
  if (repaired)
    EMU_LAUNCH(shape, "out_of_bounds_global", out_of_bounds_global<true>, x.p, y.p, 100);
  else
    EMU_LAUNCH(shape, "out_of_bounds_global", out_of_bounds_global<false>, x.p, y.p, 100);
  return y.read()[99] == 198.0f;
}

template <bool kRepaired>
__global__ void out_of_bounds_shared(float* y) {
  CCDL_SHARED(float, tile, [32]);
  CCDL_SHARED(float, other, [32]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = static_cast<float>(i);
  other[i] = 0;
  __syncthreads();
  y[i] = tile[kRepaired ? (i + 1) % 32 : i + 1];  // fault: out_of_bounds_shared
}
bool run_out_of_bounds_shared(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.block = 32};
  if (repaired)
    EMU_LAUNCH(shape, "out_of_bounds_shared", out_of_bounds_shared<true>, y.p);
  else
    EMU_LAUNCH(shape, "out_of_bounds_shared", out_of_bounds_shared<false>, y.p);
  return y.read()[30] == 31.0f;
}

template <bool kRepaired>
__global__ void out_of_bounds_dynamic(float* y, int n) {
  float* tile = dyn_smem<float>();
  const int i = static_cast<int>(threadIdx.x);
  if (kRepaired && i >= n) return;
  tile[i] = 1;  // fault: out_of_bounds_dynamic
  y[i] = tile[i];
}
bool run_out_of_bounds_dynamic(bool repaired) {
  Buffer<float> y(64);
  const Shape shape{.block = 64, .smem = 48 * sizeof(float)};
  if (repaired)
    EMU_LAUNCH(shape, "out_of_bounds_dynamic", out_of_bounds_dynamic<true>, y.p, 48);
  else
    EMU_LAUNCH(shape, "out_of_bounds_dynamic", out_of_bounds_dynamic<false>, y.p, 48);
  return y.read()[47] == 1.0f;
}

template <bool kRepaired>
__global__ void misaligned(const float* x, float4* y, int shift) {
  const float* from = x + 4 * threadIdx.x + (kRepaired ? 4 : shift);
  y[threadIdx.x] = *reinterpret_cast<const float4*>(from);  // fault: misaligned
}
bool run_misaligned(bool repaired) {
  Buffer<float> x(ramp(140)), y(128);
  const Shape shape{.block = 32};
  auto* out = reinterpret_cast<float4*>(y.p);
  if (repaired)
    EMU_LAUNCH(shape, "misaligned", misaligned<true>, x.p, out, 1);
  else
    EMU_LAUNCH(shape, "misaligned", misaligned<false>, x.p, out, 1);
  return y.read()[0] == 4.0f;
}

template <bool kRepaired>
__global__ void uninitialised_shared(float* y) {
  CCDL_SHARED(float, tile, [64]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = 1;
  if (kRepaired) tile[i + 32] = 2;
  __syncthreads();
  y[i] = tile[i] + tile[63 - i];  // fault: uninitialised_shared
}
bool run_uninitialised_shared(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.grid = 3, .block = 32};
  if (repaired)
    EMU_LAUNCH(shape, "uninitialised_shared", uninitialised_shared<true>, y.p);
  else
    EMU_LAUNCH(shape, "uninitialised_shared", uninitialised_shared<false>, y.p);
  return y.read()[5] == 3.0f;
}

__global__ void use_after_free(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];  // fault: use_after_free
}
bool run_use_after_free(bool repaired) {
  Buffer<float> y(32);
  float* x;
  cudaMalloc(&x, 32 * sizeof(float));
  cudaMemset(x, 0, 32 * sizeof(float));
  if (!repaired) cudaFree(x);
  const Shape shape{.block = 32};
  EMU_LAUNCH(shape, "use_after_free", use_after_free, x, y.p);
  const bool good = y.read()[3] == 0.0f;
  if (repaired) cudaFree(x);
  return good;
}

// The same in blocks that a caching allocator cuts out of a slab.
bool run_slab_neighbour(bool repaired) {
  Buffer<char> slab(4096);
  auto* x = reinterpret_cast<float*>(slab.p);
  auto* y = reinterpret_cast<float*>(slab.p + 1024);
  ccdl::emu::mark_allocated(x, 30 * sizeof(float), nullptr);
  ccdl::emu::mark_allocated(y, 32 * sizeof(float), nullptr);
  cudaMemsetAsync(x, 0, 30 * sizeof(float), nullptr);
  const Shape shape{.block = repaired ? 30 : 32};
  EMU_LAUNCH(shape, "use_after_free", use_after_free, x, y);
  float out[30];
  cudaMemcpy(out, y, sizeof out, cudaMemcpyDeviceToHost);
  return out[29] == 0.0f;
}

template <bool kRepaired>
__global__ void missing_async_wait(const float4* x, float4* y) {
  CCDL_SHARED(float4, tile, [32]);
  const unsigned i = threadIdx.x;
  ccdl::emu::cp_async(&tile[i], &x[i], 16);
  ccdl::emu::cp_async_commit();
  if (kRepaired) ccdl::emu::cp_async_wait(0);
  __syncthreads();
  y[i] = tile[31 - i];  // fault: missing_async_wait
}
bool run_missing_async_wait(bool repaired) {
  Buffer<float> x(ramp(128)), y(128);
  const Shape shape{.block = 32};
  auto* in = reinterpret_cast<const float4*>(x.p);
  auto* out = reinterpret_cast<float4*>(y.p);
  if (repaired)
    EMU_LAUNCH(shape, "missing_async_wait", missing_async_wait<true>, in, out);
  else
    EMU_LAUNCH(shape, "missing_async_wait", missing_async_wait<false>, in, out);
  return y.read()[0] == 124.0f;
}

// A two-stage pipeline that waits for one group too few.
template <bool kRepaired>
__global__ void short_async_wait(const float* x, float* y) {
  CCDL_SHARED(float, tile, [2][32]);
  const unsigned i = threadIdx.x;
  ccdl::emu::cp_async(&tile[0][i], &x[i], 4);
  ccdl::emu::cp_async_commit();
  float sum = 0;
  for (unsigned k = 0; k < 4; ++k) {
    if (k + 1 < 4) ccdl::emu::cp_async(&tile[(k + 1) % 2][i], &x[32 * (k + 1) + i], 4);
    ccdl::emu::cp_async_commit();
    ccdl::emu::cp_async_wait(kRepaired ? 1 : 2);
    __syncthreads();
    sum += tile[k % 2][31 - i];  // fault: short_async_wait
    __syncthreads();
  }
  ccdl::emu::cp_async_wait(0);
  y[i] = sum;
}
bool run_short_async_wait(bool repaired) {
  Buffer<float> x(ramp(128)), y(32);
  const Shape shape{.block = 32};
  if (repaired)
    EMU_LAUNCH(shape, "short_async_wait", short_async_wait<true>, x.p, y.p);
  else
    EMU_LAUNCH(shape, "short_async_wait", short_async_wait<false>, x.p, y.p);
  return y.read()[31] == 192.0f;
}

template <bool kRepaired>
__global__ void wild_pointer(float* y) {
  float* p = y;
  if (!kRepaired && threadIdx.x == 7) p = reinterpret_cast<float*>(uintptr_t{64});
  p[threadIdx.x] = 1;  // fault: wild_pointer
}
bool run_wild_pointer(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.block = 32};
  if (repaired)
    EMU_LAUNCH(shape, "wild_pointer", wild_pointer<true>, y.p);
  else
    EMU_LAUNCH(shape, "wild_pointer", wild_pointer<false>, y.p);
  return y.read()[7] == 1.0f;
}

__global__ void integer_division(int* y, int by) {
  y[threadIdx.x] = 100 / (by + static_cast<int>(threadIdx.x));  // fault: integer_division
}
bool run_integer_division(bool repaired) {
  Buffer<int> y(32);
  const Shape shape{.block = 32};
  EMU_LAUNCH(shape, "integer_division", integer_division, y.p, repaired ? 1 : -3);
  return y.read()[3] == 25;
}

__global__ void host_memory(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];  // fault: host_memory
}
bool run_host_memory(bool repaired) {
  Buffer<float> y(32);
  std::vector<float> pageable(4096, 3.0f);
  float* pinned;
  cudaHostAlloc(&pinned, 128, cudaHostAllocMapped);
  std::fill(pinned, pinned + 32, 3.0f);
  const Shape shape{.block = 32};
  EMU_LAUNCH(shape, "host_memory", host_memory, repaired ? pinned : pageable.data() + 2048, y.p);
  const bool good = y.read()[3] == 3.0f;
  cudaFreeHost(pinned);
  return good;
}

__global__ void host_dereference_kernel(float* y) { y[threadIdx.x] = 1; }
bool run_host_dereference(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.block = 32};
  EMU_LAUNCH(shape, "host_dereference", host_dereference_kernel, y.p);
  cudaDeviceSynchronize();
  if (repaired) return y.read()[3] == 1.0f;
  return y.p[3] == 1.0f;  // fault: host_dereference
}

// 40 KB of arrays and 16 KB of dynamic memory: more than the 48 KB that a kernel has without asking.
template <bool kRepaired>
__global__ void shared_without_opt_in(float* y) {
  float* dynamic = dyn_smem<float>();
  CCDL_SHARED(float, tile, [10240]);  // fault: shared_without_opt_in
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = dynamic[i] = 1;
  y[i] = tile[i] + dynamic[i];
}
bool run_shared_without_opt_in(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.block = 32, .smem = 16384};
  if (repaired) {
    cudaFuncSetAttribute(shared_without_opt_in<true>, cudaFuncAttributeMaxDynamicSharedMemorySize, 16384);
    EMU_LAUNCH(shape, "shared_without_opt_in", shared_without_opt_in<true>, y.p);
  } else {
    EMU_LAUNCH(shape, "shared_without_opt_in", shared_without_opt_in<false>, y.p);
  }
  return y.read()[3] == 2.0f;
}

// Dynamic memory alone above 48 KB: the launch is refused.
template <bool kRepaired>
__global__ void dynamic_without_opt_in(float* y) {
  float* tile = dyn_smem<float>();
  tile[threadIdx.x] = 1;
  y[threadIdx.x] = tile[threadIdx.x];
}
bool run_dynamic_without_opt_in(bool repaired) {
  Buffer<float> y(32);
  const Shape shape{.block = 32, .smem = 65536};
  if (repaired) {
    cudaFuncSetAttribute(dynamic_without_opt_in<true>, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536);
    EMU_LAUNCH(shape, "dynamic_without_opt_in", dynamic_without_opt_in<true>, y.p);
  } else {
    EMU_LAUNCH(shape, "dynamic_without_opt_in", dynamic_without_opt_in<false>, y.p);
  }
  return y.read()[3] == 1.0f;
}

}  // namespace

const std::vector<FaultCase>& memory_cases() {
  static const std::vector<FaultCase> all = {
      {"out_of_bounds_global", "out-of-bounds", 8, false, run_out_of_bounds_global, __FILE__},
      {"out_of_bounds_shared", "out-of-bounds", 8, false, run_out_of_bounds_shared, __FILE__},
      {"out_of_bounds_dynamic", "out-of-bounds", 8, false, run_out_of_bounds_dynamic, __FILE__},
      {"misaligned", "misaligned", 8, false, run_misaligned, __FILE__},
      {"uninitialised_shared", "uninitialised-shared", 8, false, run_uninitialised_shared, __FILE__},
      {"use_after_free", "use-after-free", 8, false, run_use_after_free, __FILE__},
      {"use_after_free", "out-of-bounds", 8, false, run_slab_neighbour, __FILE__},
      {"missing_async_wait", "missing-wait", 8, false, run_missing_async_wait, __FILE__},
      {"short_async_wait", "missing-wait", 8, false, run_short_async_wait, __FILE__},
      {"wild_pointer", "invalid-address", 8, false, run_wild_pointer, __FILE__},
      {"integer_division", "integer-division", 8, false, run_integer_division, __FILE__},
      {"host_memory", "host-memory", 8, false, run_host_memory, __FILE__},
      {"host_dereference", "host-dereference", 8, false, run_host_dereference, __FILE__},
      {"shared_without_opt_in", "shared-memory", 8, false, run_shared_without_opt_in, __FILE__},
      {"dynamic_without_opt_in", "", 8, false, run_dynamic_without_opt_in, __FILE__},
  };
  return all;
}
