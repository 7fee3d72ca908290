// Rows of the losses. Reductions arrive by name.
#include "binding.h"

#include <array>

#include <ccdl/ops/ctc.h>
#include <ccdl/ops/loss.h>
#include <ccdl/ops/margin.h>

namespace ccdl::python {
namespace {

template <Tensor (*F)(const Tensor&, const Tensor&, LossReduction)>
PyObject* plain(const Args& a, const char* op) {
  const LossReduction r = ops::parse_reduction(op, a.string(2));
  return a.run([&] { return F(a.tensor(0), a.tensor(1), r); });
}

template <Tensor (*F)(const Tensor&, const Tensor&, LossReduction, double)>
PyObject* with_width(const Args& a, const char* op) {
  const LossReduction r = ops::parse_reduction(op, a.string(2));
  return a.run([&] { return F(a.tensor(0), a.tensor(1), r, a.real(3)); });
}

// A name, or PyTorch's number of it: 0 none, 1 mean, 2 sum.
LossReduction named_or_numbered(const Args& a, const char* op, int i, LossReduction otherwise) {
  PyObject* value = a.object(i);
  if (!value) return otherwise;
  if (PyUnicode_Check(value)) {
    const char* name = PyUnicode_AsUTF8(value);
    if (!name) PyErr_Clear();  // lone surrogates: no reduction is called so
    return ops::parse_reduction(op, name ? name : "?");
  }
  CCDL_CHECK(PyLong_Check(value) && !PyBool_Check(value), Type, op,
             "(): argument 'reduction' must be int or str, not ", Py_TYPE(value)->tp_name);
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
  CCDL_CHECK(overflow == 0 && number >= 0 && number <= 2, Value, op, ": reduction is ", number,
             ", must be 0 (none), 1 (mean) or 2 (sum)");
  return ops::parse_reduction(op, std::array{"none", "mean", "sum"}[static_cast<size_t>(number)]);
}

}  // namespace

static const Row kRows[] = {
    {"cross_entropy(Tensor input, Tensor target, *, Tensor? weight=None, int ignore_index=-100, str "
     "reduction='mean', "
     "float label_smoothing=0.0) -> Tensor",
     [](const Args& a) {
       const LossReduction r = ops::parse_reduction("cross_entropy", a.string(4));
       return a.run([&] {
         return ops::cross_entropy(a.tensor(0), a.tensor(1), a.tensor_or(2), r, a.integer(3), a.real(5));
       });
     }},
    {"nll_loss(Tensor input, Tensor target, *, Tensor? weight=None, int ignore_index=-100, str "
     "reduction='mean') -> Tensor",
     [](const Args& a) {
       const LossReduction r = ops::parse_reduction("nll_loss", a.string(4));
       return a.run([&] { return ops::nll_loss(a.tensor(0), a.tensor(1), a.tensor_or(2), r, a.integer(3)); });
     }},
    {"mse_loss(Tensor input, Tensor target, *, str reduction='mean') -> Tensor",
     [](const Args& a) { return plain<ops::mse_loss>(a, "mse_loss"); }},
    {"l1_loss(Tensor input, Tensor target, *, str reduction='mean') -> Tensor",
     [](const Args& a) { return plain<ops::l1_loss>(a, "l1_loss"); }},
    {"smooth_l1_loss(Tensor input, Tensor target, *, str reduction='mean', float beta=1.0) -> Tensor",
     [](const Args& a) { return with_width<ops::smooth_l1_loss>(a, "smooth_l1_loss"); }},
    {"huber_loss(Tensor input, Tensor target, *, str reduction='mean', float delta=1.0) -> Tensor",
     [](const Args& a) { return with_width<ops::huber_loss>(a, "huber_loss"); }},
    {"binary_cross_entropy(Tensor input, Tensor target, *, Tensor? weight=None, str reduction='mean') -> "
     "Tensor",
     [](const Args& a) {
       const LossReduction r = ops::parse_reduction("binary_cross_entropy", a.string(3));
       return a.run([&] { return ops::binary_cross_entropy(a.tensor(0), a.tensor(1), a.tensor_or(2), r); });
     }},
    {"binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, Tensor? "
     "pos_weight=None, object reduction='mean') -> Tensor",
     [](const Args& a) {
       const LossReduction r =
           named_or_numbered(a, "binary_cross_entropy_with_logits", 4, LossReduction::Mean);
       return a.run([&] {
         return ops::binary_cross_entropy_with_logits(a.tensor(0), a.tensor(1), a.tensor_or(2),
                                                      a.tensor_or(3), r);
       });
     }},
    {"kl_div(Tensor input, Tensor target, object reduction='none', *, bool log_target=False) -> Tensor",
     [](const Args& a) {
       const LossReduction r = named_or_numbered(a, "kl_div", 2, LossReduction::None);
       return a.run([&] { return ops::kl_div(a.tensor(0), a.tensor(1), r, a.boolean(3)); });
     }},
    {"_margin_rows(Tensor input, Tensor target, Tensor? weight=None, float margin=1.0) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::margin_rows(a.tensor(0), a.tensor(1), a.tensor_or(2), a.real(3)); });
     }},
    {"_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank, bool "
     "zero_infinity) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::ctc_loss(a.tensor(0), a.tensor(1), a.all_ints(2), a.all_ints(3), a.integer(4),
                              a.boolean(5));
       });
     }},
};
void bind_loss(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
