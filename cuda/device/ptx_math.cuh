// Arithmetic instructions without a C++ spelling: the hardware's exponential and the packing of two numbers
// into one register of a half format; and a fence for the optimiser. Source: PTX ISA, "ex2", "cvt".
#pragma once
#include <device/prelude.cuh>

namespace ccdl::cu {

// 2^x within 2 ulp in one instruction; results below the normal range are 0.
CCDL_DEVICE float exp2_approx(float x) {
#ifdef CCDL_CUDA_EMULATED
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// Both rounded to nearest even; lo in the lower half.
CCDL_DEVICE uint32_t pack_pair(float lo, float hi, bfloat16) {
#ifdef CCDL_CUDA_EMULATED
  return convert<bfloat16>(lo).bits | static_cast<uint32_t>(convert<bfloat16>(hi).bits) << 16;
#else
  uint32_t d;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(hi), "f"(lo));
  return d;
#endif
}
CCDL_DEVICE uint32_t pack_pair(float lo, float hi, float16) {
#ifdef CCDL_CUDA_EMULATED
  return convert<float16>(lo).bits | static_cast<uint32_t>(convert<float16>(hi).bits) << 16;
#else
  uint32_t d;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(hi), "f"(lo));
  return d;
#endif
}

// v, computed anew from here on: what a loop derives from it is not kept in registers across iterations.
CCDL_DEVICE int recomputed(int v) {
#ifndef CCDL_CUDA_EMULATED
  asm volatile("" : "+r"(v));
#endif
  return v;
}

}  // namespace ccdl::cu
