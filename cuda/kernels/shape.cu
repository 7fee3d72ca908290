// Moves of elements: cat, flip, roll, padding, triangles. One thread per four items in the order of y; where
// inner dimensions are dense in both operands items of up to 16 bytes move. cat of dense inputs takes many
// inputs in one launch. Bound: 2 items per element of y.
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <kernels/index_walk.cuh>

#include <algorithm>

#include <ccdl/kernels/shape.h>

namespace ccdl::cu {
namespace {

using namespace moving;

constexpr int kPerThread = 4, kPerBlock = kThreads * kPerThread;

CCDL_DEVICE int64_t first_item() { return int64_t(blockIdx.x) * kPerBlock + threadIdx.x; }

template <class T>
__global__ void __launch_bounds__(kThreads) move_kernel(const __grid_constant__ Pair w, const T* x, T* y) {
#pragma unroll
  for (int r = 0; r < kPerThread; ++r) {
    const int64_t i = first_item() + r * kThreads;
    if (i >= w.numel) return;
    int64_t from, to;
    w.offsets(i, &from, &to);
    y[to] = x[from];
  }
}

// y = x, any strides (negative ones in x too).
void move_view(const View& x, const View& y) {
  HostWalk w = host_walk({&x, &y});
  if (w.numel == 0) return;
  const int64_t item = item_size(y.dtype);
  const int64_t bytes = item * widen(w, item, {0, 1}, {x.data, y.data});
  by_item_bytes(bytes, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(w.numel, kPerBlock), move_kernel<T>, Pair(w), x.ptr<const T>(), y.ptr<T>());
  });
}

View shifted(const View& v, int64_t offset) {
  View r = v;
  r.data = static_cast<char*>(v.data) + offset * item_size(v.dtype);
  return r;
}

// ---- cat ----
constexpr int kMaxInputs = 96;

struct CatInput {
  const void* x;
  int64_t row, start;   // items of a row of x, and where they begin in a row of y
  int64_t first_block;  // blocks of one input follow each other
};
struct CatPlan {
  int count;
  int64_t rows, total;  // rows of every input; items of a row of y
  CatInput input[kMaxInputs];
};

template <class T>
__global__ void __launch_bounds__(kThreads) cat_kernel(const __grid_constant__ CatPlan plan, T* y) {
  int low = 0, high = plan.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (plan.input[middle].first_block <= int64_t(blockIdx.x))
      low = middle;
    else
      high = middle;
  }
  const CatInput& in = plan.input[low];
  const T* x = static_cast<const T*>(in.x);
  const int64_t n = plan.rows * in.row;
  const int64_t start = (int64_t(blockIdx.x) - in.first_block) * kPerBlock + threadIdx.x;
#pragma unroll
  for (int r = 0; r < kPerThread; ++r) {
    const int64_t i = start + r * kThreads;
    if (i >= n) return;
    int64_t row = 0;
    if (plan.rows > 1)
      row = n <= INT32_MAX ? static_cast<int64_t>(static_cast<uint32_t>(i) / static_cast<uint32_t>(in.row))
                           : i / in.row;
    y[row * plan.total + in.start + (i - row * in.row)] = x[i];
  }
}

// Dimensions ordered as y's memory is.
void order_of(const View& y, int* order) {
  for (int d = 0; d < y.ndim; ++d) order[d] = d;
  std::stable_sort(order, order + y.ndim, [&](int a, int b) { return y.strides[a] > y.strides[b]; });
}
View permuted(const View& v, const int* order) {
  View r = v;
  for (int d = 0; d < v.ndim; ++d) {
    r.sizes[d] = v.sizes[order[d]];
    r.strides[d] = v.strides[order[d]];
  }
  return r;
}

