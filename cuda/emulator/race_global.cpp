// Races in global memory, in race mode: the same clocks, with the block of each access beside them. Blocks of
// one launch are ordered only by what they publish and take over through atomics and fences; launches are
// ordered with each other.
#include <emulator/memory.h>
#include <emulator/race.h>
#include <emulator/report.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

namespace ccdl::emu {

bool races_on = [] {
  const char* text = std::getenv("CCDL_EMULATOR_RACES");
  return text && *text && *text != '0';
}();

namespace {

uint64_t launch_start = 0;

struct Mark {
  Stamp stamp = 0;
  uint64_t block = 0;
  const void* pc = nullptr;
};
struct Cell {
  Mark write, reads[kReads];
};
constexpr size_t kPage = 1024;
auto& pages = *new std::unordered_map<size_t, std::unique_ptr<Cell[]>>;
auto& published = *new std::unordered_map<const void*, std::shared_ptr<const Knowledge>>;

constexpr size_t kPagesKept = 1024;  // between launches, about 130 KB each
size_t last_page = ~size_t{0};
Cell* last_cells = nullptr;

Cell* cells_of(size_t page) {
  if (page != last_page) {
    auto& cells = pages[page];
    if (!cells) cells = std::make_unique<Cell[]>(kPage);
    last_page = page;
    last_cells = cells.get();
  }
  return last_cells;
}

bool covers(const Published& p, const Mark& m) {
  const uint64_t clock = clock_of(m.stamp);
  const int thread = thread_of(m.stamp);
  return clock <= p.base || (thread / 32 == p.thread / 32 && clock <= p.warp_base) ||
         (thread == p.thread && clock <= p.clock);
}

bool races_with(const Thread* t, const Mark& m) {
  if (clock_of(m.stamp) <= launch_start) return false;
  if (m.block == t->block->linear) return unordered(t, m.stamp);
  if (t->learned)
    for (const Published& p : *t->learned)
      if (p.block == m.block && covers(p, m)) return false;
  return true;
}

[[noreturn]] void report(const Thread* t, const void* p, const Mark& before, bool before_writes, Access kind,
                         const void* pc) {
  const bool writes = kind == Access::Write || kind == Access::AtomicWrite;
  char text[300];
  const dim3 grid = active->grid, block = active->block;
  const auto other = static_cast<unsigned>(thread_of(before.stamp));
  const Allocation* a = find_allocation(p);
  std::snprintf(
      text, sizeof text,
      "a %s of global memory (byte %zu of its allocation) is not ordered after %s by thread (%u, %u, %u) of "
      "%sblock (%llu, %llu, %llu)",
      writes ? "write" : "read", a ? static_cast<size_t>(static_cast<const char*>(p) - a->start) : 0,
      kind_text(before.stamp, before_writes), other % block.x, other / block.x % block.y,
      other / block.x / block.y, before.block == t->block->linear ? "the same " : "",
      static_cast<unsigned long long>(before.block % grid.x),
      static_cast<unsigned long long>(before.block / grid.x % grid.y),
      static_cast<unsigned long long>(before.block / grid.x / grid.y));
  kernel_fault("race", text, {nullptr, 0, pc}, describe({nullptr, 0, before.pc}));
}

// Adds what `from` says to `to`.
void merge(Knowledge* to, const Knowledge& from) {
  for (const Published& p : from) {
    auto same = std::find_if(to->begin(), to->end(), [&](const Published& q) {
      return q.block == p.block && (q.thread == p.thread || (p.base >= q.clock && p.base >= q.warp_base));
    });
    if (same == to->end()) {
      to->push_back(p);
    } else if (same->thread == p.thread) {
      same->base = std::max(same->base, p.base);
      same->warp_base = std::max(same->warp_base, p.warp_base);
      same->clock = std::max(same->clock, p.clock);
    } else {
      *same = p;
    }
  }
}

// Knowledge of t's own block becomes clocks.
void learn_own(Thread* t, const Published& p) {
  if (t->known == nullptr || p.base > t->block->base || p.clock > t->block->base ||
      p.warp_base > t->block->base) {
    auto clocks = t->known
                      ? std::make_shared<VectorClock>(*t->known)
                      : std::make_shared<VectorClock>(static_cast<size_t>(t->block->threads), t->block->base);
    for (size_t i = 0; i < clocks->size(); ++i) {
      uint64_t& c = (*clocks)[i];
      c = std::max(c, p.base);
      if (static_cast<int>(i) / 32 == p.thread / 32) c = std::max(c, p.warp_base);
      if (static_cast<int>(i) == p.thread) c = std::max(c, p.clock);
    }
    t->known = std::move(clocks);
  }
}

}  // namespace

void start_launch_clock() {
  launch_start = next_clock();
  if (!published.empty()) published.clear();
  if (pages.size() > kPagesKept) {  // what earlier launches did is ordered anyway
    pages.clear();
    last_page = ~size_t{0};
  }
}

void global_access(const void* p, size_t bytes, Access kind, const void* pc) {
  const Thread* t = current;
  const bool atomic = kind == Access::AtomicRead || kind == Access::AtomicWrite;
  const bool writes = kind == Access::Write || kind == Access::AtomicWrite;
  const Mark mine{stamp_of(t) | (atomic ? kAtomic : 0), t->block->linear, pc};
  const auto off = reinterpret_cast<uintptr_t>(p) - arena.base;
  for (size_t i = 0; i < bytes; ++i) {
    Cell& c = cells_of((off + i) / kPage)[(off + i) % kPage];
    const char* at = static_cast<const char*>(p) + i;
    if (!(atomic && (c.write.stamp & kAtomic)) && races_with(t, c.write))
      report(t, at, c.write, true, kind, pc);
    if (writes) {
      for (const Mark& r : c.reads)
        if (!(atomic && (r.stamp & kAtomic)) && races_with(t, r)) report(t, at, r, false, kind, pc);
      c.write = mine;
      for (Mark& r : c.reads) r = {};
    } else {
      int slot = 0;
      while (slot < kReads - 1 && races_with(t, c.reads[slot])) ++slot;
      c.reads[slot] = mine;
    }
  }
}

void order_fence(Thread* t) {
  t->fence_clock = t->clock;
  t->fence_base = t->block->base;
  t->fence_warp_base = t->warp->base;
  t->block->fenced = true;
  t->clock = next_clock();
}

void order_atomic(Thread* t, const void* p, AtomicKind kind, bool release) {
  if (!races_on && !in_window(p)) return;
  const auto it = published.find(p);
  if (it != published.end() && kind != AtomicKind::Store) {
    auto learned = t->learned ? std::make_shared<Knowledge>(*t->learned) : std::make_shared<Knowledge>();
    merge(learned.get(), *it->second);
    for (const Published& k : *it->second)
      if (k.block == t->block->linear && k.thread != t->linear) learn_own(t, k);
    t->learned = std::move(learned);
  }
  if (kind == AtomicKind::Load) return;
  if (release) order_fence(t);
  if (t->fence_clock == 0 && t->block->fenced_base == 0) {
    if (kind == AtomicKind::Store && it != published.end()) published.erase(it);
    return;
  }
  auto next = std::make_shared<Knowledge>();
  if (kind == AtomicKind::Update && it != published.end()) *next = *it->second;
  if (t->learned) merge(next.get(), *t->learned);
  merge(next.get(), {{t->block->linear, std::max(t->fence_clock ? t->fence_base : 0, t->block->fenced_base),
                      t->fence_clock ? t->fence_warp_base : 0, t->fence_clock, t->linear}});
  published[p] = std::move(next);
}

void share_knowledge(Thread* const* list, size_t n, Thread* const* silent, size_t m) {
  std::shared_ptr<Knowledge> all;
  std::vector<const Knowledge*> seen;
  for (size_t i = 0; i < n + m; ++i) {
    const Thread* t = i < n ? list[i] : silent[i - n];
    if (!t->learned || std::find(seen.begin(), seen.end(), t->learned.get()) != seen.end()) continue;
    seen.push_back(t->learned.get());
    if (!all) all = std::make_shared<Knowledge>();
    merge(all.get(), *t->learned);
  }
  if (!all) return;
  for (size_t i = 0; i < n; ++i) list[i]->learned = all;
}

}  // namespace ccdl::emu
