// A parsed signature and the callables built from rows.
#pragma once
#include "binding.h"

#include <ccdl/ops/autocast.h>

namespace ccdl::python {

struct Param {
  std::string name, type_text, default_text, default_string;
  const char* shown = "";  // the type as messages call it
  PyObject* interned = nullptr;
  ArgType type = ArgType::Object;
  bool optional = false, kw_only = false, has_default = false, star = false;
  bool tensor_only = false;  // Operand: a tensor, which may be a 0-d one in host memory beside device tensors
  bool none_items = false;   // Tensor?[]: None stands for an absent tensor
  bool pairs = false;        // complex numbers are accepted, as the pairs they are held in
  int fill = 0;              // int[N]: one int stands for N of them
  Slot fallback;
};

struct Signature {
  explicit Signature(const Row* row);
  bool bind(Args* a, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, std::string* why) const;
  void autocast(Args* a) const;  // casts the arguments as the thread's mixed precision asks
  static std::string shown_args(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);

  const Row* row;
  std::string name, returns;
  std::vector<Param> params;
  int positional = 0;
  bool is_method = false;
  bool takes_numbers = false;          // some argument is a tensor or a number
  bool asks_classes = false;           // classes of the user's have a say in calls
  bool asks_batched = true;            // values inside vmap go to their rules
  bool draws = false;                  // takes numbers of the generator
  bool moves_between_devices = false;  // copy_, to, ...: arguments may live apart
  ops::CastPolicies casts;

 private:
  void check_devices(const Args& a) const;
  static bool convert(const Param& p, PyObject* o, Slot* s, Args* a);
  void check_large(const Args& a) const;
  int find(PyObject* key) const;
};

bool memory_format_from(PyObject* o, int64_t* out);
bool is_layout(PyObject* o);
bool is_complex_dtype(PyObject* o);
Device current_default_device();
void set_current_default_device(Device d);
bool init_op_types(PyObject* module);     // op_function.cpp
bool init_objects(PyObject* module);      // objects.cpp
bool init_tensor_type(PyObject* module);  // tensor_type.cpp
bool init_autograd(PyObject* module);     // autograd.cpp
bool init_exchange(PyObject* module);     // exchange.cpp
bool init_factory(PyObject* module);      // factory.cpp

}  // namespace ccdl::python
