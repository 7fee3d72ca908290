// Tensor.__getitem__ and __setitem__: a key becomes basic steps (one view) and, where index tensors occur,
// one list for ops::index or ops::index_put_. Integers and 0-d integer tensors are basic, as in PyTorch;
// masks take several dimensions.
#include "subclass.h"

#include <algorithm>
#include <cstring>

#include <ccdl/core/warn.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {
namespace {

using ops::BasicStep;

struct Key {
  BasicStep steps[2 * kMaxDims];
  size_t count = 0;
  TensorList indices;  // per dimension of the view (masks once); undefined where basic
  bool advanced = false;
  int64_t used = 0;  // dimensions of x consumed so far

  void push(const BasicStep& s) {
    CCDL_CHECK(count < 2 * kMaxDims, Index, "index: too many entries in the index");
    steps[count++] = s;
  }
  void keep() {  // the view dimension just made is not indexed further
    indices.emplace_back();
  }
};

[[noreturn]] void invalid(PyObject* o) {
  const bool text = PyUnicode_Check(o) || PyBytes_Check(o);
  fail(text ? ErrorKind::Type : ErrorKind::Index,
       str("index: only integers, slices (`:`), ellipsis (`...`), None and long or byte "
           "Variables are valid indices (got ",
           Py_TYPE(o)->tp_name, ")"));
}

bool is_mask(const Tensor& t) { return t.dtype() == DType::Bool || t.dtype() == DType::UInt8; }

// Lists, tuples and arrays; an empty list indexes nothing.
Tensor index_from(PyObject* o) {
  Tensor t = tensor_from_object(o, std::nullopt, false);
  if (t.numel() == 0 && is_floating(t.dtype()) && (PyList_Check(o) || PyTuple_Check(o)))
    return ops::to(t, DType::Int64);
  return t;
}

bool is_array_like(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) || PyRange_Check(o) ||
         (PyObject_CheckBuffer(o) && !PyBytes_Check(o) && !PyLong_Check(o)) ||
         (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o));
}

bool is_numpy_bool(PyObject* o) { return std::strncmp(Py_TYPE(o)->tp_name, "numpy.bool", 10) == 0; }

// How many dimensions of x an entry takes.
int64_t dims_taken(PyObject* o, const Tensor& t) {
  if (o == Py_None || o == Py_Ellipsis || PyBool_Check(o)) return 0;
  if (t.defined()) return is_mask(t) ? t.dim() : 1;
  return 1;
}

void add_slice(Key* key, PyObject* o, const Tensor& x) {
  Py_ssize_t start = 0, stop = 0, step = 0;
  if (PySlice_Unpack(o, &start, &stop, &step) < 0) throw PyError{};
  CCDL_CHECK(step > 0, Value, "index: slice step must be positive, got ", step,
             "; use flip() for a reversed view");
  CCDL_CHECK(key->used < x.dim(), Index, "index: too many indices for tensor of dimension ", x.dim());
  const Py_ssize_t n = PySlice_AdjustIndices(x.size(key->used), &start, &stop, step);
  BasicStep s;
  if (start != 0 || n != x.size(key->used) || step != 1) s = {BasicStep::Range, n > 0 ? start : 0, n, step};
  key->push(s);
  ++key->used;
  key->keep();
}

void add_tensor(Key* key, const Tensor& t, const Tensor& x) {
  CCDL_CHECK(is_integral(t.dtype()), Index,
             "index: tensors used as indices must be long, int, byte or bool tensors, got ", describe(t));
  if (t.dim() == 0 && is_mask(t)) {  // True or False: a new dimension of size 1 or 0
    key->push({BasicStep::New, 0, 0, 1});
    const int64_t n = ops::item(t).to_bool() ? 1 : 0;
    key->indices.push_back(ops::zeros(Dims{n}, DType::Int64, x.device()));
    key->advanced = true;
    return;
  }
  const int64_t taken = is_mask(t) ? t.dim() : 1;
  CCDL_CHECK(key->used + taken <= x.dim(), Index, "index: too many indices for tensor of dimension ",
             x.dim());
  for (int64_t i = 0; i < taken; ++i) {
    if (is_mask(t))
      CCDL_CHECK(x.size(key->used + i) == t.size(i), Index, "index: The shape of the mask ", t.sizes(),
                 " at index ", i, " does not match the shape of the indexed tensor ", x.sizes(), " at index ",
                 key->used + i);
    key->push({});
  }
  key->used += taken;
  key->indices.push_back(t);
  key->advanced = true;
}

