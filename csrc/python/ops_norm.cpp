// Rows of the normalisations.
#include "binding.h"

#include <ccdl/ops/norm.h>

namespace ccdl::python {

static const Row kRows[] = {
    {"layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float "
     "eps=1e-05, bool cudnn_enable=True) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::layer_norm(a.tensor(0), a.ints(1), a.tensor_or(2), a.tensor_or(3), a.real(4));
       });
     }},
    {"rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::rms_norm(a.tensor(0), a.ints(1), a.tensor_or(2), a.real_or(3)); });
     }},
    {"batch_norm(Tensor input, Tensor? weight=None, Tensor? bias=None, Tensor? running_mean=None, "
     "Tensor? running_var=None, bool training=False, float? momentum=0.1, float eps=1e-05, bool "
     "cudnn_enabled=True) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::batch_norm(a.tensor(0), a.tensor_or(1), a.tensor_or(2), a.tensor_or(3), a.tensor_or(4),
                                a.boolean(5), a.real_or(6).value_or(0.0), a.real(7));
       });
     }},
    {"group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
     "bool cudnn_enabled=True) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::group_norm(a.tensor(0), a.integer(1), a.tensor_or(2), a.tensor_or(3), a.real(4));
       });
     }},
};
void bind_norm(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
