// Joining arrays along a dimension: input after input by strided copies, or, where their pieces are long, in
// the order of the output.
#include <ccdl/cpu/copy_view.h>
#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/index.h>
#include <ccdl/kernels/shape.h>

namespace ccdl::cpu {
namespace {

bool dense(const View& v) {
  int64_t stride = 1;
  for (int d = v.ndim - 1; d >= 0; stride *= v.sizes[d--])
    if (v.sizes[d] != 1 && v.strides[d] != stride) return false;
  return true;
}

// Dense inputs with long pieces: in the order of y, whose lines are then written one after the other. False,
// with nothing done, where that does not apply.
bool cat_in_order(const View* inputs, int64_t n, int dim, const View& y) {
  constexpr int64_t kLeast = 64;  // bytes of a piece
  int64_t outer = 1, inner = item_size(y.dtype), row = 0;
  for (int d = 0; d < dim; ++d) outer *= y.sizes[d];
  for (int d = dim + 1; d < y.ndim; ++d) inner *= y.sizes[d];
  if (outer == 1 || !dense(y)) return false;
  const void** from = scratch<const void*>(0, n);
  int64_t* bytes = scratch<int64_t>(1, n);
  for (int64_t i = 0; i < n; ++i) {
    from[i] = inputs[i].data;
    bytes[i] = inputs[i].sizes[dim] * inner;
    if (bytes[i] < kLeast || !dense(inputs[i])) return false;
    row += bytes[i];
  }
  parallel_for(outer, kWalkGrain * 4 / row + 1, [&](int64_t begin, int64_t end) {
    simd_index().join_rows(from, bytes, n, y.ptr<char>() + begin * row, begin, end);
  });
  return true;
}

}  // namespace

void cat(const View* inputs, int64_t n, int dim, const View& y) {
  if (cat_in_order(inputs, n, dim, y)) return;
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    View to = moved(y, at * y.strides[dim]);
    to.sizes[dim] = inputs[i].sizes[dim];
    copy_view(inputs[i], to);
    at += inputs[i].sizes[dim];
  }
}

}  // namespace ccdl::cpu
