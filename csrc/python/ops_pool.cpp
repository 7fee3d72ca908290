// Rows of the pooling ops, one per number of spatial dims.
#include "binding.h"

#include <ccdl/ops/pool.h>

namespace ccdl::python {
namespace {

ops::PoolArgs window(const Args& a, int dilation, int ceil_mode) {
  ops::PoolArgs p;
  p.kernel_size = a.ints(1);
  if (!a.is_none(2)) p.stride = a.ints(2);
  p.padding = a.ints(3);
  if (dilation > 0) p.dilation = a.ints(dilation);
  p.ceil_mode = a.boolean(ceil_mode);
  return p;
}

template <int D>
PyObject* max_pool(const Args& a) {
  return a.run([&] { return ops::max_pool(D, a.tensor(0), window(a, 4, 5)); });
}
template <int D>
PyObject* max_pool_with_indices(const Args& a) {
  return a.run([&] { return ops::max_pool_with_indices(D, a.tensor(0), window(a, 4, 5)); });
}
template <int D>
PyObject* adaptive_max_pool(const Args& a) {
  return a.run([&] { return ops::adaptive_max_pool(D, a.tensor(0), a.ints(1)); });
}
template <int D>
PyObject* adaptive_avg_pool(const Args& a) {
  return a.run([&] { return ops::adaptive_avg_pool(D, a.tensor(0), a.ints(1)); });
}
template <int D>
PyObject* max_unpool(const Args& a) {
  return a.run([&] { return ops::max_unpool(D, a.tensor(0), a.tensor(1), a.ints(2)); });
}
template <int D>
PyObject* avg_pool(const Args& a) {
  return a.run([&] {
    const auto divisor = D == 1 ? std::nullopt : a.integer_or(6);
    return ops::avg_pool(D, a.tensor(0), window(a, 0, 4), a.boolean(5), divisor);
  });
}

}  // namespace

static const Row kRows[] = {
    {"max_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] dilation=1, "
     "bool ceil_mode=False) -> Tensor",
     max_pool<1>},
    {"max_pool1d_with_indices(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
     "int[1] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
     max_pool_with_indices<1>},
    {"adaptive_max_pool1d(Tensor input, int[1] output_size) -> (Tensor, Tensor)", adaptive_max_pool<1>},
    {"adaptive_avg_pool1d(Tensor input, int[1] output_size) -> Tensor", adaptive_avg_pool<1>},
    {"max_unpool1d(Tensor input, Tensor indices, int[1] output_size) -> Tensor", max_unpool<1>},
    {"avg_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, bool "
     "ceil_mode=False, "
     "bool count_include_pad=True) -> Tensor",
     avg_pool<1>},
    {"max_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] dilation=1, "
     "bool ceil_mode=False) -> Tensor",
     max_pool<2>},
    {"max_pool2d_with_indices(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, "
     "int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
     max_pool_with_indices<2>},
    {"adaptive_max_pool2d(Tensor input, int[2] output_size) -> (Tensor, Tensor)", adaptive_max_pool<2>},
    {"adaptive_avg_pool2d(Tensor input, int[2] output_size) -> Tensor", adaptive_avg_pool<2>},
    {"max_unpool2d(Tensor input, Tensor indices, int[2] output_size) -> Tensor", max_unpool<2>},
    {"avg_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool "
     "ceil_mode=False, "
     "bool count_include_pad=True, int? divisor_override=None) -> Tensor",
     avg_pool<2>},
    {"max_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] dilation=1, "
     "bool ceil_mode=False) -> Tensor",
     max_pool<3>},
    {"max_pool3d_with_indices(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, "
     "int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
     max_pool_with_indices<3>},
    {"adaptive_max_pool3d(Tensor input, int[3] output_size) -> (Tensor, Tensor)", adaptive_max_pool<3>},
    {"adaptive_avg_pool3d(Tensor input, int[3] output_size) -> Tensor", adaptive_avg_pool<3>},
    {"max_unpool3d(Tensor input, Tensor indices, int[3] output_size) -> Tensor", max_unpool<3>},
    {"avg_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, bool "
     "ceil_mode=False, "
     "bool count_include_pad=True, int? divisor_override=None) -> Tensor",
     avg_pool<3>},
};
void bind_pool(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
