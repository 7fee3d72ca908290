// Warpgroup products. A product runs when its four warps have issued it; shared memory that it reads is in
// use, and accumulators hold NaN, until a wait covers it. Operands are read through their descriptors.
// Source of layouts: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
#include <emulator/async.h>
#include <emulator/memory.h>
#include <emulator/report.h>

#include <algorithm>
#include <cstring>

namespace ccdl::emu {

namespace {

constexpr int kM = 64, kK = 16, kGroup = 128, kMaxN = 256;

struct Payload {
  float* d;
  const uint32_t* a_registers;
  uint64_t a, b;
  WgmmaForm form;
};

float to_float(WgmmaType type, uint16_t bits) {
  if (type == WgmmaType::BFloat16) return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  float16 v;
  v.bits = bits;
  return static_cast<float>(v);
}

struct Descriptor {
  uint32_t start, lead, stride, base_offset, mode;  // mode: 0 none, 1, 2, 3 = 32, 64, 128 bytes
};
Descriptor decode(uint64_t d) {
  const auto field = [d](int at) { return static_cast<uint32_t>(d >> at & 0x3fff) << 4; };
  constexpr uint32_t modes[] = {0, 3, 2, 1};
  return {field(0), field(16), field(32), static_cast<uint32_t>(d >> 49 & 7), modes[d >> 62]};
}

// Shared address of a 16-byte chunk: 8 elements. Along k: `line` is the row, `chunk` 0 or 1 counts along k;
// else `line` is k, `chunk` counts along the rows.
uint32_t chunk_address(const Descriptor& d, bool trans, int line, int chunk) {
  const auto l = static_cast<uint32_t>(line), c = static_cast<uint32_t>(chunk);
  if (d.mode == 0) {
    if (!trans) return d.start + l / 8 * d.stride + l % 8 * 16 + c * d.lead;
    return d.start + c * d.stride + l / 8 * d.lead + l % 8 * 16;
  }
  const uint32_t span = swizzle_span(d.mode), chunks = span / 16;
  uint32_t at;
  if (!trans)
    at = d.start + l / 8 * d.stride + l % 8 * span + c * 16;
  else
    at = d.start + c / chunks * d.lead + l / 8 * d.stride + l % 8 * span + c % chunks * 16;
  return swizzled(at, d.mode);
}

// Reads an operand of `rows` rows into x[k][row], and notes the granules.
void read_operand(Block* block, AsyncReader* reader, WgmmaOp* op, uint64_t descriptor, bool trans, int rows,
                  const char* name, float* x, int pitch) {
  const Descriptor d = decode(descriptor);
  const uint32_t repeat = (1u << d.mode) - 1;  // lines after which the pattern repeats, less one
  if (d.base_offset != 0 || (d.mode != 0 && (d.start >> 7 & repeat) != 0))
    kernel_fault(
        "descriptor",
        std::string("operand ") + name +
            " does not start on the first line of its swizzle pattern; base offsets are not emulated",
        {nullptr, 0, op->pc});
  const std::vector<uint8_t>& modes = async_of(block).modes;
  const int lines = trans ? kK : rows, chunks = trans ? rows / 8 : kK / 8;
  for (int line = 0; line < lines; ++line)
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const uint32_t at = chunk_address(d, trans, line, chunk);
      const char* p = block->shared + at;
      if (at >= kSharedSlot || !accessible(p, 16))
        kernel_fault("out-of-bounds",
                     std::string("operand ") + name + " of a wgmma, " + (trans ? "k " : "row ") +
                         std::to_string(line) + ", reads shared memory outside every array (address " +
                         std::to_string(at) + ")",
                     {nullptr, 0, op->pc});
      const size_t granule = at / kGranule;
      async_read_begins(reader, p, 16);
      op->granules.push_back(static_cast<uint32_t>(granule));
      if (thread_of(reader->checked) >= kAgents && !modes.empty() && modes[granule] != 0 &&
          modes[granule] - 1u != d.mode)
        kernel_fault("descriptor",
                     std::string("operand ") + name + " is read in the " +
                         std::to_string(d.mode ? swizzle_span(d.mode) : 0) +
                         "-byte swizzle, but the bulk copy wrote it in the " +
                         std::to_string(modes[granule] > 1 ? swizzle_span(modes[granule] - 1u) : 0) +
                         "-byte swizzle",
                     {nullptr, 0, op->pc});
      uint16_t bits[8];
      std::memcpy(bits, p, 16);
      for (int e = 0; e < 8; ++e) {
        const int k = trans ? line : chunk * 8 + e, row = trans ? chunk * 8 + e : line;
        x[k * pitch + row] = to_float(op->form.type, bits[e]);
      }
    }
}

Thread* thread_of_group(Block* block, int group, int i) {
  return block->warps[static_cast<size_t>(group * 4 + i / 32)].lanes[i % 32];
}

void execute(Block* block, int group, WgmmaOp* op) {
  static float a[kK][kM], b[kK][kMaxN], c[kM][kMaxN];  // too large for a stack of 64 KB
  Thread* threads[kGroup];
  for (int i = 0; i < kGroup; ++i) threads[i] = thread_of_group(block, group, i);
  Thread* self = current;
  AsyncReader reader{threads, kGroup, "a wgmma", op->pc};
  const WgmmaForm& f = op->form;
  if (op->registers) {
    for (int i = 0; i < kGroup; ++i)
      for (int e = 0; e < 8; ++e) {
        const int row = i / 32 * 16 + i % 32 / 4 + e / 2 % 2 * 8, k = i % 4 * 2 + e / 4 * 8 + e % 2;
        a[k][row] = to_float(f.type, static_cast<uint16_t>(op->fragment[i][e / 2] >> (e % 2 * 16)));
      }
  } else {
    read_operand(block, &reader, op, op->a, f.trans_a, kM, "A", a[0], kM);
  }
  read_operand(block, &reader, op, op->b, f.trans_b, f.n, "B", b[0], kMaxN);
  current = self;
  const auto each = [&](const auto& body) {
    for (int i = 0; i < kGroup; ++i)
      for (int x = 0; x < f.n / 2; ++x)
        body(op->d[i]->value[static_cast<size_t>(x)],
             c[i / 32 * 16 + i % 32 / 4 + x / 2 % 2 * 8][x / 4 * 8 + i % 4 * 2 + x % 2]);
  };
  if (f.add)
    each([](float& v, float& at) { at = v; });
  else
    for (auto& row : c) std::fill_n(row, f.n, 0.0f);
  for (int m = 0; m < kM; ++m)
    for (int k = 0; k < kK; ++k) {
      const float x = a[k][m];
      float* to = c[m];
      const float* from = b[k];
      for (int n = 0; n < f.n; ++n) to[n] += x * from[n];
    }
  each([](float& v, float& at) { v = at; });
}

Accumulator* accumulator_of(AsyncThread& state, float* d, int count) {
  for (Accumulator& a : state.accumulators) {
    if (a.d == d && a.count == count) return &a;
    if (a.d < d + count && d < a.d + a.count) {  // the memory was another array before
      if (a.in_flight) return nullptr;
      a.d = d;
      a.count = count;
      a.value.resize(static_cast<size_t>(count));
      a.touched = false;
      return &a;
    }
  }
  return &state.accumulators.emplace_back(
      Accumulator{d, count, std::vector<float>(static_cast<size_t>(count)), 0, false, false});
}

void take_registers(Thread* t, const Payload& p, WgmmaOp* op, uint64_t number, const void* pc) {
  AsyncThread& state = async_of(t);
  const int index = t->linear % kGroup, count = p.form.n / 2;
  current = t;
  if (!state.wgmma_fenced)
    kernel_fault("missing-fence", "the first wgmma of a thread without a wgmma.fence before it",
                 {nullptr, 0, pc});
  Accumulator* a = accumulator_of(state, p.d, count);
  if (!a)
    kernel_fault("missing-wait", "a wgmma uses registers of another shape that is in flight",
                 {nullptr, 0, pc});
  if (a->touched)
    kernel_fault("missing-fence",
                 "a wgmma uses accumulators that ordinary code has touched, without a wgmma.fence in between",
                 {nullptr, 0, pc});
  if (!a->in_flight) std::memcpy(a->value.data(), p.d, static_cast<size_t>(count) * 4);
  a->in_flight = true;
  a->last = number;
  std::memset(p.d, 0xff, static_cast<size_t>(count) * 4);
  op->d[index] = a;
  if (p.a_registers) {
    std::memcpy(op->fragment[index], p.a_registers, 16);
    state.fragments.push_back({p.a_registers, number});
  }
  state.issued = number;
}

void join(void* const* slots, void* context) {
  const void* pc = context;
  Thread* self = current;
  Block* block = self->block;
  Warp* warp = self->warp;
  const int group = warp->index / 4;
  const unsigned bit = 1u << warp->index % 4;
  Warpgroup& g = async_of(block).groups[group];
  const auto& p = *static_cast<const Payload*>(slots[0]);
  for (int i = 0; i < 32; ++i) {
    const auto& q = *static_cast<const Payload*>(slots[i]);
    if (q.form != p.form || q.a != p.a || q.b != p.b || !q.a_registers != !p.a_registers)
      kernel_fault("divergent-warpgroup", "the lanes of a warp issue different wgmma or descriptors",
                   {nullptr, 0, pc});
  }
  const uint64_t number = async_of(warp->lanes[0]).issued + 1;
  while (g.over + g.ops.size() < number) {
    WgmmaOp& fresh = g.ops.emplace_back();
    fresh.form = p.form;
    fresh.a = p.a;
    fresh.b = p.b;
    fresh.registers = p.a_registers != nullptr;
    fresh.pc = pc;
  }
  WgmmaOp& op = g.ops[number - g.over - 1];
  if (op.form != p.form || op.a != p.a || op.b != p.b || op.registers != (p.a_registers != nullptr))
    kernel_fault("divergent-warpgroup", "the warps of a warpgroup issue different wgmma or descriptors",
                 {nullptr, 0, pc}, describe({nullptr, 0, op.pc}));
  op.joined |= bit;
  for (int i = 0; i < 32; ++i)
    take_registers(warp->lanes[i], *static_cast<const Payload*>(slots[i]), &op, number, pc);
  current = self;
  if (op.joined != 15) return;
  execute(block, group, &op);
  g.executed = number;
  for (Thread* t : g.waiting) make_ready(t);
  g.waiting.clear();
}

// Products up to number are over: their operands may be overwritten by whoever knows of this.
void finish(Block* block, int group, uint64_t number) {
  Warpgroup& g = async_of(block).groups[group];
  if (number <= g.over) return;
  const uint64_t clock = next_clock();
  const Stamp stamp = agent_stamp(clock, kAgents + group);
  for (; g.over < number; ++g.over) {
    for (uint32_t granule : g.ops.front().granules)
      async_read_ends(block->shared + size_t{granule} * kGranule, kGranule, stamp);
    g.ops.pop_front();
  }
  auto clocks = std::make_shared<VectorClock>(static_cast<size_t>(block->threads), 0);
  set_clock(clocks.get(), block, kAgents + group, clock);
  g.lesson = {clocks, nullptr, nullptr};
}

}  // namespace

