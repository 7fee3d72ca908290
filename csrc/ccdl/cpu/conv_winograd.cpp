// Minimal filtering F(2x2, 3x3) around gemm.h. A chunk is a block of about a hundred tiles: its pixels are
// turned to channels innermost, transformed to 16 matrices [tiles, channels], multiplied with the transformed
// filters, and transformed back, all within L2. The weight gradient sums the 16 products over the tiles.
// Chunks and blocks depend on shapes only.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/conv_winograd.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/winograd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace ccdl::cpu {
namespace {

constexpr int64_t kPoints = kWinogradPoints;
constexpr int64_t kSkew = 16;  // floats behind each point's matrix: the 16 points must not share cache sets

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
int64_t padded(int64_t channels) { return round_up(channels, simd_winograd().lanes); }

// Sums of products in blocks: a panel of the second factor stays in L1, and the rounding error grows with the
// length of a block rather than with all of it.
template <class F>
void for_depths(int64_t depth, const F& fn) {
  constexpr int64_t kDepth = 128;
  const int64_t blocks = ceil_div(depth, kDepth);
  for (int64_t b = 0; b < blocks; ++b) fn(depth * b / blocks, depth * (b + 1) / blocks - depth * b / blocks);
}

// Tile rows [row, row + rows) of images [image, image + images).
struct TileBlock {
  int64_t image, images, row, rows;
};

// Blocks of about `target` tiles: several whole images, or some tile rows of one.
struct TileBlocks {
  int64_t height, width;  // tiles of an image
  int64_t images, rows, parts, count;
  TileBlocks(const WinogradShape& s, int64_t target)
      : height(ceil_div(s.out[0], 2)), width(ceil_div(s.out[1], 2)), batch_(s.batch) {
    images = std::clamp<int64_t>((target + height * width / 2) / (height * width), 1, s.batch);
    parts = images > 1 ? 1 : ceil_div(height, std::max<int64_t>(1, (target + width / 2) / width));
    rows = ceil_div(height, parts);
    parts = ceil_div(height, rows);
    count = ceil_div(s.batch, images) * parts;
  }
  TileBlock at(int64_t b) const {
    const int64_t image = b / parts * images, row = b % parts * rows;
    return {image, std::min(images, batch_ - image), row, std::min(rows, height - row)};
  }
  int64_t tiles(const TileBlock& b) const { return b.images * b.rows * width; }
  int64_t most() const { return images * rows * width; }

 private:
  int64_t batch_;
};

// The pixels under the tiles of a block, channels innermost: `halo` more rows and columns than the tiles
// cover, zero outside the plane. One memory block per image of the tile block.
class PixelBlock {
 public:
  PixelBlock(const TileBlocks& blocks, int64_t halo, int64_t width)
      : halo_(halo),
        columns_(2 * blocks.width + halo),
        width_(width),
        blocks_(blocks),
        pixels_(blocks.images * (2 * blocks.rows + halo) * columns_ * width),
        pixel_place_((2 * blocks.rows + halo) * columns_),
        tile_place_(blocks.most()) {}

  // Set the block: `first` is the row and column of the plane under its first pixel.
  void place(const TileBlock& b, const int64_t* size, int64_t first_row, int64_t first_column) {
    rows_ = 2 * b.rows + halo_;
    begin_ = std::clamp<int64_t>(first_row, 0, size[0]);
    end_ = std::clamp<int64_t>(first_row + rows_, 0, size[0]);
    above_ = begin_ - first_row;
    left_ = -first_column;
    size_ = size;
    int32_t* out = pixel_place_;
    for (int64_t r = begin_; r < end_; ++r)
      for (int64_t q = 0; q < size[1]; ++q)
        *out++ = static_cast<int32_t>(((r - first_row) * columns_ + q + left_) * width_);
    out = tile_place_;
    for (int64_t i = 0; i < b.images; ++i)
      for (int64_t r = 0; r < b.rows; ++r)
        for (int64_t t = 0; t < blocks_.width; ++t)
          *out++ = static_cast<int32_t>(((i * rows_ + 2 * r) * columns_ + 2 * t) * width_);
  }

  void gather(const TileBlock& b, const float* src, int64_t channels, bool last) {
    const int64_t plane = size_[0] * size_[1];
    for (int64_t i = 0; i < b.images; ++i) {
      float* at = pixels_ + i * rows_ * columns_ * width_;
      clear_borders(at);
      if (last) {
        gather_rows(src + ((b.image + i) * plane + begin_ * size_[1]) * channels, channels, at);
        continue;
      }
      simd_winograd().gather({const_cast<float*>(src) + (b.image + i) * channels * plane + begin_ * size_[1],
                              plane, channels, at, pixel_place_, (end_ - begin_) * size_[1]});
    }
  }

