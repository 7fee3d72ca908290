// The sweeps of a convolution with channels innermost: one forward, one per stride phase for the input
// gradient.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

inline View last_matrix(const void* data, DType dtype, int64_t rows, int64_t columns, int64_t row,
                        int64_t column) {
  View v{};
  v.data = const_cast<void*>(data);
  v.dtype = dtype;
  v.ndim = 3;
  v.sizes[0] = 1;
  v.sizes[1] = rows;
  v.sizes[2] = columns;
  v.strides[0] = 0;
  v.strides[1] = row;
  v.strides[2] = column;
  return v;
}

// What both directions share; `channel`: the dim of w that follows the channels of src.
template <class T>
LastSweep<T> sweep_of(const View& src, const View& w, const View& dst, int64_t groups, int channel) {
  LastSweep<T> s{};
  s.batch = dst.sizes[0];
  s.groups = groups;
  s.channels = src.sizes[1] / groups;
  s.m = dst.sizes[1] / groups;
  s.src = src.ptr<T>();
  s.src_pixel = src.sizes[1];
  s.dst = dst.ptr<T>();
  s.w = w.ptr<T>();
  s.w_group = w.sizes[0] / groups * w.strides[0];
  s.w_channel = w.strides[channel];
  s.w_column = w.strides[1 - channel];
  for (int d = 0; d < 3; ++d) {
    s.src_size[d] = src.sizes[d + 2];
    s.w_tap[d] = w.strides[d + 2];
  }
  return s;
}

template <class T>
LastSweep<T> forward_sweep(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  LastSweep<T> s = sweep_of<T>(x, w, y, g.groups, 1);
  int64_t stride = y.sizes[1];
  for (int d = 2; d >= 0; --d) {
    s.pixels[d] = y.sizes[d + 2];
    s.step[d] = g.stride[d];
    s.dst_stride[d] = stride;
    stride *= s.pixels[d];
    for (int64_t t = 0; t < w.sizes[d + 2]; ++t) {
      s.taps[d].shift.push_back(t * g.dilation[d] - g.padding[d]);
      s.taps[d].index.push_back(t);
    }
  }
  s.dst_batch = stride;
  return s;
}

// The positions of dx congruent to `phase` modulo the stride, as a sweep over dy; no taps where none reach
// them.
template <class T>
LastSweep<T> phase_sweep(const View& dy, const View& w, const View& dx, const ConvGeometry& g,
                         const int64_t* phase) {
  LastSweep<T> s = sweep_of<T>(dy, w, dx, g.groups, 0);
  int64_t stride = dx.sizes[1];
  for (int d = 2; d >= 0; --d) {
    s.step[d] = 1;
    s.pixels[d] = ceil_div(dx.sizes[d + 2] - phase[d], g.stride[d]);
    s.dst += phase[d] * stride;
    s.dst_stride[d] = g.stride[d] * stride;
    stride *= dx.sizes[d + 2];
    for (int64_t t = w.sizes[d + 2] - 1; t >= 0; --t) {
      const int64_t at = phase[d] + g.padding[d] - t * g.dilation[d];
      if (at % g.stride[d] != 0) continue;
      s.taps[d].shift.push_back(at / g.stride[d]);
      s.taps[d].index.push_back(t);
    }
  }
  s.dst_batch = stride;
  return s;
}

template <class T>
void clear_phase(const LastSweep<T>& s) {
  for (int64_t q = 0; q < s.batch * s.image(); ++q) {
    const int64_t n = q / s.image(), i = q % s.image(), w = i % s.pixels[2],
                  h = i / s.pixels[2] % s.pixels[1], d = i / (s.pixels[2] * s.pixels[1]);
    std::fill_n(s.dst + n * s.dst_batch + d * s.dst_stride[0] + h * s.dst_stride[1] + w * s.dst_stride[2],
                s.groups * s.m, T(0));
  }
}

// fn(sweep) for every phase that taps reach; zeros in the others.
template <class T, class F>
void for_phases(const View& dy, const View& w, const View& dx, const ConvGeometry& g, const F& fn) {
  int64_t phases[3], phase[3];
  for (int d = 0; d < 3; ++d) phases[d] = std::min(g.stride[d], dx.sizes[d + 2]);
  for (phase[0] = 0; phase[0] < phases[0]; ++phase[0])
    for (phase[1] = 0; phase[1] < phases[1]; ++phase[1])
      for (phase[2] = 0; phase[2] < phases[2]; ++phase[2]) {
        const LastSweep<T> s = phase_sweep<T>(dy, w, dx, g, phase);
        if (s.count() == 0)
          clear_phase(s);
        else
          fn(s);
      }
}

}  // namespace ccdl::cpu
