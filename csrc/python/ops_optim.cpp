// Rows of the fused optimiser steps; the optimiser classes in ccdl.optim own the state.
#include "binding.h"

#include <ccdl/ops/optim.h>

namespace ccdl::python {

// Addresses of the scalars of a CUDA graph under capture (ccdl.cuda), 0 outside.
template <class Options>
static void set_device_scalars(Options* o, const Args& a, int at) {
  o->device_lr = reinterpret_cast<const double*>(a.integer(at));
  o->device_step = reinterpret_cast<const int64_t*>(a.integer(at + 1));
}

static const Row kRows[] = {
    {"_fused_sgd_step(Tensor[] params, Tensor[] grads, Tensor[] momentum_buffers, bool[] first, *, float lr, "
     "float momentum=0.0, float dampening=0.0, float weight_decay=0.0, bool nesterov=False, bool "
     "maximize=False, int device_lr=0, int device_step=0) -> None",
     [](const Args& a) {
       SgdOptions o = {a.real(4), a.real(5), a.real(6), a.real(7), a.boolean(8), a.boolean(9)};
       set_device_scalars(&o, a, 10);
       const std::vector<bool> first(a.reals(3).begin(), a.reals(3).end());
       return a.run([&] {
         ops::fused_sgd_step(a.tensors(0), a.tensors(1), a.tensors(2), first, o);
         return Tensor();
       });
     }},
    {"_fused_adam_step(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, "
     "Tensor[] max_exp_avg_sqs, float[] steps, *, float lr, float beta1, float beta2, float eps, float "
     "weight_decay=0.0, "
     "bool decoupled=False, bool maximize=False, int device_lr=0, int device_step=0) -> None",
     [](const Args& a) {
       AdamOptions o = {a.real(6), a.real(7), a.real(8), a.real(9), a.real(10), a.boolean(11), a.boolean(12)};
       set_device_scalars(&o, a, 13);
       return a.run([&] {
         ops::fused_adam_step(a.tensors(0), a.tensors(1), a.tensors(2), a.tensors(3), a.tensors(4),
                              a.reals(5), o);
         return Tensor();
       });
     }},
};
void bind_optim(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
