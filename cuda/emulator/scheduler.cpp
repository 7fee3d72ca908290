// Runs launches: blocks one after another (all together when cooperative), each thread a context, picked by
// the schedule that the seed chooses. A thread that finishes without waiting hands its stack to the next one,
// so kernels without collectives are a plain loop. Faults drop every context of the launch where it stands.
#include <emulator/async.h>
#include <emulator/inspect.h>
#include <emulator/lint.h>
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/race.h>
#include <emulator/report.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace ccdl::emu {

Thread* current = nullptr;
const Launch* active = nullptr;
thread_local bool runs_kernels = false;

namespace {

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t seed_value = [] {
  const char* text = std::getenv("CCDL_EMULATOR_SEED");
  return text ? std::strtoull(text, nullptr, 0) : 0ull;
}();
uint64_t random_state = 0;

// Threads that can run. Those that yielded come only when no other can.
class ReadyQueue {
 public:
  void reset(Schedule schedule, size_t threads, int starved_warp) {
    schedule_ = schedule;
    starved_ = starved_warp;
    ring_.resize(threads + 1);
    head_ = tail_ = 0;
    stack_.clear();
    late_.clear();
    late_head_ = 0;
    by_warp_.clear();
    warp_ = nullptr;
  }
  void push(Thread* t) {
    switch (schedule_) {
      case Schedule::Fifo:
        push_ring(t);
        break;
      case Schedule::Lifo:
      case Schedule::Random:
        stack_.push_back(t);
        break;
      case Schedule::WarpMajor:
        if (t->warp == warp_)
          stack_.push_back(t);
        else
          push_ring(t);
        break;
      case Schedule::Starve:
        if (t->warp->index == starved_)
          stack_.push_back(t);
        else
          push_ring(t);
        break;
    }
  }
  void push_late(Thread* t) { late_.push_back(t); }
  Thread* pop() {
    Thread* t = pop_ready();
    if (t) return t;
    if (late_head_ == late_.size()) return nullptr;
    t = late_[late_head_++];
    if (late_head_ > 64 && late_head_ * 2 > late_.size()) {
      late_.erase(late_.begin(), late_.begin() + static_cast<std::ptrdiff_t>(late_head_));
      late_head_ = 0;
    }
    return t;
  }

