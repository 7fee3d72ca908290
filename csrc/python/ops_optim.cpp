// Rows of the fused optimiser steps; the optimiser classes in ccdl.optim own the state.
#include "binding.h"

#include <ccdl/ops/optim.h>

namespace ccdl::python {

static const Row kRows[] = {
    {"_fused_sgd_step(Tensor[] params, Tensor[] grads, Tensor[] momentum_buffers, bool[] first, *, float lr, "
     "float momentum=0.0, float dampening=0.0, float weight_decay=0.0, bool nesterov=False, bool "
     "maximize=False) -> None",
     [](const Args& a) {
       const SgdOptions o = {a.real(4), a.real(5), a.real(6), a.real(7), a.boolean(8), a.boolean(9)};
       const std::vector<bool> first(a.reals(3).begin(), a.reals(3).end());
       return a.run([&] {
         ops::fused_sgd_step(a.tensors(0), a.tensors(1), a.tensors(2), first, o);
         return Tensor();
       });
     }},
    {"_fused_adam_step(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, "
     "Tensor[] max_exp_avg_sqs, float[] steps, *, float lr, float beta1, float beta2, float eps, float "
     "weight_decay=0.0, "
     "bool decoupled=False, bool maximize=False) -> None",
     [](const Args& a) {
       const AdamOptions o = {a.real(6),  a.real(7),     a.real(8),    a.real(9),
                              a.real(10), a.boolean(11), a.boolean(12)};
       return a.run([&] {
         ops::fused_adam_step(a.tensors(0), a.tensors(1), a.tensors(2), a.tensors(3), a.tensors(4),
                              a.reals(5), o);
         return Tensor();
       });
     }},
};
void bind_optim(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
