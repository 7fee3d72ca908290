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
constexpr Stamp kPending = 1 << 12;  // an asynchronous copy that has not been waited for
// Threads from here on are agents of the block: the tensor cores of warpgroup i read as kAgents + i, the bulk
// copies that report to mbarrier i write as kAgents + kWarpgroups + i.
constexpr int kAgents = 1024, kWarpgroups = 8;
inline uint64_t clock_of(Stamp s) { return s >> 16; }
inline int thread_of(Stamp s) { return static_cast<int>(s >> 1 & 0x7ff); }
inline Stamp agent_stamp(uint64_t clock, int agent) { return clock << 16 | static_cast<Stamp>(agent) << 1; }
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

// ---- asynchronous proxy: accesses by agents, whole granules of 16 bytes ----
// A bulk copy that the current thread starts will write here.
void bulk_write_begins(void* p, size_t bytes, int agent, const void* pc);
void bulk_write_ends(void* p, size_t bytes, Stamp stamp);
// Reads on behalf of these threads: all of them must know of the write, and a write through the generic proxy
// must have been fenced. Until the reads end, writes are faults.
struct AsyncReader {
  Thread* const* threads;
  int count;
  const char* what;  // "a wgmma"
  const void* pc;
  Stamp checked = 0;  // the last writer that was found good
};
void async_read_begins(AsyncReader* reader, const void* p, size_t bytes);
void async_read_ends(const void* p, size_t bytes, Stamp stamp);
void forget_async_reads();  // of a launch that was given up
// Global memory, in race mode.
extern bool races_on;
void global_access(const void* p, size_t bytes, Access kind, const void* pc);

// ---- synchronisation ----
void order_block(Block* block);                                                      // a full barrier
void order_warp(Warp* warp, unsigned lanes);                                         // __syncwarp
void order_threads(Thread* const* list, size_t n, Thread* const* silent, size_t m);  // a named barrier
// Adds all that t knows, its own accesses included, to *v; t's later accesses are not part of it.
void publish_clocks(VectorClock* v, Thread* t);
// What several threads learn at the same place; remembers the last result, as most of them start alike.
struct Lesson {
  std::shared_ptr<const VectorClock> clocks, before, after;
};
void learn_clocks(Thread* t, Lesson* lesson);
void set_clock(VectorClock* v, const Block* block, int thread, uint64_t clock);
// fence.proxy.async
void order_proxies(Thread* t);
void order_fence(Thread* thread);
// An atomic at p: takes over what was published there, and publishes what the thread knew at its last fence
// (what it knows now when release is set). A store replaces what was published, a read-modify-write adds to
// it.
enum class AtomicKind { Load, Store, Update };
void order_atomic(Thread* thread, const void* p, AtomicKind kind, bool release);
// What single threads learned from atomics, shared among those that a barrier or __syncwarp orders.
void share_knowledge(Thread* const* list, size_t n, Thread* const* silent, size_t m);

}  // namespace ccdl::emu
