// Channels innermost on the CPU: pixels x output channels, with the sum over (tap, channel). A block of
// pixels gathers the rows of its product, runs of whole channels, into the cache; a pointwise convolution
// needs no gathering and is one matrix product. The input gradient is the same sweep over dy, once per stride
// phase; where dx has few channels, the product dy x w is added to dx tap by tap instead.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/conv_last.h>
#include <ccdl/cpu/conv_last_build.h>
#include <ccdl/cpu/conv_last_depthwise.h>
#include <ccdl/cpu/conv_last_gather.h>
#include <ccdl/cpu/conv_last_packed.h>
#include <ccdl/cpu/conv_last_regions.h>
#include <ccdl/cpu/conv_last_rows.h>
#include <ccdl/cpu/conv_parts.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kLastPixels = 128;  // pixels of a block
constexpr int64_t kLastDepth = 512;   // of the sum, gathered at a time

template <class T>
constexpr DType kDType = sizeof(T) == 4 ? DType::Float32 : DType::Float64;

// w in panels of nr columns: the block [k0, k0 + depth) begins at k0 * padded columns.
template <class T>
class WeightPanels {
 public:
  WeightPanels(const LastSweep<T>& s, int64_t depth)
      : depth_(depth), nr_(gemm_kernels<T>().nr), panels_(ceil_div(s.m, nr_)), data_(s.k() * panels_ * nr_) {
    const int64_t blocks = ceil_div(s.k(), depth_);
    parallel_for(blocks * panels_, std::max<int64_t>(1, 65536 / (depth_ * nr_)), [&](int64_t i, int64_t end) {
      for (; i < end; ++i) pack(s, i / panels_ * depth_, i % panels_);
    });
  }
  const T* block(int64_t k0) const { return data_ + k0 * panels_ * nr_; }

 private:
  void pack(const LastSweep<T>& s, int64_t k0, int64_t panel) {
    const int64_t k1 = std::min(s.k(), k0 + depth_), column = panel * nr_;
    T* out = data_ + k0 * panels_ * nr_ + panel * nr_ * (k1 - k0);
    for (int64_t k = k0; k < k1;) {
      const int64_t tap = k / s.channels, c = k % s.channels, n = std::min(k1 - k, s.channels - c);
      const int64_t tw = tap % s.taps[2].size(), th = tap / s.taps[2].size() % s.taps[1].size(),
                    td = tap / (s.taps[2].size() * s.taps[1].size());
      const T* w = s.w + s.taps[0].index[static_cast<size_t>(td)] * s.w_tap[0] +
                   s.taps[1].index[static_cast<size_t>(th)] * s.w_tap[1] +
                   s.taps[2].index[static_cast<size_t>(tw)] * s.w_tap[2];
      gemm_kernels<T>().pack_b(out, w + c * s.w_channel + column * s.w_column, s.w_channel, s.w_column, n,
                               std::min(nr_, s.m - column));
      out += n * nr_;
      k += n;
    }
  }
  int64_t depth_, nr_, panels_;
  Buffer<T> data_;
};

int64_t even_depth(int64_t k) { return ceil_div(k, ceil_div(k, kLastDepth)); }

// The pixels [begin, begin + count) of a dense block to their places.
template <class T>
void place_rows(const LastSweep<T>& s, int64_t begin, int64_t count, const T* block) {
  for (int64_t q = begin; q < begin + count; ++q, block += s.m) {
    const int64_t n = q / s.image(), i = q % s.image(), w = i % s.pixels[2],
                  h = i / s.pixels[2] % s.pixels[1], d = i / (s.pixels[2] * s.pixels[1]);
    copy_run(s.dst + n * s.dst_batch + d * s.dst_stride[0] + h * s.dst_stride[1] + w * s.dst_stride[2], block,
             s.m);
  }
}

