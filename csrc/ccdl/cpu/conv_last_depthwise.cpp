// One channel per group, channels innermost, read where they lie: sums of the pixels' vectors over the taps,
// and products of rows for the weight gradient.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/conv_last_depthwise.h>
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/simd/conv_roll.h>

#include <array>

namespace ccdl::cpu {
namespace {

// w [channels, 1, taps] as [tap][channel].
template <class T>
void turn_taps(const View& w, T* out) {
  const int64_t channels = w.sizes[0];
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t d = 0, t = 0; d < w.sizes[2]; ++d)
      for (int64_t h = 0; h < w.sizes[3]; ++h)
        for (int64_t q = 0; q < w.sizes[4]; ++q, ++t)
          out[t * channels + c] =
              w.ptr<T>()[c * w.strides[0] + d * w.strides[2] + h * w.strides[3] + q * w.strides[4]];
}

// Per pixel of a dim: which taps read inside the source, and where. Pixel p of the forward direction reads
// p * stride + t * dilation - padding; of the adjoint, the positions that p is read by.
struct Reads {
  int64_t advance;                                           // of a source position from pixel to pixel
  std::vector<std::vector<std::pair<int64_t, int64_t>>> at;  // [pixel]: (tap, source position)
  Reads(int64_t pixels, int64_t source, int64_t taps, int64_t stride, int64_t padding, int64_t dilation,
        bool adjoint)
      : advance(adjoint ? 1 : stride), at(static_cast<size_t>(pixels)) {
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t t = 0; t < taps; ++t) {
        int64_t s = adjoint ? p + padding - t * dilation : p * stride + t * dilation - padding;
        if (adjoint && (s < 0 || s % stride != 0)) continue;
        if (adjoint) s /= stride;
        if (s >= 0 && s < source) at[static_cast<size_t>(p)].emplace_back(t, s);
      }
  }
  // Pixels p, p + by, ... that read through the same taps, each `advance` further.
  int64_t same(int64_t p, int64_t by) const {
    const auto& first = at[static_cast<size_t>(p)];
    int64_t n = 1;
    for (; p + n * by < static_cast<int64_t>(at.size()); ++n) {
      const auto& other = at[static_cast<size_t>(p + n * by)];
      bool equal = other.size() == first.size();
      for (size_t t = 0; t < first.size() && equal; ++t)
        equal = other[t].first == first[t].first && other[t].second == first[t].second + n * advance;
      if (!equal) break;
    }
    return n;
  }
};

// The pixels of a row that read inside the source through a tap.
struct Span {
  int64_t begin, end;
  Span(int64_t pixels, int64_t source, int64_t step, int64_t shift)
      : begin(shift >= 0 ? 0 : ceil_div(-shift, step)),
        end(source > shift ? std::min(pixels, (source - 1 - shift) / step + 1) : 0) {}
};

// Tap t of w in every dim.
std::array<int64_t, 3> tap_at(const View& w, int64_t t) {
  return {t / (w.sizes[4] * w.sizes[3]), t / w.sizes[4] % w.sizes[3], t % w.sizes[4]};
}

}  // namespace

