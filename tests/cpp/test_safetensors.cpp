// The file reader against honest and hostile files: every truncation and every bit flip of a golden header,
// lying offsets, overlaps, holes, huge sizes. Loads right or throws Error(Checkpoint); never reads outside.
#include <ccdl/io/safetensors.h>

#include <unistd.h>

#include <cstring>
#include <fstream>

#include "test.h"

using namespace ccdl;
using namespace ccdl::io;

static std::string folder() {
  static const std::string made = [] {
    char name[] = "/tmp/ccdl_safetensors_XXXXXX";
    return std::string(mkdtemp(name));
  }();
  return made;
}

static std::string file_with(const std::string& header, const std::string& data, int64_t length = -1) {
  const std::string path = folder() + "/hostile.safetensors";
  const uint64_t n = length < 0 ? header.size() : static_cast<uint64_t>(length);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&n), 8);
  out << header << data;
  return path;
}

static const std::string kGolden =
    R"({"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("y":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}})";

// True when the file opens and every entry reads; false for a checkpoint error; anything else escapes.
static bool loads(const std::string& path) {
  try {
    SafetensorsReader reader(path);
    for (const TensorEntry& e : reader.tensors()) {
      std::vector<char> bytes(static_cast<size_t>(e.bytes()));
      reader.read(e, bytes.data());
    }
    return true;
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::Checkpoint);
    CHECK(std::strlen(e.what()) > 10);
    return false;
  }
}

TEST(round_trip) {
  const float x[4] = {1, 2, 3, 4};
  const int64_t y[1] = {-7};
  const std::string path = folder() + "/good.safetensors";
  write_safetensors(
      path, {{"x", DType::Float32, {2, 2}, x}, {"y", DType::Int64, {1}, y}, {"none", DType::Bool, {0, 3}, x}},
      {{"key", "value with \"quotes\" and \n"}});
  SafetensorsReader reader(path);
  CHECK(reader.tensors().size() == 3);
  CHECK(reader.metadata().size() == 1 && reader.metadata()[0].second == "value with \"quotes\" and \n");
  float back[4];
  const TensorEntry* entry = reader.find("x");
  CHECK(entry && entry->bytes() == 16);
  reader.read(*entry, back);
  CHECK(std::memcmp(back, x, 16) == 0);
  CHECK(reader.find("missing") == nullptr);
}

TEST(golden_header_loads) { CHECK(loads(file_with(kGolden, std::string(24, '\0')))); }

TEST(every_truncation_is_refused) {
  const std::string data(24, '\0');
  for (size_t n = 0; n < kGolden.size(); ++n) CHECK(!loads(file_with(kGolden.substr(0, n), data)));
  for (size_t n = 0; n < data.size(); ++n) CHECK(!loads(file_with(kGolden, data.substr(0, n))));
  for (size_t n = 0; n < 8; ++n) {
    const std::string path = folder() + "/short.safetensors";
    std::ofstream(path, std::ios::binary) << std::string(n, '\1');
    CHECK(!loads(path));
  }
}

TEST(bytes_after_the_last_tensor_are_refused) {
  for (size_t extra : {1, 8, 4096}) CHECK(!loads(file_with(kGolden, std::string(24 + extra, '\0'))));
}

TEST(every_bit_flip_loads_or_is_refused) {
  int loaded = 0;
  for (size_t i = 0; i < kGolden.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string header = kGolden;
      header[i] = static_cast<char>(header[i] ^ (1 << bit));
      loaded += loads(file_with(header, std::string(24, '\0')));
    }
  CHECK(loaded > 0);  // names and metadata values may change
  CHECK(loaded < 200);
}

TEST(lies_are_refused) {
  auto one = [](const std::string& body) { return "{\"x\":{" + body + "}}"; };
  const std::string data(16, '\0');
  const std::string lies[] = {
      one(R"("dtype":"F32","shape":[2,2],"data_offsets":[0,17])"),
      one(R"("dtype":"F32","shape":[2,2],"data_offsets":[8,24])"),
      one(R"("dtype":"F32","shape":[2,2],"data_offsets":[16,0])"),
      one(R"("dtype":"F32","shape":[2,2],"data_offsets":[-16,0])"),
      one(R"("dtype":"F32","shape":[2,3],"data_offsets":[0,16])"),
      one(R"("dtype":"F64","shape":[2,2],"data_offsets":[0,16])"),
      one(R"("dtype":"C64","shape":[2],"data_offsets":[0,16])"),
      one(R"("dtype":"F33","shape":[2,2],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[-2,-2],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[2.0,2],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[18446744073709551620],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0])"),
      one(R"("dtype":"F32","shape":[2,2])"),
      one(R"("shape":[2,2],"data_offsets":[0,16])"),
      one(R"("dtype":"F32","shape":[2,2],"data_offsets":[0,16],"extra":1)"),
      one(R"("dtype":"F32","dtype":"F32","shape":[2,2],"data_offsets":[0,16])"),
      R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}})",
      R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
      R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
      R"({"x":[1,2]})",
      R"([])",
      R"({"x":)",
      "",
      "null",
      R"({"__metadata__":{"a":1}})",
      std::string(100000, '['),
      "{\"x\":" + std::string(100000, '{'),
  };
  for (const std::string& header : lies) CHECK(!loads(file_with(header, data)));
}

TEST(huge_header_lengths_are_refused) {
  for (int64_t length : {kMaxHeaderBytes + 1, int64_t{1} << 40, INT64_MAX, int64_t{-2} & INT64_MAX})
    CHECK(!loads(file_with(kGolden, std::string(24, '\0'), length)));
}

TEST(missing_files_and_folders) {
  CHECK_THROWS(SafetensorsReader("/nonexistent/file.safetensors"), File, "/nonexistent/file.safetensors");
  CHECK_THROWS(write_safetensors("/nonexistent/file.safetensors", {}, {}), File, "/nonexistent");
}

TEST(a_failed_write_keeps_the_old_file) {
  const std::string path = folder() + "/kept.safetensors";
  const float x[1] = {1};
  write_safetensors(path, {{"x", DType::Float32, {1}, x}}, {});
  bool thrown = false;
  try {
    write_safetensors(path, {{"x", DType::Float32, {1}, x}, {"x", DType::Float32, {1}, x}},
                      {});  // the same name twice
  } catch (const Error&) {
    thrown = true;
  }
  CHECK(thrown);
  CHECK(loads(path));
}

TEST_MAIN()
