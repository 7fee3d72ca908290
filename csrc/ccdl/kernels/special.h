// Special functions evaluated by series and iterations, in double on contiguous operands of equal
// sizes (ops convert and broadcast); on the CPU the unary ones, Zeta, Polygamma and Gammainc(c) also in
// float. The functions are in special_series.h, special_beta.h and special_draws.h, one source for both
// devices.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

// clang-format off
#define CCDL_SPECIAL_UNARY(X)                                                                                        \
  X(I0, bessel_i0) X(I0e, bessel_i0e) X(I1, bessel_i1) X(I1e, bessel_i1e) X(Erfcx, erfcx) X(Ndtri, ndtri)           \
  X(LogNdtr, log_ndtr)
// Zeta: Hurwitz zeta(x, q). Polygamma: order, x. Gammainc, Gammaincc: regularised, a, x. GammaGrad: dz / da of a
// sample z of Gamma(a) at a fixed probability. PoissonDraw: a sample, from the rate and a uniform.
#define CCDL_SPECIAL_BINARY(X)                                                                                       \
  X(Zeta, zeta) X(Polygamma, polygamma) X(Gammainc, gammainc) X(Gammaincc, gammaincc) X(GammaGrad, gamma_grad)      \
  X(PoissonDraw, poisson_draw)
// Samples: BinomialDraw from count, probability and a uniform, GammaDraw from shape, a normal and a uniform.
// Betainc: a, b, x.
#define CCDL_SPECIAL_TERNARY(X) X(BinomialDraw, binomial_draw) X(Betainc, betainc) X(GammaDraw, gamma_draw)
// clang-format on

#define CCDL_X(Name, function) Name,
enum class SpecialUnary : uint8_t { CCDL_SPECIAL_UNARY(CCDL_X) kCount };
enum class SpecialBinary : uint8_t { CCDL_SPECIAL_BINARY(CCDL_X) kCount };
enum class SpecialTernary : uint8_t { CCDL_SPECIAL_TERNARY(CCDL_X) kCount };
#undef CCDL_X

}  // namespace ccdl

#define CCDL_SPECIAL_CONTRACT                                                         \
  void special_unary(SpecialUnary op, const View& x, const View& y);                  \
  void special_binary(SpecialBinary op, const View& a, const View& b, const View& y); \
  void special_ternary(SpecialTernary op, const View& a, const View& b, const View& c, const View& y);

namespace ccdl::cpu {
CCDL_SPECIAL_CONTRACT
}
namespace ccdl::cu {
CCDL_SPECIAL_CONTRACT
}
#undef CCDL_SPECIAL_CONTRACT
