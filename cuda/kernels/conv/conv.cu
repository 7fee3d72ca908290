// Entry points of convolution: the choice of kernel, by shape, dtype and layout alone. 1x1 convolutions are
// matrix products; one channel per group has its own kernels; the rest is an implicit GEMM, exact in fp32 and
// fp64 over either layout, on the tensor cores for the half formats.
#include <kernels/conv/plan.cuh>

namespace ccdl::cu {
namespace {

template <class T>
void sweep(const View& src, const View& w, const View& dst, const ConvGeometry& g, bool adjoint,
           const void* bias, Activation activation) {
  ConvSweep<T, T> p = sweep_of<T, T>(src, w, dst, g, adjoint, bias, activation);
  p.splits = sweep_splits(p, 1);
  run_split(p, dst, p.channels_fast, [](const ConvSweep<T, T>& q) { conv_sweep_simt(q); });
}
template <class T>
void weight_product(const View& x, const View& dy, const View& dw, const ConvGeometry& g) {
  ConvWeight<T, T> p = weight_of<T, T>(x, dy, dw, g);
  split_pixels(p, dw.sizes[1] * conv_plane(dw), dw.numel());
  run_split(p, dw, true, [](const ConvWeight<T, T>& q) { conv_weight_simt(q); });
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
    const bool last = conv_channels_last(x, y);
    const View a = activation_matrix(x, last), c = activation_matrix(y, last);
    GemmEpilogue epilogue{bias, last ? 0 : 1, last ? 1 : 0, activation};
    if (bias == nullptr) epilogue.row_stride = epilogue.column_stride = 0;
    if (last) return gemm(a, transposed(weight_matrix(w, a)), c, 1, 0, epilogue);
    return gemm(weight_matrix(w, a), a, c, 1, 0, epilogue);
  }
  if (conv_is_depthwise(w, geometry)) return conv_sweep_depthwise(x, w, y, geometry, false, bias, activation);
  if (is_half(x.dtype)) return conv_forward_half(x, w, bias, y, geometry, activation);
  if (x.dtype == DType::Float64)
    sweep<double>(x, w, y, geometry, false, bias, activation);
  else
    sweep<float>(x, w, y, geometry, false, bias, activation);
}

void conv_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& geometry) {
  if (dx.numel() == 0) return;
  if (is_pointwise(dx, w, dy, geometry)) {
    const bool last = conv_channels_last(dy, dx);
    const View a = activation_matrix(dy, last), c = activation_matrix(dx, last);
    if (last) return gemm(a, weight_matrix(w, a), c, 1, 0, {});
    return gemm(transposed(weight_matrix(w, a)), a, c, 1, 0, {});
  }
  if (conv_is_depthwise(w, geometry))
    return conv_sweep_depthwise(dy, w, dx, geometry, true, nullptr, Activation::None);
  if (is_half(dy.dtype)) return conv_backward_input_half(dy, w, dx, geometry);
  if (dy.dtype == DType::Float64)
    sweep<double>(dy, w, dx, geometry, true, nullptr, Activation::None);
  else
    sweep<float>(dy, w, dx, geometry, true, nullptr, Activation::None);
}

void conv_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& geometry) {
  if (dw.numel() == 0) return;
  const bool last = conv_channels_last(x, dy);
  if (is_pointwise(x, dw, dy, geometry) && (last || x.sizes[0] == 1) && dw.strides[1] == 1 &&
      dy.numel() > 0) {
    const View a = activation_matrix(dy, last), b = activation_matrix(x, last), c = weight_matrix(dw, a);
    if (last) return gemm(transposed(a), b, c, 1, 0, {});
    return gemm(a, transposed(b), c, 1, 0, {});
  }
  if (conv_is_depthwise(dw, geometry)) return conv_weight_depthwise(x, dy, dw, geometry);
  if (is_half(x.dtype)) return conv_backward_weight_half(x, dy, dw, geometry);
  if (x.dtype == DType::Float64)
    weight_product<double>(x, dy, dw, geometry);
  else
    weight_product<float>(x, dy, dw, geometry);
}

}  // namespace ccdl::cu
