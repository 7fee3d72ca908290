// Whether and how the persistent kernels run: shared memory, co-residency, slices of the batch. Instantiated
// once per element type.
#pragma once
#include <kernels/rnn/persistent_backward.cuh>
#include <kernels/rnn/persistent_forward.cuh>

namespace ccdl::cu {

// The block kernel of float reads W_hh from shared memory at half its rate: above this many bytes of weights
// a step of the grid kernel is expected to take less time.
constexpr int64_t kFloatBlockBytes = 160 << 10;
constexpr int64_t kMostTilesPerBlock = 4;  // above, the products of step mode use the device better

struct RnnPlan {
  enum class Kind { None, Block, Grid } kind = Kind::None;
  int64_t smem = 0;
  int slices = 0;
};

// Bytes per group of 8 units, of both state images of a tile, of a tile's float states, and fixed ones.
struct RnnNeeds {
  int64_t weights, images, states, ring;
};

template <class T>
bool fits_block(const RnnNeeds& n, int64_t groups, int64_t tiles, RnnPath path, RnnPlan& plan) {
  const DeviceTraits& device = device_traits();
  const int64_t smem = groups * (n.weights + n.states) + n.images;
  if (smem > device.shared_per_block) return false;
  if (path == RnnPath::Auto &&
      (tiles > 2 * device.sm_count || (sizeof(T) == 4 && groups * n.weights > kFloatBlockBytes)))
    return false;
  plan = {RnnPlan::Kind::Block, smem, 0};
  return true;
}

// How many blocks of `kernel` are resident together; 0 where cooperative launches are not possible.
template <class... P>
int64_t resident_blocks(void (*kernel)(P...), int64_t smem) {
  int cooperative = 0, device = current_device(), per_sm = 0;
  CCDL_CUDA_CHECK(cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, device));
  if (!cooperative) return 0;
#ifndef CCDL_CUDA_EMULATED
  CCDL_CUDA_CHECK(detail::allow_shared_memory(reinterpret_cast<const void*>(kernel)));
#endif
  CCDL_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, kernel, kTeamThreads,
                                                                static_cast<size_t>(smem)));
  return static_cast<int64_t>(per_sm) * device_traits().sm_count;
}

template <class... P>
bool fits_grid(void (*kernel)(P...), const RnnNeeds& n, int64_t groups, int64_t tiles, RnnPath path,
               RnnPlan& plan) {
  for (int64_t per_block = 1; per_block <= (path == RnnPath::Auto ? kMostTilesPerBlock : tiles);
       per_block *= 2) {
    const int64_t slices = ceil_div(tiles, per_block), smem = n.weights + n.ring + per_block * n.states;
    if (smem > device_traits().shared_per_block) return false;
    if (slices > kMostSlices || groups * slices > resident_blocks(kernel, smem)) continue;
    plan = {RnnPlan::Kind::Grid, smem, static_cast<int>(slices)};
    return true;
  }
  return false;
}

template <class P>
void launch_persistent(const RnnPlan& plan, const P& p, const RnnSpace& space,
                       void (*rnn_persistent_kernel)(const P)) {
  LaunchConfig config;
  config.block = dim3(kTeamThreads);
  config.smem = static_cast<size_t>(plan.smem);
  if (plan.kind == RnnPlan::Kind::Block) {
    config.grid = dim3(static_cast<unsigned>(p.tiles));
    CCDL_LAUNCH(config, rnn_persistent_kernel, p);
    return;
  }
  CCDL_CUDA_CHECK(
      cudaMemsetAsync(space.signals, 0, static_cast<size_t>(space.signal_bytes), current_stream()));
  config.grid = dim3(static_cast<unsigned>(p.groups), static_cast<unsigned>(p.slices));
  config.cooperative = true;
  CCDL_LAUNCH(config, rnn_persistent_kernel, p);
}

// Sizes beyond these are the business of step mode, whatever the memory.
inline bool persistent_sizes(int64_t hidden, int64_t batch) { return hidden <= 1 << 14 && batch <= 1 << 20; }

template <class Team, class T>
RnnNeeds needs_of(int64_t depth, int64_t image_depth, int64_t image_step, int64_t ring, int64_t sequences) {
  const int64_t size = sizeof(T);
  return {depth * Team::kWeightStep * size, 2 * image_depth * image_step * size, sequences / 4 * kWarp * 4,
          ring};
}

// The kernels of one pass: blocks by themselves, and grids with few and with many sequences per tile.
template <class P>
struct RnnKernels {
  using Kernel = void (*)(const P);
  Kernel block, narrow_grid, wide_grid;
};

