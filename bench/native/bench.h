// Timing for the native benchmarks: median of 21 calls, printed with the work done per second. Usage: NAME
// [threads].
#pragma once
#include <ccdl/ccdl.h>
#include <ccdl/core/parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench {

inline void start(int argc, char** argv) {
  ccdl::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  ccdl::autograd::set_grad_enabled(false);
}

// work: floating-point operations (unit "GFLOP/s") or bytes moved (unit "GB/s") of one call.
template <class F>
void row(const char* name, double work, const char* unit, const F& call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int round = 0; round < 23; ++round) {
    const auto begin = Clock::now();
    call();
    if (round >= 2) seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + 10, seconds.end());
  std::printf("%-34s %12.2f us %9.1f %s\n", name, seconds[10] * 1e6, work / seconds[10] * 1e-9, unit);
}

inline ccdl::Tensor normal(const ccdl::Dims& sizes, ccdl::DType dtype = ccdl::DType::Float32) {
  return ccdl::ops::randn(sizes, dtype);
}

}  // namespace bench
