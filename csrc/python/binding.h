// How an op reaches Python. A row is a typed signature and a function over parsed arguments; parser, stub and
// help() all come from the signature. Grammar, one line per row:
//   "name(Tensor self, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"
// Types: Tensor Scalar Number(Tensor or Scalar) int float bool str dtype device int[] float[] bool[] Tensor[]
// Generator memory_format layout object; '?' after a type admits None (and is what a default of None needs);
// int[2] accepts one int for all; `int[]* shape` as the first argument after self also takes separate ints:
// f(2, 3). Defaults: None, numbers, True/False, 'text', [1, 1]. A row is a function when its first argument
// is not called `self`; rows whose first argument is `self` are Tensor methods; kBoth registers `input`-rows
// as methods too. Rows of one name are overloads, tried in order.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <ccdl/autograd/node.h>
#include <ccdl/ops/op.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {

// ---- objects <-> values ----
extern PyTypeObject* TensorType;
// The class of complex numbers, a subclass of Tensor whose memory holds pairs of real ones. Its objects count
// as tensors in Python only: here they are what any foreign object is, so that no op takes the pairs for
// data.
extern PyTypeObject* PairType;
inline bool is_pair(PyObject* o) { return PairType && PyObject_TypeCheck(o, PairType); }
inline bool is_tensor(PyObject* o) {
  return Py_TYPE(o) == TensorType || (PyObject_TypeCheck(o, TensorType) && !is_pair(o));
}
struct TensorObject {
  PyObject_HEAD Tensor tensor;
  PyObject* dict;
  PyObject* weakrefs;
};
inline const Tensor& unwrap(PyObject* o) {  // o must be a tensor, or a pair
  return reinterpret_cast<TensorObject*>(o)->tensor;
}
// Data of complex numbers, of which rows make no tensor: the call goes to Python, which does.
struct ComplexData : Error {
  ComplexData() : Error(ErrorKind::Type, "complex numbers are not accepted here; use ccdl.tensor") {}
};
PyObject* wrap(const Tensor& x);  // new reference; the same object for the same tensor; None when undefined
PyObject* wrap(bool v);
PyObject* wrap(int64_t v);
PyObject* wrap(double v);
PyObject* wrap(const Scalar& v);
PyObject* wrap(const std::string& v);
PyObject* wrap(const Dims& v);  // ccdl.Size
PyObject* wrap(DType v);
PyObject* wrap(const Device& v);
PyObject* wrap(const TensorList& v);  // tuple
PyObject* wrap(PyObject* v);          // already an object (new reference)
template <class... T>
PyObject* wrap(const std::tuple<T...>& v) {
  PyObject* t = PyTuple_New(sizeof...(T));
  if (!t) return nullptr;
  Py_ssize_t i = 0;
  bool ok = true;
  std::apply(
      [&](const auto&... e) {
        (([&] {
           PyObject* o = ok ? wrap(e) : nullptr;
           ok = ok && o;
           if (o) PyTuple_SET_ITEM(t, i++, o);
         }()),
         ...);
      },
      v);
  if (!ok) {
    Py_DECREF(t);
    return nullptr;
  }
  return t;
}
// Named fields over a tuple: wrap_named("max", {"values", "indices"}, {v, i}) is ccdl.return_types.max.
PyObject* wrap_named(const char* name, std::initializer_list<const char*> fields, const TensorList& values);
bool dtype_from(PyObject* o, DType* out);    // a ccdl dtype, or Python's bool/int/float
bool device_from(PyObject* o, Device* out);  // ccdl.device, "cuda:0", an index; raises on a bad string
inline constexpr double kTwoTo64 = 18446744073709551616.0;
bool number_from(PyObject* o, Scalar* out, bool* large = nullptr);  // numbers; false without an exception set
bool is_complex_number(PyObject* o);                                // of Python or NumPy