template <class T>
void sweep_last(const LastSweep<T>& s) {
  const int64_t total = s.batch * s.image(), k = s.k();
  if (total == 0 || s.m == 0) return;
  if (last_fits_packed(s)) return last_sweep_packed(s);
  if (last_fits_regions(s)) return last_sweep_regions(s);
  if (last_fits_rows(s)) return last_sweep_rows(std::vector<LastSweep<T>>{s});
  if (s.groups > 1) {
    for (int64_t g = 0; g < s.groups; ++g) sweep_last(s.group(g));
    return;
  }
  const bool even = s.even();
  if (s.pointwise() && even) {
    const DType t = kDType<T>;
    return gemm(last_matrix(s.src, t, total, k, s.src_pixel, 1),
                last_matrix(s.tap_weights(), t, k, s.m, s.w_channel, s.w_column),
                last_matrix(s.dst, t, total, s.m, s.dst_stride[2], 1), 1, 0,
                {s.bias, 0, 1, s.relu ? Activation::Relu : Activation::None});
  }
  const auto& kernels = gemm_kernels<T>();
  const int64_t depth = even_depth(k);
  const WeightPanels<T> panels(s, depth);
  const Gather<T> gather(s);
  const int64_t blocks = ceil_div(total, kLastPixels);
  const int64_t grain = std::max<int64_t>(1, kConvChunkWork / std::max<int64_t>(1, kLastPixels * s.m * k));
  parallel_for(blocks, grain, [&](int64_t b, int64_t end) {
    Buffer<T> rows(kLastPixels * depth), tile(even ? 0 : kLastPixels * s.m);
    for (; b < end; ++b) {
      const int64_t begin = b * kLastPixels, count = std::min(kLastPixels, total - begin);
      for (int64_t k0 = 0; k0 < k; k0 += depth) {
        const int64_t n = std::min(depth, k - k0);
        gather.rows(begin, count, k0, k0 + n, rows);
        const bool last = k0 + n == k;
        GemmPost<T> post{T(1), k0 == 0 ? T(0) : T(1), nullptr, last ? s.bias : nullptr, last && s.relu};
        kernels.block({rows, n, n, 1, false, panels.block(k0), kernels.nr * n, kernels.nr,
                       even ? s.dst + begin * s.dst_stride[2] : tile.get(), even ? s.dst_stride[2] : s.m,
                       count, s.m, n, post});
      }
      if (!even) place_rows(s, begin, count, tile.get());
    }
  });
}

// dx of few channels: rows of products [pixel of dy][tap, channel], added to dx image by image.
template <class T>
void add_products(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t k = dy.sizes[1], c = dx.sizes[1], taps = plane_size(w), columns = taps * c,
                width = dy.sizes[4];
  Buffer<T> turned(k * columns), panels(round_up(columns, kernels.nr) * k);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t tw = t % w.sizes[4], th = t / w.sizes[4] % w.sizes[3], td = t / (w.sizes[4] * w.sizes[3]);
      const T* from =
          w.ptr<T>() + i * w.strides[0] + td * w.strides[2] + th * w.strides[3] + tw * w.strides[4];
      for (int64_t j = 0; j < c; ++j) turned[i * columns + t * c + j] = from[j * w.strides[1]];
    }
  kernels.pack_b(panels, turned, columns, 1, k, columns);
  const bool follow = g.dilation[2] == 1;
  const int64_t run = follow ? w.sizes[4] : 1, lines = taps / run, length = run * c;
  const int64_t rows = dy.sizes[2] * dy.sizes[3];
  parallel_for(dx.sizes[0], 1, [&](int64_t n, int64_t end) {
    Buffer<T> product(width * columns);
    for (; n < end; ++n) {
      T* image = dx.ptr<T>() + n * plane_size(dx) * c;
      std::fill_n(image, plane_size(dx) * c, T(0));
      for (int64_t r = 0; r < rows; ++r) {
        kernels.block({dy.ptr<T>() + (n * rows + r) * width * k,
                       k,
                       k,
                       1,
                       false,
                       panels,
                       kernels.nr * k,
                       kernels.nr,
                       product,
                       columns,
                       width,
                       columns,
                       k,
                       {T(1), T(0), nullptr, nullptr, false}});
        for (int64_t l = 0; l < lines; ++l) {
          const int64_t t = l * run, tw = t % w.sizes[4], th = t / w.sizes[4] % w.sizes[3],
                        td = t / (w.sizes[4] * w.sizes[3]);
          const int64_t d = r / dy.sizes[3] * g.stride[0] + td * g.dilation[0] - g.padding[0],
                        h = r % dy.sizes[3] * g.stride[1] + th * g.dilation[1] - g.padding[1];
          if (d < 0 || d >= dx.sizes[2] || h < 0 || h >= dx.sizes[3]) continue;
          T* row = image + (d * dx.sizes[3] + h) * dx.sizes[4] * c;
          for (int64_t q = 0; q < width; ++q) {
            const int64_t at = q * g.stride[2] + tw * g.dilation[2] - g.padding[2];
            const int64_t lo = std::clamp<int64_t>(-at * c, 0, length),
                          hi = std::clamp<int64_t>((dx.sizes[4] - at) * c, lo, length);
            const T* p = product + q * columns + l * length;
            T* out = row + at * c;
            for (int64_t e = lo; e < hi; ++e) out[e] += p[e];
          }
        }
      }
    }
  });
}

