// Barriers and warp meetings: who waits, who completes, and what counts as divergence.
#include <emulator/async.h>
#include <emulator/machine.h>
#include <emulator/race.h>
#include <emulator/report.h>

#include <cstring>

namespace ccdl::emu {

namespace {

const char* barrier_name(int id) { return id == 0 ? "__syncthreads" : "named barrier"; }

bool same_place(const char* file, int line, const char* other_file, int other_line) {
  return line == other_line && (file == other_file || std::strcmp(file, other_file) == 0);
}

std::string lanes_text(unsigned mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

void complete_barrier(Barrier& b, Block* block, int id) {
  int result = b.value;
  if (id == 0)
    order_block(block);
  else
    order_threads(b.waiting.data(), b.waiting.size(), b.passed.data(), b.passed.size());
  b.arrived = 0;
  b.passed.clear();
  for (Thread* t : b.waiting) {
    t->result = result;
    t->at_block_barrier = false;
    if (t != current) make_ready(t);
  }
  b.waiting.clear();
}

// Joins barrier id; returns when it is complete (sync) or at once (arrive).
int join_barrier(int id, int expected, BarrierOp op, int value, bool sync, const char* file, int line) {
  Thread* self = current;
  Block* block = self->block;
  Barrier& b = block->barriers[id];
  ++self->collectives;
  if (id == 0 && block->finished > 0)
    kernel_fault(
        "divergent-barrier",
        std::to_string(block->finished) + " threads of the block finished before this " + barrier_name(id),
        {file, line, nullptr});
  if (b.arrived == 0) {
    b.expected = expected;
    b.op = op;
    b.file = file;
    b.line = line;
    b.value = op == BarrierOp::And ? 1 : 0;
  } else {
    if (b.expected != expected)
      kernel_fault("divergent-barrier",
                   "barrier " + std::to_string(id) + " is joined for " + std::to_string(expected) +
                       " threads and for " + std::to_string(b.expected),
                   {file, line, nullptr}, describe({b.file, b.line, nullptr}));
    if (id == 0 && (b.op != op || !same_place(b.file, b.line, file, line)))
      kernel_fault("divergent-barrier", "threads of one block wait at different barriers",
                   {file, line, nullptr}, describe({b.file, b.line, nullptr}));
  }
  if (op == BarrierOp::And) b.value = b.value && value;
  if (op == BarrierOp::Or) b.value = b.value || value;
  if (op == BarrierOp::Count) b.value += value != 0;
  ++b.arrived;
  if (!sync) {
    b.passed.push_back(self);
    if (b.arrived == b.expected) complete_barrier(b, block, id);
    return 0;
  }
  b.waiting.push_back(self);
  if (b.arrived == b.expected) {
    complete_barrier(b, block, id);
    return self->result;
  }
  if (id == 0) {
    self->at_block_barrier = true;
    for (const Meeting& m : self->warp->meetings) {
      if (self->warp->meetings_open == 0) break;
      if (m.mask >> self->lane & 1)
        kernel_fault("divergent-shuffle",
                     std::string("lane ") + std::to_string(self->lane) +
                         " waits in __syncthreads, others for it in " + m.op + " with mask " +
                         lanes_text(m.mask),
                     {file, line, nullptr}, describe({m.file, m.line, nullptr}));
    }
  }
  suspend(barrier_name(id), file, line);
  return self->result;
}

void complete_meeting(Warp* warp, Meeting& m) {
  if (m.fn) {
    unsigned missing = m.mask & ~m.arrived;
    for (int i = 0; i < 32; ++i)
      if (!warp->lanes[i]) missing &= ~(1u << i);
    if (missing)
      kernel_fault("divergent-shuffle",
                   std::string(m.op) + " with mask " + lanes_text(m.mask) + ": lane " +
                       std::to_string(std::countr_zero(missing)) + " has finished without taking part",
                   {m.file, m.line, nullptr});
    m.fn(m.slots, m.context);
  }
  if (m.orders_memory) order_warp(warp, m.arrived);
  const unsigned arrived = m.arrived;
  m.mask = 0;
  --warp->meetings_open;
  for (int i = 0; i < 32; ++i)
    if ((arrived >> i & 1) && warp->lanes[i] != current) make_ready(warp->lanes[i]);
}

bool complete(const Warp* warp, const Meeting& m) { return m.arrived == (m.mask & warp->live); }

}  // namespace

int block_barrier(BarrierOp op, int predicate, const char* file, int line) {
  if (current->block->threads == 1) {
    order_block(current->block);
    return op == BarrierOp::Sync ? 0 : predicate != 0;
  }
  return join_barrier(0, current->block->threads, op, predicate, true, file, line);
}

void named_barrier(int id, int count, const char* file, int line) {
  if (id < 0 || id > 15) kernel_fault("divergent-barrier", "barrier ids are 0 to 15", {file, line, nullptr});
  join_barrier(id, count ? count : current->block->threads, BarrierOp::Sync, 0, true, file, line);
}

void named_barrier_arrive(int id, int count, const char* file, int line) {
  if (id < 0 || id > 15) kernel_fault("divergent-barrier", "barrier ids are 0 to 15", {file, line, nullptr});
  join_barrier(id, count ? count : current->block->threads, BarrierOp::Sync, 0, false, file, line);
}

void meet(const char* op, unsigned mask, size_t payload_bytes, void* payload, MeetFn fn, void* context,
          bool orders_memory, const char* file, int line) {
  meet_at({file, line, nullptr}, op, mask, payload_bytes, payload, fn, context, orders_memory);
}

void meet_at(const Place& here, const char* op, unsigned mask, size_t payload_bytes, void* payload, MeetFn fn,
             void* context, bool orders_memory) {
  Thread* self = current;
  Warp* warp = self->warp;
  const auto [file, line, pc] = here;
  ++self->collectives;
  if (!(mask >> self->lane & 1))
    kernel_fault("divergent-shuffle",
                 std::string(op) + " by lane " + std::to_string(self->lane) + " with mask " +
                     lanes_text(mask) + " that does not hold this lane",
                 here);
  Meeting* found = nullptr;
  for (int i = 0, seen = 0; seen < warp->meetings_open; ++i) {
    Meeting& m = warp->meetings[i];
    if (!m.mask) continue;
    ++seen;
    if (!(m.mask & mask)) continue;
    const bool same_op = m.op == op || std::strcmp(m.op, op) == 0;
    if (m.mask != mask || !same_op || m.payload_bytes != payload_bytes)
      kernel_fault("divergent-shuffle",
                   std::string(op) + " with mask " + lanes_text(mask) + " meets " + m.op + " with mask " +
                       lanes_text(m.mask),
                   here, describe({m.file, m.line, nullptr}));
    if (!orders_memory && !same_place(m.file, m.line, file, line))
      kernel_fault("divergent-shuffle", std::string("lanes meet in ") + op + " at different places", here,
                   describe({m.file, m.line, nullptr}));
    found = &m;
    break;
  }
  if (!found) {
    for (Meeting& m : warp->meetings) {
      if (m.mask) continue;
      found = &m;
      break;
    }
    ++warp->meetings_open;
    *found = {op, file, line, mask, 0, payload_bytes, fn, context, orders_memory, {}};
    for (int i = 0; i < 32; ++i)
      if ((mask & warp->live) >> i & 1 && warp->lanes[i]->at_block_barrier)
        kernel_fault("divergent-shuffle",
                     std::string(op) + " with mask " + lanes_text(mask) + " waits for lane " +
                         std::to_string(i) + ", which waits in __syncthreads",
                     here, describe({warp->lanes[i]->wait_file, warp->lanes[i]->wait_line, nullptr}));
  }
  found->arrived |= 1u << self->lane;
  found->slots[self->lane] = payload;
  if (complete(warp, *found)) {
    found->fn = fn;  // the last to arrive computes
    found->context = context;
    complete_meeting(warp, *found);
    return;
  }
  suspend(op, file, line, pc);
}

void thread_finished(Thread* thread) {
  Block* block = thread->block;
  ++block->finished;
  const Barrier& b = block->barriers[0];
  if (b.arrived > 0)
    kernel_fault("divergent-barrier",
                 "a thread finished while " + std::to_string(b.arrived) +
                     " threads of its block wait in __syncthreads",
                 {b.file, b.line, nullptr});
  Warp* warp = thread->warp;
  warp->live &= ~(1u << thread->lane);
  for (int i = 0; warp->meetings_open && i < 32; ++i)
    if (warp->meetings[i].mask && complete(warp, warp->meetings[i]))
      complete_meeting(warp, warp->meetings[i]);
  if (!thread->copies.empty()) copies_exit(thread);
  if (thread->async) async_thread_exit(thread);
  if (block->async && block->finished == block->threads) async_block_exit(block);
}

namespace detail {

namespace {
struct ShufflePayload {
  uint64_t value;
  int source;
};
struct VotePayload {
  bool value;
  unsigned result;
};
}  // namespace

uint64_t shuffle_bits(const char* op, unsigned mask, uint64_t value, int source, const char* file, int line) {
  ShufflePayload payload{value, source};
  const MeetFn fn = [](void* const* slots, void*) {
    uint64_t values[32];
    for (int i = 0; i < 32; ++i)
      if (slots[i]) values[i] = static_cast<ShufflePayload*>(slots[i])->value;
    for (int i = 0; i < 32; ++i) {
      if (!slots[i]) continue;
      auto* p = static_cast<ShufflePayload*>(slots[i]);
      if (slots[p->source]) {
        p->value = values[p->source];
      } else {
        p->source = -1;
      }
    }
  };
  meet(op, mask, sizeof payload, &payload, fn, nullptr, false, file, line);
  if (payload.source < 0)
    kernel_fault("divergent-shuffle",
                 std::string(op) + " by lane " + std::to_string(current->lane) + " reads from lane " +
                     std::to_string(source) + ", which does not take part (mask " + lanes_text(mask) + ")",
                 {file, line, nullptr});
  return payload.value;
}

unsigned ballot_bits(const char* op, unsigned mask, bool predicate, const char* file, int line) {
  VotePayload payload{predicate, 0};
  const MeetFn fn = [](void* const* slots, void*) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i)
      if (slots[i] && static_cast<VotePayload*>(slots[i])->value) result |= 1u << i;
    for (int i = 0; i < 32; ++i)
      if (slots[i]) static_cast<VotePayload*>(slots[i])->result = result;
  };
  meet(op, mask, sizeof payload, &payload, fn, nullptr, false, file, line);
  return payload.result;
}

}  // namespace detail

}  // namespace ccdl::emu
