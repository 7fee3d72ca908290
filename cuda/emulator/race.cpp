// Race cells: per byte the last write and three earlier reads, each with its clock and thread.
#include <emulator/async.h>
#include <emulator/memory.h>
#include <emulator/race.h>
#include <emulator/report.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace ccdl::emu {

namespace {

uint64_t now = 1;  // the highest clock in use

struct Cell {
  Stamp write;
  Stamp reads[kReads];
};
// Where a word was last written and read, for reports.
struct Sites {
  const void* write;
  const void* read;
};
Cell* shared_cells = nullptr;
Sites* shared_sites = nullptr;

Cell* cells() {
  if (!shared_cells) {
    void* p = mmap(nullptr, kWindow * sizeof(Cell), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    shared_cells = static_cast<Cell*>(p);
    shared_sites = static_cast<Sites*>(mmap(nullptr, kWindow / 4 * sizeof(Sites), PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  }
  return shared_cells;
}

// Position of a thread or agent in vector clocks; agents stand behind the threads.
size_t place_of(const Block* block, int thread) {
  return static_cast<size_t>(thread < kAgents ? thread : block->threads + thread - kAgents);
}
uint64_t entry_of(const VectorClock& v, const Block* block, int thread) {
  const size_t i = place_of(block, thread);
  return i < v.size() ? v[i] : 0;
}
void join(VectorClock* to, const VectorClock& from) {
  if (to->size() < from.size()) to->resize(from.size(), 0);
  for (size_t k = 0; k < from.size(); ++k) (*to)[k] = std::max((*to)[k], from[k]);
}

// What t knows about accesses of thread `other` of its block.
uint64_t known_clock(const Thread* t, int other) {
  uint64_t known = t->block->base;
  if (t->known) known = std::max(known, entry_of(*t->known, t->block, other));
  if (other / 32 == t->warp->index) {
    known = std::max(known, t->warp->base);
    if (t->warp->lane_clocks) known = std::max(known, t->warp->lane_clocks[t->lane * 32 + other % 32]);
  }
  return known;
}

[[noreturn]] void report_race(const void* p, Stamp before, bool before_writes, Access kind, const void* pc) {
  const Thread* other = nullptr;
  for (Warp& w : current->block->warps)
    for (Thread* t : w.lanes)
      if (t && t->linear == thread_of(before)) other = t;
  const int agent = thread_of(before) - kAgents;
  std::string name = "shared memory";
  for (const SharedArray& a : current->block->arrays)
    if (p >= a.data && p < a.data + a.bytes)
      name = std::string("shared array ") + a.name + " at byte " +
             std::to_string(static_cast<const char*>(p) - a.data);
  if (p >= current->block->dynamic && p < current->block->dynamic + current->block->dynamic_bytes)
    name = "dynamic shared memory at byte " +
           std::to_string(static_cast<const char*>(p) - current->block->dynamic);
  const bool writes = kind == Access::Write || kind == Access::AtomicWrite;
  std::string text = std::string(writes ? "a write" : "a read") + " of " + name + " is not ordered after " +
                     kind_text(before, before_writes);
  if (other)
    text += " by thread (" + std::to_string(other->index.x) + ", " + std::to_string(other->index.y) + ", " +
            std::to_string(other->index.z) + ")";
  if (agent >= kWarpgroups) text += " by a bulk copy";
  if (agent >= 0 && agent < kWarpgroups) text += " by a wgmma of warpgroup " + std::to_string(agent);
  const Sites& sites = shared_sites[(reinterpret_cast<uintptr_t>(p) - arena.base) / 4];
  kernel_fault("race", text, {nullptr, 0, pc},
               describe({nullptr, 0, before_writes ? sites.write : sites.read}));
}

[[noreturn]] void report_pending(const char* p, Stamp write, const std::string& access, const void* pc) {
  const Sites& sites = shared_sites[(reinterpret_cast<uintptr_t>(p) - arena.base) / 4];
  kernel_fault("missing-wait",
               access + " of the destination of a " +
                   (thread_of(write) >= kAgents ? "bulk copy whose mbarrier phase nobody has waited for"
                                                : "cp.async that was not waited for"),
               {nullptr, 0, pc}, describe({nullptr, 0, sites.write}));
}

// ---- the asynchronous proxy ----

int64_t async_reads = 0;           // granules being read by wgmma or bulk stores
uint8_t* granule_reads = nullptr;  // how many such reads each granule has
size_t granule_of(const void* p) { return (reinterpret_cast<uintptr_t>(p) - arena.base) / kGranule; }

void check_async_reads(const char* p, const void* pc) {
  if (granule_reads[granule_of(p)] == 0) return;
  const Sites& sites = shared_sites[(reinterpret_cast<uintptr_t>(p) - arena.base) / 4];
  kernel_fault("missing-wait",
               "a write of shared memory that a wgmma or bulk store in flight still reads; wait for it first",
               {nullptr, 0, pc}, describe({nullptr, 0, sites.read}));
}

// Whether the asynchronous proxy, used by t, sees what a thread of the block wrote.
bool proxy_sees(const Thread* t, Stamp write) {
  const int w = thread_of(write);
  const uint64_t c = clock_of(write);
  if (w >= kAgents) return true;
  const Thread* writer = t->block->warps[static_cast<size_t>(w / 32)].lanes[w % 32];
  if (writer->async) {
    const auto& fences = writer->async->proxy_fences;
    const auto after = std::upper_bound(fences.begin(), fences.end(), c);  // its first fence behind the write
    if (after != fences.end() && (writer == t || *after <= known_clock(t, w))) return true;
  }
  if (!t->async || t->async->proxy_fences.empty()) return false;
  const ProxyView& v = t->async->proxy_view;  // what t knew at its own last fence
  return c <= v.base || (v.known && c <= entry_of(*v.known, t->block, w)) ||
         (w / 32 == t->warp->index && c <= v.warp_base);
}

[[noreturn]] void report_unfenced(const char* p, const std::string& what, const void* pc) {
  const Sites& sites = shared_sites[(reinterpret_cast<uintptr_t>(p) - arena.base) / 4];
  kernel_fault("missing-fence",
               what + " shared memory written by ordinary stores without a fence.proxy.async in between",
               {nullptr, 0, pc}, describe({nullptr, 0, sites.write}));
}

void add_read(const Thread* t, Cell& c, Stamp stamp) {
  // A reader that this thread comes after is told about by this one. Of several unordered ones, the first two
  // and the last are kept: whoever writes, another thread is among them, and usually one of another warp.
  int slot = 0;
  while (slot < kReads - 1 && unordered(t, c.reads[slot])) ++slot;
  c.reads[slot] = stamp;
}

}  // namespace

uint64_t next_clock() { return ++now; }

bool unordered(const Thread* t, Stamp s) {
  return clock_of(s) > t->block->base && thread_of(s) != t->linear &&
         clock_of(s) > known_clock(t, thread_of(s));
}

const char* kind_text(Stamp s, bool write) {
  return s & kAtomic ? (write ? "an atomic" : "an atomic read") : (write ? "a write" : "a read");
}

void start_block_clock(Block* block) {
  ++now;
  block->base = now;
  block->start = ++now;
}

void shared_access(const void* p, size_t bytes, Access kind, const void* pc) {
  const Thread* t = current;
  Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  const bool atomic = kind == Access::AtomicRead || kind == Access::AtomicWrite;
  const bool writes = kind == Access::Write || kind == Access::AtomicWrite;
  const Stamp stamp = stamp_of(t) | (atomic ? kAtomic : 0);
  for (size_t i = 0; i < bytes; ++i, ++c) {
    if (c->write != stamp) {
      if ((c->write & kPending) && clock_of(c->write) >= t->block->start)
        report_pending(static_cast<const char*>(p) + i, c->write, writes ? "a write" : "a read", pc);
      if (clock_of(c->write) < t->block->start && kind != Access::Write)
        kernel_fault("uninitialised-shared",
                     "a read of shared memory that no thread of this block has written (byte " +
                         std::to_string(i) + " of " + std::to_string(bytes) + ")",
                     {nullptr, 0, pc});
      if (unordered(t, c->write) && !(atomic && (c->write & kAtomic)))
        report_race(static_cast<const char*>(p) + i, c->write, true, kind, pc);
    }
    if (writes) {
      if (async_reads > 0) check_async_reads(static_cast<const char*>(p) + i, pc);
      for (Stamp r : c->reads)
        if (unordered(t, r) && !(atomic && (r & kAtomic)))
          report_race(static_cast<const char*>(p) + i, r, false, kind, pc);
      c->write = stamp;
      for (Stamp& r : c->reads) r = 0;
    } else if (c->reads[0] != stamp) {
      add_read(t, *c, stamp);
    }
  }
  Sites* site = shared_sites + (reinterpret_cast<uintptr_t>(p) - arena.base) / 4;
  for (size_t i = 0; i < bytes; i += 4, ++site) (writes ? site->write : site->read) = pc;
}

void shared_copy_begins(void* p, size_t bytes, const void* pc) {
  shared_access(p, bytes, Access::Write, pc);
  Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  for (size_t i = 0; i < bytes; ++i) c[i].write |= kPending;
}

void shared_copy_ends(Thread* t, void* p, size_t bytes) {
  Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  for (size_t i = 0; i < bytes; ++i) c[i] = {stamp_of(t), {}};
}

void bulk_write_begins(void* p, size_t bytes, int agent, const void* pc) {
  const Thread* t = current;
  Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  Stamp good = 0;
  for (size_t i = 0; i < bytes; ++i) {
    if (c[i].write == good || (c[i].write & kPending) || clock_of(c[i].write) < t->block->start) continue;
    if (!unordered(t, c[i].write) && !proxy_sees(t, c[i].write))
      report_unfenced(static_cast<const char*>(p) + i, "a bulk copy overwrites", pc);
    good = c[i].write;
  }
  shared_access(p, bytes, Access::Write, pc);
  const Stamp stamp = agent_stamp(next_clock(), agent) | kPending;
  for (size_t i = 0; i < bytes; ++i) c[i].write = stamp;
}

void bulk_write_ends(void* p, size_t bytes, Stamp stamp) {
  Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  for (size_t i = 0; i < bytes; ++i) c[i] = {stamp, {}};
}

void async_read_begins(AsyncReader* reader, const void* p, size_t bytes) {
  const Thread* first = reader->threads[0];
  const Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  for (size_t i = 0; i < bytes; ++i, ++c) {
    const Stamp s = c->write;
    if (s == reader->checked) continue;
    const char* at = static_cast<const char*>(p) + i;
    if (clock_of(s) < first->block->start)
      kernel_fault("uninitialised-shared",
                   std::string(reader->what) + " reads shared memory that nobody in this block has written",
                   {nullptr, 0, reader->pc});
    if (s & kPending) report_pending(at, s, std::string("a read by ") + reader->what, reader->pc);
    for (int k = 0; k < reader->count; ++k) {
      Thread* t = reader->threads[k];
      const bool ordered = !unordered(t, s);
      if (ordered && proxy_sees(t, s)) continue;
      current = t;  // the one that the report names
      if (!ordered) report_race(at, s, true, Access::Read, reader->pc);
      report_unfenced(at, std::string(reader->what) + " reads", reader->pc);
    }
    reader->checked = s;
  }
  if (!granule_reads)
    granule_reads = static_cast<uint8_t*>(mmap(nullptr, kWindow / kGranule, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  for (size_t i = 0; i < bytes; i += kGranule) {
    if (++granule_reads[granule_of(static_cast<const char*>(p) + i)] == 0)
      kernel_fault("missing-wait", "more than 255 wgmma in flight read the same shared memory",
                   {nullptr, 0, reader->pc});
    ++async_reads;
  }
  Sites* site = shared_sites + (reinterpret_cast<uintptr_t>(p) - arena.base) / 4;
  for (size_t i = 0; i < bytes; i += 4, ++site) site->read = reader->pc;
}

void async_read_ends(const void* p, size_t bytes, Stamp stamp) {
  for (size_t i = 0; i < bytes; i += kGranule, --async_reads)
    --granule_reads[granule_of(static_cast<const char*>(p) + i)];
  Cell* c = cells() + (reinterpret_cast<uintptr_t>(p) - arena.base);
  for (size_t i = 0; i < bytes; ++i) {
    int slot = 0;  // of this agent, else a free one, else the last
    while (slot < kReads - 1 && c[i].reads[slot] != 0 && thread_of(c[i].reads[slot]) != thread_of(stamp))
      ++slot;
    c[i].reads[slot] = stamp;
  }
}

void forget_async_reads() {
  if (async_reads == 0) return;
  async_reads = 0;
  madvise(granule_reads, kWindow / kGranule, MADV_DONTNEED);
}

void order_proxies(Thread* t) {
  AsyncThread& a = async_of(t);
  t->clock = next_clock();
  a.proxy_fences.push_back(t->clock);
  a.proxy_view = {t->known, t->block->base, t->warp->base};
}

void set_clock(VectorClock* v, const Block* block, int thread, uint64_t clock) {
  const size_t i = place_of(block, thread);
  if (v->size() <= i) v->resize(i + 1, 0);
  (*v)[i] = std::max((*v)[i], clock);
}

void publish_clocks(VectorClock* v, Thread* t) {
  const Block* block = t->block;
  if (v->size() < static_cast<size_t>(block->threads)) v->resize(static_cast<size_t>(block->threads), 0);
  for (int lane = 0; lane < 32; ++lane) {
    const Thread* other = t->warp->lanes[lane];
    if (!other) continue;
    uint64_t& entry = (*v)[static_cast<size_t>(other->linear)];
    entry = std::max(entry, other == t ? t->clock : known_clock(t, other->linear));
  }
  if (t->known) join(v, *t->known);
  t->clock = next_clock();
}

void learn_clocks(Thread* t, Lesson* lesson) {
  if (!lesson->clocks || t->known == lesson->clocks) return;
  if (!t->known) {
    t->known = lesson->clocks;
  } else if (t->known == lesson->before) {
    t->known = lesson->after;
  } else if (t->known != lesson->after) {
    auto joined = std::make_shared<VectorClock>(*t->known);
    join(joined.get(), *lesson->clocks);
    lesson->before = t->known;
    lesson->after = joined;
    t->known = std::move(joined);
  }
}

void order_block(Block* block) {
  if (races_on) {
    std::vector<Thread*> all;
    for (Warp& w : block->warps)
      for (Thread* t : w.lanes)
        if (t) all.push_back(t);
    share_knowledge(all.data(), all.size(), nullptr, 0);
    if (block->fenced) block->fenced_base = now;
    block->fenced = false;
  }
  uint64_t highest = now;
  block->base = highest;
  now = highest + 1;
  for (Warp& w : block->warps)
    for (Thread* t : w.lanes) {
      if (!t) continue;
      t->clock = now;
      if (t->known) t->known.reset();
    }
}

void order_warp(Warp* warp, unsigned lanes) {
  ++now;
  if (races_on) {
    std::vector<Thread*> list;
    for (int i = 0; i < 32; ++i)
      if (lanes >> i & 1) list.push_back(warp->lanes[i]);
    share_knowledge(list.data(), list.size(), nullptr, 0);
  }
  bool any_known = false;
  for (int i = 0; i < 32; ++i)
    if (lanes >> i & 1) any_known = any_known || warp->lanes[i]->known != nullptr;
  if (any_known) {
    std::vector<Thread*> list;
    for (int i = 0; i < 32; ++i)
      if (lanes >> i & 1) list.push_back(warp->lanes[i]);
    order_threads(list.data(), list.size(), nullptr, 0);
    return;
  }
  if (lanes == warp->live) {
    warp->base = now - 1;
    for (int i = 0; i < 32; ++i)
      if (lanes >> i & 1) warp->lanes[i]->clock = now;
    return;
  }
  if (!warp->lane_clocks) warp->lane_clocks = std::make_unique<uint64_t[]>(32 * 32);
  uint64_t joined[32] = {};
  for (int i = 0; i < 32; ++i) {
    if (!(lanes >> i & 1)) continue;
    const uint64_t* mine = &warp->lane_clocks[i * 32];
    for (int j = 0; j < 32; ++j) joined[j] = std::max(joined[j], i == j ? warp->lanes[i]->clock : mine[j]);
  }
  for (int i = 0; i < 32; ++i) {
    if (!(lanes >> i & 1)) continue;
    std::memcpy(&warp->lane_clocks[i * 32], joined, sizeof joined);
    warp->lanes[i]->clock = now;
  }
}

void order_threads(Thread* const* list, size_t n, Thread* const* silent, size_t m) {
  if (n + m == 0) return;
  Block* block = (n ? list[0] : silent[0])->block;
  ++now;
  if (races_on) share_knowledge(list, n, silent, m);
  auto joined = std::make_shared<VectorClock>(static_cast<size_t>(block->threads), block->base);
  std::vector<const VectorClock*> seen;
  for (size_t i = 0; i < n + m; ++i) {
    Thread* t = i < n ? list[i] : silent[i - n];
    for (int lane = 0; lane < 32; ++lane) {
      const Thread* other = t->warp->lanes[lane];
      if (!other) continue;
      uint64_t& entry = (*joined)[static_cast<size_t>(other->linear)];
      entry = std::max(entry, other == t ? t->clock : known_clock(t, other->linear));
    }
    if (!t->known || std::find(seen.begin(), seen.end(), t->known.get()) != seen.end()) continue;
    seen.push_back(t->known.get());
    join(joined.get(), *t->known);
  }
  std::shared_ptr<const VectorClock> shared = joined;
  for (size_t i = 0; i < n; ++i) list[i]->known = shared;
  for (size_t i = 0; i < n + m; ++i) (i < n ? list[i] : silent[i - n])->clock = now;
}

}  // namespace ccdl::emu
