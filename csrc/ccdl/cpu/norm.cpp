// Layer, rms, batch and group normalisation. The unit of work is a row (layer, rms), a channel with all its
// images, so that the second pass finds it in L2 (batch), or a group (group norm). Column sums of layer norm
// go to one partial row per fixed block of rows, added in block order.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/norm.h>
#include <ccdl/kernels/norm.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunkElements = 32768;
constexpr int64_t kMaxBlocks = 64;  // partial rows of the layer norm column sums

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

// Shared by layer norm and rms norm (mean.data == null).
void rows_backward(const View& x, const View& weight, const View& mean, const View& rstd, const View& dy,
                   const View& dx, const View& dweight, const View& dbias, void* workspace) {
  const int64_t m = x.sizes[0], n = x.sizes[1];
  const int t = float_index(x.dtype);
  const DType stat = stat_dtype(x.dtype);
  const int64_t width = n * item_size(stat), per_block = rows_per_block(m, n),
                blocks = (m + per_block - 1) / per_block;
  const bool columns = dweight.data || dbias.data;
  char* partial = static_cast<char*>(workspace);
  parallel_for(m, per_block, [&](int64_t begin, int64_t end) {
    char* dw = columns && dweight.data ? partial + begin / per_block * 2 * width : nullptr;
    char* db = columns && dbias.data ? partial + (begin / per_block * 2 + 1) * width : nullptr;
    if (dw) __builtin_memset(dw, 0, static_cast<size_t>(width));
    if (db) __builtin_memset(db, 0, static_cast<size_t>(width));
    simd_norm().layer_backward[t](
        element(x, begin * n), weight.data, mean.data ? element(mean, begin) : nullptr, element(rstd, begin),
        element(dy, begin * n), dx.data ? element(dx, begin * n) : nullptr, dw, db, end - begin, n);
  });
  if (!columns) return;
  parallel_for(n, items_per_chunk(blocks), [&](int64_t begin, int64_t end) {
    for (int which = 0; which < 2; ++which) {
      const View& out = which == 0 ? dweight : dbias;
      if (!out.data) continue;
      for (int64_t j = begin; j < end; ++j) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; ++b)
          sum += read_float(partial + (b * 2 + which) * width + j * item_size(stat), stat);
        write_float(out, j, sum);
      }
    }
  });
}

// Geometry of [N, C, S] in either layout. With `last`, channel c of row r (of N S) is at r * C + c.
struct Channels {
  int64_t n, c, s;
  bool last;
  explicit Channels(const View& x) : n(x.sizes[0]), c(x.sizes[1]), s(x.sizes[2]) {
    last = c > 1 && (s == 1 || (x.strides[1] == 1 && x.strides[2] == c));
  }
  int64_t per_channel() const { return n * s; }
  bool wide() const { return last && c >= 8 * kNormStrip; }
  // fn(row, rows) over blocks of rows: how wide layouts are written, since a strip of them touches every page
  template <class F>
  void for_rows(const F& fn) const {
    parallel_for(n * s, items_per_chunk(c), [&](int64_t begin, int64_t end) { fn(begin, end - begin); });
  }
  int64_t offset(int64_t image, int64_t channel) const { return (image * c + channel) * s; }

  // fn(first channel, count): single channels, or strips of neighbouring ones when channels are innermost.
  template <class F>
  void for_each(const F& fn) const {
    const int64_t width = !last ? 1 : wide() ? kNormStrip : 16, items = (c + width - 1) / width;
    parallel_for(items, items_per_chunk(per_channel() * width), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i * width;
        fn(first, static_cast<int>(first + width < c ? width : c - first));
      }
    });
  }
};

void apply(const Channels& g, const View& x, const View& y, int64_t first, int count, const double* mean,
           const double* scale, const double* shift) {
  const int t = float_index(x.dtype);
  if (g.last) {
    simd_norm().strip_affine[t](element(x, first), element(y, first), g.n * g.s, g.c, count, mean, scale,
                                shift);
    return;
  }
  for (int64_t i = 0; i < g.n; ++i) {
    const int64_t at = g.offset(i, first);
    simd_norm().affine[t](element(x, at), element(y, at), g.s, mean[0], scale[0], shift[0]);
  }
}

}  // namespace

int64_t layer_norm_workspace_bytes(int64_t m, int64_t n, DType t) {
  const int64_t per_block = rows_per_block(m, n);
  return (m + per_block - 1) / per_block * 2 * n * item_size(stat_dtype(t));
}

