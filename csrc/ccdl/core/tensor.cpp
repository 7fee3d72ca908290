// Tensor handles, storage and factories.
#include <ccdl/core/tensor.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include <ccdl/core/allocator.h>
#include <ccdl/core/device_api.h>
#include <ccdl/core/exports.h>
#include <ccdl/core/tls.h>

namespace ccdl {

void (*TensorImpl::drop_object)(TensorImpl*) = nullptr;

Ref<Storage> Storage::allocate(int64_t bytes, Device device) {
  Ref<Storage> s(new Storage());
  s->bytes_ = bytes;
  s->device_ = device;
  s->data_ = device.is_cpu() ? cpu_allocate(static_cast<size_t>(bytes), &s->capacity_)
                             : cu::allocate(bytes, device.index, &s->capacity_, &s->block_);
  return s;
}

Ref<Storage> Storage::wrap(void* data, int64_t bytes, Device device, std::function<void()> release,
                           bool read_only) {
  Ref<Storage> s(new Storage());
  s->data_ = data;
  s->bytes_ = bytes;
  s->device_ = device;
  s->borrowed_ = true;
  s->read_only_ = read_only;
  s->release_ = std::move(release);
  return s;
}

namespace {

struct Exports {
  std::mutex mutex;
  std::unordered_map<const Storage*, int64_t> held;
  std::atomic<int64_t> count{0};
};
Exports& exports() {  // never destroyed: others may give memory back late
  static Exports* e = new Exports;
  return *e;
}

}  // namespace

StorageExport::StorageExport(Ref<Storage> storage) : storage_(std::move(storage)) {
  Exports& e = exports();
  std::lock_guard<std::mutex> lock(e.mutex);
  ++e.held[storage_.get()];
  ++e.count;
}

StorageExport::~StorageExport() {
  Exports& e = exports();
  std::lock_guard<std::mutex> lock(e.mutex);
  const auto found = e.held.find(storage_.get());
  if (--found->second == 0) e.held.erase(found);
  --e.count;
}

bool is_exported(const Storage& storage) noexcept {
  Exports& e = exports();
  if (e.count.load(std::memory_order_relaxed) == 0) return false;
  std::lock_guard<std::mutex> lock(e.mutex);
  return e.held.count(&storage) != 0;
}

Storage::~Storage() {
  if (borrowed_) {
    if (release_) release_();
  } else if (data_) {
    if (device_.is_cpu())
      cpu_free(data_, capacity_);
    else
      cu::deallocate(data_, capacity_, device_.index, block_);
  }
}

void Storage::resize(int64_t bytes) {
  CCDL_CHECK(!borrowed_, Runtime,
             "resize_: the memory belongs to another library (NumPy or DLPack) and cannot grow; clone the "
             "tensor first");
  if (static_cast<size_t>(bytes) > capacity_) {
    CCDL_CHECK(
        !is_exported(*this), Runtime,
        "resize_: Trying to resize storage that is not resizable: a NumPy array, a memoryview or a DLPack "
        "consumer points into it; clone the tensor first");
    const Ref<Storage> fresh = allocate(bytes, device_);
    const auto kept = std::min(bytes, bytes_);
    if (device_.is_cuda())
      cu::copy_device_to_device(fresh->data_, device_.index, data_, device_.index, kept);
    else if (data_)
      std::memcpy(fresh->data_, data_, static_cast<size_t>(kept));
    std::swap(data_, fresh->data_);
    std::swap(capacity_, fresh->capacity_);
    std::swap(block_, fresh->block_);
  }
  bytes_ = bytes;
}

bool Tensor::is_contiguous(MemoryFormat format) const {
  switch (format) {
    case MemoryFormat::ChannelsLast:
      return dim() == 4 && strides_channels_last(sizes(), strides());
    case MemoryFormat::ChannelsLast3d:
      return dim() == 5 && strides_channels_last(sizes(), strides());
    case MemoryFormat::Preserve:
    case MemoryFormat::Contiguous:
      break;
  }
  return is_contiguous();
}

// Whether the strides come in the order of channels_last; there may be gaps, as in a slice of the channels.
static bool ordered_channels_last(IntSpan sizes, IntSpan strides) {
  const auto n = static_cast<size_t>(sizes.size());
  if (strides[1] == 0) return false;
  int64_t least = 0;
  for (size_t i = 0; i < n; ++i) {
    const size_t d = i == 0 ? 1 : i + 1 < n ? n - i : 0;  // channels, then the last dimension up to the first
    if (sizes[d] == 0 || strides[d] < least) return false;
    if (d == 0 && least == strides[1]) return false;  // all of one size: nothing says which order it is
    least = sizes[d] > 1 ? strides[d] * sizes[d] : strides[d];
  }
  return true;
}

MemoryFormat Tensor::suggest_memory_format() const {
  if (is_contiguous() || dim() < 4 || dim() > 5) return MemoryFormat::Contiguous;
  if (!strides_channels_last(sizes(), strides()) && !ordered_channels_last(sizes(), strides()))
    return MemoryFormat::Contiguous;
  return dim() == 4 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
}

View Tensor::view() const {
  View v;
  v.data = data();
  v.ndim = static_cast<int32_t>(dim());
  v.dtype = dtype();
  v.device = device_tag();
  for (int i = 0; i < v.ndim; ++i) {
    v.sizes[i] = impl_->sizes[i];
    v.strides[i] = impl_->strides[i];
  }
  return v;
}

View Tensor::view_as(const Dims& target) const {
  View v;
  v.data = data();
  v.ndim = static_cast<int32_t>(target.size());
  v.dtype = dtype();
  v.device = device_tag();
  const int lead = v.ndim - static_cast<int>(dim());
  for (int i = 0; i < v.ndim; ++i) {
    v.sizes[i] = target[i];
    const int j = i - lead;
    v.strides[i] = j < 0 || (impl_->sizes[j] == 1 && target[i] != 1) ? 0 : impl_->strides[j];
  }
  return v;
}

static CCDL_TLS bool t_inference = false;
bool tensors_are_inference() { return t_inference; }
void set_tensors_are_inference(bool on) { t_inference = on; }

static Tensor make(IntSpan sizes, const Dims& strides, DType dtype, Device device, int64_t elements) {
  CCDL_CHECK(static_cast<int>(dtype) < kNumDTypes, Type, "empty: dtype ", dtype_name(dtype),
             " is reserved and not supported; use float32 or float64");
  int64_t bytes = 0;  // an expanded tensor may have more elements than memory has bytes
  CCDL_CHECK(!__builtin_mul_overflow(elements, static_cast<int64_t>(item_size(dtype)), &bytes), Value,
             "empty: the size in bytes of ", dtype_name(dtype), " ", Dims(sizes), " overflows 64 bits");
  auto storage = Storage::allocate(bytes, device);
  auto impl = make_ref<TensorImpl>(std::move(storage), Dims(sizes), strides, 0, dtype);
  impl->inference = t_inference;
  return Tensor(std::move(impl));
}

Tensor empty(IntSpan sizes, DType dtype, Device device, MemoryFormat format) {
  const int64_t bytes = checked_bytes("empty", sizes, dtype);
  const bool last = format == MemoryFormat::ChannelsLast || format == MemoryFormat::ChannelsLast3d;
  if (last)
    CCDL_CHECK(sizes.size() == (format == MemoryFormat::ChannelsLast ? 4u : 5u), Shape,
               "empty: a channels_last memory format needs a ", format == MemoryFormat::ChannelsLast ? 4 : 5,
               "-d tensor, got sizes ", Dims(sizes));
  return make(sizes, last ? channels_last_strides(sizes) : contiguous_strides(sizes), dtype, device,
              bytes / item_size(dtype));
}

Tensor empty_strided(IntSpan sizes, IntSpan strides, DType dtype, Device device) {
  CCDL_CHECK(sizes.size() == strides.size(), Value, "empty_strided: sizes ", Dims(sizes), " and strides ",
             Dims(strides), " must have the same length");
  const int64_t numel = checked_numel("empty_strided", sizes);
  int64_t extent = numel == 0 ? 0 : 1;
  for (size_t i = 0; numel && i < sizes.size(); ++i) {
    CCDL_CHECK(strides[i] >= 0, Value, "empty_strided: strides must not be negative, got ", Dims(strides));
    int64_t span = 0;
    CCDL_CHECK(!__builtin_mul_overflow(sizes[i] - 1, strides[i], &span) &&
                   !__builtin_add_overflow(extent, span, &extent) && extent < (INT64_MAX >> 4),
               Value, "empty_strided: sizes ", Dims(sizes), " with strides ", Dims(strides),
               " exceed the address range");
  }
  return make(sizes, Dims(strides), dtype, device, extent);
}

Tensor empty_like(const Tensor& x) { return empty_like(x, x.dtype()); }

Tensor empty_like(const Tensor& x, DType dtype) {
  const Dims& sizes = x.sizes();
  if (x.is_contiguous()) return make(sizes, x.strides(), dtype, x.device(), x.numel());
  if (strides_dense(sizes, x.strides())) return make(sizes, x.strides(), dtype, x.device(), x.numel());
  return make(sizes, contiguous_strides(sizes), dtype, x.device(), x.numel());
}

Tensor alias(const Tensor& x, const Dims& sizes, const Dims& strides, int64_t offset) {
  auto impl = make_ref<TensorImpl>(x.storage(), sizes, strides, offset, x.dtype());
  impl->inference = x.impl()->inference;
  impl->own_version = x.impl()->own_version;
  return Tensor(std::move(impl));
}

Tensor scalar_tensor(Scalar value, DType dtype) {
  Tensor t = empty(Dims{}, dtype);
  void* p = t.data();
  const double d = value.to_double();
  const int64_t i = value.to_int();
  switch (dtype) {
    case DType::Bool:
      *static_cast<bool*>(p) = value.to_bool();
      break;
    case DType::UInt8:
      *static_cast<uint8_t*>(p) = static_cast<uint8_t>(i);
      break;
    case DType::Int8:
      *static_cast<int8_t*>(p) = static_cast<int8_t>(i);
      break;
    case DType::Int16:
      *static_cast<int16_t*>(p) = static_cast<int16_t>(i);
      break;
    case DType::Int32:
      *static_cast<int32_t*>(p) = static_cast<int32_t>(i);
      break;
    case DType::Int64:
      *static_cast<int64_t*>(p) = i;
      break;
    case DType::Float16:
      *static_cast<float16*>(p) = float16(static_cast<float>(d));
      break;
    case DType::BFloat16:
      *static_cast<bfloat16*>(p) = bfloat16(static_cast<float>(d));
      break;
    case DType::Float32:
      *static_cast<float*>(p) = static_cast<float>(d);
      break;
    case DType::Float64:
      *static_cast<double*>(p) = d;
      break;
    case DType::Complex64:
    case DType::Complex128:
      fail(ErrorKind::Type, "scalar_tensor: complex dtypes are reserved and not supported");
  }
  return t;
}

static std::atomic<DType> g_default_dtype{DType::Float32};
DType default_dtype() { return g_default_dtype.load(std::memory_order_relaxed); }
void set_default_dtype(DType dtype) {
  CCDL_CHECK(is_floating(dtype), Type,
             "set_default_dtype: only floating-point types are supported as the default type, got ",
             dtype_name(dtype));
  g_default_dtype.store(dtype, std::memory_order_relaxed);
}

std::string describe(const Tensor& x) {
  if (!x.defined()) return "undefined tensor";
  return str(dtype_name(x.dtype()), " ", x.sizes(), " on ", x.device().name());
}

}  // namespace ccdl
