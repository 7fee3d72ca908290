// Rows of joining, repeating, rearranging, padding and sliding windows.
#include "binding.h"

#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {
namespace {

template <Tensor (*F)(const TensorList&)>
PyObject* join(const Args& a, const char* op) {
  return a.run_out(1, op, [&] { return F(a.tensors(0)); });
}
PyObject* cat_row(const Args& a) {
  return a.run_out(2, "cat", [&] { return ops::cat(a.tensors(0), a.integer(1)); });
}
template <int N>
PyObject* atleast_one(const Args& a) {
  return a.run([&] { return ops::atleast(a.tensor(0), N); });
}
template <int N>
PyObject* atleast_all(const Args& a) {
  return a.run([&] {
    TensorList out;
    for (const Tensor& x : a.tensors(0)) out.push_back(ops::atleast(x, N));
    return out;
  });
}

}  // namespace

static const Row kRows[] = {
    {"cat(Tensor[] tensors, int dim=0, *, Tensor? out=None) -> Tensor", cat_row},
    {"concat(Tensor[] tensors, int dim=0, *, Tensor? out=None) -> Tensor", cat_row},
    {"concatenate(Tensor[] tensors, int dim=0, *, Tensor? out=None) -> Tensor", cat_row},
    {"stack(Tensor[] tensors, int dim=0, *, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       return a.run_out(2, "stack", [&] { return ops::stack(a.tensors(0), a.integer(1)); });
     }},
    {"hstack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return join<ops::hstack>(a, "hstack"); }},
    {"vstack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return join<ops::vstack>(a, "vstack"); }},
    {"row_stack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return join<ops::vstack>(a, "row_stack"); }},
    {"dstack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return join<ops::dstack>(a, "dstack"); }},
    {"column_stack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return join<ops::column_stack>(a, "column_stack"); }},
    {"block_diag(Tensor[]* tensors=[]) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::block_diag(a.given(0) ? a.tensors(0) : TensorList{}); });
     }},
    {"cartesian_prod(Tensor[]* tensors) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::cartesian_prod(a.tensors(0)); }); }},
    {"combinations(Tensor input, int r=2, bool with_replacement=False) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::combinations(a.tensor(0), a.integer(1), a.boolean(2)); });
     }},
    {"meshgrid(Tensor[]* tensors=[], *, str indexing='ij') -> Tensor[]",
     [](const Args& a) {
       const std::string indexing = a.string(1);
       return a.run([&] { return ops::meshgrid(a.given(0) ? a.tensors(0) : TensorList{}, indexing); });
     }},
    {"broadcast_tensors(Tensor[]* tensors) -> Tensor[]",
     [](const Args& a) { return a.run([&] { return ops::broadcast_tensors(a.tensors(0)); }); }},
    {"atleast_1d(Tensor input) -> Tensor", atleast_one<1>},
    {"atleast_1d(Tensor[]* tensors) -> Tensor[]", atleast_all<1>},
    {"atleast_2d(Tensor input) -> Tensor", atleast_one<2>},
    {"atleast_2d(Tensor[]* tensors) -> Tensor[]", atleast_all<2>},
    {"atleast_3d(Tensor input) -> Tensor", atleast_one<3>},
    {"atleast_3d(Tensor[]* tensors) -> Tensor[]", atleast_all<3>},
    {"roll(Tensor input, int[1] shifts, int[1]? dims=[]) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::roll(a.tensor(0), a.ints(1), a.is_none(2) ? Dims{} : a.ints(2)); });
     },
     kBoth},
    {"flip(Tensor input, int[]* dims) -> Tensor",
     [](const Args& a) {
       CCDL_CHECK(a.given(1), Type, "flip() missing 1 required positional argument: 'dims'");
       return a.run([&] { return ops::flip(a.tensor(0), a.ints(1)); });
     },
     kBoth},
    {"fliplr(Tensor input) -> Tensor",
     [](const Args& a) {
       CCDL_CHECK(a.tensor(0).dim() >= 2, Runtime, "fliplr: Input must be >= 2-d, got ",
                  describe(a.tensor(0)));
       return a.run([&] { return ops::flip(a.tensor(0), Dims{1}); });
     },
     kBoth},
    {"flipud(Tensor input) -> Tensor",
     [](const Args& a) {
       CCDL_CHECK(a.tensor(0).dim() >= 1, Runtime, "flipud: Input must be >= 1-d, got ",
                  describe(a.tensor(0)));
       return a.run([&] { return ops::flip(a.tensor(0), Dims{0}); });
     },
     kBoth},
    {"rot90(Tensor input, int k=1, int[] dims=[0, 1]) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::rot90(a.tensor(0), a.integer(1), a.ints(2)); }); },
     kBoth},
    {"repeat(Tensor self, int[]* repeats) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::repeat(a.tensor(0), a.ints(1)); }); }},
    {"tile(Tensor input, int[]* dims) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::tile(a.tensor(0), a.ints(1)); }); }, kBoth},
    {"repeat_interleave(Tensor input, int repeats, int? dim=None, *, int? output_size=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::repeat_interleave(a.tensor(0), a.integer(1), a.integer_or(2)); });
     },
     kBoth},
    {"repeat_interleave(Tensor input, Tensor repeats, int? dim=None, *, int? output_size=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::repeat_interleave(a.tensor(0), a.tensor(1), a.integer_or(2), a.integer_or(3));
       });
     },
     kBoth},
    {"tril(Tensor input, int diagonal=0, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "tril", [&] { return ops::tril(a.tensor(0), a.integer(1)); }); },
     kBoth},
    {"triu(Tensor input, int diagonal=0, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "triu", [&] { return ops::triu(a.tensor(0), a.integer(1)); }); },
     kBoth},
    {"tril_(Tensor self, int diagonal=0) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("tril_", a.tensor(0),
                             [&](const Tensor& x) { return ops::tril(x, a.integer(1)); });
       });
     }},
    {"triu_(Tensor self, int diagonal=0) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::inplace("triu_", a.tensor(0),
                             [&](const Tensor& x) { return ops::triu(x, a.integer(1)); });
       });
     }},
    {"diag(Tensor input, int diagonal=0, *, Tensor? out=None) -> Tensor",
     [](const Args& a) { return a.run_out(2, "diag", [&] { return ops::diag(a.tensor(0), a.integer(1)); }); },
     kBoth},
    {"diagflat(Tensor input, int offset=0) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::diagflat(a.tensor(0), a.integer(1)); }); }, kBoth},
    {"diag_embed(Tensor input, int offset=0, int dim1=-2, int dim2=-1) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::diag_embed(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)); });
     },
     kBoth},
    {"pad(Tensor input, int[] pad, str mode='constant', float? value=None) -> Tensor",
     [](const Args& a) {
       const std::string mode = a.string(2);
       return a.run([&] { return ops::pad(a.tensor(0), a.ints(1), mode, a.real_or(3).value_or(0)); });
     }},
    {"im2col(Tensor input, int[2] kernel_size, int[2] dilation=[1, 1], int[2] padding=[0, 0], int[2] "
     "stride=[1, 1]) -> Tensor",
     [](const Args& a) {
       return a.run(
           [&] { return ops::unfold_windows(a.tensor(0), a.ints(1), a.ints(2), a.ints(3), a.ints(4)); });
     }},
    {"col2im(Tensor input, int[2] output_size, int[2] kernel_size, int[2] dilation=[1, 1], int[2] "
     "padding=[0, 0], int[2] stride=[1, 1]) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::fold_windows(a.tensor(0), a.ints(1), a.ints(2), a.ints(3), a.ints(4), a.ints(5));
       });
     }},
    {"pixel_shuffle(Tensor input, int upscale_factor) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::pixel_shuffle(a.tensor(0), a.integer(1)); }); }},
    {"pixel_unshuffle(Tensor input, int downscale_factor) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::pixel_unshuffle(a.tensor(0), a.integer(1)); }); }},
};

void bind_shape(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
