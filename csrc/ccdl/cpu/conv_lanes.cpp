// A chunk holds a vector's worth of channels of a block of rows as vectors with the border around them:
// planes are transposed on the way in and out, channels_last is copied.
#include <ccdl/cpu/conv_lanes.h>
#include <ccdl/cpu/simd/conv_lanes.h>
#include <ccdl/cpu/simd/conv_roll.h>

#include <numeric>

namespace ccdl::cpu {
namespace {

constexpr int64_t kLaneBytes = 1 << 18;  // of a block's copy
constexpr int64_t kSets = 8;             // vectors of a pixel taken along where they follow each other

// Taps of one dim that reach positions phase + i * out of the result, at source positions i * in + shift.
struct LaneTaps {
  std::vector<int64_t> tap, shift;
};

struct LaneDim {
  int64_t in, out, size, source, least, reach;  // out: phases; reach: source positions of one i
  std::vector<LaneTaps> phase;
  LaneDim(int64_t to, int64_t from, int64_t taps, int64_t stride, int64_t padding, int64_t dilation,
          bool adjoint)
      : in(adjoint ? 1 : stride), out(adjoint ? stride : 1), size(to), source(from), least(0), reach(1) {
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int64_t p = 0; p < out; ++p) {
      phase.emplace_back();
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t at = adjoint ? p + padding - t * dilation : t * dilation - padding;
        if (at % out != 0) continue;
        phase.back().tap.push_back(t);
        phase.back().shift.push_back(at / out);
        low = std::min(low, at / out);
        high = std::max(high, at / out);
      }
    }
    if (low > high) return;
    least = low;
    reach = high - low + 1;
  }
  // The taps of a phase that read inside the source: (first, how many); their shifts are in order.
  std::pair<int64_t, int64_t> inside(const LaneTaps& taps, int64_t at) const {
    const auto n = static_cast<int64_t>(taps.shift.size());
    const auto outside = [&](int64_t t) {
      const int64_t from = at + taps.shift[static_cast<size_t>(t)];
      return from < 0 || from >= source;
    };
    int64_t first = 0, end = n;
    while (first < end && outside(first)) ++first;
    while (end > first && outside(end - 1)) --end;
    return {first, end - first};
  }
  int64_t count() const { return ceil_div(size, out); }
  int64_t rows(int64_t block) const { return (block - 1) * in + reach; }  // of the source
};

// The vectors of source rows [y0, y0 + rows) with their border, of channels [c, c + channels).
template <class T, class S>
struct Block {
  const View& v;
  int64_t lanes, pitch, least;
  bool last;  // channels innermost
  std::vector<int64_t> place;

  Block(const View& view, int64_t padded, int64_t first)
      : v(view),
        lanes(conv_kernels<T>().lanes),
        pitch(padded),
        least(first),
        last(conv_is_last(view, view)) {}
  // `taken`: how many channels from c on; set: elements between the vectors of two sets of them.
  ConvLaneMove<T, S> move(int64_t n, int64_t c, int64_t taken, int64_t y, int64_t rows, T* vectors,
                          int64_t set) const {
    const int64_t width = v.sizes[4], plane = v.sizes[3] * width, channels = v.sizes[1];
    S* at = v.ptr<S>() + n * channels * plane + (last ? y * width * channels + c : c * plane + y * width);
    return {at,
            last ? channels : 1,
            last ? 1 : plane,
            std::min(taken, channels - c),
            rows * width,
            vectors,
            place.data(),
            set};
  }
  void place_rows(int64_t rows) {  // pixels one row after the other
    const int64_t width = v.sizes[4];
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t x = 0; x < width; ++x) place.push_back(i * pitch + x - least);
  }
  // Reads what lies inside the plane of the rows from y0 on.
  void load(int64_t n, int64_t c, int64_t taken, int64_t y0, int64_t rows, T* vectors) const {
    const int64_t lo = std::clamp<int64_t>(-y0, 0, rows), hi = std::clamp<int64_t>(v.sizes[3] - y0, lo, rows),
                  width = v.sizes[4], left = -least, right = pitch - width - left;
    const auto zero = [&](T* from, int64_t count) {
      if (count > 0) std::memset(from, 0, static_cast<size_t>(count * lanes) * sizeof(T));
    };
    const int64_t set = rows * pitch * lanes;
    for (T* at = vectors; at < vectors + ceil_div(taken, lanes) * set; at += set) {
      zero(at, lo * pitch);
      zero(at + hi * pitch * lanes, (rows - hi) * pitch);
      for (int64_t i = lo; i < hi; ++i) {
        zero(at + i * pitch * lanes, left);
        zero(at + (i * pitch + left + width) * lanes, right);
      }
    }
    if (hi > lo) conv_gather_lanes(move(n, c, taken, y0 + lo, hi - lo, vectors + lo * pitch * lanes, set));
  }
};