// Runs f and turns C++ exceptions into Python ones (returns nullptr then).
PyObject* guarded(PyObject* (*f)(void*), void* context);
void raise_current_exception();  // inside catch (...)
struct PyError {};               // thrown when a Python exception is already set
struct Owned {                   // a reference of ours, given back at the end of the scope
  PyObject* o;
  explicit Owned(PyObject* p) : o(p) {
    if (!o) throw PyError{};
  }
  ~Owned() { Py_XDECREF(o); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  PyObject* release() { return std::exchange(o, nullptr); }
};
// Entry i of a list or tuple that has n. Asking an entry for its number may run Python, which may change the
// list it stands in: entries are looked up anew and held while they are looked at.
PyObject* entry_of(PyObject* items, Py_ssize_t i, Py_ssize_t n);
std::string utf8(PyObject* o);  // a str in UTF-8, whole; throws where it has no UTF-8 form (lone surrogates)

// ---- arguments ----
enum class ArgType : uint8_t {
  Tensor,
  Scalar,
  Number,
  Int,
  Float,
  Bool,
  Str,
  DType,
  Device,
  Ints,
  Floats,
  Bools,
  Tensors,
  Generator,
  MemoryFormat,
  Layout,
  Object
};

struct SlotLists : Pooled {   // what few arguments are
  std::vector<int64_t> many;  // a list longer than Dims holds; Slot::ints is empty then
  std::vector<double> reals;
  TensorList tensors;
};

struct Slot {                  // one parsed argument
  bool given = false;          // false: the default applies
  bool none = false;           // None was given or is the default
  PyObject* object = nullptr;  // borrowed
  const Tensor* tensor = nullptr;
  Scalar scalar;
  int64_t integer = 0;
  double real = 0;
  Dims ints;
  std::unique_ptr<SlotLists> lists;

  SlotLists& make_lists() {
    if (!lists) lists = std::make_unique<SlotLists>();
    return *lists;
  }
  const SlotLists& read_lists() const {
    static const SlotLists kNone;
    return lists ? *lists : kNone;
  }
  bool has_many() const { return lists && !lists->many.empty(); }
};

constexpr int kMaxArgs = 20;

struct Signature;

class Args {
 public:
  explicit Args(int count) : slots_(reinterpret_cast<Slot*>(raw_)), count_(count) {
    for (int i = 0; i < count_; ++i) new (&slots_[i]) Slot();
  }
  ~Args() {
    for (int i = 0; i < count_; ++i) slots_[i].~Slot();
  }
  Args(const Args&) = delete;
  Args& operator=(const Args&) = delete;

  const Tensor& tensor(int i) const { return *slots_[i].tensor; }
  Tensor tensor_or(int i) const {
    return slots_[i].none ? Tensor() : *slots_[i].tensor;
  }  // undefined for None
  bool is_none(int i) const { return slots_[i].none; }
  bool given(int i) const { return slots_[i].given; }
  const Scalar& scalar(int i) const { return slots_[i].scalar; }
  std::optional<Scalar> scalar_or(int i) const {
    return slots_[i].none ? std::nullopt : std::optional(slots_[i].scalar);
  }
  ops::Operand operand(int i) const {
    return slots_[i].tensor ? ops::Operand(*slots_[i].tensor) : ops::Operand(slots_[i].scalar);
  }
  int64_t integer(int i) const { return slots_[i].integer; }
  std::optional<int64_t> integer_or(int i) const {
    return slots_[i].none ? std::nullopt : std::optional(slots_[i].integer);
  }
  double real(int i) const { return slots_[i].real; }
  std::optional<double> real_or(int i) const {
    return slots_[i].none ? std::nullopt : std::optional(slots_[i].real);
  }
  bool boolean(int i) const { return slots_[i].integer != 0; }
  std::optional<bool> boolean_or(int i) const {
    return slots_[i].none ? std::nullopt : std::optional(slots_[i].integer != 0);
  }
  const Dims& ints(int i) const {
    if (slots_[i].has_many()) too_many_ints(i);
    return slots_[i].ints;
  }
  std::optional<Dims> ints_or(int i) const { return slots_[i].none ? std::nullopt : std::optional(ints(i)); }
  IntSpan all_ints(int i) const {  // a list of any length: sizes of pieces, borders
    return slots_[i].has_many() ? IntSpan(slots_[i].lists->many) : IntSpan(slots_[i].ints);
  }
  const std::vector<double>& reals(int i) const { return slots_[i].read_lists().reals; }
  const TensorList& tensors(int i) const { return slots_[i].read_lists().tensors; }
  std::string string(int i) const;
  std::optional<std::string> string_or(int i) const;
  DType dtype(int i) const { return static_cast<DType>(slots_[i].integer); }
  std::optional<DType> dtype_or(int i) const {
    return slots_[i].none ? std::nullopt : std::optional(dtype(i));
  }
  Device device(int i) const;  // CPU for None
  MemoryFormat memory_format(int i) const {
    return slots_[i].none ? MemoryFormat::Preserve : static_cast<MemoryFormat>(slots_[i].integer);
  }
  PyObject* object(int i) const { return slots_[i].object; }  // borrowed; nullptr when not given
  PyObject* self() const { return slots_[0].object; }         // borrowed
  bool custom() const { return custom_; }    // whether a tensor is of a class that has a say in calls
  bool batched() const { return batched_; }  // whether one is a value inside vmap

