// Tensor: a counted handle on sizes, strides and an offset into a storage. Copying the handle never copies
// data. What autograd adds hangs on TensorImpl::autograd (defined in autograd/meta.h); core knows nothing
// about it.
#pragma once
#include <memory>
#include <vector>

#include <ccdl/core/scalar.h>
#include <ccdl/core/shape.h>
#include <ccdl/core/storage.h>

namespace ccdl {

struct AutogradMetaBase : Pooled {
  virtual ~AutogradMetaBase() = default;
};

class TensorImpl : public RefCounted {
 public:
  TensorImpl(Ref<Storage> s, const Dims& sz, const Dims& st, int64_t off, DType t)
      : storage(std::move(s)), offset(off), sizes(sz), strides(st), dtype(t), numel(numel_of(sz)) {
    contiguous = strides_contiguous(sizes, strides);
  }
  void set_geometry(const Dims& sz, const Dims& st, int64_t off) {
    sizes = sz;
    strides = st;
    offset = off;
    numel = numel_of(sz);
    contiguous = strides_contiguous(sizes, strides);
  }

  Ref<Storage> storage;
  Ref<VersionCounter> own_version;  // counts in the storage's place where set; its aliases share it
  int64_t offset;                   // in elements
  Dims sizes, strides;
  DType dtype;
  bool contiguous;
  bool owns_object =
      false;               // this side keeps the Python object alive (it outlived its last Python reference)
  bool inference = false;  // made under inference_mode
  int64_t numel;
  std::unique_ptr<AutogradMetaBase> autograd;
  void* object = nullptr;  // the one Python object of this tensor, not counted unless owns_object

  // Set once by the Python binding: lets go of `object` when the last C++ reference is gone.
  static void (*drop_object)(TensorImpl*);

 protected:
  void destroy() noexcept override {
    if (object && drop_object)
      drop_object(this);
    else
      delete this;
  }
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ref<TensorImpl> impl) : impl_(std::move(impl)) {}

  bool defined() const { return static_cast<bool>(impl_); }
  explicit operator bool() const { return defined(); }
  TensorImpl* impl() const { return impl_.get(); }
  const Ref<TensorImpl>& ref() const { return impl_; }
  bool same(const Tensor& other) const { return impl_ == other.impl_; }

  const Dims& sizes() const { return impl_->sizes; }
  const Dims& strides() const { return impl_->strides; }
  int64_t offset() const { return impl_->offset; }
  int64_t dim() const { return impl_->sizes.ndim(); }
  int64_t size(int64_t d) const { return impl_->sizes[d < 0 ? d + dim() : d]; }      // no range check
  int64_t stride(int64_t d) const { return impl_->strides[d < 0 ? d + dim() : d]; }  // no range check
  int64_t numel() const { return impl_->numel; }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage->device(); }
  int8_t device_tag() const { return device().tag(); }  // as View::device has it
  const Ref<Storage>& storage() const { return impl_->storage; }
  uint32_t version() const {
    return impl_->own_version ? impl_->own_version->value() : impl_->storage->version();
  }
  void bump_version() const {
    impl_->own_version ? impl_->own_version->bump() : impl_->storage->bump_version();
  }
  bool is_contiguous() const { return impl_->contiguous; }
  bool is_contiguous(MemoryFormat format) const;
  // ChannelsLast when the strides say so (4-d), else Contiguous; C == 1 or H == W == 1 counts as Contiguous.
  MemoryFormat suggest_memory_format() const;
  void* data() const {
    return static_cast<char*>(impl_->storage->data()) + impl_->offset * item_size(impl_->dtype);
  }
  template <class T>
  T* ptr() const {
    return static_cast<T*>(data());
  }
  View view() const;                      // as the kernels see it
  View view_as(const Dims& sizes) const;  // broadcast to sizes (stride 0 where expanded)

 private:
  Ref<TensorImpl> impl_;
};

using TensorList = std::vector<Tensor>;

// Uninitialised memory. Dense, in the given format; Error(Value) for negative or overflowing sizes,
// Error(Memory) when too big.
Tensor empty(IntSpan sizes, DType dtype, Device device = {}, MemoryFormat format = MemoryFormat::Contiguous);
Tensor empty_strided(IntSpan sizes, IntSpan strides, DType dtype, Device device = {});
// Same sizes; keeps the strides order of a dense x (DESIGN 6.3), contiguous otherwise.
Tensor empty_like(const Tensor& x);
Tensor empty_like(const Tensor& x, DType dtype);
// Another tensor over the same storage, without history: ops/view.h builds differentiable views on it.
Tensor alias(const Tensor& x, const Dims& sizes, const Dims& strides, int64_t offset);
// 0-d CPU tensor holding a number.
Tensor scalar_tensor(Scalar value, DType dtype);

// Tensors made on this thread carry the inference flag (set by inference_mode).
bool tensors_are_inference();
void set_tensors_are_inference(bool on);

DType default_dtype();
void set_default_dtype(DType dtype);  // Error(Type) unless floating

// "Float32[2, 3]"-like description for messages: float32 [2, 3] on cpu.
std::string describe(const Tensor& x);

}  // namespace ccdl
