// Launches for the emulator's own tests: no runtime in between. Instances of templates are named like the
// template.
#pragma once
#include <emulator/launch.h>
#include <device/block.cuh>

#include <vector>

using namespace ccdl::cu;

struct Shape {
  dim3 grid{1}, block{1};
  size_t smem = 0;
  bool cooperative = false;
  cudaStream_t stream = nullptr;
};
template <class T>
struct Identity {
  using type = T;
};
template <class... P>
cudaError_t launch(const char* name, const char* file, int line, const Shape& shape, void (*kernel)(P...),
                   typename Identity<P>::type... args) {
  return ccdl::emu::enqueue_kernel({name, file, line, reinterpret_cast<const void*>(kernel)}, shape.grid,
                                   shape.block, shape.smem, shape.cooperative, shape.stream,
                                   [=] { kernel(args...); });
}
#define EMU_LAUNCH(shape, name, kernel, ...) launch(name, __FILE__, __LINE__, shape, kernel, __VA_ARGS__)

// Device memory for the length of a test.
template <class T>
struct Buffer {
  T* p = nullptr;
  size_t n;
  explicit Buffer(size_t count) : n(count) { cudaMalloc(&p, count * sizeof(T)); }
  Buffer(const std::vector<T>& from) : Buffer(from.size()) {
    cudaMemcpy(p, from.data(), n * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Buffer() { cudaFree(p); }
  Buffer(const Buffer&) = delete;
  std::vector<T> read() const {
    std::vector<T> out(n);
    cudaMemcpy(out.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost);
    return out;
  }
};

inline std::vector<float> ramp(size_t n) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = static_cast<float>(i);
  return v;
}
