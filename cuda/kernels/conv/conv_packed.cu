// Convolution on the tensor cores: brings operands into the form the kernels take. A source is [N,
// positions, groups, channels padded to 16-byte chunks], weights are [groups, columns, taps, channels
// padded]; channels_last tensors with whole chunks of channels are that already, the others are copied over:
// one pass at bandwidth through shared-memory tiles.
#include <optional>

#include <kernels/conv/plan.cuh>

namespace ccdl::cu {
namespace {

constexpr int kTile = 64;  // positions and channels of a transposing tile
constexpr int kRowsAtOnce = 256 / kTile;

// Any layout to [N, positions, groups * padded]: both sides run along their fast direction.
template <class T>
__global__ void __launch_bounds__(256)
    conv_pack_kernel(const T* src, T* dst, int64_t batch, int64_t channel_stride, int64_t position_stride,
                     int64_t positions, int group_channels, int padded, int groups, bool channels_fast) {
  CCDL_SHARED(T, tile, [kTile][kTile + 2]);
  const unsigned tiles = static_cast<unsigned>(ceil_div(groups * padded, kTile));
  const int channel0 = static_cast<int>(blockIdx.x % tiles) * kTile;
  const int64_t position0 = int64_t{blockIdx.x / tiles} * kTile;
  const int64_t image = blockIdx.y + int64_t{blockIdx.z} * gridDim.y;
  const int fast = static_cast<int>(threadIdx.x) % kTile, slow = static_cast<int>(threadIdx.x) / kTile;
  if (image >= batch) return;
  src += image * group_channels * groups * positions;
  for (int s = slow; s < kTile; s += kRowsAtOnce) {
    const int c = channels_fast ? fast : s, q = channels_fast ? s : fast;
    const int group = (channel0 + c) / padded, channel = channel0 + c - group * padded;
    const bool in = group < groups && channel < group_channels && position0 + q < positions;
    tile[c][q] =
        in ? src[(group * group_channels + channel) * channel_stride + (position0 + q) * position_stride]
           : convert<T>(0.0f);
  }
  __syncthreads();  // the tile is complete
  dst += image * positions * groups * padded;
  for (int q = slow; q < kTile; q += kRowsAtOnce)
    if (channel0 + fast < groups * padded && position0 + q < positions)
      dst[(position0 + q) * groups * padded + channel0 + fast] = tile[fast][q];
}

// w of any strides to [groups][columns][taps][padded channels].
template <class T>
__global__ void __launch_bounds__(256)
    conv_pack_weight_kernel(const ConvSweep<T, float> p, T* dst, int channels, int padded,
                            Divider<int64_t> by_padded, Divider<int64_t> by_columns, Divider<int64_t> by_w,
                            Divider<int64_t> by_h, Divider<int64_t> by_d, int64_t total) {
  const int64_t i = int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (i >= total) return;
  int64_t rest = by_padded.div(i);
  const int64_t channel = i - rest * padded;
  int64_t next = by_w.div(rest), offset = (rest - next * p.dim[2].taps) * p.w_dim[2];
  rest = next;
  next = by_h.div(rest);
  offset += (rest - next * p.dim[1].taps) * p.w_dim[1];
  rest = next;
  next = by_d.div(rest);
  offset += (rest - next * p.dim[0].taps) * p.w_dim[0];
  const int64_t group = by_columns.div(next), column = next - group * p.columns;
  dst[i] = channel < channels ? p.w[group * p.w_group + column * p.w_column + channel * p.w_channel + offset]
                              : convert<T>(0.0f);
}

// A source in chunks; owns the copy if there is one.
template <class T>
struct Packed {
  std::optional<Scratch> memory;
  const T* data;
  ConvStrides stride;  // channel: of a chunk
  int padded;          // channels per group
};

template <class T>
void pack_source(const View& v, int64_t groups, bool channels_last, Packed<T>& out) {
  const int64_t channels = v.sizes[1] / groups, padded = ceil_div<int64_t>(channels, kChunk<T>) * kChunk<T>;
  const int64_t positions = conv_plane(v), pixel = groups * padded;
  channels_last = channels_last || positions == 1;
  out.padded = static_cast<int>(padded);
  out.data = v.ptr<T>();
  out.stride = {positions * pixel, kChunk<T>, {v.sizes[3] * v.sizes[4] * pixel, v.sizes[4] * pixel, pixel}};
  if (channels_last && padded == channels && aligned16(v.data)) return;
  out.memory.emplace(v.sizes[0] * positions * pixel * static_cast<int64_t>(sizeof(T)));
  const int64_t tiles = ceil_div<int64_t>(positions, kTile) * ceil_div<int64_t>(pixel, kTile),
                y = least<int64_t>(v.sizes[0], 65535);
  LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(y),
                     static_cast<unsigned>(y == 0 ? 0 : ceil_div<int64_t>(v.sizes[0], y)));
  config.block = dim3(256);
  CCDL_LAUNCH(config, conv_pack_kernel<T>, v.ptr<T>(), out.memory->template ptr<T>(), v.sizes[0],
              channels_last ? 1 : positions, channels_last ? v.sizes[1] : 1, positions,
              static_cast<int>(channels), static_cast<int>(padded), static_cast<int>(groups), channels_last);
  out.data = out.memory->template ptr<T>();
}

// Replaces p.w and its strides by ones that run in chunks of channels.
template <class T>
void pack_weights(ConvSweep<T, float>& p, int channels, int padded, std::optional<Scratch>& memory) {
  const int taps[3] = {p.dim[0].taps, p.dim[1].taps, p.dim[2].taps};
  bool chunks = p.w_channel == 1 && channels == padded && aligned16(p.w) && p.w_column % kChunk<T> == 0 &&
                (p.groups == 1 || p.w_group % kChunk<T> == 0);
  for (int d = 0; d < 3; ++d) chunks = chunks && (taps[d] == 1 || p.w_dim[d] % kChunk<T> == 0);
  if (!chunks) {
    const int64_t column = int64_t{taps[0]} * taps[1] * taps[2] * padded,
                  total = p.groups * p.columns * column;
    memory.emplace(total * static_cast<int64_t>(sizeof(T)));
    CCDL_LAUNCH(linear_config(total), conv_pack_weight_kernel<T>, p, memory->template ptr<T>(), channels,
                padded, Divider<int64_t>(padded), Divider<int64_t>(p.columns), Divider<int64_t>(taps[2]),
                Divider<int64_t>(taps[1]), Divider<int64_t>(taps[0]), total);
    p.w = memory->template ptr<T>();
    p.w_group = p.columns * column;
    p.w_column = column;
    p.w_dim[2] = padded;
    p.w_dim[1] = int64_t{padded} * taps[2];
    p.w_dim[0] = p.w_dim[1] * taps[1];
  }
  p.w_channel = kChunk<T>;
}

}  // namespace

