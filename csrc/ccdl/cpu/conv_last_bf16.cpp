// Blocks of pixels gather the rows of their product as conv_last.cpp does, in bfloat16; w is packed once. One
// tap over the pixels as they lie is a matrix product (gemm_bf16.cpp).
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/conv_last_bf16.h>
#include <ccdl/cpu/conv_last_build.h>
#include <ccdl/cpu/conv_last_gather.h>
#include <ccdl/cpu/simd/gemm_bf16.h>

namespace ccdl::cpu {
namespace {

using Sweep = LastSweep<bfloat16>;

constexpr int64_t kPixels = 128;               // of a block
constexpr int64_t kDepth = 1024;               // of the sum, gathered at a time; even
constexpr int64_t kWork = 2 * kConvChunkWork;  // multiply-adds worth a chunk

// w as [tap, channel][column], or [column][tap, channel] where its channels lie closer together.
struct Weights {
  bool along;  // channels adjacent
  Buffer<bfloat16> data;
  explicit Weights(const Sweep& s) : along(s.w_channel < s.w_column), data(s.m * s.k()) {
    const int64_t k = s.k(), m = s.m, channel = along ? 1 : m, column = along ? k : 1;
    std::vector<int64_t> taps;
    for (const int64_t d : s.taps[0].index)
      for (const int64_t h : s.taps[1].index)
        for (const int64_t t : s.taps[2].index)
          taps.push_back(d * s.w_tap[0] + h * s.w_tap[1] + t * s.w_tap[2]);
    const int64_t outer = along ? m : s.channels, inner = along ? s.channels : m,
                  outer_from = along ? s.w_column : s.w_channel,
                  inner_from = along ? s.w_channel : s.w_column;
    parallel_for(outer, std::max<int64_t>(1, (1 << 15) * outer / (m * k)), [&](int64_t i, int64_t end) {
      for (; i < end; ++i)
        for (size_t t = 0; t < taps.size(); ++t) {
          const bfloat16* from = s.w + taps[t] + i * outer_from;
          bfloat16* to =
              data + static_cast<int64_t>(t) * s.channels * channel + i * (along ? column : channel);
          if (inner_from == 1)
            std::memcpy(to, from, static_cast<size_t>(inner) * sizeof(bfloat16));
          else
            for (int64_t j = 0; j < inner; ++j) to[j] = from[j * inner_from];
        }
    });
  }
};

int64_t pairs_of(int64_t k) { return ceil_div(k, 2); }

// Rows of sums to pixels of the result.
void round_pixels(const Sweep& s, const GemmBf16Kernels& kernels, const float* acc, const float* bias,
                  int64_t begin, int64_t count) {
  for (int64_t q = begin; q < begin + count; ++q, acc += s.m) {
    const int64_t n = q / s.image(), i = q % s.image(), w = i % s.pixels[2],
                  h = i / s.pixels[2] % s.pixels[1], d = i / (s.pixels[2] * s.pixels[1]);
    kernels.add_bias(
        acc, bias, s.relu,
        s.dst + n * s.dst_batch + d * s.dst_stride[0] + h * s.dst_stride[1] + w * s.dst_stride[2], s.m);
  }
}

void sweep(const Sweep& s, const GemmBf16Kernels& kernels) {
  const int64_t total = s.batch * s.image(), k = s.k(), m = s.m;
  if (total == 0 || m == 0) return;
  if (s.pointwise() && s.even()) {
    const DType t = DType::BFloat16;
    return gemm(last_matrix(s.src, t, total, k, s.src_pixel, 1),
                last_matrix(s.tap_weights(), t, k, m, s.w_channel, s.w_column),
                last_matrix(s.dst, t, total, m, s.dst_stride[2], 1), 1, 0,
                {s.bias, 0, 1, s.relu ? Activation::Relu : Activation::None});
  }
  const int64_t width = round_up(m, kernels.nr), depths = ceil_div(k, kDepth);
  const Weights weights(s);
  Buffer<uint32_t> panels(pairs_of(k) * width);
  parallel_for(depths, 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      kernels.pack_b(panels + i * (kDepth / 2) * width, weights.data + i * kDepth * (weights.along ? 1 : m),
                     weights.along ? 1 : m, weights.along ? k : 1, std::min(kDepth, k - i * kDepth), m);
  });
  Buffer<float> bias(m);
  if (s.bias != nullptr)
    simd_gemm().to_float[1](s.bias, bias, m);
  else
    std::fill_n(bias.get(), m, 0.0f);
  const Gather<bfloat16> gather(s);
  parallel_for(ceil_div(total, kPixels), std::max<int64_t>(1, kWork / (kPixels * m * k)),
               [&](int64_t b, int64_t end) {
                 Buffer<bfloat16> rows(kPixels * std::min(k, kDepth));
                 Buffer<float> acc(kPixels * m);
                 for (; b < end; ++b) {
                   const int64_t begin = b * kPixels, count = std::min(kPixels, total - begin);
                   for (int64_t k0 = 0; k0 < k; k0 += kDepth) {
                     const int64_t n = std::min(kDepth, k - k0);
                     gather.rows(begin, count, k0, k0 + n, rows);
                     kernels.block({rows, n, false, panels + k0 / 2 * width, acc, m, count, m, n, k0 > 0});
                   }
                   round_pixels(s, kernels, acc, bias, begin, count);
                 }
               });
}

// dw as [row][tap][channel], in float.
void weight_sums(const Sweep& s, const GemmBf16Kernels& kernels, const bfloat16* dy, float* out) {
  const int64_t k = s.k(), m = s.m, total = s.batch * s.image(), dy_pixel = s.dst_stride[2],
                blocks = ceil_div(total, kPixels), column_blocks = ceil_div(k, kDepth),
                columns = round_up(ceil_div(k, column_blocks), kernels.nr),
                work = kPixels * m * std::min(columns, k),
                parts = std::clamp<int64_t>(std::min(ceil_div(16, column_blocks), blocks * work / kWork), 1,
                                            blocks);
  Buffer<float> partial(parts > 1 ? parts * m * k : 0);
  float* target = parts > 1 ? partial.get() : out;
  const Gather<bfloat16> gather(s);
  const bool in_place = s.pointwise();
  parallel_for(ceil_div(k, columns) * parts, 1, [&](int64_t chunk, int64_t end) {
    Buffer<bfloat16> rows(in_place ? 0 : kPixels * columns);
    Buffer<uint32_t> panels(kPixels / 2 * columns), a(kPixels / 2 * round_up(m, kernels.mr));
    for (; chunk < end; ++chunk) {
      const int64_t part = chunk % parts, k0 = chunk / parts * columns, n = std::min(columns, k - k0),
                    first = blocks * part / parts;
      for (int64_t b = first; b < blocks * (part + 1) / parts; ++b) {
        const int64_t begin = b * kPixels, count = std::min(kPixels, total - begin);
        if (!in_place) gather.rows(begin, count, k0, k0 + n, rows);
        kernels.pack_b(panels, in_place ? s.src + begin * s.src_pixel + k0 : rows.get(),
                       in_place ? s.src_pixel : n, 1, count, n);
        kernels.pack_a(a, dy + begin * dy_pixel, 1, dy_pixel, m, count);
        kernels.block({reinterpret_cast<const bfloat16*>(a.get()), 0, true, panels,
                       target + part * m * k + k0, k, m, n, count, b > first});
      }
    }
  });
  if (parts == 1) return;
  parallel_for(m * k, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float v = partial[i];
      for (int64_t p = 1; p < parts; ++p) v += partial[p * m * k + i];
      out[i] = v;
    }
  });
}

}  // namespace

