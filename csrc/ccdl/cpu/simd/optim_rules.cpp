// The element rules over vectors: each array is read and written once.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/optim_rules.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class S_, class V, class I>
struct RuleMath {
  using S = S_;
  static constexpr S k(double c) { return (S)c; }
  CCDL_SI V sel(I m, V a, V b) { return m ? a : b; }
  CCDL_SI V fma(V a, V b, V c) { return CCDL_ISA::fma(a, b, c); }
  CCDL_SI V fma(V a, S b, V c) { return CCDL_ISA::fma(a, set1(b), c); }
  CCDL_SI V sqrt(V a) { return vsqrt(a); }
  CCDL_SI V abs(V a) { return vabs(a); }
};

template <class T, class Rule>
void step(void* pp, const void* pg, void* const* state, int64_t n, const RuleNumbers<double>& exact) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  typedef RuleMath<S, V, typename Lanes<T>::M> M;
  T* p = static_cast<T*>(pp);
  const T* g = static_cast<const T*>(pg);
  T* s[3] = {static_cast<T*>(state[0]), static_cast<T*>(state[1]), static_cast<T*>(state[2])};
  RuleNumbers<S> c = {(S)exact.sign, (S)exact.decay, (S)exact.shrink, {}};
  for (int i = 0; i < 7; ++i) c.k[i] = (S)exact.k[i];
  each_vector<T>(n, [&](int64_t i, int count) {
    V v[3] = {};
    for (int j = 0; j < 3; ++j)
      if (s[j]) v[j] = at(s[j] + i, count);
    const V x = optim_rules::advance<Rule, M, V>(at(p + i, count), at(g + i, count), v, c);
    for (int j = 0; j < 3; ++j)
      if (s[j]) to(s[j] + i, v[j], count);
    to(p + i, x, count);
  });
}

}  // namespace

const OptimRulesKernels optim_rules = {{
#define CCDL_X(Name)                                                                \
  {step<float16, ccdl::optim_rules::Name>, step<bfloat16, ccdl::optim_rules::Name>, \
   step<float, ccdl::optim_rules::Name>, step<double, ccdl::optim_rules::Name>},
    CCDL_OPTIM_RULES(CCDL_X)
#undef CCDL_X
}};

}  // namespace ccdl::cpu::CCDL_ISA
