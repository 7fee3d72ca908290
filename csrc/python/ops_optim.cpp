// Rows of the fused optimiser steps; the optimiser classes in ccdl.optim own the state.
#include "binding.h"

#include <cmath>

#include <ccdl/ops/optim.h>
#include <ccdl/ops/optim_rules.h>
#include <ccdl/ops/optim_scaled.h>

namespace ccdl::python {

// Addresses of the scalars of a CUDA graph under capture (ccdl.cuda), 0 outside.
template <class Options>
static void set_device_scalars(Options* o, const Args& a, int at) {
  o->device_lr = reinterpret_cast<const double*>(a.integer(at));
  o->device_step = reinterpret_cast<const int64_t*>(a.integer(at + 1));
}

// A number that the step's kernels read, of a GradScaler; null for None.
static const float* device_number(const Args& a, int at, const char* name, int params = 0) {
  if (a.is_none(at)) return nullptr;
  const Tensor& t = a.tensor(at);
  CCDL_CHECK(t.device().is_cuda() && t.dtype() == DType::Float32 && t.numel() == 1, Runtime,
             "optimizer step: ", name, " must be one float32 number on a CUDA device, got ", describe(t));
  for (const Tensor& p : a.tensors(params)) check_same_device("optimizer step", {{"params", &p}, {name, &t}});
  return t.ptr<const float>();
}

static const Row kRows[] = {
    {"_fused_sgd_step(Tensor[] params, Tensor[] grads, Tensor?[] momentum_buffers, bool[] first, *, float "
     "lr, "
     "float momentum=0.0, float dampening=0.0, float weight_decay=0.0, bool nesterov=False, bool "
     "maximize=False, int device_lr=0, int device_step=0, Tensor? found_inf=None, Tensor? skipped=None) -> "
     "None",
     [](const Args& a) {
       SgdOptions o = {a.real(4), a.real(5), a.real(6), a.real(7), a.boolean(8), a.boolean(9)};
       set_device_scalars(&o, a, 10);
       o.found_inf = device_number(a, 12, "found_inf");
       const std::vector<bool> first(a.reals(3).begin(), a.reals(3).end());
       return a.run([&] {
         ops::fused_sgd_step(a.tensors(0), a.tensors(1), a.tensors(2), first, o);
         return Tensor();
       });
     }},
    {"_fused_adam_step(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, "
     "Tensor?[] max_exp_avg_sqs, float[] steps, *, float lr, float beta1, float beta2, float eps, float "
     "weight_decay=0.0, "
     "bool decoupled=False, bool maximize=False, int device_lr=0, int device_step=0, Tensor? found_inf=None, "
     "Tensor? skipped=None) -> None",
     [](const Args& a) {
       AdamOptions o = {a.real(6), a.real(7), a.real(8), a.real(9), a.real(10), a.boolean(11), a.boolean(12)};
       set_device_scalars(&o, a, 13);
       o.found_inf = device_number(a, 15, "found_inf");
       o.skipped = device_number(a, 16, "skipped");
       return a.run([&] {
         ops::fused_adam_step(a.tensors(0), a.tensors(1), a.tensors(2), a.tensors(3), a.tensors(4),
                              a.reals(5), o);
         return Tensor();
       });
     }},
    {"_fused_rule_step(str rule, Tensor[] params, Tensor[] grads, Tensor?[] states0, Tensor?[] states1, "
     "Tensor?[] states2, float[] steps, float[] scalars0, float[] scalars1, *, float lr, float[] numbers, "
     "float weight_decay=0.0, bool decoupled=False, bool maximize=False, int device_lr=0, int device_step=0, "
     "int device_scalar0=0, int device_scalar1=0, Tensor? found_inf=None, Tensor? skipped=None) -> None",
     [](const Args& a) {
       RuleOptions o = {a.real(9), a.real(11), {0, 0, 0, 0, 0}, a.boolean(12), a.boolean(13)};
       const std::vector<double>& numbers = a.reals(10);
       CCDL_CHECK(numbers.size() <= 5, Value, "_fused_rule_step: at most 5 numbers, got ", numbers.size());
       std::copy(numbers.begin(), numbers.end(), o.number);
       set_device_scalars(&o, a, 14);
       for (int i = 0; i < 2; ++i) o.device_scalar[i] = reinterpret_cast<const double*>(a.integer(16 + i));
       o.found_inf = device_number(a, 18, "found_inf", 1);
       o.skipped = device_number(a, 19, "skipped", 1);
       const TensorList states[3] = {a.tensors(3), a.tensors(4), a.tensors(5)};
       const std::vector<double> scalars[2] = {a.reals(7), a.reals(8)};
       return a.run([&] {
         ops::fused_rule_step(a.string(0), a.tensors(1), a.tensors(2), states, a.reals(6), scalars, o);
         return Tensor();
       });
     }},
    {"_fused_lamb_step(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, float[] "
     "steps, *, float lr, float beta1, float beta2, float eps, float weight_decay=0.0, float? "
     "max_ratio=None, bool maximize=False, int device_lr=0, int device_step=0, Tensor? found_inf=None, "
     "Tensor? skipped=None) -> None",
     [](const Args& a) {
       LambOptions o = {a.real(5), a.real(6), a.real(7), a.real(8), a.real(9), HUGE_VAL, a.boolean(11)};
       if (!a.is_none(10)) o.max_ratio = a.real(10);
       set_device_scalars(&o, a, 12);
       o.found_inf = device_number(a, 14, "found_inf");
       o.skipped = device_number(a, 15, "skipped");
       return a.run([&] {
         ops::fused_lamb_step(a.tensors(0), a.tensors(1), a.tensors(2), a.tensors(3), a.reals(4), o);
         return Tensor();
       });
     }},
    {"_fused_adafactor_step(Tensor[] params, Tensor[] grads, Tensor[] row_vars, Tensor[] col_vars, Tensor[] "
     "variances, float[] weights, float[] rates, float[] eps1, *, float lr, float eps2, float d, float "
     "weight_decay=0.0, bool maximize=False, int device_lr=0, int device_step=0, int device_scalar0=0, int "
     "device_scalar1=0) -> None",
     [](const Args& a) {
       AdafactorOptions o = {a.real(8), a.real(9), a.real(10), a.real(11), a.boolean(12)};
       o.device_lr = reinterpret_cast<const double*>(a.integer(13));
       o.device_weight = reinterpret_cast<const double*>(a.integer(15));
       o.device_rate = reinterpret_cast<const double*>(a.integer(16));
       return a.run([&] {
         ops::fused_adafactor_step(a.tensors(0), a.tensors(1), a.tensors(2), a.tensors(3), a.tensors(4),
                                   a.reals(5), a.reals(6), a.reals(7), o);
         return Tensor();
       });
     }},
    {"_count_steps(Tensor[] steps) -> object",
     [](const Args& a) {  // adds 1 to float32 or float64 numbers on the host, and returns them
       PyObject* list = PyList_New(static_cast<Py_ssize_t>(a.tensors(0).size()));
       Py_ssize_t at = 0;
       for (const Tensor& t : a.tensors(0)) {
         const bool fits = t.device().is_cpu() && t.numel() == 1 &&
                           (t.dtype() == DType::Float32 || t.dtype() == DType::Float64);
         if (!fits) Py_XDECREF(list);
         CCDL_CHECK(fits, Type, "optimizer: step counts must be floating numbers on the CPU, got ",
                    describe(t));
         const double n = t.dtype() == DType::Float32 ? *t.ptr<float>() += 1 : *t.ptr<double>() += 1;
         t.bump_version();
         PyList_SetItem(list, at++, PyFloat_FromDouble(n));
       }
       return list;
     }},
};
void bind_optim(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
