// A Python number in the form kernels take: a view of one value with strides of zero.
#pragma once
#include <ccdl/ops/promotion.h>

#include <cstdint>
#include <cstring>

namespace ccdl::ops {

// A number as a kernel operand: double, float, or the common integer type (int64 when the number does not fit
// there and does not wrap, so that comparisons see its true value).
struct Cell {
  Cell(const Scalar& s, DType common, bool wraps) {
    view.data = &d;
    if (common == DType::Float64) {
      view.dtype = DType::Float64, d = s.to_double();
    } else if (is_floating(common)) {
      view.dtype = DType::Float32, f = static_cast<float>(s.to_double());
    } else {
      view.dtype = DType::Int64, i = s.to_int();
      switch (common) {
        case DType::UInt8:
          narrow<uint8_t>(common, wraps);
          break;
        case DType::Int8:
          narrow<int8_t>(common, wraps);
          break;
        case DType::Int16:
          narrow<int16_t>(common, wraps);
          break;
        case DType::Int32:
          narrow<int32_t>(common, wraps);
          break;
        default:
          break;
      }
    }
  }
  template <class T>
  void narrow(DType common, bool wraps) {
    if (!wraps && i != static_cast<T>(i)) return;
    const T v = static_cast<T>(i);
    std::memcpy(view.data, &v, sizeof v);
    view.dtype = common;
  }
  View broadcast(IntSpan sizes) {
    view.ndim = static_cast<int32_t>(sizes.size());
    for (size_t k = 0; k < sizes.size(); ++k) {
      view.sizes[k] = sizes[k];
      view.strides[k] = 0;
    }
    return view;
  }
  union {
    double d;
    float f;
    int64_t i;
  };
  View view;
};

}  // namespace ccdl::ops
