// Composites: the copy is written through a view, and autograd follows the write.
#include <ccdl/ops/slices.h>

#include <numbers>

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/index.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {
namespace {

// y is a copy of x; view(y) is overwritten by src.
template <class F>
Tensor replaced(const char* op, const Tensor& x, const Tensor& src, const F& view) {
  const Tensor y = clone(x), part = view(y);
  CCDL_CHECK(part.sizes() == src.sizes(), Shape, op,
             ": expected src to have a size equal to the slice of self, got src size = ", src.sizes(),
             ", slice size = ", part.sizes());
  check_same_device(op, {{"input", &x}, {"src", &src}});
  copy_(part, src);
  return y;
}

}  // namespace

Tensor select_scatter(const Tensor& x, const Tensor& src, int64_t dim, int64_t index) {
  return replaced("select_scatter", x, src, [&](const Tensor& y) { return select(y, dim, index); });
}

Tensor slice_scatter(const Tensor& x, const Tensor& src, int64_t dim, std::optional<int64_t> start,
                     std::optional<int64_t> end, int64_t step) {
  return replaced("slice_scatter", x, src, [&](const Tensor& y) { return slice(y, dim, start, end, step); });
}

Tensor diagonal_scatter(const Tensor& x, const Tensor& src, int64_t offset, int64_t dim1, int64_t dim2) {
  return replaced("diagonal_scatter", x, src,
                  [&](const Tensor& y) { return diagonal(y, offset, dim1, dim2); });
}

Tensor index_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                    const std::string& reduce, bool include_self) {
  const char* op = "index_reduce";
  CCDL_CHECK(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin", Runtime, op,
             "(): reduce argument must be either prod, mean, amax or amin, got ", reduce);
  CCDL_CHECK(index.dim() <= 1, Shape, op, "(): Index is supposed to be a vector, got ", describe(index));
  dim = wrap_dim(op, dim, x.dim());
  CCDL_CHECK(src.dim() == x.dim(), Shape, op,
             "(): self and source must have the same number of dimensions, got ", describe(x), " and ",
             describe(src));
  const int64_t count = index.numel();
  if (x.dim() == 0) return scatter_reduce(x, 0, reshape(index, Dims{}), src, reduce, include_self);
  CCDL_CHECK(src.size(dim) == count, Shape, op, "(): Number of indices (", count,
             ") should be equal to source.size(dim): (", src.size(dim), "), for dim: ", dim);
  for (int64_t d = 0; d < x.dim(); ++d)
    CCDL_CHECK(d == dim || src.size(d) == x.size(d), Shape, op,
               "(): Source/destination tensor must have same slice shapes, got ", src.sizes(), " and ",
               x.sizes());
  Dims shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(dim)] = count;
  const Tensor wide = expand(reshape(index, shape), src.sizes());
  return scatter_reduce(x, dim, wide, src, reduce, include_self);
}

Tensor fill_diagonal_(const Tensor& x, Scalar value, bool wrap) {
  CCDL_CHECK(x.dim() >= 2, Shape, "fill_diagonal_: dimensions must larger than 1, got ", describe(x));
  if (x.dim() > 2) {
    for (int64_t d = 1; d < x.dim(); ++d)
      CCDL_CHECK(x.size(d) == x.size(0), Shape,
                 "fill_diagonal_: all dimensions of input must be of equal length, got ", describe(x));
    Tensor corner = x;
    while (corner.dim() > 2) corner = movedim(diagonal(corner, 0, 0, 1), Dims{-1}, Dims{0});
    fill_(diagonal(corner, 0, 0, 1), value);
    return x;
  }
  const int64_t rows = x.size(0), step = x.size(1) + 1;
  fill_(diagonal(x), value);
  if (wrap)
    for (int64_t row = step; row < rows; row += step) fill_(diagonal(narrow(x, 0, row, rows - row)), value);
  return x;
}

TensorList split_evenly(const char* op, const Tensor& x, int64_t sections, int64_t dim) {
  CCDL_CHECK(sections > 0 && x.size(dim) % sections == 0, Runtime, op, " attempted to split along dimension ",
             dim, ", but the size of the dimension ", x.size(dim), " is not divisible by the split_size ",
             sections, "!");
  return chunk(x, sections, dim);
}

Tensor angle(const Tensor& x) { return unary("angle", UnaryOp::Angle, x); }

}  // namespace ccdl::ops
