// Cross-entropy and nll: rows (S == 1) or strips of neighbouring columns are the unit of work; the reduction
// adds the per-row losses serially in double, so its order never depends on the threads.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/cross_entropy.h>
#include <ccdl/kernels/cross_entropy.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kChunkElements = 16384;

struct Problem {
  int64_t rows, n, inner;  // rows = N * S
  const int64_t* target;
  const View& weight;
  int64_t ignore;

  double weight_of(int64_t c) const { return weight.data ? read_float(weight, c) : 1.0; }
  double weight_sum() const {
    if (!weight.data) return static_cast<double>(n);
    double sum = 0;
    for (int64_t c = 0; c < n; ++c) sum += read_float(weight, c);
    return sum;
  }
  // Position of class c of row r = image * inner + column in an [N, C, S] tensor.
  int64_t offset(int64_t r, int64_t c) const { return (r / inner * n + c) * inner + r % inner; }
  int64_t first_bad() const {
    for (int64_t r = 0; r < rows; ++r)
      if (target[r] != ignore && (target[r] < 0 || target[r] >= n)) return r;
    return -1;
  }
  double total_weight() const {
    double total = 0;
    for (int64_t r = 0; r < rows; ++r)
      if (target[r] != ignore) total += weight_of(target[r]);
    return total;
  }
};

Problem problem_of(const View& x, const View& target, const View& weight, int64_t ignore) {
  return {x.sizes[0] * x.sizes[2], x.sizes[1], x.sizes[2], target.ptr<const int64_t>(), weight, ignore};
}

// fn(first row, count) over all rows; with inner > 1 a piece never crosses an image and is at most one strip
// wide.
template <class F>
void for_strips(const Problem& p, const F& fn) {
  const int64_t per_strip = p.inner == 1 ? 1 : kCrossEntropyStrip;
  const int64_t strips = p.inner == 1 ? 1 : (p.inner + per_strip - 1) / per_strip;
  const int64_t images = p.rows / (p.inner < 1 ? 1 : p.inner);
  const int64_t work = (p.n < 1 ? 1 : p.n) * per_strip;
  parallel_for(images * strips, work >= kChunkElements ? 1 : kChunkElements / work,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t column = i % strips * per_strip;
                   const int64_t count = column + per_strip < p.inner ? per_strip : p.inner - column;
                   fn(i / strips * p.inner + column, static_cast<int>(p.inner == 1 ? 1 : count));
                 }
               });
}

void reduce(const View& losses, const View& out, LossReduction reduction, int64_t rows, double divisor) {
  if (reduction == LossReduction::None) {
    for (int64_t r = 0; r < rows; ++r) write_float(out, r, read_float(losses, r));
    return;
  }
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) sum += read_float(losses, r);
  write_float(out, 0, reduction == LossReduction::Mean ? sum / divisor : sum);
}

// Factor of row r's loss in the output's gradient.
double row_gradient(const View& dout, LossReduction reduction, int64_t r, double divisor) {
  if (reduction == LossReduction::None) return read_float(dout, r);
  return reduction == LossReduction::Mean ? read_float(dout, 0) / divisor : read_float(dout, 0);
}

}  // namespace

