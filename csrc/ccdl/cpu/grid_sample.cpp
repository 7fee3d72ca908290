// Samples at positions: blocks of points forward and for the grid's gradient; the input's gradient is split
// over images and groups of channels, whose pixels never meet, and summed in the order of the points inside.
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/grid_sample.h>
#include <ccdl/kernels/grid_sample.h>

#include <algorithm>
#include <cstring>

#include <ccdl/core/parallel.h>

namespace ccdl::cpu {
namespace {

constexpr int kSumSlot = 0;
constexpr int64_t kTaskWork = 16384;  // taps of a task, at least

GridImage image_of(const View& x, const View& y, const GridSampleOptions& o) {
  GridImage s{x.ndim - 2, {1, 1, 1}, x.sizes[1], 1, 1, o};
  for (int d = 0; d < s.dims; ++d) {
    s.size[d] = x.sizes[x.ndim - 1 - d];
    s.plane *= s.size[d];
    s.points *= y.sizes[y.ndim - 1 - d];
  }
  return s;
}

template <class F>
F kernel_of(const F (&table)[4][2][3], const View& x, const GridSampleOptions& o) {
  return table[float_index(x.dtype)][x.ndim - 4][static_cast<int>(o.mode)];
}

int64_t taps_of(const GridImage& s) {
  int64_t total = 1;
  for (int d = 0; d < s.dims; ++d) total *= grid_taps_of(s.options.mode);
  return total;
}

// fn(image, first point, points)
template <class F>
void each_block(int64_t images, const GridImage& s, const F& fn) {
  const int64_t blocks = (s.points + kGridBlock - 1) / kGridBlock;
  const int64_t work = kGridBlock * (s.channels * taps_of(s) + 16);
  parallel_for(images * blocks, kTaskWork / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * kGridBlock;
      fn(i / blocks, first, std::min<int64_t>(kGridBlock, s.points - first));
    }
  });
}

}  // namespace

void grid_sample_forward(const View& x, const View& grid, const View& y, const GridSampleOptions& o) {
  const GridImage s = image_of(x, y, o);
  const auto run = kernel_of(simd_grid_sample_kernels().forward, x, o);
  each_block(x.sizes[0], s, [&](int64_t image, int64_t first, int64_t n) {
    run(s, element(x, image * s.channels * s.plane), element(grid, (image * s.points + first) * s.dims),
        element(y, image * s.channels * s.points + first), n);
  });
}

void grid_sample_backward_grid(const View& x, const View& grid, const View& dy, const View& dgrid,
                               const GridSampleOptions& o) {
  const GridImage s = image_of(x, dy, o);
  if (o.mode == GridMode::Nearest) {  // steps have no slope
    std::memset(dgrid.data, 0, static_cast<size_t>(dgrid.numel() * item_size(dgrid.dtype)));
    return;
  }
  const auto run = kernel_of(simd_grid_sample_kernels().backward_grid, x, o);
  each_block(x.sizes[0], s, [&](int64_t image, int64_t first, int64_t n) {
    const int64_t at = (image * s.points + first) * s.dims;
    run(s, element(x, image * s.channels * s.plane), element(grid, at),
        element(dy, image * s.channels * s.points + first), element(dgrid, at), n);
  });
}

void grid_sample_backward_input(const View& grid, const View& dy, const View& dx,
                                const GridSampleOptions& o) {
  const GridImage whole = image_of(dx, dy, o);
  const int64_t images = dx.sizes[0], channels = whole.channels;
  if (images * channels == 0) return;
  const auto run = kernel_of(simd_grid_sample_kernels().backward_input, dx, o);
  // a group of channels shares the taps; enough groups for the threads there may be
  const int64_t group = images >= 8 ? channels : (images * channels + 15) / 16;
  const int64_t groups = (channels + group - 1) / group;
  parallel_for(images * groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / groups, c = i % groups * group;
      GridImage s = whole;
      s.channels = std::min(group, channels - c);
      const int64_t n = s.channels * s.plane;
      void* to = element(dx, (image * channels + c) * s.plane);
      const bool half = dx.dtype == DType::Float16 || dx.dtype == DType::BFloat16;
      void* sums = half ? scratch<float>(kSumSlot, n) : to;
      std::memset(sums, 0, static_cast<size_t>(n * (half ? 4 : item_size(dx.dtype))));
      for (int64_t first = 0; first < s.points; first += kGridBlock)
        run(s, element(grid, (image * s.points + first) * s.dims),
            element(dy, (image * channels + c) * s.points + first), sums,
            std::min<int64_t>(kGridBlock, s.points - first));
      if (half)
        with_float(dx.dtype, [&](auto t) {
          using T = decltype(t);
          for (int64_t k = 0; k < n; ++k)
            static_cast<T*>(to)[k] = T(static_cast<float>(static_cast<const float*>(sums)[k]));
        });
    }
  });
}

}  // namespace ccdl::cpu