// One entry; t is its tensor when it is or became one.
void add_entry(Key* key, PyObject* o, const Tensor& t, const Tensor& x, int64_t hidden) {
  if (o == Py_None) {
    key->push({BasicStep::New, 0, 0, 1});
    return key->keep();
  }
  if (o == Py_Ellipsis) {
    for (int64_t i = 0; i < hidden; ++i) {
      key->push({});
      key->keep();
    }
    key->used += hidden;
    return;
  }
  if (PySlice_Check(o)) return add_slice(key, o, x);
  if (PyBool_Check(o)) return add_tensor(key, scalar_tensor(o == Py_True, DType::Bool), x);
  if (t.defined() && (t.dim() > 0 || is_mask(t))) return add_tensor(key, t, x);
  int64_t i = 0;
  if (t.defined()) {
    CCDL_CHECK(is_integral(t.dtype()), Index,
               "index: tensors used as indices must be long, int, byte or bool tensors, got ", describe(t));
    i = ops::item(t).to_int();
  } else {
    if (!PyIndex_Check(o)) invalid(o);
    i = PyNumber_AsSsize_t(o, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) throw PyError{};
  }
  CCDL_CHECK(x.dim() > 0, Index,
             "index: invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim "
             "tensor to a number");
  CCDL_CHECK(key->used < x.dim(), Index, "index: too many indices for tensor of dimension ", x.dim());
  key->push({BasicStep::At, i, 0, 1});
  ++key->used;
}

// x[[a, b]] with something else than numbers in the list means x[a, b], as in PyTorch, for short lists.
bool list_is_tuple(PyObject* o) {
  if (!PyList_Check(o) || PyList_GET_SIZE(o) >= 32) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(o); ++i) {
    PyObject* e = PyList_GET_ITEM(o, i);
    if (is_tensor(e) || PyList_Check(e) || PyTuple_Check(e) || PyRange_Check(e) || PySlice_Check(e) ||
        e == Py_Ellipsis || e == Py_None)
      return true;
  }
  return false;
}

void parse(Key* key, PyObject* o, const Tensor& x) {
  // A list becomes a tuple: what an entry runs when it is read may change the list.
  const Owned tuple(list_is_tuple(o) ? PyList_AsTuple(o) : Py_NewRef(o));
  PyObject* const* entries = &o;
  Py_ssize_t n = 1;
  if (PyTuple_Check(tuple.o)) {
    entries = reinterpret_cast<PyTupleObject*>(tuple.o)->ob_item;
    n = PyTuple_GET_SIZE(tuple.o);
  }
  CCDL_CHECK(n <= 2 * kMaxDims, Index, "index: too many entries in the index, ", n);
  TensorList tensors(static_cast<size_t>(n));
  int64_t taken = 0, ellipses = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* e = entries[i];
    Tensor& t = tensors[static_cast<size_t>(i)];
    if (is_tensor(e))
      t = unwrap(e);
    else if (is_numpy_bool(e))
      t = scalar_tensor(PyObject_IsTrue(e) == 1, DType::Bool);
    else if (!PyLong_Check(e) && !PySlice_Check(e) && e != Py_None && e != Py_Ellipsis && !PyIndex_Check(e)) {
      if (!is_array_like(e)) invalid(e);
      t = index_from(e);
    } else if (PyIndex_Check(e) && !PyLong_Check(e) && PyObject_CheckBuffer(e) && PySequence_Check(e)) {
      t = index_from(e);  // an array of one integer also has __index__
    }
    if (t.defined() && t.dtype() == DType::UInt8)
      warn(
          "indexing with dtype uint8 is now deprecated: it is read as a mask; use a bool tensor, or "
          ".long() for indices");
    taken += dims_taken(e, t);
    ellipses += e == Py_Ellipsis;
  }
  CCDL_CHECK(ellipses <= 1, Index, "index: an index can only have a single ellipsis ('...')");
  CCDL_CHECK(taken <= x.dim() || (x.dim() == 0 && taken == 1), Index,
             "index: too many indices for tensor of dimension ", x.dim());
  for (Py_ssize_t i = 0; i < n; ++i)
    add_entry(key, entries[i], tensors[static_cast<size_t>(i)], x, x.dim() - taken);
}

// x[i] of a plain int, the hot path.
bool int_key(PyObject* o, int64_t* i) {
  if (!PyLong_CheckExact(o)) return false;
  int overflow = 0;
  *i = PyLong_AsLongLongAndOverflow(o, &overflow);
  CCDL_CHECK(overflow == 0, Index, "index: cannot fit 'int' into an index-sized integer");
  return true;
}

Tensor int_view(const Tensor& x, int64_t i) {
  CCDL_CHECK(x.dim() > 0, Index,
             "index: invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim "
             "tensor to a number");
  const BasicStep step{BasicStep::At, i, 0, 1};
  return ops::basic_index(x, &step, 1);
}

// Index tensors on the tensor's device.
void bring_indices(Key* key, const Tensor& x) {
  for (Tensor& t : key->indices)
    if (t.defined() && !(t.device() == x.device())) t = ops::to(t, t.dtype(), x.device(), false);
}

