// Layer, rms, batch and group normalisation. The unit of work is a row (layer, rms), a channel with all its
// images, so that the second pass finds it in L2 (batch), a block of rows (batch, channels innermost), or a
// group (group norm). Sums over rows go to one partial row per fixed block, added in block order.
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <type_traits>
#include <utility>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/norm.h>
#include <ccdl/cpu/simd/stream.h>
#include <ccdl/kernels/norm.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunkElements = 32768;
constexpr int64_t kMaxBlocks = 64;                   // partial rows of the sums over rows
constexpr int64_t kFewImages = 8, kShortPlane = 32;  // batch norm: images from which short planes go by rows
constexpr int64_t kFewPositions = 64;  // up to here a channel's coefficients are repeated for each of them

int64_t items_per_chunk(int64_t n) { return n >= kChunkElements ? 1 : kChunkElements / (n < 1 ? 1 : n); }
double rstd_of(double var, double eps) { return 1.0 / __builtin_sqrt(var + eps); }
double read_or(const View& v, int64_t i, double otherwise) { return v.data ? read_float(v, i) : otherwise; }
DType stat_dtype(DType t) { return t == DType::Float64 ? DType::Float64 : DType::Float32; }

Moments join(Moments a, Moments b) {
  const double n = a.count + b.count, d = b.mean - a.mean;
  if (n == 0) return a;
  return {n, a.mean + d * (b.count / n), a.m2 + b.m2 + d * d * (a.count * b.count / n)};
}

int64_t rows_per_block(int64_t m, int64_t n) {
  const int64_t least = items_per_chunk(n), even = (m + kMaxBlocks - 1) / kMaxBlocks;
  return least > even ? least : even;
}

// Rows of `slices` times n elements, each slice with statistics and a part of w and b of its own.
struct RowShape {
  int64_t rows, slices, n;
  int64_t width() const { return slices * n; }
};
RowShape whole_rows(const View& x) { return {x.sizes[0], 1, x.sizes[1]}; }

// Both are shared by layer norm, rms norm (mean.data == null) and group norm of few positions. w and b: null
// or of x's dtype.
void rows_forward(const RowShape& s, const View& x, const void* w, const void* b, const View& y,
                  const View& mean, const View& rstd, double eps) {
  const int64_t width = s.width(), grain = (items_per_chunk(width) + 3) / 4 * 4;  // rows go by fours
  parallel_for(s.rows, grain, [&](int64_t begin, int64_t end) {
    simd_norm().layer_forward[float_index(x.dtype)](
        element(x, begin * width), w, b, element(y, begin * width),
        mean.data ? element(mean, begin * s.slices) : nullptr, element(rstd, begin * s.slices),
        (end - begin) * s.slices, s.n, s.slices, eps);
  });
}

// dw, db: null or [width] of dtype out. workspace: partial rows, see layer_norm_workspace_bytes.
void rows_backward(const RowShape& s, const View& x, const void* w, const View& mean, const View& rstd,
                   const View& dy, const View& dx, void* dw, void* db, DType out, void* workspace) {
  const int64_t m = s.rows, n = s.width();
  const int t = float_index(x.dtype);
  const DType stat = stat_dtype(x.dtype);
  const int64_t width = n * item_size(stat), per_block = rows_per_block(m, n),
                blocks = (m + per_block - 1) / per_block;
  const bool past = 3 * m * n * item_size(x.dtype) >= kPastFrom;
  char* partial = static_cast<char*>(workspace);
  parallel_for(m, per_block, [&](int64_t begin, int64_t end) {
    char* dw_block = dw ? partial + begin / per_block * 2 * width : nullptr;
    char* db_block = db ? partial + (begin / per_block * 2 + 1) * width : nullptr;
    if (dw_block) __builtin_memset(dw_block, 0, static_cast<size_t>(width));
    if (db_block) __builtin_memset(db_block, 0, static_cast<size_t>(width));
    simd_norm().layer_backward[t](
        element(x, begin * n), w, mean.data ? element(mean, begin * s.slices) : nullptr,
        element(rstd, begin * s.slices), element(dy, begin * n), dx.data ? element(dx, begin * n) : nullptr,
        dw_block, db_block, (end - begin) * s.slices, s.n, s.slices, past);
  });
  if (!dw && !db) return;
  parallel_for(n, items_per_chunk(blocks), [&](int64_t begin, int64_t end) {
    for (int which = 0; which < 2; ++which)
      if (void* to = which == 0 ? dw : db)
        simd_norm().add_rows[float_index(out)](partial + which * width + begin * item_size(stat), blocks,
                                               2 * n, static_cast<char*>(to) + begin * item_size(out),
                                               end - begin);
  });
}