  // Channels [c, c + channels) of `all` in dst.
  void scatter(const TileBlock& b, float* dst, int64_t all, int64_t c, int64_t channels, bool last) const {
    const int64_t plane = size_[0] * size_[1];
    for (int64_t i = 0; i < b.images; ++i) {
      if (last) {
        const float* at = pixels_ + i * rows_ * columns_ * width_;
        float* to = dst + ((b.image + i) * plane + begin_ * size_[1]) * all + c;
        for (int64_t q = 0; q < (end_ - begin_) * size_[1]; ++q, to += all)
          std::memcpy(to, at + pixel_place_[q], static_cast<size_t>(channels) * sizeof(float));
        continue;
      }
      simd_winograd().scatter({dst + ((b.image + i) * all + c) * plane + begin_ * size_[1], plane, channels,
                               pixels_ + i * rows_ * columns_ * width_, pixel_place_,
                               (end_ - begin_) * size_[1]});
    }
  }

  WinogradTiles tiles(const TileBlock& b, float* points, int64_t point) const {
    return {pixels_, tile_place_, columns_ * width_, width_, blocks_.tiles(b), points, point, nullptr, false};
  }

 private:
  // Pixels of adjacent channels: whole rows where the channels fill their vectors.
  void gather_rows(const float* src, int64_t channels, float* at) const {
    const size_t pixel = static_cast<size_t>(channels) * sizeof(float);
    if (channels == width_) {
      for (int64_t r = 0; r < end_ - begin_; ++r, src += size_[1] * channels)
        std::memcpy(at + pixel_place_[r * size_[1]], src, static_cast<size_t>(size_[1]) * pixel);
      return;
    }
    for (int64_t q = 0; q < (end_ - begin_) * size_[1]; ++q, src += channels) {
      float* to = at + pixel_place_[q];
      std::memcpy(to, src, pixel);
      std::fill(to + channels, to + width_, 0.0f);
    }
  }
  void clear(float* p, int64_t count) const {
    std::memset(p, 0, static_cast<size_t>(count * width_) * sizeof(float));
  }
  void clear_borders(float* at) const {
    const int64_t live = end_ - begin_, right = columns_ - left_ - size_[1];
    clear(at, above_ * columns_);
    clear(at + (above_ + live) * columns_ * width_, (rows_ - above_ - live) * columns_);
    for (int64_t r = above_; r < above_ + live; ++r) {
      clear(at + r * columns_ * width_, left_);
      clear(at + (r * columns_ + left_ + size_[1]) * width_, right);
    }
  }

  int64_t halo_, columns_, width_;
  const TileBlocks& blocks_;
  int64_t rows_ = 0, begin_ = 0, end_ = 0, above_ = 0, left_ = 0;
  const int64_t* size_ = nullptr;
  Buffer<float> pixels_;
  Buffer<int32_t> pixel_place_, tile_place_;
};

// Transformed filters [point][panel][channel][nr], as the products read them.
struct Filters {
  int64_t panel, point;
  Buffer<float> data;
  Filters(const WinogradShape& s, const WinogradFilterView& w)
      : panel(s.channels * gemm_kernels<float>().nr),
        point(ceil_div(padded(s.rows), gemm_kernels<float>().nr) * panel + kSkew),
        data(kPoints * point) {
    const int64_t lanes = simd_winograd().lanes, nr = gemm_kernels<float>().nr, step = 64,
                  steps = ceil_div(s.channels, step);
    parallel_for(ceil_div(s.rows, lanes) * steps, 8, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t row = b / steps * lanes, c = b % steps * step;
        simd_winograd().filter({w.w + c * w.channel, w.row, w.channel, w.tap, w.turned, row, s.rows,
                                std::min(step, s.channels - c),
                                data.get() + row / nr * panel + c * nr + row % nr, point, nr});
      }
    });
  }
};

struct ForwardPlan {
  TileBlocks blocks;
  int64_t width, group, splits;  // columns: in all, per pass of the products, chunks of groups
};

ForwardPlan plan_forward(const WinogradShape& s) {
  const int64_t nr = gemm_kernels<float>().nr, width = padded(s.rows);
  ForwardPlan p{TileBlocks(s, std::clamp<int64_t>(8192 / s.channels, 64, 112)), width, round_up(96, nr), 1};
  const int64_t groups = ceil_div(width, p.group);
  p.splits = std::clamp<int64_t>(ceil_div(16, p.blocks.count), 1, groups);
  return p;
}

