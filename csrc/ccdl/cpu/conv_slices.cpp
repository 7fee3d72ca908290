// Copies with channels innermost around minimal filtering, a few million numbers at a time. Phases of the
// dilation come in up to four sizes, each a batch of its own.
#include <ccdl/cpu/conv_last_regions.h>
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/conv_slices.h>
#include <ccdl/cpu/conv_turned.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kSliceFloats = int64_t{1} << 22;  // of a copy

// Phases [first, first + count) of a dim, all of `in` source and `out` result positions.
struct Phases {
  int64_t first, count, in, out;
};

struct Dim {
  int64_t dilation, padding;  // padding: in steps of the dilation
  std::vector<Phases> phases;
  Dim(int64_t source, int64_t by, int64_t pad) : dilation(by), padding(pad) {
    const int64_t rest = source % by, size = source / by;
    if (rest > 0) phases.push_back({0, rest, size + 1, size + 1 + 2 * pad - 2});
    phases.push_back({rest, by - rest, size, size + 2 * pad - 2});
  }
  int64_t tiles() const {
    int64_t n = 0;
    for (const Phases& p : phases) n += p.count * ceil_div(p.out, 2);
    return n;
  }
};

// One direction: images of `to` are sums over the slices of `from` at their depth + shift.
struct Problem {
  const View &from, &to;  // channels innermost
  std::vector<int64_t> shift;
  Dim high, wide;
  int64_t channels() const { return from.sizes[1] * static_cast<int64_t>(shift.size()); }
  bool plain() const { return high.dilation * wide.dilation == 1; }
  bool as_it_is() const {
    return plain() && shift.size() == 1 && shift[0] == 0 && from.sizes[2] == to.sizes[2];
  }
};

Problem problem_of(const View& from, const View& to, int64_t depths, const ConvGeometry& g, bool adjoint) {
  const auto padding = [&g, adjoint](int d) {
    const int64_t steps = g.padding[d] / g.dilation[d];
    return adjoint ? 2 - steps : steps;
  };
  Problem p{from,
            to,
            {},
            Dim(from.sizes[3], g.dilation[1], padding(1)),
            Dim(from.sizes[4], g.dilation[2], padding(2))};
  for (int64_t t = 0; t < depths; ++t)
    p.shift.push_back(adjoint ? g.padding[0] - t * g.dilation[0] : t * g.dilation[0] - g.padding[0]);
  return p;
}

// A batch of images of one size: image i is the phase (high, wide) of a depth of a member of the batch.
struct Batch {
  const Problem& p;
  Phases high, wide;
  int64_t images() const { return p.to.sizes[0] * p.to.sizes[2] * high.count * wide.count; }
  struct At {
    int64_t n, depth, high, wide;
  };
  At at(int64_t i) const {
    const int64_t phases = high.count * wide.count, slice = i / phases;
    return {slice / p.to.sizes[2], slice % p.to.sizes[2], high.first + i % phases / wide.count,
            wide.first + i % wide.count};
  }
  const float* pixel(const View& v, const At& a, int64_t depth, int64_t h, int64_t w) const {
    return v.ptr<float>() +
           (((a.n * v.sizes[2] + depth) * v.sizes[3] + a.high + h * p.high.dilation) * v.sizes[4] + a.wide +
            w * p.wide.dilation) *
               v.sizes[1];
  }
  // The slices that images [first, first + count) sum over, channels side by side.
  const float* source(int64_t first, int64_t count, float* buffer) const {
    const int64_t c = p.from.sizes[1];
    if (p.as_it_is()) return p.from.ptr<float>() + first * high.in * wide.in * c;
    const int64_t row = wide.in * p.channels();
    parallel_for(count, std::max<int64_t>(1, (1 << 15) / (high.in * row)), [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const At a = at(first + i);
        float* out = buffer + i * high.in * row;
        for (const int64_t shift : p.shift) {
          const int64_t depth = a.depth + shift;
          const bool inside = depth >= 0 && depth < p.from.sizes[2];
          for (int64_t h = 0; h < high.in; ++h)
            for (int64_t w = 0; w < wide.in; ++w) {
              float* to = out + h * row + w * p.channels();
              if (inside)
                std::memcpy(to, pixel(p.from, a, depth, h, w), static_cast<size_t>(c) * sizeof(float));
              else
                std::fill_n(to, c, 0.0f);
            }
          out += c;
        }
      }
    });
    return buffer;
  }
  // Between images of the result's size and their places in `to`.
  void place(int64_t first, int64_t count, float* buffer, bool gather) const {
    const int64_t c = p.to.sizes[1];
    parallel_for(count, std::max<int64_t>(1, (1 << 15) / (high.out * wide.out * c)),
                 [&](int64_t i, int64_t end) {
                   for (; i < end; ++i) {
                     const At a = at(first + i);
                     float* image = buffer + i * high.out * wide.out * c;
                     for (int64_t h = 0; h < high.out; ++h)
                       for (int64_t w = 0; w < wide.out; ++w, image += c) {
                         auto* other = const_cast<float*>(pixel(p.to, a, a.depth, h, w));
                         std::memcpy(gather ? image : other, gather ? other : image,
                                     static_cast<size_t>(c) * sizeof(float));
                       }
                   }
                 });
  }
  float* result(int64_t first) const {
    return p.to.ptr<float>() + first * high.out * wide.out * p.to.sizes[1];
  }
  WinogradShape shape(int64_t count, int64_t rows) const {
    return {
        count, p.channels(), rows, {high.in, wide.in}, {high.out, wide.out}, {p.high.padding, p.wide.padding},
        true};
  }
};

