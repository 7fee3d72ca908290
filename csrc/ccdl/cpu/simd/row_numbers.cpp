// Rows joined with a number each, which is spread over a register once a row.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/row_numbers.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <RowOp O, class V>
CCDL_SI V join(V x, V c) {
  if constexpr (O == RowOp::Add) return x + c;
  if constexpr (O == RowOp::Sub) return x - c;
  if constexpr (O == RowOp::SubFrom) return c - x;
  if constexpr (O == RowOp::Mul) return x * c;
  if constexpr (O == RowOp::Div) return x / c;
  return c / x;
}
template <RowOp O, class T>
void rows_of(const void* xv, int64_t x_row, const void* cv, int64_t c_row, void* yv, int64_t y_row,
             int64_t rows, int64_t n) {
  const T *x = static_cast<const T*>(xv), *c = static_cast<const T*>(cv);
  T* y = static_cast<T*>(yv);
  for (int64_t r = 0; r < rows; ++r, x += x_row, c += c_row, y += y_row) {
    const auto number = set1(get(c));
    each_vector<T>(
        n, [&](int64_t j, int count)
               __attribute__((always_inline)) { to(y + j, join<O>(at(x + j, count), number), count); });
  }
}
#define CCDL_ROW_OP(Name)                                                                       \
  {                                                                                             \
    rows_of<RowOp::Name, float16>, rows_of<RowOp::Name, bfloat16>, rows_of<RowOp::Name, float>, \
        rows_of<RowOp::Name, double>                                                            \
  }

}  // namespace

extern const RowNumberKernels row_numbers;
const RowNumberKernels row_numbers = {{CCDL_ROW_OP(Add), CCDL_ROW_OP(Sub), CCDL_ROW_OP(SubFrom),
                                       CCDL_ROW_OP(Mul), CCDL_ROW_OP(Div), CCDL_ROW_OP(DivInto)}};

}  // namespace ccdl::cpu::CCDL_ISA
