// Rows of a block are copied with their border of zeros, pixel after pixel. Plain: sorted by their residue
// modulo the stride of rows; the next pixel of the output reads a fixed distance further on, from one row to
// the next as well where dy has zeros in between. Folded: the rows that a stride skips lie in the pixels, so
// that few channels make longer runs. Gathered: all that a pixel reads is one run, for the shortest ones.
#include <ccdl/cpu/conv_runs.h>
#include <ccdl/cpu/simd/conv_copies.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kBlock = 65536;  // elements of a block's copies, well within the second cache
constexpr int64_t kLongest = 640;  // run that is gathered: blocks of more would have few pixels
constexpr int64_t kRunSlack = 256;

int64_t between(const std::vector<int64_t>& shift) { return shift.size() > 1 ? shift[1] - shift[0] : 1; }

enum class Layout { Plain, Folded, Gathered };

template <class T>
struct Runs {
  const ConvGrid<T>& grid;
  int64_t m, lanes, channels, step_h, step_w, by_h, by_w, taps_h, taps_w, reach_h, reach_w;
  Layout layout;
  int64_t taps_run;                      // of a row that are one run
  int64_t pixel, length, padded, count;  // elements: between pixels, of a run; number of runs
  int64_t across, pitch, block, rows, images;
  bool joined;
  // across, block: columns and rows of the output at a time; pitch: pixels of a copied row; rows: of one
  // residue; images: whole ones taken together; joined: as one long row

