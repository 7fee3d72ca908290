// Happens-before race detection, per byte. Clocks grow for the whole process; an access races with an earlier
// one by another thread when one of them writes and the earlier one's clock is above what the later thread
// knows of it: the block's base (full barriers), the warp's base and lane clocks (__syncwarp), and vector
// clocks where named barriers or fences with atomics were used.
#pragma once
#include <emulator/machine.h>

namespace ccdl::emu {

enum class Access : int { Read, Write, AtomicRead, AtomicWrite };

// What a thread made visible to others by a fence, as far as one block is concerned: accesses of any of the
// block's threads up to base, of the warp up to warp_base, of the thread itself up to clock.
struct Published {
  uint64_t block;  // linear index in the grid
  uint64_t base, warp_base, clock;
  int thread;
};
using Knowledge = std::vector<Published>;

// clock << 16 | thread of the block << 1 | flags; 0 = never.
using Stamp = uint64_t;
constexpr Stamp kAtomic = 1;
constexpr Stamp kPending = 1 << 11;  // a cp.async that has not been waited for
inline uint64_t clock_of(Stamp s) { return s >> 16; }
inline int thread_of(Stamp s) { return static_cast<int>(s >> 1 & 0x3ff); }
inline Stamp stamp_of(const Thread* t) { return t->clock << 16 | static_cast<Stamp>(t->linear) << 1; }
constexpr int kReads = 3;  // readers remembered per byte
uint64_t next_clock();
// An earlier access by another thread of t's block that t is not known to come after.
bool unordered(const Thread* t, Stamp s);
const char* kind_text(Stamp s, bool write);

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
// An atomic at p: takes over what was published there, and publishes what the thread knew at its last fence
// (what it knows now when release is set). A store replaces what was published, a read-modify-write adds to
// it.
enum class AtomicKind { Load, Store, Update };
void order_atomic(Thread* thread, const void* p, AtomicKind kind, bool release);
// What single threads learned from atomics, shared among those that a barrier or __syncwarp orders.
void share_knowledge(Thread* const* list, size_t n, Thread* const* silent, size_t m);

}  // namespace ccdl::emu
