// Rows of convolution. Two overloads each: padding as numbers, and as 'same' or 'valid'.
#include "binding.h"

#include <ccdl/ops/conv.h>

namespace ccdl::python {
namespace {

template <int D>
PyObject* conv(const Args& a) {
  return a.run([&] {
    ops::ConvOptions o;
    o.stride = a.ints(3);
    o.padding = a.ints(4);
    o.dilation = a.ints(5);
    o.groups = a.integer(6);
    return ops::conv(D, a.tensor(0), a.tensor(1), a.tensor_or(2), o);
  });
}

template <int D>
PyObject* conv_named(const Args& a) {
  const std::string padding = a.string(4);
  CCDL_CHECK(padding == "same" || padding == "valid", Runtime, "conv", D,
             "d: padding must be 'same', 'valid' or integers, got '", padding, "'");
  return a.run([&] {
    ops::ConvOptions o;
    o.stride = a.ints(3);
    o.same = padding == "same";
    o.dilation = a.ints(5);
    o.groups = a.integer(6);
    return ops::conv(D, a.tensor(0), a.tensor(1), a.tensor_or(2), o);
  });
}

template <int D>
PyObject* transposed(const Args& a) {
  return a.run([&] {
    ops::ConvOptions o;
    o.stride = a.ints(3);
    o.padding = a.ints(4);
    o.output_padding = a.ints(5);
    o.groups = a.integer(6);
    o.dilation = a.ints(7);
    return ops::conv_transpose(D, a.tensor(0), a.tensor(1), a.tensor_or(2), o);
  });
}

}  // namespace

static const Row kRows[] = {
    {"conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, int[1] "
     "dilation=1, "
     "int groups=1) -> Tensor",
     conv<1>},
    {"conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, str padding='valid', int[1] "
     "dilation=1, "
     "int groups=1) -> Tensor",
     conv_named<1>},
    {"conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] "
     "dilation=1, "
     "int groups=1) -> Tensor",
     conv<2>},
    {"conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, str padding='valid', int[2] "
     "dilation=1, "
     "int groups=1) -> Tensor",
     conv_named<2>},
    {"conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, int[3] "
     "dilation=1, "
     "int groups=1) -> Tensor",
     conv<3>},
    {"conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, str padding='valid', int[3] "
     "dilation=1, "
     "int groups=1) -> Tensor",
     conv_named<3>},
    {"conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, "
     "int[1] output_padding=0, int groups=1, int[1] dilation=1) -> Tensor",
     transposed<1>},
    {"conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, "
     "int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor",
     transposed<2>},
    {"conv_transpose3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, "
     "int[3] output_padding=0, int groups=1, int[3] dilation=1) -> Tensor",
     transposed<3>},
};

void bind_conv(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
