// Elementwise operations of rows and a number for each row, which would otherwise be spread over a buffer.
#include <ccdl/cpu/row_numbers.h>

#include <algorithm>

#include <ccdl/cpu/elementwise_blocks.h>
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/simd/row_numbers.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kLeast = 1024;  // elements: below, the plan costs more than the buffer
constexpr int64_t kShortest = 8;  // elements of a row

int row_op(BinaryOp op, bool number_first) {
  switch (op) {
    case BinaryOp::Mul:
      return static_cast<int>(RowOp::Mul);
    case BinaryOp::Div:
      return static_cast<int>(number_first ? RowOp::DivInto : RowOp::Div);
    case BinaryOp::Add:
      return static_cast<int>(RowOp::Add);
    case BinaryOp::Sub:
      return static_cast<int>(number_first ? RowOp::SubFrom : RowOp::Sub);
    default:
      return -1;
  }
}

}  // namespace

bool rows_by_numbers(BinaryOp op, const View& a, const View& b, const View& out) {
  if (row_op(op, false) < 0 || out.ndim < 2 || !is_floating(out.dtype) || a.dtype != out.dtype ||
      b.dtype != out.dtype || out.numel() < kLeast)
    return false;
  const View* views[] = {&out, &a, &b};
  const blocks::Plan plan(views, 3);
  const int last = plan.ndim - 1;
  const int64_t n = plan.sizes[last];
  if (last < 1 || n < kShortest || plan.strides[0][last] != 1) return false;
  const bool first = plan.strides[1][last] == 0;  // the numbers are the first operand
  const int number = first ? 1 : 2, row = first ? 2 : 1;
  if (plan.strides[number][last] != 0 || plan.strides[row][last] != 1 || plan.is_constant(number))
    return false;
  const auto kernel = simd_row_numbers().rows[row_op(op, first)][float_index(out.dtype)];
  const int64_t bytes = item_size(out.dtype);
  const auto at = [&](int k, int64_t offset) { return static_cast<char*>(views[k]->data) + offset * bytes; };
  parallel_for(plan.numel / n, std::max<int64_t>(1, blocks::kGrain / n), [&](int64_t begin, int64_t end) {
    blocks::Cursor cursor(plan, begin * n);
    while (begin < end) {
      const int64_t rows = std::min(cursor.rows_left(), end - begin);
      kernel(at(row, cursor.offset[row]), plan.strides[row][last - 1], at(number, cursor.offset[number]),
             plan.strides[number][last - 1], at(0, cursor.offset[0]), plan.strides[0][last - 1], rows, n);
      cursor.advance_rows(rows);
      begin += rows;
    }
  });
  return true;
}

}  // namespace ccdl::cpu