// Geometry of [N, C, S] in either layout. By rows: column k of row r is at r * columns() + k and belongs to
// channel k / repeat; repeat is 1 with the channels innermost, S where planes are too short to go one by one.
struct Channels {
  int64_t n, c, s, repeat = 1;
  bool by_rows;
  explicit Channels(const View& x) : n(x.sizes[0]), c(x.sizes[1]), s(x.sizes[2]) {
    by_rows = c > 1 && (s == 1 || (x.strides[1] == 1 && x.strides[2] == c));
    if (by_rows || n < kFewImages || s > kShortPlane) return;
    by_rows = true;
    repeat = s;
  }
  int64_t per_channel() const { return n * s; }
  int64_t columns() const { return c * repeat; }
  int64_t rows() const { return n * (s / repeat); }
  int64_t offset(int64_t image, int64_t channel) const { return (image * c + channel) * s; }
  template <class F>
  void for_channels(const F& fn) const {
    parallel_for(c, items_per_chunk(per_channel()), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) fn(i);
    });
  }
  // Blocks of rows that stay in L2 between two passes: fn(block, first row, rows).
  int64_t block_rows() const {
    const int64_t even = (rows() + kMaxBlocks - 1) / kMaxBlocks, least = 2 * kChunkElements / columns();
    return even > least ? even : least > 8 ? least : 8;
  }
  int64_t blocks() const { return (rows() + block_rows() - 1) / block_rows(); }
  template <class F>
  void for_rows(const F& fn) const {
    const int64_t height = block_rows();
    parallel_for(rows(), height, [&](int64_t begin, int64_t end) { fn(begin / height, begin, end - begin); });
  }
  // The coefficients of channel c, one vector of columns() for each.
  template <class S>
  void spread(int64_t channel, std::initializer_list<std::pair<S*, double>> values) const {
    for (const auto& [to, value] : values) std::fill_n(to + channel * repeat, repeat, static_cast<S>(value));
  }
};

// What the statistics of channel c make of it.
struct TrainForward {
  const View &weight, &bias, &running_mean, &running_var, &mean, &rstd;
  double momentum, eps, m;
  void operator()(int64_t c, double mu, double m2, double* scale, double* shift) const {
    const double r = rstd_of(m > 0 ? m2 / m : 0.0, eps);
    write_float(mean, c, mu);
    write_float(rstd, c, r);
    *scale = r * read_or(weight, c, 1.0);
    *shift = read_or(bias, c, 0.0);
    if (running_mean.data && m > 0)
      write_float(running_mean, c, (1 - momentum) * read_float(running_mean, c) + momentum * mu);
    if (running_var.data && m > 0)
      write_float(running_var, c, (1 - momentum) * read_float(running_var, c) + momentum * (m2 / (m - 1)));
  }
};
struct Backward {
  const View &weight, &rstd, &dweight, &dbias;
  double m;
  bool train;
  void operator()(int64_t channel, double sum, double dot, double* a, double* b, double* c) const {
    const double r = read_float(rstd, channel), scale = r * read_or(weight, channel, 1.0);
    if (dweight.data) write_float(dweight, channel, dot * r);
    if (dbias.data) write_float(dbias, channel, sum);
    *a = scale;
    *b = train ? -scale * r * r * dot / m : 0.0;
    *c = train ? -scale * sum / m : 0.0;
  }
};