// fn(batch, first image, images) for pieces of the problem in their order; stops where it gives false.
template <class F>
bool for_pieces(const Problem& p, const F& fn) {
  for (const Phases& high : p.high.phases)
    for (const Phases& wide : p.wide.phases) {
      const Batch batch{p, high, wide};
      if (high.out <= 0 || wide.out <= 0) continue;
      const int64_t image = high.in * wide.in * p.channels(), images = batch.images(),
                    pieces = p.as_it_is() ? 1 : ceil_div(images, std::max<int64_t>(1, kSliceFloats / image));
      for (int64_t i = 0; i < pieces; ++i) {
        const int64_t first = images * i / pieces, count = images * (i + 1) / pieces - first;
        if (!fn(batch, first, count)) return false;
      }
    }
  return true;
}

int64_t most_floats(const Problem& p, int64_t channels, bool of_result) {
  int64_t most = 0;
  for_pieces(p, [&](const Batch& b, int64_t, int64_t count) {
    most = std::max(most, count * channels * (of_result ? b.high.out * b.wide.out : b.high.in * b.wide.in));
    return true;
  });
  return most;
}

// w [K, C, D, 3, 3] as [rows][depth, channel][9]: rows and channels are K and C, or C and K.
View permuted(const View& w, bool adjoint) {
  View v = w;
  const int from[3] = {adjoint ? 1 : 0, 2, adjoint ? 0 : 1};
  for (int d = 0; d < 3; ++d) {
    v.sizes[d] = w.sizes[from[d]];
    v.strides[d] = w.strides[from[d]];
  }
  return v;
}
View dense_like(const View& v, float* data) {
  View out = v;
  out.data = data;
  int64_t stride = 1;
  for (int d = v.ndim - 1; d >= 0; --d) {
    out.strides[d] = stride;
    stride *= v.sizes[d];
  }
  return out;
}

bool sweep(const Problem& p, const View& w, const float* bias, bool relu, bool adjoint) {
  const int64_t rows = p.to.sizes[1];
  const bool several = p.shift.size() > 1;
  const View turned = permuted(w, adjoint);
  Buffer<float> filters(several ? w.numel() : 0),
      source(p.as_it_is() ? 0 : most_floats(p, p.channels(), false)),
      result(p.plain() ? 0 : most_floats(p, rows, true));
  WinogradFilterView view = winograd_filters(w, adjoint);
  if (several) {
    copy_cast(turned, dense_like(turned, filters));
    view = {filters, p.channels() * 9, 9, 1, adjoint};
  }
  return for_pieces(p, [&](const Batch& b, int64_t first, int64_t count) {
    float* to = p.plain() ? b.result(first) : result.get();
    if (!winograd_forward(b.shape(count, rows), b.source(first, count, source), view, bias, relu, to))
      return false;
    if (!p.plain()) b.place(first, count, to, false);
    return true;
  });
}

}  // namespace

