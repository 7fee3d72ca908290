// Max pooling. Planes of float32 and float64 with windows of at most 255 elements, one or two apart, go
// through vector rows that yield the maximum and its position in the window; channels innermost are walked in
// vectors of channels; everything else takes the plain loop. The backward scatters plane by plane, so it
// needs no atomics.
#include <algorithm>
#include <vector>

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

constexpr int64_t kMarks = int64_t{1} << 31;  // positions that the vectors' marks can name

// Channels innermost; w is null for adaptive windows, which take no codes.
void channel_max(const PoolGeometry& g, const PoolWindow* w, const View& x, const View& y,
                 const View& indices) {
  const auto maxima = simd_pool_channels().maxima[float_index(x.dtype)];
  const bool flat = indices.data && indices.dtype == DType::Int64, code = indices.data && !flat;
  const int64_t work = g.plane_in() / (g.out[0] * g.out[1]) * g.c + 1;
  parallel_for(g.n * g.out[0] * g.out[1], 4096 / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t oh = row % g.out[1], od = row / g.out[1] % g.out[0];
      const int64_t image = row / g.out[1] / g.out[0] * g.plane_in();
      const PoolSpan &d = g.spans[0][od], &h = g.spans[1][oh];
      for (int64_t ow = 0; ow < g.out[2]; ++ow) {
        const int64_t at = (row * g.out[2] + ow) * g.c, from = g.position(d, h, g.spans[2][ow]);
        PoolWalk walk = g.walk(d, h, g.spans[2][ow]);
        if (code) {
          walk.mark = Code{g, *w}.from_plane(from, od, oh, ow);
          walk.mark_step[0] = w->kernel[1] * w->kernel[2];
          walk.mark_step[1] = w->kernel[2];
          walk.mark_step[2] = 1;
        }
        maxima(element(x, (image + from) * g.c), walk, element(y, at),
               flat ? indices.ptr<int64_t>() + at : nullptr, code ? indices.ptr<uint8_t>() + at : nullptr,
               g.c);
      }
    }
  });
}

