// Views (no data moves) and the copies that belong to them: clone, contiguous, to, copy_, fill_.
#pragma once
#include <optional>
#include <vector>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Every function returns a view of x that shares its storage and history unless noted.
Tensor view(const Tensor& x, IntSpan shape);     // raises when strides do not allow it
Tensor reshape(const Tensor& x, IntSpan shape);  // a view when possible, a copy otherwise
Tensor flatten(const Tensor& x, int64_t start_dim = 0, int64_t end_dim = -1);
Tensor unflatten(const Tensor& x, int64_t dim, IntSpan sizes);
Tensor permute(const Tensor& x, IntSpan dims);
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
Tensor t(const Tensor& x);        // at most 2-d
Tensor adjoint(const Tensor& x);  // last two dims swapped
Tensor movedim(const Tensor& x, IntSpan source, IntSpan destination);
Tensor expand(const Tensor& x, IntSpan sizes);  // -1 keeps a size
Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length);
Tensor select(const Tensor& x, int64_t dim, int64_t index);
Tensor slice(const Tensor& x, int64_t dim, std::optional<int64_t> start, std::optional<int64_t> end,
             int64_t step = 1);
Tensor squeeze(const Tensor& x);
Tensor squeeze(const Tensor& x, IntSpan dims);
Tensor unsqueeze(const Tensor& x, int64_t dim);
Tensor diagonal(const Tensor& x, int64_t offset = 0, int64_t dim1 = 0, int64_t dim2 = 1);
Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step);
Tensor as_strided(const Tensor& x, IntSpan sizes, IntSpan strides,
                  std::optional<int64_t> offset = std::nullopt);
Tensor view_as_dtype(const Tensor& x, DType dtype);  // reinterprets the bytes; no history
Tensor identity_view(const Tensor& x);               // same geometry, an edge of its own
Tensor detach(const Tensor& x);
// Error(Memory) when one call would make an absurd number of views.
void check_pieces(const char* op, int64_t pieces);
TensorList split(const Tensor& x, int64_t size, int64_t dim);
TensorList split_with_sizes(const Tensor& x, IntSpan sizes, int64_t dim);
TensorList chunk(const Tensor& x, int64_t chunks, int64_t dim);
TensorList tensor_split(const Tensor& x, IntSpan borders, int64_t dim);
TensorList unbind(const Tensor& x, int64_t dim = 0);

// Copies.
Tensor clone(const Tensor& x, MemoryFormat format = MemoryFormat::Preserve);
Tensor contiguous(const Tensor& x,
                  MemoryFormat format = MemoryFormat::Contiguous);  // x itself when it already is
Tensor to(const Tensor& x, DType dtype);                            // x itself when it already is
Tensor to(const Tensor& x, DType dtype, Device device, bool copy,
          MemoryFormat format = MemoryFormat::Preserve, bool non_blocking = false);
// Sums over the dims that broadcasting `sizes` to x.sizes() expanded.
Tensor sum_to(const Tensor& x, const Dims& sizes);

// In place; each returns x.
Tensor copy_(const Tensor& x, const Tensor& src, bool non_blocking = false);  // src broadcast and cast to x
Tensor fill_(const Tensor& x, Scalar value);
Tensor fill_(const Tensor& x, const Tensor& value);  // a 0-d tensor, which gets a gradient
Tensor zero_(const Tensor& x);
Scalar item(const Tensor& x);  // the value of a one-element tensor
// No history; keeps the memory's common prefix. A named format is laid out anew, Preserve leaves equal sizes.
Tensor resize_(const Tensor& x, IntSpan sizes, MemoryFormat format = MemoryFormat::Preserve);
void set_data(const Tensor& x, const Tensor& source);  // x.data = source
// In-place shape changes: x itself takes the view's geometry (unsqueeze_, squeeze_, t_, transpose_).
Tensor inplace_view(const char* op, const Tensor& x, const Tensor& viewed);

}  // namespace ccdl::ops
