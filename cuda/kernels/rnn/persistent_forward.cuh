// The forward pass of a whole sequence in one launch, recurrent weights in shared memory throughout.
// Block kernel: a block has all units of NB sequences; each warp takes groups of 8 units over all of k, the
// states stay in shared memory. Bound per step: reading the weights from shared memory, G H H s / 128 clocks.
// Grid kernel: a block has one group of 8 units for the sequences of its slice; its warps share k, the states
// go through global memory (L2) in two alternating images, a signal per step. Bound per step: the signal
// (about 1.5 us), or H / 8 blocks reading B H s bytes each from L2.
#pragma once
#include <runtime/launch.h>

#include <kernels/rnn/team.cuh>

namespace ccdl::cu {

template <class T>
struct RnnForwardLaunch {
  RnnForwardData<T> data;
  RnnRows rows;
  const T *w_hh, *h0, *c0;
  T *y, *hn;
  int64_t y_stride;
  T* images;           // grid: [2][tiles][image]
  unsigned* counters;  // grid: kCounterPitch apart
  int hidden, groups, tiles, slices;
};

// The weights of 8 units from u0 on.
template <class Team, int S, class T>
CCDL_DEVICE void load_forward_weights(const T* w_hh, int hidden, int u0, T* image) {
  const int depth = static_cast<int>(Team::depth(hidden)) * kRnnDepth<T>;
  for (int e = static_cast<int>(threadIdx.x); e < Team::kSlots * kUnits * depth; e += kTeamThreads) {
    const int k = e % depth, line = e / depth, u = line % kUnits, s = line / kUnits;
    const bool inside = s < S && k < hidden && u0 + u < hidden;
    image[Team::weight_at(k, s, u)] =
        inside ? w_hh[(static_cast<int64_t>(s) * hidden + u0 + u) * hidden + k] : convert<T>(0.0f);
  }
}

// h0 or c0 of (b, u), in float.
template <class T>
CCDL_DEVICE float initial_state(const T* from, int64_t batch, int64_t b, int hidden, int u) {
  return from != nullptr && b < batch && u < hidden ? convert<float>(from[b * hidden + u]) : 0.0f;
}

template <class T, RnnCell kCell>
__global__ void __launch_bounds__(kTeamThreads, 1) rnn_block_forward_kernel(const RnnForwardLaunch<T> p) {
  constexpr int NB = kBlockBatch<T>, S = kRnnGates<kCell>;
  using Team = RnnTeam<T, NB, S>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int depth = static_cast<int>(Team::depth(p.hidden));
  const int weights = depth * Team::kWeightStep, image = depth * Team::kStateStep;
  T* w = dyn_smem<T>();
  T* images = w + p.groups * weights;                            // [2][image]
  float* states = reinterpret_cast<float*>(images + 2 * image);  // [group][j][lane]: c or h
  const int64_t b0 = static_cast<int64_t>(blockIdx.x) * NB;
  for (int g = 0; g < p.groups; ++g)
    load_forward_weights<Team, S>(p.w_hh, p.hidden, g * kUnits, w + g * weights);
  for (int e = static_cast<int>(threadIdx.x); e < depth * kRnnDepth<T> * NB; e += kTeamThreads) {
    const int k = e / NB, b = e % NB;
    const T h = convert<T>(initial_state(p.h0, p.rows.batch, b0 + b, p.hidden, k));
    images[Team::state_at(k, b)] = images[image + Team::state_at(k, b)] = h;
  }
  for (int g = warp; g < p.groups; g += kTeamWarps)
#pragma unroll
    for (int j = 0; j < Team::kB; ++j)
      states[(g * Team::kB + j) * kWarp + lane] =
          initial_state(kCell == RnnCell::Lstm ? p.c0 : p.h0, p.rows.batch, b0 + Team::lane_sequence(lane, j),
                        p.hidden, g * kUnits + Team::lane_unit(lane));
  for (int64_t i = 0; i < p.rows.steps; ++i) {
    __syncthreads();  // the previous step's states are complete
    const int64_t t = p.rows.reverse ? p.rows.steps - 1 - i : i;
    const int64_t rows = p.rows.rows(t), offset = p.rows.offset(t);
    if (b0 >= rows) continue;
    const T* from = images + (i & 1) * image;
    T* to = images + (1 - (i & 1)) * image;
    for (int g = warp; g < p.groups; g += kTeamWarps) {
      const int u = g * kUnits + Team::lane_unit(lane);
      RnnForwardItem<T, kCell> item[Team::kB];
#pragma unroll
      for (int j = 0; j < Team::kB; ++j) {
        const int64_t b = b0 + Team::lane_sequence(lane, j);
        if (b < rows && u < p.hidden) item[j].load(p.data, offset + b, u);
      }
      typename Team::Sums sums;
      Team::clear(sums);
      team_multiply<Team>(w + g * weights, from, 0, depth, lane, sums);
#pragma unroll
      for (int j = 0; j < Team::kB; ++j) {
        const int slot = Team::lane_sequence(lane, j);
        const int64_t b = b0 + slot;
        if (b >= rows || u >= p.hidden) continue;
        float u_h[S];
#pragma unroll
        for (int s = 0; s < S; ++s) u_h[s] = sums.get(j, s);
        const bool last = p.rows.last(t, b);
        const T h = convert<T>(
            item[j].run(p.data, u_h, states[(g * Team::kB + j) * kWarp + lane], offset + b, b, u, last));
        p.y[(offset + b) * p.y_stride + u] = h;
        if (last) p.hn[b * p.hidden + u] = h;
        to[Team::state_at(u, slot)] = h;
      }
    }
  }
}

// Reads the states before the step in one image, writes those after it in the other; sequences that have not
// begun keep h0 in both.
template <class T, RnnCell kCell, int NB>
__global__ void __launch_bounds__(kTeamThreads, 2) rnn_grid_forward_kernel(const RnnForwardLaunch<T> p) {
  constexpr int S = kRnnGates<kCell>;
  using Team = RnnTeam<T, NB, S>;
  static_assert(Team::kB <= kTeamWarps);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int depth = static_cast<int>(Team::depth(p.hidden)), u0 = static_cast<int>(blockIdx.x) * kUnits;
  const int64_t image = static_cast<int64_t>(depth) * Team::kStateStep, buffer = image * p.tiles;
  T* w = dyn_smem<T>();
  using Ring = TeamRing<Team, T, S>;
  const Ring ring{w + depth * Team::kWeightStep};
  float* states = reinterpret_cast<float*>(
      ring.memory + kTeamWarps * Ring::kWarpElements);  // [tile of the slice][j][lane]: c or h
  GridSignal signal{p.counters + blockIdx.y * kCounterPitch, static_cast<unsigned>(p.groups), 0};
  const int u = u0 + Team::lane_unit(lane), slot = Team::lane_sequence(lane, warp % Team::kB);
  const bool pointwise = warp < Team::kB && u < p.hidden;  // this thread finishes (slot, u) of each tile
  load_forward_weights<Team, S>(p.w_hh, p.hidden, u0, w);
  if (pointwise)
    for (int tile = static_cast<int>(blockIdx.y), n = 0; tile < p.tiles; tile += p.slices, ++n) {
      const int64_t b = static_cast<int64_t>(tile) * NB + slot;
      states[(n * Team::kB + warp) * kWarp + lane] =
          initial_state(kCell == RnnCell::Lstm ? p.c0 : p.h0, p.rows.batch, b, p.hidden, u);
      const T h = convert<T>(initial_state(p.h0, p.rows.batch, b, p.hidden, u));
      T* at = p.images + tile * image + Team::state_at(u, slot);
      at[0] = at[buffer] = h;
    }
  signal.arrive();
  for (int64_t i = 0; i < p.rows.steps; ++i) {
    const int64_t t = p.rows.reverse ? p.rows.steps - 1 - i : i;
    const int64_t rows = p.rows.rows(t), offset = p.rows.offset(t);
    bool waited = false;
    for (int tile = static_cast<int>(blockIdx.y), n = 0; tile < p.tiles; tile += p.slices, ++n) {
      const int64_t b = static_cast<int64_t>(tile) * NB + slot;
      const bool mine = pointwise && b < rows;
      RnnForwardItem<T, kCell> item;
      if (mine) item.load(p.data, offset + b, u);  // on its way while the signal is awaited
      if (!waited) signal.wait();
      waited = true;
      if (static_cast<int64_t>(tile) * NB >= rows) break;
      const T* from = p.images + (i & 1) * buffer + tile * image;
      typename Team::Sums sums;
      ring.multiply(w, from, warp * depth / kTeamWarps, (warp + 1) * depth / kTeamWarps, warp, lane, sums);
      ring.put(warp, lane, sums);
      __syncthreads();  // every warp's share is there
      if (mine) {
        float u_h[S];
        ring.total(warp, lane, u_h);
        const bool last = p.rows.last(t, b);
        const T h = convert<T>(
            item.run(p.data, u_h, states[(n * Team::kB + warp) * kWarp + lane], offset + b, b, u, last));
        p.images[(1 - (i & 1)) * buffer + tile * image + Team::state_at(u, slot)] = h;
        p.y[(offset + b) * p.y_stride + u] = h;
        if (last) p.hn[b * p.hidden + u] = h;
      }
      if (tile + p.slices < p.tiles) __syncthreads();  // the shares may be overwritten
    }
    signal.arrive();
  }
}

}  // namespace ccdl::cu
