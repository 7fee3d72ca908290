// Geometry shared by max and average pooling: what every output index covers, and how the two layouts are
// walked.
#pragma once
#include <vector>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/pool_channels.h>
#include <ccdl/kernels/pool.h>

namespace ccdl::cpu {

// Input positions begin, begin + step, ... < end of one output index; `full` counts the window before
// clipping to the input but after clipping to the padded input.
struct PoolSpan {
  int64_t begin, end, full;
};

struct PoolGeometry {
  int64_t n, c, in[3], out[3], step[3];
  bool channels_last;
  std::vector<PoolSpan> spans[3];

  int64_t plane_in() const { return in[0] * in[1] * in[2]; }
  int64_t plane_out() const { return out[0] * out[1] * out[2]; }
  // Element strides of position, channel and image for a tensor with `plane` positions.
  int64_t position_stride() const { return channels_last ? c : 1; }
  int64_t start(int64_t image, int64_t channel, int64_t plane) const {
    return channels_last ? image * plane * c + channel : (image * c + channel) * plane;
  }

  PoolGeometry(const View& input, const View& output) : n(input.sizes[0]), c(input.sizes[1]) {
    for (int i = 0; i < 3; ++i) {
      in[i] = input.sizes[i + 2];
      out[i] = output.sizes[i + 2];
      step[i] = 1;
    }
    channels_last = !input.is_contiguous() || !output.is_contiguous();
  }
  void windows(const PoolWindow& w) {
    for (int i = 0; i < 3; ++i) {
      step[i] = w.dilation[i];
      for (int64_t o = 0; o < out[i]; ++o) {
        int64_t begin = o * w.stride[i] - w.pad[i], end = begin + (w.kernel[i] - 1) * w.dilation[i] + 1;
        const int64_t padded = in[i] + w.pad[i];
        const int64_t full = (end < padded ? end : padded) - begin;
        while (begin < 0) begin += w.dilation[i];
        if (end > in[i]) end = in[i];
        spans[i].push_back({begin, end, full});
      }
    }
  }
  void adaptive() {
    for (int i = 0; i < 3; ++i)
      for (int64_t o = 0; o < out[i]; ++o) {
        const int64_t begin = o * in[i] / out[i], end = ((o + 1) * in[i] + out[i] - 1) / out[i];
        spans[i].push_back({begin, end, end - begin});
      }
  }

  int64_t position(const PoolSpan& d, const PoolSpan& h, const PoolSpan& w) const {
    return (d.begin * in[1] + h.begin) * in[2] + w.begin;
  }
  // The points of a window over channels, marked by their positions in the plane.
  PoolWalk walk(const PoolSpan& d, const PoolSpan& h, const PoolSpan& w) const {
    const int64_t unit[3] = {in[1] * in[2], in[2], 1};
    const PoolSpan* span[3] = {&d, &h, &w};
    PoolWalk walk{};
    walk.mark = position(d, h, w);
    for (int i = 0; i < 3; ++i) {
      const int64_t length = span[i]->end - span[i]->begin;
      walk.count[i] = length > 0 ? (length + step[i] - 1) / step[i] : 0;
      walk.mark_step[i] = step[i] * unit[i];
      walk.step[i] = walk.mark_step[i] * c;
    }
    return walk;
  }

  // fn(image, first channel, past-the-last channel): planes in the contiguous layout, whole images otherwise.
  // chunk: elements worth a chunk of their own.
  template <class F>
  void for_planes(const F& fn, int64_t chunk = 8192) const {
    const int64_t work = plane_in() + plane_out();
    if (channels_last) {
      parallel_for(n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) fn(i, int64_t{0}, c);
      });
      return;
    }
    const int64_t grain = work >= chunk ? 1 : chunk / (work < 1 ? 1 : work);
    parallel_for(n * c, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) fn(i / c, i % c, i % c + 1);
    });
  }
};

}  // namespace ccdl::cpu
