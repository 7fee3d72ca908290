// ccdl.cuda: devices, memory, streams, events and graphs. Streams, events and graphs travel as integers; the
// classes of python/ccdl/cuda own them.
#include "binding.h"

#include <ccdl/core/device_api.h>

#include <limits>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace ccdl::python {
namespace {

constexpr int64_t kWaits = std::numeric_limits<int64_t>::max();

PyObject* none() { return Py_NewRef(Py_None); }
int device_of(const Args& a, int i) {
  const auto device = static_cast<int>(a.integer(i));
  CCDL_CHECK(device == a.integer(i), Value, "ccdl.cuda: no device or priority ", a.integer(i));
  return device;
}
cu::Stream stream_of(const Args& a, int device, int handle) {
  return {device_of(a, device), reinterpret_cast<void*>(a.integer(handle))};
}
// An integer attribute of a ccdl.cuda.Stream.
int64_t attribute(PyObject* o, const char* name) {
  PyObject* value = PyObject_GetAttrString(o, name);
  const int64_t number = value != nullptr ? PyLong_AsLongLong(value) : -1;
  Py_XDECREF(value);
  if (PyErr_Occurred()) throw PyError{};
  return number;
}
PyObject* address(const void* p) { return wrap(reinterpret_cast<int64_t>(p)); }

// What was given out as an integer: only these come back as objects. Looked up with the GIL held, so that a
// fork never finds the lock taken.
template <class T>
class Handles {
 public:
  PyObject* give(Ref<T> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto handle = reinterpret_cast<int64_t>(object.get());
    live_.emplace(handle, std::move(object));
    return wrap(handle);
  }
  Ref<T> find(const Args& a, int i, const char* kind) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return at(a, i, kind)->second;
  }
  Ref<T> take(const Args& a, int i, const char* kind) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = at(a, i, kind);
    Ref<T> object = std::move(found->second);
    live_.erase(found);
    return object;
  }

 private:
  auto at(const Args& a, int i, const char* kind) {
    const auto found = live_.find(a.integer(i));
    CCDL_CHECK(found != live_.end(), Value, "ccdl.cuda: ", a.integer(i), " is the handle of no live ", kind,
               "; only what ccdl.cuda made and has not freed is");
    return found;
  }
  std::mutex mutex_;
  std::unordered_map<int64_t, Ref<T>> live_;
};
Handles<cu::Event>& events() {
  static auto* all = new Handles<cu::Event>;  // never taken apart: objects may outlive the module
  return *all;
}
Handles<cu::Graph>& graphs() {
  static auto* all = new Handles<cu::Graph>;
  return *all;
}
Ref<cu::Event> event_of(const Args& a, int i) { return events().find(a, i, "event"); }
Ref<cu::Graph> graph_of(const Args& a, int i) { return graphs().find(a, i, "graph"); }

// Runs f, which may wait for the device or another thread, without the GIL.
template <class F>
PyObject* unlocked(F f) {
  {
    const Args::Unlocked released(kWaits);
    f();
  }
  return none();
}

PyObject* properties(const Args& a) {
  const cu::DeviceProperties p = cu::device_properties(device_of(a, 0));
  return Py_BuildValue(
      "{s:s,s:i,s:i,s:L,s:i,s:i,s:i,s:L,s:L,s:L,s:L}", "name", p.name.c_str(), "major", p.major, "minor",
      p.minor, "total_memory", static_cast<long long>(p.total_memory), "multi_processor_count", p.sm_count,
      "warp_size", p.warp_size, "max_threads_per_block", p.max_threads_per_block, "shared_memory_per_block",
      static_cast<long long>(p.shared_per_block), "shared_memory_per_multiprocessor",
      static_cast<long long>(p.shared_per_sm), "L2_cache_size", static_cast<long long>(p.l2_bytes),
      "regs_per_multiprocessor", static_cast<long long>(p.registers_per_sm));
}

PyObject* stats(const Args& a) {
  const cu::DeviceMemoryStats m = cu::device_memory_stats(device_of(a, 0));
  return Py_BuildValue(
      "{s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L}", "allocated_bytes", static_cast<long long>(m.allocated),
      "reserved_bytes", static_cast<long long>(m.reserved), "peak_allocated_bytes",
      static_cast<long long>(m.peak_allocated), "peak_reserved_bytes",
      static_cast<long long>(m.peak_reserved), "allocations", static_cast<long long>(m.allocations), "frees",
      static_cast<long long>(m.frees), "device_allocations", static_cast<long long>(m.device_allocations),
      "device_frees", static_cast<long long>(m.device_frees), "num_alloc_retries",
      static_cast<long long>(m.retries), "num_ooms", static_cast<long long>(m.out_of_memory), "limit_bytes",
      static_cast<long long>(m.limit));
}

