// The native file format: 8 bytes header length (little endian), a JSON header, then the bytes of the
// tensors. A file is hostile until proven otherwise: every size is checked before anything is allocated or
// read, and a reader never holds more than the header and what the caller asked for. Writing is atomic: the
// old file or the new one.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include <ccdl/core/dtype.h>

namespace ccdl::io {

using StringMap = std::vector<std::pair<std::string, std::string>>;  // in order of appearance, keys unique

struct TensorEntry {
  std::string name;
  DType dtype = DType::Float32;
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes, relative to the data section
  int64_t bytes() const { return end - begin; }
};

struct TensorBytes {  // what is written: row-major elements
  std::string name;
  DType dtype = DType::Float32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

constexpr int64_t kMaxHeaderBytes = 100'000'000;

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in order of appearance
  StringMap metadata;
};

// Parses and checks a header whose data section has data_bytes bytes; Error(Checkpoint) names `where` and the
// fault.
SafetensorsHeader parse_safetensors_header(const char* json, size_t length, int64_t data_bytes,
                                           const std::string& where);

// "F32" and so on; throws for the dtypes that are reserved.
const char* safetensors_dtype(DType dtype);

// An open file with a checked header. Error(File) when the system refuses, Error(Checkpoint) when the content
// is bad.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::string& path);
  ~SafetensorsReader();
  SafetensorsReader(const SafetensorsReader&) = delete;
  SafetensorsReader& operator=(const SafetensorsReader&) = delete;

  const SafetensorsHeader& header() const { return header_; }
  const std::vector<TensorEntry>& tensors() const { return header_.tensors; }
  const StringMap& metadata() const { return header_.metadata; }
  const TensorEntry* find(const std::string& name) const;  // null when absent
  // Reads all bytes of the entry into out (entry.bytes() long); booleans other than 0 and 1 are an error.
  void read(const TensorEntry& entry, void* out) const;

 private:
  std::string path_;
  int fd_ = -1;
  int64_t data_start_ = 0;
  SafetensorsHeader header_;
};

// Writes beside the target, syncs, renames, syncs the folder; a failure leaves the old file and no temporary
// one. Temporary files of the same target left by killed processes are removed.
void write_safetensors(const std::string& path, const std::vector<TensorBytes>& tensors,
                       const StringMap& metadata);

}  // namespace ccdl::io
