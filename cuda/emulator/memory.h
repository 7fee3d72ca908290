// Address space of the emulated device: one reserved range with the shared-memory window first and the memory
// of every device behind it, and a shadow byte per 16 bytes that says how many of them may be touched.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace ccdl::emu {

constexpr size_t kGranule = 16;
constexpr size_t kSharedSlot = 512 * 1024;  // of the window, one per resident block
constexpr size_t kSharedSlots = 128;
constexpr size_t kWindow = kSharedSlot * kSharedSlots;
constexpr size_t kMaxShared = 227 * 1024;
constexpr size_t kDefaultShared = 48 * 1024;  // of a kernel that has not asked for more
constexpr int kMaxDevices = 4;
constexpr int kMultiprocessors = 4;

// Shadow values: 0 to 16 leading bytes of the granule are usable, or why none is.
constexpr uint8_t kUnmapped = 0;  // never allocated
constexpr uint8_t kRedzoneByte = 0xfa;
constexpr uint8_t kFreedByte = 0xfd;

struct Arena {
  uintptr_t base = 0;
  size_t bytes = 0;  // window and all devices
  uint8_t* shadow = nullptr;
  size_t per_device = 0;
  int devices = 1;
};
extern Arena arena;
void init_arena();  // once, from the first API call

inline bool in_arena(const void* p) { return reinterpret_cast<uintptr_t>(p) - arena.base < arena.bytes; }
inline bool in_window(const void* p) { return reinterpret_cast<uintptr_t>(p) - arena.base < kWindow; }
inline uint8_t* shadow_of(const void* p) {
  return arena.shadow + (reinterpret_cast<uintptr_t>(p) - arena.base) / kGranule;
}
// All of [p, p + bytes) usable.
bool accessible(const void* p, size_t bytes);
// p must lie on a granule; the whole granules of the range get the state.
void poison(const void* p, size_t bytes, uint8_t state);
void unpoison(const void* p, size_t bytes);

// ---- device allocations ----
void* device_allocate(int device, size_t bytes);  // null when it does not fit
bool device_free(void* p);                        // false: not the start of a live allocation
size_t device_used(int device);
int device_of(const void* p);  // -1: host memory
// The allocation that holds p, or null.
struct Allocation {
  char* start;
  size_t bytes;
  bool marked;  // blocks inside are announced one by one
};
const Allocation* find_allocation(const void* p);
void apply_mark(void* p, size_t bytes, bool live);
// "12 bytes behind the block of 1024 bytes at 0x..." for an address that is not accessible.
std::string describe_address(const void* p);

// ---- host memory that kernels may use ----
void host_block_add(void* p, size_t bytes, bool registered);
bool host_block_remove(void* p, bool registered);
bool host_block_starts(const void* p, bool registered);
bool is_pinned(const void* p);
// Static data of the program and its libraries.
bool in_loaded_object(const void* p);

// ---- pages are inaccessible to the host outside of this scope ----
class OpenMemory {
 public:
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};
// From here on the host may touch device memory until the next scope ends; after a reported host access.
void leave_open();

}  // namespace ccdl::emu
