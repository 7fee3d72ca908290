// Context switch and stack pool. The switch saves the callee-saved registers of the System V ABI only:
// floating-point control words are the same in every context.
#include <emulator/fiber.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace ccdl::emu {

#if defined(__x86_64__)

asm(R"(
.text
.p2align 4
.type ccdl_emu_switch, @function
ccdl_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq (%rsi), %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ccdl_emu_switch, .-ccdl_emu_switch
)");
extern "C" void ccdl_emu_switch(void** save, void** load) __attribute__((visibility("hidden")));

void switch_context(Context* from, Context* to) { ccdl_emu_switch(&from->sp, &to->sp); }

void prepare_context(Context* context, const Stack& stack, void (*entry)()) {
  // Entry sees the stack as after a call: 8 bytes (a return address, none) below 16-byte alignment.
  void** top = reinterpret_cast<void**>(stack.low + stack.bytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context->sp = top;
}

#else

void switch_context(Context* from, Context* to) { swapcontext(&from->state, &to->state); }

void prepare_context(Context* context, const Stack& stack, void (*entry)()) {
  getcontext(&context->state);
  context->state.uc_stack.ss_sp = stack.low;
  context->state.uc_stack.ss_size = stack.bytes;
  context->state.uc_link = nullptr;
  makecontext(&context->state, entry, 0);
}

#endif

void StackPool::grow() {
  const size_t stride = kStackBytes + kGuardBytes;
  void* base =
      mmap(nullptr, kSlabBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    std::fprintf(stderr, "ccdl emulator: no memory for thread stacks\n");
    std::abort();
  }
  slabs_.push_back(static_cast<char*>(base));
  for (size_t i = kStacksPerSlab; i-- > 0;) {
    char* low = static_cast<char*>(base) + stride * i;
    mprotect(low, kGuardBytes, PROT_NONE);
    // Tops are shifted by cache lines: equal offsets in every stack would share one cache set.
    const size_t shift = (all_.size() * 5 % 31) * 64;
    all_.push_back(new Stack{low + kGuardBytes, kStackBytes - shift, {}});
    free_.push_back(all_.back());
  }
}

Stack* StackPool::acquire() {
  if (free_.empty()) grow();
  Stack* stack = free_.back();
  free_.pop_back();
  return stack;
}

void StackPool::release_all() { free_.assign(all_.rbegin(), all_.rend()); }

bool StackPool::is_guard(const void* p) const {
  const auto a = reinterpret_cast<uintptr_t>(p);
  for (const Stack* s : all_) {
    const auto low = reinterpret_cast<uintptr_t>(s->low);
    if (a < low && a >= low - kGuardBytes) return true;
  }
  return false;
}

bool StackPool::contains(const void* p) const {
  for (const char* slab : slabs_)
    if (p >= slab && p < slab + kSlabBytes) return true;
  return false;
}

}  // namespace ccdl::emu
