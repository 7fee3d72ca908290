// Small value objects of the package: dtype, device, Size, memory_format, layout, named results, and the
// error classes.
#include <cstring>
#include <iterator>
#include <map>
#include <new>
#include <vector>

#include "signature.h"

#include <ccdl/core/device_api.h>

namespace ccdl::python {

namespace {

// ---- dtype ----
struct DTypeObject {
  PyObject_HEAD DType dtype;
};
PyTypeObject* DTypeType;
constexpr int kDTypeObjects = 12;  // with the reserved complex ones, which every op rejects
PyObject* dtype_objects[kDTypeObjects];

// Names that public code compares dtypes with; no tensor has them. Their value is kDTypeObjects + row.
struct ForeignDType {
  const char* name;
  int size;
  bool floating, complex, is_signed;
};
constexpr ForeignDType kForeignDTypes[] = {
    {"uint16", 2, false, false, false},        {"uint32", 4, false, false, false},
    {"uint64", 8, false, false, false},        {"complex32", 4, false, true, true},
    {"float8_e4m3fn", 1, true, false, true},   {"float8_e5m2", 1, true, false, true},
    {"float8_e4m3fnuz", 1, true, false, true}, {"float8_e5m2fnuz", 1, true, false, true},
    {"float8_e8m0fnu", 1, true, false, false}, {"qint8", 1, false, false, true},
    {"quint8", 1, false, false, false},        {"qint32", 4, false, false, true},
};
const ForeignDType* foreign_dtype(PyObject* o) {
  const int row = static_cast<int>(reinterpret_cast<DTypeObject*>(o)->dtype) - kDTypeObjects;
  return row < 0 ? nullptr : &kForeignDTypes[row];
}
const char* dtype_object_name(PyObject* o) {
  const ForeignDType* foreign = foreign_dtype(o);
  return foreign ? foreign->name : dtype_name(reinterpret_cast<DTypeObject*>(o)->dtype);
}

PyObject* dtype_repr(PyObject* o) { return PyUnicode_FromFormat("ccdl.%s", dtype_object_name(o)); }
PyObject* dtype_get(PyObject* o, void* what) {
  const DType t = reinterpret_cast<DTypeObject*>(o)->dtype;
  const auto asked = reinterpret_cast<intptr_t>(what);
  if (const ForeignDType* foreign = foreign_dtype(o); foreign && asked < 4)
    return asked == 3 ? PyLong_FromLong(foreign->size)
                      : PyBool_FromLong(asked == 0   ? foreign->floating
                                        : asked == 1 ? foreign->complex
                                                     : foreign->is_signed);
  switch (reinterpret_cast<intptr_t>(what)) {
    case 0:
      return PyBool_FromLong(is_floating(t));
    case 1:
      return PyBool_FromLong(t >= DType::Complex64);
    case 2:
      return PyBool_FromLong(t != DType::Bool && t != DType::UInt8);
    case 3:
      return PyLong_FromLongLong(item_size(t));
    default:
      return PyUnicode_FromString(dtype_object_name(o));
  }
}
PyObject* dtype_reduce(PyObject* o, PyObject*) { return PyUnicode_FromString(dtype_object_name(o)); }
PyObject* dtype_copy(PyObject* o, PyObject*) { return Py_NewRef(o); }
PyGetSetDef kDTypeGetSet[] = {{"is_floating_point", dtype_get, nullptr, nullptr, reinterpret_cast<void*>(0)},
                              {"is_complex", dtype_get, nullptr, nullptr, reinterpret_cast<void*>(1)},
                              {"is_signed", dtype_get, nullptr, nullptr, reinterpret_cast<void*>(2)},
                              {"itemsize", dtype_get, nullptr, nullptr, reinterpret_cast<void*>(3)},
                              {"name", dtype_get, nullptr, nullptr, reinterpret_cast<void*>(4)},
                              {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef kDTypeMethods[] = {{"__reduce__", dtype_reduce, METH_NOARGS, nullptr},
                               {"__deepcopy__", dtype_copy, METH_O, nullptr},
                               {"__copy__", dtype_copy, METH_NOARGS, nullptr},
                               {nullptr, nullptr, 0, nullptr}};

// ---- device ----
// Kinds of devices that programs compare with; no tensor lives on them. The first entry stands for none of
// them.
constexpr const char* kForeignDevices[] = {"", "meta", "mps", "xpu", "hpu", "npu", "mtia", "ipu", "xla"};
struct DeviceObject {
  PyObject_HEAD Device device;
  bool has_index;
  uint8_t foreign;
};
PyTypeObject* DeviceType;
thread_local Device t_default_device;

[[noreturn]] void fail_foreign(const char* kind) {
  fail(ErrorKind::NotImplemented, str("device: ccdl has no tensors on '", kind, "', only on cpu and cuda",
                                      std::strcmp(kind, "meta") ? ""
                                                                : "; build the model on the cpu and load "
                                                                  "its weights with assign=True"));
}
bool parse_device(const std::string& whole, Device* out, bool* has_index, uint8_t* foreign = nullptr) {
  const char* text = whole.c_str();
  const char* colon = std::strchr(text, ':');
  const std::string kind = colon ? std::string(text, colon) : whole;
  *has_index = colon != nullptr;
  if (kind == "cpu")
    out->kind = DeviceKind::Cpu;
  else if (kind == "cuda")
    out->kind = DeviceKind::Cuda;
  else {
    uint8_t number = 1;
    while (number < std::size(kForeignDevices) && kind != kForeignDevices[number]) ++number;
    CCDL_CHECK(number < std::size(kForeignDevices), Runtime,
               "device: Expected one of cpu, cuda device type at start of device string: ", text);
    if (!foreign) fail_foreign(kForeignDevices[number]);
    *foreign = number;
  }
  out->index = 0;
  if (colon) {
    char* end = nullptr;
    const long v = std::strtol(colon + 1, &end, 10);
    CCDL_CHECK(colon[1] >= '0' && colon[1] <= '9' && end == text + whole.size() && v < 1024, Runtime,
               "device: Invalid device string: '", text, "'; the form is 'cuda:0'");
    out->index = static_cast<int16_t>(v);
  }
  CCDL_CHECK(out->is_cuda() || out->index == 0 || (foreign && *foreign), Runtime,
             "device: there is one CPU device, got '", text, "'; use 'cpu'");
  return true;
}

PyObject* make_device(Device d, bool has_index, uint8_t foreign = 0) {
  DeviceObject* o = PyObject_New(DeviceObject, DeviceType);
  if (!o) return nullptr;
  o->device = d;
  o->has_index = has_index;
  o->foreign = foreign;
  return reinterpret_cast<PyObject*>(o);
}
PyObject* device_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"type", "index", nullptr};
  PyObject* type;
  PyObject* index = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:device", const_cast<char**>(names), &type, &index))
    return nullptr;
  try {
    Device d;
    if (Py_TYPE(type) == DeviceType) return Py_NewRef(type);
    bool has_index = false;
    uint8_t foreign = 0;
    if (PyUnicode_Check(type)) {
      parse_device(utf8(type), &d, &has_index, &foreign);
      if (index != Py_None) {
        const long v = PyLong_AsLong(index);
        if (v == -1 && PyErr_Occurred()) return nullptr;
        CCDL_CHECK(
            !has_index && v >= 0 && v < 1024, Runtime,
            "device: type string must not include an index because index was passed explicitly, or index ", v,
            " is out of range");
        d.index = static_cast<int16_t>(v);
        has_index = true;
      }
    } else if (!device_from(type, &d)) {
      PyErr_Format(PyExc_TypeError, "device(): argument 'type' must be str, int or ccdl.device, not %s",
                   Py_TYPE(type)->tp_name);
      return nullptr;
    } else {
      has_index = true;
    }
    return make_device(d, has_index, foreign);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}
const char* device_kind(DeviceObject* d) {
  if (d->foreign) return kForeignDevices[d->foreign];
  return d->device.is_cpu() ? "cpu" : "cuda";
}
PyObject* device_str(PyObject* o) {
  auto* d = reinterpret_cast<DeviceObject*>(o);
  return d->has_index ? PyUnicode_FromFormat("%s:%d", device_kind(d), d->device.index)
                      : PyUnicode_FromString(device_kind(d));
}
PyObject* device_repr(PyObject* o) {
  auto* d = reinterpret_cast<DeviceObject*>(o);
  return d->has_index ? PyUnicode_FromFormat("device(type='%s', index=%d)", device_kind(d), d->device.index)
                      : PyUnicode_FromFormat("device(type='%s')", device_kind(d));
}
PyObject* device_get(PyObject* o, void* what) {
  auto* d = reinterpret_cast<DeviceObject*>(o);
  if (!what) return PyUnicode_FromString(device_kind(d));
  if (!d->has_index) Py_RETURN_NONE;
  return PyLong_FromLong(d->device.index);
}
bool index_counts(DeviceObject* d) { return d->has_index && (d->foreign || !d->device.is_cpu()); }
PyObject* device_compare(PyObject* a, PyObject* b, int op) {
  if (Py_TYPE(b) != DeviceType || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  auto *x = reinterpret_cast<DeviceObject*>(a), *y = reinterpret_cast<DeviceObject*>(b);
  const bool same = x->foreign == y->foreign && x->device == y->device && index_counts(x) == index_counts(y);
  return PyBool_FromLong(same == (op == Py_EQ));
}
Py_hash_t device_hash(PyObject* o) {
  auto* d = reinterpret_cast<DeviceObject*>(o);
  return 7919 + static_cast<int>(d->device.kind) * 4099 + d->device.index * 2 + index_counts(d) +
         d->foreign * 104729;
}
PyObject* device_reduce(PyObject* o, PyObject*) { return Py_BuildValue("(O(N))", DeviceType, device_str(o)); }
thread_local std::vector<Device> t_saved_devices;
PyObject* device_enter(PyObject* o, PyObject*) {
  if (auto* d = reinterpret_cast<DeviceObject*>(o); d->foreign) {
    try {
      fail_foreign(device_kind(d));
    } catch (...) {
      raise_current_exception();
      return nullptr;
    }
  }
  t_saved_devices.push_back(t_default_device);
  t_default_device = reinterpret_cast<DeviceObject*>(o)->device;
  return Py_NewRef(o);
}
PyObject* device_exit(PyObject*, PyObject*) {
  if (!t_saved_devices.empty()) {
    t_default_device = t_saved_devices.back();
    t_saved_devices.pop_back();
  }
  Py_RETURN_NONE;
}
PyGetSetDef kDeviceGetSet[] = {{"type", device_get, nullptr, nullptr, nullptr},
                               {"index", device_get, nullptr, nullptr, reinterpret_cast<void*>(1)},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef kDeviceMethods[] = {{"__reduce__", device_reduce, METH_NOARGS, nullptr},
                                {"__enter__", device_enter, METH_NOARGS, nullptr},
                                {"__exit__", device_exit, METH_VARARGS, nullptr},
                                {"__deepcopy__", dtype_copy, METH_O, nullptr},
                                {nullptr, nullptr, 0, nullptr}};

// ---- Size: a tuple of ints ----
PyTypeObject* SizeType;
PyObject* size_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* t = PyTuple_Type.tp_new(type, args, kwargs);
  if (!t) return nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(t); ++i) {
    PyObject* item = PyTuple_GET_ITEM(t, i);
    if (PyLong_Check(item)) continue;
    PyObject* index = PyNumber_Index(item);
    if (!index) {
      PyErr_Format(PyExc_TypeError, "ccdl.Size() takes an iterable of 'int' (item %zd is '%s')", i,
                   Py_TYPE(item)->tp_name);
      Py_DECREF(t);
      return nullptr;
    }
    PyTuple_SET_ITEM(t, i, index);
    Py_DECREF(item);
  }
  return t;
}
PyObject* size_repr(PyObject* o) {
  PyObject* list = PySequence_List(o);
  PyObject* text = list ? PyUnicode_FromFormat("ccdl.Size(%R)", list) : nullptr;
  Py_XDECREF(list);
  return text;
}
PyObject* size_numel(PyObject* o, PyObject*) {
  PyObject* n = PyLong_FromLong(1);
  for (Py_ssize_t i = 0; n && i < PyTuple_GET_SIZE(o); ++i)
    Py_SETREF(n, PyNumber_Multiply(n, PyTuple_GET_ITEM(o, i)));
  return n;
}
PyObject* as_size(PyObject* t) {
  if (!t || !PyTuple_Check(t)) return t;
  PyObject* s = PyObject_CallOneArg(reinterpret_cast<PyObject*>(SizeType), t);
  if (!s) PyErr_Clear();
  if (!s) return t;
  Py_DECREF(t);
  return s;
}
PyObject* size_concat(PyObject* a, PyObject* b) {
  return as_size(PyTuple_Type.tp_as_sequence->sq_concat(a, b));
}
PyObject* size_add(PyObject* a, PyObject* b) {  // also (1,) + Size
  if (PyTuple_Check(a) && PyTuple_Check(b)) return size_concat(a, b);
  Py_RETURN_NOTIMPLEMENTED;
}
PyObject* size_repeat(PyObject* a, Py_ssize_t n) {
  return as_size(PyTuple_Type.tp_as_sequence->sq_repeat(a, n));
}
PyObject* size_subscript(PyObject* a, PyObject* k) {
  return as_size(PyTuple_Type.tp_as_mapping->mp_subscript(a, k));
}
PyObject* size_reduce(PyObject* o, PyObject*) {
  PyObject* t = PyTuple_New(PyTuple_GET_SIZE(o));
  for (Py_ssize_t i = 0; t && i < PyTuple_GET_SIZE(o); ++i)
    PyTuple_SET_ITEM(t, i, Py_NewRef(PyTuple_GET_ITEM(o, i)));
  return Py_BuildValue("(O(N))", SizeType, t);
}
PyMethodDef kSizeMethods[] = {{"numel", size_numel, METH_NOARGS, "Product of the sizes."},
                              {"__reduce__", size_reduce, METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};

// ---- memory_format and layout: named constants ----
struct NamedObject {
  PyObject_HEAD int value;
  const char* name;
};
PyTypeObject *FormatType, *LayoutType;
PyObject* strided_object;
PyObject* named_repr(PyObject* o) {
  return PyUnicode_FromFormat("ccdl.%s", reinterpret_cast<NamedObject*>(o)->name);
}
PyObject* named_reduce(PyObject* o, PyObject*) {
  return PyUnicode_FromString(reinterpret_cast<NamedObject*>(o)->name);
}
PyMethodDef kNamedMethods[] = {{"__reduce__", named_reduce, METH_NOARGS, nullptr},
                               {"__deepcopy__", dtype_copy, METH_O, nullptr},
                               {nullptr, nullptr, 0, nullptr}};
PyObject* make_named(PyTypeObject* type, int value, const char* name) {
  NamedObject* o = PyObject_New(NamedObject, type);
  if (!o) return nullptr;
  o->value = value;
  o->name = name;
  return reinterpret_cast<PyObject*>(o);
}

PyTypeObject* make_type(const char* name, int size, std::vector<PyType_Slot> slots,
                        unsigned long flags = Py_TPFLAGS_DEFAULT, PyObject* bases = nullptr) {
  slots.push_back({0, nullptr});
  PyType_Spec spec = {name, size, 0, static_cast<unsigned int>(flags), slots.data()};
  return reinterpret_cast<PyTypeObject*>(bases ? PyType_FromSpecWithBases(&spec, bases)
                                               : PyType_FromSpec(&spec));
}
template <class F>
void* fn(F f) {
  return reinterpret_cast<void*>(f);
}

// ---- errors ----
PyObject* error_classes[15];
struct ErrorClass {
  ErrorKind kind;
  const char* name;
  PyObject** base;
  PyObject** other = nullptr;  // PyTorch raises the one here and the other there
};
bool init_errors(PyObject* module) {
  const ErrorClass classes[] = {
      {ErrorKind::Value, "ValueError", &PyExc_ValueError, &PyExc_RuntimeError},
      {ErrorKind::Type, "TypeError", &PyExc_TypeError, &PyExc_RuntimeError},
      {ErrorKind::Index, "IndexError", &PyExc_IndexError, &PyExc_RuntimeError},
      {ErrorKind::Shape, "ShapeError", &PyExc_RuntimeError, &PyExc_ValueError},
      {ErrorKind::DType, "DTypeError", &PyExc_RuntimeError, &PyExc_TypeError},
      {ErrorKind::Device, "DeviceError", &PyExc_RuntimeError},
      {ErrorKind::Autograd, "AutogradError", &PyExc_RuntimeError},
      {ErrorKind::Runtime, "RuntimeError", &PyExc_RuntimeError},
      {ErrorKind::Memory, "OutOfMemoryError", &PyExc_MemoryError, &PyExc_RuntimeError},
      {ErrorKind::NotImplemented, "NotImplementedError", &PyExc_NotImplementedError},
      {ErrorKind::Key, "KeyError", &PyExc_KeyError},
      {ErrorKind::Checkpoint, "CheckpointError", &PyExc_RuntimeError},
      {ErrorKind::File, "FileError", &PyExc_OSError},
      {ErrorKind::LinAlg, "LinAlgError", &PyExc_RuntimeError}};
  PyObject* dict = PyDict_New();
  if (!dict) return false;
  for (const auto& c : classes) {
    const std::string full = std::string("ccdl.errors.") + c.name;
    PyObject* bases = c.other ? PyTuple_Pack(2, *c.base, *c.other) : PyTuple_Pack(1, *c.base);
    PyObject* cls = bases ? PyErr_NewException(full.c_str(), bases, nullptr) : nullptr;
    Py_XDECREF(bases);
    if (!cls || PyDict_SetItemString(dict, c.name, cls) < 0) return false;
    error_classes[static_cast<int>(c.kind)] = cls;
  }
  error_classes[static_cast<int>(ErrorKind::Interrupt)] = Py_NewRef(PyExc_KeyboardInterrupt);
  return PyModule_AddObject(module, "_error_classes", dict) == 0;
}

}  // namespace

void raise_current_exception() {
  try {
    throw;
  } catch (const PyError&) {
    if (!PyErr_Occurred())
      PyErr_SetString(PyExc_SystemError, "ccdl: an error was reported without an exception");
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Interrupt && PyErr_Occurred()) return;
    PyErr_SetString(error_classes[static_cast<int>(e.kind())], e.what());
  } catch (const std::bad_alloc&) {
    PyErr_SetString(error_classes[static_cast<int>(ErrorKind::Memory)], "out of memory on the host");
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "unknown C++ exception");
  }
}

PyObject* wrap(bool v) { return PyBool_FromLong(v); }
PyObject* wrap(int64_t v) { return PyLong_FromLongLong(v); }
PyObject* wrap(double v) { return PyFloat_FromDouble(v); }
PyObject* wrap(const Scalar& v) {
  return v.is_float() ? wrap(v.to_double()) : v.is_bool() ? wrap(v.to_bool()) : wrap(v.to_int());
}
PyObject* wrap(const std::string& v) {
  return PyUnicode_FromStringAndSize(v.data(), static_cast<Py_ssize_t>(v.size()));
}
PyObject* wrap(PyObject* v) { return v; }
PyObject* wrap(DType v) { return Py_NewRef(dtype_objects[static_cast<int>(v)]); }
PyObject* wrap(const Device& v) { return make_device(v, v.is_cuda()); }
PyObject* wrap(const Dims& v) {
  PyObject* t = SizeType->tp_alloc(SizeType, static_cast<Py_ssize_t>(v.size()));
  for (size_t i = 0; t && i < v.size(); ++i)
    PyTuple_SET_ITEM(t, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(v[i]));
  return t;
}
PyObject* wrap(const TensorList& v) {
  PyObject* t = PyTuple_New(static_cast<Py_ssize_t>(v.size()));
  for (size_t i = 0; t && i < v.size(); ++i) {
    PyObject* o = wrap(v[i]);
    if (!o) {
      Py_DECREF(t);
      return nullptr;
    }
    PyTuple_SET_ITEM(t, static_cast<Py_ssize_t>(i), o);
  }
  return t;
}

PyObject* wrap_named(const char* name, std::initializer_list<const char*> fields, const TensorList& values) {
  static std::map<std::string, PyTypeObject*> types;
  PyTypeObject*& type = types[name];
  if (!type) {
    auto* list = new std::vector<PyStructSequence_Field>();
    for (const char* f : fields) list->push_back({f, nullptr});
    list->push_back({nullptr, nullptr});
    PyStructSequence_Desc desc = {(new std::string(std::string("ccdl.return_types.") + name))->c_str(),
                                  nullptr, list->data(), static_cast<int>(fields.size())};
    type = PyStructSequence_NewType(&desc);
    if (!type) return nullptr;
  }
  PyObject* t = PyStructSequence_New(type);
  for (size_t i = 0; t && i < values.size(); ++i) {
    PyObject* o = wrap(values[i]);
    if (!o) {
      Py_DECREF(t);
      return nullptr;
    }
    PyStructSequence_SetItem(t, static_cast<Py_ssize_t>(i), o);
  }
  return t;
}

bool dtype_from(PyObject* o, DType* out) {
  if (Py_TYPE(o) == DTypeType) {
    const ForeignDType* foreign = foreign_dtype(o);
    CCDL_CHECK(!foreign, Type, "dtype: ", foreign->name,
               " is not supported; use int64, float16, bfloat16 or float32");
    *out = reinterpret_cast<DTypeObject*>(o)->dtype;
  } else if (o == reinterpret_cast<PyObject*>(&PyFloat_Type))
    *out = DType::Float64;
  else if (o == reinterpret_cast<PyObject*>(&PyLong_Type))
    *out = DType::Int64;
  else if (o == reinterpret_cast<PyObject*>(&PyBool_Type))
    *out = DType::Bool;
  else
    return false;
  return true;
}

// "cuda" alone is the thread's current CUDA device.
bool device_from(PyObject* o, Device* out) {
  bool has_index = true;
  if (Py_TYPE(o) == DeviceType) {
    if (auto* d = reinterpret_cast<DeviceObject*>(o); d->foreign) fail_foreign(device_kind(d));
    *out = reinterpret_cast<DeviceObject*>(o)->device;
    has_index = reinterpret_cast<DeviceObject*>(o)->has_index;
  } else if (PyUnicode_Check(o)) {
    parse_device(utf8(o), out, &has_index);
  }
  if (Py_TYPE(o) == DeviceType || PyUnicode_Check(o)) {
    if (out->is_cuda() && !has_index) out->index = static_cast<int16_t>(cu::current_device());
    return true;
  }
  if (PyLong_Check(o) && !PyBool_Check(o)) {
    const long v = PyLong_AsLong(o);
    if (v == -1 && PyErr_Occurred()) PyErr_Clear();
    CCDL_CHECK(v >= 0 && v < 1024, Runtime, "device: a CUDA device index must be >= 0, got ", v);
    *out = {DeviceKind::Cuda, static_cast<int16_t>(v)};
    return true;
  }
  return false;
}

bool memory_format_from(PyObject* o, int64_t* out) {
  if (Py_TYPE(o) != FormatType) return false;
  *out = reinterpret_cast<NamedObject*>(o)->value;
  return true;
}
bool is_complex_dtype(PyObject* o) {
  return Py_TYPE(o) == DTypeType && (reinterpret_cast<DTypeObject*>(o)->dtype == DType::Complex64 ||
                                     reinterpret_cast<DTypeObject*>(o)->dtype == DType::Complex128);
}
bool is_layout(PyObject* o) {
  if (Py_TYPE(o) != LayoutType) return false;
  CCDL_CHECK(o == strided_object, NotImplemented, "layout: ", reinterpret_cast<NamedObject*>(o)->name,
             " is not supported here; make sparse matrices with sparse_coo_tensor");
  return true;
}
PyObject* strided_layout() { return Py_NewRef(strided_object); }
Device current_default_device() { return t_default_device; }
void set_current_default_device(Device d) { t_default_device = d; }

bool init_objects(PyObject* module) {
  if (!init_errors(module)) return false;
  DTypeType =
      make_type("ccdl.dtype", sizeof(DTypeObject),
                {{Py_tp_repr, fn(dtype_repr)}, {Py_tp_getset, kDTypeGetSet}, {Py_tp_methods, kDTypeMethods}});
  DeviceType = make_type("ccdl.device", sizeof(DeviceObject),
                         {{Py_tp_new, fn(device_new)},
                          {Py_tp_repr, fn(device_repr)},
                          {Py_tp_str, fn(device_str)},
                          {Py_tp_hash, fn(device_hash)},
                          {Py_tp_richcompare, fn(device_compare)},
                          {Py_tp_getset, kDeviceGetSet},
                          {Py_tp_methods, kDeviceMethods}});
  PyObject* bases = PyTuple_Pack(1, &PyTuple_Type);
  SizeType = make_type("ccdl.Size", 0,
                       {{Py_tp_new, fn(size_new)},
                        {Py_tp_repr, fn(size_repr)},
                        {Py_nb_add, fn(size_add)},
                        {Py_sq_concat, fn(size_concat)},
                        {Py_sq_repeat, fn(size_repeat)},
                        {Py_mp_subscript, fn(size_subscript)},
                        {Py_tp_methods, kSizeMethods}},
                       Py_TPFLAGS_DEFAULT, bases);
  Py_XDECREF(bases);
  FormatType = make_type("ccdl.memory_format", sizeof(NamedObject),
                         {{Py_tp_repr, fn(named_repr)}, {Py_tp_methods, kNamedMethods}});
  LayoutType = make_type("ccdl.layout", sizeof(NamedObject),
                         {{Py_tp_repr, fn(named_repr)}, {Py_tp_methods, kNamedMethods}});
  if (!DTypeType || !DeviceType || !SizeType || !FormatType || !LayoutType) return false;

  for (int i = 0; i < kDTypeObjects; ++i) {
    auto* o = PyObject_New(DTypeObject, DTypeType);
    o->dtype = static_cast<DType>(i);
    dtype_objects[i] = reinterpret_cast<PyObject*>(o);
    PyModule_AddObject(module, dtype_name(o->dtype), Py_NewRef(dtype_objects[i]));
  }
  const std::pair<const char*, DType> names[] = {{"half", DType::Float16},       {"float", DType::Float32},
                                                 {"double", DType::Float64},     {"cfloat", DType::Complex64},
                                                 {"cdouble", DType::Complex128}, {"short", DType::Int16},
                                                 {"int", DType::Int32},          {"long", DType::Int64}};
  for (const auto& [name, t] : names) PyModule_AddObject(module, name, wrap(t));
  const std::pair<const char*, MemoryFormat> formats[] = {{"contiguous_format", MemoryFormat::Contiguous},
                                                          {"channels_last", MemoryFormat::ChannelsLast},
                                                          {"channels_last_3d", MemoryFormat::ChannelsLast3d},
                                                          {"preserve_format", MemoryFormat::Preserve}};
  for (const auto& [name, f] : formats)
    PyModule_AddObject(module, name, make_named(FormatType, static_cast<int>(f), name));
  PyModule_AddObject(module, "legacy_contiguous_format",
                     Py_NewRef(PyObject_GetAttrString(module, "contiguous_format")));
  for (int i = 0; i < static_cast<int>(std::size(kForeignDTypes)); ++i) {
    auto* o = PyObject_New(DTypeObject, DTypeType);
    o->dtype = static_cast<DType>(kDTypeObjects + i);
    PyModule_AddObject(module, kForeignDTypes[i].name, reinterpret_cast<PyObject*>(o));
  }
  int layout = 0;
  for (const char* name : {"sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"})
    PyModule_AddObject(module, name, make_named(LayoutType, ++layout, name));
  strided_object = make_named(LayoutType, 0, "strided");
  PyModule_AddObject(module, "strided", Py_NewRef(strided_object));
  const std::pair<const char*, PyTypeObject*> types[] = {{"dtype", DTypeType},
                                                         {"device", DeviceType},
                                                         {"Size", SizeType},
                                                         {"memory_format", FormatType},
                                                         {"layout", LayoutType}};
  for (const auto& [name, type] : types)
    PyModule_AddObject(module, name, Py_NewRef(reinterpret_cast<PyObject*>(type)));
  return true;
}

}  // namespace ccdl::python
