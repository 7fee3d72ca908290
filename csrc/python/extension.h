// For extension modules outside ccdl: a pybind11 caster between ccdl::Tensor and ccdl.Tensor, and ccdl's
// exception types. Functions taking and returning ccdl::Tensor then bind like any others; call
// ccdl::python::use_errors() in the module. The wheel's own module hands out the conversions as a capsule, so
// extensions link ccdl::ccdl and nothing else.
#pragma once
#include <pybind11/pybind11.h>

#include <ccdl/core/tensor.h>

namespace ccdl::python {

struct ExtensionApi {
  int version;                                         // kExtensionVersion of the wheel
  PyObject* (*wrap)(const Tensor& x);                  // new reference
  const Tensor* (*unwrap)(PyObject* o);                // nullptr when o is not a tensor; no exception is set
  void (*raise)(ErrorKind kind, const char* message);  // sets the Python exception
};
constexpr int kExtensionVersion = 1;

inline const ExtensionApi& extension_api() {
  static const ExtensionApi* api = [] {
    pybind11::module_::import("ccdl");
    auto* found = static_cast<const ExtensionApi*>(PyCapsule_Import("ccdl._C._extension_api", 0));
    if (!found) throw pybind11::error_already_set();
    if (found->version != kExtensionVersion)
      throw pybind11::import_error("this extension was built for another version of ccdl; rebuild it");
    return found;
  }();
  return *api;
}

inline void use_errors() {
  pybind11::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      extension_api().raise(e.kind(), e.what());
    }
  });
}

}  // namespace ccdl::python

namespace pybind11::detail {
template <>
struct type_caster<ccdl::Tensor> {
  PYBIND11_TYPE_CASTER(ccdl::Tensor, const_name("ccdl.Tensor"));
  bool load(handle source, bool) {
    const ccdl::Tensor* x = ccdl::python::extension_api().unwrap(source.ptr());
    if (x) value = *x;
    return x != nullptr;
  }
  static handle cast(const ccdl::Tensor& x, return_value_policy, handle) {
    return ccdl::python::extension_api().wrap(x);
  }
};
}  // namespace pybind11::detail
