// Integer products modulo 2^32 (2^64 for int64), 64x64 tiles on the exact main loop, element-wise loads along
// the smaller stride. Bound: integer multiply-add rate, half that of fp32.
#include <runtime/launch.h>

#include <kernels/gemm/mainloop_simt.cuh>
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {
namespace {

template <class T, class C>
__global__ void __launch_bounds__(C::kThreads, 2) gemm_integer_kernel(const GemmProblem<T> p) {
  using S = typename C::S;
  const BlockPlace at = block_place(p, C::kM, C::kN);
  if (!at.valid) return;
  ElementTile<T, S, C::kM, C::kDepth, C::kThreads> a;
  ElementTile<T, S, C::kN, C::kDepth, C::kThreads> b;
  place_tile<C::kM>(a, p.a, at, at.row0, p.m);
  place_tile<C::kN>(b, p.b, at, at.column0, p.n);
  S acc[C::kTm][C::kTn];
  simt_mainloop<C>(a, b, at.depth, acc);
  simt_store<C>(acc, tile_store(p, at));
}

}  // namespace

template <class T>
void gemm_integer(const GemmProblem<T>& p) {
  using C = SimtConfig<GemmAcc<T>, 64, 64, sizeof(T) == 8 ? 8 : 16, 32, 32>;
  CCDL_LAUNCH((LaunchConfig{gemm_grid(p, C::kM, C::kN), dim3(C::kThreads), C::kSmem}),
              (gemm_integer_kernel<T, C>), p);
}
template void gemm_integer(const GemmProblem<uint8_t>&);
template void gemm_integer(const GemmProblem<int8_t>&);
template void gemm_integer(const GemmProblem<int16_t>&);
template void gemm_integer(const GemmProblem<int32_t>&);
template void gemm_integer(const GemmProblem<int64_t>&);

}  // namespace ccdl::cu
