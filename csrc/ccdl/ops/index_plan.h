// How an indexed op becomes one walk (see kernels/index.h): views of equal sizes for the indexed tensor and
// the values, and one axis per index tensor. Private to the index ops.
#pragma once
#include <vector>

#include <ccdl/kernels/index.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

struct IndexPlan {
  Dims sizes;    // of the walk and of the values
  Dims strides;  // of the indexed tensor: 0 along its indexed dimensions
  std::vector<IndexAxis> axes;
  bool wrap = false;

  View target(const Tensor& x) const;  // the indexed tensor as the kernel sees it
  void add(const Tensor& index, const Dims& strides, const Tensor& x, int64_t dim);
  void get(const char* op, const Tensor& x, const Tensor& y) const;
  // src is broadcast to the walk. fresh: y is thrown away on an error, so indices need no check beforehand.
  void put(const char* op, const Tensor& y, const Tensor& src, PutMode mode, bool fresh) const;
  void check(const char* op, const IndexFault& fault) const;  // Error(Index) naming value, dimension and size
};

// index picks along dim only: gather and scatter (sizes of the walk = sizes of index).
IndexPlan pointwise_plan(const Tensor& x, int64_t dim, const Tensor& index);
// 1-d index, whole slices: index_select, index_add, index_copy, index_fill, embedding.
IndexPlan slice_plan(const Tensor& x, int64_t dim, const Tensor& index);
// Advanced indexing; indices int64 and already broadcast to one shape, undefined entries keep their
// dimension.
IndexPlan advanced_plan(const char* op, const Tensor& x, const TensorList& indices);

// Half formats are accumulated in float: the tensor the sums are formed in, and the way back.
DType sum_dtype(DType t);

}  // namespace ccdl::ops
