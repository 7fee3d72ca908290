// Race cells: per byte the last write and three earlier reads, each with its clock and thread.
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

// What t knows about accesses of thread `other` of its block.
uint64_t known_clock(const Thread* t, int other) {
  uint64_t known = t->block->base;
  if (t->known) known = std::max(known, (*t->known)[static_cast<size_t>(other)]);
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
  const Sites& sites = shared_sites[(reinterpret_cast<uintptr_t>(p) - arena.base) / 4];
  kernel_fault("race", text, {nullptr, 0, pc},
               describe({nullptr, 0, before_writes ? sites.write : sites.read}));
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
        kernel_fault("missing-wait",
                     std::string(writes ? "a write" : "a read") +
                         " of the destination of a cp.async that was not waited for",
                     {nullptr, 0, pc});
      if (clock_of(c->write) < t->block->start && kind != Access::Write)
        kernel_fault("uninitialised-shared",
                     "a read of shared memory that no thread of this block has written (byte " +
                         std::to_string(i) + " of " + std::to_string(bytes) + ")",
                     {nullptr, 0, pc});
      if (unordered(t, c->write) && !(atomic && (c->write & kAtomic)))
        report_race(static_cast<const char*>(p) + i, c->write, true, kind, pc);
    }
    if (writes) {
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
    for (size_t k = 0; k < joined->size(); ++k) (*joined)[k] = std::max((*joined)[k], (*t->known)[k]);
  }
  std::shared_ptr<const VectorClock> shared = joined;
  for (size_t i = 0; i < n; ++i) list[i]->known = shared;
  for (size_t i = 0; i < n + m; ++i) (i < n ? list[i] : silent[i - n])->clock = now;
}

}  // namespace ccdl::emu
