// Where nothing takes halves as they lie, a few images at a time are widened, computed in float and rounded:
// as many as stay in the cache, and enough that turning the weights for each slice of them costs little.
#include <ccdl/cpu/conv_half.h>
#include <ccdl/cpu/conv_lanes.h>
#include <ccdl/cpu/conv_last_bf16.h>
#include <ccdl/cpu/conv_last_build.h>
#include <ccdl/cpu/conv_last_depthwise.h>
#include <ccdl/cpu/conv_last_rows.h>
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/conv_turned.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kSliceFloats = int64_t{1} << 18;  // of input and result
constexpr int64_t kMostParts = 8;                   // of a weight gradient, each summed by itself

int kind_of(DType dtype) { return dtype == DType::BFloat16 ? 1 : 0; }

char* image_at(const View& v, int64_t n) { return static_cast<char*>(v.data) + n * v.strides[0] * 2; }

void widen(DType dtype, const void* from, int64_t n, float* to) {
  parallel_for(n, 1 << 15, [&](int64_t begin, int64_t end) {
    simd_gemm().to_float[kind_of(dtype)](static_cast<const char*>(from) + begin * 2, to + begin, end - begin);
  });
}

void narrow(DType dtype, const float* from, int64_t n, void* to) {
  parallel_for(n, 1 << 15, [&](int64_t begin, int64_t end) {
    simd_gemm().from_float[kind_of(dtype)](from + begin, static_cast<char*>(to) + begin * 2, end - begin);
  });
}

// Floats of up to `images` members of a dense batch of halves, in its layout.
struct Images {
  const View& of;
  Buffer<float> data;
  Images(const View& batch, int64_t images) : of(batch), data(images * batch.strides[0]) {}
  View view(int64_t images) const {
    View v = of;
    v.data = data.get();
    v.dtype = DType::Float32;
    v.sizes[0] = images;
    return v;
  }
  View filled(int64_t first, int64_t images) const {
    widen(of.dtype, image_at(of, first), images * of.strides[0], data);
    return view(images);
  }
  void round(int64_t first, int64_t images) const {
    narrow(of.dtype, data, images * of.strides[0], image_at(of, first));
  }
};

struct Slices {
  int64_t batch, count, most;
  Slices(const View& x, const View& w, const View& y) : batch(x.sizes[0]) {
    const int64_t image = (x.numel() + y.numel()) / batch,
                  fit = std::clamp<int64_t>(std::max(kSliceFloats, 4 * w.numel()) / image, 1, batch);
    count = ceil_div(batch, fit);
    most = ceil_div(batch, count);
  }
  int64_t begin(int64_t i) const { return batch * i / count; }
  // fn(first image, images) for every slice; of few slices each is shared out by itself.
  template <class F>
  void run(const F& fn) const {
    const auto some = [&](int64_t i, int64_t end) {
      for (; i < end; ++i) fn(begin(i), begin(i + 1) - begin(i));
    };
    if (count < kMostParts)
      some(0, count);
    else
      parallel_for(count, 1, some);
  }
};

struct Floats {  // of weights or a bias
  Buffer<float> data;
  Floats(DType dtype, const void* from, int64_t n) : data(from != nullptr ? n : 0) {
    if (from != nullptr) widen(dtype, from, n, data);
  }
};

View float_weights(const View& w, float* data) {
  View v = w;
  v.data = data;
  v.dtype = DType::Float32;
  return v;
}

bool in_instructions(const View& x, const View& y, const ConvGeometry& g, bool input_gradient) {
  return x.dtype == DType::BFloat16 && conv_is_last(x, y) &&
         conv_takes_bfloat16(g, x.sizes[1], y.sizes[1], input_gradient);
}

