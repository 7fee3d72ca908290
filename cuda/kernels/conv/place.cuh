// What a block of a convolution works on, and the table through which its operands find their elements: the
// memory of both is indexed by a sum of a row part, fixed per block, and a k part; the k parts of a slab are
// computed by a few threads and read by all, so any layout, stride and dilation costs an addition and bounds
// checks per access.
#pragma once
#include <kernels/conv/problem.cuh>

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

// ---- sweeps: rows are pixels, k is (channel, tap) ----

// Table entry of reduction index k (from `begin` of the whole sum on).
struct TapProducer {
  int begin, end, channels, taps, phase_taps[3], tap_step[3], w_first[3], w_step[3];
  bool channels_fast;

  // One dim at a time: the accumulators of the main loop leave few registers.
  template <class T, class S>
  CCDL_DEVICE void fill(ConvEntry& e, int k, const ConvSweep<T, S>& p) const {
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
struct SweepPlace {
  PixelMap map;
  TapProducer producer;
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
template <class T, class S>
CCDL_DEVICE void sweep_place(const ConvSweep<T, S>& p, int tile_pixels, int tile_columns, int depth_step,
                             SweepPlace& at) {
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

struct PixelProducer {
  PixelMap map;
  template <class T, class S>
  CCDL_DEVICE void fill(ConvEntry& e, int k, const ConvWeight<T, S>& p) const {
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
template <class T, class S>
CCDL_DEVICE void place_pixels(const ConvWeight<T, S>& p, int64_t split, PixelMap& map) {
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

// Column j of dw: its shift in x, and its place in dw (-1 past the end).
template <class T, class S>
CCDL_DEVICE ConvSpot column_spot(const ConvWeight<T, S>& p, int j, int64_t& place) {
  ConvSpot s{0, {kConvNowhere, kConvNowhere, kConvNowhere}};
  const int taps = p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  place = -1;
  if (j >= p.channels * taps) return s;
  const int channel = p.channels_fast ? j % p.channels : j / taps;
  int tap = p.channels_fast ? j / p.channels : j % taps;
  s.offset = channel * p.x_stride.channel;
  place = channel * p.dw_channel;
  for (int d = 2; d >= 0; --d) {
    const int t = tap % p.dim[d].taps;
    tap /= p.dim[d].taps;
    s.at[d] = t * p.dim[d].dilation;
    s.offset += s.at[d] * p.x_stride.dim[d];
    place += t * p.dw_dim[d];
  }
  return s;
}

}  // namespace ccdl::cu
