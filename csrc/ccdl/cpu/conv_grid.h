// The geometry shared by all convolution kernels: output pixels on a grid, each reading shifted source
// elements, and the per-block tables (source runs, tap masks, output offsets) that the vector loops of
// simd/conv.h work from.
#pragma once
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/simd/conv.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace ccdl::cpu {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Pixel (n, i) of group g reads src[n, g, c, i * step + shift(tap)] for every channel and tap; outside is
// zero.
template <class T>
struct ConvGrid {
  int64_t batch, groups, channels;  // channels per group
  const T* src;
  int64_t src_batch, src_channel;  // element strides; a group is `channels` planes further
  int64_t src_size[3];
  std::vector<int64_t> shift[3];  // per dim, one entry per tap
  int64_t pixels[3], step[3];
  int64_t dst_batch, dst_channel, dst_stride[3];  // where a pixel lies on the other side
  std::vector<int64_t> offsets = {};              // of the taps, where they do not follow from the shifts
  int64_t taps() const { return static_cast<int64_t>(shift[0].size() * shift[1].size() * shift[2].size()); }
  int64_t image() const { return pixels[0] * pixels[1] * pixels[2]; }
  bool dst_dense() const {
    return dst_stride[2] == 1 && dst_stride[1] == pixels[2] && dst_stride[0] == pixels[1] * pixels[2];
  }
  // One tap that reads the pixel itself: source and pixels are the same plane.
  bool pointwise() const {
    bool same = taps() == 1;
    for (int d = 0; d < 3 && same; ++d) same = shift[d][0] == 0 && step[d] == 1 && src_size[d] == pixels[d];
    return same;
  }
  std::vector<int64_t> tap_offsets() const {
    if (!offsets.empty()) return offsets;
    std::vector<int64_t> out;
    for (int64_t d : shift[0])
      for (int64_t h : shift[1])
        for (int64_t w : shift[2]) out.push_back((d * src_size[1] + h) * src_size[2] + w);
    return out;
  }
};

// Tables of the pixels [begin, begin + count) counted over (batch, pixel) from some image on; the same tables
// serve every image, so addresses of another one only add its distance.
template <class T>
class PixelTable {
 public:
  PixelTable(const ConvGrid<T>& grid, int64_t capacity, int lanes)
      : grid_(grid), lanes_(lanes), tap_offset_(grid.tap_offsets()), pixel_dst_(capacity) {}

  // One vector per `lanes` pixels; with `split`, a vector ends where source or destination stop being
  // consecutive, unless the destination is consecutive throughout and every vector can be read as a window.
  void build(int64_t begin, int64_t count, bool split, bool windowed = false) {
    if (begin == begin_ && count == count_) return;
    windowed_ = windowed;
    if (windowed) {
      build_vectors(begin, count, false);
      if (windowed_) return;
    }
    build_vectors(begin, count, split);
  }

 private:
  void build_vectors(int64_t begin, int64_t count, bool split) {
    begin_ = begin;
    count_ = count;
    vectors_.clear();
    runs_.clear();
    windows_.clear();
    for (int d = 0; d < 3; ++d) valid_[d].clear();
    int64_t index[4];
    locate(begin, index);
    const int64_t row = grid_.pixels[2];
    int lane = lanes_;
    for (int64_t q = 0; q < count;) {
      if (lane == lanes_) open_vector(lane);
      const int64_t n = std::min({row - index[3], count - q, static_cast<int64_t>(lanes_ - lane)});
      const int64_t dst = destination(index);
      int64_t offset = source(index) - lane * grid_.step[2];
      const bool joins = vectors_.back().runs > 0 && runs_.back().offset == offset;
      const bool follows = vectors_.back().runs == 0 ||
                           (joins && grid_.dst_stride[2] == 1 && dst == vectors_.back().dst + lane);
      if (split && !follows) {
        open_vector(lane);
        offset = source(index);
      }
      const int64_t fit = std::min<int64_t>(n, lanes_ - lane);
      if (split && vectors_.back().runs == 0) vectors_.back().dst = dst;
      const uint32_t bits = ((1u << fit) - 1u) << lane;
      if (joins && vectors_.back().runs > 0)
        runs_.back().lanes |= bits;
      else
        add_run(offset, bits);
      mark_valid(index, lane, fit, bits);
      for (int64_t i = 0; i < fit; ++i) pixel_dst_[q + i] = dst + i * grid_.dst_stride[2];
      lane += static_cast<int>(fit);
      q += fit;
      advance(index, fit);
    }
    combine_masks();
    if (!split) find_windows();
    if (windowed_) place_windows();
  }

 public:
  int64_t begin() const { return begin_; }
  int64_t count() const { return count_; }
  int64_t first_source() const { return runs_.front().offset; }  // of the tap without shift
  int64_t last_source() const { return runs_.back().offset + lanes_ * grid_.step[2]; }
  std::vector<ConvVector>& vectors() { return vectors_; }
  const int64_t* pixel_dst() const { return pixel_dst_; }
  ConvSource<T> source_at(const T* data) const {
    return {data,
            grid_.src_channel,
            static_cast<int64_t>(tap_offset_.size()),
            tap_offset_.data(),
            tap_mask_.data(),
            vectors_.data(),
            runs_.data(),
            windows_.data(),
            static_cast<int64_t>(vectors_.size()),
            grid_.step[2],
            windowed_ ? tap_elements_.data() : nullptr};
  }

 private:
  void locate(int64_t q, int64_t* index) const {
    for (int d = 2; d >= 0; --d) {
      index[d + 1] = q % grid_.pixels[d];
      q /= grid_.pixels[d];
    }
    index[0] = q;
  }
  void advance(int64_t* index, int64_t n) const {
    index[3] += n;
    for (int d = 3; d > 0 && index[d] == grid_.pixels[d - 1]; --d) {
      index[d] = 0;
      ++index[d - 1];
    }
  }
  int64_t source(const int64_t* i) const {
    const auto& s = grid_.src_size;
    return i[0] * grid_.src_batch + (i[1] * grid_.step[0] * s[1] + i[2] * grid_.step[1]) * s[2] +
           i[3] * grid_.step[2];
  }
  int64_t destination(const int64_t* i) const {
    return i[0] * grid_.dst_batch + i[1] * grid_.dst_stride[0] + i[2] * grid_.dst_stride[1] +
           i[3] * grid_.dst_stride[2];
  }
  void open_vector(int& lane) {
    vectors_.push_back({static_cast<int32_t>(runs_.size()), 0, -1, 0});
    for (int d = 0; d < 3; ++d) valid_[d].resize(valid_[d].size() + grid_.shift[d].size(), 0);
    lane = 0;
  }
  void add_run(int64_t offset, uint32_t bits) {
    runs_.push_back({offset, bits});
    ++vectors_.back().runs;
  }
  void mark_valid(const int64_t* index, int lane, int64_t n, uint32_t bits) {
    for (int d = 0; d < 3; ++d) {
      const size_t taps = grid_.shift[d].size();
      uint16_t* valid = valid_[d].data() + valid_[d].size() - taps;
      for (size_t t = 0; t < taps; ++t) {
        const int64_t at = index[d + 1] * grid_.step[d] + grid_.shift[d][t];
        if (d < 2) {
          if (at >= 0 && at < grid_.src_size[d]) valid[t] |= static_cast<uint16_t>(bits);
        } else {
          for (int64_t i = 0; i < n; ++i)
            if (const int64_t w = at + i * grid_.step[2]; w >= 0 && w < grid_.src_size[2])
              valid[t] |= static_cast<uint16_t>(1u << (lane + i));
        }
      }
    }
  }
  void combine_masks() {
    const size_t td = grid_.shift[0].size(), th = grid_.shift[1].size(), tw = grid_.shift[2].size(),
                 n = vectors_.size();
    tap_mask_.resize(td * th * tw * n);
    uint16_t* out = tap_mask_.data();
    for (size_t d = 0; d < td; ++d)
      for (size_t h = 0; h < th; ++h)
        for (size_t w = 0; w < tw; ++w)
          for (size_t v = 0; v < n; ++v)
            *out++ = valid_[0][v * td + d] & valid_[1][v * th + h] & valid_[2][v * tw + w];
  }

  // Vectors of several runs that lie close together (neighbouring rows of small images) are read as one
  // window. The used lanes are always the lowest ones.
  void find_windows() {
    for (ConvVector& v : vectors_) {
      if (!windowed_ && v.runs == 1 && (grid_.step[2] == 1 || grid_.step[2] == 2)) continue;
      ConvWindow w{};
      int64_t last = -1;
      bool fits = v.runs > 0;
      for (int r = 0; r < v.runs && fits; ++r) {
        const ConvRun& run = runs_[v.first_run + r];
        for (int l = 0; l < lanes_ && fits; ++l) {
          if ((run.lanes >> l & 1u) == 0) continue;
          const int64_t at = run.offset + l * grid_.step[2];
          if (last < 0) w.offset = at;
          const int64_t index = at - w.offset;
          fits = index > last && index < 2 * lanes_;
          if (!fits) break;
          last = index;
          w.elements |= 1u << index;
          w.lanes |= 1u << l;
          w.index[l] = static_cast<int32_t>(index);
        }
      }
      windowed_ = windowed_ && fits;
      if (!fits) continue;
      v.window = static_cast<int32_t>(windows_.size());
      windows_.push_back(w);
    }
  }

  // Consecutive destinations, and the masks of the lanes spread over the elements.
  void place_windows() {
    tap_elements_.assign(tap_mask_.size(), 0);
    for (size_t v = 0; v < vectors_.size(); ++v) {
      vectors_[v].dst = pixel_dst_[static_cast<int64_t>(v) * lanes_];
      const ConvWindow& w = windows_[static_cast<size_t>(vectors_[v].window)];
      for (size_t at = v; at < tap_mask_.size(); at += vectors_.size())
        for (int l = 0; l < lanes_; ++l)
          if ((tap_mask_[at] >> l & 1u) != 0) tap_elements_[at] |= 1u << w.index[l];
    }
  }

  const ConvGrid<T>& grid_;
  int lanes_;
  int64_t begin_ = -1, count_ = -1;
  bool windowed_ = false;
  std::vector<int64_t> tap_offset_;
  std::vector<ConvVector> vectors_;
  std::vector<ConvRun> runs_;
  std::vector<ConvWindow> windows_;
  std::vector<uint16_t> valid_[3];  // [vector][tap of the dim]
  std::vector<uint16_t> tap_mask_;  // [tap][vector]
  std::vector<uint32_t> tap_elements_;
  Buffer<int64_t> pixel_dst_;
};

// The table of a block: made once and shared by all chunks where every block looks the same (one position),
// else made by the chunk. prepare(table, begin, count) builds a table and sets where its vectors go.
template <class T, class F>
class BlockTables {
 public:
  BlockTables(const ConvGrid<T>& grid, int64_t size, int lanes, bool share, const F& prepare)
      : grid_(grid), size_(size), lanes_(lanes), prepare_(prepare) {
    if (!share) return;
    shared_ = std::make_unique<PixelTable<T>>(grid, size, lanes);
    prepare(*shared_, 0, size);
  }
  // `own` holds the chunk's table from one call to the next.
  const PixelTable<T>& get(std::unique_ptr<PixelTable<T>>& own, int64_t begin, int64_t count) const {
    if (shared_ != nullptr && begin == 0 && count == size_) return *shared_;
    if (own == nullptr) own = std::make_unique<PixelTable<T>>(grid_, size_, lanes_);
    prepare_(*own, begin, count);
    return *own;
  }

 private:
  const ConvGrid<T>& grid_;
  int64_t size_;
  int lanes_;
  const F& prepare_;
  std::unique_ptr<PixelTable<T>> shared_;
};

// Pixel blocks of about `target` pixels: `positions` parts of one image, or several whole images. Blocks at
// the same position of different units differ by the distance of images only.
struct PixelBlocks {
  int64_t size, positions, units, images;  // images per unit; images > 1 has one position
  PixelBlocks(int64_t batch, int64_t pixels, int64_t target, int64_t multiple)
      : batch_(batch), pixels_(pixels) {
    images =
        pixels * 4 >= target * 3 ? 1 : std::min(batch, std::max<int64_t>(1, (target + pixels / 2) / pixels));
    size = images > 1 ? images * pixels
                      : std::min(pixels,
                                 round_up(ceil_div(pixels, std::max<int64_t>(1, pixels / target)), multiple));
    positions = images > 1 ? 1 : ceil_div(pixels, size);
    units = ceil_div(batch, images);
  }
  int64_t begin(int64_t position) const { return position * size; }
  int64_t count(int64_t position, int64_t unit) const {
    return images > 1 ? std::min(images, batch_ - unit * images) * pixels_
                      : std::min(size, pixels_ - position * size);
  }

 private:
  int64_t batch_, pixels_;
};

}  // namespace ccdl::cpu
