// Whole products, and products added tap by tap: for a block of rows of dy, w' * dy gives for every channel
// and tap a row of what it adds to dx. Rows of dx are kept apart by the residues of the stride, so that a tap
// adds whole vectors; they are joined once per image.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/conv_products.h>

namespace ccdl::cpu {
namespace {

View matrix(const View& like, int64_t rows, int64_t columns, int64_t row, int64_t column) {
  View v{};
  v.data = like.data;
  v.dtype = like.dtype;
  v.ndim = 3;
  v.sizes[0] = 1;
  v.sizes[1] = rows;
  v.sizes[2] = columns;
  v.strides[1] = row;
  v.strides[2] = column;
  return v;
}

// Rows of dx of one image, [row of all channels][residue of the stride][width].
template <class T>
struct SplitRows {
  int64_t residues, width;
  Buffer<T> data;
  SplitRows(const View& dx, int64_t stride)
      : residues(std::min(stride, dx.sizes[4])),
        width(ceil_div(dx.sizes[4], residues)),
        data(dx.sizes[1] * plane_size(dx) / dx.sizes[4] * residues * width) {}
  T* row(int64_t r, int64_t residue) const { return data + (r * residues + residue) * width; }
};

template <class T>
class Adder {
 public:
  Adder(const View& dy, const View& w, const View& dx, const ConvGeometry& g)
      : dy_(dy),
        w_(w),
        dx_(dx),
        g_(g),
        k_(dy.sizes[1]),
        m_(dx.sizes[1] * plane_size(w)),
        width_(dy.sizes[4]),
        rows_(dy.sizes[2] * dy.sizes[3]),
        block_(std::clamp<int64_t>(320 / width_, 1, rows_)),
        turned_(round_up(m_, gemm_kernels<T>().mr) * k_),
        places_(places()) {
    gemm_kernels<T>().pack_a(turned_, w.ptr<T>(), 1, m_, m_, k_);
  }

  void images(int64_t n, int64_t end) const {
    const auto& gemm = gemm_kernels<T>();
    const SplitRows<T> split(dx_, g_.stride[2]);
    const int64_t plane = plane_size(dy_);
    Buffer<T> panels(round_up(block_ * width_, gemm.nr) * k_), product(m_ * block_ * width_);
    for (; n < end; ++n) {
      std::fill_n(split.data.get(), dx_.sizes[1] * dx_.sizes[2] * dx_.sizes[3] * split.residues * split.width,
                  T(0));
      for (int64_t r = 0; r < rows_; r += block_) {
        const int64_t count = std::min(block_, rows_ - r), pixels = count * width_;
        gemm.pack_b(panels, dy_.ptr<T>() + n * k_ * plane + r * width_, plane, 1, k_, pixels);
        gemm.block({turned_,
                    k_,
                    0,
                    0,
                    true,
                    panels,
                    gemm.nr * k_,
                    gemm.nr,
                    product,
                    pixels,
                    m_,
                    pixels,
                    k_,
                    {T(1), T(0), nullptr, nullptr, false}});
        for (int64_t q = 0; q < count; ++q) {
          const int64_t d = (r + q) / dy_.sizes[3] * g_.stride[0], h = (r + q) % dy_.sizes[3] * g_.stride[1];
          const T* from = product + q * width_;
          for (size_t i = 0; i < places_.size(); ++i, from += pixels) add(split, places_[i], d, h, from);
        }
      }
      join(split, dx_.ptr<T>() + n * dx_.sizes[1] * plane_size(dx_));
    }
  }

 private:
  // What a channel and tap add: pixels [lo, hi) of a row go to elements from `at` on of a residue's row.
  struct Place {
    int64_t c, d, h;  // channel, and the shifts of depth and row
    int64_t lo, hi, at, residue;
  };
  std::vector<Place> places() const {
    std::vector<Place> out;
    for (int64_t i = 0; i < m_; ++i) {
      const int64_t tw = i % w_.sizes[4], th = i / w_.sizes[4] % w_.sizes[3],
                    td = i / (w_.sizes[4] * w_.sizes[3]) % w_.sizes[2], stride = g_.stride[2],
                    shift = tw * g_.dilation[2] - g_.padding[2];
      const int64_t lo = shift >= 0 ? 0 : std::min(width_, ceil_div(-shift, stride)),
                    hi = dx_.sizes[4] > shift
                             ? std::clamp<int64_t>((dx_.sizes[4] - 1 - shift) / stride + 1, lo, width_)
                             : lo,
                    first = lo < hi ? lo * stride + shift : 0;
      out.push_back({i / plane_size(w_), td * g_.dilation[0] - g_.padding[0],
                     th * g_.dilation[1] - g_.padding[1], lo, hi, first / stride, first % stride});
    }
    return out;
  }

