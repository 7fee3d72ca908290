// Max pooling. float32 windows of at most 255 elements go through vector rows that yield the maximum and its
// position in the window; everything else takes the plain loop. The backward scatters plane by plane, so it
// needs no atomics.
#include <algorithm>

#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/pool.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/simd/pool.h>

namespace ccdl::cpu {
namespace {

// Largest element of one window; position in the plane, and its place in the unclipped window as (d kh + h)
// kw + w.
template <class T>
struct Best {
  ComputeOf<T> value;
  int64_t position;
};

template <class T>
Best<T> window_max(const PoolGeometry& g, const T* x, int64_t stride, int64_t od, int64_t oh, int64_t ow) {
  using S = ComputeOf<T>;
  const PoolSpan d = g.spans[0][od], h = g.spans[1][oh], w = g.spans[2][ow];
  Best<T> best = {-static_cast<S>(__builtin_inff()), (d.begin * g.in[1] + h.begin) * g.in[2] + w.begin};
  for (int64_t i = d.begin; i < d.end; i += g.step[0])
    for (int64_t j = h.begin; j < h.end; j += g.step[1])
      for (int64_t k = w.begin; k < w.end; k += g.step[2]) {
        const int64_t position = (i * g.in[1] + j) * g.in[2] + k;
        const S v = static_cast<S>(x[position * stride]);
        if (v > best.value || v != v) best = {v, position};
      }
  return best;
}

// Turns window positions into plane positions and back.
struct Code {
  const PoolGeometry& g;
  const PoolWindow& w;
  int64_t to_plane(int64_t code, int64_t od, int64_t oh, int64_t ow) const {
    const int64_t k = code % w.kernel[2], j = code / w.kernel[2] % w.kernel[1],
                  i = code / w.kernel[2] / w.kernel[1];
    const int64_t d = od * w.stride[0] - w.pad[0] + i * w.dilation[0];
    const int64_t h = oh * w.stride[1] - w.pad[1] + j * w.dilation[1];
    return (d * g.in[1] + h) * g.in[2] + ow * w.stride[2] - w.pad[2] + k * w.dilation[2];
  }
  uint8_t from_plane(int64_t position, int64_t od, int64_t oh, int64_t ow) const {
    const int64_t c = position % g.in[2], r = position / g.in[2] % g.in[1], p = position / g.in[2] / g.in[1];
    const int64_t i = (p - od * w.stride[0] + w.pad[0]) / w.dilation[0];
    const int64_t j = (r - oh * w.stride[1] + w.pad[1]) / w.dilation[1];
    return static_cast<uint8_t>((i * w.kernel[1] + j) * w.kernel[2] +
                                (c - ow * w.stride[2] + w.pad[2]) / w.dilation[2]);
  }
};

// Where results of one (image, channel) go; index strides equal those of y.
template <class T>
struct Output {
  T* y;
  int64_t* flat;
  uint8_t* code;
};
template <class T>
Output<T> output_at(const View& y, const View& indices, int64_t at) {
  const bool flat = indices.data && indices.dtype == DType::Int64, code = indices.data && !flat;
  return {y.ptr<T>() + at, flat ? indices.ptr<int64_t>() + at : nullptr,
          code ? indices.ptr<uint8_t>() + at : nullptr};
}

template <class T>
void put_best(const PoolGeometry& g, const PoolWindow* w, const T* x, const Output<T>& out, int64_t at,
              int64_t od, int64_t oh, int64_t ow) {
  const int64_t stride = g.position_stride();
  const Best<T> best = window_max(g, x, stride, od, oh, ow);
  out.y[at * stride] = static_cast<T>(best.value);
  if (out.flat) out.flat[at * stride] = best.position;
  if (out.code) out.code[at * stride] = Code{g, *w}.from_plane(best.position, od, oh, ow);
}

// The same for m neighbouring channels of a channels-last image: every position is read for all of them.
constexpr int64_t kChannels = 64;
template <class T>
void put_best_channels(const PoolGeometry& g, const PoolWindow* window, const T* x, const Output<T>& out,
                       int64_t m, int64_t od, int64_t oh, int64_t ow) {
  using S = ComputeOf<T>;
  const PoolSpan d = g.spans[0][od], h = g.spans[1][oh], w = g.spans[2][ow];
  S value[kChannels];
  int64_t position[kChannels];
  for (int64_t c = 0; c < m; ++c) {
    value[c] = -static_cast<S>(__builtin_inff());
    position[c] = (d.begin * g.in[1] + h.begin) * g.in[2] + w.begin;
  }
  for (int64_t i = d.begin; i < d.end; i += g.step[0])
    for (int64_t j = h.begin; j < h.end; j += g.step[1])
      for (int64_t k = w.begin; k < w.end; k += g.step[2]) {
        const int64_t here = (i * g.in[1] + j) * g.in[2] + k;
        const T* from = x + here * g.c;
        for (int64_t c = 0; c < m; ++c) {
          const S v = static_cast<S>(from[c]);
          const bool taken = (v > value[c]) | (v != v);
          value[c] = taken ? v : value[c];
          position[c] = taken ? here : position[c];
        }
      }
  for (int64_t c = 0; c < m; ++c) {
    out.y[c] = static_cast<T>(value[c]);
    if (out.flat) out.flat[c] = position[c];
    if (out.code) out.code[c] = Code{g, *window}.from_plane(position[c], od, oh, ow);
  }
}

template <class T>
void plain_max_channels(const PoolGeometry& g, const PoolWindow* w, const View& x, const View& y,
                        const View& indices) {
  parallel_for(g.n * g.out[0] * g.out[1], 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t oh = row % g.out[1], od = row / g.out[1] % g.out[0], image = row / g.out[1] / g.out[0];
      const T* src = x.ptr<T>() + g.start(image, 0, g.plane_in());
      for (int64_t ow = 0; ow < g.out[2]; ++ow)
        for (int64_t c = 0; c < g.c; c += kChannels)
          put_best_channels(g, w, src + c, output_at<T>(y, indices, (row * g.out[2] + ow) * g.c + c),
                            g.c - c < kChannels ? g.c - c : kChannels, od, oh, ow);
    }
  });
}