bool conv_takes_bfloat16(const ConvGeometry& g, int64_t channels, int64_t rows, bool input_gradient) {
  return simd_gemm_bf16() != nullptr && g.groups == 1 && rows >= 8 && channels >= (input_gradient ? 8 : 1);
}

void conv_bf16_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                       bool relu) {
  Sweep s = forward_sweep<bfloat16>(x, w, y, g);
  s.bias = static_cast<const bfloat16*>(bias);
  s.relu = relu;
  sweep(s, *simd_gemm_bf16());
}

void conv_bf16_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  for_phases<bfloat16>(dy, w, dx, g, [](const Sweep& s) { sweep(s, *simd_gemm_bf16()); });
}

void conv_bf16_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  const Sweep s = forward_sweep<bfloat16>(x, dw, dy, g);
  const int64_t m = dw.sizes[0], c = dw.sizes[1], k = s.k();
  Buffer<float> sums(m * k);
  weight_sums(s, *simd_gemm_bf16(), dy.ptr<bfloat16>(), sums.get());
  parallel_for(m, std::max<int64_t>(1, (1 << 15) / k), [&](int64_t i, int64_t end) {
    Buffer<float> row(k);
    for (; i < end; ++i) {
      const float* from = sums + i * k;
      if (dw.strides[1] != 1) {
        for (int64_t j = 0; j < c; ++j)
          for (int64_t t = 0; t < k / c; ++t) row[j * (k / c) + t] = from[t * c + j];
        from = row;
      }
      simd_gemm().from_float[1](from, dw.ptr<bfloat16>() + i * k, k);
    }
  });
}

}  // namespace ccdl::cpu
