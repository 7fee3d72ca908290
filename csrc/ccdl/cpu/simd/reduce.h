// Inner loops of the reductions, one table per instruction-set level. Elements are float, double or int64
// (others are packed into one of these first where their entry is null); accumulators are
// 8 bytes: double for floating results, int64 otherwise. row: n contiguous elements into one accumulator;
// col: rows x cols elements, row r at x + r * row_stride, into cols accumulators. Both join into what the
// accumulator holds. c: one parameter per accumulator (mean, max, p).
#pragma once
#include <ccdl/core/view.h>
#include <ccdl/cpu/isa.h>

namespace ccdl::cpu {

enum class RedKernel : int {
  Sum,
  SumD,
  NanSum,
  SumAbs,
  SumSq,
  SqDiff,
  SumPow,
  SumExp,
  Prod,  // double accumulator (int64 for integers)
  Max,
  Min,
  MaxAbs,
  MinAbs,
  Count,
  Any,
  All,  // int64 accumulator
  kCount,
};
constexpr int kNumRedKernels = static_cast<int>(RedKernel::kCount);
enum RedElem : int {
  kElemF32,
  kElemF64,
  kElemI64,
  kElemF16,
  kElemBF16,
  kElemU8,  // and Bool
  kElemI8,
  kElemI16,
  kElemI32,
  kNumRedElems
};  // null entries: pack first

struct ReduceKernels {
  using Row = void (*)(const void* x, int64_t n, const double* c, void* acc);
  using Col = void (*)(const void* x, int64_t rows, int64_t row_stride, int64_t cols, const double* c,
                       void* acc);
  Row row[kNumRedKernels][kNumRedElems];
  Col col[kNumRedKernels][kNumRedElems];
  // `cols` contiguous elements of each row into that row's accumulator (c per row).
  Col short_rows[kNumRedKernels][kNumRedElems];
  // Bytes (Bool, UInt8): Count into int64 is the sum for Bool; byte_sum adds the values.
  Row byte_sum, byte_count;
  // best (double or int64 as above) and idx keep the first largest (or smallest) element met in rising base
  // order.
  using ArgRow = void (*)(const void* x, int64_t n, int64_t base, void* best, int64_t* idx);
  using ArgCol = void (*)(const void* x, int64_t rows, int64_t row_stride, int64_t cols, int64_t base,
                          void* best, int64_t* idx);
  ArgRow arg_row[2][3];  // [largest][kElemF32, kElemF64, kElemI64]
  ArgCol arg_col[2][3];
  ArgCol arg_short_rows[2][3];
  // n elements of any dtype at `stride` into contiguous float (Float16, BFloat16, Float32), double or int64.
  void (*pack)(DType t, const void* x, int64_t stride, int64_t n, void* out);
  // Units of rows x cols elements into cols results of the elements' type each; null: no such kernel.
  using Direct = void (*)(const void* x, int64_t units, int64_t unit_stride, int64_t rows, int64_t row_stride,
                          int64_t cols, double scale, void* y);
  Direct direct[4][kElemBF16 + 1];  // sum, largest, smallest, product
};
CCDL_SIMD_FAMILY(ReduceKernels, reduce)

}  // namespace ccdl::cpu
