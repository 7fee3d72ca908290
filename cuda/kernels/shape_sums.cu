// Moves whose backward adds: padding, sliding windows, interpolation along a dimension, overlapping geometry.
// Every result is gathered by one thread, which visits its sources in the order the CPU adds them: no
// atomics, the same bits every run. The transpose of an interpolation table is found by sorting its entries.
// Bound: sources read once per use, results written once.
#include <runtime/launch.h>
#include <device/prelude.cuh>
#include <kernels/index_put.cuh>
#include <kernels/radix_sort.cuh>

#include <ccdl/kernels/shape.h>

namespace ccdl::cu {
namespace {

using namespace moving;

// ---- padding ----
struct PadSumPlan {
  Dimensions dims;  // of dx
  int64_t numel;
  PadMode mode;
  int64_t dx[kMaxDims], dy[kMaxDims], before[kMaxDims], out[kMaxDims];  // out: sizes of dy
};

// The outputs that input s of a dimension was copied to, ascending: [first, first + run), then the single
// ones.
struct Copies {
  int64_t first, run, next, last;
  int singles;
  CCDL_DEVICE int64_t count() const { return run + singles; }
  CCDL_DEVICE int64_t at(int64_t k) const {
    return k < run ? first + k : k == run && singles > 1 ? next : last;
  }
};

CCDL_DEVICE Copies copies_of(int64_t s, int64_t n, int64_t before, int64_t out, PadMode mode) {
  int64_t low = before + s, high = low;  // inclusive
  if (mode == PadMode::Replicate) {
    if (s == 0) low = 0;
    if (s == n - 1) high = out - 1;
  }
  low = most<int64_t>(low, 0);
  high = least(high, out - 1);
  const bool direct = low <= high;
  Copies c{low, direct ? high - low + 1 : 0, 0, 0, 0};
  if (mode != PadMode::Reflect && mode != PadMode::Circular) return c;
  const bool reflect = mode == PadMode::Reflect;
  const int64_t left = reflect ? before - s : before + s - n;
  const int64_t right = reflect ? before + 2 * (n - 1) - s : before + s + n;
  const bool has_left = left >= 0 && left < out && (!reflect || s > 0);
  const bool has_right = right >= 0 && right < out && (!reflect || s < n - 1);
  const int64_t middle = low;
  c.first = has_left ? left : middle;
  c.run = has_left || direct ? 1 : 0;
  c.singles = (has_left && direct ? 1 : 0) + (has_right ? 1 : 0);
  c.next = middle;
  c.last = has_right ? right : middle;
  if (c.run == 0 && has_right) c.first = right, c.run = 1, c.singles = 0;
  return c;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    pad_backward_kernel(const __grid_constant__ PadSumPlan p, const T* dy, T* dx) {
  using A = Compute<T>;
  const int64_t i = global_thread();
  if (i >= p.numel) return;
  int64_t total = 1, to = 0;
  p.dims.each(i, [&](int d, int64_t c) {
    total *= copies_of(c, p.dims.sizes[d], p.before[d], p.out[d], p.mode).count();
    to += c * p.dx[d];
  });
  A sum = 0;
  for (int64_t t = 0; t < total; ++t) {  // row-major over the copies: the innermost dimension runs fastest
    int64_t rest = t, from = 0;
    p.dims.each(i, [&](int d, int64_t c) {
      const Copies copies = copies_of(c, p.dims.sizes[d], p.before[d], p.out[d], p.mode);
      const int64_t count = copies.count(), q = count == 1 ? rest : rest / count;
      from += copies.at(rest - q * count) * p.dy[d];
      rest = q;
    });
    sum += convert<A>(dy[from]);
  }
  dx[to] = convert<T>(sum);
}

// ---- windows ----
struct Windows {
  WindowShape s;
  int64_t C, H, W;
  int64_t total;
  int64_t x[4];  // strides of the strided operand
  bool small;    // total fits in 31 bits
};

CCDL_DEVICE int64_t split_by(int64_t& rest, int64_t size, bool small) {
  int64_t q, r;
  if (small) {
    const uint32_t n = static_cast<uint32_t>(rest), s = static_cast<uint32_t>(size);
    q = n / s;
    r = n - static_cast<uint32_t>(q) * s;
  } else {
    q = rest / size;
    r = rest - q * size;
  }
  rest = q;
  return r;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    window_gather_kernel(const __grid_constant__ Windows w, const T* x, T* y) {
  const int64_t i = global_thread();
  if (i >= w.total) return;
  int64_t rest = i;
  const int64_t ow = split_by(rest, w.s.blocks[1], w.small), oh = split_by(rest, w.s.blocks[0], w.small);
  const int64_t kw = split_by(rest, w.s.kernel[1], w.small), kh = split_by(rest, w.s.kernel[0], w.small);
  const int64_t c = split_by(rest, w.C, w.small);
  const int64_t h = oh * w.s.stride[0] + kh * w.s.dilation[0] - w.s.padding[0];
  const int64_t v = ow * w.s.stride[1] + kw * w.s.dilation[1] - w.s.padding[1];
  const bool inside = h >= 0 && h < w.H && v >= 0 && v < w.W;
  y[i] = inside ? x[rest * w.x[0] + c * w.x[1] + h * w.x[2] + v * w.x[3]] : T{};
}

// Position of the window that covers `at` by tap k, or -1.
CCDL_DEVICE int64_t window_of(int64_t at, int64_t k, const WindowShape& s, int d) {
  const int64_t shifted = at + s.padding[d] - k * s.dilation[d];
  if (shifted < 0) return -1;
  const int64_t o = s.stride[d] == 1 ? shifted : shifted / s.stride[d];
  return o < s.blocks[d] && o * s.stride[d] == shifted ? o : -1;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    window_scatter_kernel(const __grid_constant__ Windows w, const T* x, T* y) {
  using A = Compute<T>;
  const int64_t i = global_thread();
  if (i >= w.total) return;
  int64_t rest = i;
  const int64_t v = split_by(rest, w.W, w.small), h = split_by(rest, w.H, w.small);
  const int64_t c = split_by(rest, w.C, w.small), taps = w.s.kernel[0] * w.s.kernel[1];
  const T* from = x + rest * w.x[0] + c * taps * w.x[1];
  A sum = 0;
  for (int64_t kh = 0; kh < w.s.kernel[0]; ++kh) {
    const int64_t oh = window_of(h, kh, w.s, 0);
    if (oh < 0) continue;
    for (int64_t kw = 0; kw < w.s.kernel[1]; ++kw) {
      const int64_t ow = window_of(v, kw, w.s, 1);
      if (ow >= 0)
        sum += convert<A>(from[(kh * w.s.kernel[1] + kw) * w.x[1] + (oh * w.s.blocks[1] + ow) * w.x[2]]);
    }
  }
  y[i] = convert<T>(sum);
}

// ---- interpolation ----
struct Lines {
  int64_t outer = 1, n_in, n_out, inner = 1;
  Lines(const View& in, const View& out, int dim) : n_in(in.sizes[dim]), n_out(out.sizes[dim]) {
    for (int d = 0; d < dim; ++d) outer *= in.sizes[d];
    for (int d = dim + 1; d < in.ndim; ++d) inner *= in.sizes[d];
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    resample_kernel(Lines l, int64_t total, const T* x, const int64_t* index, const double* weight,
                    int64_t taps, T* y) {
  using A = Compute<T>;
  const int64_t i = global_thread();
  if (i >= total) return;
  const bool small = total <= INT32_MAX;
  int64_t outer = i;
  const int64_t inner = split_by(outer, l.inner, small), o = split_by(outer, l.n_out, small);
  const T* from = x + outer * l.n_in * l.inner + inner;
  if (taps == 1 && weight[o] == 1) {
    y[i] = from[index[o] * l.inner];
    return;
  }
  A sum = 0;
  for (int64_t t = o * taps; t < (o + 1) * taps; ++t) {
    const A k = static_cast<A>(weight[t]);
    if (k != 0) sum += k * convert<A>(from[index[t] * l.inner]);
  }
  y[i] = convert<T>(sum);
}

// Entries of the table by the input they use; weight 0 (in the type of the sums) comes last.
template <class A>
__global__ void __launch_bounds__(kThreads)
    tap_keys_kernel(const int64_t* index, const double* weight, int64_t entries, int64_t n_in, uint32_t* keys,
                    uint32_t* positions) {
  const int64_t e = global_thread();
  if (e >= entries) return;
  keys[e] = static_cast<uint32_t>(static_cast<A>(weight[e]) == 0 ? n_in : index[e]);
  positions[e] = static_cast<uint32_t>(e);
}

__global__ void __launch_bounds__(kThreads)
    tap_starts_kernel(const uint32_t* keys, int64_t entries, int64_t n_in, int64_t* starts) {
  const int64_t v = global_thread();
  if (v > n_in) return;
  int64_t low = 0, high = entries;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] < v)
      low = middle + 1;
    else
      high = middle;
  }
  starts[v] = low;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    resample_backward_kernel(Lines l, int64_t total, const T* dy, const uint32_t* entries,
                             const int64_t* starts, const double* weight, int64_t taps, T* dx) {
  using A = Compute<T>;
  const int64_t i = global_thread();
  if (i >= total) return;
  const bool small = total <= INT32_MAX;
  int64_t outer = i;
  const int64_t inner = split_by(outer, l.inner, small), at = split_by(outer, l.n_in, small);
  const T* from = dy + outer * l.n_out * l.inner + inner;
  A sum = 0;
  for (int64_t s = starts[at]; s < starts[at + 1]; ++s) {
    const uint32_t e = entries[s];
    sum += static_cast<A>(weight[e]) * convert<A>(from[e / static_cast<uint32_t>(taps) * l.inner]);
  }
  dx[i] = convert<T>(sum);
}

// ---- repeats ----
__global__ void __launch_bounds__(kThreads)
    repeat_copy_kernel(const int64_t* repeats, int64_t n, int64_t stride, uint64_t* counts) {
  const int64_t i = global_thread();
  if (i < n) counts[i] = static_cast<uint64_t>(most<int64_t>(repeats[i * stride], 0));
}

// The total; -1 where a repeat is negative, -2 where the sum overflows. One block.
__global__ void __launch_bounds__(kThreads)
    repeat_total_kernel(const int64_t* repeats, int64_t n, int64_t stride, int64_t* result) {
  constexpr uint64_t kTooMuch = uint64_t{1} << 63;
  CCDL_SHARED(uint64_t, sums, [kThreads]);
  CCDL_SHARED(int, negatives, [kThreads]);
  const int thread = static_cast<int>(threadIdx.x);
  uint64_t sum = 0;  // at kTooMuch it stays
  int negative = 0;
  for (int64_t i = thread; i < n; i += kThreads) {
    const int64_t r = repeats[i * stride];
    negative |= r < 0;
    if (r > 0) sum = least(sum + static_cast<uint64_t>(r), kTooMuch);
  }
  sums[thread] = sum;
  negatives[thread] = negative;
  __syncthreads();  // every thread's part is there
  if (thread > 0) return;
  for (int t = 1; t < kThreads; ++t) {
    sum = least(sum + sums[t], kTooMuch);
    negative |= negatives[t];
  }
  *result = negative ? -1 : sum == kTooMuch ? -2 : static_cast<int64_t>(sum);
}

// starts: where each element's copies begin
__global__ void __launch_bounds__(kThreads)
    repeat_index_kernel(const uint64_t* starts, int64_t n, int64_t total, int64_t* y) {
  const int64_t i = global_thread();
  if (i >= total) return;
  int64_t low = 0, high = n;  // the last element that begins at or before i
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (starts[middle] <= static_cast<uint64_t>(i))
      low = middle;
    else
      high = middle;
  }
  y[i] = low;
}

// Two places of the geometry never coincide: every dimension steps over all that smaller ones reach.
bool places_apart(const HostWalk& w) {
  bool used[kMaxDims] = {};
  int64_t reach = 0;
  for (int round = 0; round < w.ndim; ++round) {
    int next = -1;
    for (int d = 0; d < w.ndim; ++d)
      if (!used[d] && (next < 0 || w.strides[0][d] < w.strides[0][next])) next = d;
    used[next] = true;
    if (w.strides[0][next] <= reach) return false;
    reach += (w.sizes[next] - 1) * w.strides[0][next];
  }
  return true;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    strided_add_kernel(const __grid_constant__ Pair w, T* y, const T* x) {
  const int64_t i = global_thread();
  if (i >= w.numel) return;
  int64_t to, from;
  w.offsets(i, &to, &from);
  y[to] = convert<T>(convert<Compute<T>>(y[to]) + convert<Compute<T>>(x[from]));
}

Windows windows_of(const View& image, const View& strided, const WindowShape& s, int64_t total) {
  Windows w{s, image.sizes[1], image.sizes[2], image.sizes[3], total, {}, total <= INT32_MAX};
  for (int d = 0; d < strided.ndim && d < 4; ++d) w.x[d] = strided.strides[d];
  return w;
}

}  // namespace

void pad_backward(const View& dy, const int64_t* before, PadMode mode, const View& dx) {
  PadSumPlan p{};
  p.numel = dx.numel();
  if (p.numel == 0) return;
  p.mode = mode;
  p.dims.small = p.numel <= INT32_MAX;
  for (int d = dx.ndim - 1; d >= 0; --d) {
    const int k = p.dims.ndim++;
    p.dims.sizes[k] = dx.sizes[d];
    if (p.dims.small) p.dims.divs[k] = FastDiv(static_cast<uint32_t>(dx.sizes[d]));
    p.dx[k] = dx.strides[d];
    p.dy[k] = dy.strides[d];
    p.before[k] = before[d];
    p.out[k] = dy.sizes[d];
  }
  by_floating(dx.dtype, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(p.numel), pad_backward_kernel<T>, p, dy.ptr<const T>(), dx.ptr<T>());
  });
}

void window_gather(const View& x, const WindowShape& shape, const View& y) {
  const int64_t total = y.numel();
  if (total == 0) return;
  const Windows w = windows_of(x, x, shape, total);
  by_item(item_size(y.dtype), [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(total), window_gather_kernel<T>, w, x.ptr<const T>(), y.ptr<T>());
  });
}

void window_scatter(const View& x, const WindowShape& shape, const View& y) {
  const int64_t total = y.numel();
  if (total == 0) return;
  const Windows w = windows_of(y, x, shape, total);
  by_floating(y.dtype, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(total), window_scatter_kernel<T>, w, x.ptr<const T>(), y.ptr<T>());
  });
}

