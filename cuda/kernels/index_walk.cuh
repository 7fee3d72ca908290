// Shared by the moving families (index, shape, sort): dispatch by item size or dtype, a host-side walk over
// any number of operands with merging and widening (several neighbouring items move as one of up to 16
// bytes), and coordinates of a linear position on the device.
#pragma once
#include <runtime/launch.h>
#include <device/index.cuh>
#include <device/vec.cuh>

#include <initializer_list>

namespace ccdl::cu::moving {

constexpr int kThreads = 256;

using Item16 = Vec<uint32_t, 4>;

inline dim3 blocks_for(int64_t items, int64_t per_block = kThreads) {
  return dim3(static_cast<unsigned>(ceil_div(items, per_block)));
}
inline LaunchConfig plain(int64_t items, int64_t per_block = kThreads) {
  return LaunchConfig{blocks_for(items, per_block), kThreads};
}
CCDL_DEVICE int64_t global_thread() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

// fn(T{}) with an unsigned type of that many bytes: of one element, or also of a wide item.
template <class F>
void by_item(int64_t bytes, const F& fn) {
  switch (bytes) {
    case 1:
      return fn(uint8_t{});
    case 2:
      return fn(uint16_t{});
    case 4:
      return fn(uint32_t{});
    default:
      return fn(uint64_t{});
  }
}
template <class F>
void by_item_bytes(int64_t bytes, const F& fn) {
  if (bytes == 16)
    fn(Item16{});
  else
    by_item(bytes, fn);
}
template <class F>
void by_floating(DType t, const F& fn) {
  switch (t) {
    case DType::Float16:
      return fn(float16{});
    case DType::BFloat16:
      return fn(bfloat16{});
    case DType::Float32:
      return fn(float{});
    default:
      return fn(double{});
  }
}
template <class F>
void by_any(DType t, const F& fn) {
  switch (t) {
    case DType::Bool:
      return fn(bool{});
    case DType::UInt8:
      return fn(uint8_t{});
    case DType::Int8:
      return fn(int8_t{});
    case DType::Int16:
      return fn(int16_t{});
    case DType::Int32:
      return fn(int32_t{});
    case DType::Int64:
      return fn(int64_t{});
    default:
      return by_floating(t, fn);
  }
}

// One item read or written by its size at run time.
CCDL_DEVICE void copy_item(void* to, int64_t to_at, const void* from, int64_t from_at, int64_t bytes) {
  if (bytes == 4)
    static_cast<uint32_t*>(to)[to_at] = static_cast<const uint32_t*>(from)[from_at];
  else if (bytes == 8)
    static_cast<uint64_t*>(to)[to_at] = static_cast<const uint64_t*>(from)[from_at];
  else if (bytes == 2)
    static_cast<uint16_t*>(to)[to_at] = static_cast<const uint16_t*>(from)[from_at];
  else
    static_cast<uint8_t*>(to)[to_at] = static_cast<const uint8_t*>(from)[from_at];
}

constexpr int kMaxOperands = kMaxDims + 2;

// Host side: sizes and strides of several operands, dimension 0 innermost, size 1 dropped, neighbours merged.
struct HostWalk {
  int operands, ndim = 0;
  int64_t numel = 1;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxOperands][kMaxDims];

  explicit HostWalk(int count) : operands(count) {}
  // Dimensions are given from the innermost outwards.
  void add(int64_t size, const int64_t* step) {
    numel *= size;
    if (size == 1) return;
    bool merges = ndim > 0;
    for (int k = 0; k < operands && merges; ++k) merges = step[k] == strides[k][ndim - 1] * sizes[ndim - 1];
    if (merges) {
      sizes[ndim - 1] *= size;
      return;
    }
    for (int k = 0; k < operands; ++k) strides[k][ndim] = step[k];
    sizes[ndim++] = size;
  }
  bool small() const {  // positions fit in 31 bits (offsets are 64-bit everywhere)
    return numel <= INT32_MAX;
  }
};

// Device side: the dimensions of a walk and how positions fall into coordinates.
struct Dimensions {
  int ndim = 0;
  bool small = true;
  int64_t sizes[kMaxDims];
  FastDiv divs[kMaxDims];  // valid when small