void layer_norm_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, double eps) {
  const int64_t n = x.sizes[1];
  const int t = float_index(x.dtype);
  parallel_for(x.sizes[0], items_per_chunk(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Moments moments = simd_norm().moments[t](element(x, r * n), n);
      const double scale = rstd_of(moments.m2 / static_cast<double>(n), eps);
      write_float(mean, r, moments.mean);
      write_float(rstd, r, scale);
      simd_norm().row_affine[t](element(x, r * n), weight.data, bias.data, element(y, r * n), n, moments.mean,
                                scale);
    }
  });
}

void layer_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         void* workspace) {
  rows_backward(x, weight, mean, rstd, dy, dx, dweight, dbias, workspace);
}

void rms_norm_forward(const View& x, const View& weight, const View& y, const View& rstd, double eps) {
  const int64_t n = x.sizes[1];
  const int t = float_index(x.dtype);
  parallel_for(x.sizes[0], items_per_chunk(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const double square = simd_norm().sum_squares[t](element(x, r * n), n) / static_cast<double>(n);
      const double scale = rstd_of(square, eps);
      write_float(rstd, r, scale);
      simd_norm().row_affine[t](element(x, r * n), weight.data, nullptr, element(y, r * n), n, 0.0, scale);
    }
  });
}

void rms_norm_backward(const View& x, const View& weight, const View& rstd, const View& dy, const View& dx,
                       const View& dweight, void* workspace) {
  View absent = {};
  rows_backward(x, weight, absent, rstd, dy, dx, dweight, absent, workspace);
}

void batch_norm_forward_train(const View& x, const View& weight, const View& bias, const View& running_mean,
                              const View& running_var, const View& y, const View& mean, const View& rstd,
                              double momentum, double eps) {
  const Channels g(x);
  const double m = static_cast<double>(g.per_channel());
  const int t = float_index(x.dtype);
  double* whole = g.wide() ? scratch<double>(0, 3 * g.c) : nullptr;
  g.for_each([&](int64_t first, int count) {
    Moments moments[kNormStrip] = {};
    if (g.last) {
      simd_norm().strip_moments[t](element(x, first), g.n * g.s, g.c, count, moments);
    } else {
      for (int64_t i = 0; i < g.n; ++i)
        moments[0] = join(moments[0], simd_norm().moments[t](element(x, g.offset(i, first)), g.s));
    }
    double own[3][kNormStrip];
    double* mu = whole ? whole + first : own[0];
    double* scale = whole ? whole + g.c + first : own[1];
    double* shift = whole ? whole + 2 * g.c + first : own[2];
    for (int i = 0; i < count; ++i) {
      const int64_t c = first + i;
      const double r = rstd_of(m > 0 ? moments[i].m2 / m : 0.0, eps);
      write_float(mean, c, mu[i] = moments[i].mean);
      write_float(rstd, c, r);
      scale[i] = r * read_or(weight, c, 1.0);
      shift[i] = read_or(bias, c, 0.0);
      if (running_mean.data && m > 0)
        write_float(running_mean, c, (1 - momentum) * read_float(running_mean, c) + momentum * mu[i]);
      if (running_var.data && m > 0)
        write_float(running_var, c,
                    (1 - momentum) * read_float(running_var, c) + momentum * (moments[i].m2 / (m - 1)));
    }
    if (!whole) apply(g, x, y, first, count, mu, scale, shift);
  });
  if (!whole) return;
  g.for_rows([&](int64_t row, int64_t rows) {
    simd_norm().strip_affine[t](element(x, row * g.c), element(y, row * g.c), rows, g.c,
                                static_cast<int>(g.c), whole, whole + g.c, whole + 2 * g.c);
  });
}

void batch_norm_forward_eval(const View& x, const View& weight, const View& bias, const View& running_mean,
                             const View& running_var, const View& y, double eps) {
  const Channels g(x);
  const auto coefficients = [&](int64_t c, double* mu, double* scale, double* shift) {
    *mu = read_float(running_mean, c);
    *scale = rstd_of(read_float(running_var, c), eps) * read_or(weight, c, 1.0);
    *shift = read_or(bias, c, 0.0);
  };
  if (!g.last) {  // nothing to gather over the images: walk the planes in memory order
    const int t = float_index(x.dtype);
    parallel_for(g.n * g.c, items_per_chunk(g.s), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double mu, scale, shift;
        coefficients(i % g.c, &mu, &scale, &shift);
        simd_norm().affine[t](element(x, i * g.s), element(y, i * g.s), g.s, mu, scale, shift);
      }
    });
    return;
  }
  g.for_each([&](int64_t first, int count) {
    double mu[kNormStrip], scale[kNormStrip], shift[kNormStrip];
    for (int i = 0; i < count; ++i) coefficients(first + i, mu + i, scale + i, shift + i);
    apply(g, x, y, first, count, mu, scale, shift);
  });
}

