// Row of grid_sample.
#include "binding.h"

#include <ccdl/ops/grid_sample.h>

namespace ccdl::python {

static const Row kRows[] = {
    {"grid_sample(Tensor input, Tensor grid, str mode='bilinear', str padding_mode='zeros', bool "
     "align_corners=False) -> Tensor",
     [](const Args& a) {
       const std::string mode = a.string(2), padding = a.string(3);
       return a.run([&] { return ops::grid_sample(a.tensor(0), a.tensor(1), mode, padding, a.boolean(4)); });
     }},
    {"_grid_sample_composite(Tensor input, Tensor grid, str mode='bilinear', str padding_mode='zeros', bool "
     "align_corners=False) -> Tensor",
     [](const Args& a) {
       const std::string mode = a.string(2), padding = a.string(3);
       return a.run(
           [&] { return ops::grid_sample_composite(a.tensor(0), a.tensor(1), mode, padding, a.boolean(4)); });
     }},
};

void bind_grid_sample(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
