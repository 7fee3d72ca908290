// Devices and memory formats.
#pragma once
#include <cstdint>
#include <string>

namespace ccdl {

enum class DeviceKind : uint8_t { Cpu, Cuda };

struct Device {
  DeviceKind kind = DeviceKind::Cpu;
  int16_t index = 0;
  bool is_cpu() const { return kind == DeviceKind::Cpu; }
  bool is_cuda() const { return kind == DeviceKind::Cuda; }
  int8_t tag() const { return is_cpu() ? int8_t{-1} : static_cast<int8_t>(index); }  // as View::device has it
  std::string name() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index); }
  friend bool operator==(const Device&, const Device&) = default;
};

// Preserve: dense strides are kept, anything else becomes contiguous.
enum class MemoryFormat : uint8_t { Contiguous, ChannelsLast, ChannelsLast3d, Preserve };

}  // namespace ccdl
