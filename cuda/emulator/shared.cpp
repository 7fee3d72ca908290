// Shared memory of a resident block: one slot of the window, laid out on first use of each array with red
// zones between.
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/report.h>

#include <cstring>

namespace ccdl::emu {

namespace {

constexpr size_t kZone = 128;
size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

}  // namespace

void open_shared(Block* block, int slot, size_t dynamic_bytes) {
  block->slot = slot;
  block->shared = reinterpret_cast<char*>(arena.base) + static_cast<size_t>(slot) * kSharedSlot;
  block->arrays.clear();
  block->asked = dynamic_bytes;
  block->used = 1024;
  block->dynamic = block->shared + block->used;
  block->dynamic_bytes = dynamic_bytes;
  if (dynamic_bytes == 0) return;
  std::memset(block->dynamic, 0xff, round_up(dynamic_bytes, kGranule));
  unpoison(block->dynamic, dynamic_bytes);
  block->used = round_up(block->used + dynamic_bytes + kZone, 1024);
}

void close_shared(Block* block) {
  if (block->used > 1024) poison(block->shared, block->used, kRedzoneByte);
}

void* shared_bytes(const void* key, const char* name, size_t bytes, size_t align) {
  Block* block = current->block;
  for (const SharedArray& a : block->arrays)
    if (a.key == key && a.bytes == bytes) return a.data;
  block->asked += bytes;
  const size_t arrays = block->asked - block->dynamic_bytes;
  const std::string total =
      "the block's shared memory comes to " + std::to_string(block->asked) + " bytes with array " + name;
  std::string wrong;
  if (arrays > kDefaultShared)
    wrong = "the arrays of the kernel come to " + std::to_string(arrays) + " bytes with array " + name +
            ", the compiler allows " + std::to_string(kDefaultShared) + "; use dynamic shared memory";
  else if (block->asked > kMaxShared)
    wrong = total + ", the device has " + std::to_string(kMaxShared);
  else if (block->asked > kDefaultShared && !active->opted_in)
    wrong = total + ", static and dynamic together may reach " + std::to_string(kDefaultShared) +
            " unless cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, ...) allows "
            "more";
  if (!wrong.empty()) kernel_fault("shared-memory", wrong, {nullptr, 0, __builtin_return_address(0)});
  const size_t at = round_up(block->used, align < 128 ? 128 : align);
  char* data = block->shared + at;
  block->used = round_up(at + bytes + kZone, kGranule);
  std::memset(data, 0xff, round_up(bytes, kGranule));
  poison(block->shared + at - kGranule, kGranule, kRedzoneByte);
  unpoison(data, bytes);
  block->arrays.push_back({key, name, data, bytes});
  return data;
}

void* dynamic_shared() { return current->block->dynamic; }

// Addresses of the shared window start at 0 in every block, as PTX sees them.
uint32_t shared_address(const void* p) {
  const Block* block = current->block;
  const auto off = reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(block->shared);
  if (off >= kSharedSlot)
    kernel_fault("out-of-bounds", "this pointer does not point into the block's shared memory",
                 {nullptr, 0, __builtin_return_address(0)});
  return static_cast<uint32_t>(off);
}

void* shared_pointer(uint32_t address) { return current->block->shared + address; }

}  // namespace ccdl::emu
