// The tensor-core kernel over plain matrices and its launch, shared by the files that instantiate it per
// type.
#pragma once
#include <runtime/launch.h>
#include <kernels/gemm/mainloop_mma.cuh>
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {

template <bool KFast, int Rows, class Tile, class T>
CCDL_DEVICE void place_async_tile(Tile& tile, const GemmOperand<T>& x, const BlockPlace& at, int64_t row0,
                                  int64_t rows) {
  tile.base = x.data + at.batch * x.batch + row0 * x.row + at.k_begin * x.k;
  tile.line = KFast ? x.row : x.k;
  tile.rows = static_cast<int>(least<int64_t>(rows - row0, Rows));
  tile.depth = at.depth;
  tile.access = x.access;
}

template <class C, bool KFastA, bool KFastB>
__global__ void __launch_bounds__(C::kThreads, 2) gemm_mma_kernel(const GemmProblem<typename C::T> p) {
  using T = typename C::T;
  const BlockPlace at = block_place(p, C::kM, C::kN);
  if (!at.valid) return;
  AsyncTile<T, C::kM, C::kThreads, KFastA> a;
  AsyncTile<T, C::kN, C::kThreads, KFastB> b;
  place_async_tile<KFastA, C::kM>(a, p.a, at, at.row0, p.m);
  place_async_tile<KFastB, C::kN>(b, p.b, at, at.column0, p.n);
  MmaAcc<C> acc;
  mma_mainloop<C, KFastA, KFastB>(a, b, at.depth, acc);
  mma_store<C>(acc, tile_store(p, at));
}

// Both operands have unit stride in one direction and access of at least 4 bytes.
template <class C>
void launch_mma(const GemmProblem<typename C::T>& p) {
  const LaunchConfig config{gemm_grid(p, C::kM, C::kN), dim3(C::kThreads), C::kSmem};
  if (p.a.k_fast && p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_mma_kernel<C, true, true>), p);
  else if (p.a.k_fast)
    CCDL_LAUNCH(config, (gemm_mma_kernel<C, true, false>), p);
  else if (p.b.k_fast)
    CCDL_LAUNCH(config, (gemm_mma_kernel<C, false, true>), p);
  else
    CCDL_LAUNCH(config, (gemm_mma_kernel<C, false, false>), p);
}

}  // namespace ccdl::cu
