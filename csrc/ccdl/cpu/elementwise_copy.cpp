// Conversions between element types, the gathers and scatters of the block walk, and copy_cast.
// A copy of one dtype moves bits: memcpy where both sides are contiguous, tiles where the fast dimensions
// differ.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include <ccdl/cpu/elementwise_blocks.h>
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/simd/stream.h>
#include <ccdl/cpu/walk.h>

#pragma GCC optimize("O3")

namespace ccdl::cpu {
namespace blocks {
namespace {

// Out of range and NaN as the x86 instruction has it: the most negative int32 (int64), then wrapped to the
// width.
template <class To, class From>
inline To to_integer(From x) {
  if constexpr (std::is_integral_v<From>) {
    return static_cast<To>(x);
  } else if constexpr (sizeof(To) == 8) {
    return x >= From(-9223372036854775808.0) && x < From(9223372036854775808.0) ? static_cast<int64_t>(x)
                                                                                : INT64_MIN;
  } else {
    return static_cast<To>(x >= From(-2147483648.0) && x < From(2147483648.0) ? static_cast<int32_t>(x)
                                                                              : INT32_MIN);
  }
}
template <class To, class From>
inline To convert(From x) {
  if constexpr (std::is_same_v<From, float16> || std::is_same_v<From, bfloat16>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_same_v<To, float16> || std::is_same_v<To, bfloat16>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_integral_v<To>) {
    return to_integer<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <class From, class To>
ElementwiseConvertKernels::Convert converter() {
  return simd_elementwise_convert()
      .convert[static_cast<int>(DTypeOf<From>::value)][static_cast<int>(DTypeOf<To>::value)];
}

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;
constexpr int64_t kGathered = 512;  // halves brought together before they are converted

template <class From, class To>
void load_row(const void* src, int64_t stride, void* dst, int64_t n) {
  const From* x = static_cast<const From*>(src);
  To* y = static_cast<To*>(dst);
  if (stride == 0) {
    const To v = convert<To>(*x);
    simd_elementwise_convert().fill[width_index(sizeof(To))](&v, y, n);
  } else if (stride == 1) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(y, x, static_cast<size_t>(n) * sizeof(To));
    } else {
      converter<From, To>()(x, y, n);
    }
  } else if (stride == 2 && std::is_same_v<From, To>) {
    simd_elementwise_convert().every_second[width_index(sizeof(To))](x, y, n);
  } else if constexpr (kIsHalf<From>) {
    From t[kGathered];
    for (int64_t at = 0; at < n; at += kGathered) {
      const int64_t m = std::min(kGathered, n - at);
      if (stride == 2)
        simd_elementwise_convert().every_second[width_index(2)](x + at * 2, t, m);
      else
        for (int64_t i = 0; i < m; ++i) t[i] = x[(at + i) * stride];
      converter<From, To>()(t, y + at, m);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i * stride]);
  }
}

template <class From, class To>
void store_row(const void* src, void* dst, int64_t stride, int64_t n) {
  const From* x = static_cast<const From*>(src);
  To* y = static_cast<To*>(dst);
  if (stride == 1) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(y, x, static_cast<size_t>(n) * sizeof(To));
    } else {
      converter<From, To>()(x, y, n);
    }
  } else if constexpr (kIsHalf<To>) {
    To t[kGathered];
    for (int64_t at = 0; at < n; at += kGathered) {
      const int64_t m = std::min(kGathered, n - at);
      converter<From, To>()(x + at, t, m);
      for (int64_t i = 0; i < m; ++i) y[(at + i) * stride] = t[i];
    }
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * stride] = convert<To>(x[i]);
  }
}