  // Runs an op with the GIL released when the tensors are big enough to be worth it, and wraps the result.
  template <class F>
  PyObject* run(const F& f) const {
    auto result = [&] {
      Unlocked unlocked(work_);
      return f();
    }();
    return wrap(result);
  }
  // The same for rows with `Tensor? out=None` at position `out`.
  template <class F>
  PyObject* run_out(int out, const char* op, const F& f) const {
    if (slots_[out].none) return run(f);
    return run([&] { return ops::write_out(op, f(), *slots_[out].tensor); });
  }
  // The same where `into(out)` writes into out itself.
  template <class F, class G>
  PyObject* run_into(int out, const F& f, const G& into) const {
    if (slots_[out].none) return run(f);
    return run([&] { return into(*slots_[out].tensor); });
  }
  // Releases the GIL for its lifetime when work is large.
  struct Unlocked {
    explicit Unlocked(int64_t work) : state(work >= 2048 ? PyEval_SaveThread() : nullptr) {}
    ~Unlocked() {
      if (state) PyEval_RestoreThread(state);
    }
    PyThreadState* state;
  };

  [[noreturn]] void too_many_ints(int i) const;

 private:
  friend struct ::ccdl::python::Signature;
  alignas(Slot) unsigned char raw_[sizeof(Slot) * kMaxArgs];
  Slot* slots_;
  int count_;
  const struct Signature* signature_ = nullptr;
  int64_t work_ = 0;    // elements of all tensor arguments
  bool large_ = false;  // whether a number came as an int beyond 64 bits
  bool custom_ = false;
  bool batched_ = false;
};

// ---- rows ----
enum RowKind : uint8_t {
  kAuto,
  kBoth,
  kOldForm  // an older form of the call: accepted, but named in no message and no stub
};          // kAuto: method when the first argument is `self`, function otherwise
struct Row {
  const char* signature;
  PyObject* (*call)(const Args& a);
  RowKind kind = kAuto;
};
// Adds rows to the module and to the Tensor type. Called once per family from module.cpp.
void add_rows(PyObject* module, std::span<const Row> rows);

// ---- slots written in files of their own ----
PyObject* tensor_subscript(PyObject* self, PyObject* key);                    // indexing.cpp
int tensor_assign_subscript(PyObject* self, PyObject* key, PyObject* value);  // indexing.cpp
int tensor_get_buffer(PyObject* self, Py_buffer* view, int flags);            // exchange.cpp
void tensor_release_buffer(PyObject* self, Py_buffer* view);                  // exchange.cpp
Tensor tensor_from_object(PyObject* data, std::optional<DType> dtype,
                          bool copy);  // factory.cpp: lists, numbers, arrays, tensors

}  // namespace ccdl::python