// S: the stat dtype's type. Coefficients of all columns lie in [n, columns] of S.
template <class S>
void forward_train_rows(const Channels& g, const View& x, const View& y, const TrainForward& finish) {
  const int t = float_index(x.dtype);
  const int64_t width = g.columns(), blocks = g.blocks(), height = g.block_rows();
  Buffer<S> memory((3 * blocks + 3) * width);
  S *partial = memory.get(), *mean = partial + 3 * blocks * width, *scale = mean + width,
    *shift = scale + width;
  g.for_rows([&](int64_t block, int64_t row, int64_t rows) {
    simd_norm().row_moments[t](element(x, row * width), rows, width, partial + 3 * block * width);
  });
  Buffer<double> wide(2 * width);
  double *mu = wide.get(), *m2 = mu + width;
  for (int64_t i = 0; i < 2 * width; ++i) mu[i] = 0;
  double before = 0;
  for (int64_t block = 0; block < blocks; ++block) {  // join(), for all columns at once
    const S *p = partial + 3 * block * width, *rest = p + width, *squares = rest + width;
    const double left = static_cast<double>(g.rows() - block * height), full = static_cast<double>(height);
    const double count = left < full ? left : full, share = count / (before + count);
    const double each = 1 / count, weight = before * share;
    for (int64_t i = 0; i < width; ++i) {
      const double more = static_cast<double>(rest[i]), d = static_cast<double>(p[i]) + more * each - mu[i];
      m2[i] += static_cast<double>(squares[i]) - more * more * each + d * d * weight;
      mu[i] += d * share;
    }
    before += count;
  }
  for (int64_t c = 0; c < g.c; ++c) {
    Moments all = {before, mu[c * g.repeat], m2[c * g.repeat]};
    for (int64_t i = 1; i < g.repeat; ++i)
      all = join(all, {before, mu[c * g.repeat + i], m2[c * g.repeat + i]});
    double a, b;
    finish(c, all.mean, all.m2, &a, &b);
    g.spread<S>(c, {{mean, all.mean}, {scale, a}, {shift, b}});
  }
  g.for_rows([&](int64_t, int64_t row, int64_t rows) {
    simd_norm().row_scale[t](element(x, row * width), element(y, row * width), rows, width, mean, scale,
                             shift);
  });
}

template <class S>
void backward_rows(const Channels& g, const View& x, const View& mean, const View& dy, const View& dx,
                   const Backward& finish) {
  const int t = float_index(x.dtype);
  const int64_t width = g.columns(), blocks = g.blocks();
  Buffer<S> memory((2 * blocks + 6) * width);
  S *partial = memory.get(), *sums = partial + 2 * blocks * width, *dots = sums + width, *a = dots + width,
    *b = a + width, *shift = b + width, *mu = shift + width;
  for (int64_t c = 0; c < g.c; ++c) g.spread<S>(c, {{mu, read_float(mean, c)}});
  g.for_rows([&](int64_t block, int64_t row, int64_t rows) {
    simd_norm().row_grad_sums[t](element(x, row * width), element(dy, row * width), rows, width, mu,
                                 partial + 2 * block * width);
  });
  simd_norm().add_rows[float_index(mean.dtype)](partial, blocks, 2 * width, sums, 2 * width);
  for (int64_t c = 0; c < g.c; ++c) {
    double sum = 0, dot = 0, own[3];
    for (int64_t i = c * g.repeat; i < (c + 1) * g.repeat; ++i) {
      sum += static_cast<double>(sums[i]);
      dot += static_cast<double>(dots[i]);
    }
    finish(c, sum, dot, own, own + 1, own + 2);
    g.spread<S>(c, {{a, own[0]}, {b, own[1]}, {shift, own[2]}});
  }
  if (!dx.data) return;
  g.for_rows([&](int64_t, int64_t row, int64_t rows) {
    simd_norm().row_grad_scale[t](element(x, row * width), element(dy, row * width), element(dx, row * width),
                                  rows, width, mu, a, b, shift);
  });
}

}  // namespace

int64_t layer_norm_workspace_bytes(int64_t m, int64_t n, DType t) {
  const int64_t per_block = rows_per_block(m, n);
  return (m + per_block - 1) / per_block * 2 * n * item_size(stat_dtype(t));
}

void layer_norm_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, double eps) {
  rows_forward(whole_rows(x), x, weight.data, bias.data, y, mean, rstd, eps);
}

void layer_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         void* workspace) {
  rows_backward(whole_rows(x), x, weight.data, mean, rstd, dy, dx, dweight.data, dbias.data, x.dtype,
                workspace);
}

void rms_norm_forward(const View& x, const View& weight, const View& y, const View& rstd, double eps) {
  const View absent = {};
  rows_forward(whole_rows(x), x, weight.data, nullptr, y, absent, rstd, eps);
}

