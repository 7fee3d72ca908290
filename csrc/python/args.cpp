// The arguments of a call matched with a signature and converted.
#include "signature.h"
#include "subclass.h"

#include <ccdl/core/device_api.h>

#include <cstring>

namespace ccdl::python {

namespace {

bool is_numpy_bool(PyObject* o) {
  const char* n = Py_TYPE(o)->tp_name;
  return std::strcmp(n, "numpy.bool") == 0 || std::strcmp(n, "numpy.bool_") == 0;
}

// An integer, or false without an exception.
bool int_from(PyObject* o, int64_t* out) {
  if (PyBool_Check(o)) return false;
  if (!PyLong_Check(o)) {
    if (is_tensor(o)) {
      const Tensor& t = unwrap(o);
      if (t.numel() != 1 || !is_integral(t.dtype(), false)) return false;
      *out = ops::item(t).to_int();
      return true;
    }
    if (PyFloat_Check(o) || !PyIndex_Check(o)) return false;
    PyObject* index = PyNumber_Index(o);
    if (!index) {
      PyErr_Clear();
      return false;
    }
    const bool ok = int_from(index, out);
    Py_DECREF(index);
    return ok;
  }
  int overflow = 0;
  const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (overflow)
    fail(ErrorKind::Value, "an integer argument does not fit in 64 bits (Overflow when unpacking long)");
  *out = v;
  return true;
}

bool is_items(PyObject* o) { return PyTuple_Check(o) || PyList_Check(o); }

bool ints_from(PyObject* o, int fill, Slot* s) {
  Dims* out = &s->ints;
  int64_t one = 0;
  out->clear();
  if (is_items(o)) {
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    for (Py_ssize_t i = 0; i < n; ++i) {
      const Owned item(entry_of(o, i, n));
      if (!int_from(item.o, &one)) return false;
      if (n > kMaxDims)
        s->make_lists().many.push_back(one);
      else
        out->push_back(one);
    }
    return true;
  }
  if (fill > 0 && int_from(o, &one)) {
    *out = Dims(static_cast<size_t>(fill), one);
    return true;
  }
  return false;
}

}  // namespace

// `large`, where given, is set for an int beyond 64 bits, which then comes as the double nearest to it.
bool is_complex_number(PyObject* o) {
  return PyComplex_Check(o) || std::strncmp(Py_TYPE(o)->tp_name, "numpy.complex", 13) == 0 ||
         std::strcmp(Py_TYPE(o)->tp_name, "numpy.clongdouble") == 0;
}

bool number_from(PyObject* o, Scalar* out, bool* large) {
  if (PyFloat_Check(o)) {
    *out = Scalar(PyFloat_AS_DOUBLE(o));
    return true;
  }
  if (PyBool_Check(o)) {
    *out = Scalar(o == Py_True);
    return true;
  }
  if (PyLong_Check(o)) {
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (!overflow) {
      *out = Scalar(v);
      return true;
    }
    const double nearest = large ? PyLong_AsDouble(o) : -1.0;
    if (!large || (nearest == -1.0 && PyErr_Occurred())) {
      PyErr_Clear();
      fail(ErrorKind::Value, "a number argument does not fit in 64 bits (Overflow when unpacking long)");
    }
    *out = Scalar(nearest);
    *large = true;
    return true;
  }
  if (is_tensor(o)) {
    const Tensor& t = unwrap(o);
    if (t.dim() != 0 || autograd::requires_grad(t)) return false;  // as a number it would lose its gradient
    *out = ops::item(t);
    return true;
  }
  if (is_numpy_bool(o)) {
    *out = Scalar(PyObject_IsTrue(o) == 1);
    return true;
  }
  if (PyObject_CheckBuffer(o) && std::strncmp(Py_TYPE(o)->tp_name, "numpy.", 6) != 0) return false;
  if (std::strcmp(Py_TYPE(o)->tp_name, "numpy.ndarray") == 0) return false;
  if (is_complex_number(o)) return false;  // float() of NumPy's drops the imaginary part
  int64_t i;
  if (int_from(o, &i)) {
    *out = Scalar(static_cast<long long>(i));
    return true;
  }
  const PyNumberMethods* nb = Py_TYPE(o)->tp_as_number;
  if (nb && nb->nb_float && !PyUnicode_Check(o)) {
    const double d = PyFloat_AsDouble(o);
    if (d == -1.0 && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    *out = Scalar(d);
    return true;
  }
  return false;
}

bool Signature::convert(const Param& p, PyObject* o, Slot* s, Args* a) {
  int64_t* work = &a->work_;
  s->given = true;
  s->object = o;
  if (o == Py_None && p.type != ArgType::Object) {
    s->none = true;
    return p.optional;
  }
  switch (p.type) {
    case ArgType::Tensor:
      if (!is_tensor(o)) {
        if (!p.pairs || !is_pair(o)) return false;
      } else {
        a->custom_ |= is_custom(o);
      }
      a->batched_ |= is_batched(o);
      s->tensor = &unwrap(o);
      *work += s->tensor->numel();
      return true;
    case ArgType::Number:
      if (is_tensor(o)) {
        a->custom_ |= is_custom(o);
        a->batched_ |= is_batched(o);
        s->tensor = &unwrap(o);
        *work += s->tensor->numel();
        return true;
      }
      return !p.tensor_only && number_from(o, &s->scalar, &a->large_);
    case ArgType::Scalar:
      return number_from(o, &s->scalar, &a->large_);
    case ArgType::Int:
      return int_from(o, &s->integer);
    case ArgType::Float: {
      bool large = false;  // as good as any other double
      if (!number_from(o, &s->scalar, &large)) return false;
      s->real = s->scalar.to_double();
      return true;
    }
    case ArgType::Bool:
      if (PyBool_Check(o))
        s->integer = o == Py_True;
      else if (is_numpy_bool(o))
        s->integer = PyObject_IsTrue(o) == 1;
      else
        return false;
      return true;
    case ArgType::Str:
      return PyUnicode_Check(o);
    case ArgType::DType: {
      DType t;
      if (!dtype_from(o, &t)) return false;
      if (static_cast<int>(t) >= kNumDTypes) return false;  // complex: op_call hands the call to Python
      s->integer = static_cast<int64_t>(t);
      return true;
    }
    case ArgType::Device: {
      Device d;
      if (!device_from(o, &d)) return false;
      s->integer = static_cast<int64_t>(d.kind);
      s->real = d.index;
      return true;
    }
    case ArgType::Ints:
      return ints_from(o, p.fill, s);
    case ArgType::Floats:
    case ArgType::Bools:
    case ArgType::Tensors: {
      if (!is_items(o)) return false;
      const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
      for (Py_ssize_t i = 0; i < n; ++i) {
        const Owned held(entry_of(o, i, n));
        PyObject* item = held.o;
        Scalar v;
        if (p.type == ArgType::Tensors) {
          if (!is_tensor(item) && !(p.none_items && item == Py_None) && !(p.pairs && is_pair(item)))
            return false;
          s->make_lists().tensors.push_back(item == Py_None ? Tensor() : unwrap(item));
          if (item == Py_None) continue;
          *work += unwrap(item).numel();
          a->custom_ |= is_tensor(item) && is_custom(item);
          a->batched_ |= is_batched(item);
        } else {
          if (!number_from(item, &v)) return false;
          s->make_lists().reals.push_back(v.to_double());
          if (s->ints.size() < kMaxDims) s->ints.push_back(v.to_int());
        }
      }
      return true;
    }
    case ArgType::MemoryFormat:
      return memory_format_from(o, &s->integer);
    case ArgType::Layout:
      return is_layout(o);
    case ArgType::Generator:
      return true;
    case ArgType::Object:
      a->batched_ |= holds_batched(o);
      return true;
  }
  return false;
}

PyObject* entry_of(PyObject* items, Py_ssize_t i, Py_ssize_t n) {
  CCDL_CHECK(PySequence_Fast_GET_SIZE(items) == n, Runtime, "a list changed its size while it was read");
  return Py_NewRef(PySequence_Fast_GET_ITEM(items, i));
}

std::string utf8(PyObject* o) {
  Py_ssize_t n = 0;
  const char* text = PyUnicode_AsUTF8AndSize(o, &n);
  if (!text) throw PyError{};
  return {text, static_cast<size_t>(n)};
}

int Signature::find(PyObject* key) const {
  for (size_t i = 0; i < params.size(); ++i)
    if (params[i].interned == key) return static_cast<int>(i);
  const char* k = PyUnicode_AsUTF8(key);
  if (!k) throw PyError{};
  if (std::strcmp(k, "axis") == 0) k = "dim";
  if (std::strcmp(k, "keepdims") == 0) k = "keepdim";
  if (std::strcmp(k, "x") == 0 || std::strcmp(k, "a") == 0 || std::strcmp(k, "x1") == 0) k = "input";
  if (std::strcmp(k, "x2") == 0) k = "other";
  for (size_t i = 0; i < params.size(); ++i)
    if (params[i].name == k) return static_cast<int>(i);
  return -1;
}

static std::string plain_type_name(PyObject* o) { return is_tensor(o) ? "Tensor" : Py_TYPE(o)->tp_name; }

// "list of Tensor and NoneType": a container with the first two types in it. One level only, for a list may
// hold itself.
static std::string type_name(PyObject* o) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return plain_type_name(o);
  std::string first, second;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o) && second.empty(); ++i) {
    const std::string name = plain_type_name(PySequence_Fast_GET_ITEM(o, i));
    if (first.empty())
      first = name;
    else if (name != first)
      second = " and " + name;
  }
  if (first.empty()) return Py_TYPE(o)->tp_name;
  return (PyTuple_Check(o) ? "tuple of " : "list of ") + first + second;
}

