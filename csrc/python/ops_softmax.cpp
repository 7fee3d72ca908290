// Rows of softmax and log_softmax.
#include "binding.h"

#include <ccdl/ops/softmax.h>

namespace ccdl::python {

static const Row kRows[] = {
    {"softmax(Tensor input, int dim, dtype? dtype=None, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(3, "softmax", [&] { return ops::softmax(a.tensor(0), a.integer(1), a.dtype_or(2)); });
     },
     kBoth},
    {"log_softmax(Tensor input, int dim, dtype? dtype=None, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(3, "log_softmax",
                        [&] { return ops::log_softmax(a.tensor(0), a.integer(1), a.dtype_or(2)); });
     },
     kBoth},
};
void bind_softmax(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
