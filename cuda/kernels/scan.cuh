// Scan along one dimension of strided views by a policy. Tile kernel: a block walks a line (or a chunk of it)
// in tiles of four neighbours per thread. Line kernel: a thread per line or chunk, for lines that lie side by
// side in memory or are short. Long lines: totals of the chunks, scan of the totals, then the scan itself,
// all in a fixed order. Bound: bytes read and written once, x once more when chunked.
#pragma once
#include <kernels/row_bricks.cuh>

namespace ccdl::cu {

constexpr int kScanThreads = 256, kScanQuad = 4;

struct ScanShape {
  Walk<4> lines;
  int64_t steps[4];  // stride along the scanned dimension
  int64_t n, chunk, chunks;
  bool reverse;
  bool quad;      // four neighbours of view 0 and 1 are one aligned access
  bool per_line;  // line kernel
  int threads;
};

// One line: offsets of the views, and its number.
struct ScanLine {
  int64_t at[4];
  int64_t number;
};

// Policy interface: Acc (whole 8-byte words); empty(), join(earlier, later);
//   load(shape, line, i), store(shape, line, i, Acc) at element i of the line; kQuads: load4, store4.
// The block's exclusive prefix of v, and the total of all.
template <class P>
CCDL_DEVICE typename P::Acc block_prefix(const P& policy, typename P::Acc v, typename P::Acc* total) {
  using Acc = typename P::Acc;
  CCDL_SHARED(Acc, sums, [kWarp]);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const Acc other = shuffle_up(v, offset);
    if (lane >= offset) v = policy.join(other, v);
  }
  if (lane == kWarp - 1) sums[warp] = v;
  const Acc before = shuffle_up(v, 1);
  Acc prefix = lane == 0 ? policy.empty() : before;
  __syncthreads();  // every warp's total is there
  Acc all = policy.empty(), mine = policy.empty();
  for (int w = 0; w < warps; ++w) {
    if (w == warp) mine = all;
    all = policy.join(all, sums[w]);
  }
  __syncthreads();  // sums may be overwritten
  *total = all;
  return policy.join(mine, prefix);
}

template <class P>
__global__ void __launch_bounds__(kScanThreads)
    scan_tiles_kernel(ScanShape s, P policy, typename P::Acc* totals, bool totals_only) {
  using Acc = typename P::Acc;
  ScanLine line;
  line.number = blockIdx.x / s.chunks;
  const int64_t chunk = blockIdx.x - line.number * s.chunks;
  s.lines.offsets(line.number, line.at);
  const int64_t begin = chunk * s.chunk, end = least(s.n, begin + s.chunk);
  Acc carry = totals_only || s.chunks == 1 ? policy.empty() : totals[blockIdx.x];
  for (int64_t tile = begin; tile < end; tile += static_cast<int64_t>(blockDim.x) * kScanQuad) {
    const int64_t k = tile + static_cast<int64_t>(threadIdx.x) * kScanQuad;
    const int64_t first = s.reverse ? s.n - 1 - k : k, step = s.reverse ? -1 : 1;
    const bool whole = k + kScanQuad <= end;
    Acc v[kScanQuad];
    bool quad = false;
    if constexpr (P::kQuads) quad = s.quad && whole;
    if (quad) {
      if constexpr (P::kQuads) policy.load4(s, line, s.reverse ? first - 3 : first, v);
    } else {
#pragma unroll
      for (int j = 0; j < kScanQuad; ++j)
        v[j] = k + j < end ? policy.load(s, line, first + j * step) : policy.empty();
    }
#pragma unroll
    for (int j = 1; j < kScanQuad; ++j) v[j] = policy.join(v[j - 1], v[j]);
    Acc total;
    const Acc prefix = policy.join(carry, block_prefix(policy, v[kScanQuad - 1], &total));
    carry = policy.join(carry, total);
    if (totals_only) continue;
#pragma unroll
    for (int j = 0; j < kScanQuad; ++j) v[j] = policy.join(prefix, v[j]);
    if (quad) {
      if constexpr (P::kQuads) policy.store4(s, line, s.reverse ? first - 3 : first, v);
    } else {
#pragma unroll
      for (int j = 0; j < kScanQuad; ++j)
        if (k + j < end) policy.store(s, line, first + j * step, v[j]);
    }
  }
  if (totals_only && threadIdx.x == 0) totals[blockIdx.x] = carry;
}

