// Transaction barriers: phases of arrivals and bytes. Whoever sees a phase end knows what its arrivals knew
// and what the bulk copies of the phase wrote; nobody else does.
#include <emulator/async.h>
#include <emulator/memory.h>
#include <emulator/report.h>

#include <algorithm>
#include <cstring>

namespace ccdl::emu {

namespace {

constexpr uint64_t kHandle = 0x6d62617272000000;  // what the 8 bytes hold, plus the barrier's number
constexpr int64_t kMostBytes = (1 << 20) - 1;
constexpr size_t kMostBarriers = 512;

std::string name_of(const Mbarrier& b) {
  const Block* block = b.owner->block;
  const auto* p = static_cast<const char*>(b.address);
  for (const SharedArray& a : block->arrays)
    if (p >= a.data && p < a.data + a.bytes)
      return std::string("the mbarrier at byte ") + std::to_string(p - a.data) + " of " + a.name;
  return "the mbarrier at byte " + std::to_string(p - block->dynamic) + " of the dynamic shared memory";
}

std::string state_of(const Mbarrier& b) {
  return name_of(b) + " (phase " + std::to_string(b.phase) + ", " + std::to_string(b.pending) + " of " +
         std::to_string(b.arrivals) + " arrivals and " + std::to_string(b.bytes) + " bytes missing)";
}

int find(const void* barrier, const void* pc) {
  check_shared(barrier, 8, 8);
  AsyncBlock& state = async_of(current->block);
  uint64_t handle;
  std::memcpy(&handle, barrier, 8);
  const uint64_t i = handle - kHandle;
  if (i >= state.barriers.size() || state.barriers[i].address != barrier)
    kernel_fault("mbarrier", "this address does not hold an initialised mbarrier", {nullptr, 0, pc});
  return static_cast<int>(i);
}

// A phase ends when nothing is missing.
void settle(Mbarrier& b) {
  if (b.pending > 0 || b.bytes > 0) return;
  if (b.bytes < 0)
    kernel_fault(
        "mbarrier",
        name_of(b) + " has received " + std::to_string(-b.bytes) + " bytes more than its phase expects",
        {nullptr, 0, b.expect_pc ? b.expect_pc : b.init_pc}, describe({nullptr, 0, b.copy_pc}));
  ++b.phase;
  b.pending = b.arrivals;
  b.unseen.insert(b.unseen.end(), b.landed.begin(), b.landed.end());
  b.landed.clear();
  auto clocks = std::make_shared<VectorClock>(b.arriving);
  b.lesson = {clocks, nullptr, nullptr};
  for (Thread* t : b.waiting) make_ready(t);
  b.waiting.clear();
}

void arrive(Mbarrier& b, const void* pc) {
  shared_access(b.address, 8, Access::AtomicWrite, pc);
  if (b.pending == 0) kernel_fault("mbarrier", "one arrival too many at " + state_of(b), {nullptr, 0, pc});
  publish_clocks(&b.arriving, current);
  --b.pending;
  settle(b);
}

// The current thread has seen the phase before the present one end.
void observe(AsyncBlock& state, int i) {
  Mbarrier& b = state.barriers[static_cast<size_t>(i)];
  if (b.phase == 0) return;
  if (!b.unseen.empty()) {
    const int agent = kAgents + kWarpgroups + i;
    const uint64_t clock = next_clock();
    for (const Landed& l : b.unseen) bulk_write_ends(l.data, l.bytes, agent_stamp(clock, agent));
    b.unseen.clear();
    set_clock(&b.arriving, current->block, agent, clock);
    b.lesson = {std::make_shared<VectorClock>(b.arriving), nullptr, nullptr};
  }
  learn_clocks(current, &b.lesson);
}

bool ended(const Mbarrier& b, int parity) { return static_cast<int>(b.phase & 1) != parity; }

}  // namespace

void require_sm90(const char* what, const void* pc) {
  if (capability() >= 90) return;
  kernel_fault("illegal-instruction",
               std::string(what) + " on a device of compute capability " + std::to_string(capability() / 10) +
                   "." + std::to_string(capability() % 10) + "; it needs 9.0",
               {nullptr, 0, pc});
}

void mbarrier_init(uint64_t* barrier, int arrivals) {
  const void* pc = __builtin_return_address(0);
  require_sm90("mbarrier.init", pc);
  check_shared(barrier, 8, 8);
  AsyncBlock& state = async_of(current->block);
  if (arrivals < 1 || arrivals > kMostBytes)
    kernel_fault("mbarrier", "an mbarrier expects 1 to 1048575 arrivals", {nullptr, 0, pc});
  for (const Mbarrier& b : state.barriers)
    if (b.address == barrier)
      kernel_fault("mbarrier", "this mbarrier has been initialised before", {nullptr, 0, pc},
                   describe({nullptr, 0, b.init_pc}));
  if (state.barriers.size() == kMostBarriers)
    kernel_fault("mbarrier", "more than 512 mbarriers in a block are not emulated", {nullptr, 0, pc});
  shared_access(barrier, 8, Access::Write, pc);
  const uint64_t handle = kHandle + state.barriers.size();
  std::memcpy(barrier, &handle, 8);
  Mbarrier& b = state.barriers.emplace_back();
  b.address = barrier;
  b.arrivals = b.pending = arrivals;
  b.owner = current;
  b.init_pc = pc;
}

void mbarrier_arrive(uint64_t* barrier) {
  const void* pc = __builtin_return_address(0);
  const int i = find(barrier, pc);
  arrive(async_of(current->block).barriers[static_cast<size_t>(i)], pc);
}

void mbarrier_arrive_expect(uint64_t* barrier, int bytes) {
  const void* pc = __builtin_return_address(0);
  const int i = find(barrier, pc);
  Mbarrier& b = async_of(current->block).barriers[static_cast<size_t>(i)];
  b.expect_pc = pc;
  b.bytes += bytes;
  if (bytes < 0 || b.bytes > kMostBytes)
    kernel_fault("mbarrier", "a phase of an mbarrier expects at most 1048575 bytes", {nullptr, 0, pc});
  arrive(b, pc);
}

void mbarrier_wait(uint64_t* barrier, int parity) {
  const void* pc = __builtin_return_address(0);
  const int i = find(barrier, pc);
  AsyncBlock& state = async_of(current->block);
  Mbarrier& b = state.barriers[static_cast<size_t>(i)];
  if (parity != 0 && parity != 1)
    kernel_fault("mbarrier", "parity is 0 or 1, not " + std::to_string(parity), {nullptr, 0, pc});
  shared_access(barrier, 8, Access::AtomicRead, pc);
  if (!ended(b, parity)) {
    const uint64_t phase = b.phase;
    b.waiting.push_back(current);
    suspend("an mbarrier", nullptr, 0, pc);
    if (b.phase != phase + 1)
      kernel_fault("mbarrier",
                   "two phases have ended while this thread waited for the first of them: on a GPU it may "
                   "miss both and wait for ever; " +
                       state_of(b),
                   {nullptr, 0, pc});
  }
  observe(state, i);
}

void fence_proxy_async() {
  require_sm90("fence.proxy.async", __builtin_return_address(0));
  order_proxies(current);
  for (Mbarrier& b : async_of(current->block).barriers)
    if (b.owner == current) b.fenced = true;
}

// ---- for bulk copies ----

int mbarrier_for_copy(uint64_t* barrier, const void* pc) {
  const int i = find(barrier, pc);
  Mbarrier& b = async_of(current->block).barriers[static_cast<size_t>(i)];
  shared_access(barrier, 8, Access::AtomicWrite, pc);
  if (!b.fenced)
    kernel_fault("missing-fence",
                 "a bulk copy reports to an mbarrier whose initialisation has not been fenced "
                 "(mbarrier_init_fence)",
                 {nullptr, 0, pc}, describe({nullptr, 0, b.init_pc}));
  return i;
}

void mbarrier_bytes_landed(Block* block, int i, char* data, size_t bytes, const void* copy_pc) {
  Mbarrier& b = async_of(block).barriers[static_cast<size_t>(i)];
  b.landed.push_back({data, bytes});
  b.bytes -= static_cast<int64_t>(bytes);
  b.copy_pc = copy_pc;
  if (b.bytes < -kMostBytes)
    kernel_fault("mbarrier", name_of(b) + " has received too much", {nullptr, 0, copy_pc});
  settle(b);
}

std::string async_summary() {
  std::string text;
  const Block* block = current ? current->block : nullptr;
  if (!block || !block->async) return text;
  for (const Mbarrier& b : block->async->barriers)
    if (!b.waiting.empty()) {
      text += "; " + state_of(b);
      if (b.expect_pc) text += " expecting since " + describe({nullptr, 0, b.expect_pc});
    }
  return text;
}

}  // namespace ccdl::emu
