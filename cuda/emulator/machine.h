// The emulated machine while it runs kernels: threads, warps and blocks that are resident, and the scheduler.
// One OS thread runs everything, under the lock of the streams, so plain globals are enough.
#pragma once
#include <emulator/device.h>
#include <emulator/fiber.h>
#include <emulator/launch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ccdl::emu {

struct Block;
struct Warp;
using VectorClock = std::vector<uint64_t>;
struct Published;
struct AsyncThread;  // async.h
struct AsyncBlock;

enum class State : uint8_t { New, Ready, Blocked, Done };

struct AsyncCopy {
  char* dst;
  const char* src;
  int bytes, src_bytes;
};
struct CopyGroup {
  std::vector<AsyncCopy> copies;
};

// One CUDA thread.
struct Thread {
  uint3 index;
  uint3 block_index;
  Block* block;
  Warp* warp;
  int linear;  // in its block
  int lane;
  uint32_t resident;  // position among the resident threads of the launch
  State state;
  bool at_block_barrier;
  Context context;
  Stack* stack;
  const char* wait_op;  // what it waits for, and where
  const char* wait_file;
  int wait_line;
  const void* wait_pc;   // where, if there is no file
  int result;            // of the barrier it waited at
  unsigned collectives;  // barriers and warp meetings so far
  uint64_t clock;
  std::shared_ptr<const VectorClock> known;  // null: the block's and warp's base say everything
  uint64_t fence_clock;                      // of the last fence; 0: none
  uint64_t fence_base, fence_warp_base;
  std::shared_ptr<const std::vector<Published>> learned;  // from atomics, about other blocks
  std::vector<CopyGroup> copies;       // cp.async groups not complete, oldest first; the last one is open
  std::shared_ptr<AsyncThread> async;  // null: no sm_90 instruction yet
};

// A meeting of lanes of one warp in progress.
struct Meeting {
  const char* op;
  const char* file;
  int line;
  unsigned mask;  // 0: free
  unsigned arrived;
  size_t payload_bytes;
  MeetFn fn;
  void* context;
  bool orders_memory;
  void* slots[32];
};

struct Warp {
  Block* block;
  int index;
  unsigned live;  // lanes that exist and have not finished
  Thread* lanes[32];
  int meetings_open;
  Meeting meetings[32];
  uint64_t base;                            // every access of a lane up to here is known to every lane
  std::unique_ptr<uint64_t[]> lane_clocks;  // [i * 32 + j]: what lane i knows of lane j
};

struct Barrier {
  int arrived;
  int expected;
  int syncing;  // of arrived, those that wait
  BarrierOp op;
  int value;
  const char* file;
  int line;
  std::vector<Thread*> waiting;
  std::vector<Thread*> passed;  // bar.arrive
};

struct SharedArray {
  const void* key;
  const char* name;
  char* data;
  size_t bytes;
};

struct Block {
  uint3 index;
  int threads;
  int finished;
  int slot;      // of the shared-memory window
  char* shared;  // start of the slot
  size_t used;   // bytes of the slot laid out so far
  size_t asked;  // bytes of arrays, without red zones
  char* dynamic;
  size_t dynamic_bytes;
  std::vector<SharedArray> arrays;
  std::vector<Warp> warps;
  Barrier barriers[16];
  uint64_t base;         // race clock: everything in the block up to here is known to all its threads
  uint64_t linear;       // index in the grid
  uint64_t fenced_base;  // a fence followed by a full barrier published everything up to here
  bool fenced;           // some thread has fenced since the last full barrier
  uint64_t start;        // first clock of this block: shared bytes written before are uninitialised
  std::shared_ptr<AsyncBlock> async;
};

struct Launch {
  KernelSite site;
  dim3 grid, block;
  size_t smem;
  bool cooperative;
  uint64_t number;  // of the process, for the schedule
  const std::function<void()>* body;
  size_t body_bytes;  // of the function object: kernels read their arguments from it
  bool opted_in;      // may use more than kDefaultShared bytes of shared memory
};

enum class Schedule : int { Fifo, Lifo, Random, WarpMajor, Starve };

extern Thread* current;       // the running emulated thread; null outside kernels
extern const Launch* active;  // the running launch

// Whether this OS thread is the one that runs it.
extern thread_local bool runs_kernels __attribute__((tls_model("initial-exec")));

// Runs the whole launch; false when it ended with a fault.
bool run_launch(const Launch& launch);

// ---- for the operations of running threads ----
void suspend(const char* op, const char* file, int line,
             const void* pc = nullptr);  // until somebody calls make_ready
void make_ready(Thread* thread);
struct Place;
void meet_at(const Place& here, const char* op, unsigned mask, size_t payload_bytes, void* payload, MeetFn fn,
             void* context, bool orders_memory);  // warp_meet, by whole functions
void thread_finished(Thread* thread);             // barriers and meetings notice
[[noreturn]] void abandon_launch();               // back to run_launch; fibers are dropped without unwinding
std::string waiting_summary();
uint64_t next_random();
bool on_guard_page(const void* p);
bool on_any_stack(const void* p);
bool in_launch_state(const void* p);  // arguments, payloads of meetings
void copies_exit(Thread* thread);

// ---- shared memory of a block ----
void open_shared(Block* block, int slot, size_t dynamic_bytes);
void close_shared(Block* block);

}  // namespace ccdl::emu
