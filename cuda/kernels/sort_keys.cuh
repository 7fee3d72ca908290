// Every element type as an unsigned key that orders as the values do: NaN highest, -0 as +0. Keys of types up
// to 32 bits are uint32_t, others uint64_t. Rows along a dimension of up to three operands.
#pragma once
#include <kernels/index_walk.cuh>

namespace ccdl::cu::sorting {

using namespace moving;

CCDL_DEVICE uint32_t half_key(uint16_t b, uint16_t infinity) {
  const uint32_t magnitude = b & 0x7fffu;
  if (magnitude > infinity) return 0xffffu;
  if (magnitude == 0) return 0x8000u;
  return b & 0x8000u ? ~uint32_t{b} & 0xffffu : uint32_t{b} | 0x8000u;
}
CCDL_DEVICE uint32_t float_key(uint32_t b) {
  const uint32_t magnitude = b & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0xffffffffu;
  if (magnitude == 0) return 0x80000000u;
  return b >> 31 ? ~b : b | 0x80000000u;
}
CCDL_DEVICE uint64_t double_key(uint64_t b) {
  const uint64_t magnitude = b & ~(uint64_t{1} << 63);
  if (magnitude > uint64_t{0x7ff} << 52) return ~uint64_t{0};
  if (magnitude == 0) return uint64_t{1} << 63;
  return b >> 63 ? ~b : b | uint64_t{1} << 63;
}

// Key of element i.
CCDL_DEVICE uint64_t sort_key(DType t, const void* x, int64_t i) {
  switch (t) {
    case DType::Bool:
    case DType::UInt8:
      return static_cast<const uint8_t*>(x)[i];
    case DType::Int8:
      return static_cast<const uint8_t*>(x)[i] ^ 0x80u;
    case DType::Int16:
      return static_cast<const uint16_t*>(x)[i] ^ 0x8000u;
    case DType::Int32:
      return static_cast<const uint32_t*>(x)[i] ^ 0x80000000u;
    case DType::Int64:
      return static_cast<const uint64_t*>(x)[i] ^ (uint64_t{1} << 63);
    case DType::Float16:
      return half_key(static_cast<const uint16_t*>(x)[i], 0x7c00u);
    case DType::BFloat16:
      return half_key(static_cast<const uint16_t*>(x)[i], 0x7f80u);
    case DType::Float32:
      return float_key(static_cast<const uint32_t*>(x)[i]);
    default:
      return double_key(static_cast<const uint64_t*>(x)[i]);
  }
}

inline int key_bits(DType t) { return t == DType::Bool ? 1 : static_cast<int>(8 * item_size(t)); }
// The largest key; equals the key of NaN for floats.
inline uint64_t key_limit(DType t) {
  const int bits = key_bits(t);
  return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}

CCDL_DEVICE bool is_nan_key(DType t, uint64_t key) {
  return t == DType::Float64   ? key == ~uint64_t{0}
         : t == DType::Float32 ? key == 0xffffffffu
                               : (t == DType::Float16 || t == DType::BFloat16) && key == 0xffffu;
}

// The rows of x, values and indices along dim: one offset per operand and row, and the strides along dim.
// Operands without data have stride 0 and are not written.
struct Rows {
  Dimensions dims;
  int64_t rows, n;  // n: elements of a row of x
  FastDiv by_n;
  bool small;  // rows * n fits in 31 bits
  DType dtype;
  uint64_t limit;  // key_limit(dtype)
  int item;        // bytes of an element
  const void* x;
  void* values;
  int64_t* indices;
  int64_t x_stride, v_stride, i_stride;
  int64_t x_outer[kMaxDims], v_outer[kMaxDims], i_outer[kMaxDims];

