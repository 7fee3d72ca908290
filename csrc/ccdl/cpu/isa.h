// Instruction-set levels and the one place where a level is chosen (at load; CCDL_ISA=generic|v2|v3|v4|v4bf16
// forces one). Sources in simd/ are compiled once per level into the namespace named after it; each family
// has one struct of function pointers. CCDL_SIMD_FAMILY(GemmKernels, gemm) declares that struct's instance in
// every level and the selector `const GemmKernels& simd_gemm()`.
#pragma once

namespace ccdl::cpu {

enum class Isa : int { generic, v2, v3, v4, v4bf16 };
Isa isa_level();  // the chosen level
const char* isa_name(Isa level);
bool isa_supported(Isa level);

}  // namespace ccdl::cpu

// Level v2 (SSE4.2, no AVX) has vectors as wide as generic's and runs its kernels: what SSE4.2 adds shortens
// them by a few percent only, for 3 MB of machine code. CCDL_SIMD_FAMILY_V2 is for families where it is more.
#if defined(__x86_64__)
#define CCDL_SIMD_FAMILY_AT(Struct, family, second) \
  namespace generic {                               \
  extern const Struct family;                       \
  }                                                 \
  namespace second {                                \
  extern const Struct family;                       \
  }                                                 \
  namespace v3 {                                    \
  extern const Struct family;                       \
  }                                                 \
  namespace v4 {                                    \
  extern const Struct family;                       \
  }                                                 \
  inline const Struct& simd_##family() {            \
    switch (isa_level()) {                          \
      case Isa::generic:                            \
        return generic::family;                     \
      case Isa::v2:                                 \
        return second::family;                      \
      case Isa::v3:                                 \
        return v3::family;                          \
      default:                                      \
        return v4::family;                          \
    }                                               \
  }
#define CCDL_SIMD_FAMILY(Struct, family) CCDL_SIMD_FAMILY_AT(Struct, family, generic)
#define CCDL_SIMD_FAMILY_V2(Struct, family) CCDL_SIMD_FAMILY_AT(Struct, family, v2)
#else
#define CCDL_SIMD_FAMILY(Struct, family) \
  namespace generic {                    \
  extern const Struct family;            \
  }                                      \
  inline const Struct& simd_##family() { return generic::family; }
#define CCDL_SIMD_FAMILY_V2(Struct, family) CCDL_SIMD_FAMILY(Struct, family)
#endif