template <class T>
void plain_max(const PoolGeometry& g, const PoolWindow* w, const View& x, const View& y,
               const View& indices) {
  if (g.channels_last) return plain_max_channels<T>(g, w, x, y, indices);
  g.for_planes([&](int64_t image, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      const T* src = x.ptr<T>() + g.start(image, c, g.plane_in());
      const Output<T> out = output_at<T>(y, indices, g.start(image, c, g.plane_out()));
      int64_t at = 0;
      for (int64_t od = 0; od < g.out[0]; ++od)
        for (int64_t oh = 0; oh < g.out[1]; ++oh)
          for (int64_t ow = 0; ow < g.out[2]; ++ow) put_best(g, w, src, out, at++, od, oh, ow);
    }
  });
}

// Rows of the window that lie inside the input, for output row (od, oh); points too when they run over
// channels.
struct Rows {
  const float* start[256];
  uint8_t code[256];
  int count = 0;
};

void gather_rows(const PoolGeometry& g, const PoolWindow& w, const float* x, int64_t od, int64_t oh,
                 int64_t first_w, bool points, Rows* rows) {
  rows->count = 0;
  rows->code[0] = 0;  // read even when no row lies inside
  const int64_t stride = g.position_stride();
  for (int64_t i = 0; i < w.kernel[0]; ++i)
    for (int64_t j = 0; j < w.kernel[1]; ++j)
      for (int64_t k = 0; k < (points ? w.kernel[2] : 1); ++k) {
        const int64_t d = od * w.stride[0] - w.pad[0] + i * w.dilation[0];
        const int64_t h = oh * w.stride[1] - w.pad[1] + j * w.dilation[1];
        const int64_t c = first_w * w.stride[2] - w.pad[2] + k * w.dilation[2];
        if (d < 0 || d >= g.in[0] || h < 0 || h >= g.in[1] || (points && (c < 0 || c >= g.in[2]))) continue;
        rows->start[rows->count] = x + ((d * g.in[1] + h) * g.in[2] + c) * stride;
        rows->code[rows->count++] = static_cast<uint8_t>((i * w.kernel[1] + j) * w.kernel[2] + k);
      }
}