// dst[i * dst_stride + j] = src[i + j * src_stride], i < rows, j < cols: whole lines both ways in vectors,
// the rest one by one. Rows before `lead`, where the source comes to the border of a line, and those after
// the last whole line are part of tiles that overlap the others.
template <class T>
void transpose_panel(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t rows, int64_t cols,
                     bool past, bool ahead, int64_t lead = 0) {
  constexpr int64_t item = sizeof(T), side = kStreamLine / item;
  if constexpr (item ==
                1) {  // by way of a dense block: lines a power of two apart share a place in the cache
    T block[side][side];
    for (int64_t i = 0; i < rows; i += side)
      for (int64_t j = 0; j < cols; j += side) {
        const int64_t nr = std::min(side, rows - i), nc = std::min(side, cols - j);
        for (int64_t c = 0; c < nc; ++c)
          std::memcpy(block[c], src + i + (j + c) * src_stride, static_cast<size_t>(nr));
        for (int64_t r = 0; r < nr; ++r)
          for (int64_t c = 0; c < nc; ++c) dst[(i + r) * dst_stride + j + c] = block[c][r];
      }
    return;
  }
  const int64_t whole_cols = rows < side ? 0 : cols / side * side;
  if (whole_cols) {
    const auto turn = [&](int64_t first, int64_t count) {
      if (count)
        simd_stream().turn[past][item == 8 ? 2 : item == 4](src + first, src_stride, dst + first * dst_stride,
                                                            dst_stride, count, whole_cols, ahead);
    };
    const int64_t body = (rows - lead) / side * side;
    if (lead) turn(0, side);
    turn(lead, body);
    if (lead + body < rows) turn(rows - side, side);
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = whole_cols; j < cols; ++j) dst[i * dst_stride + j] = src[i + j * src_stride];
}

#define CCDL_ALL_TYPES(X) \
  X(bool) X(uint8_t) X(int8_t) X(int16_t) X(int32_t) X(int64_t) X(float16) X(bfloat16) X(float) X(double)

template <class To>
LoadFn load_to(DType t) {
#define CCDL_X(T) load_row<T, To>,
  static constexpr LoadFn table[] = {CCDL_ALL_TYPES(CCDL_X)};
#undef CCDL_X
  return table[static_cast<int>(t)];
}
template <class From>
StoreFn store_from(DType t) {
#define CCDL_X(T) store_row<From, T>,
  static constexpr StoreFn table[] = {CCDL_ALL_TYPES(CCDL_X)};
#undef CCDL_X
  return table[static_cast<int>(t)];
}

}  // namespace

LoadFn load_fn(Kind kind, DType t) {
  switch (kind) {
    case Kind::F32:
      return load_to<float>(t);
    case Kind::F64:
      return load_to<double>(t);
    case Kind::I64:
      return load_to<int64_t>(t);
    case Kind::W1:
      return load_row<uint8_t, uint8_t>;
    case Kind::W2:
      return load_row<uint16_t, uint16_t>;
    case Kind::W4:
      return load_row<uint32_t, uint32_t>;
    default:
      return load_row<uint64_t, uint64_t>;
  }
}

StoreFn store_fn(Kind kind, DType t) {
  switch (kind) {
    case Kind::F32:
      return store_from<float>(t);
    case Kind::F64:
      return store_from<double>(t);
    case Kind::I64:
      return store_from<int64_t>(t);
    case Kind::W1:
      return store_row<uint8_t, uint8_t>;
    case Kind::W2:
      return store_row<uint16_t, uint16_t>;
    case Kind::W4:
      return store_row<uint32_t, uint32_t>;
    default:
      return store_row<uint64_t, uint64_t>;
  }
}

void turn_panel(int64_t item, const void* src, int64_t src_stride, void* dst, int64_t dst_stride,
                int64_t rows, int64_t cols) {
  const auto turn = [&](auto t) {
    using T = decltype(t);
    transpose_panel(static_cast<const T*>(src), src_stride, static_cast<T*>(dst), dst_stride, rows, cols,
                    false, false);
  };
  switch (item) {
    case 1:
      return turn(uint8_t{});
    case 2:
      return turn(uint16_t{});
    case 4:
      return turn(uint32_t{});
    default:
      return turn(uint64_t{});
  }
}

}  // namespace blocks

using namespace blocks;