// dw as [group][row][tap][channel]: rows of dy x gathered rows of x, summed over pixels in parts.
template <class T>
void weight_last(const LastSweep<T>& s, const T* dy, T* out) {
  const auto& kernels = gemm_kernels<T>();
  const int64_t k = s.k(), m = s.m, total = s.batch * s.image(), dy_pixel = s.dst_stride[2];
  if (last_fits_packed(s)) return last_packed_weight(s, dy, out);
  if (last_fits_regions(s)) return last_regions_weight(s, dy, out);
  if (last_fits_products(s)) return last_products(s, dy, out);
  if (s.groups > 1) {
    for (int64_t g = 0; g < s.groups; ++g) weight_last(s.group(g), dy + g * m, out + g * m * k);
    return;
  }
  if (s.pointwise()) {
    const DType t = kDType<T>;
    return gemm(last_matrix(dy, t, m, total, 1, dy_pixel), last_matrix(s.src, t, total, k, s.src_pixel, 1),
                last_matrix(out, t, m, k, k, 1), 1, 0, {});
  }
  const int64_t columns = round_up(ceil_div(k, ceil_div(k, kLastDepth)), kernels.nr),
                column_blocks = ceil_div(k, columns), blocks = ceil_div(total, kLastPixels);
  const int64_t work = std::max<int64_t>(1, kLastPixels * m * std::min(columns, k));
  const int64_t parts =
      std::clamp<int64_t>(std::min(ceil_div(16, column_blocks), blocks * work / kConvChunkWork), 1, blocks);
  Buffer<T> partial(parts > 1 ? parts * m * k : 0);
  T* target = parts > 1 ? partial.get() : out;
  const Gather<T> gather(s);
  parallel_for(column_blocks * parts, 1, [&](int64_t chunk, int64_t end) {
    Buffer<T> rows(kLastPixels * columns), panels(kLastPixels * columns),
        a(kLastPixels * round_up(m, kernels.mr));
    for (; chunk < end; ++chunk) {
      const int64_t part = chunk % parts, k0 = chunk / parts * columns, n = std::min(columns, k - k0);
      for (int64_t b = blocks * part / parts; b < blocks * (part + 1) / parts; ++b) {
        const int64_t begin = b * kLastPixels, count = std::min(kLastPixels, total - begin);
        gather.rows(begin, count, k0, k0 + n, rows);
        kernels.pack_b(panels, rows, n, 1, count, n);
        kernels.pack_a(a, dy + begin * dy_pixel, 1, dy_pixel, m, count);
        const T beta = b == blocks * part / parts ? T(0) : T(1);
        kernels.block({a,
                       count,
                       0,
                       0,
                       true,
                       panels,
                       kernels.nr * count,
                       kernels.nr,
                       target + part * m * k + k0,
                       k,
                       m,
                       n,
                       count,
                       {T(1), beta, nullptr, nullptr, false}});
      }
    }
  });
  if (parts == 1) return;
  parallel_for(m * k, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T v = partial[i];
      for (int64_t p = 1; p < parts; ++p) v += partial[p * m * k + i];
      out[i] = v;
    }
  });
}

