// The backward pass of a whole sequence in one launch, the transposed recurrent weights in shared memory
// throughout. As the forward kernels (persistent_forward.cuh), with one row per unit and k running over the
// gradients of all gates: what goes round are those of U h'. Iteration i multiplies what iteration i - 1
// left; the product is the gradient of the previous state, for sequences that end there dh0. Bound per step:
// block kernel reading the weights from shared memory, G H H s / 128 clocks; grid kernel the signal, or H / 8
// blocks reading B G H s bytes each from L2.
#pragma once
#include <runtime/launch.h>

#include <kernels/rnn/team.cuh>

namespace ccdl::cu {

template <class T>
struct RnnBackwardLaunch {
  RnnBackwardData<T> data;
  RnnRows rows;
  const T *w_hh, *dhn, *dcn;
  T *dh0, *dc0;
  T* images;           // grid: [2][tiles][image]
  unsigned* counters;  // grid: kCounterPitch apart
  int hidden, groups, tiles, slices;
};

// Hidden units of a gate in the images, so that each gate begins with a step of k.
template <class T>
CCDL_HD int gate_depth(int hidden) {
  return (hidden + kRnnDepth<T> - 1) / kRnnDepth<T> * kRnnDepth<T>;
}

// The weights from 8 units, u0 on, to all gates.
template <class Team, int G, class T>
CCDL_DEVICE void load_backward_weights(const T* w_hh, int hidden, int u0, T* image) {
  const int per_gate = gate_depth<T>(hidden);
  for (int e = static_cast<int>(threadIdx.x); e < G * per_gate * kUnits; e += kTeamThreads) {
    const int u = e % kUnits, k = e / kUnits, g = k / per_gate, row = k % per_gate;
    const bool inside = row < hidden && u0 + u < hidden;
    image[Team::weight_at(k, 0, u)] =
        inside ? w_hh[(static_cast<int64_t>(g) * hidden + row) * hidden + u0 + u] : convert<T>(0.0f);
  }
}

// What happens to (b, u) in iteration i: the step's rows, and those of the iteration before, whose gradients
// the product holds.
template <class T, RnnCell kCell>
struct RnnBackwardVisit {
  static constexpr int G = kRnnGates<kCell>;
  int64_t t, rows, rows_before, offset;
  RnnBackwardItem<T, kCell> item;

  CCDL_DEVICE RnnBackwardVisit() {}
  CCDL_DEVICE RnnBackwardVisit(const RnnRows& r, int64_t i) {
    t = r.reverse ? i : r.steps - 1 - i;
    const bool inside = i < r.steps;
    rows = inside ? r.rows(t) : 0;
    offset = inside ? r.offset(t) : 0;
    rows_before = i > 0 ? r.rows(r.reverse ? t - 1 : t + 1) : 0;
  }
  CCDL_DEVICE int64_t active() const { return most(rows, rows_before); }