// Planes of bfloat16 whose product is worth the way to channels innermost and back. Measured beside the float
// kernels, steps of 84 shapes on one thread: 1.1 to 3 times as fast where this says yes. 3x3 windows of
// stride 1, which Winograd's transforms or strips of planes take, need few pixels or many channels.
bool turned_instructions(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  if (x.dtype != DType::BFloat16 || conv_is_last(x, y) ||
      !conv_takes_bfloat16(g, x.sizes[1], y.sizes[1], true))
    return false;
  const int64_t channels = x.sizes[1], rows = y.sizes[1], products = channels * rows, taps = plane_size(w);
  if (taps >= 25) return products >= (taps == 27 ? 1024 : 512);  // 27: of volumes
  if (channels < 32 || products < 1024) return false;
  if (taps != 9 || g.stride[0] * g.stride[1] * g.stride[2] > 1 || rows < 16) return true;
  if (g.dilation[1] * g.dilation[2] > 1) return products >= 4096;
  return plane_size(y) <= 64 && channels >= 128;
}

bool one_each(const View& w, const ConvGeometry& g) {
  return g.groups > 1 && w.sizes[0] == g.groups && w.sizes[1] == 1;
}

// One channel per group, the halves read where they lie or widened in blocks of rows.
bool depthwise_sweep(const View& x, const View& w, const View& y, const float* bias, bool relu,
                     const ConvGeometry& g, bool adjoint) {
  if (!one_each(w, g)) return false;
  const View &from = adjoint ? y : x, &to = adjoint ? x : y;
  if (x.dtype == DType::BFloat16 && conv_is_last(x, y) &&
      conv_last_depthwise_roll<bfloat16>(from, w, to, bias, relu, g, adjoint))
    return true;
  if (!conv_fits_lanes<float>(x, w, y, g)) return false;
  if (x.dtype == DType::BFloat16)
    conv_lanes_sweep<float, bfloat16>(from, w, to, bias, relu, g, adjoint);
  else
    conv_lanes_sweep<float, float16>(from, w, to, bias, relu, g, adjoint);
  return true;
}

// Groups of bfloat16 in pair instructions; planes are turned for it.
bool fits_grouped(const View& x, const View& w, const View& y, const ConvGeometry& g, bool adjoint) {
  if (x.dtype != DType::BFloat16 || g.groups < 2 || w.sizes[0] == g.groups || w.sizes[1] == 1) return false;
  if (!adjoint) return last_fits_rows_bf16(forward_sweep<bfloat16>(x, w, y, g));
  int64_t phase[3];
  for (phase[0] = 0; phase[0] < std::min(g.stride[0], x.sizes[2]); ++phase[0])
    for (phase[1] = 0; phase[1] < std::min(g.stride[1], x.sizes[3]); ++phase[1])
      for (phase[2] = 0; phase[2] < std::min(g.stride[2], x.sizes[4]); ++phase[2]) {
        const auto s = phase_sweep<bfloat16>(y, w, x, g, phase);
        if (s.count() > 0 && !last_fits_rows_bf16(s)) return false;
      }
  return true;
}

void grouped_forward(const View& x, const View& w, const float* bias, const View& y, const ConvGeometry& g,
                     bool relu) {
  if (!conv_is_last(x, y)) {
    const Turned<bfloat16> from(x), to(y);
    grouped_forward(from.filled(x).view, w, bias, to.view, g, relu);
    return copy_cast(to.view, y);
  }
  LastSweep<bfloat16> s = forward_sweep<bfloat16>(x, w, y, g);
  s.relu = relu;
  last_sweep_rows_bf16({s}, bias);
}

void grouped_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (!conv_is_last(dx, dy)) {
    const Turned<bfloat16> from(dy), to(dx);
    grouped_backward_input(from.filled(dy).view, w, to.view, g);
    return copy_cast(to.view, dx);
  }
  std::vector<LastSweep<bfloat16>> phases;
  for_phases<bfloat16>(dy, w, dx, g, [&phases](const LastSweep<bfloat16>& s) { phases.push_back(s); });
  if (!phases.empty()) last_sweep_rows_bf16(phases, nullptr);
}

}  // namespace

