// The Tensor heap type. One Python object per tensor: TensorImpl::object points back to it. When the last
// Python reference goes while C++ still holds the tensor, an object that carries state (attributes, weak
// references, a subclass) is kept: ownership flips, the tensor then owns the object until it is wrapped
// again.
#include <vector>

#include <ccdl/ops/view.h>

#include "py_tensor.h"
#include "subclass.h"

namespace ccdl::python {

PyTypeObject* TensorType = nullptr;

static TensorObject* obj(PyObject* o) { return reinterpret_cast<TensorObject*>(o); }

PyObject* alloc_tensor(PyTypeObject* type, const Tensor& x) {
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  new (&obj(o)->tensor) Tensor(x);
  obj(o)->dict = nullptr;
  obj(o)->weakrefs = nullptr;
  x.impl()->object = o;
  return o;
}

namespace {

PyTypeObject* TensorMeta;

// ---- life and death ----

bool carries_state(PyObject* o) {
  return Py_TYPE(o) != TensorType || (obj(o)->dict && PyDict_GET_SIZE(obj(o)->dict) > 0) || obj(o)->weakrefs;
}

void clear_slots(PyTypeObject* type, PyObject* self) {
  for (; type && type != TensorType; type = type->tp_base) {
    const Py_ssize_t n = Py_SIZE(type);
    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || type->tp_base == type) break;
    PyMemberDef* m =
        reinterpret_cast<PyMemberDef*>(reinterpret_cast<char*>(type) + Py_TYPE(type)->tp_basicsize);
    for (Py_ssize_t i = 0; i < n; ++i, ++m)
      if (m->type == T_OBJECT_EX && !(m->flags & READONLY)) {
        auto** slot = reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + m->offset);
        Py_CLEAR(*slot);
      }
  }
}

void tensor_dealloc(PyObject* self) {
  TensorImpl* impl = obj(self)->tensor.impl();
  if (impl && impl->object == self && impl->use_count() > 1 && carries_state(self)) {
    // C++ keeps the tensor: it takes over this object, whose pointer to the tensor stays but is no longer
    // counted.
    Py_SET_REFCNT(self, 1);
    impl->owns_object = true;
    impl->release();
    return;
  }
  PyTypeObject* type = Py_TYPE(self);
  if (type->tp_finalize && PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyObject_GC_UnTrack(self);
  if (obj(self)->weakrefs) PyObject_ClearWeakRefs(self);
  clear_slots(type, self);
  Py_CLEAR(obj(self)->dict);
  if (impl) impl->object = nullptr;
  {
    Tensor last = std::move(obj(self)->tensor);
    obj(self)->tensor.~Tensor();
  }
  type->tp_free(self);
  Py_DECREF(type);
}

// The last C++ reference of a tensor that owns its object is gone.
void drop_object(TensorImpl* impl) {
  if (impl->owns_object && !Py_IsInitialized()) {
    // The interpreter is going down and may still visit the object: it must not point here any more.
    new (&obj(static_cast<PyObject*>(impl->object))->tensor) Tensor();
    delete impl;
    return;
  }
  if (!impl->owns_object) {
    delete impl;
    return;
  }
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject* self = static_cast<PyObject*>(impl->object);
  impl->owns_object = false;
  impl->retain();  // back to the usual ownership, then let go
  Py_DECREF(self);
  PyGILState_Release(gil);
}

int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(obj(self)->dict);
  TensorImpl* impl = obj(self)->tensor.impl();
  if (impl && impl->use_count() == 1) return traverse_autograd(obj(self)->tensor, visit, arg);
  return 0;
}

int tensor_clear(PyObject* self) {
  Py_CLEAR(obj(self)->dict);
  if (obj(self)->tensor.defined() && obj(self)->tensor.impl()->use_count() == 1)
    clear_autograd(obj(self)->tensor);
  return 0;
}

int meta_init(PyObject* cls, PyObject* args, PyObject* kwargs) {
  if (PyType_Type.tp_init(cls, args, kwargs) < 0) return -1;
  reinterpret_cast<PyTypeObject*>(cls)->tp_dealloc =
      tensor_dealloc;  // subclasses take part in the ownership flip
  return 0;
}

