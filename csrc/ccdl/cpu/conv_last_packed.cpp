// A chunk is a block of result rows of one vector of channels; the sets of a block follow each other, so that
// its pixels come from memory once.
#include <ccdl/cpu/conv_last_packed.h>
#include <ccdl/cpu/conv_source_rows.h>
#include <ccdl/cpu/simd/conv_packed.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kCopyBytes = 1 << 16;  // of a block's rows

template <class T>
struct Packed {
  const LastSweep<T>& s;
  const ConvPackedTypeKernels<T>& kernels;
  int64_t lanes, total, sets, size;  // total: channels; size: elements of a set's weights
  SourceRows<T> from;
  std::vector<int64_t> offset, tap;  // of a tap in vectors of a copy, and in w

  explicit Packed(const LastSweep<T>& sweep)
      : s(sweep),
        kernels(conv_packed_kernels<T>()),
        lanes(kernels.lanes),
        total(s.groups * s.m),
        sets(ceil_div(total, lanes)),
        size(s.k() * lanes),
        from(s, lanes, kCopyBytes, true) {
    for (size_t d = 0; d < s.taps[0].index.size(); ++d)
      for (size_t h = 0; h < s.taps[1].index.size(); ++h)
        for (size_t w = 0; w < s.taps[2].index.size(); ++w) {
          offset.push_back((static_cast<int64_t>(d) * from.rows + s.taps[1].shift[h] - from.low) *
                               from.reach +
                           s.taps[2].shift[w] - from.least);
          tap.push_back(s.taps[0].index[d] * s.w_tap[0] + s.taps[1].index[h] * s.w_tap[1] +
                        s.taps[2].index[w] * s.w_tap[2]);
        }
  }
  int64_t of_set(int64_t set) const { return std::min(lanes, total - set * lanes); }
  void copy(int64_t n, int64_t d, int64_t h0, int64_t live, int64_t set, T* out) const {
    const int64_t step = s.src_pixel, l = lanes, channels = of_set(set);
    from.copy(n, d, h0, live, set * lanes, true, out, [=](T* to, const T* x, int64_t pixels) {
      for (int64_t q = 0; q < pixels; ++q, to += l, x += step) {
        copy_run(to, x, channels);
        if (channels < l) std::fill(to + channels, to + l, T(0));
      }
    });
  }
};

}  // namespace

template <class T>
bool last_fits_packed(const LastSweep<T>& s) {
  const int64_t lanes = conv_packed_kernels<T>().lanes;
  return s.groups > 1 && s.m == s.channels && (s.m == 2 || s.m == 4 || s.m == 8) && s.m < lanes &&
         s.groups * s.m >= lanes && (s.count() > 1 || !s.even()) && s.count() <= 128;
}

template <class T>
void last_sweep_packed(const LastSweep<T>& s) {
  const Packed<T> p(s);
  const int64_t lanes = p.lanes;
  Buffer<T> weights(p.sets * p.size), biases(s.bias != nullptr ? p.sets * lanes : 0);
  std::fill_n(weights.get(), p.sets * p.size, T(0));
  for (int64_t o = 0; o < p.total; ++o) {
    const T* w = s.w + o / s.m * s.w_group + o % s.m * s.w_column;
    T* out = weights + o / lanes * p.size + o % lanes;
    for (const int64_t tap : p.tap)
      for (int64_t j = 0; j < s.channels; ++j, out += lanes) *out = w[tap + j * s.w_channel];
  }
  if (s.bias != nullptr) {
    std::fill_n(biases.get(), p.sets * lanes, T(0));
    std::copy_n(s.bias, p.total, biases.get());
  }
  const int64_t block = p.from.block, blocks = p.from.blocks,
                work = std::max<int64_t>(1, block * s.pixels[2] * p.size);
  parallel_for(
      s.batch * s.pixels[0] * blocks * p.sets, std::max<int64_t>(1, kConvChunkWork / work),
      [&](int64_t at, int64_t end) {
        Buffer<T> copies(p.from.size());
        for (; at < end; ++at) {
          const int64_t set = at % p.sets, b = at / p.sets, h0 = b % blocks * block,
                        d = b / blocks % s.pixels[0], n = b / blocks / s.pixels[0],
                        live = std::min(block, s.pixels[1] - h0);
          p.copy(n, d, h0, live, set, copies);
          T* out = s.dst + n * s.dst_batch + d * s.dst_stride[0] + h0 * s.dst_stride[1] + set * lanes;
          for (int64_t h = 0; h < live; ++h)
            p.kernels.sum({s.m, copies + h * s.step[1] * p.from.pitch, s.step[2], p.offset.data(), s.count(),
                           weights + set * p.size, s.bias != nullptr ? biases + set * lanes : nullptr, s.relu,
                           out + h * s.dst_stride[1], s.dst_stride[2], s.pixels[2], p.of_set(set)});
        }
      });
}

template <class T>
void last_packed_weight(const LastSweep<T>& s, const T* dy, T* dw) {
  const Packed<T> p(s);
  const int64_t lanes = p.lanes, block = p.from.block, images = s.batch * s.pixels[0],
                work = std::max<int64_t>(1, s.pixels[1] * s.pixels[2] * p.size),
                parts = std::clamp<int64_t>(std::min(ceil_div(64, p.sets), images * work / kConvChunkWork), 1,
                                            images);
  Buffer<T> sums(p.sets * parts * p.size);
  parallel_for(p.sets * parts, std::max<int64_t>(1, kConvChunkWork / 4 / (work * ceil_div(images, parts))),
               [&](int64_t at, int64_t end) {
                 Buffer<T> copies(p.from.size());
                 for (; at < end; ++at) {
                   const int64_t set = at / parts, part = at % parts;
                   T* out = sums + at * p.size;
                   std::fill_n(out, p.size, T(0));
                   for (int64_t i = images * part / parts; i < images * (part + 1) / parts; ++i)
                     for (int64_t h0 = 0; h0 < s.pixels[1]; h0 += block) {
                       const int64_t n = i / s.pixels[0], d = i % s.pixels[0];
                       p.copy(n, d, h0, std::min(block, s.pixels[1] - h0), set, copies);
                       p.kernels.products(
                           {s.m, copies, s.step[1] * p.from.reach, s.step[2], p.offset.data(), s.count(),
                            dy + n * s.dst_batch + d * s.dst_stride[0] + h0 * s.dst_stride[1] + set * lanes,
                            s.dst_stride[1], s.dst_stride[2], std::min(block, s.pixels[1] - h0), s.pixels[2],
                            p.of_set(set), out});
                     }
                 }
               });
  // Lane l of sum (t, j) belongs to channel l % m of the group and its row j.
  const int64_t m = s.m, taps = s.count();
  for (int64_t o = 0; o < p.total; ++o)
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t j = 0; j < m; ++j) {
        T v = T(0);
        for (int64_t part = 0; part < parts; ++part)
          v += sums[(o / lanes * parts + part) * p.size + (t * m + j) * lanes + o % lanes];
        dw[((o / m * m + j) * taps + t) * m + o % m] = v;
      }
}

#define CCDL_CONV_LAST_PACKED(T)                        \
  template bool last_fits_packed(const LastSweep<T>&);  \
  template void last_sweep_packed(const LastSweep<T>&); \
  template void last_packed_weight(const LastSweep<T>&, const T*, T*);
CCDL_CONV_LAST_PACKED(float)
CCDL_CONV_LAST_PACKED(double)
#undef CCDL_CONV_LAST_PACKED

}  // namespace ccdl::cpu
