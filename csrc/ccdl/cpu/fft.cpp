// Fourier transforms: many lines go by blocks of one line per lane; few or long ones one after the other,
// each in two steps n = a b whose columns are the lanes (Gentleman and Sande, 1966), or by a convolution
// where n has a large prime factor (Bluestein, 1970).
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/fft_plan.h>
#include <ccdl/cpu/scratch.h>

#include <algorithm>
#include <cstring>

namespace ccdl::cpu {
namespace {

constexpr int64_t kGrain = 1 << 15;       // vectors moved by a chunk, about 10 us
constexpr int64_t kNear = 512 << 10;      // bytes that passes may go over and over
constexpr int64_t kSharedLine = 1 << 15;  // a line from this length is shared by the threads
constexpr int kMostLanes = 64;

using Tables = std::shared_ptr<const FftTables>;

// What the two ways of a call share.
struct Call {
  const char* x;
  char* y;
  FftSpec spec;
  int64_t outer, m, inner, count;  // count: numbers of a line in memory
  int64_t in, out;                 // and those read and written
  int type;
  int64_t item;
  bool pairs_in, pairs_out, packed;  // packed: real numbers in pairs of neighbours
  int64_t length() const { return packed ? spec.n / 2 : spec.n; }  // of the complex transform
  int64_t width_in() const { return pairs_in ? 2 : 1; }
  int64_t width_out() const { return pairs_out ? 2 : 1; }
  // Where a line begins, in elements.
  int64_t from(int64_t line) const { return (line / inner * m * inner + line % inner) * width_in(); }
  int64_t to(int64_t line) const { return (line / inner * count * inner + line % inner) * width_out(); }
};

// Numbers of a line that a transform makes.
int64_t made_by(const FftSpec& s) { return s.kind == FftKind::to_half && !s.mirrored ? s.n / 2 + 1 : s.n; }

int64_t room_for(const FftLanes& lanes, int64_t n = 0) {
  return 2 * (std::max({lanes.n, lanes.size, n}) + 1);
}

// A working memory of this thread for one block.
void* block_room(int slot, int64_t vectors, const Call& c) {
  return scratch_bytes(slot, bytes_of(vectors, static_cast<size_t>(simd_fft().lanes[c.type] * c.item)));
}

void by_blocks(const Call& c, const FftLanes& lanes, const void* half_turns, int64_t cost) {
  const FftKernels& simd = simd_fft();
  const int64_t width = simd.lanes[c.type];
  const bool together = c.inner == 1 || 2 * c.inner >= width;  // lanes are rows, or lie side by side
  const int64_t lines = c.inner == 1 ? c.outer : together ? c.inner : c.outer * c.inner;
  const int64_t groups = c.inner > 1 && together ? c.outer : 1, blocks = (lines + width - 1) / width;
  parallel_for(groups * blocks, std::max<int64_t>(1, kGrain / cost), [&](int64_t begin, int64_t end) {
    const int64_t vectors = room_for(lanes, c.spec.mirrored ? c.spec.n : 0);
    void* a = block_room(0, vectors, c);
    void* b = block_room(1, vectors, c);
    int64_t from_at[kMostLanes], to_at[kMostLanes];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * width, group = i / blocks;
      FftBlock block{};
      block.lanes = std::min(width, lines - first);
      block.in = c.in, block.out = c.out;
      block.from_lane = c.inner == 1 ? c.m * c.width_in() : c.width_in();
      block.to_lane = c.inner == 1 ? c.count * c.width_out() : c.width_out();
      block.from_step = c.inner * c.width_in(), block.to_step = c.inner * c.width_out();
      const int64_t line = group * c.inner + first;
      block.from = c.x, block.to = c.y;
      if (together) {
        block.from = c.x + c.from(line) * c.item, block.to = c.y + c.to(line) * c.item;
      } else {
        for (int64_t l = 0; l < block.lanes; ++l) from_at[l] = c.from(line + l), to_at[l] = c.to(line + l);
        block.from_at = from_at, block.to_at = to_at;
      }
      simd.block[c.type](c.spec, lanes, half_turns, block, a, b);
    }
  });
}

// The transform of one line of pairs whose length the split divides; from and to may be the same.
void split_line(const FftSplit& s, int type, int64_t item, const void* from, void* to, bool flip,
                double factor) {
  const FftKernels& simd = simd_fft();
  const int64_t width = simd.lanes[type], vector = width * item;
  const int64_t room = std::max(room_for(*s.first), room_for(*s.second));
  Buffer<char> between(2 * s.a * s.padded * item);
  const int64_t grain = s.n < kSharedLine ? s.n : std::max<int64_t>(1, kGrain / room);
  parallel_for((s.b + width - 1) / width, grain, [&](int64_t begin, int64_t end) {
    char *a = scratch<char>(0, room * vector), *b = scratch<char>(1, room * vector);
    for (int64_t i = begin; i < end; ++i) simd.split_first[type](s, from, flip, between, i * width, a, b);
  });
  parallel_for((s.a + width - 1) / width, grain, [&](int64_t begin, int64_t end) {
    char *a = scratch<char>(0, room * vector), *b = scratch<char>(1, room * vector);
    for (int64_t i = begin; i < end; ++i)
      simd.split_second[type](s, between, to, flip, factor, i * width, a, b);
  });
}

// One complex line of c.length() pairs. Either a split of it, or a split of the convolution.
struct Line {
  Tables own, split;  // own: chirp and spectrum, where there is a convolution
  void run(const Call& c, const void* from, void* to, bool flip, double factor, char* spare) const {
    const FftKernels& simd = simd_fft();
    if (!own) return split_line(split->split, c.type, c.item, from, to, flip, factor);
    const int64_t n = c.length(), m = own->m;
    simd.multiply[c.type](from, own->chirp, spare, n, flip, false, 1.0);
    std::memset(spare + 2 * n * c.item, 0, static_cast<size_t>(2 * (m - n) * c.item));
    split_line(split->split, c.type, c.item, spare, spare, false, 1.0);
    simd.multiply[c.type](spare, own->spectrum, spare, m, false, true, 1.0);
    split_line(split->split, c.type, c.item, spare, spare, false, 1.0);
    simd.multiply[c.type](spare, own->chirp, to, n, true, flip, factor);
  }
};

// count numbers of `width` elements, `step` numbers apart in memory, to or from a line without gaps.
template <class T>
void gather(const T* from, int64_t step, int64_t width, int64_t count, T* to) {
  for (int64_t j = 0; j < count; ++j)
    for (int64_t p = 0; p < width; ++p) to[j * width + p] = from[j * step * width + p];
}
template <class T>
void scatter(const T* from, int64_t step, int64_t width, int64_t count, T* to) {
  for (int64_t j = 0; j < count; ++j)
    for (int64_t p = 0; p < width; ++p) to[j * step * width + p] = from[j * width + p];
}

template <class T>
void one_line(const Call& c, const Line& line, const void* half_turns, int64_t i, T* work) {
  const FftKernels& simd = simd_fft();
  const int64_t n = c.spec.n, h = n / 2;
  const T* x = reinterpret_cast<const T*>(c.x) + c.from(i);
  T *y = reinterpret_cast<T*>(c.y) + c.to(i), *z = work + 2 * (n + 2);
  char* spare = reinterpret_cast<char*>(work + 4 * (n + 2));
  const double ends = 1 / c.spec.interior, factor = c.spec.factor * c.spec.interior;
  const bool plus = c.spec.plus, rows = c.inner == 1;
  const int64_t wanted = c.spec.kind == FftKind::to_real ? h + 1 : n;
  const T* in = x;
  if (!rows || c.in < wanted) {
    gather(x, c.inner, c.width_in(), c.in, work);
    std::fill(work + c.in * c.width_in(), work + wanted * c.width_in(), T(0));
    in = work;
  }
  T* result = rows && c.out == made_by(c.spec) ? y : work;
  if (c.spec.kind == FftKind::whole) {
    line.run(c, in, result, plus, c.spec.factor, spare);
  } else if (c.spec.kind == FftKind::to_half && c.packed) {
    line.run(c, in, z, false, 1.0, spare);
    simd.join_half[c.type](z, result, h, half_turns, factor, plus, ends);
    if (c.spec.mirrored)
      for (int64_t k = h + 1; k < n; ++k)
        result[2 * k] = result[2 * (n - k)], result[2 * k + 1] = -result[2 * (n - k) + 1];
  } else if (c.spec.kind == FftKind::to_half) {
    for (int64_t j = 0; j < n; ++j) z[2 * j] = in[j], z[2 * j + 1] = 0;
    line.run(c, z, z, false, factor, spare);
    z[0] *= static_cast<T>(ends), z[1] = 0;
    if (plus)
      for (int64_t k = 1; k < n; ++k) z[2 * k + 1] = -z[2 * k + 1];
    std::copy(z, z + 2 * made_by(c.spec), work);
    result = work;
  } else if (c.packed) {
    simd.part_half[c.type](in, z, h, half_turns, plus, ends);
    line.run(c, z, result, false, factor, spare);
  } else {
    const T sign = static_cast<T>(plus ? -1 : 1);
    z[0] = in[0] * static_cast<T>(ends), z[1] = 0;
    for (int64_t k = 1; k <= h; ++k) {
      z[2 * k] = z[2 * (n - k)] = in[2 * k];
      z[2 * k + 1] = sign * in[2 * k + 1], z[2 * (n - k) + 1] = -z[2 * k + 1];
    }
    line.run(c, z, z, false, factor, spare);
    for (int64_t j = 0; j < n; ++j) work[j] = z[2 * j];
    result = work;
  }
  if (result != y) scatter(result, c.inner, c.width_out(), c.out, y);
}

void by_lines(const Call& c, const Line& line, const void* half_turns) {
  const int64_t lines = c.outer * c.inner, n = c.spec.n;
  const int64_t m = line.own ? line.own->m : 0, elements = 4 * (n + 2) + 2 * m;
  const auto run = [&](int64_t begin, int64_t end) {
    const Buffer<char> work(elements * c.item);
    for (int64_t i = begin; i < end; ++i) {
      if (c.type == 0)
        one_line(c, line, half_turns, i, reinterpret_cast<float*>(work.get()));
      else
        one_line(c, line, half_turns, i, reinterpret_cast<double*>(work.get()));
    }
  };
  if (n >= kSharedLine && lines < 16)  // the threads share each line
    run(0, lines);
  else
    parallel_for(lines, std::max<int64_t>(1, kGrain / (n + m)), run);
}

}  // namespace

