// A block of memory shared by a tensor, its views and its detached aliases, with the version counter that
// every in-place write bumps (saved tensors compare it). What `Tensor.data` gives counts its own writes.
#pragma once
#include <functional>

#include <ccdl/core/device.h>
#include <ccdl/core/ref.h>

namespace ccdl {

class VersionCounter : public RefCounted {
 public:
  explicit VersionCounter(uint32_t start) : value_(start) {}
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void bump() { value_.fetch_add(1, std::memory_order_acq_rel); }

 private:
  std::atomic<uint32_t> value_;
};

class Storage : public RefCounted {
 public:
  // Fresh memory from the caching allocator of the device; Error(Memory) when it cannot fit.
  static Ref<Storage> allocate(int64_t bytes, Device device);
  // Memory owned by somebody else; `release` runs once when the last user is gone (from any thread).
  static Ref<Storage> wrap(void* data, int64_t bytes, Device device, std::function<void()> release,
                           bool read_only = false);
  ~Storage() override;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool read_only() const { return read_only_; }
  void* block() const { return block_; }
  bool is_borrowed() const { return borrowed_; }
  uint32_t version() const { return version_.load(std::memory_order_acquire); }
  void bump_version() { version_.fetch_add(1, std::memory_order_acq_rel); }
  void resize(int64_t bytes);  // keeps the common prefix; only for memory of our own

 private:
  Storage() = default;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  size_t capacity_ = 0;
  void* block_ = nullptr;  // CUDA: the allocator's name of the block
  Device device_;
  bool borrowed_ = false, read_only_ = false;
  std::atomic<uint32_t> version_{0};
  std::function<void()> release_;
};

}  // namespace ccdl
