// Hinges of a row: vectors of elements, lanes past the end stand at -inf.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/margin.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class S, bool kKeep, bool kSlope>
CCDL_SI void run(const S* x, const S* keep, int64_t n, S shift, S step, S* slope, S* result) {
  using V = typename Lanes<S>::V;
  using M = typename Lanes<S>::M;
  const V zero = {}, one = set1(S(1)), by = set1(shift), gain = set1(step);
  V count = {};
  result[0] = sum_over<S>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) {
        const V z = at(x + i, k, -(S)__builtin_inff()) + by;
        M taken = z > zero;
        if (kKeep) taken &= at(keep + i, k) != zero;
        count += select(taken, one, zero);
        if (kSlope) to(slope + i, at(slope + i, k) + select(taken, gain, zero), k);
        return select(taken, z, zero);
      });
  result[1] = lane_sum(count);
}

template <class S>
void hinges(const S* x, const S* keep, int64_t n, S shift, S step, S* slope, S* result) {
  if (keep)
    slope ? run<S, true, true>(x, keep, n, shift, step, slope, result)
          : run<S, true, false>(x, keep, n, shift, step, slope, result);
  else
    slope ? run<S, false, true>(x, keep, n, shift, step, slope, result)
          : run<S, false, false>(x, keep, n, shift, step, slope, result);
}

}  // namespace

const MarginKernels margin = {hinges<float>, hinges<double>};

}  // namespace ccdl::cpu::CCDL_ISA