// An output whose window sticks out of the row: `rows` are those of output `at_rows`.
void put_clipped(const PoolGeometry& g, const PoolWindow& w, const Rows& rows, int64_t at_rows, int64_t ow,
                 float* y, uint8_t* code) {
  const int64_t begin = ow * w.stride[2] - w.pad[2], first = begin < 0 ? -begin : 0;
  const int64_t last = g.in[2] - begin < w.kernel[2] ? g.in[2] - begin : w.kernel[2];
  float best = -__builtin_inff();
  int64_t where = rows.code[0] + first;
  for (int r = 0; r < rows.count; ++r) {
    const float* row = rows.start[r] + (ow - at_rows) * w.stride[2];
    for (int64_t j = first; j < last; ++j)
      if (row[j] > best || row[j] != row[j]) {
        best = row[j];
        where = rows.code[r] + j;
      }
  }
  *y = best;
  if (code) *code = static_cast<uint8_t>(where);
}

void vector_max_planes(const PoolGeometry& g, const PoolWindow& w, const View& x, const View& y,
                       const View& indices) {
  // outputs [lo, hi) have their whole window row inside the input
  int64_t lo = (w.pad[2] + w.stride[2] - 1) / w.stride[2];
  int64_t hi = (g.in[2] - w.kernel[2] + w.pad[2]) / w.stride[2] + 1;
  if (lo > g.out[2]) lo = g.out[2];
  if (g.in[2] + w.pad[2] < w.kernel[2] || hi < lo) hi = lo;
  if (hi > g.out[2]) hi = g.out[2];
  const PoolKernels& simd = simd_pool();
  const Code code{g, w};
  g.for_planes([&](int64_t image, int64_t c, int64_t) {
    const float* src = x.ptr<float>() + g.start(image, c, g.plane_in());
    const Output<float> out = output_at<float>(y, indices, g.start(image, c, g.plane_out()));
    uint8_t* codes = out.flat ? scratch<uint8_t>(0, g.out[2]) : nullptr;
    Rows rows;
    for (int64_t od = 0; od < g.out[0]; ++od)
      for (int64_t oh = 0; oh < g.out[1]; ++oh) {
        const int64_t at = (od * g.out[1] + oh) * g.out[2];
        gather_rows(g, w, src, od, oh, lo, false, &rows);
        const auto clipped = [&](int64_t ow) {
          if (out.flat)
            put_best(g, &w, src, out, at + ow, od, oh, ow);
          else
            put_clipped(g, w, rows, lo, ow, out.y + at + ow, out.code ? out.code + at + ow : nullptr);
        };
        for (int64_t ow = 0; ow < lo; ++ow) clipped(ow);
        if (lo < hi) {
          uint8_t* target = out.code ? out.code + at + lo : codes;
          simd.max_row(rows.start, rows.code, rows.count, static_cast<int>(w.kernel[2]),
                       static_cast<int>(w.stride[2]), out.y + at + lo, target, hi - lo);
          for (int64_t i = 0; out.flat && i < hi - lo; ++i)
            out.flat[at + lo + i] = code.to_plane(codes[i], od, oh, lo + i);
        }
        for (int64_t ow = hi; ow < g.out[2]; ++ow) clipped(ow);
      }
  });
}

