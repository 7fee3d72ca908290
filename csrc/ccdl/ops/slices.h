// Copies with a part replaced (the functional forms of writing into a view), reductions into slices chosen by
// an index, diagonals filled in place.
#pragma once
#include <optional>
#include <string>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// x with select(x, dim, index), slice(x, dim, ...) or diagonal(x, ...) replaced by src, which has its shape.
Tensor select_scatter(const Tensor& x, const Tensor& src, int64_t dim, int64_t index);
Tensor slice_scatter(const Tensor& x, const Tensor& src, int64_t dim, std::optional<int64_t> start,
                     std::optional<int64_t> end, int64_t step);
Tensor diagonal_scatter(const Tensor& x, const Tensor& src, int64_t offset, int64_t dim1, int64_t dim2);
// Slice index[i] of x along dim is reduced with slice i of src: prod, mean, amax or amin.
Tensor index_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                    const std::string& reduce, bool include_self);
// The main diagonal of a matrix, or of a tensor of equal sizes; wrap: again below each width + 1 rows.
Tensor fill_diagonal_(const Tensor& x, Scalar value, bool wrap);
// Equal pieces (sections) along a dimension whose size they must divide.
TensorList split_evenly(const char* op, const Tensor& x, int64_t sections, int64_t dim);
Tensor angle(const Tensor& x);  // pi where negative, 0 elsewhere

}  // namespace ccdl::ops