int64_t cross_entropy_forward(const View& x, const View& target, const View& weight, const View& out,
                              const View& lse, const View& losses, const View& total, LossReduction reduction,
                              int64_t ignore_index, double smoothing) {
  const Problem p = problem_of(x, target, weight, ignore_index);
  if (const int64_t bad = p.first_bad(); bad >= 0) return bad;
  const CrossEntropyKernels& simd = simd_cross_entropy();
  const int t = float_index(x.dtype);
  const double weights = p.weight_sum(), share = smoothing / static_cast<double>(p.n);
  const bool plain = x.dtype == DType::Float32 && lse.dtype == DType::Float32 &&
                     losses.dtype == DType::Float32 && !weight.data && smoothing == 0;
  for_strips(p, [&](int64_t row, int count) {
    double l[kCrossEntropyStrip], wx[kCrossEntropyStrip];
    double* const sums = smoothing != 0 ? wx : nullptr;
    const void* start = element(x, p.offset(row, 0));
    if (p.inner == 1)
      l[0] = simd.lse_row[t](start, p.n, weight.data, sums);
    else
      simd.lse_columns[t](start, p.n, p.inner, count, weight.data, l, sums);
    const int64_t at = p.offset(row, 0);  // a strip stays within its image
    if (plain) {
      const float* from = x.ptr<const float>() + at;
      for (int i = 0; i < count; ++i) {
        const int64_t c = p.target[row + i];
        lse.ptr<float>()[row + i] = static_cast<float>(l[i]);
        losses.ptr<float>()[row + i] =
            c == ignore_index ? 0.0f : static_cast<float>(l[i] - static_cast<double>(from[i + c * p.inner]));
      }
      return;
    }
    for (int i = 0; i < count; ++i) {
      const int64_t r = row + i, c = p.target[r];
      write_float(lse, r, l[i]);
      double loss = 0;
      if (c != ignore_index) {
        loss = (1 - smoothing) * p.weight_of(c) * (l[i] - read_float(x, at + i + c * p.inner));
        if (smoothing != 0) loss += share * (weights * l[i] - wx[i]);
      }
      write_float(losses, r, loss);
    }
  });
  const double divisor = p.total_weight();
  *total.ptr<double>() = divisor;
  reduce(losses, out, reduction, p.rows, divisor);
  return -1;
}

void cross_entropy_backward(const View& x, const View& target, const View& weight, const View& lse,
                            const View& total, const View& dout, const View& dx, LossReduction reduction,
                            int64_t ignore_index, double smoothing) {
  const Problem p = problem_of(x, target, weight, ignore_index);
  const CrossEntropyKernels& simd = simd_cross_entropy();
  const int t = float_index(x.dtype);
  const double weights = p.weight_sum(), share = smoothing / static_cast<double>(p.n);
  const double divisor = *total.ptr<double>();
  const bool each = reduction == LossReduction::None;
  const double shared = each ? 0.0 : row_gradient(dout, reduction, 0, divisor);
  for_strips(p, [&](int64_t row, int count) {
    double l[kCrossEntropyStrip], scale[kCrossEntropyStrip], minus[kCrossEntropyStrip],
        hit[kCrossEntropyStrip];
    for (int i = 0; i < count; ++i) {
      const int64_t r = row + i, c = p.target[r];
      const bool used = c != ignore_index;
      const double g = !used ? 0.0 : each ? read_float(dout, r) : shared;
      hit[i] = used ? g * (1 - smoothing) * p.weight_of(c) : 0.0;
      l[i] =
          used ? read_float(lse, r) : __builtin_inf();  // exp(x - inf) = 0: ignored rows stay 0 even for inf
      scale[i] = hit[i] + g * share * weights;
      minus[i] = g * share;
    }
    const int64_t at = p.offset(row, 0);
    if (p.inner == 1)
      simd.backward_row[t](element(x, at), element(dx, at), p.n, l[0], scale[0], minus[0], weight.data);
    else
      simd.backward_columns[t](element(x, at), element(dx, at), p.n, p.inner, count, l, scale, minus,
                               weight.data);
    for (int i = 0; i < count; ++i) {
      if (p.target[row + i] == ignore_index) {
        for (int64_t c = 0; c < p.n; ++c) write_float(dx, at + i + c * p.inner, 0.0);
        continue;
      }
      const int64_t k = at + i + p.target[row + i] * p.inner;
      if (p.inner > 1 && dx.dtype == DType::Float32) {
        dx.ptr<float>()[k] -= static_cast<float>(hit[i]);
        continue;
      }
      // from the logits again, so that half formats round once
      const double e = __builtin_exp(read_float(x, k) - l[i]);
      write_float(dx, k, scale[i] * e - minus[i] * p.weight_of(p.target[row + i]) - hit[i]);
    }
  });
}