void fft_transform(const View& x, const View& y, const FftSpec& spec) {
  Call c{};
  c.x = static_cast<const char*>(x.data), c.y = static_cast<char*>(y.data);
  c.spec = spec;
  c.outer = x.sizes[0], c.m = x.sizes[1], c.inner = x.sizes[2], c.count = y.sizes[1];
  c.type = x.dtype == DType::Float64 ? 1 : 0;
  c.item = c.type == 1 ? 8 : 4;
  c.pairs_in = spec.kind != FftKind::to_half, c.pairs_out = spec.kind != FftKind::to_real;
  c.packed = spec.kind != FftKind::whole && spec.n % 2 == 0;
  const int64_t half = spec.n / 2 + 1;
  c.in = std::min(c.m, spec.kind == FftKind::to_real ? half : spec.n);
  const int64_t made = made_by(spec);
  c.out = std::min(c.count, made);
  const int64_t lines = c.outer * c.inner;
  if (lines == 0 || c.count == 0) return;
  if (c.count > made) std::memset(c.y, 0, static_cast<size_t>(lines * c.count * c.width_out() * c.item));
  Tables turns;
  if (c.packed) turns = fft_tables(FftTable::half_turns, spec.n, c.type);
  const void* half_turns = turns ? turns->turns : nullptr;

  const int64_t n = c.length(), width = simd_fft().lanes[c.type];
  const bool smooth = fft_smooth(n), near = 4 * n * (smooth ? 1 : 2) * width * c.item <= kNear;
  if (n >= 32 && (!near || lines < 4 * width)) {
    Line line;
    line.split = fft_tables(FftTable::split, smooth ? n : fft_convolved(n), c.type);
    const int64_t blocks = c.inner == 1 || 2 * c.inner < width ? (lines + width - 1) / width
                                                               : c.outer * ((c.inner + width - 1) / width);
    bool split = line.split->split.a > 1;
    if (split && near) {
      const Tables lanes = fft_tables(FftTable::lanes, n, c.type);
      split = lines * line.split->cost * (smooth ? 1 : 2) < blocks * lanes->cost;
    } else if (split && c.inner >= width) {
      split = 8 * n * width * c.item > 8 * kNear;  // columns would be gathered one by one
    }
    if (split) {
      if (!smooth) line.own = fft_tables(FftTable::line, n, c.type);
      return by_lines(c, line, half_turns);
    }
  }
  const Tables lanes = fft_tables(FftTable::lanes, n, c.type);
  by_blocks(c, lanes->lanes, half_turns, lanes->cost);
}

}  // namespace ccdl::cpu
