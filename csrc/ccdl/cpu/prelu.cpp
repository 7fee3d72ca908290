// Gradients of prelu. Long channels: runs of one weight, their sums joined in order in double. Short ones
// (the channel innermost above all): rows that hold all channels, some periods wide, with a sum per column
// and chunk.
#include <algorithm>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/prelu.h>
#include <ccdl/kernels/prelu.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kRun = 16384;  // elements summed in one go
constexpr int64_t kShort = 64;   // channels shorter than this go by rows
constexpr int64_t kRow = 256;  // a row has at least so many columns: the sums of one wait for the row before

struct Call {
  const View &x, &w, &dy, &dx, &dw;
  int64_t n, c, l;
  int type;
};

void by_runs(const Call& k) {
  const int64_t pieces = (k.l + kRun - 1) / kRun, piece = (k.l + pieces - 1) / pieces;
  const int64_t tasks = k.n * k.c * pieces;
  const Buffer<double> partial(tasks);
  parallel_for(tasks, std::max<int64_t>(1, kRun / piece), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t plane = t / pieces, first = t % pieces * piece, at = plane * k.l + first;
      partial.get()[t] = simd_prelu().run[k.type](element(k.x, at), element(k.dy, at), element(k.dx, at),
                                                  std::min(piece, k.l - first), read_float(k.w, plane % k.c));
    }
  });
  for (int64_t c = 0; c < k.c; ++c) {
    double sum = 0;
    for (int64_t n = 0; n < k.n; ++n)
      for (int64_t p = 0; p < pieces; ++p) sum += partial.get()[(n * k.c + c) * pieces + p];
    write_float(k.dw, c, sum);
  }
}

template <class S>
void by_rows(const Call& k) {
  const int64_t period = k.c * k.l, width = period * ((kRow + period - 1) / period), total = k.n * period;
  const int64_t rows = total / width, chunk = std::max<int64_t>(1, 4 * kRun / width);
  const int64_t chunks = std::max<int64_t>(1, (rows + chunk - 1) / chunk), rest = total - rows * width;
  const Buffer<S> w(width), partial(chunks * width);
  for (int64_t c = 0; c < k.c; ++c)
    for (int64_t i = 0; i < k.l; ++i) w.get()[c * k.l + i] = static_cast<S>(read_float(k.w, c));
  for (int64_t i = period; i < width; ++i) w.get()[i] = w.get()[i - period];
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q) {
      S* sums = partial.get() + q * width;
      std::fill(sums, sums + width, S(0));
      auto add = [&](int64_t first, int64_t count, int64_t columns) {
        simd_prelu().rows[k.type](element(k.x, first), element(k.dy, first), element(k.dx, first), count,
                                  columns, w.get(), sums);
      };
      add(q * chunk * width, std::min(chunk, rows - q * chunk), width);
      if (q == chunks - 1 && rest > 0) add(rows * width, 1, rest);
    }
  });
  constexpr int64_t kBlock = 256;  // channels whose sums are gathered together
  parallel_for(k.c, kBlock, [&](int64_t begin, int64_t end) {
    double sums[kBlock];
    std::fill(sums, sums + kBlock, 0.0);
    for (int64_t first = 0; first < chunks * width; first += period)
      for (int64_t c = begin; c < end; ++c)
        for (int64_t i = 0; i < k.l; ++i)
          sums[c - begin] += static_cast<double>(partial.get()[first + c * k.l + i]);
    for (int64_t c = begin; c < end; ++c) write_float(k.dw, c, sums[c - begin]);
  });
}

}  // namespace

void prelu_backward(const View& x, const View& w, const View& dy, const View& dx, const View& dw) {
  const Call k{x, w, dy, dx, dw, x.sizes[0], x.sizes[1], x.sizes[2], float_index(x.dtype)};
  if (k.l >= kShort || k.n * k.c == 1)
    by_runs(k);
  else if (x.dtype == DType::Float64)
    by_rows<double>(k);
  else
    by_rows<float>(k);
}

}  // namespace ccdl::cpu