void as_strided_scatter_add(const View& buffer, std::span<const int64_t> sizes,
                            std::span<const int64_t> strides, int64_t offset, const View& x) {
  View y = buffer;
  y.data = static_cast<char*>(buffer.data) + offset * item_size(buffer.dtype);
  y.ndim = static_cast<int32_t>(sizes.size());
  for (int d = 0; d < y.ndim; ++d) {
    y.sizes[d] = sizes[static_cast<size_t>(d)];
    y.strides[d] = strides[static_cast<size_t>(d)];
  }
  const HostWalk w = host_walk({&y, &x});
  if (w.numel == 0) return;
  if (!places_apart(w)) return add_overlapping(w, y, x);
  by_floating(y.dtype, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(w.numel), strided_add_kernel<T>, Pair(w), y.ptr<T>(), x.ptr<const T>());
  });
}

void resample(const View& x, int dim, const View& index, const View& weight, const View& y) {
  const Lines l(x, y, dim);
  const int64_t total = y.numel();
  if (total == 0) return;
  by_floating(y.dtype, [&](auto t) {
    using T = decltype(t);
    CCDL_LAUNCH(plain(total), resample_kernel<T>, l, total, x.ptr<const T>(), index.ptr<const int64_t>(),
                weight.ptr<const double>(), index.sizes[1], y.ptr<T>());
  });
}