void cat_dense(const View* inputs, int64_t n, int dim, const View& y, const int* order) {
  const int at = static_cast<int>(std::find(order, order + y.ndim, dim) - order);
  const View to = permuted(y, order);
  int64_t rows = 1, inner = 1;
  for (int d = 0; d < at; ++d) rows *= to.sizes[d];
  for (int d = at + 1; d < to.ndim; ++d) inner *= to.sizes[d];
  const int64_t item = item_size(y.dtype);
  int64_t width = common_bytes(
      item, {static_cast<int64_t>(reinterpret_cast<uintptr_t>(y.data) % 16), to.sizes[at] * inner * item});
  for (int64_t i = 0; i < n; ++i)
    width = std::min(
        width, common_bytes(item, {static_cast<int64_t>(reinterpret_cast<uintptr_t>(inputs[i].data) % 16),
                                   inputs[i].sizes[dim] * inner * item}));
  const int64_t lanes = width / item;
  int64_t column = 0;
  for (int64_t begin = 0; begin < n;) {
    CatPlan plan;
    plan.count = 0;
    plan.rows = rows;
    plan.total = to.sizes[at] * inner / lanes;
    int64_t blocks = 0;
    for (; begin < n && plan.count < kMaxInputs; ++begin) {
      const int64_t row = inputs[begin].sizes[dim] * inner / lanes;
      if (row == 0) continue;
      plan.input[plan.count++] = {inputs[begin].data, row, column, blocks};
      blocks += ceil_div<int64_t>(rows * row, kPerBlock);
      column += row;
    }
    if (blocks == 0) continue;
    by_item_bytes(width, [&](auto t) {
      using T = decltype(t);
      CCDL_LAUNCH(plain(blocks, 1), cat_kernel<T>, plan, y.ptr<T>());
    });
  }
}

// ---- padding ----
struct PadPlan {
  Dimensions dims;  // of y
  int64_t numel;
  PadMode mode;
  int64_t x[kMaxDims], y[kMaxDims], before[kMaxDims], sizes[kMaxDims];  // sizes of x
};

// Source coordinate of output i of a dimension with n inputs, or -1 outside.
CCDL_DEVICE int64_t pad_source(int64_t i, int64_t before, int64_t n, PadMode mode) {
  const int64_t j = i - before;
  if (j >= 0 && j < n) return j;
  if (mode == PadMode::Constant) return -1;
  if (mode == PadMode::Replicate) return j < 0 ? 0 : n - 1;
  if (mode == PadMode::Circular) return j < 0 ? j + n : j - n;
  return j < 0 ? -j : 2 * (n - 1) - j;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    pad_kernel(const __grid_constant__ PadPlan p, const T* x, T value, T* y) {
#pragma unroll 1
  for (int r = 0; r < kPerThread; ++r) {
    const int64_t i = first_item() + r * kThreads;
    if (i >= p.numel) return;
    int64_t from = 0, to = 0;
    bool inside = true;
    p.dims.each(i, [&](int d, int64_t c) {
      const int64_t j = pad_source(c, p.before[d], p.sizes[d], p.mode);
      inside = inside && j >= 0;
      from += j * p.x[d];
      to += c * p.y[d];
    });
    y[to] = inside ? x[from] : value;
  }
}

// A padded move in its simplest form: dimension 0 innermost, neighbours without padding merged.
struct HostPad {
  int ndim = 0;
  int64_t numel = 1;
  int64_t sizes[kMaxDims], x_sizes[kMaxDims], before[kMaxDims], x[kMaxDims], y[kMaxDims];

  HostPad(const View& xv, const int64_t* pads, const View& yv) {
    for (int d = yv.ndim - 1; d >= 0; --d) {
      numel *= yv.sizes[d];
      if (yv.sizes[d] == 1 && xv.sizes[d] == 1 && pads[d] == 0) continue;
      const bool whole = pads[d] == 0 && xv.sizes[d] == yv.sizes[d];
      const int k = ndim - 1;
      if (ndim > 0 && whole && before[k] == 0 && x_sizes[k] == sizes[k] && xv.strides[d] == x[k] * sizes[k] &&
          yv.strides[d] == y[k] * sizes[k]) {
        sizes[k] *= yv.sizes[d];
        x_sizes[k] = sizes[k];
        continue;
      }
      sizes[ndim] = yv.sizes[d];
      x_sizes[ndim] = xv.sizes[d];
      before[ndim] = pads[d];
      x[ndim] = xv.strides[d];
      y[ndim++] = yv.strides[d];
    }
  }
  // Rescales to wide items; returns their bytes.
  int64_t widen(int64_t item, PadMode mode, const void* xp, const void* yp) {
    if (ndim == 0 || x[0] != 1 || y[0] != 1) return item;
    const bool whole = before[0] == 0 && sizes[0] == x_sizes[0];
    if (!whole && mode != PadMode::Constant && mode != PadMode::Circular) return item;
    int64_t width = common_bytes(item, {static_cast<int64_t>(reinterpret_cast<uintptr_t>(xp) % 16),
                                        static_cast<int64_t>(reinterpret_cast<uintptr_t>(yp) % 16),
                                        sizes[0] * item, x_sizes[0] * item, before[0] * item});
    for (int d = 1; d < ndim; ++d) width = std::min(width, common_bytes(item, {x[d] * item, y[d] * item}));
    const int64_t lanes = width / item;
    sizes[0] /= lanes;
    x_sizes[0] /= lanes;
    before[0] /= lanes;
    numel /= lanes;
    for (int d = 1; d < ndim; ++d) x[d] /= lanes, y[d] /= lanes;
    return width;
  }
  PadPlan plan(PadMode mode) const {
    PadPlan p;
    p.dims.ndim = ndim;
    p.dims.small = numel <= INT32_MAX;
    p.numel = numel;
    p.mode = mode;
    for (int d = 0; d < ndim; ++d) {
      p.dims.sizes[d] = sizes[d];
      if (p.dims.small && sizes[d] > 0) p.dims.divs[d] = FastDiv(static_cast<uint32_t>(sizes[d]));
      p.sizes[d] = x_sizes[d];
      p.before[d] = before[d];
      p.x[d] = x[d];
      p.y[d] = y[d];
    }
    return p;
  }
};

// ---- triangles ----
struct TrianglePlan {
  Dimensions dims;  // column, row, the rest
  int64_t numel, diagonal;
  bool upper;
  int64_t x[kMaxDims], y[kMaxDims];
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    triangle_kernel(const __grid_constant__ TrianglePlan p, const T* x, T* y) {
#pragma unroll 1
  for (int r = 0; r < kPerThread; ++r) {
    const int64_t i = first_item() + r * kThreads;
    if (i >= p.numel) return;
    int64_t from = 0, to = 0, column = 0, row = 0;
    p.dims.each(i, [&](int d, int64_t c) {
      column = d == 0 ? c : column;
      row = d == 1 ? c : row;
      from += c * p.x[d];
      to += c * p.y[d];
    });
    const int64_t d = column - row;
    y[to] = (p.upper ? d >= p.diagonal : d <= p.diagonal) ? x[from] : T{};
  }
}

}  // namespace

void cat(const View* inputs, int64_t n, int dim, const View& y) {
  int order[kMaxDims];
  order_of(y, order);
  bool dense = permuted(y, order).is_contiguous();
  for (int64_t i = 0; i < n && dense; ++i) dense = permuted(inputs[i], order).is_contiguous();
  if (dense) return cat_dense(inputs, n, dim, y, order);
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    View to = shifted(y, at * y.strides[dim]);
    to.sizes[dim] = inputs[i].sizes[dim];
    move_view(inputs[i], to);
    at += inputs[i].sizes[dim];
  }
}