void wgmma(const WgmmaForm& form, float* d, const uint32_t* a_registers, uint64_t a, uint64_t b) {
  const void* pc = __builtin_return_address(0);
  require_sm90("wgmma", pc);
  if (form.n % 8 || form.n < 8 || form.n > kMaxN || current->block->threads % kGroup ||
      (a_registers && form.trans_a))
    kernel_fault("divergent-warpgroup", "wgmma needs whole warpgroups and N a multiple of 8 up to 256",
                 {nullptr, 0, pc});
  Payload payload{d, a_registers, a_registers ? 0 : a, b, form};
  meet_at({nullptr, 0, pc}, "wgmma", 0xffffffffu, sizeof payload, &payload, join, const_cast<void*>(pc),
          false);
}

void wgmma_fence() {
  require_sm90("wgmma.fence", __builtin_return_address(0));
  AsyncThread& state = async_of(current);
  state.wgmma_fenced = true;
  for (Accumulator& a : state.accumulators) a.touched = false;
}

void wgmma_commit() {
  AsyncThread& state = async_of(current);
  state.groups.push_back(state.issued);
}

void wgmma_wait(int groups_left) {
  const void* pc = __builtin_return_address(0);
  require_sm90("wgmma.wait_group", pc);
  meet_at(
      {nullptr, 0, pc}, "wgmma.wait_group", 0xffffffffu, 0, nullptr, [](void* const*, void*) {}, nullptr,
      false);
  Thread* t = current;
  AsyncThread& state = async_of(t);
  const auto left = static_cast<size_t>(groups_left);
  if (state.groups.size() <= left) return;
  const uint64_t number = state.groups[state.groups.size() - 1 - left];
  const int group = t->linear / kGroup;
  Warpgroup& g = async_of(t->block).groups[group];
  while (g.executed < number) {
    g.waiting.push_back(t);
    suspend("wgmma.wait_group for a product that not all warps of the warpgroup have issued", nullptr, 0, pc);
  }
  finish(t->block, group, number);
  learn_clocks(t, &g.lesson);
  for (Accumulator& a : state.accumulators)
    if (a.in_flight && a.last <= number) {
      std::memcpy(a.d, a.value.data(), a.value.size() * 4);
      a.in_flight = false;
    }
  std::erase_if(state.fragments, [number](const Fragment& f) { return f.last <= number; });
  state.groups.erase(state.groups.begin(), state.groups.end() - static_cast<std::ptrdiff_t>(left));
}