// The columns [begin, end) of a block.
bool forward_block(const WinogradShape& s, const ForwardPlan& plan, const TileBlock& block,
                   const Filters& filters, const float* x, const float* bias, bool relu, int64_t begin,
                   int64_t end, float* y) {
  const auto& gemm = gemm_kernels<float>();
  const auto& kernels = simd_winograd();
  const int64_t tiles = plan.blocks.tiles(block), depth = padded(s.channels), point = tiles * depth + kSkew;
  Buffer<float> points(kPoints * point);
  {
    PixelBlock source(plan.blocks, 2, depth);
    source.place(block, s.in, 2 * block.row - s.padding[0], -s.padding[1]);
    source.gather(block, x, s.channels, s.last);
    kernels.input(source.tiles(block, points, point));
  }
  Buffer<float> product(kPoints * (tiles * plan.group + kSkew));
  bool finite = true;
  for (int64_t k = begin; k < end; k += plan.group) {
    const int64_t n = std::min(plan.group, end - k), out = tiles * n + kSkew;
    for (int64_t f = 0; f < kPoints; ++f) {
      const float* w = filters.data + f * filters.point + k / gemm.nr * filters.panel;
      for_depths(s.channels, [&](int64_t c, int64_t count) {
        gemm.block({points + f * point + c,
                    depth,
                    depth,
                    1,
                    false,
                    w + c * gemm.nr,
                    filters.panel,
                    gemm.nr,
                    product + f * out,
                    n,
                    tiles,
                    n,
                    count,
                    {1, c == 0 ? 0.0f : 1.0f, nullptr, nullptr, false}});
      });
    }
    PixelBlock target(plan.blocks, 0, n);
    target.place(block, s.out, 2 * block.row, 0);
    WinogradTiles t = target.tiles(block, product, out);
    t.bias = bias != nullptr ? bias + k : nullptr;
    t.relu = relu;
    finite = kernels.output(t) && finite;
    target.scatter(block, y, s.rows, k, std::min(n, s.rows - k), s.last);
  }
  return finite;
}

}  // namespace

bool winograd_fits(const WinogradShape& s) {
  const int64_t pixels = s.out[0] * s.out[1], tiles = ceil_div(s.out[0], 2) * ceil_div(s.out[1], 2);
  const auto covered = [](int64_t padding) { return padding >= 0 && padding <= 2; };
  return covered(s.padding[0]) && covered(s.padding[1]) && s.channels >= 32 && s.rows >= 32 && pixels > 0 &&
         pixels * 10 >= tiles * 28 && s.batch * tiles >= 64;
}

bool winograd_forward(const WinogradShape& s, const float* x, const WinogradFilterView& w, const float* bias,
                      bool relu, float* y) {
  const ForwardPlan plan = plan_forward(s);
  const Filters filters(s, w);
  Buffer<float> wide_bias(bias != nullptr ? plan.width : 0);
  if (bias != nullptr) {
    std::copy_n(bias, s.rows, wide_bias.get());
    std::fill(wide_bias + s.rows, wide_bias + plan.width, 0.0f);
  }
  const int64_t groups = ceil_div(plan.width, plan.group);
  std::atomic<bool> finite{true};
  parallel_for(plan.blocks.count * plan.splits, 1, [&](int64_t chunk, int64_t last) {
    for (; chunk < last; ++chunk) {
      const int64_t part = chunk % plan.splits, begin = groups * part / plan.splits * plan.group,
                    end = std::min(plan.width, groups * (part + 1) / plan.splits * plan.group);
      if (!forward_block(s, plan, plan.blocks.at(chunk / plan.splits), filters, x, wide_bias, relu, begin,
                         end, y))
        finite.store(false, std::memory_order_relaxed);
    }
  });
  return finite.load(std::memory_order_relaxed);
}