// _swap_impl(a, b): each object gets the other's tensor and attributes; class and slots are swapped in
// Python.
PyObject* swap_impl(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || !is_tensor(args[0]) || !is_tensor(args[1])) {
    PyErr_SetString(PyExc_TypeError, "_swap_impl: expected two Tensors");
    return nullptr;
  }
  if (refuse_batched(args[0]) || refuse_batched(args[1])) return nullptr;
  std::swap(obj(args[0])->tensor, obj(args[1])->tensor);
  std::swap(obj(args[0])->dict, obj(args[1])->dict);
  for (int i = 0; i < 2; ++i) obj(args[i])->tensor.impl()->object = args[i];
  Py_RETURN_NONE;
}

// Tensor(2, 3): uninitialised memory; Tensor([...]): values; both of the default dtype.
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  try {
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
      PyErr_SetString(
          PyExc_TypeError,
          "Tensor(): takes sizes or one data argument and no keywords; use ccdl.tensor(data, dtype=...)");
      return nullptr;
    }
    Tensor x;
    const Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject* first = n ? PyTuple_GET_ITEM(args, 0) : nullptr;
    if (n == 1 && refuse_batched(first)) return nullptr;
    if (n == 1 && !PyLong_Check(first) && Py_TYPE(first)->tp_name != std::string("ccdl.Size")) {
      x = is_tensor(first) ? autograd::detach(unwrap(first))
                           : tensor_from_object(first, default_dtype(), true);
    } else {
      Dims sizes;
      PyObject* list = n == 1 && PyTuple_Check(first) ? first : args;
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); ++i) {
        const Py_ssize_t v = PyNumber_AsSsize_t(PyTuple_GET_ITEM(list, i), PyExc_OverflowError);
        if (v == -1 && PyErr_Occurred()) return nullptr;
        sizes.push_back(v);
      }
      x = n == 0 ? empty(Dims{0}, default_dtype()) : empty(sizes, default_dtype());
    }
    return alloc_tensor(type, x);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