template <class T>
void sweep_packed(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                  const void* bias, Activation activation) {
  ConvSweep<T, float> p = sweep_of<T, float>(src, w, dst, g, adjoint, bias, activation);
  const bool last = p.channels_fast;
  const int channels = p.channels;
  Packed<T> packed;
  std::optional<Scratch> weights;
  if (src.numel() == 0) p.channels = 0;
  if (p.channels > 0) {
    pack_source(src, g.groups, last, packed);
    pack_weights(p, channels, packed.padded, weights);
    p.src = packed.data;
    p.src_stride = packed.stride;
    p.channels = packed.padded / kChunk<T>;
  }
  p.channels_fast = true;
  p.out.vector = p.out.vector && last;
  p.splits = sweep_splits(p, kChunk<T>);
  run_split(p, dst, last, [](const ConvSweep<T, float>& q) { conv_sweep_mma(q); });
}

template <class T>
void weight_packed(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  ConvWeight<T, float> p = weight_of<T, float>(x, dy, dw, g);
  Packed<T> source, grads;
  pack_source(x, g.groups, p.channels_fast, source);
  pack_source(dy, g.groups, p.channels_fast, grads);
  p.x = source.data;
  p.x_stride = source.stride;
  p.dy = grads.data;
  p.dy_stride = grads.stride;
  p.dy_stride.channel = grads.padded;  // of a group
  p.channels_fast = true;
  p.channels = source.padded / kChunk<T>;
  p.dw_channel = kChunk<T> * dw.strides[1];
  split_pixels(p, source.padded * conv_plane(dw), dw.numel());
  run_split(p, dw, true, [&](const ConvWeight<T, float>& q) {
    conv_weight_mma(q, static_cast<int>(dw.sizes[1]), dw.strides[1]);
  });
}

#define CCDL_CONV_TYPE(T)                                                                         \
  template void sweep_packed<T>(const View&, const View&, const View&, const ConvGeometry&, bool, \
                                const void*, Activation);                                         \
  template void weight_packed<T>(const View&, const View&, const View&, const ConvGeometry&);
CCDL_CONV_TYPE(float)
CCDL_CONV_TYPE(float16)
CCDL_CONV_TYPE(bfloat16)

}  // namespace ccdl::cu