void rms_norm_backward(const View& x, const View& weight, const View& rstd, const View& dy, const View& dx,
                       const View& dweight, void* workspace) {
  View absent = {};
  rows_backward(whole_rows(x), x, weight.data, absent, rstd, dy, dx, dweight.data, nullptr, x.dtype,
                workspace);
}

void batch_norm_forward_train(const View& x, const View& weight, const View& bias, const View& running_mean,
                              const View& running_var, const View& y, const View& mean, const View& rstd,
                              double momentum, double eps) {
  const Channels g(x);
  const TrainForward finish = {weight,      bias, running_mean,
                               running_var, mean, rstd,
                               momentum,    eps,  static_cast<double>(g.per_channel())};
  if (g.by_rows)
    return x.dtype == DType::Float64 ? forward_train_rows<double>(g, x, y, finish)
                                     : forward_train_rows<float>(g, x, y, finish);
  const int t = float_index(x.dtype);
  g.for_channels([&](int64_t c) {
    Moments moments = {0, 0, 0};
    for (int64_t i = 0; i < g.n; ++i)
      moments = join(moments, simd_norm().moments[t](element(x, g.offset(i, c)), g.s));
    double scale, shift;
    finish(c, moments.mean, moments.m2, &scale, &shift);
    for (int64_t i = 0; i < g.n; ++i) {
      const int64_t at = g.offset(i, c);
      simd_norm().affine[t](element(x, at), element(y, at), g.s, moments.mean, scale, shift, g.s);
    }
  });
}

void batch_norm_forward_eval(const View& x, const View& weight, const View& bias, const View& running_mean,
                             const View& running_var, const View& y, double eps) {
  const Channels g(x);
  const int t = float_index(x.dtype);
  const auto run = [&](auto zero) {
    using S = decltype(zero);
    const int64_t width = g.columns();
    Buffer<S> memory(3 * width);
    S *mean = memory.get(), *scale = mean + width, *shift = scale + width;
    for (int64_t c = 0; c < g.c; ++c)
      g.spread<S>(c, {{mean, read_float(running_mean, c)},
                      {scale, rstd_of(read_float(running_var, c), eps) * read_or(weight, c, 1.0)},
                      {shift, read_or(bias, c, 0.0)}});
    if (g.by_rows)
      return g.for_rows([&](int64_t, int64_t row, int64_t rows) {
        simd_norm().row_scale[t](element(x, row * width), element(y, row * width), rows, width, mean, scale,
                                 shift);
      });
    // Nothing to gather over the images: walk the planes in memory order.
    parallel_for(g.n * g.c, items_per_chunk(g.s), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t c = i % g.c;
        simd_norm().affine[t](element(x, i * g.s), element(y, i * g.s), g.s, static_cast<double>(mean[c]),
                              static_cast<double>(scale[c]), static_cast<double>(shift[c]), 0);
      }
    });
  };
  x.dtype == DType::Float64 ? run(0.0) : run(0.0f);
}

void batch_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias, bool train) {
  const Channels g(x);
  const Backward finish = {weight, rstd, dweight, dbias, static_cast<double>(g.per_channel()), train};
  if (g.by_rows)
    return x.dtype == DType::Float64 ? backward_rows<double>(g, x, mean, dy, dx, finish)
                                     : backward_rows<float>(g, x, mean, dy, dx, finish);
  const int t = float_index(x.dtype);
  const NormKernels& simd = simd_norm();
  const bool past = 3 * x.numel() * item_size(x.dtype) >= kPastFrom;
  g.for_channels([&](int64_t channel) {
    const double mu = read_float(mean, channel);
    double sum = 0, dot = 0, a, b, c;
    for (int64_t i = 0; i < g.n; ++i) {
      const int64_t at = g.offset(i, channel);
      double pair[2];
      simd.grad_sums[t](element(x, at), element(dy, at), g.s, mu, pair);
      sum += pair[0];
      dot += pair[1];
    }
    finish(channel, sum, dot, &a, &b, &c);
    for (int64_t i = 0; dx.data && i < g.n; ++i) {
      const int64_t at = g.offset(i, channel);
      simd.grad_affine[t](element(x, at), element(dy, at), element(dx, at), g.s, mu, a, b, c, g.s, past);
    }
  });
}

