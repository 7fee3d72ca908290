// Thread-local table of buffers taken from the allocator; each grows at least by half.
#include <ccdl/core/allocator.h>
#include <ccdl/cpu/scratch.h>

namespace ccdl::cpu {
namespace {

struct Buffers {
  void* data[kScratchSlots] = {};
  size_t capacity[kScratchSlots] = {};
  ~Buffers() {
    for (int i = 0; i < kScratchSlots; ++i) cpu_free(data[i], capacity[i]);
  }
};

}  // namespace

void* scratch_bytes(int slot, size_t bytes) {
  static thread_local Buffers buffers;
  if (bytes <= buffers.capacity[slot] && buffers.data[slot] != nullptr) return buffers.data[slot];
  const size_t grown = buffers.capacity[slot] + buffers.capacity[slot] / 2;
  cpu_free(buffers.data[slot], buffers.capacity[slot]);
  buffers.data[slot] = nullptr;
  buffers.capacity[slot] = 0;
  buffers.data[slot] = cpu_allocate(bytes > grown ? bytes : grown, &buffers.capacity[slot]);
  return buffers.data[slot];
}

}  // namespace ccdl::cpu
