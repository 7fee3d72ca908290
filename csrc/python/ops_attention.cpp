// Rows of attention; the docstrings are in nn/functional/attention.py.
#include "binding.h"

#include <ccdl/ops/attention.h>

namespace ccdl::python {
namespace {

ops::AttentionOptions options_of(const Args& a) {
  ops::AttentionOptions o;
  o.dropout = a.real(4);
  o.causal = a.boolean(5);
  o.scale = a.real_or(6);
  o.grouped = a.boolean(7);
  return o;
}

}  // namespace

static const Row kRows[] = {
    {"scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, "
     "float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
     [](const Args& a) {
       const ops::AttentionOptions o = options_of(a);
       return a.run([&] {
         return std::get<0>(ops::attention("scaled_dot_product_attention", a.tensor(0), a.tensor(1),
                                           a.tensor(2), a.tensor_or(3), o));
       });
     }},
    {"_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, "
     "bool is_causal=False, *, float? scale=None, bool enable_gqa=False, bool lower_right=False, "
     "Tensor? key_lengths=None, bool composite=False) -> (Tensor, Tensor)",
     [](const Args& a) {
       ops::AttentionOptions o = options_of(a);
       o.lower_right = a.boolean(8);
       o.key_lengths = a.tensor_or(9);
       const auto f = a.boolean(10) ? ops::attention_composite : ops::attention;
       return a.run([&] { return f("attention", a.tensor(0), a.tensor(1), a.tensor(2), a.tensor_or(3), o); });
     }},
};
void bind_attention(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