namespace {

// Group norm of few positions as rows of C S elements, w and b repeated for each of them. A vector of another
// dtype than x, or one image (whose repeated vectors would be as long as itself), goes channel by channel.
bool as_rows(const View& x, const View& weight, const View& bias) {
  const int64_t s = x.sizes[2];
  return (s == 1 || (s <= kFewPositions && x.sizes[0] > 1)) &&
         (weight.data == nullptr || weight.dtype == x.dtype) &&
         (bias.data == nullptr || bias.dtype == x.dtype);
}
RowShape group_rows(const View& x, int64_t groups) {
  return {x.sizes[0], groups, x.sizes[1] / groups * x.sizes[2]};
}

class Repeated {
 public:
  Repeated(const View& v, int64_t times) : data_(v.data) {
    if (v.data == nullptr || times == 1) return;
    const int64_t item = item_size(v.dtype), n = v.sizes[0];
    memory_ = std::make_unique<Buffer<char>>(n * times * item);
    data_ = memory_->get();
    const auto fill = [&](auto zero) {
      using T = decltype(zero);
      for (int64_t c = 0; c < n; ++c)
        std::fill_n(static_cast<T*>(data_) + c * times, times, v.ptr<const T>()[c]);
    };
    item == 2 ? fill(uint16_t{}) : item == 4 ? fill(uint32_t{}) : fill(uint64_t{});
  }
  const void* data() const { return data_; }

 private:
  std::unique_ptr<Buffer<char>> memory_;
  void* data_;
};

// S: the stat dtype's type, that of dweight and dbias.
template <class S>
void group_rows_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         int64_t groups) {
  const RowShape shape = group_rows(x, groups);
  const int64_t channels = x.sizes[1], s = x.sizes[2], width = shape.width();
  const Repeated w(weight, s);
  const int64_t bytes = layer_norm_workspace_bytes(shape.rows, width, x.dtype);
  const bool columns = dweight.data || dbias.data;
  Buffer<S> memory(columns ? bytes / static_cast<int64_t>(sizeof(S)) + 2 * width : 1);
  S *dw = memory.get(), *db = dw + width;
  rows_backward(shape, x, w.data(), mean, rstd, dy, dx, dweight.data ? dw : nullptr,
                dbias.data ? db : nullptr, mean.dtype, db + width);
  for (int64_t c = 0; columns && c < channels; ++c)
    for (const auto& [view, from] : {std::pair<const View*, const S*>{&dweight, dw}, {&dbias, db}}) {
      if (view->data == nullptr) continue;
      double sum = 0;
      for (int64_t i = 0; i < s; ++i) sum += static_cast<double>(from[c * s + i]);
      write_float(*view, c, sum);
    }
}

// Channels innermost, an image at a time in blocks of rows that stay in L2: fn(first element, rows).
template <class F>
void for_image_blocks(const View& x, int64_t image, const F& fn) {
  const int64_t c = x.sizes[1], s = x.sizes[2], height = std::max<int64_t>(8, 2 * kChunkElements / c);
  for (int64_t row = 0; row < s; row += height) fn((image * s + row) * c, std::min(height, s - row));
}
bool channels_last(const View& x) {
  return x.sizes[1] > 1 && x.sizes[2] > 1 && x.strides[1] == 1 && x.strides[2] == x.sizes[1];
}

// The weights, or biases, of all channels; `absent` where there are none.
template <class S>
void read_channels(const View& v, int64_t channels, double absent, S* out) {
  for (int64_t c = 0; c < channels; ++c) out[c] = static_cast<S>(read_or(v, c, absent));
}

// block [3, C] of row_moments: the moments of d channels from c on, whose counts are equal.
template <class S>
Moments group_moments(const S* block, int64_t channels, int64_t c, int64_t d, double rows) {
  const S *mean = block + c, *rest = mean + channels, *squares = rest + channels;
  const double share = 1 / rows, each = 1 / static_cast<double>(d);
  double sum = 0, m2 = 0, between = 0;
  for (int64_t j = 0; j < d; ++j) sum += static_cast<double>(mean[j]) + static_cast<double>(rest[j]) * share;
  const double middle = sum * each;
  for (int64_t j = 0; j < d; ++j) {
    const double more = static_cast<double>(rest[j]),
                 off = static_cast<double>(mean[j]) + more * share - middle;
    m2 += static_cast<double>(squares[j]) - more * more * share;
    between += off * off;
  }
  return {rows * static_cast<double>(d), middle, m2 + rows * between};
}