void vector_max_channels(const PoolGeometry& g, const PoolWindow& w, const View& x, const View& y,
                         const View& indices) {
  const PoolKernels& simd = simd_pool();
  const Code code{g, w};
  parallel_for(g.n * g.out[0] * g.out[1], 1, [&](int64_t begin, int64_t end) {
    Rows rows;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t oh = row % g.out[1], od = row / g.out[1] % g.out[0], image = row / g.out[1] / g.out[0];
      const float* src = x.ptr<float>() + g.start(image, 0, g.plane_in());
      for (int64_t ow = 0; ow < g.out[2]; ++ow) {
        const Output<float> out = output_at<float>(y, indices, (row * g.out[2] + ow) * g.c);
        uint8_t* codes = out.flat ? scratch<uint8_t>(0, g.c) : out.code;
        gather_rows(g, w, src, od, oh, ow, true, &rows);
        simd.max_row(rows.start, rows.code, rows.count, 1, 1, out.y, codes, g.c);
        for (int64_t c = 0; out.flat && c < g.c; ++c) out.flat[c] = code.to_plane(codes[c], od, oh, ow);
      }
    }
  });
}

// Adaptive windows of at most 255 elements, channels last: the points of a window are numbered in order.
void vector_adaptive_channels(const PoolGeometry& g, const View& x, const View& y, const View& indices) {
  const PoolKernels& simd = simd_pool();
  parallel_for(g.n * g.out[0] * g.out[1], 1, [&](int64_t begin, int64_t end) {
    Rows rows;
    int64_t position[256];
    uint8_t* codes = scratch<uint8_t>(0, g.c);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t oh = row % g.out[1], od = row / g.out[1] % g.out[0], image = row / g.out[1] / g.out[0];
      const PoolSpan &d = g.spans[0][od], &h = g.spans[1][oh];
      const float* src = x.ptr<float>() + g.start(image, 0, g.plane_in());
      for (int64_t ow = 0; ow < g.out[2]; ++ow) {
        const PoolSpan& w = g.spans[2][ow];
        rows.count = 0;
        for (int64_t i = d.begin; i < d.end; ++i)
          for (int64_t j = h.begin; j < h.end; ++j)
            for (int64_t k = w.begin; k < w.end; ++k) {
              position[rows.count] = (i * g.in[1] + j) * g.in[2] + k;
              rows.start[rows.count] = src + position[rows.count] * g.c;
              rows.code[rows.count] = static_cast<uint8_t>(rows.count);
              ++rows.count;
            }
        const Output<float> out = output_at<float>(y, indices, (row * g.out[2] + ow) * g.c);
        simd.max_row(rows.start, rows.code, rows.count, 1, 1, out.y, codes, g.c);
        for (int64_t c = 0; c < g.c; ++c) out.flat[c] = position[codes[c]];
      }
    }
  });
}
bool small_windows(const PoolGeometry& g) {
  int64_t points = 1;
  for (int i = 0; i < 3; ++i) {
    int64_t most = 0;
    for (const PoolSpan& s : g.spans[i]) most = s.full > most ? s.full : most;
    points *= most;
  }
  return points <= 255;
}

// Dilated windows next to padding may hold no element: their outputs are -inf and have no position.
bool may_be_hollow(const PoolWindow& w) {
  return (w.pad[0] > 0 && w.dilation[0] > 1) || (w.pad[1] > 0 && w.dilation[1] > 1) ||
         (w.pad[2] > 0 && w.dilation[2] > 1);
}
bool is_hollow(const PoolGeometry& g, const PoolWindow& w, int dim, int64_t o) {
  const int64_t begin = o * w.stride[dim] - w.pad[dim], step = w.dilation[dim];
  const int64_t inside = begin < 0 ? begin + (-begin + step - 1) / step * step : begin;
  return inside >= g.in[dim] || inside > begin + (w.kernel[dim] - 1) * step;
}

