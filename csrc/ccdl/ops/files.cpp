#include <ccdl/ops/files.h>

#include <ccdl/ops/transfer.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops {

void save_safetensors(const std::string& path, const NamedTensors& tensors, const io::StringMap& metadata) {
  std::vector<io::TensorBytes> rows;
  TensorList kept;  // contiguous copies live until the file is written
  for (const auto& [name, x] : tensors) {
    CCDL_CHECK(x.defined(), Value, "save_safetensors: tensor '", name, "' is undefined");
    kept.push_back(on_host(contiguous(autograd::detach(x))));
    const Tensor& dense = kept.back();
    rows.push_back({name, dense.dtype(), {dense.sizes().begin(), dense.sizes().end()}, dense.data()});
  }
  io::write_safetensors(path, rows, metadata);
}

NamedTensors load_safetensors(const std::string& path) {
  const io::SafetensorsReader reader(path);
  NamedTensors found;
  for (const io::TensorEntry& entry : reader.tensors()) {
    CCDL_CHECK(entry.shape.size() <= kMaxDims, Checkpoint, "load_safetensors: tensor '", entry.name, "' in ",
               path, " has ", entry.shape.size(), " dimensions, at most ", kMaxDims, " are supported");
    const Tensor x = empty(Dims(entry.shape.begin(), entry.shape.end()), entry.dtype);
    reader.read(entry, x.data());
    found.emplace(entry.name, x);
  }
  return found;
}

}  // namespace ccdl::ops