  CCDL_DEVICE int64_t row_of(int64_t i) const {
    return small ? static_cast<int64_t>(by_n.div(static_cast<uint32_t>(i))) : i / n;
  }
  CCDL_DEVICE int64_t x_base(int64_t row) const { return dims.dot(row, x_outer); }
  CCDL_DEVICE uint64_t key(int64_t base, int64_t i) const { return sort_key(dtype, x, base + i * x_stride); }
  // Result number `rank` of a row is x's element `from`; bases are those of the row.
  CCDL_DEVICE void emit(int64_t row, int64_t base, int64_t rank, int64_t from) const {
    if (indices) indices[dims.dot(row, i_outer) + rank * i_stride] = from;
    if (values) copy_item(values, dims.dot(row, v_outer) + rank * v_stride, x, base + from * x_stride, item);
  }
};

inline Rows rows_of(const View& x, int dim, const View& values, const View& indices) {
  const HostWalk w = host_walk({&x, &values, &indices}, x.ndim ? dim : -1);
  Rows r;
  r.dims = Dimensions(w);
  r.rows = w.numel;
  r.n = x.ndim ? x.sizes[dim] : 1;
  r.small = r.rows * r.n <= INT32_MAX;
  if (r.small && r.n > 0) r.by_n = FastDiv(static_cast<uint32_t>(r.n));
  r.dtype = x.dtype;
  r.limit = key_limit(x.dtype);
  r.item = static_cast<int>(item_size(x.dtype));
  r.x = x.data;
  r.values = values.data;
  r.indices = indices.ptr<int64_t>();
  r.x_stride = x.ndim ? x.strides[dim] : 1;
  r.v_stride = values.data && x.ndim ? values.strides[dim] : 1;
  r.i_stride = indices.data && x.ndim ? indices.strides[dim] : 1;
  for (int d = 0; d < w.ndim; ++d) {
    r.x_outer[d] = w.strides[0][d];
    r.v_outer[d] = w.strides[1][d];
    r.i_outer[d] = w.strides[2][d];
  }
  return r;
}

// What of a sorted row is wanted.
enum class Pick { First, Kth, Median, NanMedian, Mode };  // First: the k first, in order; Kth: rank k

constexpr int64_t kShortRow = 1024;  // rows up to this length are sorted by one block in shared memory

// Writes the picked results of every row; mask is xored to the keys (all ones: descending).
void pick_short_rows(const Rows& r, uint64_t mask, Pick pick, int64_t k);

// Sorted keys and positions, rows one after another.
struct SortedView {
  const void *keys, *positions;
  bool wide_keys, wide_positions;
  CCDL_DEVICE uint64_t key(int64_t i) const {
    return wide_keys ? static_cast<const uint64_t*>(keys)[i] : static_cast<const uint32_t*>(keys)[i];
  }
  CCDL_DEVICE int64_t position(int64_t i) const {
    return wide_positions ? static_cast<const int64_t*>(positions)[i]
                          : static_cast<int64_t>(static_cast<const uint32_t*>(positions)[i]);
  }
  // Where keys above (or not below) `key` begin in [low, high).
  CCDL_DEVICE int64_t bound(int64_t low, int64_t high, uint64_t wanted, bool above) const {
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const uint64_t k = key(middle);
      if (above ? k <= wanted : k < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
};

// All rows sorted in scratch memory.
class SortedRows {
 public:
  SortedRows(const Rows& r, uint64_t mask);
  // Rows of n pairs whose keys are filled in by the caller; sort() then sorts them.
  SortedRows(int64_t rows, int64_t n, int key_bits);
  void sort();
  const SortedView& view() const { return view_; }
  void* keys() const { return const_cast<void*>(view_.keys); }
  void* positions() const { return const_cast<void*>(view_.positions); }

 private:
  int64_t rows_, n_;
  int bits_;
  SortedView view_;
  Scratch key_memory_, position_memory_;
};

// Result number i < k of every row is its i-th smallest pair.
void emit_sorted(const Rows& r, const SortedView& sorted, int64_t sorted_n, int64_t k);

}  // namespace ccdl::cu::sorting