void batch_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias, bool train) {
  const Channels g(x);
  const double m = static_cast<double>(g.per_channel());
  const int t = float_index(x.dtype);
  const NormKernels& simd = simd_norm();
  double* whole = g.wide() ? scratch<double>(0, 4 * g.c) : nullptr;
  g.for_each([&](int64_t first, int count) {
    double sum[kNormStrip] = {}, dot[kNormStrip] = {}, own[4][kNormStrip];
    double* mu = whole ? whole + first : own[0];
    double* a = whole ? whole + g.c + first : own[1];
    double* b = whole ? whole + 2 * g.c + first : own[2];
    double* c = whole ? whole + 3 * g.c + first : own[3];
    for (int i = 0; i < count; ++i) mu[i] = read_float(mean, first + i);
    if (g.last) {
      simd.strip_grad_sums[t](element(x, first), element(dy, first), g.n * g.s, g.c, count, mu, sum, dot);
    } else {
      for (int64_t i = 0; i < g.n; ++i) {
        double pair[2];
        simd.grad_sums[t](element(x, g.offset(i, first)), element(dy, g.offset(i, first)), g.s, mu[0], pair);
        sum[0] += pair[0];
        dot[0] += pair[1];
      }
    }
    for (int i = 0; i < count; ++i) {
      const double r = read_float(rstd, first + i), scale = r * read_or(weight, first + i, 1.0);
      if (dweight.data) write_float(dweight, first + i, dot[i] * r);
      if (dbias.data) write_float(dbias, first + i, sum[i]);
      a[i] = scale;
      b[i] = train ? -scale * r * r * dot[i] / m : 0.0;
      c[i] = train ? -scale * sum[i] / m : 0.0;
    }
    if (!dx.data || whole) return;
    if (g.last) {
      simd.strip_grad_affine[t](element(x, first), element(dy, first), element(dx, first), g.n * g.s, g.c,
                                count, mu, a, b, c);
      return;
    }
    for (int64_t i = 0; i < g.n; ++i) {
      const int64_t at = g.offset(i, first);
      simd.grad_affine[t](element(x, at), element(dy, at), element(dx, at), g.s, mu[0], a[0], b[0], c[0]);
    }
  });
  if (!dx.data || !whole) return;
  g.for_rows([&](int64_t row, int64_t rows) {
    const int64_t at = row * g.c;
    simd.strip_grad_affine[t](element(x, at), element(dy, at), element(dx, at), rows, g.c,
                              static_cast<int>(g.c), whole, whole + g.c, whole + 2 * g.c, whole + 3 * g.c);
  });
}

void group_norm_forward(const View& x, const View& weight, const View& bias, const View& y, const View& mean,
                        const View& rstd, int64_t groups, double eps) {
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
                              read_or(bias, c, 0.0));
      }
    }
  });
}

// With D = C / groups, per group: dx = rstd w dy + (x - mean) B + A, where over the group
// B = -rstd^3 sum(w dy (x - mean)) / (D S) and A = -rstd sum(w dy) / (D S).
void group_norm_backward(const View& x, const View& weight, const View& mean, const View& rstd,
                         const View& dy, const View& dx, const View& dweight, const View& dbias,
                         int64_t groups, void* workspace) {
  const int64_t n = x.sizes[0], channels = x.sizes[1], s = x.sizes[2], d = channels / groups;
  const int t = float_index(x.dtype);
  double* sums = static_cast<double*>(workspace);  // [N, C, 2]: sum dy, sum dy (x - mean)
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
                                   -r * r * r * dot / size, -r * sum / size);
      }
    }
  });
  if (!dweight.data && !dbias.data) return;
  for (int64_t c = 0; c < channels; ++c) {
    double dw = 0, db = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t k = i * channels + c;
      db += sums[2 * k];
      dw += sums[2 * k + 1] * read_float(rstd, k / d);
    }
    if (dweight.data) write_float(dweight, c, dw);
    if (dbias.data) write_float(dbias, c, db);
  }
}

}  // namespace ccdl::cpu