void conv_half_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& g,
                       Activation activation) {
  if (in_instructions(x, y, g, false))
    return conv_bf16_forward(x, w, bias, y, g, activation == Activation::Relu);
  if (turned_instructions(x, w, y, g)) {
    const Turned<bfloat16> from(x), to(y);
    conv_bf16_forward(from.filled(x).view, w, bias, to.view, g, activation == Activation::Relu);
    return copy_cast(to.view, y);
  }
  const Floats weights(w.dtype, w.data, w.numel()), biases(x.dtype, bias, y.sizes[1]);
  if (depthwise_sweep(x, float_weights(w, weights.data), y, biases.data, activation == Activation::Relu, g,
                      false))
    return;
  if (fits_grouped(x, w, y, g, false))
    return grouped_forward(x, w, biases.data, y, g, activation == Activation::Relu);
  const Slices slices(x, w, y);
  slices.run([&](int64_t first, int64_t images) {
    const Images from(x, images), to(y, images);
    conv_forward(from.filled(first, images), float_weights(w, weights.data), biases.data.get(),
                 to.view(images), g, activation);
    to.round(first, images);
  });
}

void conv_half_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (in_instructions(dx, dy, g, true)) return conv_bf16_backward_input(dy, w, dx, g);
  if (turned_instructions(dx, w, dy, g)) {
    const Turned<bfloat16> from(dy), to(dx);
    conv_bf16_backward_input(from.filled(dy).view, w, to.view, g);
    return copy_cast(to.view, dx);
  }
  const Floats weights(w.dtype, w.data, w.numel());
  if (depthwise_sweep(dx, float_weights(w, weights.data), dy, nullptr, false, g, true)) return;
  if (fits_grouped(dx, w, dy, g, true)) return grouped_backward_input(dy, w, dx, g);
  const Slices slices(dx, w, dy);
  slices.run([&](int64_t first, int64_t images) {
    const Images from(dy, images), to(dx, images);
    conv_backward_input(from.filled(first, images), float_weights(w, weights.data), to.view(images), g);
    to.round(first, images);
  });
}

void conv_half_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  if (in_instructions(x, dy, g, false)) return conv_bf16_backward_weight(x, dy, dw, g);
  if (turned_instructions(x, dw, dy, g)) {
    const Turned<bfloat16> from(x), other(dy);
    return conv_bf16_backward_weight(from.filled(x).view, other.filled(dy).view, dw, g);
  }
  if (one_each(dw, g) && conv_fits_lanes<float>(x, dw, dy, g)) {
    Buffer<float> sums(dw.numel());
    const View to = float_weights(dw, sums);
    if (x.dtype == DType::BFloat16 && conv_is_last(x, dy) && plane_size(dw) <= 9 && x.sizes[0] > 1)
      conv_last_depthwise_weight<float, bfloat16>(x, dy, to, g);
    else if (x.dtype == DType::BFloat16)
      conv_lanes_backward_weight<float, bfloat16>(x, dy, to, g);
    else
      conv_lanes_backward_weight<float, float16>(x, dy, to, g);
    return narrow(dw.dtype, sums, dw.numel(), dw.data);
  }
  const Slices slices(x, dw, dy);
  const int64_t size = dw.numel(), parts = slices.count < kMostParts ? 1 : kMostParts;
  Buffer<float> sums(parts * size);
  parallel_for(parts, 1, [&](int64_t p, int64_t end) {
    const Images from(x, slices.most), other(dy, slices.most);
    Buffer<float> next(size);
    for (; p < end; ++p) {
      const int64_t first = slices.count * p / parts;
      float* sum = sums + p * size;
      for (int64_t i = first; i < slices.count * (p + 1) / parts; ++i) {
        const int64_t begin = slices.begin(i), images = slices.begin(i + 1) - begin;
        conv_backward_weight(from.filled(begin, images), other.filled(begin, images),
                             float_weights(dw, i == first ? sum : next.get()), g);
        if (i == first) continue;
        for (int64_t e = 0; e < size; ++e) sum[e] += next[e];
      }
    }
  });
  for (int64_t p = 1; p < parts; ++p)
    for (int64_t e = 0; e < size; ++e) sums[e] += sums[p * size + e];
  narrow(dw.dtype, sums, size, dw.data);
}

}  // namespace ccdl::cpu
