// A chunk holds the bordered source rows of a block of result rows, of one group; without a border they are
// read in place. The groups of a block follow each other, so that its pixels come from memory once.
#include <ccdl/cpu/conv_last_rows.h>
#include <ccdl/cpu/conv_source_rows.h>
#include <ccdl/cpu/simd/conv_rows.h>
#include <ccdl/cpu/simd/conv_rows_bf16.h>

#include <algorithm>

namespace ccdl::cpu {
namespace {

constexpr int64_t kCopyBytes = 1 << 16;  // of a block's rows

// w as [group][tap, channel][columns], columns rounded up to whole vectors.
template <class T>
void turn_weights(const LastSweep<T>& s, int64_t width, T* out) {
  std::fill_n(out, s.groups * s.k() * width, T(0));
  for (int64_t g = 0; g < s.groups; ++g)
    for (const int64_t d : s.taps[0].index)
      for (const int64_t h : s.taps[1].index)
        for (const int64_t t : s.taps[2].index)
          for (int64_t c = 0; c < s.channels; ++c, out += width) {
            const T* w =
                s.w + g * s.w_group + d * s.w_tap[0] + h * s.w_tap[1] + t * s.w_tap[2] + c * s.w_channel;
            for (int64_t j = 0; j < s.m; ++j) out[j] = w[j * s.w_column];
          }
}

template <class T>
void copy_group(const SourceRows<T>& from, int64_t n, int64_t d, int64_t h0, int64_t live, int64_t group,
                bool outside, T* out) {
  const int64_t c = from.s.channels, step = from.s.src_pixel;
  from.copy(n, d, h0, live, group * c, outside, out, [c, step](T* to, const T* x, int64_t pixels) {
    if (step == c) {
      std::memcpy(to, x, static_cast<size_t>(pixels * c) * sizeof(T));
      return;
    }
    for (int64_t q = 0; q < pixels; ++q, to += c, x += step) copy_run(to, x, c);
  });
}

// What any of several sweeps of one source reads.
template <class T>
LastSweep<T> joined(const std::vector<LastSweep<T>>& sweeps) {
  LastSweep<T> all = sweeps[0];
  for (int d = 0; d < 3; ++d) {
    std::vector<int64_t>& shift = all.taps[d].shift;
    for (const LastSweep<T>& s : sweeps) {
      all.pixels[d] = std::max(all.pixels[d], s.pixels[d]);
      shift.insert(shift.end(), s.taps[d].shift.begin(), s.taps[d].shift.end());
    }
    std::sort(shift.begin(), shift.end());
    shift.erase(std::unique(shift.begin(), shift.end()), shift.end());
  }
  return all;
}

// sum(sweep, rows, run length, elements from pixel to pixel, group, result row) for every row of every group,
// those of several sweeps from one copy; work: multiply-adds a pixel of a group.
template <class T, class F>
void each_row(const std::vector<LastSweep<T>>& sweeps, int64_t work, const F& sum) {
  const LastSweep<T> all = joined(sweeps);
  const int64_t c = all.channels;
  const SourceRows<T> from(all, c, kCopyBytes, false);
  const int64_t pixel = from.in_place ? all.src_pixel : c;
  std::vector<int64_t> runs;
  for (const LastSweep<T>& s : sweeps) runs.push_back(s.rows_follow() ? s.taps[2].size() : 1);
  parallel_for(
      all.batch * all.pixels[0] * from.blocks * all.groups,
      std::max<int64_t>(1, kConvChunkWork / std::max<int64_t>(1, from.block * all.pixels[2] * work)),
      [&](int64_t at, int64_t end) {
        Buffer<T> copies(from.in_place ? 0 : from.size()), none(from.pitch);
        std::fill_n(none.get(), from.pitch, T(0));
        std::vector<const T*> pointers;
        for (; at < end; ++at) {
          const int64_t g = at % all.groups, b = at / all.groups, h0 = b % from.blocks * from.block,
                        d = b / from.blocks % all.pixels[0], n = b / from.blocks / all.pixels[0],
                        live = std::min(from.block, all.pixels[1] - h0), y0 = h0 * all.step[1] + from.low;
          if (!from.in_place) copy_group(from, n, d, h0, live, g, false, copies.get());
          const auto line = [&](int64_t i, int64_t h) {
            const LastSweep<T>& s = sweeps[static_cast<size_t>(i)];
            if (d >= s.pixels[0] || h0 + h >= s.pixels[1]) return;
            pointers.clear();
            for (int64_t td = 0; td < from.depths; ++td) {
              const std::vector<int64_t>& deep = s.taps[0].shift;
              if (std::find(deep.begin(), deep.end(), all.taps[0].shift[static_cast<size_t>(td)]) ==
                  deep.end())
                continue;
              for (const int64_t shift : s.taps[1].shift) {
                const int64_t y = h * s.step[1] + shift - from.low;
                const T *found = from.at(n, d, td, y0 + y, g * c),
                        *row = found == nullptr ? none.get()
                               : from.in_place  ? found + from.least * pixel
                                                : copies + (td * from.rows + y) * from.pitch;
                for (int64_t t = 0; t < s.taps[2].size(); t += runs[static_cast<size_t>(i)])
                  pointers.push_back(row + (s.taps[2].shift[static_cast<size_t>(t)] - from.least) * pixel);
              }
            }
            sum(i, pointers, runs[static_cast<size_t>(i)] * c, s.step[2] * pixel, g,
                s.dst + n * s.dst_batch + d * s.dst_stride[0] + (h0 + h) * s.dst_stride[1] + g * s.m);
          };
          for (int64_t h = 0; h < live; ++h)
            for (int64_t i = 0; i < static_cast<int64_t>(sweeps.size()); ++i) line(i, h);
        }
      });
}

// [group][column] with columns rounded up to whole vectors.
template <class T>
void widen_bias(const T* bias, int64_t groups, int64_t m, int64_t width, T* out) {
  if (bias == nullptr) return;
  std::fill_n(out, groups * width, T(0));
  for (int64_t g = 0; g < groups; ++g) std::copy_n(bias + g * m, m, out + g * width);
}

}  // namespace

template <class T>
bool last_fits_rows(const LastSweep<T>& s) {
  const int64_t run = (s.rows_follow() ? s.taps[2].size() : 1) * s.channels, k = s.k();
  if (s.m > 128 || k > 2048 || s.pixels[2] < 4 || k * s.m > 65536) return false;
  if (s.groups > 1) return s.m <= 64 && (s.count() > 1 || !s.even());
  if (s.m > 16 && s.pixels[2] < 12)
    return false;  // a tile is 14 pixels wide: rows of 8 would leave half of it
  return (run < 64 || s.m <= 32) && !(s.pointwise() && s.even());
}

template <class T>
void last_sweep_rows(const std::vector<LastSweep<T>>& sweeps) {
  const auto& kernels = conv_row_kernels<T>();
  const LastSweep<T>& one = sweeps[0];
  const int64_t width = round_up(one.m, kernels.lanes);
  std::vector<int64_t> begin{0};
  for (const LastSweep<T>& s : sweeps) begin.push_back(begin.back() + s.groups * s.k() * width);
  Buffer<T> weights(begin.back()), biases(one.bias != nullptr ? one.groups * width : 0);
  for (size_t i = 0; i < sweeps.size(); ++i) turn_weights(sweeps[i], width, weights + begin[i]);
  widen_bias(one.bias, one.groups, one.m, width, biases.get());
  each_row(
      sweeps, begin.back() / one.groups,
      [&](int64_t i, const std::vector<const T*>& rows, int64_t length, int64_t step, int64_t g, T* out) {
        const LastSweep<T>& s = sweeps[static_cast<size_t>(i)];
        kernels.sum({rows.data(), static_cast<int64_t>(rows.size()), length, step,
                     weights + begin[static_cast<size_t>(i)] + g * s.k() * width, width,
                     s.bias != nullptr ? biases + g * width : nullptr, s.relu, out, s.dst_stride[2],
                     s.pixels[2], s.m});
      });
}

bool last_fits_rows_bf16(const LastSweep<bfloat16>& s) {
  return simd_conv_rows_bf16() != nullptr && s.groups > 1 && s.m >= 8 && s.channels % 2 == 0 &&
         s.channels >= 8 && last_fits_rows(s);
}

void last_sweep_rows_bf16(const std::vector<LastSweep<bfloat16>>& sweeps, const float* bias) {
  const LastSweep<bfloat16>& one = sweeps[0];
  const int64_t width = round_up(one.m, 16);
  std::vector<int64_t> begin{0};
  for (const auto& s : sweeps) begin.push_back(begin.back() + s.groups * s.k() / 2 * width);
  Buffer<uint32_t> weights(begin.back());
  for (size_t i = 0; i < sweeps.size(); ++i) {
    const int64_t rows = begin[i + 1] - begin[i];
    Buffer<bfloat16> columns(2 * rows);
    turn_weights(sweeps[i], width, columns.get());
    for (int64_t p = 0; p < rows; p += width)
      for (int64_t j = 0; j < width; ++j) {
        uint16_t low, high;
        std::memcpy(&low, columns + 2 * p + j, 2);
        std::memcpy(&high, columns + 2 * p + width + j, 2);
        weights[begin[i] + p + j] = low | static_cast<uint32_t>(high) << 16;
      }
  }
  Buffer<float> biases(bias != nullptr ? one.groups * width : 0);
  widen_bias(bias, one.groups, one.m, width, biases.get());
  each_row(sweeps, begin.back() / one.groups,
           [&](int64_t i, const std::vector<const bfloat16*>& rows, int64_t length, int64_t step, int64_t g,
               bfloat16* out) {
             const LastSweep<bfloat16>& s = sweeps[static_cast<size_t>(i)];
             simd_conv_rows_bf16()->sum({rows.data(), static_cast<int64_t>(rows.size()), length, step,
                                         weights + begin[static_cast<size_t>(i)] + g * s.k() / 2 * width,
                                         width, bias != nullptr ? biases + g * width : nullptr, s.relu, out,
                                         s.dst_stride[2], s.pixels[2], s.m});
           });
}

template <class T>
bool last_fits_products(const LastSweep<T>& s) {
  return s.groups > 1 && s.count() > 1 && s.m <= 64 && s.channels <= 64;
}

template <class T>
void last_products(const LastSweep<T>& s, const T* dy, T* dw) {
  const auto& kernels = conv_row_kernels<T>();
  const SourceRows<T> from(s, s.channels, kCopyBytes, true);
  const int64_t c = s.channels, m = s.m, length = from.run * c, width = round_up(length, kernels.lanes),
                lines = s.count() / from.run, size = lines * m * width, row = s.pixels[2] * m;
  const int64_t images = s.batch * s.pixels[0],
                work = std::max<int64_t>(1, s.pixels[1] * s.pixels[2] * s.k() * m),
                parts = std::clamp<int64_t>(std::min(ceil_div(64, s.groups), images * work / kConvChunkWork),
                                            1, images);
  Buffer<T> sums(s.groups * parts * size);
  parallel_for(s.groups * parts, std::max<int64_t>(1, kConvChunkWork / 4 / (work * ceil_div(images, parts))),
               [&](int64_t at, int64_t end) {
                 // A vector may begin at the last element of a pixel.
                 Buffer<T> copies(from.size() + kernels.lanes), d_rows(from.block * row);
                 std::fill_n(copies + from.size(), kernels.lanes, T(0));
                 for (; at < end; ++at) {
                   const int64_t g = at / parts, part = at % parts;
                   T* out = sums + at * size;
                   std::fill_n(out, size, T(0));
                   for (int64_t i = images * part / parts; i < images * (part + 1) / parts; ++i)
                     for (int64_t h0 = 0; h0 < s.pixels[1]; h0 += from.block) {
                       const int64_t n = i / s.pixels[0], d = i % s.pixels[0],
                                     live = std::min(from.block, s.pixels[1] - h0);
                       copy_group(from, n, d, h0, live, g, true, copies.get());
                       const T* y = dy + n * s.dst_batch + d * s.dst_stride[0] + h0 * s.dst_stride[1] + g * m;
                       for (int64_t q = 0; q < live * s.pixels[2]; ++q)
                         copy_run(d_rows + q * m, y + q * s.dst_stride[2], m);
                       T* sum = out;
                       for (int64_t td = 0; td < from.depths; ++td)
                         for (const int64_t high : s.taps[1].shift)
                           for (int64_t t = 0; t < s.taps[2].size(); t += from.run, sum += m * width)
                             kernels.products({copies + (td * from.rows + high - from.low) * from.pitch +
                                                   (s.taps[2].shift[static_cast<size_t>(t)] - from.least) * c,
                                               s.step[1] * from.pitch, s.step[2] * c, d_rows, row, m, live,
                                               s.pixels[2], width, sum});
                     }
                 }
               });
  const int64_t k = s.k();
  parallel_for(s.groups * m, std::max<int64_t>(1, (1 << 14) / k), [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      for (int64_t l = 0; l < lines; ++l) {
        const T* sum = sums + i / m * parts * size + (l * m + i % m) * width;
        T* out = dw + i * k + l * length;
        for (int64_t e = 0; e < length; ++e) {
          T v = sum[e];
          for (int64_t p = 1; p < parts; ++p) v += sum[p * size + e];
          out[e] = v;
        }
      }
  });
}

#define CCDL_CONV_LAST_ROWS(T)                                     \
  template bool last_fits_rows(const LastSweep<T>&);               \
  template void last_sweep_rows(const std::vector<LastSweep<T>>&); \
  template bool last_fits_products(const LastSweep<T>&);           \
  template void last_products(const LastSweep<T>&, const T*, T*);
CCDL_CONV_LAST_ROWS(float)
CCDL_CONV_LAST_ROWS(double)
#undef CCDL_CONV_LAST_ROWS

}  // namespace ccdl::cpu
