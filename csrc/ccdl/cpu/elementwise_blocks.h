// How every elementwise op walks memory. Dimensions are sorted by the output's strides and merged; the flat
// range is cut into blocks; an operand that is contiguous in its kernel's own type is used in place, any
// other is converted or gathered into a block buffer. So a kernel only ever sees contiguous arrays of one
// type.
#pragma once
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/simd/elementwise.h>

namespace ccdl::cpu::blocks {

// What a block kernel's array holds: a compute type, or elements of a width moved as bits (W1 is also bool).
enum class Kind : uint8_t { F32, F64, I64, W1, W2, W4, W8 };

constexpr int kMaxOperands = 4;        // the output first
constexpr int64_t kBlock = 1024;       // elements per buffer: four of 8 bytes fit L1
constexpr int64_t kGrain = 65536;      // elements per chunk of memory-bound work
constexpr int64_t kGrainMath = 32768;  // of vectorised functions
constexpr int64_t kGrainSlow = 4096;   // one number at a time
// Bytes of all operands from which on an output passes the caches by: the next op would not find it there.
constexpr int64_t kStreamFrom = 40 << 20;

inline Kind compute_kind(DType t) {
  return t == DType::Float64 ? Kind::F64 : is_floating(t) ? Kind::F32 : Kind::I64;
}
inline Kind width_kind(DType t) {
  switch (item_size(t)) {
    case 1:
      return Kind::W1;
    case 2:
      return Kind::W2;
    case 4:
      return Kind::W4;
    default:
      return Kind::W8;
  }
}
inline bool is_native(Kind k, DType t) {
  switch (k) {
    case Kind::F32:
      return t == DType::Float32;
    case Kind::F64:
      return t == DType::Float64;
    case Kind::I64:
      return t == DType::Int64;
    default:
      return width_kind(t) == k;
  }
}

// n elements at src (stride in elements, 0 repeats one) to a contiguous array of the kind, and back.
using LoadFn = void (*)(const void* src, int64_t stride, void* dst, int64_t n);
using StoreFn = void (*)(const void* src, void* dst, int64_t stride, int64_t n);
LoadFn load_fn(Kind kind, DType dtype);
StoreFn store_fn(Kind kind, DType dtype);

// dst[i * dst_stride + j] = src[i + j * src_stride] for i < rows, j < cols, elements of `item` bytes.
void turn_panel(int64_t item, const void* src, int64_t src_stride, void* dst, int64_t dst_stride,
                int64_t rows, int64_t cols);

// Sorted, merged geometry of operands of equal sizes; operand 0 decides the order.
struct Plan {
  int ndim = 0, operands = 0;
  int64_t numel = 1;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxOperands][kMaxDims];  // in elements
  explicit Plan(const View* const* views, int count);
  bool is_linear(int operand) const;    // contiguous in the plan's order
  bool is_constant(int operand) const;  // one element for all
};

// A position in the plan: index per dimension and offset per operand.
struct Cursor {
  const Plan& plan;
  int64_t at[kMaxDims], offset[kMaxOperands];
  Cursor(const Plan& p, int64_t position) : plan(p), offset{} {
    for (int d = p.ndim - 1; d >= 0; --d) {
      at[d] = position % p.sizes[d];
      position /= p.sizes[d];
      for (int k = 0; k < p.operands; ++k) offset[k] += at[d] * p.strides[k][d];
    }
  }
  int64_t row_left() const { return plan.sizes[plan.ndim - 1] - at[plan.ndim - 1]; }
  void advance(int64_t n) {  // within the row, or to its end
    const int last = plan.ndim - 1;
    at[last] += n;
    for (int k = 0; k < plan.operands; ++k) offset[k] += n * plan.strides[k][last];
    for (int d = last; d > 0 && at[d] == plan.sizes[d]; --d) {
      for (int k = 0; k < plan.operands; ++k)
        offset[k] += plan.strides[k][d - 1] - plan.sizes[d] * plan.strides[k][d];
      at[d] = 0;
      ++at[d - 1];
    }
  }
  // Whole rows from here to the end of the second last dimension; 0 inside a row.
  int64_t rows_left() const {
    const int last = plan.ndim - 1;
    return last > 0 && at[last] == 0 ? plan.sizes[last - 1] - at[last - 1] : 0;
  }
  void advance_rows(int64_t n) {  // at most rows_left()
    const int last = plan.ndim - 1;
    at[last - 1] += n - 1;
    for (int k = 0; k < plan.operands; ++k) offset[k] += (n - 1) * plan.strides[k][last - 1];
    advance(plan.sizes[last]);
  }
};

// fn over all blocks of views[0] (output) and the inputs; a view with null data is passed on as null.
// Returns whether any block did.
bool run(ElementFn fn, const View* const* views, const Kind* kinds, int count, const ElementParams& p,
         int64_t grain);

// Block kernels in int64; null where an op does not exist there.
ElementFn unary_i64(UnaryOp op);
ElementFn binary_i64(BinaryOp op);
ElementFn ternary_i64(TernaryOp op);

}  // namespace ccdl::cpu::blocks