// Wide enough for the border and for what no tap reads.
int64_t pitch_of(const LaneDim& d, int64_t* left) {
  *left = std::min<int64_t>(d.least, 0);
  return std::max((d.count() - 1) * d.in + d.least + d.reach, d.source) - *left;
}

// w [channels, 1, 1, h, w] as [group of lanes][tap][lane].
template <class T>
void turn_weights(const View& w, int64_t lanes, T* out) {
  const int64_t channels = w.sizes[0], taps = w.sizes[3] * w.sizes[4];
  if (w.strides[4] == 1 && w.strides[3] == w.sizes[4]) {  // planes of taps
    std::vector<int64_t> place(static_cast<size_t>(taps));
    std::iota(place.begin(), place.end(), 0);
    for (int64_t c = 0; c < channels; c += lanes, out += taps * lanes)
      conv_lane_kernels<T>().gather({w.ptr<T>() + c * w.strides[0], 1, w.strides[0],
                                     std::min(lanes, channels - c), taps, out, place.data(), 0});
    return;
  }
  std::fill_n(out, ceil_div(channels, lanes) * taps * lanes, T(0));
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t)
      out[(c / lanes * taps + t) * lanes + c % lanes] =
          w.ptr<T>()[c * w.strides[0] + t / w.sizes[4] * w.strides[3] + t % w.sizes[4] * w.strides[4]];
}

int64_t block_rows(const LaneDim& high, int64_t pitch, int64_t vector_bytes) {
  const int64_t most = kLaneBytes / (pitch * vector_bytes),
                block = std::clamp<int64_t>((most - high.reach) / high.in + 1, 1, high.count());
  return ceil_div(high.count(), ceil_div(high.count(), block));
}

// Result rows [i0, i0 + live) of a set whose taps along a row follow each other.
template <class T>
void roll_rows(const View& w, const LaneDim& high, const LaneDim& wide, int64_t pitch, int64_t left,
               int64_t lanes, int64_t i0, int64_t live, const T* source, const T* weights, const T* bias,
               bool relu, T* result, int64_t width, bool adjoint) {
  const int64_t taps = w.sizes[4];
  std::vector<ConvTap> lines;
  for (int64_t y = 0; y < live; ++y) {
    const LaneTaps& phase = high.phase[static_cast<size_t>(y % high.out)];
    const auto [first, count] = high.inside(phase, (i0 + y / high.out) * high.in);
    lines.clear();
    for (int64_t i = first; i < first + count; ++i)
      lines.push_back({(phase.shift[static_cast<size_t>(i)] - high.least) * pitch * lanes,
                       (phase.tap[static_cast<size_t>(i)] * taps + (adjoint ? taps - 1 : 0)) * lanes});
    conv_roll(ConvRoll<T>{taps, wide.in, lines.data(), count,
                          source + (y / high.out * high.in * pitch + wide.least - left) * lanes, lanes,
                          -wide.least, wide.source - wide.least, weights, adjoint ? -lanes : lanes, 0, bias,
                          relu, result + y * width * lanes, lanes, width, lanes, nullptr, 0});
  }
}

}  // namespace

template <class T>
bool conv_fits_lanes(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  const int64_t lanes = conv_kernels<T>().lanes, channels = x.sizes[1];
  return g.groups == channels && w.sizes[0] == channels && w.sizes[1] == 1 && x.sizes[2] == 1 &&
         y.sizes[2] == 1 && w.sizes[2] == 1 && g.padding[0] == 0 && channels >= lanes / 2 &&
         plane_size(w) > 1 && x.numel() > 0 && y.numel() > 0 && g.padding[1] <= 64 && g.padding[2] <= 64 &&
         g.dilation[1] * w.sizes[3] <= 128 && g.dilation[2] * w.sizes[4] <= 128 && x.sizes[4] <= 1024;
}