void cross_entropy_prob_forward(const View& x, const View& target, const View& weight, const View& out,
                                const View& lse, const View& losses, LossReduction reduction,
                                double smoothing) {
  const Problem p = problem_of(x, target, weight, 0);
  const CrossEntropyKernels& simd = simd_cross_entropy();
  const int t = float_index(x.dtype);
  const double keep = 1 - smoothing, add = smoothing / static_cast<double>(p.n);
  for_strips(p, [&](int64_t row, int count) {
    double l[kCrossEntropyStrip], loss[kCrossEntropyStrip];
    const int64_t at = p.offset(row, 0);  // a strip stays within its image
    const void *logits = element(x, at), *given = element(target, at);
    if (p.inner == 1) {
      l[0] = simd.lse_row[t](logits, p.n, nullptr, nullptr);
      loss[0] = simd.prob_loss_row[t](logits, given, p.n, l[0], keep, add, weight.data);
    } else {
      simd.lse_columns[t](logits, p.n, p.inner, count, nullptr, l, nullptr);
      simd.prob_loss_columns[t](logits, given, p.n, p.inner, count, l, keep, add, weight.data, loss);
    }
    for (int i = 0; i < count; ++i) {
      write_float(lse, row + i, l[i]);
      write_float(losses, row + i, loss[i]);
    }
  });
  reduce(losses, out, reduction, p.rows, static_cast<double>(p.rows));
}

void cross_entropy_prob_backward(const View& x, const View& target, const View& weight, const View& lse,
                                 const View& dout, const View& dx, LossReduction reduction,
                                 double smoothing) {
  const Problem p = problem_of(x, target, weight, 0);
  const CrossEntropyKernels& simd = simd_cross_entropy();
  const int t = float_index(x.dtype);
  const double keep = 1 - smoothing, add = smoothing / static_cast<double>(p.n);
  for_strips(p, [&](int64_t row, int count) {
    double l[kCrossEntropyStrip], g[kCrossEntropyStrip], mass[kCrossEntropyStrip];
    const int64_t at = p.offset(row, 0);
    const void *logits = element(x, at), *given = element(target, at);
    if (p.inner == 1)
      mass[0] = simd.prob_mass_row[t](given, p.n, keep, add, weight.data);
    else
      simd.prob_mass_columns[t](given, p.n, p.inner, count, keep, add, weight.data, mass);
    for (int i = 0; i < count; ++i) {
      l[i] = read_float(lse, row + i);
      g[i] = row_gradient(dout, reduction, row + i, static_cast<double>(p.rows));
    }
    if (p.inner == 1)
      simd.prob_backward_row[t](logits, given, element(dx, at), p.n, l[0], keep, add, weight.data, g[0],
                                mass[0]);
    else
      simd.prob_backward_columns[t](logits, given, element(dx, at), p.n, p.inner, count, l, keep, add,
                                    weight.data, g, mass);
  });
}

int64_t nll_loss_forward(const View& x, const View& target, const View& weight, const View& out,
                         const View& total, LossReduction reduction, int64_t ignore_index) {
  const Problem p = problem_of(x, target, weight, ignore_index);
  if (const int64_t bad = p.first_bad(); bad >= 0) return bad;
  double sum = 0, divisor = 0;
  for (int64_t r = 0; r < p.rows; ++r) {
    const int64_t c = p.target[r];
    double loss = 0;
    if (c != ignore_index) {
      const double w = p.weight_of(c);
      loss = -w * read_float(x, p.offset(r, c));
      sum += loss;
      divisor += w;
    }
    if (reduction == LossReduction::None) write_float(out, r, loss);
  }
  *total.ptr<double>() = divisor;
  if (reduction != LossReduction::None)
    write_float(out, 0, reduction == LossReduction::Mean ? sum / divisor : sum);
  return -1;
}

void nll_loss_backward(const View& target, const View& weight, const View& total, const View& dout,
                       const View& dx, LossReduction reduction, int64_t ignore_index) {
  const Problem p = problem_of(dx, target, weight, ignore_index);
  const int64_t bytes = dx.numel() * item_size(dx.dtype);
  parallel_for(bytes, 1 << 18, [&](int64_t begin, int64_t end) {
    __builtin_memset(dx.ptr<char>() + begin, 0, static_cast<size_t>(end - begin));
  });
  const double divisor = *total.ptr<double>();
  for (int64_t r = 0; r < p.rows; ++r) {
    const int64_t c = p.target[r];
    if (c == ignore_index) continue;
    write_float(dx, p.offset(r, c), -p.weight_of(c) * row_gradient(dout, reduction, r, divisor));
  }
}

}  // namespace ccdl::cpu
