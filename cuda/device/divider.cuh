// Division by a run-time constant for either index width: q = n / d for 0 <= n < 2^31 (int32_t) or 2^63
// (int64_t, FastDiv with 64-bit words). No call to a division routine, so nothing is spilled around one.
#pragma once
#include <device/index.cuh>

namespace ccdl::cu {

template <class I>
struct Divider {
  uint64_t magic = 1;
  uint32_t shift = 0;
  Divider() = default;
  explicit Divider(int64_t divisor) {
    const auto d = static_cast<uint64_t>(divisor);
    while ((uint64_t{1} << shift) < d) ++shift;
    magic = static_cast<uint64_t>((static_cast<unsigned __int128>((uint64_t{1} << shift) - d) << 64) / d) + 1;
  }
  CCDL_DEVICE I div(I n) const {
    return static_cast<I>((__umul64hi(static_cast<uint64_t>(n), magic) + static_cast<uint64_t>(n)) >> shift);
  }
};
template <>
struct Divider<int32_t> {
  FastDiv by;
  Divider() = default;
  explicit Divider(int64_t divisor) : by(static_cast<uint32_t>(divisor)) {}
  CCDL_DEVICE int32_t div(int32_t n) const { return static_cast<int32_t>(by.div(static_cast<uint32_t>(n))); }
};

}  // namespace ccdl::cu
