// Tensor-core instructions of sm_80: ldmatrix, mma.sync and the tf32 rounding. Every lane of a full warp
// calls them together. With g = lane / 4 and t = lane % 4: A (16 x k) holds rows g, g + 8, B (k x 8) column
// g, C (16 x 8) rows g, g + 8, columns 2t, 2t + 1 in d[0..1], d[2..3]; 32-bit registers of A and B hold k =
// 2t, 2t + 1 (16-bit types, upper half of k in the later registers) or k = t (tf32). Source: PTX ISA, "Matrix
// Fragments for mma.m16n8k16, m16n8k8, m8n8k4".
#pragma once
#include <device/ptx_async.cuh>

#ifdef CCDL_CUDA_EMULATED
#include <emulator/mma.h>
#endif

namespace ccdl::cu {

// 8x8 matrices of 16-bit elements: lane i of group m gives the 16-byte aligned address of row i of matrix m;
// r[m] of a lane then holds row g, elements 2t and 2t + 1 (with kTrans: rows 2t and 2t + 1, element g).
template <int kCount, bool kTrans>
CCDL_DEVICE void ldmatrix(uint32_t (&r)[kCount], const void* row) {
  static_assert(kCount == 1 || kCount == 2 || kCount == 4);
#ifdef CCDL_CUDA_EMULATED
  emu::ldmatrix(r, kCount, kTrans, row);
#else
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kCount == 1 && !kTrans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(from) : "memory");
  else if constexpr (kCount == 1)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(from)
                 : "memory");
  else if constexpr (kCount == 2 && !kTrans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(from)
                 : "memory");
  else if constexpr (kCount == 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(from)
                 : "memory");
  else if constexpr (!kTrans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
#endif
}

struct Tf32 {};  // names the tf32 form of mma

// d += a b. k = 16 for the half formats, 8 for tf32.
CCDL_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bfloat16) {
#ifdef CCDL_CUDA_EMULATED
  emu::mma_m16n8<bfloat16>(d, a, b);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
CCDL_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], float16) {
#ifdef CCDL_CUDA_EMULATED
  emu::mma_m16n8<float16>(d, a, b);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
CCDL_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Tf32) {
#ifdef CCDL_CUDA_EMULATED
  emu::mma_m16n8<float>(d, a, b);
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// fp64, 8x8x4: a = A[g][t], b = B[t][g], d = C[g][2t], C[g][2t + 1].
CCDL_DEVICE void mma(double (&d)[2], double a, double b) {
#ifdef CCDL_CUDA_EMULATED
  emu::mma_m8n8k4(d, a, b);
#else
  asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
      : "+d"(d[0]), "+d"(d[1])
      : "d"(a), "d"(b));
#endif
}

// The tf32 value nearest to v (ties away from zero), as a bit pattern whose low 13 bits are zero.
CCDL_DEVICE uint32_t to_tf32(float v) {
#ifdef CCDL_CUDA_EMULATED
  return emu::round_to_tf32(v);
#else
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
#endif
}

}  // namespace ccdl::cu
