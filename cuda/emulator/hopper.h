// Bodies of the sm_90 wrappers (device/ptx_tma.cuh, ptx_wgmma.cuh): transaction barriers, bulk tensor copies,
// warpgroup products. What is asynchronous on the device is late here: destinations hold NaN until it has
// happened and been waited for, and touching them before is a fault.
#pragma once
#include <cuda.h>
#include <emulator/device.h>

#include <ccdl/core/dtype.h>

namespace ccdl::emu {

// ---- mbarrier ----
void mbarrier_init(uint64_t* barrier, int arrivals);
void mbarrier_arrive(uint64_t* barrier);
void mbarrier_arrive_expect(uint64_t* barrier, int bytes);
void mbarrier_wait(uint64_t* barrier, int parity);
// Generic accesses of this thread so far come before those that TMA and wgmma make behind it.
void fence_proxy_async();

// ---- bulk tensor copies; at: the first element of the box, fastest dimension first ----
void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, const int* at, int rank);
enum class BulkOp : int { Copy, Add };
void tma_store(const CUtensorMap* map, const void* shared, const int* at, int rank, BulkOp op);
void bulk_commit();
// read: only until the sources have been read.
void bulk_wait(int groups_left, bool read);
void tma_prefetch_map(const CUtensorMap* map);

// ---- wgmma ----
enum class WgmmaType : uint8_t { BFloat16, Float16 };
constexpr WgmmaType wgmma_type(bfloat16) { return WgmmaType::BFloat16; }
constexpr WgmmaType wgmma_type(float16) { return WgmmaType::Float16; }
struct WgmmaForm {
  int n;
  WgmmaType type;
  bool trans_a, trans_b;  // operand in shared memory runs along its rows, not along k
  bool add;               // else d is overwritten
  bool operator==(const WgmmaForm&) const = default;
};
// d: n / 2 registers; a_registers: 4, or null for the descriptor a.
void wgmma(const WgmmaForm& form, float* d, const uint32_t* a_registers, uint64_t a, uint64_t b);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int groups_left);
// setmaxnreg
void set_registers(int count, bool more);

}  // namespace ccdl::emu
