// Memory exchange without copies: buffer protocol (and through it NumPy), NumPy arrays in, DLPack both ways.
// Writes made through the other library are not tracked by the version counter.
#include <cstring>
#include <iterator>

#include <ccdl/core/device_api.h>
#include <ccdl/core/exports.h>
#include <ccdl/ops/transfer.h>

#include "py_tensor.h"
#include "signature.h"

namespace ccdl::python {

namespace {

const char* format_of(DType t) {
  constexpr const char* table[] = {"?", "B", "b", "h", "i", "q", "e", nullptr, "f", "d"};
  return table[static_cast<int>(t)];
}

bool dtype_of_format(const char* f, Py_ssize_t itemsize, DType* out) {
  if (!f) {
    *out = DType::UInt8;
    return true;
  }
  if (*f == '@' || *f == '=' || *f == '<') ++f;
  if (f[0] && f[1]) return false;
  switch (*f) {
    case '?':
      *out = DType::Bool;
      return true;
    case 'B':
      *out = DType::UInt8;
      return true;
    case 'b':
      *out = DType::Int8;
      return true;
    case 'h':
      *out = DType::Int16;
      return true;
    case 'i':
      *out = DType::Int32;
      return true;
    case 'l':
      *out = itemsize == 8 ? DType::Int64 : DType::Int32;
      return true;
    case 'q':
      *out = DType::Int64;
      return true;
    case 'e':
      *out = DType::Float16;
      return true;
    case 'f':
      *out = DType::Float32;
      return true;
    case 'd':
      *out = DType::Float64;
      return true;
    default:
      return false;
  }
}

struct Exported {  // what a Py_buffer points into
  explicit Exported(const Tensor& x) : hold(x.storage()) {}
  StorageExport hold;
  Py_ssize_t shape[kMaxDims], strides[kMaxDims];
};

bool column_major(const Tensor& x) {
  Dims sizes(std::make_reverse_iterator(x.sizes().end()), std::make_reverse_iterator(x.sizes().begin()));
  Dims strides(std::make_reverse_iterator(x.strides().end()),
               std::make_reverse_iterator(x.strides().begin()));
  return strides_contiguous(sizes, strides);
}

void check_exportable(const char* op, const Tensor& x) {
  CCDL_CHECK(x.device().is_cpu(), Type, op, ": can't convert ", x.device().name(),
             " device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.");
  CCDL_CHECK(!(autograd::requires_grad(x) && autograd::grad_enabled()), Runtime, op,
             ": Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  CCDL_CHECK(
      x.dtype() != DType::BFloat16, Type, op,
      ": bfloat16 has no NumPy type (Got unsupported ScalarType BFloat16); convert with .float() first");
}

// ---- DLPack: the structs of the specification (version 1.0), declared here ----
struct DLDevice {
  int32_t type, id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};
struct DLVersion {
  uint32_t major, minor;
};
struct DLManagedTensorVersioned {
  DLVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor dl_tensor;
};
constexpr uint64_t kReadOnly = 1, kIsCopied = 2;
constexpr int32_t kDLCPU = 1, kDLCuda = 2, kDLCudaHost = 3;
enum : uint8_t { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLBool = 6 };

DLDataType dl_type(DType t) {
  const uint8_t bits = static_cast<uint8_t>(item_size(t) * 8);
  switch (t) {
    case DType::Bool:
      return {kDLBool, 8, 1};
    case DType::UInt8:
      return {kDLUInt, 8, 1};
    case DType::Int8:
    case DType::Int16:
    case DType::Int32:
    case DType::Int64:
      return {kDLInt, bits, 1};
    case DType::BFloat16:
      return {kDLBfloat, 16, 1};
    default:
      return {kDLFloat, bits, 1};
  }
}
bool from_dl_type(DLDataType d, DType* out) {
  for (int i = 0; i < kNumDTypes; ++i) {
    const DLDataType t = dl_type(static_cast<DType>(i));
    if (t.code == d.code && t.bits == d.bits && d.lanes == 1) {
      *out = static_cast<DType>(i);
      return true;
    }
  }
  return false;
}

template <class Managed>
struct DLExport {
  explicit DLExport(const Tensor& x) : hold(x.storage()) {}
  Managed managed{};
  StorageExport hold;
  int64_t shape[kMaxDims], strides[kMaxDims];
};

DLDevice dl_device(const Tensor& x) {
  return x.device().is_cpu() ? DLDevice{kDLCPU, 0} : DLDevice{kDLCuda, x.device().index};
}

template <class Managed>
Managed* export_dlpack(const Tensor& x) {
  auto* e = new DLExport<Managed>(x);
  for (int64_t d = 0; d < x.dim(); ++d) {
    e->shape[d] = x.size(d);
    e->strides[d] = x.size(d) > 1 ? x.stride(d) : 1;
  }
  DLTensor& t = e->managed.dl_tensor;
  t.data = x.data();
  t.device = dl_device(x);
  t.ndim = static_cast<int32_t>(x.dim());
  t.dtype = dl_type(x.dtype());
  t.shape = e->shape;
  t.strides = e->strides;
  t.byte_offset = 0;
  e->managed.manager_ctx = e;
  e->managed.deleter = [](Managed* m) { delete static_cast<DLExport<Managed>*>(m->manager_ctx); };
  return &e->managed;
}

template <class Managed>
void destroy_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;  // consumed: renamed by the consumer
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
  if (m && m->deleter) m->deleter(m);
}
void destroy_legacy(PyObject* c) { destroy_capsule<DLManagedTensor>(c, "dltensor"); }
void destroy_versioned(PyObject* c) { destroy_capsule<DLManagedTensorVersioned>(c, "dltensor_versioned"); }

[[noreturn]] void raise_buffer_error(const std::string& text) {
  PyErr_SetString(PyExc_BufferError, text.c_str());
  throw PyError{};
}

// What is queued for x here happens before what the consumer queues on its stream from now on: -1 asks for no
// ordering, None, 0 and 1 mean the default stream, anything above 2 is a stream handle.
void order_for_consumer(const Tensor& x, PyObject* stream) {
  int64_t handle = 1;
  if (stream && stream != Py_None) {
    handle = PyLong_AsLongLong(stream);
    if (handle == -1 && PyErr_Occurred()) throw PyError{};
  }
  if (handle == -1) return;
  const int device = x.device().index;
  const cu::Stream mine = cu::Stream::current(device);
  const cu::Stream theirs{device, handle <= 2 ? nullptr : reinterpret_cast<void*>(handle)};
  if (mine == theirs) return;
  const auto event = make_ref<cu::Event>(false);
  event->record(mine);
  event->wait(theirs);
  cu::record_stream(x.storage()->block(), theirs);
}

PyObject* row_dlpack(const Args& a) {
  Tensor x = a.tensor(0);
  CCDL_CHECK(!autograd::requires_grad(x), Runtime,
             "__dlpack__: Can't export tensors that require gradient, use tensor.detach()");
  uint32_t major = 0;
  if (PyObject* v = a.object(2); v && v != Py_None) {
    if (!PyTuple_Check(v) || PyTuple_GET_SIZE(v) != 2)
      fail(ErrorKind::Type, "__dlpack__: max_version must be a (major, minor) tuple");
    major = static_cast<uint32_t>(PyLong_AsUnsignedLong(PyTuple_GET_ITEM(v, 0)));
  }
  if (PyObject* d = a.object(3); d && d != Py_None) {
    const DLDevice here = dl_device(x);
    if (!PyTuple_Check(d) || PyTuple_GET_SIZE(d) != 2 || PyLong_AsLong(PyTuple_GET_ITEM(d, 0)) != here.type ||
        PyLong_AsLong(PyTuple_GET_ITEM(d, 1)) != here.id)
      raise_buffer_error("__dlpack__: the tensor is on " + x.device().name() +
                         " and cannot be exported to another device; copy it there first");
  }
  if (x.device().is_cuda() && cu::is_emulated())
    raise_buffer_error(
        "__dlpack__: memory of the emulated CUDA device means nothing to other libraries; use .cpu()");
  const bool copied = a.object(4) == Py_True;
  if (copied) {
    autograd::NoGradGuard no_grad;
    x = ops::clone(x);
  }
  if (x.device().is_cuda()) order_for_consumer(x, a.object(1));
  if (major >= 1) {
    auto* m = export_dlpack<DLManagedTensorVersioned>(x);
    m->version = {1, 0};
    m->flags = (x.storage()->read_only() ? kReadOnly : 0) | (copied ? kIsCopied : 0);
    return PyCapsule_New(m, "dltensor_versioned", destroy_versioned);
  }
  CCDL_CHECK(!x.storage()->read_only(), Runtime,
             "__dlpack__: read-only memory needs a consumer of DLPack 1.0 or newer; clone the tensor first");
  return PyCapsule_New(export_dlpack<DLManagedTensor>(x), "dltensor", destroy_legacy);
}

template <class Managed>
Tensor import_managed(Managed* m, bool read_only) {
  const DLTensor& t = m->dl_tensor;
  CCDL_CHECK(t.device.type == kDLCPU || t.device.type == kDLCuda || t.device.type == kDLCudaHost, Device,
             "from_dlpack: only CPU and CUDA memory are supported, got DLPack device type ", t.device.type);
  Device device;
  if (t.device.type == kDLCuda) {
    device = {DeviceKind::Cuda, static_cast<int16_t>(t.device.id)};
    CCDL_CHECK(t.device.id >= 0 && t.device.id < cu::device_count() && !cu::is_emulated(), Device,
               "from_dlpack: the array is on ", device.name(), ", which ccdl cannot use here: ",
               cu::is_emulated() ? "the CUDA device is emulated" : cu::unavailable_reason());
  }
  CCDL_CHECK(t.ndim >= 0 && t.ndim <= kMaxDims, Value, "from_dlpack: ", t.ndim, " dimensions; at most ",
             kMaxDims, " are supported");
  DType dtype;
  CCDL_CHECK(from_dl_type(t.dtype, &dtype), Type, "from_dlpack: unsupported element type (code ",
             int(t.dtype.code), ", bits ", int(t.dtype.bits), ", lanes ", t.dtype.lanes, ")");
  Dims sizes(t.shape, t.shape + t.ndim), strides;
  const int64_t numel = checked_numel("from_dlpack", sizes);
  strides = t.strides ? Dims(t.strides, t.strides + t.ndim) : contiguous_strides(sizes);
  int64_t reach = numel ? 1 : 0;
  for (int i = 0; i < t.ndim && numel; ++i) {
    int64_t span = 0;
    CCDL_CHECK(strides[i] >= 0 || sizes[i] == 1, Value,
               "from_dlpack: negative strides are not supported, got ", strides, "; copy the array first");
    if (sizes[i] == 1) strides[i] = std::max<int64_t>(strides[i], 0);
    CCDL_CHECK(!__builtin_mul_overflow(sizes[i] - 1, strides[i], &span) &&
                   !__builtin_add_overflow(reach, span, &reach),
               Value, "from_dlpack: sizes ", sizes, " and strides ", strides, " overflow");
  }
  auto* data = static_cast<char*>(t.data) + t.byte_offset;
  CCDL_CHECK(reinterpret_cast<uintptr_t>(data) % item_size(dtype) == 0, Value,
             "from_dlpack: data is not aligned to its element size");
  auto storage = Storage::wrap(
      data, reach * item_size(dtype), device,
      [m] {
        if (m->deleter) m->deleter(m);
      },
      read_only);
  return Tensor(make_ref<TensorImpl>(storage, sizes, strides, 0, dtype));
}

Tensor import_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto* m = static_cast<DLManagedTensorVersioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
    CCDL_CHECK(m->version.major == 1, Runtime, "from_dlpack: DLPack version ", m->version.major,
               " is not supported; version 1 is");
    Tensor x = import_managed(m, m->flags & kReadOnly);
    PyCapsule_SetName(capsule, "used_dltensor_versioned");
    return x;
  }
  CCDL_CHECK(PyCapsule_IsValid(capsule, "dltensor"), Runtime,
             "from_dlpack: expected a DLPack capsule that was not consumed yet (a capsule can be consumed "
             "only once)");
  Tensor x = import_managed(static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor")), false);
  PyCapsule_SetName(capsule, "used_dltensor");
  return x;
}

