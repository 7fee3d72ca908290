// Hands the tensor conversions and the exception types to extension modules outside ccdl (extension.h).
#include "extension.h"

#include "binding.h"

namespace ccdl::python {

void bind_extension(PyObject* module) {
  static const ExtensionApi api = {
      kExtensionVersion,
      [](const Tensor& x) { return wrap(x); },
      [](PyObject* o) -> const Tensor* { return is_tensor(o) ? &unwrap(o) : nullptr; },
      [](ErrorKind kind, const char* message) {
        try {
          throw Error(kind, message);
        } catch (...) {
          raise_current_exception();
        }
      },
  };
  PyObject* capsule = PyCapsule_New(const_cast<ExtensionApi*>(&api), "ccdl._C._extension_api", nullptr);
  if (!capsule || PyModule_AddObject(module, "_extension_api", capsule) < 0) throw PyError{};
}

}  // namespace ccdl::python
