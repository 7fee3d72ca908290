// Threads, Ctrl-C, memory and processor level.
#include "signature.h"

#include <ccdl/core/allocator.h>
#include <ccdl/core/device_api.h>
#include <ccdl/core/matmul_precision.h>
#include <ccdl/core/op_timer.h>
#include <ccdl/core/parallel.h>
#include <ccdl/core/system.h>
#include <ccdl/cpu/isa.h>

#include <sys/syscall.h>
#include <unistd.h>

namespace ccdl::python {
namespace {

// Lets pending signal handlers run; true when one raised (the exception stays set for the binding to report).
bool signal_raised() {
  if (syscall(SYS_gettid) != getpid() || !Py_IsInitialized())
    return false;  // handlers run on the main thread only
  const PyGILState_STATE state = PyGILState_Ensure();
  const bool raised = PyErr_Occurred() != nullptr || PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return raised;
}

PyObject* stats(const Args&) {
  const MemoryStats m = memory_stats();
  return Py_BuildValue(
      "{s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L}", "allocated_bytes", static_cast<long long>(m.allocated),
      "reserved_bytes", static_cast<long long>(m.reserved), "peak_allocated_bytes",
      static_cast<long long>(m.peak_allocated), "peak_reserved_bytes",
      static_cast<long long>(m.peak_reserved), "allocations", static_cast<long long>(m.allocations), "frees",
      static_cast<long long>(m.frees), "system_allocations", static_cast<long long>(m.system_allocations),
      "limit_bytes", static_cast<long long>(memory_limit()));
}

PyObject* op_times(const Args&) {
  const std::vector<OpTime> times = take_op_times();
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(times.size()));
  for (size_t i = 0; list && i < times.size(); ++i) {
    const OpTime& t = times[i];
    PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i),
                    Py_BuildValue("(sLLLO)", t.name.c_str(), static_cast<long long>(t.start),
                                  static_cast<long long>(t.end), static_cast<long long>(t.thread),
                                  t.backward ? Py_True : Py_False));
  }
  return list;
}

PyObject* none() { return Py_NewRef(Py_None); }

const Row kRows[] = {
    {"set_default_device(device? device=None) -> None",
     [](const Args& a) {
       const Device d = a.is_none(0) || !a.given(0) ? Device{} : a.device(0);
       CCDL_CHECK(d.is_cpu() || d.index < cu::device_count(), Device, "set_default_device: device ", d.name(),
                  " is not available: ", cu::unavailable_reason());
       set_current_default_device(d);
       return none();
     }},
    {"_matmul_precision() -> int",
     [](const Args&) { return wrap(static_cast<int64_t>(matmul_precision())); }},
    {"_set_matmul_precision(int precision) -> None",
     [](const Args& a) {
       set_matmul_precision(static_cast<MatmulPrecision>(a.integer(0)));
       return none();
     }},
    {"get_default_device() -> device", [](const Args&) { return wrap(current_default_device()); }},
    {"set_num_threads(int num) -> None",
     [](const Args& a) {
       CCDL_CHECK(a.integer(0) >= 1 && a.integer(0) <= 1024, Value,
                  "set_num_threads: expected 1 to 1024 but got ", a.integer(0));
       {
         const Args::Unlocked released(INT64_MAX);  // waits for workers that stop
         set_num_threads(static_cast<int>(a.integer(0)));
       }
       return none();
     }},
    {"get_num_threads() -> int", [](const Args&) { return wrap(static_cast<int64_t>(num_threads())); }},
    {"_usable_cpus() -> int", [](const Args&) { return wrap(static_cast<int64_t>(usable_cpus())); }},
    {"_set_thread_serial(bool serial) -> bool",
     [](const Args& a) { return wrap(set_thread_serial(a.boolean(0))); }},
    {"_memory_stats() -> object", stats},
    {"_reset_peak_memory_stats() -> None",
     [](const Args&) {
       reset_peak_memory_stats();
       return none();
     }},
    {"_empty_cache() -> None",
     [](const Args&) {
       empty_cache();
       return none();
     }},
    {"_set_memory_limit(int bytes) -> None",
     [](const Args& a) {
       set_memory_limit(a.integer(0));
       return none();
     }},
    {"_memory_limit() -> int", [](const Args&) { return wrap(memory_limit()); }},
    {"_set_alloc_fault(int nth) -> None",
     [](const Args& a) {
       set_alloc_fault(a.integer(0));
       return none();
     }},
    {"_set_op_timing(bool on) -> None",
     [](const Args& a) {
       set_op_timing(a.boolean(0));
       return none();
     }},
    {"_take_op_times() -> object", op_times},
    {"_timing_thread() -> int", [](const Args&) { return wrap(timing_thread()); }},
    {"_use_count(Tensor self) -> int",
     [](const Args& a) { return wrap(static_cast<int64_t>(a.tensor(0).impl()->use_count())); }},
    {"_isa_level() -> str", [](const Args&) { return wrap(std::string(cpu::isa_name(cpu::isa_level()))); }},
    {"_isa_supported() -> object",
     [](const Args&) {
       PyObject* names = PyList_New(0);
       for (int i = 0; names && i <= static_cast<int>(cpu::Isa::v4bf16); ++i) {
         const auto level = static_cast<cpu::Isa>(i);
         PyObject* name = cpu::isa_supported(level) ? PyUnicode_FromString(cpu::isa_name(level)) : nullptr;
         if (name) PyList_Append(names, name);
         Py_XDECREF(name);
       }
       return names;
     }},
};

}  // namespace

void bind_runtime(PyObject* m) {
  set_interrupt_check(signal_raised);
  add_rows(m, kRows);
}

}  // namespace ccdl::python
