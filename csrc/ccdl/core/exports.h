// Storages whose memory somebody outside holds a plain pointer into (NumPy, memoryview, DLPack): they stay
// alive and keep their place until it is given back. A table beside the storages, for exports are few.
#pragma once
#include <ccdl/core/storage.h>

namespace ccdl {

class StorageExport {
 public:
  explicit StorageExport(Ref<Storage> storage);
  ~StorageExport();
  StorageExport(const StorageExport&) = delete;
  StorageExport& operator=(const StorageExport&) = delete;

 private:
  Ref<Storage> storage_;
};

bool is_exported(const Storage& storage) noexcept;

}  // namespace ccdl