  Runs(const ConvGrid<T>& g, int64_t filters)
      : grid(g),
        m(filters),
        lanes(conv_kernels<T>().lanes),
        channels(g.channels),
        step_h(g.step[1]),
        step_w(g.step[2]),
        by_h(between(g.shift[1])),
        by_w(between(g.shift[2])),
        taps_h(static_cast<int64_t>(g.shift[1].size())),
        taps_w(static_cast<int64_t>(g.shift[2].size())),
        reach_h((taps_h - 1) * by_h + 1),
        reach_w((taps_w - 1) * by_w + 1) {
    Layout best = Layout::Plain;
    double least = cost(best);
    for (const Layout other : {Layout::Folded, Layout::Gathered}) {
      if (by_w != 1 || (other == Layout::Folded && (step_h == 1 || by_h != 1)) ||
          (other == Layout::Gathered && channels * g.taps() > kLongest))
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
  int64_t size() const { return (layout == Layout::Plain ? step_h : 1) * images * rows * row() + kRunSlack; }
  int64_t line() const { return ((across - 1) * step_w + reach_w + step_w) * channels; }  // of the source
  int64_t lines() const {  // kept while a block is filled
    return layout == Layout::Gathered ? (block - 1) * step_h + reach_h : 1;
  }
  int64_t begin(int64_t run) const {
    if (layout != Layout::Plain) return run * row();
    const int64_t per_row = taps_w / taps_run, h = run / per_row * by_h;
    return at(h % step_h, 0, h / step_h) + run % per_row * by_w * channels;
  }
  // Where the sums of a tap's channels lie in those of all runs.
  int64_t place(int64_t h, int64_t w) const {
    if (layout == Layout::Gathered) return (h * taps_w + w) * channels;
    if (layout == Layout::Folded)
      return h / step_h * padded + w / step_w * pixel + (h % step_h * step_w + w % step_w) * channels;
    return (h * (taps_w / taps_run) + w / taps_run) * padded + w % taps_run * channels;
  }
  int64_t sums() const { return count * padded; }

  // What the output rows [h0, h0 + live) and columns from w0 on of the image at src read.
  void fill(const T* src, int64_t h0, int64_t live, int64_t w0, int64_t image, T* line_data, T* out) const {
    const auto& copies = conv_copy_kernels<T>();
    const int64_t y0 = h0 * step_h + grid.shift[1][0];
    if (layout == Layout::Gathered) {
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
      const int64_t residue = i / rows, r = i % rows;
      copy_line(src, y0 + r * step_h + residue, w0, line_data);
      if (layout == Layout::Folded)
        copies.spread(line_data, step_w * channels, step_w * channels, 0, pitch, out + at(residue, image, r),
                      pixel);
      else
        std::memcpy(out + at(residue, image, r), line_data, static_cast<size_t>(row()) * sizeof(T));
    }
  }

 private:
  int64_t at(int64_t residue, int64_t image, int64_t i) const {
    return layout == Layout::Plain ? ((residue * images + image) * rows + i) * row()
                                   : (image * rows + i) * row() + residue * step_w * channels;
  }
  void lay(Layout chosen) {
    layout = chosen;
    taps_run = by_w == 1 ? taps_w : 1;
    pixel = step_w * channels;
    length = taps_run * channels;
    count = taps_h * (taps_w / taps_run);
    pitch = grid.pixels[2] + ceil_div(std::max<int64_t>(0, reach_w - step_w), step_w);
    if (layout == Layout::Folded) {
      pixel *= step_h;
      length = ceil_div(taps_w, step_w) * pixel;
      count = ceil_div(taps_h, step_h);
    } else if (layout == Layout::Gathered) {
      length = taps_h * taps_w * channels;
      pixel = round_up(length, lanes);
      count = 1;
      pitch = grid.pixels[2];
    }
    padded = round_up(length, lanes);
  }
  // Cycles per pixel, two multiply-adds each: the products, where a tile of one vector waits for its loads,
  // and the copies.
  double cost(Layout chosen) {
    lay(chosen);
    const int64_t vectors = ceil_div(length, lanes), run = 4 * vectors + (vectors % 3 == 1 ? 1 : 0);
    const auto each = [](int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
    const double products = each(m * count * run, 8) * each(pitch, grid.pixels[2]);
    if (layout == Layout::Gathered)
      return products + 1.5 * each(taps_h * ceil_div(taps_w * channels, lanes), 1);
    return products + (pitch > grid.pixels[2] ? each(m, 5) : 0.0);
  }
  void choose_block() {
    const int64_t high = grid.pixels[1], wide = grid.pixels[2], gap = pitch - wide;
    const bool gathered = layout == Layout::Gathered;
    const int64_t each = (gathered ? pixel : step_h * step_w * channels) + m;  // elements of a pixel
    across = wide;
    if ((wide + gap) * each > kBlock) {
      across = std::max<int64_t>(64, kBlock / each - gap);
      across = ceil_div(wide, ceil_div(wide, across));
    }
    pitch = across + gap;
    // Rows that a block reads beyond its own.
    const int64_t above = gathered ? 0 : ceil_div(std::max<int64_t>(0, reach_h - step_h), step_h);
    block = across < wide ? 1 : std::clamp<int64_t>(kBlock / (pitch * each) - above, 1, high);
    block = ceil_div(high, ceil_div(high, block));
    rows = block + above;
    images = 1;
    if (block == high && across == wide)
      images = std::clamp<int64_t>(2 * kBlock / (pitch * rows * each), 1, grid.batch);
    joined = dense() && rows == high;
  }
  // Row y from column w0 on, channels of a pixel side by side.
  void copy_line(const T* src, int64_t y, int64_t w0, T* out) const {
    const int64_t n = line() / channels, first = w0 * step_w + grid.shift[2][0], width = grid.src_size[2];
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

// One block of output rows and columns of one or several images: copies and products.
template <class T>
class Worker {
 public:
  explicit Worker(const Runs<T>& r)
      : r_(r),
        x_(r.size()),
        lines_(r.lines() * r.line() + kRunSlack),
        dy_(in_place() ? 0 : r.m * r.images * r.block * r.pitch) {
    std::fill_n(x_ + r.size() - kRunSlack, kRunSlack, T(0));
  }
  // Adds rows [i0, i0 + m) of a group; `first`: of the images; src and dy of the group and row.
  void add(const T* src, const T* dy, int64_t m, int64_t first, int64_t h0, int64_t w0, bool is_first,
           T* sums) const {
    const auto& gemm = gemm_kernels<T>();
    const ConvGrid<T>& g = r_.grid;
    const int64_t images = std::min(r_.images, g.batch - first), live = std::min(r_.block, g.pixels[1] - h0),
                  width = std::min(r_.across, g.pixels[2] - w0);
    const int64_t steps = images > 1 && r_.joined ? images * live * r_.pitch : (live - 1) * r_.pitch + width;
    for (int64_t n = 0; n < images; ++n)
      r_.fill(src + (first + n) * g.src_batch, h0, live, w0, n, lines_, x_);
    const T* rows = dy + first * g.dst_batch + h0 * g.pixels[2] + w0;
    int64_t row = g.dst_channel;
    if (!in_place()) {
      row = r_.images * r_.block * r_.pitch;
      for (int64_t n = 0; n < images; ++n)
        for (int64_t i = 0; i < m; ++i)
          conv_copy_kernels<T>().spread(rows + n * g.dst_batch + i * g.dst_channel, g.pixels[2], width,
                                        r_.pitch - width, live, dy_ + i * row + n * r_.block * r_.pitch,
                                        r_.pitch);
      rows = dy_;
    }
    for (int64_t k = 0; k < r_.count; ++k)
      for (int64_t j = 0; j < r_.padded;
           j += gemm.nr)  // a panel stays near for all rows, its sums for all images
        for (int64_t n = 0; n < (r_.joined ? 1 : images); ++n)
          gemm.block({rows + n * r_.block * r_.pitch,
                      row,
                      row,
                      1,
                      false,
                      x_ + r_.begin(k) + n * r_.rows * r_.row() + j,
                      gemm.nr,
                      r_.pixel,
                      sums + k * r_.padded + j,
                      r_.sums(),
                      m,
                      std::min<int64_t>(gemm.nr, r_.padded - j),
                      steps,
                      {T(1), is_first && n == 0 ? T(0) : T(1), nullptr, nullptr, false}});
  }

 private:
  bool in_place() const { return r_.images == 1 && (r_.dense() || r_.block == 1); }
  const Runs<T>& r_;
  Buffer<T> x_, lines_, dy_;
};

}  // namespace

template <class T>
bool conv_fits_runs(const ConvGrid<T>& grid, int64_t m) {
  if (grid.src_size[0] != 1 || grid.pixels[0] != 1 || grid.shift[0].size() != 1 || grid.shift[0][0] != 0 ||
      !grid.offsets.empty() || !grid.dst_dense() || grid.taps() == 1 || m < 4)
    return false;
  Runs<T> runs(grid, m);
  // Of many rows the panels of the other way cost less: measured even at 0.8 of 128 rows.
  return runs.efficiency() >= 0.6 + 0.25 * std::min(1.0, static_cast<double>(m) / 128) &&
         (runs.joined ? runs.images : 1) * runs.block * runs.across >= 48;
}

template <class T>
bool conv_backward_weight_runs(const ConvGrid<T>& grid, int64_t m, const T* dy, T* dw) {
  const Runs<T> runs(grid, m);
  const int64_t high = ceil_div(grid.pixels[1], runs.block), wide = ceil_div(grid.pixels[2], runs.across),
                units = ceil_div(grid.batch, runs.images) * high * wide, size = m * runs.sums(),
                pixels = grid.batch * grid.image();
  // Parts of the pixels, whose sums are added in order, as many as that is worth; else parts of the rows, for
  // which the copies are made again.
  const int64_t most = std::min<int64_t>(16, pixels * size / kConvChunkWork),
                parts = std::clamp<int64_t>(std::min(ceil_div(most, grid.groups), pixels / 512), 1, units),
                row_parts =
                    std::clamp<int64_t>(most / (grid.groups * parts), 1, std::max<int64_t>(1, m / 64)),
                each = round_up(ceil_div(m, row_parts), 8);
  Buffer<T> sums(grid.groups * parts * size);
  parallel_for(grid.groups * parts * row_parts, 1, [&](int64_t chunk, int64_t end) {
    const Worker<T> worker(runs);
    for (; chunk < end; ++chunk) {
      const int64_t i0 = chunk % row_parts * each, rest = chunk / row_parts, g = rest / parts,
                    part = rest % parts, begin = units * part / parts;
      for (int64_t u = begin; u < units * (part + 1) / parts && i0 < m; ++u)
        worker.add(grid.src + g * grid.channels * grid.src_channel, dy + (g * m + i0) * grid.dst_channel,
                   std::min(each, m - i0), u / (high * wide) * runs.images, u / wide % high * runs.block,
                   u % wide * runs.across, u == begin, sums + rest * size + i0 * runs.sums());
    }
  });
  const int64_t taps = grid.taps(), k = grid.channels * taps;
  std::vector<int64_t> place;
  for (int64_t h = 0; h < runs.taps_h; ++h)
    for (int64_t w = 0; w < runs.taps_w; ++w) place.push_back(runs.place(h, w));
  parallel_for(grid.groups * m, std::max<int64_t>(1, (1 << 14) / k), [&](int64_t row, int64_t end) {
    Buffer<T> line(k), turned(k + kRunSlack);
    for (; row < end; ++row) {
      const T* from = sums + row / m * parts * size + row % m * runs.sums();
      for (int64_t t = 0; t < taps; ++t) {
        const T* part = from + place[static_cast<size_t>(t)];
        T* out = line + t * grid.channels;
        for (int64_t c = 0; c < grid.channels; ++c) out[c] = part[c];
        for (int64_t p = 1; p < parts; ++p)
          for (int64_t c = 0; c < grid.channels; ++c) out[c] += part[p * size + c];
      }
      conv_copy_kernels<T>().interleave(line, grid.channels, taps, grid.channels, turned);
      std::memcpy(dw + row * k, turned, static_cast<size_t>(k) * sizeof(T));
    }
  });
  if (runs.dense()) return true;
  T odd = T(0);  // of what is not finite, no difference is zero
  for (int64_t i = 0; i < grid.groups * m * k; ++i) odd += dw[i] - dw[i];
  return odd == T(0);
}

template bool conv_fits_runs(const ConvGrid<float>&, int64_t);
template bool conv_fits_runs(const ConvGrid<double>&, int64_t);
template bool conv_backward_weight_runs(const ConvGrid<float>&, int64_t, const float*, float*);
template bool conv_backward_weight_runs(const ConvGrid<double>&, int64_t, const double*, double*);

}  // namespace ccdl::cpu
