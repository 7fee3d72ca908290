// Rows of the activation functions; nn.functional gives them PyTorch's signatures.
#include "binding.h"

#include <ccdl/ops/activation.h>

namespace ccdl::python {
namespace {

// The in-place twin of one activation, as a function and as a method.
template <class F>
PyObject* inplace_row(const Args& a, const char* name, const F& f) {
  return a.run([&] { return ops::inplace(name, a.tensor(0), f); });
}

#define CCDL_PLAIN_ROWS(name)                                                            \
  {#name "(Tensor input) -> Tensor",                                                     \
   [](const Args& a) { return a.run([&] { return ops::name(a.tensor(0)); }); }},         \
      {#name "_(Tensor input) -> Tensor", [](const Args& a) {                            \
         return inplace_row(a, #name "_", [](const Tensor& x) { return ops::name(x); }); \
       }},
#define CCDL_ONE_NUMBER_ROWS(name, parameter)                                                        \
  {#name "(Tensor input, float " parameter ") -> Tensor",                                            \
   [](const Args& a) { return a.run([&] { return ops::name(a.tensor(0), a.real(1)); }); }},          \
      {#name "_(Tensor input, float " parameter ") -> Tensor", [](const Args& a) {                   \
         return inplace_row(a, #name "_", [&](const Tensor& x) { return ops::name(x, a.real(1)); }); \
       }},
#define CCDL_TWO_NUMBER_ROWS(name, first, second)                                                      \
  {#name "(Tensor input, float " first ", float " second ") -> Tensor",                                \
   [](const Args& a) { return a.run([&] { return ops::name(a.tensor(0), a.real(1), a.real(2)); }); }}, \
      {#name "_(Tensor input, float " first ", float " second ") -> Tensor", [](const Args& a) {       \
         return inplace_row(a, #name "_",                                                              \
                            [&](const Tensor& x) { return ops::name(x, a.real(1), a.real(2)); });      \
       }},

}  // namespace

// clang-format off
static const Row kRows[] = {
    {"relu(Tensor input) -> Tensor", [](const Args& a) { return a.run([&] { return ops::relu(a.tensor(0)); }); }, kBoth},
    {"relu_(Tensor input) -> Tensor", [](const Args& a) { return a.run([&] { return ops::relu_(a.tensor(0)); }); }, kBoth},
    CCDL_PLAIN_ROWS(relu6)
    CCDL_ONE_NUMBER_ROWS(leaky_relu, "negative_slope=0.01")
    {"prelu(Tensor input, Tensor weight) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::prelu(a.tensor(0), a.tensor(1)); }); }, kBoth},
    CCDL_ONE_NUMBER_ROWS(elu, "alpha=1.0")
    CCDL_PLAIN_ROWS(selu)
    CCDL_ONE_NUMBER_ROWS(celu, "alpha=1.0")
    CCDL_PLAIN_ROWS(silu)
    CCDL_ONE_NUMBER_ROWS(swish, "beta=1.0")
    CCDL_PLAIN_ROWS(mish)
    {"gelu(Tensor input, *, str approximate='none') -> Tensor",
     [](const Args& a) {
       const std::string approximate = a.string(1);
       return a.run([&] { return ops::gelu(a.tensor(0), approximate); });
     }},
    CCDL_TWO_NUMBER_ROWS(softplus, "beta=1.0", "threshold=20.0")
    CCDL_PLAIN_ROWS(logsigmoid)
    CCDL_PLAIN_ROWS(softsign)
    CCDL_ONE_NUMBER_ROWS(softshrink, "lambd=0.5")
    CCDL_ONE_NUMBER_ROWS(hardshrink, "lambd=0.5")
    CCDL_PLAIN_ROWS(tanhshrink)
    CCDL_TWO_NUMBER_ROWS(hardtanh, "min_val=-1.0", "max_val=1.0")
    CCDL_PLAIN_ROWS(hardsigmoid)
    CCDL_PLAIN_ROWS(hardswish)
    CCDL_TWO_NUMBER_ROWS(threshold, "threshold", "value")
    {"glu(Tensor input, int dim=-1) -> Tensor", [](const Args& a) { return a.run([&] { return ops::glu(a.tensor(0), a.integer(1)); }); }},
};

// clang-format on
void bind_activation(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