// A producer on CUDA is told on which stream its memory will be used: the current one.
void add_stream(PyObject* kwargs, PyObject* producer) {
  PyObject* where = PyObject_CallMethod(producer, "__dlpack_device__", nullptr);
  if (!where) return PyErr_Clear();
  int type = 0, id = 0;
  if (PyArg_ParseTuple(where, "ii", &type, &id) && type == kDLCuda && id >= 0 && id < cu::device_count()) {
    void* handle = cu::Stream::current(id).handle;
    PyObject* stream = handle ? PyLong_FromVoidPtr(handle) : PyLong_FromLong(1);
    PyDict_SetItemString(kwargs, "stream", stream);
    Py_DECREF(stream);
  }
  PyErr_Clear();
  Py_DECREF(where);
}

Tensor import_dlpack(PyObject* o) {
  if (PyCapsule_CheckExact(o)) return import_capsule(o);
  PyObject* method = PyObject_GetAttrString(o, "__dlpack__");
  if (!method) {
    PyErr_Clear();
    fail(ErrorKind::Type,
         str("from_dlpack: argument 'ext_tensor' must be a DLPack capsule or have __dlpack__, got ",
             Py_TYPE(o)->tp_name));
  }
  PyObject* kwargs = Py_BuildValue("{s(ii)}", "max_version", 1, 0);
  if (cu::device_count() > 0 && !cu::is_emulated()) add_stream(kwargs, o);
  PyObject* empty_args = PyTuple_New(0);
  PyObject* capsule = PyObject_Call(method, empty_args, kwargs);
  if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {  // a producer from before DLPack 1.0
    PyErr_Clear();
    capsule = PyObject_CallNoArgs(method);
  }
  Py_DECREF(kwargs);
  Py_DECREF(empty_args);
  Py_DECREF(method);
  const Owned held(capsule);
  return import_capsule(capsule);
}

