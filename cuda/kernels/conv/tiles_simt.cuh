// Tile policies that let the exact GEMM main loop run convolutions. Both operands index their memory by a sum
// of a row part, fixed per block, and a k part, read from a small shared table that one warp after the other
// fills a slab ahead; so any layout, stride and dilation costs an addition and bounds checks per element.
#pragma once
#include <kernels/conv/problem.cuh>
#include <kernels/gemm/mainloop_simt.cuh>

namespace ccdl::cu {

// Gathered element: base[spot.offset + entry.offset], zero where spot + entry leaves the source. The other
// operand reads at entry.other.
struct ConvSpot {
  int64_t offset;
  int at[3];
};
struct ConvEntry {
  int64_t offset, other;
  int at[3];
  int valid;
};
constexpr int kConvNowhere = -(1 << 30);  // plus any shift it stays negative

// Entries of slab k0 / Depth are at (k0 / Depth % 2) * Depth. fetch(k0) has Producer fill the next slab; the
// main loop's barrier lies between that and its first reader.
template <class T, int Rows, int Depth, int Threads, bool KFast, class Producer, class Problem>
struct GatherTile {
  static constexpr int kG = 16 / static_cast<int>(sizeof(T)), kPitch = Rows + kG;
  static constexpr int kPieces = Rows * Depth / Threads;
  static constexpr int kSpots = KFast ? kPieces : most(1, Rows / Threads);
  static_assert(kPieces * Threads == Rows * Depth && Depth <= kWarp);
  static_assert(KFast ? Threads % Depth == 0 : (Threads % Rows == 0 || Rows % Threads == 0));

  const T* base;
  ConvEntry* table;
  const Producer* producer;  // in shared memory
  const Problem* problem;
  ConvSpot spot[kSpots];
  T piece[kPieces];

  CCDL_DEVICE static int row_of(int s) {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (KFast) return thread / Depth + s * (Threads / Depth);
    return (Rows < Threads ? thread % Rows : thread) + s * Threads;
  }
  CCDL_DEVICE static int k_of(int p) {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (KFast) return thread % Depth;
    return Rows < Threads ? thread / Rows + p * (Threads / Rows) : p / kSpots;
  }
  CCDL_DEVICE void produce(int slab) const {
    constexpr int kWarps = Threads / kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    if (warp == slab % kWarps && lane < Depth)
      producer->fill(table[slab % 2 * Depth + lane], slab * Depth + lane, *problem);
  }
  CCDL_DEVICE void fetch(int k0) {
    produce(k0 / Depth + 1);
    const ConvEntry* slab = table + k0 / Depth % 2 * Depth;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const ConvSpot& s = spot[p % kSpots];
      const ConvEntry& e = slab[k_of(p)];
      bool inside = e.valid != 0;
#pragma unroll
      for (int d = 0; d < 3; ++d)
        inside =
            inside && static_cast<unsigned>(s.at[d] + e.at[d]) < static_cast<unsigned>(problem->dim[d].src);
      piece[p] = inside ? base[s.offset + e.offset] : T(0);
    }
  }
  CCDL_DEVICE void put(T* tile) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) tile[k_of(p) * kPitch + row_of(p % kSpots)] = piece[p];
  }
};

// The plain operand: base[row * stride + entry.other]; neighbouring threads run along k or along rows.
template <class T, int Rows, int Depth, int Threads>
struct LinearTile {
  static constexpr int kG = 16 / static_cast<int>(sizeof(T)), kPitch = Rows + kG;
  static constexpr int kPieces = Rows * Depth / Threads;
  static_assert(kPieces * Threads == Rows * Depth && Threads % Rows == 0 && Threads % Depth == 0);

  const T* base;
  int64_t row_stride;
  int rows;
  const ConvEntry* table;
  int row, row_step, k, k_step;  // of a thread's first element, and to its next ones
  T piece[kPieces];

  CCDL_DEVICE void along(bool k_fast) {
    const int thread = static_cast<int>(threadIdx.x);
    row = k_fast ? thread / Depth : thread % Rows;
    k = k_fast ? thread % Depth : thread / Rows;
    row_step = k_fast ? Threads / Depth : 0;
    k_step = k_fast ? 0 : Threads / Rows;
  }
  CCDL_DEVICE void fetch(int k0) {
    const ConvEntry* slab = table + k0 / Depth % 2 * Depth;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const ConvEntry& e = slab[k + p * k_step];
      const int r = row + p * row_step;
      piece[p] = e.valid != 0 && r < rows ? base[r * row_stride + e.other] : T(0);
    }
  }
  CCDL_DEVICE void put(T* tile) const {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) tile[(k + p * k_step) * kPitch + row + p * row_step] = piece[p];
  }
};

