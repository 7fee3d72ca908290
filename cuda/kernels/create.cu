// Values from nothing: constants, ranges, the identity, triangle coordinates. Every element is computed from
// its own position alone. Bound: bytes of y.
#include <ccdl/kernels/create.h>
#include <kernels/move.cuh>

namespace ccdl::cu {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    fill_kernel(Walk<1> w, T* y, T value, uint64_t element, int item, int tail) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kMoves) + threadIdx.x;
#pragma unroll
  for (int j = 0; j < kMoves; ++j) {
    const int64_t at = first + j * kThreads;
    int64_t off[1];
    w.offsets(at < w.numel ? at : 0, off);
    if (at < w.numel) y[off[0]] = value;
  }
  if (blockIdx.x == 0 && static_cast<int>(threadIdx.x) < tail)  // whole elements
    reinterpret_cast<uint8_t*>(y)[w.numel * static_cast<int64_t>(sizeof(T)) + threadIdx.x] =
        static_cast<uint8_t>(element >> (8 * (threadIdx.x % static_cast<unsigned>(item))));
}

// As the CPU has it: NaN and what no int64 holds become 0 in an integer.
CCDL_DEVICE void store_number(void* y, DType t, int64_t offset, double v) {
  if (is_integral(t, false))
    store_as(y, t, offset, v > -9.3e18 && v < 9.2e18 ? detail::float_to_int64(v) : int64_t{0});
  else
    store_as(y, t, offset, v);
}
CCDL_DEVICE void store_number(void* y, DType t, int64_t offset, int64_t v) {
  if (is_integral(t, false))
    store_as(y, t, offset, v);
  else
    store_as(y, t, offset, static_cast<double>(v));
}

template <class F>
__global__ void __launch_bounds__(kThreads)
    generate_kernel(void* y, DType t, int64_t stride, int64_t n, F value) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kMoves) + threadIdx.x;
#pragma unroll 1
  for (int j = 0; j < kMoves; ++j) {
    const int64_t i = first + j * kThreads;
    if (i < n) store_number(y, t, i * stride, value(i));
  }
}
// y[i] = value(i) for a 1-d y.
template <class F>
void generate(const View& y, const F& value) {
  const int64_t n = y.sizes[0];
  CCDL_LAUNCH(blocks_of(n, kThreads * kMoves), generate_kernel<F>, y.data, y.dtype, y.strides[0], n, value);
}

struct FloatRange {
  double start, step;
  CCDL_DEVICE double operator()(int64_t i) const { return start + static_cast<double>(i) * step; }
};
struct IntegerRange {
  int64_t start, step;
  CCDL_DEVICE int64_t operator()(int64_t i) const {
    return static_cast<int64_t>(static_cast<uint64_t>(start) +
                                static_cast<uint64_t>(step) * static_cast<uint64_t>(i));
  }
};
// Point i of n between start and end, counted from the nearer end.
struct Points {
  int64_t n;
  double start, end, step;
  Points(int64_t count, double from, double to)
      : n(count),
        start(from),
        end(to),
        step(count > 1 ? (to - from) / static_cast<double>(count - 1) : 0.0) {}
  CCDL_DEVICE double operator()(int64_t i) const {
    return i < n / 2 || n == 1 ? start + step * static_cast<double>(i)
                               : end - step * static_cast<double>(n - 1 - i);
  }
};
struct Powers {
  Points exponent;
  double base;
  CCDL_DEVICE double operator()(int64_t i) const { return pow(base, exponent(i)); }
};

__global__ void __launch_bounds__(kThreads) eye_kernel(View y, int item, uint64_t one) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t columns = y.sizes[1];
  if (i >= y.sizes[0] * columns) return;
  const int64_t r = i / columns, c = i - r * columns;
  store_raw(y.data, item, r * y.strides[0] + c * y.strides[1], r == c ? one : 0);
}

// First column and number of the triangle's places in a row, and how many lie in the rows above.
struct Triangle {
  int64_t columns, offset;
  bool upper;
  CCDL_HD CCDL_INLINE int64_t edge(int64_t row) const {
    const int64_t e = offset > columns - row ? columns : row + offset + (upper ? 0 : 1);
    return e < 0 ? 0 : e > columns ? columns : e;
  }
  // Sum of edge(i), i < row: 0 up to row `low`, rising by one to row `high`, then `columns` each.
  CCDL_HD CCDL_INLINE int64_t edges_above(int64_t row) const {
    const int64_t shift =
        least(most(offset, -columns - row), columns) + (upper ? 0 : 1);  // edge(i) = i + shift
    const int64_t low = least(row, most<int64_t>(0, -shift)),
                  high = least(row, most<int64_t>(low, columns - shift));
    const int64_t rising = high - low;
    return rising * (low + shift) + rising * (rising - 1) / 2 + (row - high) * columns;
  }
  CCDL_HD CCDL_INLINE int64_t above(int64_t row) const {
    return upper ? row * columns - edges_above(row) : edges_above(row);
  }
};

// One warp per row.
__global__ void __launch_bounds__(kThreads)
    triangle_kernel(int64_t* y, int64_t count, int64_t rows, Triangle t) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  const int64_t edge = t.edge(row), first = t.upper ? edge : 0, last = t.upper ? t.columns : edge;
  const int64_t start = t.above(row);
  for (int64_t c = first + threadIdx.x % kWarp; c < last; c += kWarp) {
    y[start + c - first] = row;
    y[count + start + c - first] = c;
  }
}

}  // namespace

void fill(const View& y, const void* value) {
  if (y.numel() == 0) return;
  const View* views[] = {&y};
  Walk<1> w = make_ordered_walk(views);
  const int item = static_cast<int>(item_size(y.dtype));
  const Widened wide = widen(w, item, {y.data});
  unsigned char pattern[16];
  for (int i = 0; i < 16; ++i) pattern[i] = static_cast<const unsigned char*>(value)[i % item];
  uint64_t element;
  __builtin_memcpy(&element, pattern, sizeof element);
  by_item(wide.item, [&](auto tag) {
    using T = decltype(tag);
    T v;
    __builtin_memcpy(&v, pattern, sizeof v);
    CCDL_LAUNCH(blocks_of(w.numel, kThreads * kMoves), fill_kernel<T>, w, y.ptr<T>(), v, element, item,
                static_cast<int>(wide.tail));
  });
}

void arange_float(const View& y, double start, double step) { generate(y, FloatRange{start, step}); }
void arange_int(const View& y, int64_t start, int64_t step) { generate(y, IntegerRange{start, step}); }
void linspace(const View& y, double start, double end) { generate(y, Points(y.sizes[0], start, end)); }
void logspace(const View& y, double start, double end, double base) {
  generate(y, Powers{Points(y.sizes[0], start, end), base});
}

void eye(const View& y) {
  View one{};
  const int64_t number = 1;
  one.data = const_cast<int64_t*>(&number);
  one.dtype = DType::Int64;
  CCDL_LAUNCH(blocks_of(y.numel(), kThreads), eye_kernel, y, static_cast<int>(item_size(y.dtype)),
              host_bits(one, y.dtype));
}

void triangle_indices(const View& y, int64_t rows, int64_t columns, int64_t offset, bool upper) {
  if (y.sizes[1] == 0) return;
  CCDL_LAUNCH(blocks_of(rows, kThreads / kWarp), triangle_kernel, y.ptr<int64_t>(), y.sizes[1], rows,
              Triangle{columns, offset, upper});
}

}  // namespace ccdl::cu