void flip(const View& x, const bool* flipped, const View& y) {
  View from = x;
  int64_t offset = 0;
  for (int d = 0; d < x.ndim; ++d) {
    if (!flipped[d] || x.sizes[d] == 0) continue;
    offset += (x.sizes[d] - 1) * x.strides[d];
    from.strides[d] = -x.strides[d];
  }
  move_view(shifted(from, offset), y);
}

void pad(const View& x, const int64_t* before, PadMode mode, const void* value, const View& y) {
  if (y.numel() == 0) return;
  HostPad host(x, before, y);
  const int64_t item = item_size(y.dtype), bytes = host.widen(item, mode, x.data, y.data);
  alignas(16) unsigned char filled[16];
  for (int64_t i = 0; i < 16; ++i) filled[i] = value ? static_cast<const unsigned char*>(value)[i % item] : 0;
  const PadPlan plan = host.plan(mode);
  by_item_bytes(bytes, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(plan.numel, kPerBlock), pad_kernel<T>, plan, x.ptr<const T>(),
                *reinterpret_cast<const T*>(filled), y.ptr<T>());
  });
}

void roll(const View& x, const int64_t* shift, const View& y) {
  pad(x, shift, PadMode::Circular, nullptr, y);
}

void triangle(const View& x, int64_t diagonal, bool upper, const View& y) {
  TrianglePlan p;
  p.numel = y.numel();
  if (p.numel == 0) return;
  p.diagonal = diagonal;
  p.upper = upper;
  p.dims.small = p.numel <= INT32_MAX;
  for (int d = y.ndim - 1; d >= 0; --d) {
    const int k = p.dims.ndim++;
    p.dims.sizes[k] = y.sizes[d];
    if (p.dims.small) p.dims.divs[k] = FastDiv(static_cast<uint32_t>(y.sizes[d]));
    p.x[k] = x.strides[d];
    p.y[k] = y.strides[d];
  }
  by_item(item_size(y.dtype), [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(p.numel, kPerBlock), triangle_kernel<T>, p, x.ptr<const T>(), y.ptr<T>());
  });
}

}  // namespace ccdl::cu
