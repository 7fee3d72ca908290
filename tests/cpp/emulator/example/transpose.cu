// Transposes a matrix through a tile of shared memory.
#include <emulator/launch.h>
#include <device/prelude.cuh>

#include <cstdio>
#include <vector>

using namespace ccdl::cu;

__global__ void transpose_kernel(const float* x, float* y, int rows, int cols) {
  CCDL_SHARED(float, tile, [32][33]);  // one column more: no bank conflicts
  const int lane = static_cast<int>(threadIdx.x), line = static_cast<int>(threadIdx.y);
  const int r0 = static_cast<int>(blockIdx.y) * 32, c0 = static_cast<int>(blockIdx.x) * 32;
  for (int i = line; i < 32; i += 8)
    if (r0 + i < rows && c0 + lane < cols) tile[i][lane] = x[(r0 + i) * cols + c0 + lane];
  __syncthreads();
  for (int i = line; i < 32; i += 8)
    if (c0 + i < cols && r0 + lane < rows) y[(c0 + i) * rows + r0 + lane] = tile[lane][i];
}

int main() {
  const int rows = 70, cols = 45;
  std::vector<float> host(rows * cols);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i);
  float *x, *y;
  cudaMalloc(&x, host.size() * sizeof(float));
  cudaMalloc(&y, host.size() * sizeof(float));
  cudaMemcpy(x, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice);
  ccdl::emu::enqueue_kernel({"transpose_kernel", __FILE__, __LINE__}, dim3(2, 3), dim3(32, 8), 0, false,
                            nullptr, [=] { transpose_kernel(x, y, rows, cols); });
  const cudaError_t status = cudaDeviceSynchronize();
  if (status != cudaSuccess) {
    std::printf("%s\n", cudaGetErrorString(status));
    return 1;
  }
  cudaMemcpy(host.data(), y, host.size() * sizeof(float), cudaMemcpyDeviceToHost);
  int wrong = 0;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < cols; ++c)
      wrong += host[static_cast<size_t>(c * rows + r)] != static_cast<float>(r * cols + c);
  std::printf("%d wrong of %zu\n", wrong, host.size());
  return wrong != 0;
}