template <class S>
void group_last_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, int64_t groups, double eps) {
  const int64_t channels = x.sizes[1], s = x.sizes[2], d = channels / groups;
  const int t = float_index(x.dtype);
  Buffer<S> vectors(2 * channels);
  S *w = vectors.get(), *shift = w + channels;
  read_channels(weight, channels, 1.0, w);
  read_channels(bias, channels, 0.0, shift);
  parallel_for(x.sizes[0], items_per_chunk(channels * s), [&](int64_t begin, int64_t end) {
    Buffer<S> memory(5 * channels);
    S *center = memory.get(), *scale = center + channels, *block = scale + channels;
    Buffer<Moments> all(groups);
    for (int64_t image = begin; image < end; ++image) {
      std::fill_n(all.get(), groups, Moments{0, 0, 0});
      for_image_blocks(x, image, [&](int64_t at, int64_t rows) {
        simd_norm().row_moments[t](element(x, at), rows, channels, block);
        for (int64_t g = 0; g < groups; ++g)
          all.get()[g] =
              join(all.get()[g], group_moments(block, channels, g * d, d, static_cast<double>(rows)));
      });
      for (int64_t g = 0; g < groups; ++g) {
        const Moments& m = all.get()[g];
        const double r = rstd_of(m.m2 / m.count, eps);
        write_float(mean, image * groups + g, m.mean);
        write_float(rstd, image * groups + g, r);
        std::fill_n(center + g * d, d, static_cast<S>(m.mean));
        for (int64_t c = g * d; c < (g + 1) * d; ++c) scale[c] = static_cast<S>(r) * w[c];
      }
      for_image_blocks(x, image, [&](int64_t at, int64_t rows) {
        simd_norm().row_scale[t](element(x, at), element(y, at), rows, channels, center, scale, shift);
      });
    }
  });
}

// Also fills sums [N, C, 2] of group_norm_backward.
template <class S>
void group_last_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, int64_t groups, double* sums) {
  const int64_t channels = x.sizes[1], s = x.sizes[2], d = channels / groups;
  const int t = float_index(x.dtype);
  Buffer<S> vectors(channels);
  S* w = vectors.get();
  read_channels(weight, channels, 1.0, w);
  parallel_for(x.sizes[0], items_per_chunk(channels * s), [&](int64_t begin, int64_t end) {
    Buffer<S> memory(6 * channels);
    S *center = memory.get(), *a = center + channels, *b = a + channels, *shift = b + channels,
      *block = shift + channels;
    for (int64_t image = begin; image < end; ++image) {
      double* own = sums + 2 * image * channels;
      std::fill_n(own, 2 * channels, 0.0);
      for (int64_t g = 0; g < groups; ++g)
        std::fill_n(center + g * d, d, static_cast<S>(read_float(mean, image * groups + g)));
      for_image_blocks(x, image, [&](int64_t at, int64_t rows) {
        simd_norm().row_grad_sums[t](element(x, at), element(dy, at), rows, channels, center, block);
        for (int64_t c = 0; c < channels; ++c) {
          own[2 * c] += static_cast<double>(block[c]);
          own[2 * c + 1] += static_cast<double>(block[channels + c]);
        }
      });
      if (!dx.data) continue;
      for (int64_t g = 0; g < groups; ++g) {
        const double r = read_float(rstd, image * groups + g), size = static_cast<double>(d * s);
        double sum = 0, dot = 0;
        for (int64_t c = g * d; c < (g + 1) * d; ++c) {
          sum += static_cast<double>(w[c]) * own[2 * c];
          dot += static_cast<double>(w[c]) * own[2 * c + 1];
          a[c] = static_cast<S>(r) * w[c];
        }
        std::fill_n(b + g * d, d, static_cast<S>(-r * r * r * dot / size));
        std::fill_n(shift + g * d, d, static_cast<S>(-r * sum / size));
      }
      for_image_blocks(x, image, [&](int64_t at, int64_t rows) {
        simd_norm().row_grad_scale[t](element(x, at), element(dy, at), element(dx, at), rows, channels,
                                      center, a, b, shift);
      });
    }
  });
}

}  // namespace

