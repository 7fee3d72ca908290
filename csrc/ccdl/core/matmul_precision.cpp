#include <ccdl/core/matmul_precision.h>

#include <atomic>

namespace ccdl {

static std::atomic<MatmulPrecision> g_precision{MatmulPrecision::Ieee};
MatmulPrecision matmul_precision() noexcept { return g_precision.load(std::memory_order_relaxed); }
void set_matmul_precision(MatmulPrecision precision) noexcept {
  g_precision.store(precision, std::memory_order_relaxed);
}

}  // namespace ccdl
