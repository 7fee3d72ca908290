// The Python object of a generator.
#pragma once
#include "binding.h"

#include <ccdl/core/generator.h>

namespace ccdl::python {

bool init_generator(PyObject* module);   // adds ccdl.Generator and ccdl.default_generator
Generator* generator_from(PyObject* o);  // None and nullptr give nullptr; Error(Type) for anything else
PyObject* wrap_generator(Ref<Generator> generator);  // new reference
uint64_t seed_from(PyObject* o);                     // -2^63 ... 2^64 - 1; Error(Value) outside
Tensor state_tensor(Generator& generator);           // uint8 [16]
void set_state_from(const char* op, Generator& generator, const Tensor& state);

}  // namespace ccdl::python
