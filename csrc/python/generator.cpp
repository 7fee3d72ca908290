// ccdl.Generator: a heap type holding one reference to a core Generator.
#include "generator.h"

#include <cstring>

#include <ccdl/core/device_api.h>

namespace ccdl::python {
namespace {

struct GeneratorObject {
  PyObject_HEAD Ref<Generator> generator;
};

PyTypeObject* GeneratorType = nullptr;

Generator& self_of(PyObject* o) { return *reinterpret_cast<GeneratorObject*>(o)->generator; }

template <class F>
PyObject* guard(const F& f) {
  try {
    return f();
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

PyObject* generator_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"device", nullptr};
  PyObject* device = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Generator", const_cast<char**>(names), &device))
    return nullptr;
  return guard([&]() -> PyObject* {
    Device d;
    if (device != nullptr && device != Py_None && !device_from(device, &d)) {
      if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "Generator: device must be a device or a string");
      return nullptr;
    }
    CCDL_CHECK(d.is_cpu() || d.index < cu::device_count(), Device, "Generator: device ", d.name(),
               " is not available: ", cu::unavailable_reason());
    PyObject* o = type->tp_alloc(type, 0);
    if (o != nullptr)
      new (&reinterpret_cast<GeneratorObject*>(o)->generator) Ref<Generator>(make_ref<Generator>());
    return o;
  });
}

void generator_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  reinterpret_cast<GeneratorObject*>(o)->generator.~Ref<Generator>();
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* manual_seed(PyObject* o, PyObject* seed) {
  return guard([&] {
    self_of(o).manual_seed(seed_from(seed));
    return Py_NewRef(o);
  });
}
PyObject* initial_seed(PyObject* o, PyObject*) {
  return PyLong_FromUnsignedLongLong(self_of(o).initial_seed());
}
PyObject* seed(PyObject* o, PyObject*) {
  return guard([&] { return PyLong_FromUnsignedLongLong(self_of(o).seed()); });
}
PyObject* get_state(PyObject* o, PyObject*) {
  return guard([&] { return wrap(state_tensor(self_of(o))); });
}
PyObject* set_state(PyObject* o, PyObject* state) {
  return guard([&] {
    CCDL_CHECK(is_tensor(state), Type, "Generator.set_state: state must be a uint8 tensor, got ",
               Py_TYPE(state)->tp_name);
    set_state_from("Generator.set_state", self_of(o), unwrap(state));
    return Py_NewRef(o);
  });
}
PyObject* clone_state(PyObject* o, PyObject*) {
  return guard([&] {
    auto copy = make_ref<Generator>();
    copy->set_state(self_of(o).state());
    return wrap_generator(copy);
  });
}
PyObject* reduce(PyObject* o, PyObject*) {
  return guard([&] { return Py_BuildValue("(O()N)", Py_TYPE(o), wrap(state_tensor(self_of(o)))); });
}
PyObject* device(PyObject*, void*) { return wrap(Device{}); }
PyObject* repr(PyObject*) { return PyUnicode_FromString("Generator(device='cpu')"); }

PyMethodDef kMethods[] = {
    {"manual_seed", manual_seed, METH_O,
     "manual_seed(seed) -> Generator\n\nStarts the stream of this seed; returns self."},
    {"initial_seed", initial_seed, METH_NOARGS,
     "initial_seed() -> int\n\nThe seed the stream was started with."},
    {"seed", seed, METH_NOARGS,
     "seed() -> int\n\nStarts a stream from the system's entropy and returns its seed."},
    {"get_state", get_state, METH_NOARGS, "get_state() -> Tensor\n\nSeed and position as 16 bytes (uint8)."},
    {"set_state", set_state, METH_O,
     "set_state(state) -> Generator\n\nGoes to a position that get_state gave."},
    {"clone_state", clone_state, METH_NOARGS,
     "clone_state() -> Generator\n\nA new generator at the same position."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {"__setstate__", set_state, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef kProperties[] = {{"device", device, nullptr, "the device of the generator", nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(generator_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(generator_dealloc)},
    {Py_tp_methods, kMethods},
    {Py_tp_getset, kProperties},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_doc,
     const_cast<char*>(
         "Generator(device='cpu')\n\nA stream of random numbers: seed and position, counter-based.")},
    {0, nullptr}};
PyType_Spec kSpec = {"ccdl.Generator", sizeof(GeneratorObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                     kSlots};

}  // namespace

Generator* generator_from(PyObject* o) {
  if (o == nullptr || o == Py_None) return nullptr;
  CCDL_CHECK(PyObject_TypeCheck(o, GeneratorType), Type, "generator: expected a ccdl.Generator, got ",
             Py_TYPE(o)->tp_name);
  return &self_of(o);
}

PyObject* wrap_generator(Ref<Generator> generator) {
  PyObject* o = GeneratorType->tp_alloc(GeneratorType, 0);
  if (o != nullptr)
    new (&reinterpret_cast<GeneratorObject*>(o)->generator) Ref<Generator>(std::move(generator));
  return o;
}

uint64_t seed_from(PyObject* o) {
  PyObject* number = PyNumber_Long(o);
  if (number == nullptr) throw PyError{};
  int overflow = 0;
  uint64_t seed = static_cast<uint64_t>(PyLong_AsLongLongAndOverflow(number, &overflow));
  if (overflow > 0) {
    seed = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred()) {
      PyErr_Clear();
      overflow = -1;
    }
  }
  Py_DECREF(number);
  CCDL_CHECK(overflow >= 0, Value,
             "manual_seed: seed must be in [-0x8000_0000_0000_0000, 0xffff_ffff_ffff_ffff] "
             "(Overflow when unpacking long)");
  return seed;
}

Tensor state_tensor(Generator& generator) {
  const auto bytes = pack_state(generator.state());
  Tensor t = empty(Dims{kRandomStateBytes}, DType::UInt8);
  std::memcpy(t.data(), bytes.data(), bytes.size());
  return t;
}

void set_state_from(const char* op, Generator& generator, const Tensor& state) {
  CCDL_CHECK(state.dtype() == DType::UInt8 && state.dim() == 1 && state.numel() == kRandomStateBytes &&
                 state.device().is_cpu(),
             Type, op, ": state must be a uint8 tensor of ", kRandomStateBytes,
             " bytes as get_state gives it, got ", describe(state));
  uint8_t bytes[kRandomStateBytes];
  for (int i = 0; i < kRandomStateBytes; ++i) bytes[i] = state.ptr<uint8_t>()[i * state.stride(0)];
  generator.set_state(unpack_state(bytes));
}

bool init_generator(PyObject* module) {
  GeneratorType = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&kSpec));
  if (GeneratorType == nullptr) return false;
  if (PyModule_AddObject(module, "Generator", Py_NewRef(reinterpret_cast<PyObject*>(GeneratorType))) != 0)
    return false;
  return PyModule_AddObject(module, "default_generator",
                            wrap_generator(Ref<Generator>(&default_generator()))) == 0;
}

}  // namespace ccdl::python
