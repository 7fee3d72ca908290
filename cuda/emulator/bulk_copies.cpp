// Bulk tensor copies (TMA). A load lands at some later moment, until then its destination is NaN and marked;
// a store runs in the wait that covers it.
#include <emulator/async.h>
#include <emulator/memory.h>
#include <emulator/report.h>

#include <algorithm>
#include <cstring>

namespace ccdl::emu {

int loads_in_flight = 0;

namespace {

auto& loads = *new std::vector<BulkLoad>;

// What the instructions demand of map, box and shared memory.
TensorMap checked_map(const CUtensorMap* map, const void* shared, int rank, const char* what,
                      const void* pc) {
  require_sm90(what, pc);
  if (reinterpret_cast<uintptr_t>(map) % 64)
    kernel_fault("misaligned", "a tensor map is not aligned to 64 bytes", {nullptr, 0, pc});
  TensorMap m;
  std::memcpy(&m, map, sizeof m);
  if (m.magic != kTensorMapMagic)
    kernel_fault("tensor-map", std::string(what) + " with a tensor map that was not encoded",
                 {nullptr, 0, pc});
  if (m.rank != rank)
    kernel_fault("tensor-map",
                 std::string(what) + " with " + std::to_string(rank) +
                     " coordinates and a tensor map of rank " + std::to_string(m.rank),
                 {nullptr, 0, pc});
  if (!shared) return m;
  const size_t bytes = box_bytes(m);
  if (m.swizzle && size_t{m.box[0]} * m.element != swizzle_span(m.swizzle))
    kernel_fault("tensor-map",
                 "boxes whose lines are shorter than the swizzle's " +
                     std::to_string(swizzle_span(m.swizzle)) + " bytes are not emulated",
                 {nullptr, 0, pc});
  check_shared(shared, bytes, 128);
  return m;
}

// Moves a box: move(shared byte address, global address or null, bytes) per piece of at most 16 bytes of
// shared memory; null: outside the tensor.
template <class F>
void walk_box(const TensorMap& m, const int* at, const char* shared, const F& move) {
  const uint32_t base = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(shared) - arena.base);
  char* window = reinterpret_cast<char*>(arena.base);
  for_each_line(m, at, [&](size_t linear, char* global, int before, int inside, int behind) {
    const uint32_t e = m.element;
    const uint32_t bytes = static_cast<uint32_t>(before + inside + behind) * e;
    const uint32_t lo = static_cast<uint32_t>(before) * e, hi = lo + static_cast<uint32_t>(inside) * e;
    for (uint32_t b = 0; b < bytes;) {
      const uint32_t border = b < lo ? lo : b < hi ? hi : bytes;
      const uint32_t piece = border < (b | 15) + 1 ? border - b : (b | 15) + 1 - b;
      const uint32_t to = swizzled(base + static_cast<uint32_t>(linear) + b, m.swizzle);
      move(window + to, b >= lo && b < hi ? global + (b - lo) : nullptr, piece);
      b += piece;
    }
  });
}

void check_global_lines(const TensorMap& m, const int* at, Access kind, const void* pc) {
  for_each_line(m, at, [&](size_t, char* global, int, int inside, int) {
    const size_t bytes = static_cast<size_t>(inside) * m.element;
    if (bytes == 0) return;
    if (!in_arena(global) || in_window(global) || !accessible(global, bytes))
      kernel_fault(in_arena(global) && *shadow_of(global) == kFreedByte ? "use-after-free" : "out-of-bounds",
                   "a bulk copy of " + std::to_string(bytes) +
                       " bytes of a line of the tensor touches memory " +
                       (in_arena(global) ? describe_address(global) : std::string("outside the device")),
                   {nullptr, 0, pc});
    if (races_on) global_access(global, bytes, kind, pc);
  });
}

void land(const BulkLoad& l) {
  const bool nan = l.map.nan_fill;
  walk_box(l.map, l.at, l.shared, [&](char* to, const char* from, uint32_t bytes) {
    if (from)
      std::memcpy(to, from, bytes);
    else
      std::memset(to, nan ? 0xff : 0, bytes);
  });
  --loads_in_flight;
  mbarrier_bytes_landed(l.block, l.barrier, l.shared, l.bytes, l.pc);
}

template <class T>
void add_elements(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += sizeof(T)) {
    T a, b;
    std::memcpy(&a, to + i, sizeof(T));
    std::memcpy(&b, from + i, sizeof(T));
    if constexpr (requires { a.bits; })
      a = T(static_cast<float>(a) + static_cast<float>(b));
    else
      a = static_cast<T>(a + b);
    std::memcpy(to + i, &a, sizeof(T));
  }
}
void add(int type, char* to, const char* from, size_t bytes) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
      return add_elements<uint32_t>(to, from, bytes);
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
      return add_elements<uint64_t>(to, from, bytes);
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
      return add_elements<float16>(to, from, bytes);
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
      return add_elements<bfloat16>(to, from, bytes);
    default:
      return add_elements<float>(to, from, bytes);
  }
}

