// Rows of the file format: dictionaries of tensors and of strings, in file order.
#include "binding.h"

#include <ccdl/io/safetensors.h>
#include <ccdl/ops/transfer.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {
namespace {

std::string text(PyObject* o, const char* what) {
  CCDL_CHECK(PyUnicode_Check(o), Type, "save: ", what, " must be a string, got ", Py_TYPE(o)->tp_name);
  return utf8(o);
}

std::string path_of(PyObject* o) {
  PyObject* bytes = nullptr;
  if (!PyUnicode_FSConverter(o, &bytes)) throw PyError{};
  const Owned owned(bytes);
  return {PyBytes_AS_STRING(bytes), static_cast<size_t>(PyBytes_GET_SIZE(bytes))};
}

PyObject* save(const Args& a) {
  const std::string path = path_of(a.object(0));
  CCDL_CHECK(PyDict_Check(a.object(1)), Type, "save: tensors must be a dict, got ",
             Py_TYPE(a.object(1))->tp_name);
  TensorList kept;
  std::vector<io::TensorBytes> tensors;
  io::StringMap metadata;
  PyObject *key, *value;
  Py_ssize_t at = 0;
  const autograd::NoGradGuard no_grad;
  while (PyDict_Next(a.object(1), &at, &key, &value)) {
    std::string name = text(key, "a tensor name");
    CCDL_CHECK(is_tensor(value), Type, "save: entry '", name, "' must be a tensor, got ",
               Py_TYPE(value)->tp_name);
    const Tensor x = ops::on_host(ops::contiguous(autograd::detach(unwrap(value))));
    kept.push_back(x);
    tensors.push_back({std::move(name), x.dtype(), {x.sizes().begin(), x.sizes().end()}, x.data()});
  }
  if (PyObject* dict = a.object(2); dict != nullptr && dict != Py_None) {
    CCDL_CHECK(PyDict_Check(dict), Type, "save: metadata must be a dict, got ", Py_TYPE(dict)->tp_name);
    at = 0;
    while (PyDict_Next(dict, &at, &key, &value)) {
      metadata.emplace_back(text(key, "a metadata key"), text(value, "a metadata value"));
    }
  }
  {
    const Args::Unlocked released(INT64_MAX);
    io::write_safetensors(path, tensors, metadata);
  }
  Py_RETURN_NONE;
}

PyObject* load(const Args& a) {
  const std::string path = path_of(a.object(0));
  TensorList loaded;
  const auto unlocked = [](const auto& f) {
    const Args::Unlocked released(INT64_MAX);
    return f();
  };
  const auto reader = unlocked([&] { return std::make_unique<io::SafetensorsReader>(path); });
  unlocked([&] {
    for (const io::TensorEntry& e : reader->tensors()) {
      loaded.push_back(empty(e.shape, e.dtype));
      reader->read(e, loaded.back().data());
    }
    return 0;
  });
  Owned tensors(PyDict_New()), metadata(PyDict_New());
  for (size_t i = 0; i < loaded.size(); ++i) {
    const Owned name(wrap(reader->tensors()[i].name)), value(wrap(loaded[i]));
    if (PyDict_SetItem(tensors.o, name.o, value.o) != 0) throw PyError{};
  }
  for (const auto& [k, v] : reader->metadata()) {
    const Owned name(wrap(k)), value(wrap(v));
    if (PyDict_SetItem(metadata.o, name.o, value.o) != 0) throw PyError{};
  }
  return PyTuple_Pack(2, tensors.o, metadata.o);
}

const Row kRows[] = {
    {"_safetensors_save(object path, object tensors, object metadata=None) -> None", save},
    {"_safetensors_load(object path) -> object", load},
};

}  // namespace

void bind_io(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