namespace {

// Both operands of the weight gradient's products: points [16][tiles][channels] of x and of dy.
struct GradientPoints {
  int64_t depth, width, x_point, dy_point;  // depth: of x, width: of dy
  Buffer<float> x, dy;
  GradientPoints(const WinogradShape& s, int64_t tiles)
      : depth(padded(s.channels)),
        width(padded(s.rows)),
        x_point(tiles * depth + kSkew),
        dy_point(tiles * width + kSkew),
        x(kPoints * x_point),
        dy(kPoints * dy_point) {}
};

// The points of a block, from tile `first` on.
void transform_block(const WinogradShape& s, const TileBlocks& blocks, const TileBlock& block, const float* x,
                     const float* dy, int64_t first, const GradientPoints& to) {
  {
    PixelBlock source(blocks, 2, to.depth);
    source.place(block, s.in, 2 * block.row - s.padding[0], -s.padding[1]);
    source.gather(block, x, s.channels, s.last);
    simd_winograd().input(source.tiles(block, to.x + first * to.depth, to.x_point));
  }
  PixelBlock source(blocks, 0, to.width);
  source.place(block, s.out, 2 * block.row, 0);
  source.gather(block, dy, s.rows, s.last);
  simd_winograd().gradient(source.tiles(block, to.dy + first * to.width, to.dy_point));
}

// sums[row, channel] of one point over `tiles` tiles, rows [begin, end).
void multiply_points(const GradientPoints& p, int64_t f, int64_t begin, int64_t end, int64_t tiles,
                     float* sums, bool first) {
  const auto& gemm = gemm_kernels<float>();
  for_depths(tiles, [&](int64_t t, int64_t count) {
    gemm.block({p.dy + f * p.dy_point + t * p.width + begin,
                1,
                1,
                p.width,
                false,
                p.x + f * p.x_point + t * p.depth,
                gemm.nr,
                p.depth,
                sums + begin * p.depth,
                p.depth,
                end - begin,
                p.depth,
                count,
                {1, first && t == 0 ? 0.0f : 1.0f, nullptr, nullptr, false}});
  });
}

}  // namespace

bool winograd_backward_weight(const WinogradShape& s, const float* x, const float* dy, float* dw,
                              bool last_weights) {
  const int64_t depth = padded(s.channels), point = s.rows * depth + kSkew, part = kPoints * point;
  const TileBlocks blocks(s, std::clamp<int64_t>(8192 / s.channels, 64, 112));
  // Few channels: each part of the tiles has its own sums. Many: the sums are shared, and the transformed
  // blocks of a round are multiplied point by point.
  const bool own = part <= 1 << 17;
  const int64_t parts = own ? std::min<int64_t>(16, blocks.count) : 1;
  Buffer<float> sums(parts * part);
  if (own) {
    parallel_for(parts, 1, [&](int64_t p, int64_t last) {
      const GradientPoints points(s, blocks.most());
      for (; p < last; ++p) {
        const int64_t begin = blocks.count * p / parts, end = blocks.count * (p + 1) / parts;
        for (int64_t b = begin; b < end; ++b) {
          const TileBlock block = blocks.at(b);
          transform_block(s, blocks, block, x, dy, 0, points);
          for (int64_t f = 0; f < kPoints; ++f)
            multiply_points(points, f, 0, s.rows, blocks.tiles(block), sums + p * part + f * point,
                            b == begin);
        }
      }
    });
  } else {
    const int64_t bytes = kPoints * 4 * (depth + padded(s.rows)) * blocks.most();
    const int64_t most = std::clamp<int64_t>((int64_t{8} << 20) / bytes, 1, blocks.count),
                  rounds = ceil_div(blocks.count, most), round = ceil_div(blocks.count, rounds);
    const int64_t step = 64, row_blocks = ceil_div(s.rows, step);
    const GradientPoints points(s, round * blocks.most());
    for (int64_t b0 = 0; b0 < blocks.count; b0 += round) {
      const int64_t b1 = std::min(blocks.count, b0 + round);
      int64_t tiles = 0;
      for (int64_t b = b0; b < b1; ++b) tiles += blocks.tiles(blocks.at(b));
      parallel_for(b1 - b0, 1, [&](int64_t i, int64_t last) {
        for (; i < last; ++i) {
          int64_t first = 0;  // blocks at the end of an image are smaller
          for (int64_t b = b0; b < b0 + i; ++b) first += blocks.tiles(blocks.at(b));
          transform_block(s, blocks, blocks.at(b0 + i), x, dy, first, points);
        }
      });
      parallel_for(kPoints * row_blocks, 1, [&](int64_t i, int64_t last) {
        for (; i < last; ++i) {
          const int64_t f = i / row_blocks, row = i % row_blocks * step;
          multiply_points(points, f, row, std::min(s.rows, row + step), tiles, sums + f * point, b0 == 0);
        }
      });
    }
  }
  std::atomic<bool> finite{true};
  parallel_for(s.rows, std::max<int64_t>(1, 4096 / s.channels), [&](int64_t k, int64_t last) {
    for (; k < last; ++k)
      if (!simd_winograd().filter_gradient({sums + k * depth, point, parts, part, s.channels,
                                            dw + k * s.channels * 9, last_weights ? 1 : 9,
                                            last_weights ? s.channels : 1}))
        finite.store(false, std::memory_order_relaxed);
  });
  return finite.load(std::memory_order_relaxed);
}

}  // namespace ccdl::cpu