// fn(position in dx, position in dy) for every output of the channels [first, last) of an image, in output
// order; outputs without a position are left out.
template <class F>
void for_targets(const PoolGeometry& g, const PoolWindow& w, const View& indices, int64_t image,
                 int64_t first, int64_t last, const F& fn) {
  const int64_t stride = g.position_stride(), in = g.start(image, first, g.plane_in());
  const int64_t out = g.start(image, first, g.plane_out());
  if (may_be_hollow(w)) {
    const Code code{g, w};
    for (int64_t o = 0; o < g.plane_out(); ++o) {
      const int64_t ow = o % g.out[2], oh = o / g.out[2] % g.out[1], od = o / g.out[2] / g.out[1];
      if (is_hollow(g, w, 0, od) || is_hollow(g, w, 1, oh) || is_hollow(g, w, 2, ow)) continue;
      for (int64_t c = 0; c < last - first; ++c) {
        const int64_t at = out + o * stride + c;
        const int64_t position = indices.dtype == DType::Int64
                                     ? indices.ptr<int64_t>()[at]
                                     : code.to_plane(indices.ptr<uint8_t>()[at], od, oh, ow);
        fn(in + position * stride + c, at);
      }
    }
    return;
  }
  if (indices.dtype == DType::Int64) {
    const int64_t* flat = indices.ptr<int64_t>() + out;
    for (int64_t o = 0; o < g.plane_out(); ++o)
      for (int64_t c = 0; c < last - first; ++c)
        fn(in + flat[o * stride + c] * stride + c, out + o * stride + c);
    return;
  }
  const uint8_t* codes = indices.ptr<uint8_t>() + out;
  if (g.plane_out() < w.kernel[0] * w.kernel[1] * w.kernel[2]) {  // fewer than entries of the table below
    for (int64_t o = 0; o < g.plane_out(); ++o)
      for (int64_t c = 0; c < last - first; ++c) {
        const int64_t ow = o % g.out[2], oh = o / g.out[2] % g.out[1], od = o / g.out[2] / g.out[1];
        fn(in + Code{g, w}.to_plane(codes[o * stride + c], od, oh, ow) * stride + c, out + o * stride + c);
      }
    return;
  }
  int64_t offsets[256];  // of a window position from the window's first element
  for (int64_t k = 0; k < w.kernel[0] * w.kernel[1] * w.kernel[2]; ++k)
    offsets[k] = Code{g, w}.to_plane(k, 0, 0, 0);
  for (int64_t o = 0, od = 0; od < g.out[0]; ++od)
    for (int64_t oh = 0; oh < g.out[1]; ++oh) {
      const int64_t row = (od * w.stride[0] * g.in[1] + oh * w.stride[1]) * g.in[2];
      for (int64_t ow = 0; ow < g.out[2]; ++ow, ++o) {
        const int64_t start = row + ow * w.stride[2];
        for (int64_t c = 0; c < last - first; ++c)
          fn(in + (start + offsets[codes[o * stride + c]]) * stride + c, out + o * stride + c);
      }
    }
}

// Square windows in the plane, two apart, with codes or without indices: whole planes at once.
bool is_plane_window(const PoolGeometry& g, const PoolWindow& w, int64_t kernel) {
  return !g.channels_last && w.kernel[0] == 1 && w.stride[0] == 1 && w.pad[0] == 0 && w.kernel[1] == kernel &&
         w.kernel[2] == kernel && w.stride[1] == 2 && w.stride[2] == 2 && w.dilation[1] == 1 &&
         w.dilation[2] == 1;
}
bool is_inner_2x2(const PoolGeometry& g, const PoolWindow& w) {  // ceil_mode windows may stick out
  return is_plane_window(g, w, 2) && w.pad[1] + w.pad[2] == 0 && 2 * g.out[1] <= g.in[1] &&
         2 * g.out[2] <= g.in[2];
}
// fn(start in the input, start in the output) of every plane; several to a chunk, one takes a microsecond
template <class F>
void for_flat_planes(const PoolGeometry& g, const F& fn) {
  const auto planes = [&](int64_t image, int64_t c, int64_t) {
    for (int64_t d = 0; d < g.in[0]; ++d)
      fn(g.start(image, c, g.plane_in()) + d * g.in[1] * g.in[2],
         g.start(image, c, g.plane_out()) + d * g.out[1] * g.out[2]);
  };
  g.for_planes(planes, 65536);
}