bool same_place(const Tensor& a, const Tensor& b) {
  return a.storage() == b.storage() && a.offset() == b.offset() && a.dtype() == b.dtype() &&
         a.sizes() == b.sizes() && a.strides() == b.strides();
}

// The tensor to write: cast outside the graph of x, copied when it shares memory with the target at other
// places.
Tensor source_for(const Tensor& target, const Tensor& value, int64_t dims) {
  Tensor v = value;
  if (v.storage() == target.storage()) v = ops::clone(v);
  while (v.dim() > dims && v.size(0) == 1) v = ops::select(v, 0, 0);  // extra leading ones are allowed
  return v;
}

// Dimensions of view[indices].
int64_t indexed_dims(const Tensor& view, const TensorList& indices) {
  int64_t taken = 0, most = 0;
  for (const Tensor& t : indices) {
    if (!t.defined()) continue;
    taken += is_mask(t) ? t.dim() : 1;
    most = std::max(most, is_mask(t) ? int64_t{1} : t.dim());
  }
  return view.dim() - taken + most;
}

void assign_view(const Tensor& view, const Tensor& value) {
  if (same_place(view, value)) return;  // x[k] += v wrote through the view already
  const Tensor v = source_for(view, value, view.dim());
  CCDL_CHECK(is_expandable_to(v.sizes(), view.sizes()), Shape,
             "index: shape mismatch: value tensor of shape ", value.sizes(),
             " cannot be broadcast to indexing result of shape ", view.sizes());
  ops::copy_(view, v);
}

// The only index is a mask and the value a number: no coordinates are needed.
bool fill_mask(const Tensor& view, const Key& key, const ops::Operand& value) {
  const Tensor* mask = nullptr;
  size_t at = 0;
  for (size_t k = 0; k < key.indices.size(); ++k) {
    if (!key.indices[k].defined()) continue;
    if (mask || key.indices[k].dtype() != DType::Bool) return false;
    mask = &key.indices[k];
    at = k;
  }
  Dims shape = mask->sizes();
  for (int64_t d = static_cast<int64_t>(at) + mask->dim(); d < view.dim(); ++d) shape.push_back(1);
  ops::masked_fill_(view, ops::reshape(*mask, shape), value);
  return true;
}

}  // namespace

PyObject* tensor_subscript(PyObject* self, PyObject* o) {
  if (is_custom(self) || holds_batched(o) || in_mode()) return custom_call("__getitem__", self, o);
  try {
    const Tensor x = unwrap(self);
    int64_t i = 0;
    if (int_key(o, &i)) return wrap(int_view(x, i));
    Key key;
    parse(&key, o, x);
    Tensor view = ops::basic_index(x, key.steps, key.count);
    if (!key.advanced) return wrap(view);
    bring_indices(&key, x);
    if (std::all_of(key.steps, key.steps + key.count,
                    [](const ops::BasicStep& s) { return s.kind == ops::BasicStep::All; }))
      view = x;  // no view of the whole, whose gradient would be a copy
    const Tensor y = [&] {
      Args::Unlocked unlocked(x.numel());
      return ops::index(view, key.indices);
    }();
    return wrap(y);
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
}

int tensor_assign_subscript(PyObject* self, PyObject* o, PyObject* value) {
  if (refuse_batched(o) || (value && refuse_batched(value))) return -1;
  if (value && custom_target(self, value)) return custom_assign(self, o, value);
  try {
    CCDL_CHECK(value != nullptr, Type, "index: Tensor does not support deleting items");
    const Tensor x = unwrap(self);
    Key key;
    int64_t i = 0;
    Tensor view;
    if (int_key(o, &i)) {
      view = int_view(x, i);
    } else {
      parse(&key, o, x);
      view = ops::basic_index(x, key.steps, key.count);
    }
    Scalar number;
    const bool is_number = !is_tensor(value) && number_from(value, &number);
    if (is_number && !key.advanced) {
      ops::fill_(view, number);
      return 0;
    }
    Tensor v = is_tensor(value) ? unwrap(value)
               : is_number      ? Tensor()
                                : tensor_from_object(value, std::nullopt, false);
    if (v.defined() && !(v.device() == x.device()) && (v.dim() == 0 || !is_tensor(value)))
      v = ops::to(v, v.dtype(), x.device(), false);
    Args::Unlocked unlocked(x.numel());
    if (!key.advanced) {
      assign_view(view, v);
      return 0;
    }
    bring_indices(&key, x);
    if (is_number || v.dim() == 0) {
      const ops::Operand operand = is_number ? ops::Operand(number) : ops::Operand(v);
      if (fill_mask(view, key, operand)) return 0;
    }
    if (is_number) v = ops::full(Dims{}, number, x.dtype(), x.device());
    v = source_for(view, v, indexed_dims(view, key.indices));
    ops::index_put_(view, key.indices, ops::to(v, x.dtype()));
    return 0;
  } catch (...) {
    raise_current_exception();
    return -1;
  }
}

}  // namespace ccdl::python