PyObject* row_from_dlpack(const Args& a) {
  const Tensor given = import_dlpack(a.object(0));
  Tensor x = a.is_none(1) ? given : ops::to(given, given.dtype(), a.device(1), false);
  const bool moved = !x.same(given);
  CCDL_CHECK(!(moved && a.object(2) == Py_False), Value, "from_dlpack: the data is on ",
             given.device().name(), " and device is ", x.device().name(),
             ", which needs a copy; leave out copy=False");
  if (!moved && a.object(2) == Py_True) x = ops::clone(x);
  return wrap(x);
}

PyObject* row_numpy(const Args& a) {
  const Tensor& x = a.tensor(0);
  const bool force = a.boolean(1);
  if (!force) check_exportable("numpy", x);
  Tensor plain = ops::on_host(autograd::detach(x));
  if (plain.dtype() == DType::BFloat16) check_exportable("numpy", plain);
  PyObject* np = PyImport_ImportModule("numpy");
  if (!np) throw PyError{};
  PyObject* o = wrap(plain);
  PyObject* r = PyObject_CallMethod(np, "asarray", "O", o);
  Py_DECREF(o);
  Py_DECREF(np);
  if (!r) throw PyError{};
  return r;
}

PyObject* row_array(const Args& a) {
  check_exportable("__array__", a.tensor(0));
  PyObject* np = PyImport_ImportModule("numpy");
  if (!np) throw PyError{};
  PyObject* o = wrap(autograd::detach(a.tensor(0)));
  PyObject* dtype = a.object(1) ? a.object(1) : Py_None;
  const bool copy = a.object(2) == Py_True;
  PyObject* r = PyObject_CallMethod(np, copy ? "array" : "asarray", "OO", o, dtype);
  Py_DECREF(o);
  Py_DECREF(np);
  if (!r) throw PyError{};
  return r;
}