void group_norm_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, int64_t groups, double eps) {
  if (channels_last(x))
    return x.dtype == DType::Float64 ? group_last_forward<double>(x, weight, bias, y, mean, rstd, groups, eps)
                                     : group_last_forward<float>(x, weight, bias, y, mean, rstd, groups, eps);
  if (as_rows(x, weight, bias)) {
    const Repeated w(weight, x.sizes[2]), b(bias, x.sizes[2]);
    return rows_forward(group_rows(x, groups), x, w.data(), b.data(), y, mean, rstd, eps);
  }
  const int64_t channels = x.sizes[1], s = x.sizes[2], d = channels / groups;
  const int t = float_index(x.dtype);
  parallel_for(x.sizes[0] * groups, items_per_chunk(d * s), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Moments moments = simd_norm().moments[t](element(x, row * d * s), d * s);
      const double r = rstd_of(moments.m2 / static_cast<double>(d * s), eps);
      write_float(mean, row, moments.mean);
      write_float(rstd, row, r);
      for (int64_t j = 0; j < d; ++j) {
        const int64_t c = row % groups * d + j, at = (row * d + j) * s;
        simd_norm().affine[t](element(x, at), element(y, at), s, moments.mean, r * read_or(weight, c, 1.0),
                              read_or(bias, c, 0.0), 0);
      }
    }
  });
}

// With D = C / groups, per group: dx = rstd w dy + (x - mean) B + A, where over the group
// B = -rstd^3 sum(w dy (x - mean)) / (D S) and A = -rstd sum(w dy) / (D S).
void group_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         int64_t groups, void* workspace) {
  const bool last = channels_last(x);
  if (!last && as_rows(x, weight, {}))
    return x.dtype == DType::Float64
               ? group_rows_backward<double>(x, weight, mean, rstd, dy, dx, dweight, dbias, groups)
               : group_rows_backward<float>(x, weight, mean, rstd, dy, dx, dweight, dbias, groups);
  const int64_t n = x.sizes[0], channels = x.sizes[1], s = x.sizes[2], d = channels / groups;
  const int t = float_index(x.dtype);
  double* sums = static_cast<double*>(workspace);  // [N, C, 2]: sum dy, sum dy (x - mean)
  if (last)
    x.dtype == DType::Float64 ? group_last_backward<double>(x, weight, mean, rstd, dy, dx, groups, sums)
                              : group_last_backward<float>(x, weight, mean, rstd, dy, dx, groups, sums);
  if (!last)
    parallel_for(n * groups, items_per_chunk(d * s), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const double mu = read_float(mean, row), r = read_float(rstd, row), size = static_cast<double>(d * s);
        double sum = 0, dot = 0;
        for (int64_t j = 0; j < d; ++j) {
          const int64_t k = row * d + j;
          simd_norm().grad_sums[t](element(x, k * s), element(dy, k * s), s, mu, sums + 2 * k);
          const double w = read_or(weight, row % groups * d + j, 1.0);
          sum += w * sums[2 * k];
          dot += w * sums[2 * k + 1];
        }
        for (int64_t j = 0; dx.data && j < d; ++j) {
          const int64_t k = row * d + j;
          const double w = read_or(weight, row % groups * d + j, 1.0);
          simd_norm().grad_affine[t](element(x, k * s), element(dy, k * s), element(dx, k * s), s, mu, r * w,
                                     -r * r * r * dot / size, -r * sum / size, 0, false);
        }
      }
    });
  if (!dweight.data && !dbias.data) return;
  Buffer<double> columns(2 * channels);  // image after image, in the order of memory
  std::fill_n(columns.get(), 2 * channels, 0.0);
  for (int64_t k = 0; k < n * groups; ++k) {
    const double r = read_float(rstd, k);
    double* to = columns.get() + 2 * (k % groups) * d;
    const double* from = sums + 2 * k * d;
    for (int64_t j = 0; j < d; ++j) {
      to[2 * j] += from[2 * j];
      to[2 * j + 1] += from[2 * j + 1] * r;
    }
  }
  for (int64_t c = 0; c < channels; ++c) {
    if (dweight.data) write_float(dweight, c, columns.get()[2 * c + 1]);
    if (dbias.data) write_float(dbias, c, columns.get()[2 * c]);
  }
}

}  // namespace ccdl::cpu