  Dimensions() = default;
  explicit Dimensions(const HostWalk& w, int begin = 0, int end = -1) {
    ndim = (end < 0 ? w.ndim : end) - begin;
    small = w.small();
    for (int d = 0; d < ndim; ++d) {
      sizes[d] = w.sizes[begin + d];
      if (small && sizes[d] > 0) divs[d] = FastDiv(static_cast<uint32_t>(sizes[d]));
    }
  }
  // fn(d, coordinate) for every dimension, the innermost first.
  template <class F>
  CCDL_DEVICE void each(int64_t position, const F& fn) const {
    if (small) {
      uint32_t rest = static_cast<uint32_t>(position);
      for (int d = 0; d < ndim; ++d) {
        const uint32_t q = d + 1 < ndim ? divs[d].div(rest) : 0;
        fn(d, static_cast<int64_t>(rest - q * static_cast<uint32_t>(sizes[d])));
        rest = q;
      }
    } else {
      for (int d = 0; d < ndim; ++d) {
        const int64_t q = d + 1 < ndim ? position / sizes[d] : 0;
        fn(d, position - q * sizes[d]);
        position = q;
      }
    }
  }
  CCDL_DEVICE int64_t dot(int64_t position, const int64_t* strides) const {
    int64_t offset = 0;
    each(position, [&](int d, int64_t c) { offset += c * strides[d]; });
    return offset;
  }
};

// The most bytes (a power of two up to 16) that divide every given amount.
inline int64_t common_bytes(int64_t item, std::initializer_list<int64_t> amounts) {
  int64_t width = 16;
  for (int64_t a : amounts)
    while (width > item && a % width != 0) width /= 2;
  return width;
}

// The width at which the operands listed in `moved` (pointers in `data`) can move: inner strides 1 there and
// 0 elsewhere, everything else a multiple of the width. `steps` are further offsets in items. Rescales the
// walk to that width and returns how many items one wide item holds.
inline int64_t widen(HostWalk& w, int64_t item, std::initializer_list<int> moved,
                     std::initializer_list<const void*> data, int64_t* steps = nullptr, int step_count = 0) {
  if (w.ndim == 0 || item >= 16) return 1;
  bool is_moved[kMaxOperands] = {};
  for (int k : moved) is_moved[k] = true;
  for (int k = 0; k < w.operands; ++k)
    if (w.strides[k][0] != (is_moved[k] ? 1 : 0)) return 1;
  int64_t width = common_bytes(item, {w.sizes[0] * item});
  auto limit = [&](int64_t amount) {
    while (width > item && amount % width != 0) width /= 2;
  };
  for (const void* p : data) limit(static_cast<int64_t>(reinterpret_cast<uintptr_t>(p) % 16));
  for (int k = 0; k < w.operands; ++k)
    for (int d = 1; d < w.ndim && is_moved[k]; ++d) limit(w.strides[k][d] * item);
  for (int i = 0; i < step_count; ++i) limit(steps[i] * item);
  const int64_t lanes = width / item;
  w.sizes[0] /= lanes;
  w.numel /= lanes;
  for (int k = 0; k < w.operands; ++k)
    for (int d = 1; d < w.ndim && is_moved[k]; ++d) w.strides[k][d] /= lanes;
  for (int i = 0; i < step_count; ++i) steps[i] /= lanes;
  return lanes;
}

// Walk over views of equal sizes; data == nullptr stands for stride 0.
inline HostWalk host_walk(std::initializer_list<const View*> views, int skipped_dim = -1) {
  HostWalk w(static_cast<int>(views.size()));
  const View& first = **views.begin();
  int64_t step[kMaxOperands];
  for (int d = first.ndim - 1; d >= 0; --d) {
    if (d == skipped_dim) continue;
    int k = 0;
    for (const View* v : views) step[k++] = v->data ? v->strides[d] : 0;
    w.add(first.sizes[d], step);
  }
  return w;
}

// Two operands that move item by item: y = x or the like.
struct Pair {
  Dimensions dims;
  int64_t numel;
  int64_t a[kMaxDims], b[kMaxDims];
  explicit Pair(const HostWalk& w, int first = 0, int second = 1) : dims(w), numel(w.numel) {
    for (int d = 0; d < w.ndim; ++d) a[d] = w.strides[first][d], b[d] = w.strides[second][d];
  }
  CCDL_DEVICE void offsets(int64_t position, int64_t* at_a, int64_t* at_b) const {
    int64_t oa = 0, ob = 0;
    dims.each(position, [&](int d, int64_t c) {
      oa += c * a[d];
      ob += c * b[d];
    });
    *at_a = oa;
    *at_b = ob;
  }
};

}  // namespace ccdl::cu::moving