// Binds the arguments of one call. False: they do not fit; *why then says how (when why is not null).
bool Signature::bind(Args* a, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                     std::string* why) const {
  const int n = static_cast<int>(params.size());
  const Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  int pos = 0;
  auto reject = [&](std::string reason) {
    if (why) *why = std::move(reason);
    return false;
  };
  auto bad_type = [&](int i, PyObject* o, bool keyword) {
    if (!why) return false;
    std::string message = name + "(): argument '" + params[i].name + "'";
    if (!keyword) message += str(" (position ", is_method ? i : i + 1, ")");
    *why = message + " must be " + params[i].shown + ", not " + type_name(o);
    return false;
  };
  Py_ssize_t at = 0;
  while (at < nargs) {
    if (pos >= positional)
      return reject(str(name, "() takes ", positional - is_method, " positional arguments but ",
                        nargs - is_method, " were given"));
    const Param& p = params[pos];
    Slot& s = a->slots_[pos];
    if (p.star) {
      // f(2, 3) for f((2, 3)): all remaining positionals when the first one is an int
      int64_t one;
      PyObject* o = args[at];
      if (!PyTuple_Check(o) && !PyList_Check(o) && o != Py_None) {
        s.given = true;
        s.object = o;
        for (; p.type == ArgType::Tensors && at < nargs; ++at) {  // f(x, y) for f((x, y))
          if (!is_tensor(args[at])) return bad_type(pos, args[at], false);
          s.make_lists().tensors.push_back(unwrap(args[at]));
          a->batched_ |= is_batched(args[at]);
          a->work_ += s.lists->tensors.back().numel();
        }
        for (; at < nargs; ++at) {
          if (!int_from(args[at], &one)) return bad_type(pos, args[at], false);
          s.ints.push_back(one);
        }
        ++pos;
        continue;
      }
    }
    if (!convert(p, args[at], &s, a)) return bad_type(pos, args[at], false);
    ++pos;
    ++at;
  }
  for (Py_ssize_t k = 0; k < nkw; ++k) {
    PyObject* key = PyTuple_GET_ITEM(kwnames, k);
    const int i = find(key);
    if (i < 0 || (is_method && i == 0))
      return reject(str(name, "() got an unexpected keyword argument '", utf8(key), "'"));
    if (a->slots_[i].given)
      return reject(str(name, "() got multiple values for argument '", params[i].name, "'"));
    if (!convert(params[i], args[nargs + k], &a->slots_[i], a)) return bad_type(i, args[nargs + k], true);
  }
  for (int i = 0; i < n; ++i) {
    Slot& s = a->slots_[i];
    if (s.given) continue;
    const Param& p = params[i];
    if (!p.has_default) return reject(str(name, "() missing 1 required positional argument: '", p.name, "'"));
    s.none = p.fallback.none;
    s.integer = p.fallback.integer;
    s.real = p.fallback.real;
    s.scalar = p.fallback.scalar;
    if (p.fallback.ints.size()) s.ints = p.fallback.ints;
    if (p.fallback.lists) s.make_lists().reals = p.fallback.lists->reals;
  }
  a->signature_ = this;
  if (a->large_) check_large(*a);
  if (cu::is_initialized()) check_devices(*a);
  return true;
}

