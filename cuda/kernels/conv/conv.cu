// Entry points of convolution: the choice of kernel, by shape, dtype and layout alone. 1x1 convolutions are
// matrix products; one channel per group has its own kernels; the rest is an implicit GEMM, exact in fp32 and
// fp64 over either layout, on the tensor cores for the half formats.
#include <ccdl/core/matmul_precision.h>
#include <kernels/conv/plan.cuh>

namespace ccdl::cu {
namespace {

template <class T>
void sweep_simt(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
                const void* bias, Activation activation) {
  ConvSweep<T, T> p = sweep_of<T, T>(src, w, dst, g, adjoint, bias, activation);
  p.splits = sweep_splits(p, 1);
  run_split(p, dst, p.channels_fast, [](const ConvSweep<T, T>& q) { conv_sweep_simt(q); });
}
template <class T>
void weight_simt(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  ConvWeight<T, T> p = weight_of<T, T>(x, dy, dw, g);
  split_pixels(p, dw.sizes[1] * conv_plane(dw), dw.numel());
  run_split(p, dw, true, [](const ConvWeight<T, T>& q) { conv_weight_simt(q); });
}

// The half formats run on the tensor cores, and float where the process allows tf32.
template <class T>
bool on_tensor_cores() {
  return kIsHalf<T> || (std::is_same_v<T, float> && matmul_precision() != MatmulPrecision::Ieee);
}

bool is_depthwise(const View& w, const ConvGeometry& g) {
  return w.sizes[1] == 1 && g.groups > 1 && w.sizes[0] / g.groups <= 4;
}

template <class T>
void sweep(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
           const void* bias, Activation activation) {
  if (is_depthwise(w, g)) return sweep_depthwise<T>(src, w, dst, g, adjoint, bias, activation);
  if constexpr (sizeof(T) < 8)
    if (on_tensor_cores<T>()) return sweep_packed<T>(src, w, dst, g, adjoint, bias, activation);
  if constexpr (!kIsHalf<T>) sweep_simt<T>(src, w, dst, g, adjoint, bias, activation);
}
template <class T>
void weight_product(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  if (is_depthwise(dw, g)) return weight_depthwise<T>(x, dy, dw, g);
  if constexpr (sizeof(T) < 8)
    if (on_tensor_cores<T>()) return weight_packed<T>(x, dy, dw, g);
  if constexpr (!kIsHalf<T>) weight_simt<T>(x, dy, dw, g);
}
template <class F>
void with_float(DType dtype, const F& fn) {
  switch (dtype) {
    case DType::Float16:
      return fn(float16());
    case DType::BFloat16:
      return fn(bfloat16());
    case DType::Float64:
      return fn(double());
    default:
      return fn(float());
  }
}

// ---- 1x1, stride 1: a matrix product ----

bool is_pointwise(const View& x, const View& w, const View& y, const ConvGeometry& g) {
  bool same = g.groups == 1;
  for (int d = 0; d < 3; ++d)
    same = same && w.sizes[d + 2] == 1 && g.padding[d] == 0 && x.sizes[d + 2] == y.sizes[d + 2];
  return same;
}
View matrix(const View& like, int64_t batch, int64_t rows, int64_t columns, int64_t batch_stride,
            int64_t row_stride, int64_t column_stride) {
  View v = like;
  v.ndim = 3;
  v.sizes[0] = batch;
  v.sizes[1] = rows;
  v.sizes[2] = columns;
  v.strides[0] = batch_stride;
  v.strides[1] = row_stride;
  v.strides[2] = column_stride;
  return v;
}
bool rows_are_pixels(const View& x, const View& y) { return conv_channels_last(x, y) || conv_plane(x) == 1; }
// [pixels, channels] of a channels-last tensor, or [N][channels, pixels].
View activation_matrix(const View& x, bool last) {
  const int64_t n = x.sizes[0], c = x.sizes[1], plane = conv_plane(x);
  return last ? matrix(x, 1, n * plane, c, n * plane * c, c, 1) : matrix(x, n, c, plane, c * plane, plane, 1);
}
View transposed(View m) {
  std::swap(m.sizes[1], m.sizes[2]);
  std::swap(m.strides[1], m.strides[2]);
  return m;
}
// w [K, C] for every batch of `of`.
View weight_matrix(const View& w, const View& of) {
  return matrix(w, of.sizes[0], w.sizes[0], w.sizes[1], 0, w.strides[0], w.strides[1]);
}

}  // namespace

void conv_forward(const View& x, const View& w, const void* bias, const View& y, const ConvGeometry& geometry,
                  Activation activation) {
  if (y.numel() == 0) return;
  if (is_pointwise(x, w, y, geometry)) {
    const bool last = rows_are_pixels(x, y);
    const View a = activation_matrix(x, last), c = activation_matrix(y, last);
    GemmEpilogue epilogue{bias, last ? 0 : 1, last ? 1 : 0, activation};
    if (bias == nullptr) epilogue.row_stride = epilogue.column_stride = 0;
    if (last) return gemm(a, transposed(weight_matrix(w, a)), c, 1, 0, epilogue);
    return gemm(weight_matrix(w, a), a, c, 1, 0, epilogue);
  }
  with_float(x.dtype, [&](auto t) { sweep<decltype(t)>(x, w, y, geometry, false, bias, activation); });
}

void conv_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& geometry) {
  if (dx.numel() == 0) return;
  if (is_pointwise(dx, w, dy, geometry)) {
    const bool last = rows_are_pixels(dy, dx);
    const View a = activation_matrix(dy, last), c = activation_matrix(dx, last);
    if (last) return gemm(a, weight_matrix(w, a), c, 1, 0, {});
    return gemm(transposed(weight_matrix(w, a)), a, c, 1, 0, {});
  }
  with_float(dy.dtype,
             [&](auto t) { sweep<decltype(t)>(dy, w, dx, geometry, true, nullptr, Activation::None); });
}

void conv_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& geometry) {
  if (dw.numel() == 0) return;
  const bool last = rows_are_pixels(x, dy);
  if (is_pointwise(x, dw, dy, geometry) && (last || x.sizes[0] == 1) && dw.strides[1] == 1 &&
      dy.numel() > 0) {
    const View a = activation_matrix(dy, last), b = activation_matrix(x, last), c = weight_matrix(dw, a);
    if (last) return gemm(transposed(a), b, c, 1, 0, {});
    return gemm(a, transposed(b), c, 1, 0, {});
  }
  with_float(x.dtype, [&](auto t) { weight_product<decltype(t)>(x, dy, dw, geometry); });
}

}  // namespace ccdl::cu
