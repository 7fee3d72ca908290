// Chooses the instruction-set level once, at first use: the best the processor and system support, or
// CCDL_ISA.
#include <ccdl/core/error.h>
#include <ccdl/cpu/isa.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace ccdl::cpu {
namespace {

constexpr const char* kNames[] = {"generic", "v2", "v3", "v4", "v4bf16"};

Isa choose() {
  const char* wanted = std::getenv("CCDL_ISA");
  if (wanted == nullptr || *wanted == '\0') {
    for (int i = static_cast<int>(Isa::v4bf16); i > 0; --i) {
      if (isa_supported(static_cast<Isa>(i))) return static_cast<Isa>(i);
    }
    return Isa::generic;
  }
  for (int i = 0; i <= static_cast<int>(Isa::v4bf16); ++i) {
    if (std::strcmp(wanted, kNames[i]) != 0) continue;
    CCDL_CHECK(isa_supported(static_cast<Isa>(i)), Value, "CCDL_ISA: this processor does not support level '",
               wanted, "'");
    return static_cast<Isa>(i);
  }
  fail(ErrorKind::Value,
       str("CCDL_ISA: unknown level '", wanted, "'; levels are generic, v2, v3, v4, v4bf16"));
}

}  // namespace

bool isa_supported(Isa level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (level) {
    case Isa::generic:
      return true;
    case Isa::v2:
      return __builtin_cpu_supports("x86-64-v2");
    case Isa::v3:
      return __builtin_cpu_supports("x86-64-v3");
    case Isa::v4:
      return __builtin_cpu_supports("x86-64-v4");
    case Isa::v4bf16:
      return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avx512vnni");
  }
  return false;
#else
  return level == Isa::generic;
#endif
}

const char* isa_name(Isa level) { return kNames[static_cast<int>(level)]; }

Isa isa_level() {
  static std::atomic<int> chosen{-1};
  int level = chosen.load(std::memory_order_relaxed);
  if (level < 0) [[unlikely]] {
    level = static_cast<int>(choose());
    chosen.store(level, std::memory_order_relaxed);
  }
  return static_cast<Isa>(level);
}

}  // namespace ccdl::cpu
