// The extension module: types first, then the rows of every op family.
#include <pybind11/pybind11.h>

#include <ccdl/core/warn.h>

#include "binding.h"
#include "families.h"
#include "signature.h"
#include "subclass.h"

namespace ccdl::python {
#define CCDL_DECLARE(family) void bind_##family(PyObject* module);
CCDL_FAMILIES(CCDL_DECLARE)
#undef CCDL_DECLARE

// Raises what the filters of `warnings` make an error.
static void warn_in_python(const std::string& message) {
  const PyGILState_STATE state = PyGILState_Ensure();
  const int raised = PyErr_WarnEx(PyExc_UserWarning, message.c_str(), 1);
  PyGILState_Release(state);
  if (raised) throw PyError{};
}
}  // namespace ccdl::python

#ifndef CCDL_VERSION
#define CCDL_VERSION "0.1.0"
#endif

PYBIND11_MODULE(_C, m) {
  using namespace ccdl::python;
  PyObject* module = m.ptr();
  if (!init_objects(module) || !init_tensor_type(module) || !init_op_types(module) ||
      !init_autograd(module) || !init_exchange(module) || !init_factory(module) || !init_subclass(module))
    throw pybind11::error_already_set();
  ccdl::set_warning_handler(warn_in_python);
#define CCDL_BIND(family) bind_##family(module);
  CCDL_FAMILIES(CCDL_BIND)
#undef CCDL_BIND
  m.attr("__version__") = CCDL_VERSION;
}