bool one_each(const View& w, const ConvGeometry& g) {
  return g.groups > 1 && w.sizes[0] == g.groups && w.sizes[1] == 1;
}

}  // namespace

bool conv_is_last(const View& x, const View& y) {
  return (plane_size(x) > 1 && x.strides[1] == 1) || (plane_size(y) > 1 && y.strides[1] == 1);
}

template <class T>
void conv_last_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                       bool relu) {
  if (one_each(w, g))
    return conv_last_depthwise_sweep<T>(x, w, y, static_cast<const T*>(bias), relu, g, false);
  LastSweep<T> s = forward_sweep<T>(x, w, y, g);
  s.bias = static_cast<const T*>(bias);
  s.relu = relu;
  if (s.k() == 0) return fill(s.dst, y.numel(), s.bias, y.sizes[1], 1, relu);
  sweep_last(s);
}

template <class T>
void conv_last_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (dx.numel() == 0) return;
  if (one_each(w, g)) return conv_last_depthwise_sweep<T>(dy, w, dx, nullptr, false, g, true);
  if (w.sizes[0] == 0) return fill<T>(dx.ptr<T>(), dx.numel(), nullptr, 1, 1, false);
  if (g.groups == 1 && dx.sizes[1] < 8 && plane_size(w) > 1 &&
      plane_size(w) * dx.sizes[1] * dy.sizes[4] <= 1 << 16)
    return add_products<T>(dy, w, dx, g);
  std::vector<LastSweep<T>> rows;  // several phases of groups: from one copy of dy
  for_phases<T>(dy, w, dx, g, [&rows, &g](const LastSweep<T>& s) {
    if (g.groups > 1 && !last_fits_packed(s) && !last_fits_regions(s) && last_fits_rows(s))
      rows.push_back(s);
    else
      sweep_last(s);
  });
  if (!rows.empty()) last_sweep_rows(rows);
}

template <class T>
void conv_last_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  if (dw.numel() == 0) return;
  if (dy.numel() == 0) return fill<T>(dw.ptr<T>(), dw.numel(), nullptr, 1, 1, false);
  if (one_each(dw, g)) return conv_last_depthwise_weight<T>(x, dy, dw, g);
  const LastSweep<T> s = forward_sweep<T>(x, dw, dy, g);
  const int64_t m = dw.sizes[0], c = dw.sizes[1], taps = plane_size(dw);
  if (taps == 1 || dw.strides[1] == 1) return weight_last(s, dy.ptr<T>(), dw.ptr<T>());
  Buffer<T> turned(dw.numel());
  weight_last(s, dy.ptr<T>(), turned.get());
  parallel_for(m, std::max<int64_t>(1, (1 << 15) / (c * taps)), [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      for (int64_t j = 0; j < c; ++j)
        for (int64_t t = 0; t < taps; ++t)
          dw.ptr<T>()[(i * c + j) * taps + t] = turned[(i * taps + t) * c + j];
  });
}

#define CCDL_CONV_LAST(T)                                                                                \
  template void conv_last_forward<T>(const View&, const View&, const void*, const View&,                 \
                                     const ConvGeometry&, bool);                                         \
  template void conv_last_backward_input<T>(const View&, const View&, const View&, const ConvGeometry&); \
  template void conv_last_backward_weight<T>(const View&, const View&, const View&, const ConvGeometry&);
CCDL_CONV_LAST(float)
CCDL_CONV_LAST(double)
#undef CCDL_CONV_LAST

}  // namespace ccdl::cpu