namespace {

constexpr int64_t kCopyGrain = 1 << 18;  // bytes per chunk of a plain copy
constexpr int64_t kCopyAhead = 512;      // bytes that a streamed copy asks for ahead
constexpr int64_t kPanel = 64;           // rows and columns of one transposed panel: 2 x 16 KB at 4 bytes

constexpr int64_t kTurnStreamFrom = 16 << 20;  // bytes; lines a power of two apart leave a cache early
constexpr int64_t kSamePlace = 1024;  // lines so many bytes apart share few places in the first-level cache
constexpr int64_t kStreamRows = 32, kStreamCols = 512;  // of one panel of the destination

bool rows_begin_on_lines(const Plan& plan, const void* to, int64_t item) {
  uint64_t any = reinterpret_cast<uintptr_t>(to);
  for (int d = 0; d < plan.ndim - 1; ++d) any |= static_cast<uint64_t>(plan.strides[0][d] * item);
  return any % kStreamLine == 0;
}

// Elements from the source's first one to the border of a line, along the dimension it is contiguous in; 0 if
// that differs from row to row.
int64_t elements_to_line(const Plan& plan, int last, int fast, const void* from, int64_t item) {
  for (int d = 0; d <= last; ++d)
    if (d != fast && plan.strides[1][d] * item % kStreamLine != 0) return 0;
  const int64_t off = static_cast<int64_t>(reinterpret_cast<uintptr_t>(from) % kStreamLine);
  return off % item != 0 ? 0 : (kStreamLine - off) % kStreamLine / item;
}

// The destination's innermost dimension is not the source's: panels over the two fast dimensions, all others
// outside.
template <class T>
void transpose_copy(const Plan& plan, int fast, const void* from, void* to) {
  constexpr int64_t item = sizeof(T);
  const bool past = item > 1 && plan.numel * item >= kTurnStreamFrom && rows_begin_on_lines(plan, to, item);
  const int last = plan.ndim - 1;
  const int64_t rows = plan.sizes[fast], cols = plan.sizes[last];
  const int64_t src_stride = plan.strides[1][last], dst_stride = plan.strides[0][fast];
  const bool ahead = past || src_stride * item % kSamePlace == 0;
  const int64_t high = ahead ? kStreamRows : kPanel, wide = ahead ? kStreamCols : kPanel;
  // A panel begins where a row of the source comes to the border of a line, if all rows do so at one place: a
  // vector across the border costs two loads. What is less than a line stays with its neighbour.
  constexpr int64_t side = kStreamLine / item;
  const int64_t lead = item == 1 || rows < 2 * side ? 0 : elements_to_line(plan, last, fast, from, item);
  const int64_t first = lead && high > side ? high - side + lead : high + lead;
  const int64_t later = std::max<int64_t>(rows - first, 0);
  const int64_t row_panels = 1 + later / high + (later % high >= std::min(side, rows));
  const int64_t col_panels = (cols + wide - 1) / wide;
  const int64_t outer = plan.numel / (rows * cols), panels = outer * row_panels * col_panels;
  parallel_for(panels, 8, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t row = panel % row_panels, c = panel / row_panels % col_panels * wide;
      const int64_t r = row == 0 ? 0 : first + (row - 1) * high;
      const int64_t count = row + 1 == row_panels ? rows - r : row == 0 ? first : high;
      int64_t rest = panel / col_panels / row_panels;
      const T* src = static_cast<const T*>(from) + r + c * src_stride;
      T* dst = static_cast<T*>(to) + r * dst_stride + c;
      for (int d = last - 1; d >= 0; --d) {
        if (d == fast) continue;
        src += rest % plan.sizes[d] * plan.strides[1][d];
        dst += rest % plan.sizes[d] * plan.strides[0][d];
        rest /= plan.sizes[d];
      }
      transpose_panel(src, src_stride, dst, dst_stride, count, std::min(wide, cols - c), past, ahead,
                      row == 0 ? lead : 0);
    }
    if (past) simd_stream().done();
  });
}

// The dimension along which the source is contiguous when that is not the destination's innermost one, else
// -1.
int transposed_dimension(const Plan& plan) {
  const int last = plan.ndim - 1;
  if (plan.ndim < 2 || plan.strides[0][last] != 1 || plan.strides[1][last] <= 1 || plan.sizes[last] < 8)
    return -1;
  for (int d = 0; d < last; ++d)
    if (plan.strides[1][d] == 1 && plan.sizes[d] >= 8) return d;
  return -1;
}