PyObject* row_from_numpy(const Args& a) { return wrap(tensor_from_buffer(a.object(0), "from_numpy")); }

PyObject* row_frombuffer(const Args& a) {
  Py_buffer view;
  if (PyObject_GetBuffer(a.object(0), &view, PyBUF_WRITABLE) < 0) {
    PyErr_Clear();
    if (PyObject_GetBuffer(a.object(0), &view, PyBUF_SIMPLE) < 0) throw PyError{};
  }
  auto* held = new Py_buffer(view);
  auto release = [held] {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyBuffer_Release(held);
    PyGILState_Release(gil);
    delete held;
  };
  auto storage = Storage::wrap(view.buf, view.len, Device{}, release, view.readonly);
  const DType dtype = a.dtype(1);
  const int64_t size = item_size(dtype), offset = a.integer(3);
  CCDL_CHECK(offset >= 0 && offset <= view.len, Value, "frombuffer: offset ", offset,
             " must lie inside the buffer of ", view.len, " bytes");
  const int64_t room = (view.len - offset) / size;
  const int64_t count = a.integer(2) < 0 ? room : a.integer(2);
  CCDL_CHECK(a.integer(2) >= 0 || (view.len - offset) % size == 0, Value, "frombuffer: buffer length (",
             view.len - offset, " bytes) after offset (", offset,
             " bytes) must be a multiple of element size (", size, ")");
  CCDL_CHECK(count <= room && offset % size == 0, Value, "frombuffer: requested buffer length (", count,
             " elements at offset ", offset, " bytes) must not exceed the buffer (", view.len,
             " bytes) and must be aligned to the element size ", size);
  return wrap(Tensor(make_ref<TensorImpl>(storage, Dims{count}, Dims{1}, offset / size, dtype)));
}

