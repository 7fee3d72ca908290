// A chunk holds the bordered source rows of a block of result rows; without a border they are read in place.
#include <ccdl/cpu/conv_last_rows.h>
#include <ccdl/cpu/simd/conv_rows.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kCopyBytes = 1 << 16;  // of a block's rows

// w as [tap, channel][columns], columns rounded up to whole vectors.
template <class T>
void turn_weights(const LastSweep<T>& s, int64_t width, T* out) {
  std::fill_n(out, s.k() * width, T(0));
  for (const int64_t d : s.taps[0].index)
    for (const int64_t h : s.taps[1].index)
      for (const int64_t t : s.taps[2].index)
        for (int64_t c = 0; c < s.channels; ++c, out += width) {
          const T* w = s.w + d * s.w_tap[0] + h * s.w_tap[1] + t * s.w_tap[2] + c * s.w_channel;
          for (int64_t j = 0; j < s.m; ++j) out[j] = w[j * s.w_column];
        }
}

}  // namespace

template <class T>
bool last_fits_rows(const LastSweep<T>& s) {
  const int64_t run = (s.rows_follow() ? s.taps[2].size() : 1) * s.channels, k = s.k();
  if (s.m > 128 || k > 2048 || s.pixels[2] < 4 || k * s.m > 65536) return false;
  if (s.m > 16 && s.pixels[2] < 12)
    return false;  // a tile is 14 pixels wide: rows of 8 would leave half of it
  return run < 64 || s.m <= 32;
}

template <class T>
void last_sweep_rows(const LastSweep<T>& s) {
  const auto& kernels = conv_row_kernels<T>();
  const int64_t width = round_up(s.m, kernels.lanes), c = s.channels;
  Buffer<T> weights(s.k() * width), biases(s.bias != nullptr ? width : 0);
  turn_weights(s, width, weights.get());
  if (s.bias != nullptr) {
    std::copy_n(s.bias, s.m, biases.get());
    std::fill(biases + s.m, biases + width, T(0));
  }
  const bool follow = s.rows_follow();
  const int64_t run = follow ? s.taps[2].size() : 1, least = s.taps[2].shift.front(),
                reach =
                    (s.pixels[2] - 1) * s.step[2] + s.taps[2].shift.back() - least + 1;  // pixels of a row
  const bool in_place = least >= 0 && least + reach <= s.src_size[2];
  const int64_t low = s.taps[1].shift.front(), high = s.taps[1].shift.back() - low + 1,
                depths = s.taps[0].size(), pitch = in_place ? s.src_size[2] * c : reach * c;
  const int64_t most = kCopyBytes / static_cast<int64_t>(sizeof(T)) / (depths * pitch),
                block = in_place ? 8 : std::clamp<int64_t>((most - high) / s.step[1] + 1, 1, s.pixels[1]),
                blocks = ceil_div(s.pixels[1], block), rows = (block - 1) * s.step[1] + high;
  const int64_t work = std::max<int64_t>(1, block * s.pixels[2] * s.k() * width);
  parallel_for(
      s.batch * s.pixels[0] * blocks, std::max<int64_t>(1, kConvChunkWork / work),
      [&](int64_t at, int64_t end) {
        Buffer<T> copies(in_place ? 0 : depths * rows * pitch), none(pitch);
        std::fill_n(none.get(), pitch, T(0));
        std::vector<const T*> pointers;
        for (; at < end; ++at) {
          const int64_t h0 = at % blocks * block, d = at / blocks % s.pixels[0],
                        n = at / blocks / s.pixels[0], live = std::min(block, s.pixels[1] - h0),
                        y0 = h0 * s.step[1] + low;
          const T* image = s.src + n * s.src_batch();
          const auto source = [&](int64_t td, int64_t y) -> const T* {  // null: outside
            const int64_t z = d * s.step[0] + s.taps[0].shift[static_cast<size_t>(td)];
            if (z < 0 || z >= s.src_size[0] || y < 0 || y >= s.src_size[1]) return nullptr;
            return image + (z * s.src_size[1] + y) * s.src_size[2] * c;
          };
          if (!in_place)
            for (int64_t td = 0; td < depths; ++td)
              for (int64_t i = 0; i < (live - 1) * s.step[1] + high; ++i) {
                const T* from = source(td, y0 + i);
                if (from == nullptr) continue;
                T* to = copies + (td * rows + i) * pitch;
                const int64_t lo = std::clamp<int64_t>(-least, 0, reach),
                              hi = std::clamp<int64_t>(s.src_size[2] - least, lo, reach);
                std::fill_n(to, lo * c, T(0));
                std::memcpy(to + lo * c, from + (lo + least) * c,
                            static_cast<size_t>((hi - lo) * c) * sizeof(T));
                std::fill(to + hi * c, to + pitch, T(0));
              }
          for (int64_t h = 0; h < live; ++h) {
            pointers.clear();
            for (int64_t td = 0; td < depths; ++td)
              for (const int64_t shift : s.taps[1].shift) {
                const int64_t i = h * s.step[1] + shift - low;
                const T *from = source(td, y0 + i), *row = from == nullptr ? none.get()
                                                           : in_place      ? from + least * c
                                                                           : copies + (td * rows + i) * pitch;
                for (int64_t t = 0; t < s.taps[2].size(); t += run)
                  pointers.push_back(row + (s.taps[2].shift[static_cast<size_t>(t)] - least) * c);
              }
            kernels.sum({pointers.data(), static_cast<int64_t>(pointers.size()), run * c, s.step[2] * c,
                         weights, width, s.bias != nullptr ? biases.get() : nullptr, s.relu,
                         s.dst + n * s.dst_batch + d * s.dst_stride[0] + (h0 + h) * s.dst_stride[1],
                         s.dst_stride[2], s.pixels[2], s.m});
          }
        }
      });
}

#define CCDL_CONV_LAST_ROWS(T)                       \
  template bool last_fits_rows(const LastSweep<T>&); \
  template void last_sweep_rows(const LastSweep<T>&);
CCDL_CONV_LAST_ROWS(float)
CCDL_CONV_LAST_ROWS(double)
#undef CCDL_CONV_LAST_ROWS

}  // namespace ccdl::cpu
