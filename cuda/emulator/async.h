// State of the sm_90 machinery (hopper.h) of resident threads and blocks. Only kernels that use it have any.
#pragma once
#include <emulator/hopper.h>
#include <emulator/machine.h>
#include <emulator/race.h>
#include <emulator/tensor_map.h>

#include <deque>

namespace ccdl::emu {

// ---- per thread ----
// What a thread knew at its last fence.proxy.async.
struct ProxyView {
  std::shared_ptr<const VectorClock> known;
  uint64_t base, warp_base;
};
// Registers of a thread that wgmma works on: their real values while they are in flight and hold NaN.
struct Accumulator {
  float* d;
  int count;
  std::vector<float> value;
  uint64_t last;  // wgmma of the warpgroup that used them last
  bool in_flight;
  bool touched;  // since the last wgmma.fence
};
struct Fragment {  // A operand in registers
  const uint32_t* a;
  uint64_t last;
};
struct BulkStore {
  TensorMap map;
  int at[5];
  const char* shared;
  size_t bytes;
  BulkOp op;
  const void* pc;
};
struct AsyncThread {
  std::vector<uint64_t> proxy_fences;  // clocks, ascending
  ProxyView proxy_view;
  std::deque<Accumulator> accumulators;
  std::vector<Fragment> fragments;
  uint64_t issued = 0;                       // wgmma so far
  std::vector<uint64_t> groups;              // issued at each commit that has not been waited for
  bool wgmma_fenced = false;                 // ever
  int registers = 0;                         // set by setmaxnreg; 0: those of the launch
  std::vector<std::vector<BulkStore>> bulk;  // groups not complete, oldest first; the last one is open
};

// ---- per block ----
struct Landed {
  char* data;
  size_t bytes;
};
struct Mbarrier {
  const void* address;
  int arrivals, pending;  // pending: of this phase
  int64_t bytes;          // expected and not arrived
  uint64_t phase;
  bool fenced;  // initialisation made known to the asynchronous proxy
  Thread* owner;
  const void* init_pc;
  const void* expect_pc;
  const void* copy_pc;
  std::vector<Thread*> waiting;
  VectorClock arriving;        // what the arrivals so far knew
  Lesson lesson;               // what whoever sees the last phase end learns
  std::vector<Landed> landed;  // in this phase
  std::vector<Landed> unseen;  // in earlier phases, not observed by any thread
};
struct BulkLoad {
  Block* block;
  TensorMap map;
  int at[5];
  char* shared;
  size_t bytes;
  int barrier;
  const void* pc;
};
struct WgmmaOp {
  WgmmaForm form;
  uint64_t a, b;
  bool registers;  // A is in registers
  const void* pc;
  unsigned joined = 0;  // warps
  Accumulator* d[128];
  uint32_t fragment[128][4];
  std::vector<uint32_t> granules;  // of shared memory, read until the operation is over
};
struct Warpgroup {
  uint64_t executed = 0, over = 0;
  std::deque<WgmmaOp> ops;  // over + 1 and later
  std::vector<Thread*> waiting;
  Lesson lesson;
};
struct AsyncBlock {
  std::deque<Mbarrier> barriers;
  Warpgroup groups[kWarpgroups];
  std::vector<uint8_t> modes;  // per granule of the slot: 1 + swizzle mode of the bulk copy that wrote it
  int free_registers = 0;
  std::vector<Thread*> waiting_for_registers;
};

AsyncThread& async_of(Thread* t);
AsyncBlock& async_of(Block* b);
// sm_90 instructions on an older device are a fault.
void require_sm90(const char* what, const void* pc);

// The number of the mbarrier that a bulk copy of the current thread reports to, and its report.
int mbarrier_for_copy(uint64_t* barrier, const void* pc);
void mbarrier_bytes_landed(Block* block, int barrier, char* data, size_t bytes, const void* copy_pc);

// ---- for the scheduler ----
// Something asynchronous may happen now, sometimes; returns whether it did. force: happens if it can.
extern int loads_in_flight;
bool async_progress(bool force);
void forget_loads();
// A thread that is about to finish has waited for what it started.
void async_thread_exit(Thread* t);
void async_block_exit(Block* b);
std::string async_summary();  // mbarriers that somebody waits for

// An access of the current thread to its own stack while wgmma may hold registers of it.
void register_access(const void* p, size_t bytes, bool writes, const void* pc);

}  // namespace ccdl::emu