View images_of(const View& v, int64_t first, int64_t count) {
  View part = v;
  if (v.data) part.data = v.ptr<char>() + first * v.strides[0] * item_size(v.dtype);
  part.sizes[0] = count;
  return part;
}
void convert_all(const View& from, const View& to) {
  const auto convert =
      simd_elementwise_convert().convert[static_cast<int>(from.dtype)][static_cast<int>(to.dtype)];
  parallel_for(from.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
    convert(from.ptr<char>() + begin * item_size(from.dtype), to.ptr<char>() + begin * item_size(to.dtype),
            end - begin);
  });
}
// fn(from, to, indices) in float32 on a few images of half precision at a time.
template <class F>
void in_floats(const View& from, const View& to, const View& indices, const F& fn) {
  const int64_t images = from.sizes[0];
  if (images == 0) return;
  const int64_t each = from.numel() / images + to.numel() / images,
                count = std::clamp<int64_t>((1 << 19) / std::max<int64_t>(each, 1), 1, images);
  Buffer<float> wide_from(from.numel() / images * count), wide_to(to.numel() / images * count);
  for (int64_t first = 0; first < images; first += count) {
    const int64_t n = std::min(count, images - first);
    const View half = images_of(from, first, n), result = images_of(to, first, n);
    View source = half, target = result;
    source.data = wide_from.get();
    target.data = wide_to.get();
    source.dtype = target.dtype = DType::Float32;
    convert_all(half, source);
    fn(source, target, images_of(indices, first, n));
    convert_all(target, result);
  }
}

}  // namespace

void max_pool_forward(const View& x, const View& y, const View& indices, const PoolWindow& window) {
  if (y.numel() == 0) return;
  if (is_half(x.dtype))
    return in_floats(x, y, indices,
                     [&](const View& a, const View& b, const View& i) { max_pool_forward(a, b, i, window); });
  PoolGeometry g(x, y);
  const bool codes = indices.data && indices.dtype == DType::UInt8;
  if (x.dtype == DType::Float32 && (codes || !indices.data) && is_inner_2x2(g, window))
    return for_flat_planes(g, [&](int64_t in, int64_t out) {
      simd_pool().max_plane_2x2(x.ptr<float>() + in, y.ptr<float>() + out,
                                codes ? indices.ptr<uint8_t>() + out : nullptr, g.out[1], g.out[2], g.in[2]);
    });
  if (x.dtype == DType::Float32 && (codes || !indices.data) && is_plane_window(g, window, 3) &&
      (window.pad[2] == 1 || 2 * g.out[2] + 1 <= g.in[2]))
    return for_flat_planes(g, [&](int64_t in, int64_t out) {
      float* kept = scratch<float>(0, 2 * (g.out[2] + kPoolMargin));
      simd_pool().max_plane_3x3(x.ptr<float>() + in, y.ptr<float>() + out,
                                codes ? indices.ptr<uint8_t>() + out : nullptr, g.out[1], g.out[2], g.in[1],
                                g.in[2], window.pad[1], window.pad[2], kept);
    });
  g.windows(window);
  const int64_t* k = window.kernel;
  if (x.dtype == DType::Float32 && k[0] * k[1] * k[2] <= 255) {
    if (g.channels_last) return vector_max_channels(g, window, x, y, indices);
    const bool unit = window.dilation[2] == 1, two = window.stride[2] == 2 && k[2] >= 2;
    if (unit && (window.stride[2] == 1 || two)) return vector_max_planes(g, window, x, y, indices);
  }
  with_float(x.dtype, [&](auto t) { plain_max<decltype(t)>(g, &window, x, y, indices); });
}

