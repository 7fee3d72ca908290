// Helpers of the fused families: contiguous inputs without history, and views with the dims a kernel asks
// for.
#pragma once
#include <ccdl/ops/op.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

// x in the given format for a kernel; never recorded.
inline Tensor dense(const Tensor& x, MemoryFormat format = MemoryFormat::Contiguous) {
  if (x.is_contiguous(format)) return x;
  NoGradGuard no_grad;
  return contiguous(x, format);
}

// A contiguous tensor seen with other sizes of the same number of elements.
inline View shaped(const Tensor& x, IntSpan sizes) {
  View v = x.view();
  const Dims strides = contiguous_strides(sizes);
  v.ndim = static_cast<int32_t>(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    v.sizes[i] = sizes[i];
    v.strides[i] = strides[i];
  }
  return v;
}

// data == null stands for an absent optional argument.
inline View maybe_view(const Tensor& x) { return x.defined() ? x.view() : View{}; }

// Statistics of half-precision tensors are kept in float.
inline DType stat_dtype(DType t) { return t == DType::Float64 ? DType::Float64 : DType::Float32; }

}  // namespace ccdl::ops
