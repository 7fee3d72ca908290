// Joining, repeating and rearranging. Views (split, chunk, permute, ...) are in ops/view.h.
#pragma once
#include <optional>
#include <string>

#include <ccdl/kernels/shape.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Result dtype: promotion over all inputs. 1-d tensors without elements are skipped.
Tensor cat(const TensorList& inputs, int64_t dim = 0);
Tensor stack(const TensorList& inputs, int64_t dim = 0);
Tensor hstack(const TensorList& inputs);
Tensor vstack(const TensorList& inputs);
Tensor dstack(const TensorList& inputs);
Tensor column_stack(const TensorList& inputs);
Tensor block_diag(const TensorList& inputs);
Tensor cartesian_prod(const TensorList& inputs);
Tensor combinations(const Tensor& x, int64_t r = 2, bool with_replacement = false);
TensorList meshgrid(const TensorList& inputs, const std::string& indexing = "ij");
TensorList broadcast_tensors(const TensorList& inputs);
Tensor atleast(const Tensor& x, int dims);  // 1, 2 or 3

Tensor roll(const Tensor& x, IntSpan shifts, IntSpan dims = {});
Tensor flip(const Tensor& x, IntSpan dims);
Tensor rot90(const Tensor& x, int64_t k = 1, IntSpan dims = {});
Tensor repeat(const Tensor& x, IntSpan repeats);  // at least one entry per dimension
Tensor tile(const Tensor& x, IntSpan repeats);    // missing leading entries are 1
Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim = std::nullopt);
Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim = std::nullopt,
                         std::optional<int64_t> output_size = std::nullopt);

Tensor tril(const Tensor& x, int64_t diagonal = 0);
Tensor triu(const Tensor& x, int64_t diagonal = 0);
Tensor diag(const Tensor& x, int64_t diagonal = 0);
Tensor diagflat(const Tensor& x, int64_t offset = 0);
Tensor diag_embed(const Tensor& x, int64_t offset = 0, int64_t dim1 = -2, int64_t dim2 = -1);

// padding: pairs (before, after) from the last dimension backwards. mode: constant, reflect, replicate,
// circular.
Tensor pad(const Tensor& x, IntSpan padding, const std::string& mode = "constant", double value = 0);
// im2col: x [N, C, H, W] or [C, H, W] to [N, C * kh * kw, L]; fold sums it back. Two entries each, or one for
// both.
Tensor unfold_windows(const Tensor& x, IntSpan kernel, IntSpan dilation, IntSpan padding, IntSpan stride);
Tensor fold_windows(const Tensor& x, IntSpan output_size, IntSpan kernel, IntSpan dilation, IntSpan padding,
                    IntSpan stride);
Tensor pixel_shuffle(const Tensor& x, int64_t factor);
Tensor pixel_unshuffle(const Tensor& x, int64_t factor);

}  // namespace ccdl::ops