template <class S>
bool conv_last_depthwise_roll(const View& src, const View& w, const View& dst, const float* bias, bool relu,
                              const ConvGeometry& g, bool adjoint) {
  const int64_t channels = w.sizes[0], lanes = simd_conv_roll().lanes, taps = w.sizes[4],
                width = dst.sizes[4];
  if (channels < lanes || !conv_rolls(taps, g.stride[2], g.dilation[2], width) ||
      (adjoint && g.stride[2] > 1))
    return false;
  const int64_t sets = ceil_div(channels, lanes), size = plane_size(w) * lanes;
  Buffer<float> weights(sets * size);  // [set][tap][lane]
  for (int64_t i = 0; i < sets; ++i)
    for (int64_t t = 0; t < plane_size(w); ++t) {
      const auto [td, th, tw] = tap_at(w, t);
      const float* from = w.ptr<float>() + std::min(i * lanes, channels - lanes) * w.strides[0] +
                          td * w.strides[2] + th * w.strides[3] + tw * w.strides[4];
      for (int64_t l = 0; l < lanes; ++l) weights[i * size + t * lanes + l] = from[l * w.strides[0]];
    }
  const Reads depth(dst.sizes[2], src.sizes[2], w.sizes[2], g.stride[0], g.padding[0], g.dilation[0],
                    adjoint),
      height(dst.sizes[3], src.sizes[3], w.sizes[3], g.stride[1], g.padding[1], g.dilation[1], adjoint);
  // Taps in the order of the pixels they read; first: the one that pixel 0 reads first.
  const int64_t first = adjoint ? g.padding[2] - (taps - 1) : -g.padding[2], row = src.sizes[4] * channels,
                all = src.numel(), rows = dst.sizes[2] * dst.sizes[3],
                work = std::max<int64_t>(1, width * channels * plane_size(w));
  parallel_for(
      dst.sizes[0] * rows, std::max<int64_t>(1, (kConvChunkWork / 4) / work), [&](int64_t r, int64_t end) {
        std::vector<ConvTap> lines;
        for (; r < end; ++r) {
          const int64_t n = r / rows, d = r % rows / dst.sizes[3], h = r % dst.sizes[3];
          const auto &deep = depth.at[static_cast<size_t>(d)], &high = height.at[static_cast<size_t>(h)];
          lines.clear();
          for (const auto& [td, sd] : deep)
            for (const auto& [th, sh] : high)
              lines.push_back({((n * src.sizes[2] + sd) * src.sizes[3] + sh) * row + first * channels,
                               ((td * w.sizes[3] + th) * taps + (adjoint ? taps - 1 : 0)) * lanes});
          // The rows that the next one reads first, also across images.
          const int64_t last = high.empty() ? -1 : std::max(high.front().second, high.back().second),
                        from = std::min(all, ((n * src.sizes[2] + d) * src.sizes[3] + last + 1) * row);
          conv_roll(ConvRoll<S>{taps, g.stride[2], lines.data(), static_cast<int64_t>(lines.size()),
                                src.ptr<S>(), channels, -first, src.sizes[4] - first, weights,
                                adjoint ? -lanes : lanes, size, bias, relu,
                                dst.ptr<S>() + r * width * channels, channels, width, channels,
                                src.ptr<S>() + from, std::min(all - from, height.advance * row)});
        }
      });
  return true;
}

template <class T>
void conv_last_depthwise_sweep(const View& src, const View& w, const View& dst, const T* bias, bool relu,
                               const ConvGeometry& g, bool adjoint) {
  if constexpr (sizeof(T) == 4)
    if (conv_last_depthwise_roll<float>(src, w, dst, bias, relu, g, adjoint)) return;
  const int64_t channels = w.sizes[0], batch = dst.sizes[0];
  Buffer<T> weights(w.numel());
  turn_taps(w, weights.get());
  std::vector<Reads> reads;
  for (int d = 0; d < 3; ++d)
    reads.emplace_back(dst.sizes[d + 2], src.sizes[d + 2], w.sizes[d + 2], g.stride[d], g.padding[d],
                       g.dilation[d], adjoint);
  const int64_t rows = dst.sizes[2] * dst.sizes[3], width = dst.sizes[4], row = src.sizes[4] * channels,
                all = src.numel(), by = adjoint ? g.stride[2] : 1;  // by: between pixels of the same taps
  const int64_t work = std::max<int64_t>(1, width * channels * plane_size(w));
  // Pixels of a row from which on the taps are others, once for all rows.
  struct Run {
    int64_t begin, count;
  };
  std::vector<Run> runs;
  for (int64_t p = 0; p < std::min(by, width); ++p)
    for (int64_t q = p; q < width; q += runs.back().count * by) runs.push_back({q, reads[2].same(q, by)});
  parallel_for(batch * rows, std::max<int64_t>(1, (kConvChunkWork / 4) / work), [&](int64_t r, int64_t end) {
    std::vector<ConvTap> taps(static_cast<size_t>(plane_size(w)));
    for (; r < end; ++r) {
      const int64_t n = r / rows, d = r % rows / dst.sizes[3], h = r % dst.sizes[3];
      const auto &deep = reads[0].at[static_cast<size_t>(d)], &high = reads[1].at[static_cast<size_t>(h)];
      const T* image = src.ptr<T>() + n * plane_size(src) * channels;
      T* out = dst.ptr<T>() + r * width * channels;
      // The rows that the next one reads first, also across images.
      const int64_t last = high.empty() ? -1 : std::max(high.front().second, high.back().second),
                    from = std::min(all, ((n * src.sizes[2] + d) * src.sizes[3] + last + 1) * row);
      const int64_t fetched = std::min(all - from, reads[1].advance * row);
      for (const Run& run : runs) {
        int64_t count = 0;
        for (const auto& [td, sd] : deep)
          for (const auto& [th, sh] : high)
            for (const auto& [tw, sw] : reads[2].at[static_cast<size_t>(run.begin)])
              taps[static_cast<size_t>(count++)] = {((sd * src.sizes[3] + sh) * src.sizes[4] + sw) * channels,
                                                    ((td * w.sizes[3] + th) * w.sizes[4] + tw) * channels};
        conv_kernels<T>().tap_sum({image, reads[2].advance * channels, taps.data(), count, weights, bias,
                                   relu, out + run.begin * channels, by * channels, run.count, channels,
                                   src.ptr<T>() + from, run.count * by * 2 > width ? fetched : 0});
      }
    }
  });
}