  // Row (d, h) of dy, in positions of dx, through (channel, tap) p.
  void add(const SplitRows<T>& split, const Place& p, int64_t d, int64_t h, const T* from) const {
    d += p.d;
    h += p.h;
    if (d < 0 || d >= dx_.sizes[2] || h < 0 || h >= dx_.sizes[3]) return;
    T* to = split.row((p.c * dx_.sizes[2] + d) * dx_.sizes[3] + h, p.residue) + p.at;
    const int64_t n = p.hi - p.lo;
    from += p.lo;
    for (int64_t q = 0; q < n; ++q) to[q] += from[q];
  }

  void join(const SplitRows<T>& split, T* out) const {
    const int64_t size = dx_.sizes[4], all = dx_.sizes[1] * dx_.sizes[2] * dx_.sizes[3];
    for (int64_t r = 0; r < all; ++r, out += size) {
      if (split.residues == 1) {
        std::memcpy(out, split.row(r, 0), static_cast<size_t>(size) * sizeof(T));
      } else if (split.residues == 2) {
        const T *a = split.row(r, 0), *b = split.row(r, 1);
        for (int64_t q = 0; q < size / 2; ++q) {
          out[2 * q] = a[q];
          out[2 * q + 1] = b[q];
        }
        if (size % 2 != 0) out[size - 1] = a[size / 2];
      } else {
        for (int64_t q = 0; q < size; ++q) out[q] = split.row(r, q % split.residues)[q / split.residues];
      }
    }
  }

