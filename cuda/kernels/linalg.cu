// Dense factorisations: one block per matrix runs the task of kernels/linalg_team.h, 32 threads along a row.
// Bound: the latency of the columns' chain for small matrices, bytes of the matrix per column for large ones.
#include <ccdl/kernels/linalg.h>

#include <algorithm>

#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/prelude.cuh>

#include <ccdl/kernels/linalg_spectral.h>

namespace ccdl::cu {
namespace {

constexpr int kTeam = 256;

struct BlockTeam {
  CCDL_DEVICE int64_t rank() const { return threadIdx.x; }
  CCDL_DEVICE int64_t size() const { return kTeam; }
  CCDL_DEVICE int64_t row() const { return threadIdx.x / kWarp; }
  CCDL_DEVICE int64_t rows() const { return kTeam / kWarp; }
  CCDL_DEVICE int64_t column() const { return threadIdx.x % kWarp; }
  CCDL_DEVICE int64_t columns() const { return kWarp; }
  CCDL_DEVICE void sync() const { __syncthreads(); }  // tasks say why at each call
  CCDL_DEVICE double total(double v) const { return block_sum(v); }
};

template <class Task>
__global__ void __launch_bounds__(kTeam, 1) linalg_kernel(const __grid_constant__ Task task, int64_t batch) {
  for (int64_t i = blockIdx.x; i < batch; i += gridDim.x) {
    task(BlockTeam{}, i);
    __syncthreads();  // the next matrix may use the same shared memory
  }
}

template <class Task>
void run(const Task& task, int64_t batch) {
  LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(std::min<int64_t>(batch, 65535)));
  config.block = dim3(kTeam);
  CCDL_LAUNCH(config, linalg_kernel<Task>, task, batch);
}

}  // namespace

#define CCDL_LINALG_RUN(task, batch) run(task, batch)
#include <ccdl/kernels/linalg_launch.h>

}  // namespace ccdl::cu
