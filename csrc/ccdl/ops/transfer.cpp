// Across devices only bytes travel: a dense source and destination of one dtype and geometry go directly,
// anything else is packed on the source's side (and cast there, when that makes it smaller), sent, and
// spread out on the destination's side.
#include <ccdl/ops/transfer.h>

#include <cstring>

#include <ccdl/core/device_api.h>
#include <ccdl/core/dispatch.h>
#include <ccdl/kernels/elementwise.h>

namespace ccdl::ops {
namespace {

void copy_here(const Tensor& src, const Tensor& dst) {
  CCDL_KERNEL(dst, copy_cast(src.view_as(dst.sizes()), dst.view()));
}

void copy_bytes(const Tensor& src, const Tensor& dst, bool non_blocking) {
  const int64_t bytes = src.numel() * item_size(src.dtype());
  const Device from = src.device(), to = dst.device();
  if (from.is_cpu() && non_blocking && cu::is_pinned(src.data()))
    cu::copy_async(dst.data(), src.data(), bytes, to.index, true);
  else if (from.is_cpu())
    cu::copy_host_to_device(dst.data(), src.data(), bytes, to.index);
  else if (to.is_cpu() && non_blocking && cu::is_pinned(dst.data()))
    cu::copy_async(dst.data(), src.data(), bytes, from.index, false);
  else if (to.is_cpu())
    cu::copy_device_to_host(dst.data(), src.data(), bytes, from.index);
  else
    cu::copy_device_to_device(dst.data(), to.index, src.data(), from.index, bytes);
}

}  // namespace

void transfer(const Tensor& src, const Tensor& dst, bool non_blocking) {
  if (dst.numel() == 0) return;
  if (src.device() == dst.device()) return copy_here(src, dst);
  const bool same_geometry = src.sizes() == dst.sizes() && src.strides() == dst.strides() &&
                             strides_dense(src.sizes(), src.strides());
  const bool pack = !same_geometry && !src.is_contiguous();
  const bool cast_first = src.dtype() != dst.dtype() && item_size(dst.dtype()) <= item_size(src.dtype());
  Tensor sent = src;
  if (pack || cast_first) {
    const DType t = cast_first ? dst.dtype() : src.dtype();
    sent = same_geometry ? empty_like(src, t) : empty(src.sizes(), t, src.device());
    copy_here(src, sent);
  }
  if (sent.dtype() == dst.dtype() &&
      (same_geometry || (sent.sizes() == dst.sizes() && sent.is_contiguous() && dst.is_contiguous())))
    return copy_bytes(sent, dst, non_blocking);
  const Tensor arrived = same_geometry
                             ? empty_strided(sent.sizes(), sent.strides(), sent.dtype(), dst.device())
                             : empty(sent.sizes(), sent.dtype(), dst.device());
  copy_bytes(sent, arrived, false);
  copy_here(arrived, dst);
}

Tensor on_host(const Tensor& x) {
  if (x.device().is_cpu()) return x;
  const Tensor y = strides_dense(x.sizes(), x.strides()) ? empty_strided(x.sizes(), x.strides(), x.dtype())
                                                         : empty(x.sizes(), x.dtype());
  transfer(x, y);
  return y;
}

Tensor pin_memory(const Tensor& x) {
  CCDL_CHECK(x.device().is_cpu(), Runtime, "pin_memory: only tensors in host memory can be pinned, got ",
             describe(x));
  if (cu::is_pinned(x.storage()->data())) return x;
  const Dims strides = strides_dense(x.sizes(), x.strides()) ? x.strides() : contiguous_strides(x.sizes());
  const int64_t bytes = x.numel() * item_size(x.dtype());
  size_t capacity = 0;
  void* p = cu::allocate_pinned(bytes, &capacity);
  auto storage = Storage::wrap(p, bytes, Device{}, [p, capacity] { cu::free_pinned(p, capacity); });
  const Tensor y(make_ref<TensorImpl>(std::move(storage), x.sizes(), strides, 0, x.dtype()));
  transfer(x, y);
  return y;
}

}  // namespace ccdl::ops