// ---- sweeps: rows are pixels, k is (channel, tap) ----

// Table entry of reduction index k (from `begin` of the whole sum on).
template <class T>
struct TapProducer {
  int begin, end, channels, taps, phase_taps[3], tap_step[3], w_first[3], w_step[3];
  bool channels_fast;

  // One dim at a time: the accumulators of the main loop leave few registers.
  CCDL_DEVICE void fill(ConvEntry& e, int k, const ConvSweep<T, T>& p) const {
    k += begin;
    e.valid = k < end;
    if (k >= end) return;
    const int divisor = channels_fast ? channels : taps, major = k / divisor, minor = k - major * divisor;
    const int channel = channels_fast ? minor : major;
    int tap = channels_fast ? major : minor;
    int64_t offset = channel * p.src_stride.channel, other = channel * p.w_channel;
#pragma unroll 1
    for (int d = 2; d >= 0; --d) {
      const int next = tap / phase_taps[d], t = tap - next * phase_taps[d], at = t * tap_step[d];
      tap = next;
      e.at[d] = at;
      offset += at * p.src_stride.dim[d];
      other += (w_first[d] + t * w_step[d]) * p.w_dim[d];
    }
    e.offset = offset;
    e.other = other;
  }
};

// Where the pixels of a phase lie: source spot, destination offset (-1 past the end). Pixels are counted from
// `start` on, an image below 2^31 pixels, so that 32 bits are enough.
struct PixelMap {
  int64_t image;     // of the first pixel
  int start, limit;  // its position in that image; how many pixels there are from it on
  int pixels[3], first[3], step[3], dst_first[3], dst_step[3];

  CCDL_DEVICE void begin_at(int64_t pixel, int64_t end) {
    const int64_t plane = int64_t{pixels[0]} * pixels[1] * pixels[2];
    image = pixel / most<int64_t>(plane, 1);
    start = static_cast<int>(pixel - image * plane);
    limit = static_cast<int>(least<int64_t>(most<int64_t>(end - pixel, 0), INT32_MAX));
  }
  CCDL_DEVICE bool decode(int i, int64_t& at_image, int (&at)[3]) const {
    if (i >= limit) return false;
    uint32_t rest = static_cast<uint32_t>(start) + static_cast<uint32_t>(i);
#pragma unroll
    for (int d = 2; d >= 0; --d) {
      const uint32_t next = rest / static_cast<uint32_t>(pixels[d]);
      at[d] = static_cast<int>(rest - next * static_cast<uint32_t>(pixels[d]));
      rest = next;
    }
    at_image = image + rest;
    return true;
  }
  CCDL_DEVICE ConvSpot spot(int i, const ConvStrides& src) const {
    ConvSpot s{0, {kConvNowhere, kConvNowhere, kConvNowhere}};
    int64_t at_image;
    int at[3];
    if (!decode(i, at_image, at)) return s;
    s.offset = at_image * src.batch;
    for (int d = 0; d < 3; ++d) {
      s.at[d] = at[d] * step[d] + first[d];
      s.offset += s.at[d] * src.dim[d];
    }
    return s;
  }
  CCDL_DEVICE int64_t target(int i, const ConvStrides& dst) const {
    int64_t at_image;
    int at[3];
    if (!decode(i, at_image, at)) return -1;
    int64_t offset = at_image * dst.batch;
    for (int d = 0; d < 3; ++d) offset += int64_t{dst_first[d] + at[d] * dst_step[d]} * dst.dim[d];
    return offset;
  }
};

