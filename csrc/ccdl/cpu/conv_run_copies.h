// Rows of a block of a convolution's input copied with their border of zeros, pixel after pixel, channels
// innermost. Plain: sorted by their residue modulo the stride of rows; the next pixel of the output reads a
// fixed distance further on, from one row to the next as well. Folded: the rows that a stride skips lie in
// the pixels, so that few channels make longer runs. Gathered: all that a pixel reads is one run, for the
// shortest ones.
#pragma once
#include <ccdl/cpu/conv_parts.h>
#include <ccdl/cpu/simd/conv_copies.h>

namespace ccdl::cpu {

constexpr int64_t kRunSlack = 256;  // elements behind the copies

inline int64_t run_distance(const std::vector<int64_t>& shift) {
  return shift.size() > 1 ? shift[1] - shift[0] : 1;
}

// Planes, and taps whose places follow each other.
template <class T>
bool conv_runs_planar(const ConvGrid<T>& grid) {
  bool fits = grid.src_size[0] == 1 && grid.pixels[0] == 1 && grid.shift[0].size() == 1 &&
              grid.shift[0][0] == 0 && grid.offsets.empty() && grid.dst_stride[2] == 1 && grid.taps() > 1;
  for (int d = 1; d < 3 && fits; ++d) {
    const int64_t by = run_distance(grid.shift[d]);
    for (size_t t = 1; t < grid.shift[d].size(); ++t)
      fits = fits && by > 0 && grid.shift[d][t] - grid.shift[d][t - 1] == by;
  }
  return fits;
}

enum class RunLayout { Plain, Folded, Gathered };

template <class T>
struct Runs {
  const ConvGrid<T>& grid;
  int64_t m, lanes, channels, step_h, step_w, by_h, by_w, taps_h, taps_w, reach_h, reach_w, least_h, least_w;
  RunLayout layout;
  int64_t taps_run;                      // of a row that are one run
  int64_t pixel, length, padded, count;  // elements: between pixels, of a run; number of runs
  int64_t across, pitch, block, rows, images;
  bool joined;
  // across, block: columns and rows of the output at a time; pitch: pixels of a copied row; rows: of one
  // residue; images: whole ones taken together; joined: as one long row

  static constexpr int64_t kElements = 65536;  // of a block, well within the second cache
  static constexpr int64_t kLongest = 640;     // run that is gathered: blocks of more would have few pixels

  // products: of dy and the runs, whose elements fill vectors; else layouts that lengthen runs are not needed
  Runs(const ConvGrid<T>& g, int64_t filters, bool products)
      : grid(g),
        m(filters),
        lanes(conv_kernels<T>().lanes),
        channels(g.channels),
        step_h(g.step[1]),
        step_w(g.step[2]),
        by_h(run_distance(g.shift[1])),
        by_w(run_distance(g.shift[2])),
        taps_h(static_cast<int64_t>(g.shift[1].size())),
        taps_w(static_cast<int64_t>(g.shift[2].size())),
        reach_h((taps_h - 1) * by_h + 1),
        reach_w((taps_w - 1) * by_w + 1),
        least_h(g.shift[1].front()),
        least_w(g.shift[2].front()) {
    RunLayout best = RunLayout::Plain;
    double least = cost(best);
    for (const RunLayout other : {RunLayout::Folded, RunLayout::Gathered}) {
      if (!products || by_w != 1 || (other == RunLayout::Folded && (step_h == 1 || by_h != 1)) ||
          (other == RunLayout::Gathered && channels * g.taps() > kLongest))
        continue;
      if (const double c = cost(other); c < least) {
        best = other;
        least = c;
      }
    }
    lay(best);
    choose_block();
  }
  // Useful multiply-adds of those that the time would do.
  double efficiency() {
    return static_cast<double>(channels * taps_h * taps_w * m) / (2 * static_cast<double>(lanes)) /
           cost(layout);
  }
  bool dense() const { return pitch == across; }
  int64_t row() const { return pitch * pixel; }  // of a residue, or of all of them folded
  int64_t size() const {
    return (layout == RunLayout::Plain ? step_h : 1) * images * rows * row() + kRunSlack;
  }
  int64_t line() const { return ((across - 1) * step_w + reach_w + step_w) * channels; }  // of the source
  int64_t lines() const {  // kept while a block is filled
    return layout == RunLayout::Gathered ? (block - 1) * step_h + reach_h : 1;
  }
  int64_t begin(int64_t run) const {
    if (layout != RunLayout::Plain) return run * row();
    const int64_t per_row = taps_w / taps_run, h = run / per_row * by_h;
    return at(h % step_h, 0, h / step_h) + run % per_row * by_w * channels;
  }
  // Where the sums of a tap's channels lie in those of all runs.
  int64_t place(int64_t h, int64_t w) const {
    if (layout == RunLayout::Gathered) return (h * taps_w + w) * channels;
    if (layout == RunLayout::Folded)
      return h / step_h * padded + w / step_w * pixel + (h % step_h * step_w + w % step_w) * channels;
    return (h * (taps_w / taps_run) + w / taps_run) * padded + w % taps_run * channels;
  }
  int64_t sums() const { return count * padded; }

