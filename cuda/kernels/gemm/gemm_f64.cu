// fp64 products on the fp64 tensor cores (mma m8n8k4): 64x64x16 tiles, 32x32 per warp, the register-staged
// double buffer of the exact main loop, any strides. Shared rows are padded by 4 elements, so that the 4 x 4
// elements a half warp reads lie in different banks. Bound: fp64 mma rate.
#include <runtime/launch.h>

#include <device/ptx_mma.cuh>
#include <kernels/gemm/mainloop_simt.cuh>
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {
namespace {

struct Double {
  using S = double;
  static constexpr int kM = 64, kN = 64, kDepth = 16, kThreads = 128, kPad = 4;
  static constexpr int kWarpM = 32, kWarpN = 32;
  static constexpr int kTm = kWarpM / 8, kTn = kWarpN / 8 * 2;  // mma tiles of a warp, 2 elements each
  static constexpr int kPitchA = kM + kPad, kPitchB = kN + kPad;
  static constexpr size_t kSmem = 2 * kDepth * (kPitchA + kPitchB) * sizeof(double);
};

CCDL_DEVICE int warp_row() { return static_cast<int>(threadIdx.x) / kWarp / 2 * Double::kWarpM; }
CCDL_DEVICE int warp_column() { return static_cast<int>(threadIdx.x) / kWarp % 2 * Double::kWarpN; }

struct MmaStep {
  CCDL_DEVICE static void run(const double* a, const double* b, double (&acc)[Double::kTm][Double::kTn]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const double* a_lane = a + lane % 4 * Double::kPitchA + warp_row() + lane / 4;
    const double* b_lane = b + lane % 4 * Double::kPitchB + warp_column() + lane / 4;
#pragma unroll
    for (int k = 0; k < Double::kDepth; k += 4) {
      double x[Double::kTm], w[Double::kTn / 2];
#pragma unroll
      for (int i = 0; i < Double::kTm; ++i) x[i] = a_lane[k * Double::kPitchA + i * 8];
#pragma unroll
      for (int j = 0; j < Double::kTn / 2; ++j) w[j] = b_lane[k * Double::kPitchB + j * 8];
#pragma unroll
      for (int i = 0; i < Double::kTm; ++i)
#pragma unroll
        for (int j = 0; j < Double::kTn / 2; ++j) {
          double d[2] = {acc[i][2 * j], acc[i][2 * j + 1]};
          mma(d, x[i], w[j]);
          acc[i][2 * j] = d[0];
          acc[i][2 * j + 1] = d[1];
        }
    }
  }
};

template <bool KFastA, bool KFastB>
__global__ void __launch_bounds__(Double::kThreads, 2) gemm_f64_mma_kernel(const GemmProblem<double> p) {
  const BlockPlace at = block_place(p, Double::kM, Double::kN);
  if (!at.valid) return;
  StridedTile<double, double, Double::kM, Double::kDepth, Double::kThreads, KFastA, Double::kPad> a;
  StridedTile<double, double, Double::kN, Double::kDepth, Double::kThreads, KFastB, Double::kPad> b;
  place_tile<Double::kM>(a, p.a, at, at.row0, p.m);
  place_tile<Double::kN>(b, p.b, at, at.column0, p.n);
  double acc[Double::kTm][Double::kTn];
  simt_mainloop<Double, MmaStep>(a, b, at.depth, acc);
  const TileStore<double> store = tile_store(p, at);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int i = 0; i < Double::kTm; ++i)
#pragma unroll
    for (int j = 0; j < Double::kTn; j += 2) {
      const Vec<double> pair{{acc[i][j], acc[i][j + 1]}};
      store(warp_row() + i * 8 + lane / 4, warp_column() + j * 4 + lane % 4 * 2, pair);
    }
}

}  // namespace

void gemm_f64(const GemmProblem<double>& p) {
  const LaunchConfig config{gemm_grid(p, Double::kM, Double::kN), dim3(Double::kThreads), Double::kSmem};
  if (p.a.k_fast && p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_f64_mma_kernel<true, true>), p);
  else if (p.a.k_fast)
    CCDL_LAUNCH(config, (gemm_f64_mma_kernel<true, false>), p);
  else if (p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_f64_mma_kernel<false, true>), p);
  else
    CCDL_LAUNCH(config, (gemm_f64_mma_kernel<false, false>), p);
}

}  // namespace ccdl::cu
