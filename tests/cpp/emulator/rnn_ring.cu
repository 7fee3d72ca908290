// The ring through which a warp of the recurrent grid kernels streams states, over more stages than it holds:
// layers of that size have more blocks than the emulated device keeps resident. Whole numbers, exact.
#include <kernels/rnn/team.cuh>

#include "cases.h"
#include "launch.h"

namespace {

template <class T, int NB, int S>
__global__ void ring_kernel(const T* weights, const T* states, float* out, int depth) {
  using Team = RnnTeam<T, NB, S>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const TeamRing<Team, T, S> ring{dyn_smem<T>()};
  for (int turn = 0; turn < 2; ++turn) {
    typename Team::Sums sums;
    ring.multiply(weights, states, warp * depth / kTeamWarps, (warp + 1) * depth / kTeamWarps, warp, lane,
                  sums);
    ring.put(warp, lane, sums);
    __syncthreads();
    if (warp < Team::kB) {
      float total[S];
      ring.total(warp, lane, total);
      for (int s = 0; s < S; ++s)
        out[(Team::lane_sequence(lane, warp) * kUnits + Team::lane_unit(lane)) * S + s] = total[s];
    }
    __syncthreads();
  }
}

template <class T, int NB, int S>
bool exact(int k) {
  using Team = RnnTeam<T, NB, S>;
  const auto depth = static_cast<int>(Team::depth(k));
  std::vector<T> weights(static_cast<size_t>(depth * Team::kWeightStep), T(0.0f));
  std::vector<T> states(static_cast<size_t>(depth * Team::kStateStep), T(0.0f));
  const auto weight = [](int i, int s, int u) { return static_cast<float>((i * 5 + s * 3 + u) % 7 - 3); };
  const auto state = [](int i, int b) { return static_cast<float>((i * 3 + b * 5) % 11 - 5); };
  for (int i = 0; i < k; ++i) {
    for (int u = 0; u < kUnits; ++u)
      for (int s = 0; s < S; ++s) weights[static_cast<size_t>(Team::weight_at(i, s, u))] = T(weight(i, s, u));
    for (int b = 0; b < NB; ++b) states[static_cast<size_t>(Team::state_at(i, b))] = T(state(i, b));
  }
  const Buffer<T> w(weights), x(states);
  const Buffer<float> out(static_cast<size_t>(NB * kUnits * S));
  Shape shape{.block = kTeamThreads};
  shape.smem = TeamRing<Team, T, S>::kBytes;
  EMU_LAUNCH(shape, "ring_kernel", (ring_kernel<T, NB, S>), w.p, x.p, out.p, depth);
  if (cudaDeviceSynchronize() != cudaSuccess) return false;
  const std::vector<float> got = out.read();
  for (int b = 0; b < NB; ++b)
    for (int u = 0; u < kUnits; ++u)
      for (int s = 0; s < S; ++s) {
        float sum = 0;
        for (int i = 0; i < k; ++i) sum += weight(i, s, u) * state(i, b);
        if (got[static_cast<size_t>((b * kUnits + u) * S + s)] != sum) return false;
      }
  return true;
}

}  // namespace

bool rnn_ring_is_exact() {
  using ccdl::bfloat16, ccdl::float16;
  bool good = exact<float, 16, 4>(1100) && exact<float, 16, 1>(5) && exact<float, 4, 3>(3 * 1024 + 1000);
  good = good && exact<float16, 16, 4>(2100) && exact<bfloat16, 8, 3>(2 * 2048 + 50);
  return good && exact<bfloat16, 16, 1>(1025);
}