void register_access(const void* p, size_t bytes, bool writes, const void* pc) {
  AsyncThread& state = *current->async;
  const char* at = static_cast<const char*>(p);
  for (Accumulator& a : state.accumulators) {
    const char* d = reinterpret_cast<const char*>(a.d);
    if (at + bytes <= d || at >= d + size_t{4} * static_cast<size_t>(a.count)) continue;
    if (a.in_flight)
      kernel_fault("missing-wait",
                   std::string(writes ? "a write" : "a read") + " of accumulator " +
                       std::to_string((at - d) / 4) + " of a wgmma that was not waited for",
                   {nullptr, 0, pc});
    a.touched = true;
  }
  if (!writes) return;
  for (const Fragment& f : state.fragments) {
    const char* a = reinterpret_cast<const char*>(f.a);
    if (at + bytes > a && at < a + 16)
      kernel_fault("missing-wait", "a write of a register that a wgmma in flight reads as A",
                   {nullptr, 0, pc});
  }
}

// The registers of the launch: as many as fit, by eights. What one warp gives back, another may take.
void set_registers(int count, bool more) {
  const void* pc = __builtin_return_address(0);
  require_sm90("setmaxnreg", pc);
  Thread* t = current;
  AsyncBlock& state = async_of(t->block);
  const int start = std::min(65536 / t->block->threads / 8 * 8, 248);
  if (count < 24 || count > 256 || count % 8)
    kernel_fault("registers", "setmaxnreg takes a multiple of 8 from 24 to 256", {nullptr, 0, pc});
  const int before = async_of(t).registers ? async_of(t).registers : start;
  if (more ? count < before : count > before)
    kernel_fault("registers",
                 "setmaxnreg from " + std::to_string(before) + " to " + std::to_string(count) +
                     (more ? " is no increase" : " is no decrease"),
                 {nullptr, 0, pc});
  async_of(t).registers = count;
  if (!more) {
    state.free_registers += before - count;
    for (Thread* w : state.waiting_for_registers) make_ready(w);
    state.waiting_for_registers.clear();
    return;
  }
  while (state.free_registers < count - before) {
    state.waiting_for_registers.push_back(t);
    suspend("setmaxnreg.inc", nullptr, 0, pc);
  }
  state.free_registers -= count - before;
}

}  // namespace ccdl::emu
