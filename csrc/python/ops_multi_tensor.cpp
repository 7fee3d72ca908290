// Rows of the list passes; ccdl.nn.utils and ccdl.amp call them.
#include "binding.h"

#include <ccdl/ops/multi_tensor.h>

namespace ccdl::python {

template <class F>
static PyObject* run_none(const Args& a, const F& f) {
  return a.run([&] {
    f();
    return Tensor();
  });
}

static const Row kRows[] = {
    {"_total_norm(Tensor[] tensors, float norm_type=2.0) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::total_norm(a.tensors(0), a.real(1)); }); }},
    {"_clip_by_norm_(Tensor[] tensors, Tensor total_norm, float max_norm) -> None",
     [](const Args& a) {
       return run_none(a, [&] { ops::clip_by_norm_(a.tensors(0), a.tensor(1), a.real(2)); });
     }},
    {"_clamp_list_(Tensor[] tensors, float limit) -> None",
     [](const Args& a) { return run_none(a, [&] { ops::clamp_list_(a.tensors(0), a.real(1)); }); }},
    {"_amp_foreach_non_finite_check_and_unscale_(Tensor[] grads, Tensor found_inf, Tensor inv_scale) -> None",
     [](const Args& a) {
       return run_none(a, [&] { ops::amp_unscale_(a.tensors(0), a.tensor(1), a.tensor(2)); });
     }},
    {"_amp_update_scale_(Tensor scale, Tensor growth_tracker, Tensor found_inf, float growth_factor, float "
     "backoff_factor, int growth_interval) -> None",
     [](const Args& a) {
       const ScaleRule rule = {a.real(3), a.real(4), a.integer(5)};
       return run_none(a, [&] { ops::amp_update_scale_(a.tensor(0), a.tensor(1), a.tensor(2), rule); });
     }},
};
void bind_multi_tensor(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