// Tensor._make_subclass(cls, data, requires_grad): a leaf of class cls over data's storage.
PyObject* make_subclass(PyObject*, PyObject* const* args, Py_ssize_t n) {
  const auto* cls = n >= 2 && PyType_Check(args[0]) ? reinterpret_cast<PyTypeObject*>(args[0]) : nullptr;
  const auto derives = [cls](PyTypeObject* base) {
    return PyType_IsSubtype(const_cast<PyTypeObject*>(cls), base);
  };
  if (!cls || !derives(TensorType) || !(is_tensor(args[1]) || (is_pair(args[1]) && derives(PairType)))) {
    PyErr_SetString(
        PyExc_TypeError,
        "_make_subclass(cls, data, require_grad=False): cls must be a subclass of Tensor and data a Tensor");
    return nullptr;
  }
  if (reinterpret_cast<PyTypeObject*>(args[0]) != BatchedType && refuse_batched(args[1])) return nullptr;
  try {
    const Tensor x = autograd::detach(unwrap(args[1]));
    if (n > 2 && PyObject_IsTrue(args[2]) == 1) autograd::set_requires_grad(x, true);
    return alloc_tensor(reinterpret_cast<PyTypeObject*>(args[0]), x);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

Py_hash_t tensor_hash(PyObject* o) { return static_cast<Py_hash_t>(reinterpret_cast<intptr_t>(o) >> 4); }

// `element in x`: a slot of its own, else Python compares with the rows of x one by one.
int tensor_contains(PyObject* self, PyObject* element) {
  PyObject* r = PyObject_CallMethod(self, "__contains__", "O", element);
  if (!r) return -1;
  const int found = PyObject_IsTrue(r);
  Py_DECREF(r);
  return found;
}
Py_ssize_t tensor_length(PyObject* o) {
  const Tensor& x = unwrap(o);
  if (x.dim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
  }
  return x.size(0);
}

PyObject* tensor_iter(PyObject* o) {
  try {
    if (unwrap(o).dim() == 0) {
      PyErr_SetString(PyExc_TypeError, "iteration over a 0-d tensor");
      return nullptr;
    }
    const Owned rows(is_custom(o) ? PyObject_CallMethod(o, "unbind", nullptr)
                                  : wrap(ops::unbind(unwrap(o), 0)));
    return PyObject_GetIter(rows.o);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

// Tensor.__torch_function__(func, types, args, kwargs), of a class
PyObject* torch_function(PyObject* cls, PyObject* args, PyObject* kwargs) {
  PyObject* m = PyImport_ImportModule("ccdl._tensor_methods");
  PyObject* f = m ? PyObject_GetAttrString(m, "torch_function") : nullptr;
  PyObject* own = f ? PyTuple_Pack(1, cls) : nullptr;
  PyObject* all = own ? PySequence_Concat(own, args) : nullptr;
  PyObject* r = all ? PyObject_Call(f, all, kwargs) : nullptr;
  Py_XDECREF(all);
  Py_XDECREF(own);
  Py_XDECREF(f);
  Py_XDECREF(m);
  return r;
}

PyObject* tensor_repr(PyObject* o) {
  PyObject* m = PyImport_ImportModule("ccdl._tensor_str");
  PyObject* r = m ? PyObject_CallMethod(m, "_str", "O", o) : nullptr;
  Py_XDECREF(m);
  return r;
}

template <class F>
void* fn(F f) {
  return reinterpret_cast<void*>(f);
}

}  // namespace

PyObject* wrap(const Tensor& x) {
  if (!x.defined()) Py_RETURN_NONE;
  TensorImpl* impl = x.impl();
  if (impl->object) {
    PyObject* o = static_cast<PyObject*>(impl->object);
    if (!impl->owns_object) return Py_NewRef(o);
    impl->owns_object = false;  // the tensor's reference on the object becomes the caller's
    impl->retain();
    return o;
  }
  return alloc_tensor(TensorType, x);
}

bool init_tensor_type(PyObject* module) {
  TensorImpl::drop_object = drop_object;
  PyType_Slot meta_slots[] = {{Py_tp_init, fn(meta_init)}, {Py_tp_base, &PyType_Type}, {0, nullptr}};
  PyType_Spec meta_spec = {"ccdl._C.TensorMeta", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, meta_slots};
  TensorMeta = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&meta_spec));
  if (!TensorMeta) return false;

  static PyMemberDef members[] = {
      {"__dictoffset__", T_PYSSIZET, offsetof(TensorObject, dict), READONLY, nullptr},
      {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyMethodDef methods[] = {
      {"_make_subclass", reinterpret_cast<PyCFunction>(fn(make_subclass)), METH_FASTCALL | METH_STATIC,
       nullptr},
      {"__torch_function__", reinterpret_cast<PyCFunction>(fn(torch_function)),
       METH_CLASS | METH_VARARGS | METH_KEYWORDS, nullptr},
      {"_swap_impl", reinterpret_cast<PyCFunction>(fn(swap_impl)), METH_FASTCALL | METH_STATIC, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  std::vector<PyType_Slot> slots{{Py_tp_new, fn(tensor_new)},
                                 {Py_tp_dealloc, fn(tensor_dealloc)},
                                 {Py_tp_traverse, fn(tensor_traverse)},
                                 {Py_tp_clear, fn(tensor_clear)},
                                 {Py_tp_members, members},
                                 {Py_tp_methods, methods},
                                 {Py_tp_getset, tensor_properties()},
                                 {Py_tp_repr, fn(tensor_repr)},
                                 {Py_tp_hash, fn(tensor_hash)},
                                 {Py_tp_iter, fn(tensor_iter)},
                                 {Py_sq_contains, fn(tensor_contains)},
                                 {Py_mp_length, fn(tensor_length)},
                                 {Py_mp_subscript, fn(tensor_subscript)},
                                 {Py_mp_ass_subscript, fn(tensor_assign_subscript)},
                                 {Py_bf_getbuffer, fn(tensor_get_buffer)},
                                 {Py_bf_releasebuffer, fn(tensor_release_buffer)}};
  add_operator_slots(&slots);
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"ccdl.Tensor", sizeof(TensorObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) return false;
  // The metaclass is set afterwards: PyType_FromMetaclass exists only from Python 3.12 on.
  Py_SET_TYPE(type, TensorMeta);
  Py_INCREF(TensorMeta);
  TensorType = reinterpret_cast<PyTypeObject*>(type);
  PyObject* priority = PyLong_FromLong(1000);
  PyDict_SetItemString(TensorType->tp_dict, "__array_priority__", priority);
  Py_DECREF(priority);
  return PyModule_AddObject(module, "Tensor", Py_NewRef(type)) == 0;
}

}  // namespace ccdl::python