template <class P>
__global__ void __launch_bounds__(kScanThreads)
    scan_lines_kernel(ScanShape s, P policy, typename P::Acc* totals, bool totals_only) {
  using Acc = typename P::Acc;
  const int64_t unit = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (unit >= s.lines.numel * s.chunks) return;
  ScanLine line;
  const int64_t chunk = s.chunks == 1 ? 0 : unit / s.lines.numel;  // neighbouring threads: neighbouring lines
  line.number = unit - chunk * s.lines.numel;
  s.lines.offsets(line.number, line.at);
  const int64_t slot = line.number * s.chunks + chunk;
  const int64_t begin = chunk * s.chunk, end = least(s.n, begin + s.chunk);
  const int64_t step = s.reverse ? -1 : 1;
  Acc carry = totals_only || s.chunks == 1 ? policy.empty() : totals[slot];
  for (int64_t k = begin; k < end; k += kScanQuad) {
    const int64_t first = s.reverse ? s.n - 1 - k : k;
    Acc v[kScanQuad];
#pragma unroll
    for (int j = 0; j < kScanQuad; ++j)
      v[j] = k + j < end ? policy.load(s, line, first + j * step) : policy.empty();
#pragma unroll
    for (int j = 0; j < kScanQuad; ++j) {
      carry = policy.join(carry, v[j]);
      if (!totals_only && k + j < end) policy.store(s, line, first + j * step, carry);
    }
  }
  if (totals_only) totals[slot] = carry;
}

// In place: the totals of a line's chunks become what comes before each chunk. One block per line.
template <class P>
__global__ void __launch_bounds__(kScanThreads)
    scan_totals_kernel(P policy, typename P::Acc* totals, int64_t chunks) {
  using Acc = typename P::Acc;
  totals += static_cast<int64_t>(blockIdx.x) * chunks;
  Acc carry = policy.empty();
  for (int64_t base = 0; base < chunks; base += blockDim.x) {
    const int64_t i = base + threadIdx.x;
    Acc total;
    const Acc before = block_prefix(policy, i < chunks ? totals[i] : policy.empty(), &total);
    if (i < chunks) totals[i] = policy.join(carry, before);
    carry = policy.join(carry, total);
  }
}

// The lines of views along dim and how they are cut; absent views repeat view 0. quad_bytes: alignment of
// four elements, for views 0 and 1.
ScanShape plan_scan(const View* const (&views)[4], int dim, bool reverse, int64_t quad_bytes);

template <class P>
void run_scan(const View* const (&views)[4], int dim, bool reverse, const P& policy, int64_t quad_bytes = 0) {
  using Acc = typename P::Acc;
  const ScanShape s = plan_scan(views, dim, reverse, quad_bytes);
  const int64_t units = s.lines.numel * s.chunks;
  if (units == 0 || s.n == 0) return;
  LaunchConfig c;
  c.grid = dim3(static_cast<unsigned>(s.per_line ? ceil_div<int64_t>(units, s.threads) : units));
  c.block = dim3(static_cast<unsigned>(s.threads));
  const Scratch totals(s.chunks > 1 ? units * static_cast<int64_t>(sizeof(Acc)) : 0);
  const auto pass = [&](bool totals_only) {
    if (s.per_line)
      CCDL_LAUNCH(c, scan_lines_kernel<P>, s, policy, totals.template ptr<Acc>(), totals_only);
    else
      CCDL_LAUNCH(c, scan_tiles_kernel<P>, s, policy, totals.template ptr<Acc>(), totals_only);
  };
  if (s.chunks > 1) {
    pass(true);
    LaunchConfig t;
    t.grid = dim3(static_cast<unsigned>(s.lines.numel));
    t.block = dim3(static_cast<unsigned>(most(kWarp, pow2_at_least(s.chunks, kScanThreads))));
    CCDL_LAUNCH(t, scan_totals_kernel<P>, policy, totals.template ptr<Acc>(), s.chunks);
  }
  pass(false);
}

CCDL_DEVICE int64_t scan_offset(const ScanShape& s, const ScanLine& line, int view, int64_t i) {
  return line.at[view] + i * s.steps[view];
}

}  // namespace ccdl::cu