void adaptive_max_pool_forward(const View& x, const View& y, const View& indices) {
  if (y.numel() == 0) return;
  if (is_half(x.dtype)) return in_floats(x, y, indices, adaptive_max_pool_forward);
  PoolGeometry g(x, y);
  g.adaptive();
  if (x.dtype == DType::Float32 && g.channels_last && indices.dtype == DType::Int64 && small_windows(g))
    return vector_adaptive_channels(g, x, y, indices);
  with_float(x.dtype, [&](auto t) { plain_max<decltype(t)>(g, nullptr, x, y, indices); });
}

void max_pool_backward(const View& dy, const View& indices, const View& dx, const PoolWindow& window) {
  if (is_half(dx.dtype))
    return in_floats(dy, dx, indices, [&](const View& a, const View& b, const View& i) {
      max_pool_backward(a, i, b, window);
    });
  const PoolGeometry g(dx, dy);
  if (dx.dtype == DType::Float32 && indices.dtype == DType::UInt8) {
    const float* from = dy.ptr<float>();
    const uint8_t* codes = indices.ptr<uint8_t>();
    float* to = dx.ptr<float>();
    if (is_inner_2x2(g, window))
      return for_flat_planes(g, [&](int64_t in, int64_t out) {
        simd_pool().scatter_plane_2x2(from + out, codes + out, to + in, g.out[1], g.out[2], g.in[1], g.in[2]);
      });
    if (is_plane_window(g, window, 3))
      return for_flat_planes(g, [&](int64_t in, int64_t out) {
        float* rows = scratch<float>(0, 4 * ((g.in[2] + 1) / 2 + kPoolMargin));
        simd_pool().scatter_plane_3x3(from + out, codes + out, to + in, g.out[1], g.out[2], g.in[1], g.in[2],
                                      window.pad[1], window.pad[2], rows);
      });
  }
  const auto scatter = [&](auto t) {
    using T = decltype(t);
    T* to = dx.ptr<T>();
    const T* from = dy.ptr<T>();
    g.for_planes([&](int64_t image, int64_t first, int64_t last) {
      __builtin_memset(to + g.start(image, first, g.plane_in()), 0,
                       static_cast<size_t>(g.plane_in() * (last - first)) * sizeof(T));
      for_targets(g, window, indices, image, first, last, [&](int64_t i, int64_t o) { to[i] += from[o]; });
    });
  };
  if (dx.dtype == DType::Float64)
    scatter(double{});
  else
    scatter(float{});
}

void max_pool_gather(const View& src, const View& indices, const View& out, const PoolWindow& window) {
  const PoolGeometry g(src, out);
  with_float(src.dtype, [&](auto t) {
    using T = decltype(t);
    if (may_be_hollow(window)) __builtin_memset(out.data, 0, static_cast<size_t>(out.numel()) * sizeof(T));
    g.for_planes([&](int64_t image, int64_t first, int64_t last) {
      for_targets(g, window, indices, image, first, last,
                  [&](int64_t i, int64_t o) { out.ptr<T>()[o] = src.ptr<const T>()[i]; });
    });
  });
}

int64_t max_unpool_forward(const View& x, const View& indices, const View& y) {
  const PoolGeometry g(y, x);
  const int64_t* flat = indices.ptr<int64_t>();
  const int64_t total = x.numel();
  for (int64_t i = 0; i < total; ++i)
    if (flat[i] < 0 || flat[i] >= g.plane_in()) return i;
  with_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    g.for_planes([&](int64_t image, int64_t c, int64_t) {
      T* to = y.ptr<T>() + g.start(image, c, g.plane_in());
      const int64_t start = g.start(image, c, g.plane_out());
      __builtin_memset(to, 0, static_cast<size_t>(g.plane_in()) * sizeof(T));
      for (int64_t i = 0; i < g.plane_out(); ++i) to[flat[start + i]] = x.ptr<const T>()[start + i];
    });
  });
  return -1;
}

}  // namespace ccdl::cpu
