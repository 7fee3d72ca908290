// The recurrent product of the persistent kernels: one warp multiplies S rows (gates) of each of 8 units with
// the states of NB sequences over a range of k. Both operands lie as images, in the order in which lanes take
// them: one conflict-free read of each from shared memory per step of k. A lane ends up with all S sums of
// one unit for NB / 4 sequences: lane_unit, lane_sequence.
//   float     k one by one; weights [k][unit][S], states [k][NB]; fp32 multiply-adds
//   half      k by 16; mma.sync fragments: weights [k / 16][S][lane][4], states [k / 16][lane][NB / 2]
#pragma once
#include <device/ptx_mma.cuh>
#include <device/ptx_sync.cuh>
#include <device/vec.cuh>
#include <kernels/rnn/problem.cuh>

namespace ccdl::cu {

constexpr int kTeamWarps = 8, kTeamThreads = kTeamWarps * kWarp;

template <class T, int NB, int S>
struct RnnTeam;

template <int NB, int S>
struct RnnTeam<float, NB, S> {
  static constexpr int kB = NB / 4, kUnroll = 8, kSlots = S == 3 ? 4 : S;
  static constexpr int kWeightStep = kUnits * kSlots, kStateStep = NB;  // elements per step of k
  static constexpr int kStateLane = kB;
  using State = Vec<float, kB>;
  struct Sums {
    float v[kB][S];
    CCDL_DEVICE float get(int j, int s) const { return v[j][s]; }
  };

  CCDL_HD static int64_t depth(int64_t k) { return k; }
  CCDL_DEVICE static int lane_unit(int lane) { return lane % 8; }
  CCDL_DEVICE static int lane_sequence(int lane, int j) { return lane / 8 * kB + j; }
  CCDL_DEVICE static int weight_at(int k, int s, int u) { return (k * kUnits + u) * kSlots + s; }
  CCDL_DEVICE static int64_t state_at(int64_t k, int b) { return k * NB + b; }
  CCDL_DEVICE static int state_lane(int lane) { return lane / 8 * kB; }

  CCDL_DEVICE static void clear(Sums& sums) {
#pragma unroll
    for (int j = 0; j < kB; ++j)
#pragma unroll
      for (int s = 0; s < S; ++s) sums.v[j][s] = 0;
  }
  CCDL_DEVICE static void add(Sums& sums, const float* weights, int lane, const State& x) {
    const Vec<float, kSlots> w = load_vec<float, kSlots>(weights + lane % 8 * kSlots);
#pragma unroll
    for (int j = 0; j < kB; ++j)
#pragma unroll
      for (int s = 0; s < S; ++s) sums.v[j][s] = fmaf(w[s], x[j], sums.v[j][s]);
  }
};

template <class T, int NB, int S>
requires kIsHalf<T>
struct RnnTeam<T, NB, S> {
  static constexpr int kB = NB / 4, kUnroll = 4, kSlots = S, kTiles = NB / 8;
  static constexpr int kWeightStep = S * 128, kStateStep = NB * 16;
  static constexpr int kStateLane = NB / 2;
  using State = Vec<T, NB / 2>;
  struct Sums {
    float v[(S + 1) / 2][kTiles][4];
    CCDL_DEVICE float get(int j, int s) const { return v[s / 2][j / 2][s % 2 * 2 + j % 2]; }
  };

  CCDL_HD static int64_t depth(int64_t k) { return (k + 15) / 16; }
  CCDL_DEVICE static int lane_unit(int lane) { return lane / 4; }
  CCDL_DEVICE static int lane_sequence(int lane, int j) { return j / 2 * 8 + lane % 4 * 2 + j % 2; }
  CCDL_DEVICE static int weight_at(int k, int s, int u) {
    return (k / 16 * S + s) * 128 + (u * 4 + k % 8 / 2) * 4 + k % 16 / 8 * 2 + k % 2;
  }
  CCDL_DEVICE static int64_t state_at(int64_t k, int b) {
    return k / 16 * kStateStep + (b % 8 * 4 + k % 8 / 2) * kStateLane + b / 8 * 4 + k % 16 / 8 * 2 + k % 2;
  }
  CCDL_DEVICE static int state_lane(int lane) { return lane * kStateLane; }

  CCDL_DEVICE static void clear(Sums& sums) {
#pragma unroll
    for (int m = 0; m < (S + 1) / 2; ++m)
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int r = 0; r < 4; ++r) sums.v[m][n][r] = 0;
  }
  // Slots 2m and 2m + 1 are the upper and lower 8 rows of one mma.
  CCDL_DEVICE static void add(Sums& sums, const T* weights, int lane, const State& x) {
    uint32_t b[kTiles][2];
    __builtin_memcpy(b, &x, sizeof x);
#pragma unroll
    for (int m = 0; m < (S + 1) / 2; ++m) {
      const Vec<uint32_t, 2> upper =
          load_vec<uint32_t, 2>(reinterpret_cast<const uint32_t*>(weights + m * 256 + lane * 4));
      Vec<uint32_t, 2> lower{{0, 0}};
      if (2 * m + 1 < S)
        lower = load_vec<uint32_t, 2>(reinterpret_cast<const uint32_t*>(weights + m * 256 + 128 + lane * 4));
      const uint32_t a[4] = {upper[0], lower[0], upper[1], lower[1]};
#pragma unroll
      for (int n = 0; n < kTiles; ++n) mma(sums.v[m][n], a, b[n], T());
    }
  }
};

