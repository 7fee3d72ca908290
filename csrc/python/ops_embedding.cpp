// Rows of table look-ups.
#include "binding.h"

#include <ccdl/ops/embedding.h>

namespace ccdl::python {

static const Row kRows[] = {
    {"embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, "
     "bool sparse=False) -> Tensor",
     [](const Args& a) {  // sparse is without effect: gradients are dense
       return a.run([&] { return ops::embedding(a.tensor(1), a.tensor(0), a.integer(2), a.boolean(3)); });
     }},
    {"_embedding_bag(Tensor weight, Tensor indices, Tensor? offsets=None, int mode=0, Tensor? "
     "per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1, bool "
     "scale_grad_by_freq=False) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::embedding_bag(a.tensor(1), a.tensor(0), a.tensor_or(2),
                                   static_cast<BagMode>(a.integer(3)), a.tensor_or(4), a.boolean(5),
                                   a.integer(6), a.boolean(7));
       });
     }},
    {"embedding_renorm_(Tensor weight, Tensor indices, float max_norm, float norm_type=2.0) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         ops::embedding_renorm_(a.tensor(0), a.tensor(1), a.real(2), a.real(3));
         return a.tensor(0);
       });
     }},
};

void bind_embedding(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
