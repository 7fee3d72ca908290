// Caching allocator of CPU storage. Blocks are 64-byte aligned; the caller keeps the capacity and hands it
// back. Size classes: 64-byte steps to 1 KB, then 4 per power of two, 16 per power of two from 64 MB.
// Thread-local free lists up to 1 MB, shared lists above (least recently used leaves first when the cap is
// reached); blocks of 2 MB and more come from mmap, 2 MB aligned, on huge pages. Sanitizer builds bypass
// every cache.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ccdl {

constexpr size_t kAllocAlignment = 64;

// At least `bytes` (0 is valid: a non-null pointer of capacity 0). Throws Error(Memory) before anything is
// mapped when the request cannot fit into physical memory, the cgroup limit or the set limit.
void* cpu_allocate(size_t bytes, size_t* capacity);
// The bytes of `count` elements, or a number that no machine has: counts of expanded tensors may reach 2^63.
constexpr size_t bytes_of(int64_t count, size_t item) {
  const bool fits = count >= 0 && static_cast<size_t>(count) <= (SIZE_MAX >> 2) / item;
  return fits ? static_cast<size_t>(count) * item : SIZE_MAX >> 2;
}
// Makes a block of cpu_allocate(bytes) read as zeros without touching it: its pages go back to the system,
// which hands out zero pages at the first touch. False: the block is too small for that, and is unchanged.
bool cpu_zero_pages(void* p, size_t bytes) noexcept;
// Any thread may free; p and capacity as cpu_allocate gave them.
void cpu_free(void* p, size_t capacity) noexcept;

// Gives every cached block back to the system: shared lists and the calling thread's own.
void empty_cache() noexcept;

struct MemoryStats {
  int64_t allocated;       // bytes in live blocks
  int64_t reserved;        // bytes held from the system, live and cached
  int64_t peak_allocated;  // exact to 1 MB per thread
  int64_t peak_reserved;
  int64_t allocations;  // cpu_allocate calls of non-zero size
  int64_t frees;
  int64_t system_allocations;  // those that no cache could serve
  int64_t limit;               // current limit in bytes
};
MemoryStats memory_stats() noexcept;
void reset_peak_memory_stats() noexcept;

// Bytes held from the system may not exceed this; 0 returns to the default (CCDL_MEMORY_LIMIT, or the
// machine's limit).
void set_memory_limit(int64_t bytes);
int64_t memory_limit();

// For tests: the nth allocation from now on (1 = the next one) throws Error(Memory); 0 switches off.
void set_alloc_fault(int64_t nth) noexcept;

}  // namespace ccdl
