// Tensors made from nothing. dtype and device are decided by the caller; requires_grad is set by the binding.
#pragma once
#include <optional>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor zeros(IntSpan sizes, DType dtype, Device device = {});
Tensor ones(IntSpan sizes, DType dtype, Device device = {});
// Throws RuntimeError when an integer type cannot hold the value (NaN and infinity included).
void check_fits(const char* op, Scalar value, DType dtype);
Tensor full(IntSpan sizes, Scalar value, DType dtype, Device device = {});
Tensor zeros_like(const Tensor& x, std::optional<DType> dtype = std::nullopt,
                  MemoryFormat format = MemoryFormat::Preserve);
Tensor ones_like(const Tensor& x, std::optional<DType> dtype = std::nullopt,
                 MemoryFormat format = MemoryFormat::Preserve);
Tensor full_like(const Tensor& x, Scalar value, std::optional<DType> dtype = std::nullopt,
                 MemoryFormat format = MemoryFormat::Preserve);
Tensor empty_like(const Tensor& x, std::optional<DType> dtype, MemoryFormat format);

// ceil((end - start) / step) values start + i * step.
Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device = {});
DType arange_dtype(Scalar start, Scalar end, Scalar step);  // int64 unless one of them is a float
Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device = {});
Tensor logspace(double start, double end, int64_t steps, double base, DType dtype, Device device = {});
Tensor eye(int64_t rows, int64_t columns, DType dtype, Device device = {});
Tensor triangle_indices(int64_t rows, int64_t columns, int64_t offset, bool upper, DType dtype = DType::Int64,
                        Device device = {});
// int64 class numbers to 0/1 rows; classes < 0: one more than the largest number.
Tensor one_hot(const Tensor& index, int64_t classes = -1);

}  // namespace ccdl::ops
