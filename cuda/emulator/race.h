// Happens-before race detection, per byte. Clocks grow for the whole process; an access races with an earlier
// one by another thread when one of them writes and the earlier one's clock is above what the later thread
// knows of it: the block's base (full barriers), the warp's base and lane clocks (__syncwarp), and vector
// clocks where named barriers or fences with atomics were used.
#pragma once
#include <emulator/machine.h>

namespace ccdl::emu {

enum class Access : int { Read, Write, AtomicRead, AtomicWrite };

void start_launch_clock();
void start_block_clock(Block* block);

// Shared memory of the current thread's block: uninitialised reads and races.
void shared_access(const void* p, size_t bytes, Access kind, const void* pc);
// The bytes belong to an asynchronous copy of the current thread until it ends.
void shared_copy_begins(void* p, size_t bytes, const void* pc);
void shared_copy_ends(Thread* thread, void* p, size_t bytes);
// Global memory, in race mode.
extern bool races_on;
void global_access(const void* p, size_t bytes, Access kind, const void* pc);

// ---- synchronisation ----
void order_block(Block* block);                                                      // a full barrier
void order_warp(Warp* warp, unsigned lanes);                                         // __syncwarp
void order_threads(Thread* const* list, size_t n, Thread* const* silent, size_t m);  // a named barrier
void order_fence(Thread* thread);
void order_atomic(Thread* thread, const void* p, bool acquire, bool release);

}  // namespace ccdl::emu
