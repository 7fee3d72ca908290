// The device interface of a build without CUDA: there are no devices, and every use says so. Replaced by
// cuda/runtime where CUDA is built.
#include <ccdl/core/device_api.h>

#include <ccdl/core/error.h>

namespace ccdl::cu {
namespace {
[[noreturn]] void absent() { fail(ErrorKind::Device, unavailable_reason()); }
}  // namespace

bool is_built() noexcept { return false; }
int device_count() noexcept { return 0; }
std::string unavailable_reason() {
  return "cuda: this build of ccdl has no CUDA kernels; use device 'cpu', or build with CCDL_CUDA=ON";
}
bool is_emulated() noexcept { return false; }
bool is_initialized() noexcept { return false; }
void set_wait_hooks(const WaitHooks*) noexcept {}
int64_t launch_count() noexcept { return 0; }
int64_t sync_count() noexcept { return 0; }
int current_device() noexcept { return 0; }
void set_current_device(int) { absent(); }
DeviceGuard::~DeviceGuard() = default;
DeviceProperties device_properties(int) { absent(); }
void memory_info(int, int64_t*, int64_t*) { absent(); }

void* allocate(int64_t, int, size_t*, void**) { absent(); }
void deallocate(void*, size_t, int, void*) noexcept {}
void record_stream(void*, const Stream&) { absent(); }
DeviceMemoryStats device_memory_stats(int) { absent(); }
void reset_peak_device_memory_stats(int) { absent(); }
void empty_device_cache() {}
void set_device_memory_limit(int, int64_t) { absent(); }
void set_device_alloc_fault(int64_t) noexcept {}
void* allocate_pinned(int64_t, size_t*) { absent(); }
void free_pinned(void*, size_t) noexcept {}
bool is_pinned(const void*) noexcept { return false; }

void copy_host_to_device(void*, const void*, int64_t, int) { absent(); }
void copy_device_to_host(void*, const void*, int64_t, int) { absent(); }
void copy_device_to_device(void*, int, const void*, int, int64_t) { absent(); }
void copy_async(void*, const void*, int64_t, int, bool) { absent(); }
void set_bytes(void*, int, int64_t, int) { absent(); }
void synchronize(int) { absent(); }
void raise_pending_fault(int) {}

Stream Stream::make(int, int) { absent(); }
Stream Stream::current(int) { absent(); }
void Stream::make_current() const { absent(); }
bool Stream::query() const { absent(); }
void Stream::synchronize() const { absent(); }
bool Stream::is_capturing() const { return false; }

Event::~Event() = default;
void Event::record(const Stream&) { absent(); }
void Event::wait(const Stream&) const { absent(); }
bool Event::query() const { absent(); }
void Event::synchronize() const { absent(); }
double Event::elapsed_ms(const Event&) const { absent(); }

Ref<Graph> Graph::make() { absent(); }
Graph* capturing_graph() noexcept { return nullptr; }
void check_not_capturing(const char*) {}

}  // namespace ccdl::cu