  CCDL_DEVICE void load(const RnnBackwardLaunch<T>& p, int64_t b, int u) {
    if (b < rows) item.load(p.data, offset + b, p.rows.before(t, b), b, u);
  }
  // True: da was made.
  CCDL_DEVICE bool run(const RnnBackwardLaunch<T>& p, float product, float& state, int64_t b, int u,
                       T (&da)[G]) {
    const int64_t at = b * p.hidden + u;
    float dh = product;
    if (b >= rows_before) {  // the last step of this sequence
      dh = value_or_zero(p.dhn, at);
      state = value_or_zero(p.dcn, at);
    } else if (kCell == RnnCell::Gru) {
      dh += state;
    }
    if (b < rows) {
      item.run(p.data, dh, state, offset + b, b, u, da);
      return true;
    }
    if (b < rows_before) {
      if (p.dh0 != nullptr) p.dh0[at] = convert<T>(dh);
      if (kCell == RnnCell::Lstm && p.dc0 != nullptr) p.dc0[at] = convert<T>(state);
    }
    return false;
  }
};

template <class T, RnnCell kCell>
__global__ void __launch_bounds__(kTeamThreads, 1) rnn_block_backward_kernel(const RnnBackwardLaunch<T> p) {
  constexpr int NB = kBlockBatch<T>, G = kRnnGates<kCell>;
  using Team = RnnTeam<T, NB, 1>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int per_gate = gate_depth<T>(p.hidden), depth = G * per_gate / kRnnDepth<T>;
  const int weights = depth * Team::kWeightStep, image = depth * Team::kStateStep;
  T* w = dyn_smem<T>();
  T* images = w + p.groups * weights;                            // [2][image]
  float* states = reinterpret_cast<float*>(images + 2 * image);  // [group][j][lane]
  const int64_t b0 = static_cast<int64_t>(blockIdx.x) * NB;
  for (int g = 0; g < p.groups; ++g)
    load_backward_weights<Team, G>(p.w_hh, p.hidden, g * kUnits, w + g * weights);
  for (int e = static_cast<int>(threadIdx.x); e < 2 * image; e += kTeamThreads) images[e] = convert<T>(0.0f);
  for (int g = warp; g < p.groups; g += kTeamWarps)
#pragma unroll
    for (int j = 0; j < Team::kB; ++j) states[(g * Team::kB + j) * kWarp + lane] = 0;
  for (int64_t i = 0; i <= p.rows.steps; ++i) {
    __syncthreads();  // the previous step's gradients are complete
    const RnnBackwardVisit<T, kCell> step(p.rows, i);
    if (b0 >= step.active()) continue;
    const T* from = images + (i & 1) * image;
    T* to = images + (1 - (i & 1)) * image;
    for (int group = warp; group < p.groups; group += kTeamWarps) {
      const int u = group * kUnits + Team::lane_unit(lane);
      RnnBackwardVisit<T, kCell> visit[Team::kB];
#pragma unroll
      for (int j = 0; j < Team::kB; ++j) {
        visit[j] = step;
        if (u < p.hidden) visit[j].load(p, b0 + Team::lane_sequence(lane, j), u);
      }
      typename Team::Sums sums;
      Team::clear(sums);
      team_multiply<Team>(w + group * weights, from, 0, depth, lane, sums);
#pragma unroll
      for (int j = 0; j < Team::kB; ++j) {
        const int slot = Team::lane_sequence(lane, j);
        T da[G];
        if (u >= p.hidden || b0 + slot >= step.active() ||
            !visit[j].run(p, sums.get(j, 0), states[(group * Team::kB + j) * kWarp + lane], b0 + slot, u, da))
          continue;
#pragma unroll
        for (int g = 0; g < G; ++g) to[Team::state_at(g * per_gate + u, slot)] = da[g];
      }
    }
  }
}

template <class T, RnnCell kCell, int NB>
__global__ void __launch_bounds__(kTeamThreads, 2) rnn_grid_backward_kernel(const RnnBackwardLaunch<T> p) {
  constexpr int G = kRnnGates<kCell>;
  using Team = RnnTeam<T, NB, 1>;
  static_assert(Team::kB <= kTeamWarps);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int per_gate = gate_depth<T>(p.hidden), depth = G * per_gate / kRnnDepth<T>;
  const int u0 = static_cast<int>(blockIdx.x) * kUnits;
  const int64_t image = static_cast<int64_t>(depth) * Team::kStateStep, buffer = image * p.tiles;
  T* w = dyn_smem<T>();
  using Ring = TeamRing<Team, T, 1>;
  const Ring ring{w + depth * Team::kWeightStep};
  float* states = reinterpret_cast<float*>(ring.memory +
                                           kTeamWarps * Ring::kWarpElements);  // [tile of the slice][j][lane]
  GridSignal signal{p.counters + blockIdx.y * kCounterPitch, static_cast<unsigned>(p.groups), 0};
  const int u = u0 + Team::lane_unit(lane), slot = Team::lane_sequence(lane, warp % Team::kB);
  const bool pointwise = warp < Team::kB && u < p.hidden;  // this thread finishes (slot, u) of each tile
  load_backward_weights<Team, G>(p.w_hh, p.hidden, u0, w);
  if (pointwise)
    for (int tile = static_cast<int>(blockIdx.y), n = 0; tile < p.tiles; tile += p.slices, ++n)
      states[(n * Team::kB + warp) * kWarp + lane] = 0;
  __syncthreads();  // the weights are there
  for (int64_t i = 0; i <= p.rows.steps; ++i) {
    RnnBackwardVisit<T, kCell> visit(p.rows, i);
    bool waited = false;
    for (int tile = static_cast<int>(blockIdx.y), n = 0; tile < p.tiles; tile += p.slices, ++n) {
      const int64_t b = static_cast<int64_t>(tile) * NB + slot;
      const bool mine = pointwise && b < visit.active();
      if (mine) visit.load(p, b, u);  // on its way while the signal is awaited
      if (!waited) signal.wait();
      waited = true;
      if (static_cast<int64_t>(tile) * NB >= visit.active()) break;
      const T* from = p.images + (i & 1) * buffer + tile * image;
      typename Team::Sums sums;
      ring.multiply(w, from, warp * depth / kTeamWarps, (warp + 1) * depth / kTeamWarps, warp, lane, sums);
      ring.put(warp, lane, sums);
      __syncthreads();  // every warp's share is there
      if (mine) {
        float product[1];
        ring.total(warp, lane, product);
        T da[G];
        if (visit.run(p, product[0], states[(n * Team::kB + warp) * kWarp + lane], b, u, da)) {
          T* to = p.images + (1 - (i & 1)) * buffer + tile * image;
#pragma unroll
          for (int g = 0; g < G; ++g) to[Team::state_at(g * per_gate + u, slot)] = da[g];
        }
      }
      if (tile + p.slices < p.tiles) __syncthreads();  // the shares may be overwritten
    }
    signal.arrive();
  }
}

}  // namespace ccdl::cu