template <class T, class S>
void conv_lanes_sweep(const View& src, const View& w, const View& dst, const T* bias, bool relu,
                      const ConvGeometry& g, bool adjoint) {
  const auto& kernels = conv_lane_kernels<T>();
  const int64_t lanes = conv_kernels<T>().lanes, channels = w.sizes[0], taps = w.sizes[3] * w.sizes[4],
                sets = ceil_div(channels, lanes);
  const LaneDim high(dst.sizes[3], src.sizes[3], w.sizes[3], g.stride[1], g.padding[1], g.dilation[1],
                     adjoint),
      wide(dst.sizes[4], src.sizes[4], w.sizes[4], g.stride[2], g.padding[2], g.dilation[2], adjoint);
  int64_t left;
  const int64_t along = conv_is_last(src, dst) ? std::min(sets, kSets) : 1, spans = ceil_div(sets, along),
                pitch = pitch_of(wide, &left), width = dst.sizes[4],
                block = block_rows(high, pitch, along * lanes * static_cast<int64_t>(sizeof(T))),
                blocks = ceil_div(high.count(), block), rows = high.rows(block);
  Buffer<T> weights(sets * taps * lanes), biases(sets * lanes);
  turn_weights(w, lanes, weights.get());
  std::fill_n(biases.get(), sets * lanes, T(0));
  if (bias != nullptr) std::copy_n(bias, channels, biases.get());
  Block<T, S> in(src, pitch, left), out(dst, width, 0);
  in.place_rows(rows);
  out.place_rows(block * high.out);
  struct Phase {
    const LaneTaps& high;
    int64_t wide;  // taps of a row
    std::vector<int64_t> offset, tap;
  };
  std::vector<Phase> phases;
  for (const LaneTaps& h : high.phase)
    for (const LaneTaps& x : wide.phase) {
      phases.push_back({h, static_cast<int64_t>(x.tap.size()), {}, {}});
      for (size_t i = 0; i < h.tap.size(); ++i)
        for (size_t j = 0; j < x.tap.size(); ++j) {
          phases.back().offset.push_back((h.shift[i] - high.least) * pitch + x.shift[j] - left);
          phases.back().tap.push_back(h.tap[i] * w.sizes[4] + x.tap[j]);
        }
    }
  const int64_t work =
      std::max<int64_t>(1, block * high.out * width * (taps / (high.out * wide.out) + 8) * lanes * along);
  const int64_t in_set = rows * pitch * lanes, out_set = block * high.out * width * lanes;
  const bool rolls = sizeof(T) == 4 && wide.out == 1 && conv_rolls(w.sizes[4], wide.in, g.dilation[2], width);
  const auto set_rows = [&](int64_t set, int64_t i0, int64_t live, const T* source, T* result) {
    if constexpr (sizeof(T) == 4)
      if (rolls)
        return roll_rows<T>(w, high, wide, pitch, left, lanes, i0, live, source, weights + set * taps * lanes,
                            bias != nullptr ? biases + set * lanes : nullptr, relu, result, width, adjoint);
    for (int64_t y = 0; y < live; ++y)
      for (int64_t p = 0; p < std::min(wide.out, width); ++p) {
        const Phase& phase = phases[static_cast<size_t>(y % high.out * wide.out + p)];
        const auto [first, count] = high.inside(phase.high, (i0 + y / high.out) * high.in);
        kernels.sum({source + y / high.out * high.in * pitch * lanes, wide.in,
                     phase.offset.data() + first * phase.wide, phase.tap.data() + first * phase.wide,
                     count * phase.wide, weights + set * taps * lanes,
                     bias != nullptr ? biases + set * lanes : nullptr, relu, result + (y * width + p) * lanes,
                     wide.out, ceil_div(width - p, wide.out)});
      }
  };
  parallel_for(
      dst.sizes[0] * spans * blocks, std::max<int64_t>(1, kConvChunkWork / 4 / work),
      [&](int64_t at, int64_t end) {
        Buffer<T> source(along * in_set), result(along * out_set);
        for (; at < end; ++at) {
          const int64_t i0 = at % blocks * block, first = at / blocks % spans * along,
                        n = at / blocks / spans, count = std::min(along, sets - first),
                        live = std::min(block * high.out, dst.sizes[3] - i0 * high.out);
          in.load(n, first * lanes, count * lanes, i0 * high.in + high.least, rows, source);
          for (int64_t s = 0; s < count; ++s)
            set_rows(first + s, i0, live, source + s * in_set, result + s * out_set);
          conv_scatter_lanes(out.move(n, first * lanes, count * lanes, i0 * high.out, live, result, out_set));
        }
      });
}

