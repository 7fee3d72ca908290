// Special functions by series and iterations (kernels/special.h) with their derivatives, and the random
// numbers that come from quantiles: gamma, Poisson, binomial.
#pragma once
#include <ccdl/core/generator.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor i0(const Tensor& x);
Tensor i0e(const Tensor& x);
Tensor i1(const Tensor& x);
Tensor i1e(const Tensor& x);
Tensor erfcx(const Tensor& x);
Tensor ndtr(const Tensor& x);
Tensor ndtri(const Tensor& p);
Tensor log_ndtr(const Tensor& x);
Tensor entr(const Tensor& x);                                       // -x log x, 0 at 0, -inf below
Tensor zeta(const Operand& x, const Operand& q);                    // no derivative with respect to x
Tensor gammainc(const Tensor& a, const Tensor& x);                  // regularised, lower
Tensor gammaincc(const Tensor& a, const Tensor& x);                 // regularised, upper
Tensor mvlgamma(const Tensor& x, int64_t p);                        // log of the multivariate gamma function
Tensor betainc(const Tensor& a, const Tensor& b, const Tensor& x);  // regularised; derivative by x only

// One sample per element. Gamma samples carry the implicit derivative by their shape parameter.
Tensor standard_gamma(const Tensor& shape, Generator* generator = nullptr);
Tensor poisson(const Tensor& rate, Generator* generator = nullptr);
Tensor binomial(const Tensor& count, const Tensor& prob, Generator* generator = nullptr);

}  // namespace ccdl::ops
