// The one way a kernel is started: CCDL_LAUNCH(config, kernel, arguments...) on the current stream of the
// calling thread. Checks the launch and names kernel, launch shape and device in the error. Template kernels
// with commas go in parentheses: CCDL_LAUNCH(config, (kernel<float, 4>), x, y).
#pragma once
#include <cuda_runtime.h>

#include <runtime/runtime.h>

#ifdef CCDL_CUDA_EMULATED
#include <emulator/launch.h>
#endif

namespace ccdl::cu {

struct LaunchConfig {
  dim3 grid{1, 1, 1};
  dim3 block{1, 1, 1};
  size_t smem = 0;           // bytes of dynamic shared memory
  bool cooperative = false;  // all blocks are resident at once: grid-wide barriers are allowed
};

namespace detail {

// Raises Error(Runtime) or Error(Memory) naming kernel, shape and device unless status is cudaSuccess.
void check_launch(cudaError_t status, const char* kernel, const LaunchConfig& config);
void count_launch();
// Lets the kernel use as much dynamic shared memory as the device has beside its static arrays; once per
// kernel and device.
cudaError_t allow_shared_memory(const void* kernel);

template <class T>
struct Identity {
  using type = T;
};

template <class... P>
void launch(const char* name, const char* file, int line, const LaunchConfig& config, void (*kernel)(P...),
            typename Identity<P>::type... args) {
  if (config.grid.x == 0 || config.grid.y == 0 || config.grid.z == 0) return;
  count_launch();
  // Static and dynamic shared memory together may not pass 48 KB unless the kernel is allowed more.
  if (config.smem > 0) check_launch(allow_shared_memory(reinterpret_cast<const void*>(kernel)), name, config);
#ifdef CCDL_CUDA_EMULATED
  check_launch(emu::enqueue_kernel({name, file, line, reinterpret_cast<const void*>(kernel)}, config.grid,
                                   config.block, config.smem, config.cooperative, current_stream(),
                                   [=] { kernel(args...); }),
               name, config);
#else
  (void)file;
  (void)line;
  void* pointers[] = {static_cast<void*>(&args)..., nullptr};
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t launch_config{};
  launch_config.gridDim = config.grid;
  launch_config.blockDim = config.block;
  launch_config.dynamicSmemBytes = config.smem;
  launch_config.stream = current_stream();
  launch_config.attrs = &attribute;
  launch_config.numAttrs = config.cooperative ? 1 : 0;
  check_launch(cudaLaunchKernelExC(&launch_config, reinterpret_cast<const void*>(kernel), pointers), name,
               config);
#endif
}

}  // namespace detail
}  // namespace ccdl::cu

#define CCDL_LAUNCH(config, kernel, ...) \
  ::ccdl::cu::detail::launch(#kernel, __FILE__, __LINE__, config, kernel __VA_OPT__(, ) __VA_ARGS__)
