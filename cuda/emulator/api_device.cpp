// The fake device, its attributes, memory management and copies.
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/report.h>
#include <emulator/streams.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

using namespace ccdl::emu;

namespace {

bool bad_range(const void* p, size_t bytes) { return bytes > 0 && in_arena(p) && !find_allocation(p); }

// A copy or fill meets device memory like an access of its own: bounds and lifetime are checked when it runs.
bool check_range(const char* what, const void* p, size_t bytes) {
  if (bytes == 0 || !in_arena(p) || accessible(p, bytes)) return true;
  const char* at = static_cast<const char*>(p);
  const uint8_t* s = shadow_of(p);
  size_t good = 0;
  while (good < bytes && *s == kGranule) {
    good = static_cast<size_t>(reinterpret_cast<const char*>(arena.base) +
                               (static_cast<size_t>(s - arena.shadow) + 1) * kGranule - at);
    ++s;
  }
  const bool freed = *shadow_of(p) == kFreedByte;
  fault(freed ? "use-after-free" : "out-of-bounds",
        std::string(what) + " of " + std::to_string(bytes) + " bytes touches memory " +
            describe_address(good < bytes ? at + good : at),
        {});
  return false;
}

cudaError_t copy(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                 const std::shared_ptr<StreamState>& stream, bool wait) {
  if (width == 0 || height == 0) return cudaSuccess;
  if (!dst || !src || bad_range(dst, width) || bad_range(src, width)) return cudaErrorInvalidValue;
  const bool to_device = in_arena(dst), from_device = in_arena(src);
  const bool capturing = stream->capture != nullptr;
  std::shared_ptr<std::vector<char>> staged;
  if (!from_device && !is_pinned(src) &&
      !capturing) {  // pageable: the source may change as soon as we return
    staged = std::make_shared<std::vector<char>>(width * height);
    for (size_t y = 0; y < height; ++y)
      std::memcpy(staged->data() + y * width, static_cast<const char*>(src) + y * src_pitch, width);
    src = staged->data();
    src_pitch = width;
  }
  const cudaError_t e = enqueue(stream, [=] {
    (void)staged;
    for (size_t y = 0; y < height; ++y) {
      char* d = static_cast<char*>(dst) + y * dst_pitch;
      const char* s = static_cast<const char*>(src) + y * src_pitch;
      if (!check_range("a copy to the device", d, width) || !check_range("a copy from the device", s, width))
        return;
      std::memcpy(d, s, width);
    }
  });
  if (e != cudaSuccess) return e;
  const bool pageable_target = !to_device && !is_pinned(dst);
  if ((wait || pageable_target) && !capturing) run_until(tail_of(stream));
  return cudaSuccess;
}

bool wrong_direction(const void* dst, const void* src, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return kind != cudaMemcpyDefault && (to_device != in_arena(dst) || from_device != in_arena(src)) &&
         !is_pinned(dst) && !is_pinned(src);
}

cudaError_t allocate(void** p, size_t bytes) {
  if (!p) return cudaErrorInvalidValue;
  *p = nullptr;
  if (unsafe_call_forbidden()) return cudaErrorStreamCaptureUnsupported;
  if (bytes == 0) return cudaSuccess;
  *p = device_allocate(current_device_index(), bytes);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t allocate_host(void** p, size_t bytes) {
  if (!p) return cudaErrorInvalidValue;
  *p = nullptr;
  if (unsafe_call_forbidden()) return cudaErrorStreamCaptureUnsupported;
  if (bytes == 0) return cudaSuccess;
  *p = std::aligned_alloc(512, (bytes + 511) / 512 * 512);
  if (!*p) return cudaErrorMemoryAllocation;
  host_block_add(*p, bytes, false);
  return cudaSuccess;
}

int capability_value = [] {
  const char* text = std::getenv("CCDL_EMULATOR_CAPABILITY");
  int major = 8, minor = 0;
  if (text && std::sscanf(text, "%d.%d", &major, &minor) < 1) major = 8;
  return major * 10 + minor;
}();

int attribute_value(cudaDeviceAttr attr, bool* known) {
  *known = true;
  switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      return 1024;
    case cudaDevAttrMaxBlockDimZ:
      return 64;
    case cudaDevAttrMaxGridDimX:
      return 2147483647;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      return 65535;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return 48 * 1024;
    case cudaDevAttrTotalConstantMemory:
      return 64 * 1024;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return 65536;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      return 1000000;
    case cudaDevAttrGlobalMemoryBusWidth:
      return 64;
    case cudaDevAttrMultiProcessorCount:
      return kMultiprocessors;
    case cudaDevAttrL2CacheSize:
      return 4 << 20;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return 2048;
    case cudaDevAttrAsyncEngineCount:
      return 2;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrCooperativeLaunch:
      return 1;
    case cudaDevAttrIntegrated:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrMemoryPoolsSupported:
      return 0;
    case cudaDevAttrComputeCapabilityMajor:
      return capability() / 10;
    case cudaDevAttrComputeCapabilityMinor:
      return capability() % 10;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(kMaxShared) + 1024;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(kMaxShared);
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return 32;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return 1024;
  }
  *known = false;
  return 0;
}

bool valid_device(int device) { return device >= 0 && device < arena.devices; }

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  Guard guard(lock());
  *count = arena.devices;
  return result(cudaSuccess);
}
cudaError_t cudaSetDevice(int device) {
  Guard guard(lock());
  if (!valid_device(device)) return result(cudaErrorInvalidDevice);
  set_current_device(device);
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device_index();
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  Guard guard(lock());
  if (!valid_device(device)) return result(cudaErrorInvalidDevice);
  bool known;
  std::memset(p, 0, sizeof *p);
  std::snprintf(p->name, sizeof p->name, "emulated");
  std::memcpy(p->uuid.bytes, "ccdl-emulated-0", 16);
  p->uuid.bytes[14] = static_cast<char>('0' + device);
  p->totalGlobalMem = arena.per_device;
  p->sharedMemPerBlock = 48 * 1024;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->warpSize = 32;
  p->memPitch = 2147483647;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = 64 * 1024;
  p->major = capability() / 10;
  p->minor = capability() % 10;
  p->multiProcessorCount = kMultiprocessors;
  p->canMapHostMemory = p->concurrentKernels = p->unifiedAddressing = p->streamPrioritiesSupported = 1;
  p->cooperativeLaunch = 1;
  p->asyncEngineCount = 2;
  p->memoryBusWidth = 64;
  p->l2CacheSize = attribute_value(cudaDevAttrL2CacheSize, &known);
  p->maxThreadsPerMultiProcessor = 2048;
  p->sharedMemPerMultiprocessor = kMaxShared + 1024;
  p->sharedMemPerBlockOptin = kMaxShared;
  p->maxBlocksPerMultiProcessor = 32;
  p->reservedSharedMemPerBlock = 1024;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attr, int device) {
  Guard guard(lock());
  if (!valid_device(device)) return result(cudaErrorInvalidDevice);
  bool known;
  *value = attribute_value(attr, &known);
  return known ? cudaSuccess : result(cudaErrorInvalidValue);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -1;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  Guard guard(lock());
  if (!valid_device(device) || !valid_device(peer)) return result(cudaErrorInvalidDevice);
  *can = device != peer;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
  Guard guard(lock());
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureUnsupported);
  if (!p) return result(cudaSuccess);
  run_everything();
  return result(device_free(p) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaFreeHost(void* p) {
  Guard guard(lock());
  if (!p) return result(cudaSuccess);
  if (!host_block_starts(p, false)) return result(cudaErrorInvalidValue);
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureUnsupported);
  run_everything();
  host_block_remove(p, false);
  std::free(p);
  return result(cudaSuccess);
}
cudaError_t cudaHostRegister(void* p, size_t bytes, unsigned) {
  Guard guard(lock());
  if (!p || bytes == 0 || in_arena(p)) return result(cudaErrorInvalidValue);
  if (is_pinned(p)) return result(cudaErrorHostMemoryAlreadyRegistered);
  host_block_add(p, bytes, true);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* p) {
  Guard guard(lock());
  if (!host_block_starts(p, true)) return result(cudaErrorHostMemoryNotRegistered);
  run_everything();
  host_block_remove(p, true);
  return result(cudaSuccess);
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  Guard guard(lock());
  *total_bytes = arena.per_device;
  *free_bytes = arena.per_device - device_used(current_device_index());
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
  Guard guard(lock());
  a->device = 0;
  a->devicePointer = a->hostPointer = nullptr;
  void* q = const_cast<void*>(p);
  if (in_arena(p) && find_allocation(p)) {
    a->type = cudaMemoryTypeDevice;
    a->device = device_of(p);
    a->devicePointer = q;
  } else if (is_pinned(p)) {
    a->type = cudaMemoryTypeHost;
    a->devicePointer = a->hostPointer = q;
  } else {
    a->type = cudaMemoryTypeUnregistered;
    a->hostPointer = q;
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* dst, const void* src, size_t bytes, cudaMemcpyKind kind) {
  Guard guard(lock());
  if (bytes > 0 && wrong_direction(dst, src, kind)) return result(cudaErrorInvalidMemcpyDirection);
  if (unsafe_call_forbidden()) return result(cudaErrorStreamCaptureImplicit);
  return result(copy(dst, bytes, src, bytes, bytes, 1, stream_of(nullptr), true));
}
cudaError_t cudaMemcpyPeerAsync(void* dst, int, const void* src, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemset(void* p, int value, size_t bytes) { return cudaMemsetAsync(p, value, bytes, nullptr); }

}  // extern "C"

cudaError_t cudaMalloc(void** p, size_t bytes) {
  Guard guard(lock());
  return result(allocate(p, bytes));
}
cudaError_t cudaMallocHost(void** p, size_t bytes, unsigned) {
  Guard guard(lock());
  return result(allocate_host(p, bytes));
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  Guard guard(lock());
  return result(allocate_host(p, bytes));
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  Guard guard(lock());
  if (!is_pinned(host)) return result(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(dst, bytes, src, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy2DAsync(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  if (height > 1 && (dst_pitch < width || src_pitch < width)) return result(cudaErrorInvalidPitchValue);
  if (width > 0 && height > 0 && wrong_direction(dst, src, kind))
    return result(cudaErrorInvalidMemcpyDirection);
  return result(copy(dst, dst_pitch, src, src_pitch, width, height, s, false));
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return result(cudaSuccess);
  if (!p || bad_range(p, bytes)) return result(cudaErrorInvalidValue);
  return result(enqueue(s, [=] {
    if (check_range("a fill", p, bytes)) std::memset(p, value, bytes);
  }));
}
// Largest dynamic shared memory of the kernels that asked for an own limit.
static std::map<const void*, size_t>& dynamic_limits() {
  static auto* limits = new std::map<const void*, size_t>;
  return *limits;
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  Guard guard(lock());
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > static_cast<int>(kMaxShared)) return result(cudaErrorInvalidValue);
  dynamic_limits()[function] = static_cast<size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  std::memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024;
  a->numRegs = 32;
  a->ptxVersion = a->binaryVersion = capability();
  a->maxDynamicSharedSizeBytes = static_cast<int>(kMaxShared);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int block_size,
                                                          size_t dynamic_shared) {
  if (block_size <= 0 || block_size > 1024) return result(cudaErrorInvalidValue);
  const size_t by_memory = dynamic_shared > kMaxShared ? 0 : (kMaxShared + 1024) / (dynamic_shared + 1024);
  *n = static_cast<int>(
      std::min({size_t{32}, size_t{2048} / static_cast<size_t>((block_size + 31) / 32 * 32), by_memory}));
  return cudaSuccess;
}

namespace ccdl::emu {

int capability() { return capability_value; }
void set_capability(int value) {
  Guard guard(lock());
  run_everything();
  capability_value = value;
}

cudaError_t enqueue_function(const KernelSite& site, dim3 grid, dim3 block, size_t smem, bool cooperative,
                             cudaStream_t stream, size_t body_bytes, std::function<void()> body) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (!s) return result(cudaErrorInvalidResourceHandle);
  const uint64_t count = uint64_t{block.x} * block.y * block.z;
  if (count == 0 || count > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535)
    return result(cudaErrorInvalidConfiguration);
  const auto limit = dynamic_limits().find(site.function);
  const bool opted_in = limit != dynamic_limits().end();
  if (smem > (opted_in ? limit->second : kDefaultShared)) return result(cudaErrorInvalidValue);
  if (cooperative) {
    int fit = 0;
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&fit, nullptr, static_cast<int>(count), smem);
    if (uint64_t{grid.x} * grid.y * grid.z > static_cast<uint64_t>(fit * kMultiprocessors))
      return result(cudaErrorCooperativeLaunchTooLarge);
  }
  static uint64_t launches = 0;
  const Launch launch{site, grid, block, smem, cooperative, ++launches, nullptr, body_bytes, opted_in};
  return result(enqueue(
      s,
      [launch, body = std::move(body)] {
        Launch now = launch;
        now.body = &body;
        run_launch(now);
      },
      {}, true));
}

void mark_allocated(void* p, size_t bytes, cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (s && bytes) enqueue(s, [=] { apply_mark(p, bytes, true); });
}
void mark_freed(void* p, size_t bytes, cudaStream_t stream) {
  Guard guard(lock());
  const auto s = stream_of(stream);
  if (s && bytes) enqueue(s, [=] { apply_mark(p, bytes, false); });
}

}  // namespace ccdl::emu
