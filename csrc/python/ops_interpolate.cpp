// Row of resampling.
#include "binding.h"

#include <ccdl/ops/interpolate.h>

namespace ccdl::python {
namespace {

// scale_factor: a number for all dimensions, or one each.
std::vector<double> scales(PyObject* o) {
  std::vector<double> out;
  if (!o || o == Py_None) return out;
  Scalar v;
  if (number_from(o, &v)) return {v.to_double()};
  CCDL_CHECK(PyTuple_Check(o) || PyList_Check(o), Type,
             "interpolate: scale_factor must be a number or a tuple of numbers, not ", Py_TYPE(o)->tp_name);
  CCDL_CHECK(PySequence_Size(o) > 0, Value, "interpolate: scale_factor must not be empty");
  for (Py_ssize_t i = 0; i < PySequence_Size(o); ++i) {
    PyObject* item = PySequence_GetItem(o, i);
    const bool ok = item && number_from(item, &v);
    Py_XDECREF(item);
    CCDL_CHECK(ok, Type, "interpolate: scale_factor must be a number or a tuple of numbers");
    out.push_back(v.to_double());
  }
  return out;
}

}  // namespace

static const Row kRows[] = {
    {"interpolate(Tensor input, int[1]? size=None, object scale_factor=None, str mode='nearest', bool? "
     "align_corners=None, "
     "bool? recompute_scale_factor=None, bool antialias=False) -> Tensor",
     [](const Args& a) {
       const std::vector<double> scale = scales(a.object(2));
       const std::string mode = a.string(3);
       return a.run([&] {
         return ops::interpolate(a.tensor(0), a.ints_or(1), scale, mode, a.boolean_or(4), a.boolean_or(5),
                                 a.boolean(6));
       });
     }},
};

void bind_interpolate(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