void run_store(const BulkStore& s) {
  walk_box(s.map, s.at, s.shared, [&](const char* from, char* to, uint32_t bytes) {
    if (!to) return;
    if (s.op == BulkOp::Copy)
      std::memcpy(to, from, bytes);
    else
      add(s.map.type, to, from, bytes);
  });
  const Stamp stamp = stamp_of(current);
  async_read_ends(s.shared, s.bytes, stamp);
}

}  // namespace

AsyncThread& async_of(Thread* t) {
  if (!t->async) t->async = std::make_shared<AsyncThread>();
  return *t->async;
}
AsyncBlock& async_of(Block* b) {
  if (!b->async) b->async = std::make_shared<AsyncBlock>();
  return *b->async;
}

void tma_prefetch_map(const CUtensorMap* map) {
  const void* pc = __builtin_return_address(0);
  TensorMap m;
  std::memcpy(&m, map, sizeof m);
  checked_map(map, nullptr, m.rank, "prefetch.tensormap", pc);
}

void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, const int* at, int rank) {
  const void* pc = __builtin_return_address(0);
  BulkLoad l{current->block,
             checked_map(map, shared, rank, "a bulk load", pc),
             {},
             static_cast<char*>(shared),
             0,
             0,
             pc};
  std::copy(at, at + rank, l.at);
  l.bytes = box_bytes(l.map);
  check_global_lines(l.map, at, Access::Read, pc);
  l.barrier = mbarrier_for_copy(barrier, pc);
  AsyncBlock& state = async_of(current->block);
  bulk_write_begins(shared, l.bytes, kAgents + kWarpgroups + l.barrier, pc);
  std::memset(shared, 0xff, l.bytes);
  if (state.modes.empty()) state.modes.resize(kSharedSlot / kGranule);
  const auto first = static_cast<size_t>(l.shared - current->block->shared) / kGranule;
  std::memset(state.modes.data() + first, 1 + l.map.swizzle, l.bytes / kGranule);
  loads.push_back(l);
  ++loads_in_flight;
}

bool async_progress(bool force) {
  if (loads.empty() || (!force && next_random() % 4 != 0)) return false;
  std::swap(loads[next_random() % loads.size()], loads.back());
  const BulkLoad l = loads.back();
  loads.pop_back();
  land(l);
  return true;
}
void forget_loads() {
  loads.clear();
  loads_in_flight = 0;
}

void tma_store(const CUtensorMap* map, const void* shared, const int* at, int rank, BulkOp op) {
  const void* pc = __builtin_return_address(0);
  BulkStore s{
      checked_map(map, shared, rank, "a bulk store", pc), {}, static_cast<const char*>(shared), 0, op, pc};
  std::copy(at, at + rank, s.at);
  s.bytes = box_bytes(s.map);
  check_global_lines(s.map, at, op == BulkOp::Add ? Access::AtomicWrite : Access::Write, pc);
  AsyncReader reader{&current, 1, "a bulk store", pc};
  async_read_begins(&reader, shared, s.bytes);
  if (op == BulkOp::Copy)
    for_each_line(s.map, at, [&](size_t, char* global, int, int inside, int) {
      std::memset(global, 0xff, static_cast<size_t>(inside) * s.map.element);
    });
  auto& bulk = async_of(current).bulk;
  if (bulk.empty()) bulk.emplace_back();
  bulk.back().push_back(s);
}

void bulk_commit() {
  auto& bulk = async_of(current).bulk;
  if (bulk.empty()) bulk.emplace_back();
  bulk.emplace_back();
}

void bulk_wait(int groups_left, bool) {
  auto& bulk = async_of(current).bulk;
  const size_t keep = static_cast<size_t>(groups_left) + 1;  // the open group is not committed
  const size_t done = bulk.size() > keep ? bulk.size() - keep : 0;
  for (size_t i = 0; i < done; ++i)
    for (const BulkStore& s : bulk[i]) run_store(s);
  bulk.erase(bulk.begin(), bulk.begin() + static_cast<std::ptrdiff_t>(done));
}

void async_thread_exit(Thread* t) {
  for (const auto& group : t->async->bulk)
    if (!group.empty())
      kernel_fault("missing-wait", "a thread finished with bulk stores that were never waited for",
                   {nullptr, 0, group.front().pc});
  for (const Accumulator& a : t->async->accumulators)
    if (a.in_flight)
      kernel_fault("missing-wait", "a thread finished with a wgmma that was never waited for", {});
}

void async_block_exit(Block* b) {
  for (const BulkLoad& l : loads)
    if (l.block == b)
      kernel_fault("missing-wait", "a block finished while a bulk copy to its shared memory was in flight",
                   {nullptr, 0, l.pc});
}

}  // namespace ccdl::emu