template <class T>
void plain_max(const PoolGeometry& g, const PoolWindow* w, const View& x, const View& y,
               const View& indices) {
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

// Rows of the window that lie inside the input, for output row (od, oh).
struct Rows {
  const void* start[256];
  uint8_t code[256];
  int64_t position[256];  // of the element with the row's code + j, j = 0, in the plane
  int count = 0;
};

template <class T>
void gather_rows(const PoolGeometry& g, const PoolWindow& w, const T* x, int64_t od, int64_t oh,
                 int64_t first_w, Rows* rows) {
  rows->count = 0;
  rows->code[0] = 0;  // read even when no row lies inside
  const int64_t c = first_w * w.stride[2] - w.pad[2];
  for (int64_t i = 0; i < w.kernel[0]; ++i)
    for (int64_t j = 0; j < w.kernel[1]; ++j) {
      const int64_t d = od * w.stride[0] - w.pad[0] + i * w.dilation[0];
      const int64_t h = oh * w.stride[1] - w.pad[1] + j * w.dilation[1];
      const int64_t code = (i * w.kernel[1] + j) * w.kernel[2];
      for (int64_t k = 0; k < w.kernel[2]; ++k)
        rows->position[code + k] = (d * g.in[1] + h) * g.in[2] + c + k;
      if (d < 0 || d >= g.in[0] || h < 0 || h >= g.in[1]) continue;
      rows->start[rows->count] = x + (d * g.in[1] + h) * g.in[2] + c;
      rows->code[rows->count++] = static_cast<uint8_t>(code);
    }
}

// An output whose window sticks out of the row: `rows` are those of output `at_rows`.
template <class T>
void put_clipped(const PoolGeometry& g, const PoolWindow& w, const Rows& rows, int64_t at_rows, int64_t ow,
                 T* y, uint8_t* code) {
  const int64_t begin = ow * w.stride[2] - w.pad[2], first = begin < 0 ? -begin : 0;
  const int64_t last = g.in[2] - begin < w.kernel[2] ? g.in[2] - begin : w.kernel[2];
  T best = -static_cast<T>(__builtin_inff());
  int64_t where = rows.code[0] + first;
  for (int r = 0; r < rows.count; ++r) {
    const T* row = static_cast<const T*>(rows.start[r]) + (ow - at_rows) * w.stride[2];
    for (int64_t j = first; j < last; ++j)
      if (row[j] > best || row[j] != row[j]) {
        best = row[j];
        where = rows.code[r] + j;
      }
  }
  *y = best;
  if (code) *code = static_cast<uint8_t>(where);
}

template <class T>
void vector_max_planes(const PoolGeometry& g, const PoolWindow& w, const View& x, const View& y,
                       const View& indices) {
  // outputs [lo, hi) have their whole window row inside the input
  int64_t lo = (w.pad[2] + w.stride[2] - 1) / w.stride[2];
  int64_t hi = (g.in[2] - w.kernel[2] + w.pad[2]) / w.stride[2] + 1;
  if (lo > g.out[2]) lo = g.out[2];
  if (g.in[2] + w.pad[2] < w.kernel[2] || hi < lo) hi = lo;
  if (hi > g.out[2]) hi = g.out[2];
  const auto max_row = simd_pool().max_row[sizeof(T) == 8];
  g.for_planes([&](int64_t image, int64_t c, int64_t) {
    const T* src = x.ptr<T>() + g.start(image, c, g.plane_in());
    const Output<T> out = output_at<T>(y, indices, g.start(image, c, g.plane_out()));
    uint8_t* codes = out.flat ? scratch<uint8_t>(0, g.out[2]) : nullptr;
    Rows rows;
    for (int64_t od = 0; od < g.out[0]; ++od)
      for (int64_t oh = 0; oh < g.out[1]; ++oh) {
        const int64_t at = (od * g.out[1] + oh) * g.out[2];
        gather_rows(g, w, src, od, oh, lo, &rows);
        const auto clipped = [&](int64_t ow) {
          if (out.flat)
            put_best(g, &w, src, out, at + ow, od, oh, ow);
          else
            put_clipped(g, w, rows, lo, ow, out.y + at + ow, out.code ? out.code + at + ow : nullptr);
        };
        for (int64_t ow = 0; ow < lo; ++ow) clipped(ow);
        if (lo < hi) {
          max_row(rows.start, rows.code, rows.count, static_cast<int>(w.kernel[2]),
                  static_cast<int>(w.stride[2]), out.y + at + lo, out.code ? out.code + at + lo : codes,
                  hi - lo);
          for (int64_t i = 0; out.flat && i < hi - lo; ++i)
            out.flat[at + lo + i] = rows.position[codes[i]] + i * w.stride[2];
        }
        for (int64_t ow = hi; ow < g.out[2]; ++ow) clipped(ow);
      }
  });
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
  const bool by_code = indices.dtype == DType::UInt8, sparse = may_be_hollow(w);
  std::vector<char> hollow[3];
  for (int i = 0; sparse && i < 3; ++i)
    for (int64_t o = 0; o < g.out[i]; ++o) hollow[i].push_back(is_hollow(g, w, i, o));
  if (!by_code) {
    const int64_t* flat = indices.ptr<int64_t>() + out;
    for (int64_t o = 0; o < g.plane_out(); ++o) {
      if (sparse && (hollow[2][static_cast<size_t>(o % g.out[2])] |
                     hollow[1][static_cast<size_t>(o / g.out[2] % g.out[1])] |
                     hollow[0][static_cast<size_t>(o / g.out[2] / g.out[1])]))
        continue;
      for (int64_t c = 0; c < last - first; ++c)
        fn(in + flat[o * stride + c] * stride + c, out + o * stride + c);
    }
    return;
  }
  const uint8_t* codes = indices.ptr<uint8_t>() + out;
  if (!sparse &&
      g.plane_out() < w.kernel[0] * w.kernel[1] * w.kernel[2]) {  // fewer than entries of the table
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
      const bool empty = sparse && (hollow[0][static_cast<size_t>(od)] | hollow[1][static_cast<size_t>(oh)]);
      for (int64_t ow = 0; ow < g.out[2]; ++ow, ++o) {
        if (empty || (sparse && hollow[2][static_cast<size_t>(ow)])) continue;
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
  PoolGeometry g(x, y);
  if (is_half(x.dtype) && !g.channels_last)
    return in_floats(x, y, indices,
                     [&](const View& a, const View& b, const View& i) { max_pool_forward(a, b, i, window); });
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
  if (g.channels_last && g.plane_in() < kMarks) return channel_max(g, &window, x, y, indices);
  const int64_t* k = window.kernel;
  const bool close = window.stride[2] == 1 || (window.stride[2] == 2 && k[2] >= 2);
  if (!g.channels_last && k[0] * k[1] * k[2] <= 255 && window.dilation[2] == 1 && close)
    return x.dtype == DType::Float64 ? vector_max_planes<double>(g, window, x, y, indices)
                                     : vector_max_planes<float>(g, window, x, y, indices);
  with_float(x.dtype, [&](auto t) { plain_max<decltype(t)>(g, &window, x, y, indices); });
}

void adaptive_max_pool_forward(const View& x, const View& y, const View& indices) {
  if (y.numel() == 0) return;
  PoolGeometry g(x, y);
  if (is_half(x.dtype) && !g.channels_last) return in_floats(x, y, indices, adaptive_max_pool_forward);
  g.adaptive();
  if (g.channels_last && g.plane_in() < kMarks) return channel_max(g, nullptr, x, y, indices);
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
    const T* from = x.ptr<const T>();
    g.for_planes([&](int64_t image, int64_t first, int64_t last) {
      const int64_t channels = last - first, start = g.start(image, first, g.plane_out());
      T* to = y.ptr<T>() + g.start(image, first, g.plane_in());
      __builtin_memset(to, 0, static_cast<size_t>(g.plane_in() * channels) * sizeof(T));
      if (channels == 1 && g.position_stride() == 1) {
        for (int64_t i = 0; i < g.plane_out(); ++i) to[flat[start + i]] = from[start + i];
        return;
      }
      for (int64_t i = 0; i < g.plane_out(); ++i)
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t at = start + i * channels + c;
          to[flat[at] * channels + c] = from[at];
        }
    });
  });
  return -1;
}

}  // namespace ccdl::cpu
