// Tensors to and from safetensors files, for C++ programs; Python's save and load use the same reader and
// writer.
#pragma once
#include <map>
#include <string>

#include <ccdl/core/tensor.h>
#include <ccdl/io/safetensors.h>

namespace ccdl::ops {

using NamedTensors = std::map<std::string, Tensor>;

// Atomic: the old file or the new one. Non-contiguous tensors are written row-major.
void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const io::StringMap& metadata = {});
NamedTensors load_safetensors(const std::string& path);  // Error(Checkpoint) for a damaged or hostile file

}  // namespace ccdl::ops