 private:
  Thread* pop_ready() {
    switch (schedule_) {
      case Schedule::Fifo:
        return pop_ring();
      case Schedule::Lifo:
        return pop_stack();
      case Schedule::Random:
        if (stack_.empty()) return nullptr;
        std::swap(stack_[next_random() % stack_.size()], stack_.back());
        return pop_stack();
      case Schedule::WarpMajor: {  // one warp as far as it goes, then the next
        Thread* t = pop_stack();
        if (t) return t;
        t = pop_ring();
        if (t) warp_ = t->warp;
        return t;
      }
      case Schedule::Starve: {
        Thread* t = pop_ring();
        return t ? t : pop_stack();
      }
    }
    return nullptr;
  }
  void push_ring(Thread* t) {
    ring_[tail_] = t;
    tail_ = tail_ + 1 == ring_.size() ? 0 : tail_ + 1;
  }
  Thread* pop_ring() {
    if (head_ == tail_) return nullptr;
    Thread* t = ring_[head_];
    head_ = head_ + 1 == ring_.size() ? 0 : head_ + 1;
    return t;
  }
  Thread* pop_stack() {
    if (stack_.empty()) return nullptr;
    Thread* t = stack_.back();
    stack_.pop_back();
    return t;
  }
  Schedule schedule_ = Schedule::Fifo;
  int starved_ = 0;
  std::vector<Thread*> ring_, stack_, late_, by_warp_;
  size_t head_ = 0, tail_ = 0, late_head_ = 0;
  Warp* warp_ = nullptr;
};

// Never destroyed: work may still run while the process ends.
ReadyQueue& ready = *new ReadyQueue;
StackPool& stacks = *new StackPool;
Context host;
auto& threads = *new std::vector<Thread>;  // resident ones
auto& blocks = *new std::vector<Block>;
int unfinished = 0;
bool faulted = false;
const char* last_name = "";
long idle_rounds = 0;  // yields since anything else happened

void leave() {
  Context dropped;
  current = nullptr;
  switch_context(&dropped, &host);
}

[[noreturn]] void worker();

// Starts or resumes `next`; a context that is done passes a null `from`.
void go_on_with(Thread* next, Context* from) {
  Context dropped;
  current = next;
  if (next->state == State::New) {
    next->stack = stacks.acquire();
    prepare_context(&next->stack->fresh, *next->stack, &worker);
    switch_context(from ? from : &dropped, &next->stack->fresh);
  } else {
    switch_context(from ? from : &dropped, &next->context);
  }
}

// The next thread to run. Asynchronous copies land in between; when nobody can run, one of them must.
Thread* next_ready() {
  if (loads_in_flight > 0) async_progress(false);
  Thread* next = ready.pop();
  while (!next && loads_in_flight > 0 && async_progress(true)) next = ready.pop();
  if (!next) kernel_fault("deadlock", "no thread can go on: " + waiting_summary() + async_summary(), {});
  return next;
}

void worker() {
  while (true) {
    current->state = State::Ready;
    (*active->body)();
    Thread* self = current;
    thread_finished(self);
    self->state = State::Done;
    idle_rounds = 0;
    if (--unfinished == 0) leave();
    Thread* next = next_ready();
    if (next->state == State::New) {
      next->stack = self->stack;
      current = next;
      continue;
    }
    stacks.release(self->stack);
    go_on_with(next, nullptr);
  }
}

void init_block(Block& b, uint3 index, const Launch& launch, int slot, size_t first_thread) {
  b.index = index;
  b.linear = index.x + uint64_t{launch.grid.x} * (index.y + uint64_t{launch.grid.y} * index.z);
  b.fenced_base = 0;
  b.fenced = false;
  b.threads = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  if (b.async) b.async.reset();
  b.finished = 0;
  const int warps = (b.threads + 31) / 32;
  if (static_cast<int>(b.warps.size()) != warps) b.warps = std::vector<Warp>(static_cast<size_t>(warps));
  for (Barrier& barrier : b.barriers) {
    barrier.arrived = 0;
    barrier.waiting.clear();
    barrier.passed.clear();
  }
  open_shared(&b, slot, launch.smem);
  start_block_clock(&b);
  for (int w = 0; w < warps; ++w) {
    Warp& warp = b.warps[static_cast<size_t>(w)];
    warp.block = &b;
    warp.index = w;
    const int lanes = std::min(32, b.threads - 32 * w);
    warp.live = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
    warp.meetings_open = 0;
    for (Meeting& m : warp.meetings) m.mask = 0;
    warp.base = 0;
    for (int i = 0; i < 32; ++i) warp.lanes[i] = nullptr;
  }
  uint3 at{0, 0, 0};
  for (int i = 0; i < b.threads; ++i) {
    Thread& t = threads[first_thread + static_cast<size_t>(i)];
    t.index = at;
    t.block_index = index;
    t.block = &b;
    t.warp = &b.warps[static_cast<size_t>(i / 32)];
    t.linear = i;
    t.lane = i % 32;
    t.resident = static_cast<uint32_t>(first_thread) + static_cast<uint32_t>(i);
    t.state = State::New;
    t.at_block_barrier = false;
    t.stack = nullptr;
    t.wait_op = nullptr;
    t.collectives = 0;
    t.clock = b.base + 1;
    t.fence_clock = 0;
    if (t.known) t.known.reset();
    if (t.learned) t.learned.reset();
    if (!t.copies.empty()) t.copies.clear();
    if (t.async) t.async.reset();
    t.warp->lanes[t.lane] = &t;
    if (++at.x == launch.block.x) {
      at.x = 0;
      if (++at.y == launch.block.y) {
        at.y = 0;
        ++at.z;
      }
    }
    ready.push(&t);
  }
}

bool run_resident(size_t count) {
  unfinished = 0;
  for (size_t i = 0; i < count; ++i) unfinished += blocks[i].threads;
  idle_rounds = 0;
  faulted = false;
  forget_loads();
  Thread* first = ready.pop();
  current = first;
  first->stack = stacks.acquire();
  prepare_context(&first->stack->fresh, *first->stack, &worker);
  runs_kernels = true;
  switch_context(&host, &first->stack->fresh);
  runs_kernels = false;
  current = nullptr;
  stacks.release_all();
  if (faulted) forget_async_reads();
  if (lint_on) lint_block_ends();
  for (size_t i = 0; i < count; ++i) close_shared(&blocks[i]);
  return !faulted;
}

uint3 unflatten(uint64_t i, dim3 grid) {
  return {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
          static_cast<unsigned>(i / grid.x / grid.y)};
}

// Position i of a permutation of [0, n) that needs no table: a stride coprime to n and an offset.
struct BlockOrder {
  uint64_t n, stride, offset;
  BlockOrder(uint64_t count, bool shuffled) : n(count), stride(1), offset(0) {
    if (!shuffled) return;
    offset = next_random() % n;
    stride = next_random() % n | 1;
    while (std::gcd(stride, n) != 1) stride += 2;
  }
  uint64_t operator[](uint64_t i) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(i) * stride + offset) % n);
  }
};

}  // namespace