template <class T, class S>
void conv_last_depthwise_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  const int64_t channels = dw.sizes[0], batch = x.sizes[0], taps = plane_size(dw), size = taps * channels;
  const int64_t parts = std::min<int64_t>(std::max<int64_t>(batch, 1), 16), rows = dy.sizes[2] * dy.sizes[3];
  Buffer<T> sums(parts * size);
  std::fill_n(sums.get(), parts * size, T(0));
  const auto line = [&](int64_t n, int64_t r, T* out) {
    const S* y = dy.ptr<S>() + (n * rows + r) * dy.sizes[4] * channels;
    for (int64_t t = 0; t < taps; ++t) {
      const auto [td, th, tw] = tap_at(dw, t);
      const int64_t d = r / dy.sizes[3] * g.stride[0] + td * g.dilation[0] - g.padding[0],
                    h = r % dy.sizes[3] * g.stride[1] + th * g.dilation[1] - g.padding[1],
                    shift = tw * g.dilation[2] - g.padding[2];
      const Span span(dy.sizes[4], x.sizes[4], g.stride[2], shift);
      if (d < 0 || d >= x.sizes[2] || h < 0 || h >= x.sizes[3] || span.begin >= span.end) continue;
      const S* p = x.ptr<S>() +
                   (((n * x.sizes[2] + d) * x.sizes[3] + h) * x.sizes[4] + span.begin * g.stride[2] + shift) *
                       channels;
      const auto products = [&] {
        if constexpr (sizeof(S) == 2)
          return simd_conv_roll().bf16_products;
        else
          return conv_kernels<T>().row_products;
      }();
      products(y + span.begin * channels, channels, p, g.stride[2] * channels, span.end - span.begin,
               out + t * channels, channels);
    }
  };
  const int64_t work = std::max<int64_t>(1, batch * rows * dy.sizes[4] * size / parts);
  parallel_for(parts, std::max<int64_t>(1, kConvChunkWork / 4 / work), [&](int64_t p, int64_t end) {
    for (; p < end; ++p)
      for (int64_t n = batch * p / parts; n < batch * (p + 1) / parts; ++n)
        for (int64_t r = 0; r < rows; ++r) line(n, r, sums + p * size);
  });
  for (int64_t p = 1; p < parts; ++p)
    for (int64_t i = 0; i < size; ++i) sums[i] += sums[p * size + i];
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t) {
      const auto [td, th, tw] = tap_at(dw, t);
      dw.ptr<T>()[c * dw.strides[0] + td * dw.strides[2] + th * dw.strides[3] + tw * dw.strides[4]] =
          sums[t * channels + c];
    }
}

#define CCDL_CONV_LAST_DEPTHWISE(T)                                                              \
  template void conv_last_depthwise_sweep(const View&, const View&, const View&, const T*, bool, \
                                          const ConvGeometry&, bool);                            \
  template void conv_last_depthwise_weight<T>(const View&, const View&, const View&, const ConvGeometry&);
CCDL_CONV_LAST_DEPTHWISE(float)
CCDL_CONV_LAST_DEPTHWISE(double)
#undef CCDL_CONV_LAST_DEPTHWISE
template void conv_last_depthwise_weight<float, bfloat16>(const View&, const View&, const View&,
                                                          const ConvGeometry&);
template bool conv_last_depthwise_roll<bfloat16>(const View&, const View&, const View&, const float*, bool,
                                                 const ConvGeometry&, bool);

}  // namespace ccdl::cpu
