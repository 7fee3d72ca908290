// Devices: counting them without a context, the one each thread works on, what they can do, errors, launches.
// The runtime library finds the driver when it is first asked; without one every query answers 0.
#include <ccdl/core/dispatch.h>
#include <runtime/driver.h>
#include <runtime/launch.h>
#include <runtime/state.h>

#ifdef CCDL_CUDA_EMULATED
#include <cuda.h>
#endif
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace ccdl::cu {
namespace {

std::atomic<bool> g_probed{false}, g_forked{false}, g_used{false};
std::atomic<int64_t> g_launches{0}, g_syncs{0};
thread_local ThreadState t_state;

struct Probe {
  int count = 0;
  std::string reason;
};

std::string version_text(int version) { return str(version / 1000, ".", version % 1000 / 10); }

std::string reason_of(cudaError_t status) {
  int driver = 0, library = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (cudaRuntimeGetVersion(&library) != cudaSuccess) library = 0;
  cudaGetLastError();
  if (driver == 0) return "cuda: no NVIDIA driver is installed; use device 'cpu'";
  if (status == cudaErrorInsufficientDriver)
    return str("cuda: the NVIDIA driver is too old: it supports CUDA ", version_text(driver),
               " and this build needs ", version_text(library), "; update the driver, or use device 'cpu'");
  if (status == cudaErrorNoDevice || status == cudaSuccess) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return visible ? str("cuda: no GPU is visible (CUDA_VISIBLE_DEVICES='", visible, "'); use device 'cpu'")
                   : "cuda: no GPU was found; use device 'cpu'";
  }
  return str("cuda: the NVIDIA driver does not answer: ", cudaGetErrorName(status), " (",
             cudaGetErrorString(status), "); use device 'cpu'");
}

const Probe& probe() noexcept {
  static const Probe* result = [] {
    auto* p = new Probe;
    g_probed = true;  // the driver starts its own threads: from here on a forked child cannot use it
    pthread_atfork(nullptr, nullptr, [] {
      g_forked = true;
      t_state.bound = -1;
      t_state.capture = nullptr;
    });
    const cudaError_t status = cudaGetDeviceCount(&p->count);
    if (status != cudaSuccess) p->count = 0;
    if (p->count > kMaxDevices) p->count = kMaxDevices;
    if (p->count == 0) p->reason = reason_of(status);
    cudaGetLastError();
    return p;
  }();
  return *result;
}

struct DeviceState {
  std::once_flag traits_once, fault_once;
  DeviceTraits traits;
  std::once_flag properties_once;
  DeviceProperties properties;
};
DeviceState& state_of(int device) {
  static auto* states = new DeviceState[kMaxDevices];
  return states[device];
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  CCDL_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

DeviceTraits read_traits(int device) {
  DeviceTraits t;
  t.sm_count = attribute(cudaDevAttrMultiProcessorCount, device);
  t.shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  t.shared_per_sm = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  t.major = attribute(cudaDevAttrComputeCapabilityMajor, device);
  t.minor = attribute(cudaDevAttrComputeCapabilityMinor, device);
  t.l2_bytes = attribute(cudaDevAttrL2CacheSize, device);
  return t;
}

DeviceProperties read_properties(int device) {
  cudaDeviceProp p{};
  CCDL_CUDA_CHECK(cudaGetDeviceProperties(&p, device));
  DeviceProperties d;
  d.name = p.name;
  d.major = p.major;
  d.minor = p.minor;
  d.sm_count = p.multiProcessorCount;
  d.max_threads_per_block = p.maxThreadsPerBlock;
  d.warp_size = 32;
  d.total_memory = static_cast<int64_t>(p.totalGlobalMem);
  d.shared_per_block = static_cast<int64_t>(p.sharedMemPerBlockOptin);
  d.shared_per_sm = static_cast<int64_t>(p.sharedMemPerMultiprocessor);
  d.l2_bytes = p.l2CacheSize;
  d.registers_per_sm = p.regsPerMultiprocessor;
  return d;
}

bool is_capture_error(cudaError_t status) {
  return status >= cudaErrorStreamCaptureUnsupported && status <= cudaErrorStreamCaptureWrongThread;
}

// Errors after which the context only repeats them.
bool is_fatal(cudaError_t status) {
  const int code = static_cast<int>(status);  // 700 illegal address ... 719 launch failure
  return status == cudaErrorIllegalAddress || status == cudaErrorLaunchTimeout || code == 710 ||
         (code >= 714 && code <= 719) || code == 214;  // 710 assert, 214 uncorrectable memory error
}

std::string status_text(cudaError_t status) {
  std::string text = str(cudaGetErrorName(status), " (", cudaGetErrorString(status), ")");
#ifdef CCDL_CUDA_EMULATED
  if (is_fatal(status)) return text;  // the emulator's whole report
#endif
  if (is_fatal(status))
    text +=
        "; a kernel queued earlier failed and the device cannot be used again in this process: start it "
        "anew, with CCDL_CUDA_SYNC=1 to see which op it was";
  if (is_capture_error(status))
    text +=
        "; a CUDA graph is being captured: nothing may wait for the device there (.item(), .cpu(), "
        "nonzero, printing a tensor)";
  return text;
}

}  // namespace

ThreadState& thread_state() noexcept { return t_state; }
bool in_forked_child() noexcept { return g_forked.load(std::memory_order_relaxed); }
void count_sync() noexcept { g_syncs.fetch_add(1, std::memory_order_relaxed); }
int64_t launch_count() noexcept { return g_launches.load(std::memory_order_relaxed); }
int64_t sync_count() noexcept { return g_syncs.load(std::memory_order_relaxed); }
bool is_initialized() noexcept { return g_used.load(std::memory_order_relaxed); }

bool is_emulated() noexcept {
#ifdef CCDL_CUDA_EMULATED
  return true;
#else
  return false;
#endif
}

bool sync_after_launch() noexcept {
  static const bool on = [] {
    const char* v = std::getenv("CCDL_CUDA_SYNC");
    return v != nullptr && *v != '\0' && !(v[0] == '0' && v[1] == '\0');
  }();
  return on;
}

bool is_built() noexcept { return true; }
int device_count() noexcept { return probe().count; }
std::string unavailable_reason() { return probe().reason; }

std::string size_text(int64_t bytes) {
  static const char* const kUnits[] = {"bytes", "KB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

void check_device(int device) {
  const Probe& p = probe();
  CCDL_CHECK(p.count > 0, Device, p.reason);
  CCDL_CHECK(device >= 0 && device < p.count, Device, "device cuda:", device, " does not exist: there ",
             p.count == 1 ? str("is one CUDA device, cuda:0")
                          : str("are ", p.count, " CUDA devices, cuda:0 to cuda:", p.count - 1));
  CCDL_CHECK(
      !in_forked_child(), Runtime,
      "CUDA cannot be used in a forked child of a process that has used it (or asked for its devices): "
      "start the child with multiprocessing.get_context('spawn') or 'forkserver', or use CUDA in the "
      "children only");
}

void bind_device() {
  ThreadState& t = t_state;
  int actual = t.bound;
  // With several devices another library may have changed the thread's device behind our back.
  if (t.bound == t.device && probe().count > 1 && cudaGetDevice(&actual) != cudaSuccess) actual = -1;
  if (actual == t.device) [[likely]]
    return;
  t.bound = -1;
  check_device(t.device);
  CCDL_CUDA_CHECK(cudaSetDevice(t.device));
  g_used.store(true, std::memory_order_relaxed);
  std::call_once(state_of(t.device).fault_once, make_fault_state, t.device);
  t.bound = t.device;
}

int current_device() noexcept { return t_state.device; }
void set_current_device(int device) {
  check_device(device);
  t_state.device = device;
}
DeviceGuard::~DeviceGuard() { t_state.device = before_; }

BoundDevice::BoundDevice(int device) : before_(t_state.device) {
  if (device < 0) check_device(device);  // -1 would pass for the device of a thread that has bound none
  t_state.device = device;
  try {
    bind_device();
  } catch (...) {
    t_state.device = before_;
    throw;
  }
}
BoundDevice::~BoundDevice() { t_state.device = before_; }

cudaStream_t current_stream() {
  bind_device();
  return t_state.streams[t_state.device];
}

const DeviceTraits& device_traits() {
  bind_device();
  DeviceState& s = state_of(t_state.device);
  std::call_once(s.traits_once, [&] { s.traits = read_traits(t_state.device); });
  return s.traits;
}

bool wants_sm90() {
  static const bool wanted = [] {
    const char* v = std::getenv("CCDL_SM90");
    return v != nullptr && v[0] == '1';
  }();
  return wanted && device_traits().major == 9;
}

DeviceProperties device_properties(int device) {
  check_device(device);
  DeviceState& s = state_of(device);
  std::call_once(s.properties_once, [&] { s.properties = read_properties(device); });
  return s.properties;
}

void memory_info(int device, int64_t* free_bytes, int64_t* total_bytes) {
  const BoundDevice bound(device);
  size_t free_now = 0, total = 0;
  CCDL_CUDA_CHECK(cudaMemGetInfo(&free_now, &total));
  *free_bytes = static_cast<int64_t>(free_now);
  *total_bytes = static_cast<int64_t>(total);
}

void check_cuda(cudaError_t status, const char* expression) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // reported here, not by the next call
  fail(status == cudaErrorMemoryAllocation ? ErrorKind::Memory : ErrorKind::Runtime,
       str(current_op_name(), ": CUDA call failed on cuda:", t_state.device, ": ", expression, ": ",
           status_text(status)));
}

namespace {
std::atomic<const WaitHooks*> g_wait_hooks{nullptr};
}
void set_wait_hooks(const WaitHooks* hooks) noexcept { g_wait_hooks.store(hooks); }
Waiting::Waiting() : hooks_(g_wait_hooks.load(std::memory_order_acquire)) {
  count_sync();
  if (hooks_ != nullptr) state_ = hooks_->before();
}
Waiting::~Waiting() {
  if (hooks_ != nullptr) hooks_->after(state_);
}

void synchronize_stream(cudaStream_t stream) {
  cudaError_t status;
  {
    const Waiting waiting;
    status = cudaStreamSynchronize(stream);
  }
  check_cuda(status, "cudaStreamSynchronize");
  raise_pending_fault(t_state.device);
}

void synchronize(int device) {
  const BoundDevice bound(device);
  check_not_capturing("synchronize");
  cudaError_t status;
  {
    const Waiting waiting;
    status = cudaDeviceSynchronize();
  }
  check_cuda(status, "cudaDeviceSynchronize()");
  raise_pending_fault(device);
}

namespace detail {

cudaError_t allow_shared_memory(const void* kernel) {
  static std::mutex mutex;
  static std::set<std::pair<const void*, int>> done;
  const std::lock_guard lock(mutex);
  if (!done.emplace(kernel, t_state.device).second) return cudaSuccess;
  cudaFuncAttributes attributes{};
  cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
  if (status == cudaSuccess)
    status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             device_traits().shared_per_block - static_cast<int>(attributes.sharedSizeBytes));
  if (status != cudaSuccess) done.erase({kernel, t_state.device});
  return status;
}
void count_launch() { g_launches.fetch_add(1, std::memory_order_relaxed); }

void check_launch(cudaError_t status, const char* kernel, const LaunchConfig& c) {
  if (status == cudaSuccess) [[likely]] {
    if (sync_after_launch() && t_state.capture == nullptr) [[unlikely]]
      synchronize_stream(current_stream());
    return;
  }
  cudaGetLastError();
  fail(status == cudaErrorMemoryAllocation ? ErrorKind::Memory : ErrorKind::Runtime,
       str(current_op_name(), ": kernel ", kernel, " could not be launched on cuda:", t_state.device,
           ": grid (", c.grid.x, ", ", c.grid.y, ", ", c.grid.z, "), block (", c.block.x, ", ", c.block.y,
           ", ", c.block.z, "), ", c.smem, " bytes of shared memory", c.cooperative ? ", cooperative" : "",
           ": ", status_text(status)));
}

}  // namespace detail

void* driver_entry_point(const char* name) {
#ifdef CCDL_CUDA_EMULATED
  return std::strcmp(name, "cuTensorMapEncodeTiled") == 0 ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled)
                                                          : nullptr;
#else
  bind_device();
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const RelaxedCapture relaxed;
  if (cudaGetDriverEntryPointByVersion(name, &entry, 12000, cudaEnableDefault, &found) != cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return entry;
#endif
}

}  // namespace ccdl::cu