uint64_t seed() { return seed_value; }
void set_seed_value(uint64_t value) { seed_value = value; }

uint64_t next_random() { return mix(++random_state); }

bool on_guard_page(const void* p) { return stacks.is_guard(p); }
bool on_any_stack(const void* p) { return stacks.contains(p); }

bool in_launch_state(const void* p) {
  const auto inside = [p](const void* start, size_t bytes) {
    return p >= start && p < static_cast<const char*>(start) + bytes;
  };
  const auto* function =
      reinterpret_cast<const char* const*>(active->body);  // libstdc++: holds or points to the object
  if (inside(function, sizeof *active->body) ||
      (active->body_bytes > 16 && inside(*function, active->body_bytes)))
    return true;
  for (const Block& b : blocks)
    if (inside(b.warps.data(), b.warps.size() * sizeof(Warp))) return true;
  return false;
}

const char* last_kernel() { return last_name; }

bool run_launch(const Launch& launch) {
  last_name = launch.site.name;
  random_state = mix(seed_value * 0x10001 + launch.number);
  const Schedule schedule =
      seed_value == 0 ? Schedule::Fifo : static_cast<Schedule>((seed_value + launch.number) % 5);
  const uint64_t count = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const size_t block_threads = size_t{launch.block.x} * launch.block.y * launch.block.z;
  const size_t resident = launch.cooperative ? static_cast<size_t>(count) : 1;
  if (threads.size() < resident * block_threads) threads = std::vector<Thread>(resident * block_threads);
  if (blocks.size() < resident) blocks = std::vector<Block>(resident);
  active = &launch;
  start_launch_clock();
  const BlockOrder order(count, seed_value != 0);
  const int starved = static_cast<int>(next_random() % ((block_threads + 31) / 32));
  bool good = true;
  for (uint64_t i = 0; i < count && good; i += resident) {
    ready.reset(schedule, resident * block_threads, starved);
    for (size_t r = 0; r < resident; ++r)
      init_block(blocks[r], unflatten(order[i + r], launch.grid), launch, static_cast<int>(r),
                 r * block_threads);
    good = run_resident(resident);
  }
  active = nullptr;
  return good;
}

void suspend(const char* op, const char* file, int line, const void* pc) {
  Thread* self = current;
  self->state = State::Blocked;
  self->wait_op = op;
  self->wait_file = file;
  self->wait_line = line;
  self->wait_pc = pc;
  Thread* next = next_ready();
  if (next != self) go_on_with(next, &self->context);
  self->state = State::Ready;
  self->wait_op = nullptr;
}

void make_ready(Thread* thread) {
  idle_rounds = 0;
  thread->state = State::Ready;
  ready.push(thread);
}

void yield() {
  Thread* self = current;
  if (++idle_rounds > 20000 + 200L * unfinished)
    kernel_fault(
        "deadlock",
        "every thread waits in a loop for a value that nobody writes: " + waiting_summary() + async_summary(),
        {nullptr, 0, __builtin_return_address(0)});
  ready.push_late(self);
  self->wait_op = "spin_until";
  self->wait_file = nullptr;
  self->wait_pc = nullptr;
  Thread* next = next_ready();
  if (next != self) go_on_with(next, &self->context);
  self->wait_op = nullptr;
}

void abandon_launch() {
  faulted = true;
  leave();
  __builtin_unreachable();
}

std::string waiting_summary() {
  struct Group {
    const char* op;
    const char* file;
    int line;
    const void* pc;
    int count;
  };
  std::vector<Group> groups;
  for (const Thread& t : threads) {
    if (t.state == State::Done || !t.wait_op) continue;
    auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
      return g.op == t.wait_op && g.file == t.wait_file && g.line == t.wait_line &&
             g.pc == (t.wait_file ? nullptr : t.wait_pc);
    });
    if (same == groups.end())
      groups.push_back({t.wait_op, t.wait_file, t.wait_line, t.wait_file ? nullptr : t.wait_pc, 1});
    else
      ++same->count;
  }
  std::string text;
  for (const Group& g : groups) {
    if (!text.empty()) text += ", ";
    text += std::to_string(g.count) + " wait in " + g.op;
    if (g.file || g.pc) text += " at " + describe({g.file, g.line, g.pc});
  }
  return text;
}

uint3 thread_index() { return current->index; }
uint3 block_index() { return current->block_index; }
dim3 block_dimensions() { return active->block; }
dim3 grid_dimensions() { return active->grid; }

}  // namespace ccdl::emu