void resample_backward(const View& dy, int dim, const View& index, const View& weight, const View& dx) {
  const Lines l(dx, dy, dim);
  const int64_t total = dx.numel(), taps = index.sizes[1], entries = l.n_out * taps;
  if (total == 0) return;
  const Scratch starts((l.n_in + 1) * 8), table(16 * entries);
  uint32_t* p = table.ptr<uint32_t>();
  RadixPairs<uint32_t, uint32_t> pairs{p, p + entries, p + 2 * entries, p + 3 * entries};
  by_floating(dx.dtype, [&](auto t) {
    using T = decltype(t);
    if (entries > 0) {
      CCDL_LAUNCH(plain(entries), tap_keys_kernel<Compute<T>>, index.ptr<const int64_t>(),
                  weight.ptr<const double>(), entries, l.n_in, pairs.keys, pairs.values);
      radix_sort_pairs(pairs, entries, 1, bits_below(static_cast<uint64_t>(l.n_in) + 1));
    }
    CCDL_LAUNCH(plain(l.n_in + 1), tap_starts_kernel, pairs.keys, entries, l.n_in, starts.ptr<int64_t>());
    CCDL_LAUNCH(plain(total), resample_backward_kernel<T>, l, total, dy.ptr<const T>(), pairs.values,
                starts.ptr<int64_t>(), weight.ptr<const double>(), taps, dx.ptr<T>());
  });
}

int64_t repeat_count(const View& repeats) {
  const Scratch total(8);
  CCDL_LAUNCH(plain(1), repeat_total_kernel, repeats.ptr<const int64_t>(), repeats.sizes[0],
              repeats.strides[0], total.ptr<int64_t>());
  int64_t result = 0;
  read_back(&result, total.ptr(), sizeof result);
  return result;
}

void repeat_index(const View& repeats, const View& y) {
  const int64_t n = repeats.sizes[0], total = y.numel();
  if (total == 0) return;
  const Scratch starts(n * 8);
  CCDL_LAUNCH(plain(n), repeat_copy_kernel, repeats.ptr<const int64_t>(), n, repeats.strides[0],
              starts.ptr<uint64_t>());
  exclusive_scan(starts.ptr<uint64_t>(), n);
  CCDL_LAUNCH(plain(total), repeat_index_kernel, starts.ptr<uint64_t>(), n, total, y.ptr<int64_t>());
}

}  // namespace ccdl::cu