// Runs one pass, p but for the plan. Tiles of few sequences spread a small batch over more blocks; sums do
// not depend on the tile.
template <class T, int S, class P>
bool run_persistent(P p, int64_t depth, const RnnSpace& space, const RnnSteps& steps, RnnPath path,
                    const RnnKernels<P>& kernels) {
  constexpr int kFew = kBlockBatch<T>, kMany = kGridBatch;
  using Few = RnnTeam<T, kFew, S>;
  using Many = RnnTeam<T, kMany, S>;
  const int64_t groups = ceil_div(p.hidden, kUnits), batch = steps.batch_sizes[0];
  const int64_t narrow = ceil_div<int64_t>(batch, kFew), wide = ceil_div<int64_t>(batch, kMany);
  p.groups = static_cast<int>(groups);
  RnnPlan plan;
  auto kernel = kernels.block;
  if (path != RnnPath::Grid &&
      fits_block<T>(needs_of<Few, T>(depth, depth, Few::kStateStep, 0, kFew), groups, narrow, path, plan)) {
    p.tiles = static_cast<int>(narrow);
  } else if (path == RnnPath::Block) {
    return false;
  } else if (groups * narrow <= device_traits().sm_count &&
             fits_grid(kernels.narrow_grid, needs_of<Few, T>(depth, 0, 0, TeamRing<Few, T, S>::kBytes, kFew),
                       groups, narrow, path, plan)) {
    p.tiles = static_cast<int>(narrow);
    kernel = kernels.narrow_grid;
  } else if (fits_grid(kernels.wide_grid, needs_of<Many, T>(depth, 0, 0, TeamRing<Many, T, S>::kBytes, kMany),
                       groups, wide, path, plan)) {
    p.tiles = static_cast<int>(wide);
    kernel = kernels.wide_grid;
  } else {
    return false;
  }
  p.slices = plan.slices;
  p.rows = rnn_rows(steps, space);
  launch_persistent(plan, p, space, kernel);
  return true;
}

template <class T, RnnCell kCell>
bool forward_cell(const RnnSteps& steps, const RnnForward& f, const RnnSpace& space, RnnPath path) {
  constexpr int S = kRnnGates<kCell>;
  RnnForwardLaunch<T> p;
  p.data = rnn_data<T>(steps, f);
  p.w_hh = f.w_hh.ptr<const T>();
  p.h0 = f.h0.ptr<const T>();
  p.c0 = f.c0.ptr<const T>();
  p.y = f.y.ptr<T>();
  p.hn = f.hn.ptr<T>();
  p.y_stride = f.y.strides[0];
  p.images = static_cast<T*>(space.images);
  p.counters = space.counters;
  p.hidden = static_cast<int>(p.data.hidden);
  return run_persistent<T, S>(
      p, RnnTeam<T, kGridBatch, S>::depth(p.hidden), space, steps, path,
      {rnn_block_forward_kernel<T, kCell>, rnn_grid_forward_kernel<T, kCell, kBlockBatch<T>>,
       rnn_grid_forward_kernel<T, kCell, kGridBatch>});
}

template <class T, RnnCell kCell>
bool backward_cell(const RnnSteps& steps, const RnnBackward& b, const RnnSpace& space, RnnPath path) {
  RnnBackwardLaunch<T> p;
  p.data = rnn_data<T>(steps, b, space);
  p.w_hh = b.w_hh.ptr<const T>();
  p.dhn = b.dhn.ptr<const T>();
  p.dcn = b.dcn.ptr<const T>();
  p.dh0 = b.dh0.ptr<T>();
  p.dc0 = b.dc0.ptr<T>();
  p.images = static_cast<T*>(space.images);
  p.counters = space.counters;
  p.hidden = static_cast<int>(p.data.hidden);
  const int64_t depth = int64_t{kRnnGates<kCell>} * gate_depth<T>(p.hidden) / kRnnDepth<T>;
  return run_persistent<T, 1>(
      p, depth, space, steps, path,
      {rnn_block_backward_kernel<T, kCell>, rnn_grid_backward_kernel<T, kCell, kBlockBatch<T>>,
       rnn_grid_backward_kernel<T, kCell, kGridBatch>});
}

template <class T>
bool rnn_forward_persistent(const RnnSteps& steps, const RnnForward& f, const RnnSpace& space, RnnPath path) {
  if (!persistent_sizes(f.hn.sizes[1], f.hn.sizes[0])) return false;
  switch (rnn_cell(steps.mode)) {
    case RnnCell::Simple:
      return forward_cell<T, RnnCell::Simple>(steps, f, space, path);
    case RnnCell::Lstm:
      return forward_cell<T, RnnCell::Lstm>(steps, f, space, path);
    default:
      return forward_cell<T, RnnCell::Gru>(steps, f, space, path);
  }
}

template <class T>
bool rnn_backward_persistent(const RnnSteps& steps, const RnnBackward& b, const RnnSpace& space,
                             RnnPath path) {
  if (!persistent_sizes(b.y.sizes[1], steps.batch_sizes[0])) return false;
  switch (rnn_cell(steps.mode)) {
    case RnnCell::Simple:
      return backward_cell<T, RnnCell::Simple>(steps, b, space, path);
    case RnnCell::Lstm:
      return backward_cell<T, RnnCell::Lstm>(steps, b, space, path);
    default:
      return backward_cell<T, RnnCell::Gru>(steps, b, space, path);
  }
}

}  // namespace ccdl::cu