// sums = over the steps of k [begin, end), states in shared memory; every lane of the warp calls.
template <class Team, class T>
CCDL_DEVICE void team_multiply(const T* weights, const T* states, int begin, int end, int lane,
                               typename Team::Sums& sums) {
  states += Team::state_lane(lane);
#pragma unroll Team::kUnroll
  for (int k = begin; k < end; ++k)
    Team::add(sums, weights + k * Team::kWeightStep, lane,
              load_vec<T, Team::kStateLane>(states + k * Team::kStateStep));
}

// Shared memory of a warp of the grid kernels: a ring of stages through which states come from L2 (past L1:
// other blocks wrote them during this launch), and afterwards the warp's sums, [j][lane][slot].
template <class Team, class T, int S>
struct TeamRing {
  static constexpr int kStages = 3, kStage = 2048 / static_cast<int>(sizeof(T));
  static constexpr int kWarpElements = kStages * kStage;
  static constexpr int kBytes = kTeamWarps * kWarpElements * static_cast<int>(sizeof(T));
  static constexpr int kPerStage = kStage / Team::kStateStep;  // steps of k
  static constexpr int kPad = S == 3 ? 4 : S;
  static_assert(Team::kB * kWarp * kPad * 4 <= kWarpElements * static_cast<int>(sizeof(T)));
  T* memory;

  CCDL_DEVICE void fill(T* ring, int slot, const T* from, int stage, int elements, int lane) const {
    constexpr int kV = kLanes<T>;
#pragma unroll
    for (int i = 0; i < kStage / (kWarp * kV); ++i) {
      const int at = (i * kWarp + lane) * kV, source = stage * kStage + at;
      if (source < elements) cp_async<16>(ring + slot * kStage + at, from + source, 16);
    }
    cp_async_commit();
  }
  // As team_multiply, states in global memory. Ends with the warp past its ring.
  CCDL_DEVICE void multiply(const T* weights, const T* states, int begin, int end, int warp, int lane,
                            typename Team::Sums& sums) const {
    T* ring = memory + warp * kWarpElements;
    const T* from = states + static_cast<int64_t>(begin) * Team::kStateStep;
    const int steps = end - begin, elements = steps * Team::kStateStep;
    Team::clear(sums);
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) fill(ring, s, from, s, elements, lane);
    int slot = 0;
    for (int done = 0, stage = 0; done < steps; done += kPerStage, ++stage) {
      cp_async_wait<kStages - 2>();
      __syncwarp();  // the stage is there for all lanes, which are done with the one refilled next
      fill(ring, slot == 0 ? kStages - 1 : slot - 1, from, stage + kStages - 1, elements, lane);
      team_multiply<Team>(weights + (begin + done) * Team::kWeightStep, ring + slot * kStage, 0,
                          least(steps - done, kPerStage), lane, sums);
      slot = slot == kStages - 1 ? 0 : slot + 1;
    }
    cp_async_wait<0>();
    __syncwarp();  // no lane reads the ring any more
  }

  CCDL_DEVICE float* at(int warp, int j, int lane) const {
    return reinterpret_cast<float*>(memory + warp * kWarpElements) + (j * kWarp + lane) * kPad;
  }
  CCDL_DEVICE void put(int warp, int lane, const typename Team::Sums& sums) const {
#pragma unroll
    for (int j = 0; j < Team::kB; ++j) {
      Vec<float, kPad> v{};
#pragma unroll
      for (int s = 0; s < S; ++s) v[s] = sums.get(j, s);
      store_vec(at(warp, j, lane), v);
    }
  }
  // The total in the order of the warps.
  CCDL_DEVICE void total(int j, int lane, float (&sum)[S]) const {
#pragma unroll
    for (int w = 0; w < kTeamWarps; ++w) {
      const Vec<float, kPad> v = load_vec<float, kPad>(at(w, j, lane));
#pragma unroll
      for (int s = 0; s < S; ++s) sum[s] = w == 0 ? v[s] : sum[s] + v[s];
    }
  }
};

// The blocks of a slice, all resident, wait for each other once per step.
struct GridSignal {
  unsigned* counter;
  unsigned blocks, expected;

  // Everything that this block wrote before is published; its threads go on.
  CCDL_DEVICE void arrive() {
    __syncthreads();  // all threads have written
    if (threadIdx.x == 0) red_release(counter, 1u);
    expected += blocks;
  }
  // What all blocks wrote before their last arrive() may be read.
  CCDL_DEVICE void wait() const {
    if (threadIdx.x == 0) spin_until([&] { return load_acquire(counter) >= expected; });
    __syncthreads();  // behind the acquire
  }
};

}  // namespace ccdl::cu
