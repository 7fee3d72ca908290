// Cooperative contexts: a hand-written switch on x86-64 (about 5 ns), ucontext elsewhere; stacks with a guard
// page, pooled.
#pragma once
#include <cstddef>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace ccdl::emu {

constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kGuardBytes = 4096;
constexpr size_t kStacksPerSlab = 64;
constexpr size_t kSlabBytes = kStacksPerSlab * (kStackBytes + kGuardBytes);

// Where a suspended context goes on.
struct Context {
#if defined(__x86_64__)
  void* sp = nullptr;
#else
  ucontext_t state;
#endif
};

struct Stack {
  char* low;  // first usable byte, right above the guard page
  size_t bytes;
  Context fresh;  // used while a context starts on this stack
};

// Goes on with `to`; what runs now can be resumed from `from`.
void switch_context(Context* from, Context* to);
// A context that calls entry() on this stack; entry must never return.
void prepare_context(Context* context, const Stack& stack, void (*entry)());

// Stacks for reuse; all of them go back at once after a launch that was given up.
class StackPool {
 public:
  Stack* acquire();
  void release(Stack* stack) { free_.push_back(stack); }
  void release_all();
  // True for an address in a guard page.
  bool is_guard(const void* p) const;
  bool contains(const void* p) const;

 private:
  void grow();
  std::vector<Stack*> all_, free_;
  std::vector<char*> slabs_;
};

}  // namespace ccdl::emu
