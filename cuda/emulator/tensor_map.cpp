// cuTensorMapEncodeTiled with the driver's rules: alignments, box and swizzle limits.
#include <emulator/memory.h>
#include <emulator/tensor_map.h>

#include <cstring>

namespace ccdl::emu {

namespace {

int element_bytes(int type) {
  constexpr uint8_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return type >= 0 && type < static_cast<int>(sizeof bytes) ? bytes[type] : 0;
}
bool is_float(int type) { return type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16; }

}  // namespace

size_t box_bytes(const TensorMap& m) {
  size_t bytes = size_t{m.element} * m.box[0];
  for (int i = 1; i < m.rank; ++i) bytes *= static_cast<size_t>((m.box[i] + m.steps[i] - 1) / m.steps[i]);
  return bytes;
}

}  // namespace ccdl::emu

using namespace ccdl::emu;

extern "C" CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                           void* address, const cuuint64_t* sizes, const cuuint64_t* strides,
                                           const cuuint32_t* box, const cuuint32_t* steps,
                                           CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                           CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  constexpr CUresult kBad = CUDA_ERROR_INVALID_VALUE;
  const int element = element_bytes(type);
  if (!map || reinterpret_cast<uintptr_t>(map) % 64 || element == 0 || rank < 1 || rank > 5) return kBad;
  if (!address || reinterpret_cast<uintptr_t>(address) % 16 || !sizes || !box || !steps) return kBad;
  if (rank > 1 && !strides) return kBad;
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) return kBad;  // not emulated
  if (swizzle < CU_TENSOR_MAP_SWIZZLE_NONE || swizzle > CU_TENSOR_MAP_SWIZZLE_128B) return kBad;
  if (promotion < CU_TENSOR_MAP_L2_PROMOTION_NONE || promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B)
    return kBad;
  if (fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE && !is_float(type)) return kBad;
  TensorMap m{};
  m.magic = kTensorMapMagic;
  m.data = static_cast<char*>(address);
  m.rank = static_cast<uint8_t>(rank);
  m.type = static_cast<uint8_t>(type);
  m.swizzle = static_cast<uint8_t>(swizzle);
  m.nan_fill = fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  m.element = static_cast<uint8_t>(element);
  for (cuuint32_t i = 0; i < rank; ++i) {
    if (sizes[i] == 0 || sizes[i] > uint64_t{1} << 32 || box[i] == 0 || box[i] > 256) return kBad;
    if (steps[i] == 0 || steps[i] > 8) return kBad;
    m.last[i] = static_cast<uint32_t>(sizes[i] - 1);
    m.box[i] = static_cast<uint16_t>(box[i]);
    m.steps[i] = static_cast<uint8_t>(steps[i]);
    if (i == 0) continue;
    if (strides[i - 1] % 16 || strides[i - 1] >= uint64_t{1} << 40) return kBad;
    m.strides[i - 1] = strides[i - 1];
  }
  m.steps[0] = 1;  // the fastest dimension has no step without interleaving
  const unsigned line = box[0] * static_cast<unsigned>(element);
  if (line % 16) return kBad;
  if (swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && line > swizzle_span(swizzle)) return kBad;
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &m, sizeof m);
  return CUDA_SUCCESS;
}