const Row kDeviceRows[] = {
    {"_cuda_is_built() -> bool", [](const Args&) { return wrap(cu::is_built()); }},
    {"_cuda_device_count() -> int",
     [](const Args&) { return wrap(static_cast<int64_t>(cu::device_count())); }},
    {"_cuda_unavailable_reason() -> str", [](const Args&) { return wrap(cu::unavailable_reason()); }},
    {"_cuda_is_emulated() -> bool", [](const Args&) { return wrap(cu::is_emulated()); }},
    {"_cuda_is_initialized() -> bool", [](const Args&) { return wrap(cu::is_initialized()); }},
    {"_cuda_launch_count() -> int", [](const Args&) { return wrap(cu::launch_count()); }},
    {"_cuda_sync_count() -> int", [](const Args&) { return wrap(cu::sync_count()); }},
    {"_cuda_current_device() -> int",
     [](const Args&) { return wrap(static_cast<int64_t>(cu::current_device())); }},
    {"_cuda_set_device(int device) -> None",
     [](const Args& a) {
       cu::set_current_device(device_of(a, 0));
       return none();
     }},
    {"_cuda_properties(int device) -> object", properties},
    {"_cuda_memory_info(int device) -> object",
     [](const Args& a) {
       int64_t free_bytes = 0, total = 0;
       cu::memory_info(device_of(a, 0), &free_bytes, &total);
       return Py_BuildValue("(LL)", static_cast<long long>(free_bytes), static_cast<long long>(total));
     }},
    {"_cuda_synchronize(int device) -> None",
     [](const Args& a) { return unlocked([&] { cu::synchronize(device_of(a, 0)); }); }},
    {"_cuda_memory_stats(int device) -> object", stats},
    {"_cuda_reset_peak_memory_stats(int device) -> None",
     [](const Args& a) {
       cu::reset_peak_device_memory_stats(device_of(a, 0));
       return none();
     }},
    {"_cuda_empty_cache() -> None", [](const Args&) { return unlocked([] { cu::empty_device_cache(); }); }},
    {"_cuda_set_memory_limit(int device, int bytes) -> None",
     [](const Args& a) {
       cu::set_device_memory_limit(device_of(a, 0), a.integer(1));
       return none();
     }},
    {"_cuda_set_alloc_fault(int nth) -> None",
     [](const Args& a) {
       cu::set_device_alloc_fault(a.integer(0));
       return none();
     }},
};

const Row kStreamRows[] = {
    {"_cuda_stream_make(int device, int priority) -> int",
     [](const Args& a) { return address(cu::Stream::make(device_of(a, 0), device_of(a, 1)).handle); }},
    {"_cuda_stream_current(int device) -> int",
     [](const Args& a) { return address(cu::Stream::current(device_of(a, 0)).handle); }},
    {"_cuda_stream_set(int device, int stream) -> None",
     [](const Args& a) {
       stream_of(a, 0, 1).make_current();
       return none();
     }},
    {"_cuda_stream_query(int device, int stream) -> bool",
     [](const Args& a) { return wrap(stream_of(a, 0, 1).query()); }},
    {"_cuda_stream_synchronize(int device, int stream) -> None",
     [](const Args& a) { return unlocked([&] { stream_of(a, 0, 1).synchronize(); }); }},
    {"_cuda_stream_is_capturing(int device, int stream) -> bool",
     [](const Args& a) { return wrap(stream_of(a, 0, 1).is_capturing()); }},
    {"record_stream(Tensor self, object stream) -> None",
     [](const Args& a) {
       const Device d = a.tensor(0).device();
       CCDL_CHECK(d.is_cuda(), Device,
                  "record_stream: only tensors on a CUDA device are used by streams, got one on ", d.name());
       const auto device = static_cast<int>(attribute(a.object(1), "device_index"));
       cu::record_stream(a.tensor(0).storage()->block(),
                         {device, reinterpret_cast<void*>(attribute(a.object(1), "cuda_stream"))});
       return none();
     }},
    {"_cuda_event_make(bool timing) -> int",
     [](const Args& a) { return events().give(make_ref<cu::Event>(a.boolean(0))); }},
    {"_cuda_event_free(int event) -> None",
     [](const Args& a) {
       events().take(a, 0, "event").reset();
       return none();
     }},
    {"_cuda_event_record(int event, int device, int stream) -> None",
     [](const Args& a) {
       event_of(a, 0)->record(stream_of(a, 1, 2));
       return none();
     }},
    {"_cuda_event_wait(int event, int device, int stream) -> None",
     [](const Args& a) {
       event_of(a, 0)->wait(stream_of(a, 1, 2));
       return none();
     }},
    {"_cuda_event_query(int event) -> bool", [](const Args& a) { return wrap(event_of(a, 0)->query()); }},
    {"_cuda_event_synchronize(int event) -> None",
     [](const Args& a) { return unlocked([event = event_of(a, 0)] { event->synchronize(); }); }},
    {"_cuda_event_elapsed(int start, int end) -> float",
     [](const Args& a) { return wrap(event_of(a, 0)->elapsed_ms(*event_of(a, 1))); }},
    {"_cuda_event_handle(int event) -> int", [](const Args& a) { return address(event_of(a, 0)->handle()); }},
};

