// What ccdl.fft and ComplexTensor call: Fourier transforms and products of pairs.
#include "binding.h"

#include <ccdl/ops/complex.h>
#include <ccdl/ops/fft.h>

namespace ccdl::python {

static const Row kRows[] = {
    {"_fft(Tensor input, int kind, int n, int dim, int count, bool plus, float factor) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         const int64_t kind = a.integer(1);
         CCDL_CHECK(kind >= 0 && kind <= 3, Value, "fft: kind must be 0, 1, 2 or 3, got ", kind);
         FftSpec spec;
         spec.kind = kind == 3 ? FftKind::to_half : static_cast<FftKind>(kind);
         spec.mirrored = kind == 3;
         spec.n = a.integer(2);
         spec.plus = a.boolean(5);
         spec.factor = a.real(6);
         return ops::fft_transform(a.tensor(0), spec, a.integer(3), a.integer(4));
       });
     }},
    {"_complex_multiply(Tensor input, Tensor other) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::complex_multiply(a.tensor(0), a.tensor(1)); }); }},
    {"_complex_scale(Tensor input, Tensor other) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::complex_scale(a.tensor(0), a.tensor(1)); }); }},
};
void bind_fft(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
