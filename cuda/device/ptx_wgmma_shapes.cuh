// More shapes of wgmma (sm_90a) than the GEMM needs, named by the size of the accumulator: d += a b or d = a
// b with k = 16, d [64][N] in N / 2 registers as in ptx_wgmma.cuh, N = 64, 128, 256. wgmma_shared takes a
// from shared memory, wgmma_registers from the registers of an m16n8k16 A fragment per warp: rows 16w + g and
// 16w + g + 8, k = 2t, 2t + 1 in a[0], a[1] and k + 8 in a[2], a[3] - that is d's layout rounded to halves.
// Source: PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16".
#pragma once
#include <device/ptx_wgmma.cuh>

namespace ccdl::cu {

#ifdef CCDL_CUDA_EMULATED

template <int kTransA, int kTransB, int kHalf, class T>
CCDL_DEVICE void wgmma_shared(float (&d)[kHalf], uint64_t a, uint64_t b, bool add, T) {
  emu::wgmma({2 * kHalf, emu::wgmma_type(T()), kTransA != 0, kTransB != 0, add}, d, nullptr, a, b);
}
template <int kTransB, int kHalf, class T>
CCDL_DEVICE void wgmma_registers(float (&d)[kHalf], const uint32_t (&a)[4], uint64_t b, bool add, T) {
  emu::wgmma({2 * kHalf, emu::wgmma_type(T()), false, kTransB != 0, add}, d, a, 0, b);
}

#else
// clang-format off
#define CCDL_D32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define CCDL_D64 CCDL_D32 ", " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define CCDL_D128 CCDL_D64 ", " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define CCDL_F8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), \
  "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define CCDL_F32(i) CCDL_F8(i), CCDL_F8(i + 8), CCDL_F8(i + 16), CCDL_F8(i + 24)
#define CCDL_F64(i) CCDL_F32(i), CCDL_F32(i + 32)
#define CCDL_F128(i) CCDL_F64(i), CCDL_F64(i + 64)

// A, B, P, X...: numbers of the operands behind d
#define CCDL_WGMMA_SHARED(N, D, F, A, B, P, X, Y, T, type)                                                   \
  template <int kTransA, int kTransB>                                                                        \
  CCDL_DEVICE void wgmma_shared(float (&d)[N / 2], uint64_t a, uint64_t b, bool add, T) {                     \
    asm volatile("{.reg .pred p; setp.ne.b32 p, " P ", 0; "                                                  \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" D "}, "                \
                 A ", " B ", p, 1, 1, " X ", " Y ";}"                                                        \
                 : F(0) : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kTransA), "n"(kTransB));            \
  }
#define CCDL_WGMMA_REGISTERS(N, D, F, A0, A1, A2, A3, B, P, Y, T, type)                                      \
  template <int kTransB>                                                                                     \
  CCDL_DEVICE void wgmma_registers(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, bool add, T) {      \
    asm volatile("{.reg .pred p; setp.ne.b32 p, " P ", 0; "                                                  \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" D "}, "                \
                 "{" A0 ", " A1 ", " A2 ", " A3 "}, " B ", p, 1, 1, " Y ";}"                                 \
                 : F(0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)),     \
                   "n"(kTransB));                                                                            \
  }
CCDL_WGMMA_SHARED(64, CCDL_D32, CCDL_F32, "%32", "%33", "%34", "%35", "%36", bfloat16, "bf16")
CCDL_WGMMA_SHARED(128, CCDL_D64, CCDL_F64, "%64", "%65", "%66", "%67", "%68", bfloat16, "bf16")
CCDL_WGMMA_REGISTERS(64, CCDL_D32, CCDL_F32, "%32", "%33", "%34", "%35", "%36", "%37", "%38", bfloat16, "bf16")
CCDL_WGMMA_REGISTERS(128, CCDL_D64, CCDL_F64, "%64", "%65", "%66", "%67", "%68", "%69", "%70", bfloat16, "bf16")
CCDL_WGMMA_REGISTERS(256, CCDL_D128, CCDL_F128, "%128", "%129", "%130", "%131", "%132", "%133", "%134", bfloat16, "bf16")
CCDL_WGMMA_SHARED(64, CCDL_D32, CCDL_F32, "%32", "%33", "%34", "%35", "%36", float16, "f16")
CCDL_WGMMA_SHARED(128, CCDL_D64, CCDL_F64, "%64", "%65", "%66", "%67", "%68", float16, "f16")
CCDL_WGMMA_REGISTERS(64, CCDL_D32, CCDL_F32, "%32", "%33", "%34", "%35", "%36", "%37", "%38", float16, "f16")
CCDL_WGMMA_REGISTERS(128, CCDL_D64, CCDL_F64, "%64", "%65", "%66", "%67", "%68", "%69", "%70", float16, "f16")
CCDL_WGMMA_REGISTERS(256, CCDL_D128, CCDL_F128, "%128", "%129", "%130", "%131", "%132", "%133", "%134", float16, "f16")
#undef CCDL_WGMMA_REGISTERS
#undef CCDL_WGMMA_SHARED
#undef CCDL_F128
#undef CCDL_F64
#undef CCDL_F32
#undef CCDL_F8
#undef CCDL_D128
#undef CCDL_D64
#undef CCDL_D32
// clang-format on
#endif

// After the wait: what is computed from d from here on may not move before it.
template <int N>
CCDL_DEVICE void wgmma_finished([[maybe_unused]] float (&d)[N]) {
#ifndef CCDL_CUDA_EMULATED
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
#endif
}

}  // namespace ccdl::cu