// Row by row: one load or store when one side is already contiguous in the intermediate kind, else through a
// buffer.
void walk_copy(const Plan& plan, Kind kind, const View& src, const View& dst) {
  const LoadFn load = load_fn(kind, src.dtype);
  const StoreFn store = store_fn(kind, dst.dtype);
  const int last = plan.ndim - 1;
  const int64_t to = plan.strides[0][last], from = plan.strides[1][last];
  const bool read_in_place = from == 1 && is_native(kind, src.dtype),
             write_in_place = to == 1 && is_native(kind, dst.dtype);
  parallel_for(plan.numel, kGrain, [&](int64_t begin, int64_t end) {
    alignas(64) char buffer[kBlock * 8];
    Cursor cursor(plan, begin);
    for (int64_t position = begin; position < end;) {
      const int64_t left = std::min(cursor.row_left(), end - position);
      char* y = static_cast<char*>(dst.data) + cursor.offset[0] * item_size(dst.dtype);
      const char* x = static_cast<const char*>(src.data) + cursor.offset[1] * item_size(src.dtype);
      int64_t n = left;
      if (write_in_place) {
        load(x, from, y, n);
      } else if (read_in_place) {
        store(x, y, to, n);
      } else {
        n = std::min(left, kBlock);
        load(x, from, buffer, n);
        store(buffer, y, to, n);
      }
      cursor.advance(n);
      position += n;
    }
  });
}

void copy_same(const Plan& plan, const View& src, const View& dst) {
  const int64_t item = item_size(dst.dtype);
  if (plan.is_linear(0) && plan.is_linear(1)) {
    const StreamKernels* streamed = 2 * plan.numel * item >= kStreamFrom ? &simd_stream() : nullptr;
    parallel_for(plan.numel * item, kCopyGrain, [&](int64_t begin, int64_t end) {
      if (streamed) {
        const char* from = static_cast<const char*>(src.data) + begin;
        const char* ahead = from + kCopyAhead;
        streamed->copy(static_cast<char*>(dst.data) + begin, from, end - begin, &ahead, 1);
        return streamed->done();
      }
      std::memcpy(static_cast<char*>(dst.data) + begin, static_cast<const char*>(src.data) + begin,
                  static_cast<size_t>(end - begin));
    });
    return;
  }
  if (const int fast = transposed_dimension(plan); fast >= 0) {
    switch (item) {
      case 1:
        return transpose_copy<uint8_t>(plan, fast, src.data, dst.data);
      case 2:
        return transpose_copy<uint16_t>(plan, fast, src.data, dst.data);
      case 4:
        return transpose_copy<uint32_t>(plan, fast, src.data, dst.data);
      default:
        return transpose_copy<uint64_t>(plan, fast, src.data, dst.data);
    }
  }
  Walk w(2);
  for (int d = 0; d < plan.ndim; ++d) {
    const int64_t step[] = {plan.strides[1][d], plan.strides[0][d]};
    w.add(plan.sizes[d], step);
  }
  w.finish();
  by_item_size(dst.dtype, [&](auto t) {
    using T = decltype(t);
    copy_walk<T>(w, src.ptr<const T>(), dst.ptr<T>());
  });
}

}  // namespace

void copy_cast(const View& src, const View& dst) {
  if (dst.numel() == 0) return;
  const View* views[] = {&dst, &src};
  const Plan plan(views, 2);
  if (src.dtype == dst.dtype) return copy_same(plan, src, dst);
  if (!plan.is_linear(0) || !plan.is_linear(1)) return walk_copy(plan, compute_kind(src.dtype), src, dst);
  const auto convert =
      simd_elementwise_convert().convert[static_cast<int>(src.dtype)][static_cast<int>(dst.dtype)];
  const int64_t from = item_size(src.dtype), to = item_size(dst.dtype);
  parallel_for(plan.numel, kGrain, [&](int64_t begin, int64_t end) {
    convert(static_cast<const char*>(src.data) + begin * from, static_cast<char*>(dst.data) + begin * to,
            end - begin);
  });
}

}  // namespace ccdl::cpu