// What a sweep's block works on: one tile of pixels and columns of one phase, group and split.
template <class T>
struct SweepPlace {
  PixelMap map;
  TapProducer<T> producer;
  int64_t group;
  int column0, split, depth;
  bool valid;
};
// Blocks: [split][phase][pixel tile][column tile], pixel tiles counted for the largest phase.
template <class T, class S>
CCDL_HD int64_t sweep_pixels(const ConvSweep<T, S>& p) {
  int64_t n = p.batch;
  for (int d = 0; d < 3; ++d)
    n *= p.adjoint ? (p.dim[d].dst + p.dim[d].stride - 1) / p.dim[d].stride : p.dim[d].dst;
  return n;
}
template <class T>
CCDL_DEVICE void sweep_place(const ConvSweep<T, T>& p, int tile_pixels, int tile_columns, int depth_step,
                             SweepPlace<T>& at) {
  unsigned rest = blockIdx.x;
  const unsigned column_tiles = static_cast<unsigned>(ceil_div(p.columns, tile_columns)),
                 pixel_tiles = static_cast<unsigned>(ceil_div<int64_t>(sweep_pixels(p), tile_pixels));
  at.column0 = static_cast<int>(rest % column_tiles) * tile_columns;
  rest /= column_tiles;
  const int64_t pixel0 = int64_t{rest % pixel_tiles} * tile_pixels;
  rest /= pixel_tiles;
  at.group = conv_group();
  int taps = 1;
  int64_t pixels = p.batch;
  for (int d = 2; d >= 0; --d) {
    const unsigned phases = p.adjoint ? static_cast<unsigned>(least(p.dim[d].stride, p.dim[d].dst)) : 1u;
    const ConvPhase phase = conv_phase(p.dim[d], p.adjoint, static_cast<int>(rest % phases));
    rest /= phases;
    taps *= phase.taps;
    pixels *= phase.pixels;
    at.map.pixels[d] = phase.pixels;
    at.map.first[d] = phase.first;
    at.map.step[d] = phase.step;
    at.map.dst_first[d] = phase.dst_first;
    at.map.dst_step[d] = phase.dst_step;
    at.producer.phase_taps[d] = phase.taps;
    at.producer.tap_step[d] = phase.tap_step;
    at.producer.w_first[d] = phase.w_first;
    at.producer.w_step[d] = phase.w_step;
  }
  at.split = static_cast<int>(rest);
  const int total = p.channels * taps, share = ceil_div(ceil_div(total, p.splits), depth_step) * depth_step;
  at.producer.begin = least(at.split * share, total);
  at.producer.end = least(total, at.producer.begin + share);
  at.producer.channels = p.channels;
  at.producer.taps = taps;
  at.producer.channels_fast = p.channels_fast;
  at.depth = at.producer.end - at.producer.begin;
  at.valid = at.group < p.groups && pixel0 < pixels;
  at.map.begin_at(pixel0, pixels);
}

// ---- weight products: rows are output channels, columns (channel, tap), k runs over pixels ----

template <class T>
struct PixelProducer {
  PixelMap map;
  CCDL_DEVICE void fill(ConvEntry& e, int k, const ConvWeight<T, T>& p) const {
    e.valid = k < map.limit;
    if (k >= map.limit) return;
    uint32_t rest = static_cast<uint32_t>(map.start) + static_cast<uint32_t>(k);
    int64_t offset = 0, other = 0;
#pragma unroll 1
    for (int d = 2; d >= 0; --d) {
      const uint32_t next = rest / static_cast<uint32_t>(map.pixels[d]);
      const int i = static_cast<int>(rest - next * static_cast<uint32_t>(map.pixels[d]));
      const int at = i * map.step[d] + map.first[d];
      rest = next;
      e.at[d] = at;
      offset += at * p.x_stride.dim[d];
      other += i * p.dy_stride.dim[d];
    }
    const int64_t image = map.image + rest;
    e.offset = offset + image * p.x_stride.batch;
    e.other = other + image * p.dy_stride.batch;
  }
};
template <class T>
CCDL_DEVICE void place_pixels(const ConvWeight<T, T>& p, int64_t split, PixelMap& map) {
  int64_t pixels = p.batch;
  for (int d = 0; d < 3; ++d) {
    pixels *= p.dim[d].dst;
    map.pixels[d] = p.dim[d].dst;
    map.first[d] = -p.dim[d].pad;
    map.step[d] = p.dim[d].stride;
    map.dst_first[d] = 0;
    map.dst_step[d] = 1;
  }
  const int64_t begin = least(split * p.split_depth, pixels);
  map.begin_at(begin, least(pixels, begin + p.split_depth));
}

}  // namespace ccdl::cu
