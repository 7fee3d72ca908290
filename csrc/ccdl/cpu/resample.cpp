// Weighted sums along a dimension from a table of neighbours, and their transpose: both are sums over the
// entries of an output, the transpose's table being the same entries ordered by input.
#include <ccdl/kernels/shape.h>

#include <algorithm>

#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/resample.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

constexpr int kStartsSlot = 0, kEntriesSlot = 1, kPanelSlot = 2;
constexpr int64_t kLines = 16, kLongestSpan = 16384;  // lines in one panel at most; inputs in one

// The table of weights that are not zero, in the type of the sums; in order of the outputs, or (transposed)
// of the inputs, whose outputs then ascend.
template <class A>
ResampleTable make_table(const View& index, const View& weight, int64_t n_in, bool transposed,
                         int64_t* longest) {
  const int64_t n_out = index.sizes[0], taps = index.sizes[1], entries = n_out * taps;
  const int64_t rows = transposed ? n_in : n_out, segments = (rows + kResampleSegment - 1) / kResampleSegment;
  const auto* from = index.ptr<const int64_t>();
  const auto* w = weight.ptr<const double>();
  int64_t* starts = scratch<int64_t>(kStartsSlot, rows + 2 + 2 * segments);
  int64_t* spans = starts + rows + 2;
  int64_t* at = scratch<int64_t>(kEntriesSlot, entries * 2);
  A* value = reinterpret_cast<A*>(at + entries);
  std::fill_n(starts, rows + 2, int64_t{0});
  for (int64_t e = 0; e < entries; ++e)  // counts, two places ahead: filling makes starts of them
    if (static_cast<A>(w[e]) != 0) ++starts[(transposed ? from[e] : e / taps) + 2];
  for (int64_t r = 0; r < rows; ++r) starts[r + 2] += starts[r + 1];
  for (int64_t e = 0; e < entries; ++e) {
    if (static_cast<A>(w[e]) == 0) continue;
    const int64_t o = e / taps, place = starts[(transposed ? from[e] : o) + 1]++;
    at[place] = transposed ? o : from[e];
    value[place] = static_cast<A>(w[e]);
  }
  *longest = 0;
  for (int64_t s = 0; s < segments; ++s) {
    const int64_t end = starts[std::min((s + 1) * kResampleSegment, rows)];
    int64_t low = transposed ? n_out : n_in, high = 0;
    for (int64_t e = starts[s * kResampleSegment]; e < end; ++e) {
      low = std::min(low, at[e]);
      high = std::max(high, at[e] + 1);
    }
    spans[2 * s] = std::min(low, high);
    spans[2 * s + 1] = high;
    *longest = std::max(*longest, high - low);
  }
  return {transposed ? n_out : n_in, rows, starts, at, value, spans};
}

void weighted_sums(const View& x, int dim, const View& index, const View& weight, const View& y,
                   bool transposed) {
  int64_t outer = 1, inner = 1, longest = 0;
  for (int d = 0; d < dim; ++d) outer *= x.sizes[d];
  for (int d = dim + 1; d < x.ndim; ++d) inner *= x.sizes[d];
  if (outer * inner == 0) return;
  const int64_t n_in = transposed ? y.sizes[dim] : x.sizes[dim];
  const ResampleTable t = x.dtype == DType::Float64
                              ? make_table<double>(index, weight, n_in, transposed, &longest)
                              : make_table<float>(index, weight, n_in, transposed, &longest);
  const int type = float_index(x.dtype);
  const int64_t work = (t.starts[t.n_out] + t.n_out) * inner;  // of one outer index
  if (inner == 1) {
    const int64_t grain = (kWalkGrain / (work + 1) / kLines + 1) * kLines;
    parallel_for(outer, grain, [&](int64_t begin, int64_t end) {
      void* panel = longest > kLongestSpan ? nullptr : scratch<char>(kPanelSlot, longest * 64 + 64);
      simd_resample().lines[type](t, element(x, begin * t.n_in), end - begin, panel,
                                  element(y, begin * t.n_out));
    });
    return;
  }
  parallel_for(outer * t.n_out, kWalkGrain / (work / t.n_out + 1) + 1, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t at = begin / t.n_out, o = begin % t.n_out, stop = std::min(end, (at + 1) * t.n_out);
      simd_resample().rows[type](t, element(x, at * t.n_in * inner), inner, o, stop - at * t.n_out,
                                 element(y, at * t.n_out * inner));
      begin = stop;
    }
  });
}

}  // namespace

void resample(const View& x, int dim, const View& index, const View& weight, const View& y) {
  weighted_sums(x, dim, index, weight, y, false);
}

void resample_backward(const View& dy, int dim, const View& index, const View& weight, const View& dx) {
  weighted_sums(dy, dim, index, weight, dx, true);
}

}  // namespace ccdl::cpu