const Row kGraphRows[] = {
    {"_cuda_graph_make() -> int", [](const Args&) { return graphs().give(cu::Graph::make()); }},
    {"_cuda_graph_free(int graph) -> None",
     [](const Args& a) {
       return unlocked([graph = graphs().take(a, 0, "graph")]() mutable { graph.reset(); });
     }},
    {"_cuda_graph_begin(int graph, int device, int share) -> None",
     [](const Args& a) {
       const Ref<cu::Graph> graph = graph_of(a, 0);
       const Ref<cu::Graph> share = a.integer(2) == 0 ? Ref<cu::Graph>() : graph_of(a, 2);
       return unlocked([&] { graph->begin_capture(device_of(a, 1), share.get()); });
     }},
    {"_cuda_graph_end(int graph) -> None",
     [](const Args& a) { return unlocked([graph = graph_of(a, 0)] { graph->end_capture(); }); }},
    {"_cuda_graph_abandon(int graph) -> None",
     [](const Args& a) { return unlocked([graph = graph_of(a, 0)] { graph->abandon_capture(); }); }},
    {"_cuda_graph_replay(int graph) -> None",
     [](const Args& a) { return unlocked([graph = graph_of(a, 0)] { graph->replay(); }); }},
    {"_cuda_graph_reset(int graph) -> None",
     [](const Args& a) { return unlocked([graph = graph_of(a, 0)] { graph->reset(); }); }},
    {"_cuda_graph_nodes(int graph) -> int", [](const Args& a) { return wrap(graph_of(a, 0)->node_count()); }},
    {"_cuda_graph_capturing() -> int", [](const Args&) { return address(cu::capturing_graph()); }},
    {"_cuda_graph_add_number(int graph, float value) -> int",
     [](const Args& a) { return address(graph_of(a, 0)->add_scalar(a.real(1))); }},
    {"_cuda_graph_add_count(int graph, int value) -> int",
     [](const Args& a) { return address(graph_of(a, 0)->add_scalar(a.integer(1))); }},
    {"_cuda_graph_set_number(int graph, int scalar, float value) -> None",
     [](const Args& a) {
       graph_of(a, 0)->set_scalar(reinterpret_cast<void*>(a.integer(1)), a.real(2));
       return none();
     }},
    {"_cuda_graph_set_count(int graph, int scalar, int value) -> None",
     [](const Args& a) {
       graph_of(a, 0)->set_scalar(reinterpret_cast<void*>(a.integer(1)), a.integer(2));
       return none();
     }},
};

}  // namespace

// Waits in the middle of an op, for a size or a number, come with the GIL held.
static const cu::WaitHooks kWaitHooks = {
    []() -> void* { return Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : nullptr; },
    [](void* state) {
      if (state) PyEval_RestoreThread(static_cast<PyThreadState*>(state));
    }};

void bind_cuda(PyObject* m) {
  cu::set_wait_hooks(&kWaitHooks);
  add_rows(m, kDeviceRows);
  add_rows(m, kStreamRows);
  add_rows(m, kGraphRows);
}

}  // namespace ccdl::python