const Row kRows[] = {
    {"numpy(Tensor self, *, bool force=False) -> object", row_numpy},
    {"__array__(Tensor self, object dtype=None, object copy=None) -> object", row_array},
    {"__dlpack__(Tensor self, object stream=None, object max_version=None, object dl_device=None, object "
     "copy=None) -> object",
     row_dlpack},
    {"__dlpack_device__(Tensor self) -> object",
     [](const Args& a) {
       const DLDevice d = dl_device(a.tensor(0));
       return Py_BuildValue("(ii)", d.type, d.id);
     }},
    {"from_dlpack(object ext_tensor, *, device? device=None, object copy=None) -> Tensor", row_from_dlpack},
    {"from_numpy(object ndarray) -> Tensor", row_from_numpy},
    {"frombuffer(object buffer, *, dtype dtype, int count=-1, int offset=0) -> Tensor", row_frombuffer},
};

}  // namespace

// A tensor over the memory of any object with the buffer protocol.
Tensor tensor_from_buffer(PyObject* o, const char* op) {
  auto* view = new Py_buffer();
  if (PyObject_GetBuffer(o, view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
    delete view;
    PyErr_Clear();
    fail(ErrorKind::Type, str(op, ": expected a NumPy array or another object with the buffer protocol, got ",
                              Py_TYPE(o)->tp_name));
  }
  auto release = [view] {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyBuffer_Release(view);
    PyGILState_Release(gil);
    delete view;
  };
  struct Guard {
    std::function<void()> f;
    ~Guard() {
      if (f) f();
    }
  } guard{release};
  CCDL_CHECK(view->ndim == 0 || (view->shape && view->strides), Type, op, ": can't convert a ",
             Py_TYPE(o)->tp_name, ", whose buffer tells no strides");
  DType dtype;
  const std::string format = view->format ? view->format : "";
  if (format == "Zf" || format == "Zd") throw ComplexData{};
  CCDL_CHECK(
      dtype_of_format(view->format, view->itemsize, &dtype) && item_size(dtype) == view->itemsize, Type, op,
      ": can't convert an array of type '", view->format ? view->format : "?",
      "'. The supported types are: float64, float32, float16, int64, int32, int16, int8, uint8, and bool.");
  CCDL_CHECK(view->ndim <= kMaxDims, Value, op, ": ", view->ndim, " dimensions; at most ", kMaxDims,
             " are supported");
  Dims sizes, strides;
  int64_t reach = 1;
  bool empty_array = false;
  for (int i = 0; i < view->ndim; ++i) {
    sizes.push_back(view->shape[i]);
    empty_array = empty_array || view->shape[i] == 0;
    const Py_ssize_t st = view->shape[i] <= 1
                              ? std::max<Py_ssize_t>(view->strides[i], 0) / view->itemsize * view->itemsize
                              : view->strides[i];
    CCDL_CHECK(st >= 0, Value, op,
               ": At least one stride in the given numpy array is negative, and tensors with negative "
               "strides are not supported; make a copy with array.copy()");
    CCDL_CHECK(st % view->itemsize == 0, Value, op,
               ": given numpy array strides not a multiple of the element byte size; copy it to reallocate "
               "the memory");
    strides.push_back(st / view->itemsize);
    reach += (std::max<int64_t>(view->shape[i], 1) - 1) * strides.back();
  }
  CCDL_CHECK(reinterpret_cast<uintptr_t>(view->buf) % static_cast<uintptr_t>(view->itemsize) == 0, Value, op,
             ": the array is not aligned to its element size; copy it first");
  if (empty_array) {
    reach = 0;
    strides = contiguous_strides(sizes);
  }
  auto storage = Storage::wrap(view->buf, reach * view->itemsize, Device{}, release, view->readonly);
  guard.f = nullptr;
  return Tensor(make_ref<TensorImpl>(storage, sizes, strides, 0, dtype));
}

int tensor_get_buffer(PyObject* self, Py_buffer* view, int flags) {
  if (is_pair(self)) {  // NumPy then asks __array__
    PyErr_SetString(PyExc_BufferError, "a complex tensor has no buffer; use .numpy()");
    return -1;
  }
  view->obj = nullptr;
  view->internal = nullptr;
  try {
    const Tensor& x = unwrap(self);
    check_exportable("buffer", x);
    if (!x.device().is_cpu() || ((flags & PyBUF_WRITABLE) && x.storage()->read_only()) ||
        ((flags & PyBUF_STRIDES) != PyBUF_STRIDES && !x.is_contiguous()) ||
        ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && !column_major(x))) {
      PyErr_SetString(PyExc_BufferError,
                      "the tensor's memory cannot be exported in the way that was asked for");
      return -1;
    }
    if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS && !x.is_contiguous()) {
      PyErr_SetString(PyExc_BufferError, "the tensor is not contiguous");
      return -1;
    }
    auto* e = new Exported(x);
    const int64_t item = item_size(x.dtype());
    for (int64_t d = 0; d < x.dim(); ++d) {
      e->shape[d] = x.size(d);
      e->strides[d] = x.stride(d) * item;
    }
    view->obj = Py_NewRef(self);
    view->buf = x.data();
    view->len = x.numel() * item;
    view->itemsize = item;
    view->readonly = x.storage()->read_only();
    view->ndim = static_cast<int>(x.dim());
    view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format_of(x.dtype())) : nullptr;
    view->shape = (flags & PyBUF_ND) ? e->shape : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? e->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = e;
    return 0;
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_BufferError, e.what());
    return -1;
  }
}

void tensor_release_buffer(PyObject*, Py_buffer* view) { delete static_cast<Exported*>(view->internal); }

bool init_exchange(PyObject* module) {
  add_rows(module, kRows);
  return true;
}

}  // namespace ccdl::python
