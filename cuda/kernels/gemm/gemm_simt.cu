// Exact fp32 products: 128x128x8 tiles, 64x64x16 for small C. Each operand is read along whichever of its
// strides is the smaller one, in 16-byte pieces where they are aligned, so all four layouts and any strides
// run without packing. Bound: FMA rate, 2 M N K flops.
#include <runtime/launch.h>
#include <kernels/gemm/mainloop_simt.cuh>
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {
namespace {

using Large = SimtConfig<float, 128, 128, 8, 32, 64>;
using Small = SimtConfig<float, 64, 64, 16, 32, 32>;

template <class C, bool KFastA, bool KFastB>
__global__ void __launch_bounds__(C::kThreads, 2) gemm_simt_kernel(const GemmProblem<typename C::S> p) {
  using S = typename C::S;
  const BlockPlace at = block_place(p, C::kM, C::kN);
  if (!at.valid) return;
  StridedTile<S, S, C::kM, C::kDepth, C::kThreads, KFastA> a;
  StridedTile<S, S, C::kN, C::kDepth, C::kThreads, KFastB> b;
  place_tile<C::kM>(a, p.a, at, at.row0, p.m);
  place_tile<C::kN>(b, p.b, at, at.column0, p.n);
  S acc[C::kTm][C::kTn];
  simt_mainloop<C>(a, b, at.depth, acc);
  simt_store<C>(acc, tile_store(p, at));
}

template <class C>
void launch_simt(const GemmProblem<typename C::S>& p) {
  const LaunchConfig config{gemm_grid(p, C::kM, C::kN), dim3(C::kThreads), C::kSmem};
  if (p.a.k_fast && p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_simt_kernel<C, true, true>), p);
  else if (p.a.k_fast)
    CCDL_LAUNCH(config, (gemm_simt_kernel<C, true, false>), p);
  else if (p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_simt_kernel<C, false, true>), p);
  else
    CCDL_LAUNCH(config, (gemm_simt_kernel<C, false, false>), p);
}

}  // namespace

void gemm_simt_f32(const GemmProblem<float>& p, bool large_tile) {
  if (large_tile)
    launch_simt<Large>(p);
  else
    launch_simt<Small>(p);
}

}  // namespace ccdl::cu