  const View &dy_, &w_, &dx_;
  const ConvGeometry& g_;
  int64_t k_, m_, width_, rows_, block_;  // block_: rows of dy at a time
  Buffer<T> turned_;
  std::vector<Place> places_;
};

// Adds the window of pixel p of a plane of dy to a plane of dx.
template <class T>
void add_window(const T* window, int64_t p, const View& dy, const View& w, const View& dx,
                const ConvGeometry& g, T* to) {
  const int64_t at_w = p % dy.sizes[4] * g.stride[2] - g.padding[2],
                at_h = p / dy.sizes[4] % dy.sizes[3] * g.stride[1] - g.padding[1],
                at_d = p / dy.sizes[4] / dy.sizes[3] * g.stride[0] - g.padding[0];
  const int64_t step = g.dilation[2], taps = w.sizes[4],
                lo = at_w < 0 ? std::min(taps, ceil_div(-at_w, step)) : 0,
                hi = dx.sizes[4] > at_w ? std::clamp((dx.sizes[4] - 1 - at_w) / step + 1, lo, taps) : lo;
  for (int64_t td = 0; td < w.sizes[2]; ++td) {
    const int64_t d = at_d + td * g.dilation[0];
    for (int64_t th = 0; th < w.sizes[3]; ++th, window += taps) {
      const int64_t h = at_h + th * g.dilation[1];
      if (d < 0 || d >= dx.sizes[2] || h < 0 || h >= dx.sizes[3]) continue;
      T* row = to + (d * dx.sizes[3] + h) * dx.sizes[4] + at_w;
      if (step == 1) {
        for (int64_t t = lo; t < hi; ++t) row[t] += window[t];
      } else {
        for (int64_t t = lo; t < hi; ++t) row[t * step] += window[t];
      }
    }
  }
}

}  // namespace

bool conv_is_whole(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  bool whole = g.groups == 1 && plane_size(y) == 1 && plane_size(x) > 1 && x.is_contiguous() &&
               w.is_contiguous() && x.numel() > 0 && w.numel() > 0;
  for (int d = 0; d < 3 && whole; ++d)
    whole =
        x.sizes[d + 2] == w.sizes[d + 2] && g.padding[d] == 0 && (g.dilation[d] == 1 || w.sizes[d + 2] == 1);
  return whole;
}

void conv_whole_forward(const View& x, const View& w, const void* bias, const View& y, bool relu) {
  const int64_t k = w.sizes[1] * plane_size(w), n = x.sizes[0], m = w.sizes[0];
  gemm(matrix(x, n, k, k, 1), matrix(w, k, m, 1, k), matrix(y, n, m, m, 1), 1, 0,
       {bias, 0, 1, relu ? Activation::Relu : Activation::None});
}

void conv_whole_backward_input(const View& dy, const View& w, const View& dx) {
  const int64_t k = w.sizes[1] * plane_size(w), n = dx.sizes[0], m = w.sizes[0];
  gemm(matrix(dy, n, m, m, 1), matrix(w, m, k, k, 1), matrix(dx, n, k, k, 1), 1, 0, {});
}

void conv_whole_backward_weight(const View& x, const View& dy, const View& dw) {
  const int64_t k = dw.sizes[1] * plane_size(dw), n = x.sizes[0], m = dw.sizes[0];
  gemm(matrix(dy, m, n, 1, m), matrix(x, n, k, k, 1), matrix(dw, m, k, k, 1), 1, 0, {});
}

bool conv_prefers_added(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const int64_t m = dx.sizes[1] * plane_size(w);
  return g.groups == 1 && dx.sizes[0] > 1 && dx.sizes[1] < 8 && m >= 48 && m <= 1024 && dy.sizes[1] >= 16 &&
         dy.sizes[4] >= 16 && dy.sizes[4] <= 4096 && dx.numel() / dx.sizes[0] <= 1 << 20;
}

template <class T>
void conv_backward_input_added(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const Adder<T> adder(dy, w, dx, g);
  parallel_for(dx.sizes[0], 1, [&](int64_t n, int64_t end) { adder.images(n, end); });
}

bool conv_prefers_windows(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  if (g.groups != 1 || !w.is_contiguous() || dy.numel() == 0 || w.numel() == 0) return false;
  const int64_t strides = std::min(g.stride[0], dx.sizes[2]) * std::min(g.stride[1], dx.sizes[3]) *
                          std::min(g.stride[2], dx.sizes[4]);
  // Few pixels under many filters (512 over 4x4): turning the filters would cost more than the additions.
  if (plane_size(w) > 1 && dy.sizes[1] > 2 * dy.sizes[0] * plane_size(dy)) return true;
  // An addition costs about as much as sixteen multiply-adds of the product.
  return plane_size(dx) / strides * dy.sizes[1] > 2 * plane_size(dy) * (dy.sizes[1] + 16);
}

template <class T>
void conv_backward_input_windows(const View& dy, const View& w, const View& dx, const ConvGeometry& g) {
  const int64_t k = dy.sizes[1], channels = dx.sizes[1], taps = plane_size(w), m = channels * taps,
                plane = plane_size(dy), rows = dx.sizes[0] * plane, image = channels * plane_size(dx),
                block = std::clamp<int64_t>((1 << 20) / m, 32, rows);
  Buffer<T> turned(block * k), windows(block * m);
  std::fill_n(dx.ptr<T>(), dx.numel(), T(0));
  View a = matrix(dy, 0, k, k, 1), product = matrix(dx, 0, m, m, 1);
  a.data = turned.get();
  product.data = windows.get();
  for (int64_t first = 0; first < rows; first += block) {
    const int64_t count = std::min(block, rows - first);
    parallel_for(count, std::max<int64_t>(1, (1 << 15) / k), [&](int64_t r, int64_t end) {
      for (; r < end; ++r) {
        const T* from = dy.ptr<T>() + (first + r) / plane * k * plane + (first + r) % plane;
        for (int64_t c = 0; c < k; ++c) turned[r * k + c] = from[c * plane];
      }
    });
    a.sizes[1] = product.sizes[1] = count;
    gemm(a, matrix(w, k, m, m, 1), product, 1, 0, {});
    // A channel of an image belongs to one chunk, which adds its windows in their order.
    const int64_t n0 = first / plane, images = (first + count - 1) / plane - n0 + 1;
    parallel_for(
        images * channels, std::max<int64_t>(1, (1 << 15) / (taps * plane)), [&](int64_t i, int64_t end) {
          for (; i < end; ++i) {
            const int64_t n = n0 + i / channels, c = i % channels;
            const int64_t lo = std::max(first, n * plane), hi = std::min(first + count, (n + 1) * plane);
            T* to = dx.ptr<T>() + n * image + c * plane_size(dx);
            for (int64_t r = lo; r < hi; ++r)
              add_window(windows.get() + (r - first) * m + c * taps, r - n * plane, dy, w, dx, g, to);
          }
        });
  }
}

template void conv_backward_input_windows<float>(const View&, const View&, const View&, const ConvGeometry&);
template void conv_backward_input_windows<double>(const View&, const View&, const View&, const ConvGeometry&);
template void conv_backward_input_added<float>(const View&, const View&, const View&, const ConvGeometry&);
template void conv_backward_input_added<double>(const View&, const View&, const View&, const ConvGeometry&);

}  // namespace ccdl::cpu
