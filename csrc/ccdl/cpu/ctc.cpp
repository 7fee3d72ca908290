// CTC losses and gradients, one sample at a time. Rows of the recursions are shifted by their largest value
// as they go, the shifts added up in double, so that long sequences lose no digits.
#include <ccdl/kernels/ctc.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/ctc.h>

namespace ccdl::cpu {
namespace {

// Rows of one sample: states padded on both sides by -inf.
template <class T>
struct Rows {
  static constexpr T kNone = -std::numeric_limits<T>::infinity();
  const CtcProblem& p;
  const T* x;             // log_probs of the sample's first step
  const int64_t* labels;  // of the sample
  int64_t states, width;  // width: states rounded up
  T *skip, *emitted, *row[2], *posterior;

  Rows(const CtcProblem& problem, const View& log_probs, int64_t sample)
      : p(problem),
        x(log_probs.ptr<const T>() + sample * problem.C),
        labels(problem.labels + sample * problem.L),
        states(problem.states[sample]),
        width((states + kCtcPad - 1) / kCtcPad * kCtcPad) {
    const int64_t whole = width + 2 * kCtcPad;
    T* base = scratch<T>(0, 5 * whole);
    std::fill_n(base, 5 * whole, kNone);
    T** rows[] = {&skip, &emitted, &row[0], &row[1], &posterior};
    for (T** r : rows) {
      *r = base + kCtcPad;
      base += whole;
    }
    for (int64_t s = 2; s < states; ++s)
      if (labels[s] != p.blank && labels[s] != labels[s - 2]) skip[s] = 0;
  }
  void emit(int64_t t) {
    const T* from = x + t * p.N * p.C;
    for (int64_t s = 0; s < states; ++s) emitted[s] = from[labels[s]];
  }
};

double shift_of(double best) { return std::isfinite(best) ? best : 0.0; }

template <class T>
void forward_sample(const CtcProblem& p, int64_t sample, const View& log_probs, const View& loss,
                    const View& alpha, const View& offsets) {
  constexpr int kType = sizeof(T) == 8;
  Rows<T> r(p, log_probs, sample);
  r.row[1][0] = 0;  // before the first step: only the first label or blank can follow
  double offset = 0, shift = 0;
  for (int64_t t = 0; t < p.times[sample]; ++t) {
    r.emit(t);
    T* next = r.row[t % 2];
    const double best =
        simd_ctc().forward[kType](r.row[(t + 1) % 2], r.skip, r.emitted, shift, next, r.width);
    offset += shift;
    if (alpha.data) {
      std::copy_n(next, r.states, alpha.ptr<T>() + (sample * p.T + t) * p.L);
      offsets.ptr<double>()[sample * (p.T + 1) + t] = offset;
    }
    shift = shift_of(best);
  }
  const T* last = r.row[(p.times[sample] + 1) % 2] + r.states;
  const double a = last[-1], b = r.states > 1 ? static_cast<double>(last[-2]) : -INFINITY;
  const double high = std::max(a, b), low = std::min(a, b);
  const double total = high == -INFINITY ? high : high + std::log1p(std::exp(low - high));
  const double nll = std::isnan(a) || std::isnan(b) ? NAN : -(total + offset);
  loss.ptr<T>()[sample] = static_cast<T>(nll);
  if (offsets.data) offsets.ptr<double>()[sample * (p.T + 1) + p.T] = nll;
}

template <class T>
void backward_sample(const CtcProblem& p, int64_t sample, const View& log_probs, const View& alpha,
                     const View& offsets, double g, const View& dx) {
  constexpr int kType = sizeof(T) == 8;
  const int64_t times = p.times[sample], step = p.N * p.C;
  T* to = dx.ptr<T>() + sample * p.C;
  const double* shifts = offsets.ptr<const double>() + sample * (p.T + 1);
  const double nll = shifts[p.T];
  for (int64_t t = 0; t < p.T; ++t) std::fill_n(to + t * step, p.C, T(0));
  if (nll == INFINITY) return;
  Rows<T> r(p, log_probs, sample);
  // alpha of a step with the padding that the states lack
  T* padded = scratch<T>(1, r.width);
  std::fill_n(padded, r.width, Rows<T>::kNone);
  r.row[times % 2][r.states - 1] = 0;  // behind the last step
  double offset = 0, shift = 0;
  for (int64_t t = times - 1; t >= 0; --t) {
    r.emit(t);
    std::copy_n(alpha.ptr<const T>() + (sample * p.T + t) * p.L, r.states, padded);
    offset += shift;
    const double factor = shifts[t] + offset + nll;
    const double best = simd_ctc().backward[kType](r.row[(t + 1) % 2], r.skip, r.emitted, padded, shift,
                                                   factor, r.row[t % 2], r.posterior, r.width);
    shift = shift_of(best);
    T* d = to + t * step;
    for (int64_t s = 0; s < r.states; ++s) d[r.labels[s]] -= static_cast<T>(g) * r.posterior[s];
  }
}

int64_t grain(const CtcProblem& p) { return 4096 / (p.T * (p.L + 8) + 1) + 1; }

}  // namespace

void ctc_forward(const CtcProblem& p, const View& log_probs, const View& loss, const View& alpha,
                 const View& offsets) {
  parallel_for(p.N, grain(p), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      log_probs.dtype == DType::Float64 ? forward_sample<double>(p, n, log_probs, loss, alpha, offsets)
                                        : forward_sample<float>(p, n, log_probs, loss, alpha, offsets);
  });
}

void ctc_backward(const CtcProblem& p, const View& log_probs, const View& alpha, const View& offsets,
                  const View& dloss, const View& dx) {
  parallel_for(p.N, grain(p), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const double g = read_float(dloss, n);
      log_probs.dtype == DType::Float64 ? backward_sample<double>(p, n, log_probs, alpha, offsets, g, dx)
                                        : backward_sample<float>(p, n, log_probs, alpha, offsets, g, dx);
    }
  });
}

}  // namespace ccdl::cpu