bool conv_fits_slices(const View& x, const View& w, const View& y, const ConvGeometry& g, bool weight) {
  if (x.dtype != DType::Float32 || g.groups != 1 || w.sizes[3] != 3 || w.sizes[4] != 3 || x.numel() == 0 ||
      y.numel() == 0 || std::min(w.sizes[0], w.sizes[1]) < (w.sizes[2] > 2 ? 16 : 32))
    return false;
  int64_t tiles = 1;
  for (int d = 0; d < 3; ++d) {
    if (g.stride[d] != 1) return false;
    if (d == 0) continue;
    const int64_t steps = g.padding[d] / g.dilation[d];
    if (steps * g.dilation[d] != g.padding[d] || steps > 2 || g.dilation[d] > x.sizes[d + 2] ||
        y.sizes[d + 2] != x.sizes[d + 2] + 2 * g.padding[d] - 2 * g.dilation[d])
      return false;
    tiles *= Dim(x.sizes[d + 2], g.dilation[d], steps).tiles();
  }
  if (y.sizes[2] != x.sizes[2] + 2 * g.padding[0] - (w.sizes[2] - 1) * g.dilation[0]) return false;
  const int64_t pixels = y.sizes[3] * y.sizes[4];
  // Measured: by way of the transforms a product takes so much longer than one of a region.
  const double longer = weight ? 1.1 : 1.35;
  if (conv_prefers_regions(x, w, y, g) && conv_inside_share(x, w, y, g) * static_cast<double>(9 * pixels) <
                                              longer * static_cast<double>(16 * tiles))
    return false;
  return tiles * 16 * 4 <= pixels * 9 * 3 && x.sizes[0] * y.sizes[2] * tiles >= 64;
}

bool conv_slices_forward(const View& x, const View& w, const float* bias, const View& y,
                         const ConvGeometry& g, bool relu) {
  if (!conv_is_last(x, y)) {
    const Turned<float> from(x), to(y);
    if (!conv_slices_forward(from.filled(x).view, w, bias, to.view, g, relu)) return false;
    copy_cast(to.view, y);
    return true;
  }
  return sweep(problem_of(x, y, w.sizes[2], g, false), w, bias, relu, false);
}

bool conv_slices_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (!conv_is_last(dx, dy)) {
    const Turned<float> from(dy), to(dx);
    if (!conv_slices_backward_input(from.filled(dy).view, w, to.view, g)) return false;
    copy_cast(to.view, dx);
    return true;
  }
  return sweep(problem_of(dy, dx, w.sizes[2], g, true), w, nullptr, false, true);
}

bool conv_slices_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  if (!conv_is_last(x, dy)) {
    const Turned<float> from(x), to(dy);
    return conv_slices_backward_weight(from.filled(x).view, to.filled(dy).view, dw, g);
  }
  const Problem p = problem_of(x, dy, dw.sizes[2], g, false);
  const int64_t rows = dy.sizes[1], size = dw.numel();
  Buffer<float> sums(size), part(size), source(p.as_it_is() ? 0 : most_floats(p, p.channels(), false)),
      other(p.plain() ? 0 : most_floats(p, rows, true));
  std::fill_n(sums.get(), size, 0.0f);
  const bool finite = for_pieces(p, [&](const Batch& b, int64_t first, int64_t count) {
    float* d = p.plain() ? b.result(first) : other.get();
    if (!p.plain()) b.place(first, count, d, true);
    if (!winograd_backward_weight(b.shape(count, rows), b.source(first, count, source), d, part, false))
      return false;
    for (int64_t i = 0; i < size; ++i) sums[i] += part[i];
    return true;
  });
  if (!finite) return false;
  const View to = permuted(dw, false);
  copy_cast(dense_like(to, sums), to);
  return true;
}

}  // namespace ccdl::cpu
