// Indexed reading and writing. Indices are int64 (int32 and smaller are converted); negative ones count from
// the end in index, index_put, take, put and index_fill only, as in PyTorch. A bad index is an Error(Index)
// and writes nothing. Where several elements are written to one place the last one in row-major order of the
// index wins.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Operand& src);
Tensor scatter_(const Tensor& x, int64_t dim, const Tensor& index, const Operand& src);
Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
Tensor scatter_add_(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
// reduce: sum, prod, mean, amax, amin; include_self: the old value takes part.
Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self = true);

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, Scalar alpha = 1);
Tensor index_add_(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, Scalar alpha = 1);
Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Operand& value);

// One step of basic indexing: At takes dimension position `start` away, Range keeps start, start + step, ..
// (`length` of them, already clipped), All keeps a dimension, New adds one of size 1.
struct BasicStep {
  enum Kind : uint8_t { At, Range, All, New } kind = All;
  int64_t start = 0, length = 0, step = 1;
};
// The view that steps describe, from the first dimension on; dimensions without a step are kept.
Tensor basic_index(const Tensor& x, const BasicStep* steps, size_t count);

// Flat (row-major) positions.
Tensor take(const Tensor& x, const Tensor& index);
Tensor put(const Tensor& x, const Tensor& index, const Tensor& src, bool accumulate = false);
Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim);

// x[i0, i1, ...]: entry k indexes dimension k (masks of m dims take m dimensions), undefined entries keep
// theirs. Adjacent index tensors put their broadcast dims in the first one's place, separated ones in front.
Tensor index(const Tensor& x, const TensorList& indices);
Tensor index_put(const Tensor& x, const TensorList& indices, const Tensor& values, bool accumulate = false);
Tensor index_put_(const Tensor& x, const TensorList& indices, const Tensor& values, bool accumulate = false);

// mask: bool, broadcast with x.
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Operand& value);
Tensor masked_fill_(const Tensor& x, const Tensor& mask, const Operand& value);
Tensor masked_select(const Tensor& x, const Tensor& mask);
Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& src);
// Coordinates of the non-zero elements, one int64 tensor per dimension, row-major order (none for a 0-d x).
TensorList nonzero_tuple(const Tensor& x);

// Shared by the index families: int64 form of an index tensor, or Error(Index) naming op and argument.
Tensor int64_index(const char* op, const char* argument, const Tensor& index);

}  // namespace ccdl::ops
