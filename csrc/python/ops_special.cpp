// Rows of the special functions and of the samplers built on quantiles.
#include "binding.h"
#include "generator.h"

#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/special.h>

namespace ccdl::python {
namespace {

template <Tensor (*F)(const Tensor&)>
PyObject* unary(const Args& a) {
  return a.run([&] { return F(a.tensor(0)); });
}

}  // namespace

static const Row kRows[] = {
    {"i0(Tensor input, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(1, "i0", [&] { return ops::i0(a.tensor(0)); }); }, kBoth},
    {"i0_(Tensor self) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::inplace("i0_", a.tensor(0), ops::i0); }); }},
    {"_special_i0e(Tensor x) -> Tensor", unary<ops::i0e>},
    {"_special_i1(Tensor x) -> Tensor", unary<ops::i1>},
    {"_special_i1e(Tensor x) -> Tensor", unary<ops::i1e>},
    {"_special_erfcx(Tensor x) -> Tensor", unary<ops::erfcx>},
    {"_special_ndtr(Tensor x) -> Tensor", unary<ops::ndtr>},
    {"_special_ndtri(Tensor x) -> Tensor", unary<ops::ndtri>},
    {"_special_log_ndtr(Tensor x) -> Tensor", unary<ops::log_ndtr>},
    {"_special_entr(Tensor x) -> Tensor", unary<ops::entr>},
    {"_special_zeta(Number x, Number q) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::zeta(a.operand(0), a.operand(1)); }); }},
    {"_special_xlog1py(Number x, Number y) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::xlog1py(a.operand(0), a.operand(1)); }); }},
    {"_special_betainc(Tensor a, Tensor b, Tensor x) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::betainc(a.tensor(0), a.tensor(1), a.tensor(2)); });
     }},
    {"igamma(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "igamma", [&] { return ops::gammainc(a.tensor(0), a.tensor(1)); });
     },
     kBoth},
    {"igammac(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "igammac", [&] { return ops::gammaincc(a.tensor(0), a.tensor(1)); });
     },
     kBoth},
    {"igamma_(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("igamma_", a.tensor(0),
                             [&](const Tensor& x) { return ops::gammainc(x, a.tensor(1)); });
       });
     }},
    {"igammac_(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("igammac_", a.tensor(0),
                             [&](const Tensor& x) { return ops::gammaincc(x, a.tensor(1)); });
       });
     }},
    {"mvlgamma(Tensor input, int p, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "mvlgamma", [&] { return ops::mvlgamma(a.tensor(0), a.integer(1)); });
     },
     kBoth},
    {"mvlgamma_(Tensor self, int p) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("mvlgamma_", a.tensor(0),
                             [&](const Tensor& x) { return ops::mvlgamma(x, a.integer(1)); });
       });
     }},
    {"polygamma(Tensor self, int n) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::polygamma(a.integer(1), a.tensor(0)); }); }},
    {"polygamma_(Tensor self, int n) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("polygamma_", a.tensor(0),
                             [&](const Tensor& x) { return ops::polygamma(a.integer(1), x); });
       });
     }},
    {"_standard_gamma(Tensor input, Generator? generator=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(1));
       return a.run([&] { return ops::standard_gamma(a.tensor(0), g); });
     }},
    {"poisson(Tensor input, Generator? generator=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(1));
       return a.run([&] { return ops::poisson(a.tensor(0), g); });
     }},
    {"binomial(Tensor count, Tensor prob, Generator? generator=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(2));
       return a.run([&] { return ops::binomial(a.tensor(0), a.tensor(1), g); });
     }},
};

void bind_special(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