void Args::too_many_ints(int i) const {
  fail(ErrorKind::Value,
       str(signature_->name, "(): argument '", signature_->params[static_cast<size_t>(i)].name, "' has ",
           slots_[i].lists->many.size(), " entries; tensors have at most ", kMaxDims, " dimensions"));
}

// An int of 64 bits without a sign is a number like any other beside a tensor of floats, and nothing that a
// tensor of integers could hold.
void Signature::check_large(const Args& a) const {
  bool floating = false, fits = true;
  for (size_t i = 0; i < params.size(); ++i) {
    const Slot& s = a.slots_[i];
    floating |= s.tensor && is_floating(s.tensor->dtype());
    fits &= !s.object || !PyLong_Check(s.object) || !s.scalar.is_float() ||
            (s.scalar.to_double() > 0 && s.scalar.to_double() <= kTwoTo64);
  }
  if (floating && fits) return;
  fail(ErrorKind::Value, str(name,
                             "(): a number argument does not fit in 64 bits (Overflow when unpacking long); "
                             "only beside a floating tensor may it be larger"));
}

// All tensors of a call live on one device. Numbers in host memory (0-d) mix where an argument may be a
// number as well; `moves` rows are the ones whose purpose is to cross devices.
void Signature::check_devices(const Args& a) const {
  if (moves_between_devices) return;
  const Tensor* first = nullptr;
  const char* first_name = nullptr;
  const auto look = [&](const Tensor& t, const Param& p) {
    if (!t.defined() || (takes_numbers && ops::is_host_number(t))) return;
    if (!first) {
      first = &t;
      first_name = p.name.c_str();
    }
    if (!(t.device() == first->device()))
      check_same_device(name.c_str(), {{first_name, first}, {p.name.c_str(), &t}});
  };
  for (size_t i = 0; i < params.size(); ++i) {
    if (a.slots_[i].tensor) look(*a.slots_[i].tensor, params[i]);
    for (const Tensor& t : a.slots_[i].read_lists().tensors) look(t, params[i]);
  }
}

std::string Signature::shown_args(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  std::string out = "(";
  const Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  for (Py_ssize_t i = 0; i < nargs + nkw; ++i) {
    if (i) out += ", ";
    if (i >= nargs) out += utf8(PyTuple_GET_ITEM(kwnames, i - nargs)) + "=";
    out += type_name(args[i]);
  }
  return out + ")";
}

std::string Args::string(int i) const {
  if (!slots_[i].given) return signature_->params[i].default_string;
  return utf8(slots_[i].object);
}

std::optional<std::string> Args::string_or(int i) const {
  if (slots_[i].none) return std::nullopt;
  return string(i);
}

Device Args::device(int i) const {
  if (slots_[i].none || !slots_[i].given) return current_default_device();
  return {static_cast<DeviceKind>(slots_[i].integer), static_cast<int16_t>(slots_[i].real)};
}

}  // namespace ccdl::python