template <class T, class S>
void conv_lanes_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  const auto& kernels = conv_lane_kernels<T>();
  const int64_t lanes = conv_kernels<T>().lanes, channels = dw.sizes[0], taps = dw.sizes[3] * dw.sizes[4],
                sets = ceil_div(channels, lanes), batch = x.sizes[0];
  const LaneDim high(dy.sizes[3], x.sizes[3], dw.sizes[3], g.stride[1], g.padding[1], g.dilation[1], false),
      wide(dy.sizes[4], x.sizes[4], dw.sizes[4], g.stride[2], g.padding[2], g.dilation[2], false);
  int64_t left;
  const int64_t along = conv_is_last(x, dy) ? std::min(sets, kSets) : 1, spans = ceil_div(sets, along),
                pitch = pitch_of(wide, &left), width = dy.sizes[4],
                block = block_rows(high, pitch, along * lanes * static_cast<int64_t>(sizeof(T))),
                rows = high.rows(block);
  Block<T, S> source(x, pitch, left), other(dy, width, 0);
  source.place_rows(rows);
  other.place_rows(block);
  std::vector<int64_t> offset;
  for (const int64_t h : high.phase[0].shift)
    for (const int64_t s : wide.phase[0].shift) offset.push_back((h - high.least) * pitch + s - left);
  const int64_t work = std::max<int64_t>(1, dy.sizes[3] * width * (taps + 8) * lanes * along),
                parts = std::clamp<int64_t>(ceil_div(batch * work, kConvChunkWork / 2), 1,
                                            std::min<int64_t>(batch, std::max<int64_t>(1, 32 / spans)));
  const int64_t size = taps * lanes, x_set = rows * pitch * lanes, dy_set = block * width * lanes;
  Buffer<T> sums(parts * sets * size);
  parallel_for(parts * spans, std::max<int64_t>(1, kConvChunkWork / 4 / (work * ceil_div(batch, parts))),
               [&](int64_t at, int64_t end) {
                 Buffer<T> from(along * x_set), d(along * dy_set);
                 for (; at < end; ++at) {
                   const int64_t part = at / spans, first = at % spans * along,
                                 count = std::min(along, sets - first);
                   T* out = sums + (part * sets + first) * size;
                   std::fill_n(out, count * size, T(0));
                   for (int64_t n = batch * part / parts; n < batch * (part + 1) / parts; ++n)
                     for (int64_t y0 = 0; y0 < high.size; y0 += block) {
                       const int64_t live = std::min(block, high.size - y0);
                       source.load(n, first * lanes, count * lanes, y0 * high.in + high.least, rows, from);
                       other.load(n, first * lanes, count * lanes, y0, block, d);
                       for (int64_t s = 0; s < count; ++s)
                         kernels.products({from + s * x_set, high.in * pitch, wide.in, offset.data(), taps,
                                           d + s * dy_set, width, live, width, out + s * size});
                     }
                 }
               });
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t) {
      T v = T(0);
      for (int64_t p = 0; p < parts; ++p) v += sums[(p * sets + c / lanes) * size + t * lanes + c % lanes];
      dw.ptr<T>()[c * dw.strides[0] + t / dw.sizes[4] * dw.strides[3] + t % dw.sizes[4] * dw.strides[4]] = v;
    }
}

#define CCDL_CONV_LANES(T, S)                                                                 \
  template void conv_lanes_sweep<T, S>(const View&, const View&, const View&, const T*, bool, \
                                       const ConvGeometry&, bool);                            \
  template void conv_lanes_backward_weight<T, S>(const View&, const View&, const View&, const ConvGeometry&);
template bool conv_fits_lanes<float>(const View&, const View&, const View&, const ConvGeometry&);
template bool conv_fits_lanes<double>(const View&, const View&, const View&, const ConvGeometry&);
CCDL_CONV_LANES(float, float)
CCDL_CONV_LANES(double, double)
CCDL_CONV_LANES(float, float16)
CCDL_CONV_LANES(float, bfloat16)
#undef CCDL_CONV_LANES

}  // namespace ccdl::cpu