  // What the output rows [h0, h0 + live) and columns from w0 on of the image at src read.
  void fill(const T* src, int64_t h0, int64_t live, int64_t w0, int64_t image, T* line_data, T* out) const {
    const auto& copies = conv_copy_kernels<T>();
    const int64_t y0 = h0 * step_h + least_h;
    if (layout == RunLayout::Gathered) {
      for (int64_t r = 0; r < (live - 1) * step_h + reach_h; ++r)
        copy_line(src, y0 + r, w0, line_data + r * line());
      for (int64_t i = 0; i < live; ++i)
        for (int64_t t = 0; t < taps_h; ++t)
          copies.spread(line_data + (i * step_h + t * by_h) * line(), step_w * channels, taps_w * channels,
                        t + 1 < taps_h ? 0 : pixel - length, across,
                        out + (image * rows + i) * row() + t * taps_w * channels, pixel);
      return;
    }
    for (int64_t i = 0; i < rows * step_h; ++i) {
      const int64_t residue = i % step_h, r = i / step_h;
      copy_line(src, y0 + i, w0, line_data);
      if (layout == RunLayout::Folded)
        copies.spread(line_data, step_w * channels, step_w * channels, 0, pitch, out + at(residue, image, r),
                      pixel);
      else
        std::memcpy(out + at(residue, image, r), line_data, static_cast<size_t>(row()) * sizeof(T));
    }
  }

 private:
  int64_t at(int64_t residue, int64_t image, int64_t i) const {
    return layout == RunLayout::Plain ? ((residue * images + image) * rows + i) * row()
                                      : (image * rows + i) * row() + residue * step_w * channels;
  }
  void lay(RunLayout chosen) {
    layout = chosen;
    taps_run = by_w == 1 ? taps_w : 1;
    pixel = step_w * channels;
    length = taps_run * channels;
    count = taps_h * (taps_w / taps_run);
    pitch = grid.pixels[2] + ceil_div(std::max<int64_t>(0, reach_w - step_w), step_w);
    if (layout == RunLayout::Folded) {
      pixel *= step_h;
      length = ceil_div(taps_w, step_w) * pixel;
      count = ceil_div(taps_h, step_h);
    } else if (layout == RunLayout::Gathered) {
      length = taps_h * taps_w * channels;
      pixel = round_up(length, lanes);
      count = 1;
      pitch = grid.pixels[2];
    }
    padded = round_up(length, lanes);
  }
  // Cycles per pixel, two multiply-adds each: the products, where a tile of one vector waits for its loads,
  // and the copies.
  double cost(RunLayout chosen) {
    lay(chosen);
    const int64_t vectors = ceil_div(length, lanes), run = 4 * vectors + (vectors % 3 == 1 ? 1 : 0);
    const auto each = [](int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
    const double products = each(m * count * run, 8) * each(pitch, grid.pixels[2]);
    if (layout == RunLayout::Gathered)
      return products + 1.5 * each(taps_h * ceil_div(taps_w * channels, lanes), 1);
    return products + (pitch > grid.pixels[2] ? each(m, 5) : 0.0);
  }
  void choose_block() {
    const int64_t high = grid.pixels[1], wide = grid.pixels[2], gap = pitch - wide;
    const bool gathered = layout == RunLayout::Gathered;
    const int64_t each = (gathered ? pixel : step_h * step_w * channels) + m;  // elements of a pixel
    across = wide;
    if ((wide + gap) * each > kElements) {
      across = std::max<int64_t>(64, kElements / each - gap);
      across = ceil_div(wide, ceil_div(wide, across));
    }
    pitch = across + gap;
    // Rows that a block reads beyond its own.
    const int64_t above = gathered ? 0 : ceil_div(std::max<int64_t>(0, reach_h - step_h), step_h);
    block = across < wide ? 1 : std::clamp<int64_t>(kElements / (pitch * each) - above, 1, high);
    block = ceil_div(high, ceil_div(high, block));
    rows = block + above;
    images = 1;
    if (block == high && across == wide)
      images = std::clamp<int64_t>(2 * kElements / (pitch * rows * each), 1, grid.batch);
    joined = dense() && rows == high;
  }
  // Row y from column w0 on, channels of a pixel side by side.
  void copy_line(const T* src, int64_t y, int64_t w0, T* out) const {
    const int64_t n = line() / channels, first = w0 * step_w + least_w, width = grid.src_size[2];
    const int64_t lo = std::clamp<int64_t>(-first, 0, n), hi = std::clamp<int64_t>(width - first, lo, n);
    if (y < 0 || y >= grid.src_size[1] || hi == lo) {
      std::fill_n(out, n * channels, T(0));
      return;
    }
    std::fill_n(out, lo * channels, T(0));
    conv_copy_kernels<T>().interleave(src + y * width + first + lo, grid.src_channel, channels, hi - lo,
                                      out + lo * channels);
    std::fill_n(out + hi * channels, (n - hi) * channels, T(0));
  }
};

}  // namespace ccdl::cpu
