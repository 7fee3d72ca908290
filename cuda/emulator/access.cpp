// The instrumentation hooks: kernels are compiled with -fsanitize=thread, and these are its functions. Every
// load and store outside of plain locals arrives here with its address; host memory is left alone.
#include <dlfcn.h>
#include <emulator/async.h>
#include <emulator/lint.h>
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/race.h>
#include <emulator/report.h>

#include <cstring>

namespace ccdl::emu {

namespace {

const char* const kNames[] = {"read", "write", "atomic read", "atomic"};

void host_access(const void* p, size_t bytes, Access kind, const void* pc) {
  fault("host-dereference",
        std::string("host code touches device memory (") + std::to_string(bytes) + "-byte " +
            kNames[static_cast<int>(kind)] + " at " + std::to_string(reinterpret_cast<uintptr_t>(p)) +
            "); copy it with cudaMemcpy first",
        {nullptr, 0, pc});
  leave_open();
}

[[noreturn]] void bad_address(const void* p, size_t bytes, Access kind, const void* pc) {
  const bool freed = *shadow_of(p) == kFreedByte;
  std::string text = std::to_string(bytes) + "-byte " + kNames[static_cast<int>(kind)];
  if (in_window(p)) {
    const Block* b = current->block;
    const char* a = static_cast<const char*>(p);
    text += " of shared memory";
    const SharedArray* nearest = nullptr;
    for (const SharedArray& s : b->arrays)
      if (s.data <= a && (!nearest || s.data > nearest->data)) nearest = &s;
    if (nearest && a < b->shared + kSharedSlot)
      text += ", " + std::to_string(a - nearest->data) + " bytes from the start of array " + nearest->name +
              " of " + std::to_string(nearest->bytes) + " bytes";
    else
      text += " outside every array of the block (dynamic: " + std::to_string(a - b->dynamic) + " of " +
              std::to_string(b->dynamic_bytes) + " bytes)";
  } else {
    text += " " + describe_address(p);
  }
  kernel_fault(freed ? "use-after-free" : "out-of-bounds", text, {nullptr, 0, pc});
}

// Library templates may have been compiled with the kernels and be shared with the emulator's own code.
// Looking up a symbol takes a good part of a millisecond in a large library, so answers are kept.
bool in_standard_library(const void* pc) {
  constexpr size_t kCached = 4096;
  static const void* places[kCached];
  static bool answers[kCached];
  const size_t slot = (reinterpret_cast<uintptr_t>(pc) * 0x9E3779B97F4A7C15u) >> 52;
  if (places[slot] != pc) {
    Dl_info caller{};
    answers[slot] =
        dladdr(pc, &caller) && caller.dli_sname &&
        (!std::strncmp(caller.dli_sname, "_ZNSt", 5) || !std::strncmp(caller.dli_sname, "_ZNKSt", 6) ||
         !std::strncmp(caller.dli_sname, "_ZSt", 4) || !std::strncmp(caller.dli_sname, "_ZN9__gnu", 9));
    places[slot] = pc;
  }
  return answers[slot];
}

// Host memory met by a kernel: stacks, arguments, static data and pinned blocks are fine, pageable memory is
// not.
void foreign(const void* p, size_t bytes, Access kind, const void* pc) {
  constexpr size_t kCached = 64;
  static uintptr_t accepted[kCached];  // pages met before in this launch
  static uint64_t launch = 0;
  if (!runs_kernels) return;
  if (launch != active->number) {
    std::memset(accepted, 0, sizeof accepted);
    launch = active->number;
  }
  const uintptr_t page = reinterpret_cast<uintptr_t>(p) >> 12;
  if (page == 0) return;  // faults by itself
  uintptr_t& slot = accepted[page % kCached];
  if (slot == page) return;
  if (!on_any_stack(p) && !in_launch_state(p) && !is_pinned(p) && !in_loaded_object(p)) {
    if (in_standard_library(pc)) return;
    kernel_fault("host-memory",
                 std::string("the kernel touches pageable host memory (") + std::to_string(bytes) + "-byte " +
                     kNames[static_cast<int>(kind)] + "), an illegal address on a GPU",
                 {nullptr, 0, pc});
  }
  slot = page;
}

void checked(const void* p, size_t bytes, size_t align, Access kind, const void* pc) {
  if (!runs_kernels) return host_access(p, bytes, kind, pc);
  const auto address = reinterpret_cast<uintptr_t>(p);
  if (address & (align - 1))
    kernel_fault("misaligned",
                 std::to_string(bytes) + "-byte " + kNames[static_cast<int>(kind)] +
                     " at an address that is " + std::to_string(address & (align - 1)) +
                     " bytes off its alignment",
                 {nullptr, 0, pc});
  const uintptr_t off = address - arena.base;
  const size_t in = off % kGranule;
  if (in + bytes <= kGranule) {
    const uint8_t s = arena.shadow[off / kGranule];
    if (__builtin_expect(s > kGranule || in + bytes > s, 0)) bad_address(p, bytes, kind, pc);
  } else if (!accessible(p, bytes)) {
    bad_address(p, bytes, kind, pc);
  }
  if (off < kWindow) {
    if (static_cast<int>(off / kSharedSlot) != current->block->slot)
      kernel_fault("out-of-bounds", "access to the shared memory of another block", {nullptr, 0, pc});
    shared_access(p, bytes, kind, pc);
  } else if (races_on) {
    global_access(p, bytes, kind, pc);
  }
  if (__builtin_expect(lint_on, 0) && kind != Access::AtomicRead && kind != Access::AtomicWrite)
    lint_access(p, bytes, kind == Access::Write, pc);
}

inline __attribute__((always_inline)) void touch(const void* p, size_t bytes, size_t align, Access kind,
                                                 const void* pc) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  if (address - arena.base < arena.bytes) return checked(p, bytes, align, kind, pc);
  if (!current) return;
  if (address - reinterpret_cast<uintptr_t>(current->stack->low) >= kStackBytes)
    foreign(p, bytes, kind, pc);
  else if (__builtin_expect(current->async != nullptr, 0))
    register_access(p, bytes, kind == Access::Write || kind == Access::AtomicWrite, pc);
}

}  // namespace

void check_shared(const void* p, size_t bytes, size_t align) {
  const void* pc = __builtin_return_address(0);
  if (!in_arena(p) || !in_window(p))
    kernel_fault("out-of-bounds", "this pointer does not point into shared memory", {nullptr, 0, pc});
  if (reinterpret_cast<uintptr_t>(p) % align != 0)
    kernel_fault("misaligned",
                 "a shared-memory address is not aligned to " + std::to_string(align) + " bytes",
                 {nullptr, 0, pc});
  if (!accessible(p, bytes)) bad_address(p, bytes, Access::Read, pc);
}

void check_global(const void* p, size_t bytes, size_t align) {
  const void* pc = __builtin_return_address(0);
  if (!in_arena(p) || in_window(p))
    kernel_fault("out-of-bounds", "this pointer does not point into device memory", {nullptr, 0, pc});
  if (reinterpret_cast<uintptr_t>(p) % align != 0)
    kernel_fault("misaligned", "a global address is not aligned to " + std::to_string(align) + " bytes",
                 {nullptr, 0, pc});
  if (!accessible(p, bytes)) bad_address(p, bytes, Access::Read, pc);
}

void load(void* dst, const void* device_src, size_t bytes, size_t align) {
  touch(device_src, bytes, align, Access::Read, __builtin_return_address(0));
  std::memcpy(dst, device_src, bytes);
}

void store(void* device_dst, const void* src, size_t bytes, size_t align) {
  touch(device_dst, bytes, align, Access::Write, __builtin_return_address(0));
  std::memcpy(device_dst, src, bytes);
}

}  // namespace ccdl::emu

using ccdl::emu::Access;
using ccdl::emu::touch;

#define CCDL_EMU_ACCESS(name, bytes, align, kind)                      \
  extern "C" void __tsan_##name(void* p) {                             \
    touch(p, bytes, align, Access::kind, __builtin_return_address(0)); \
  }                                                                    \
  extern "C" void __tsan_##name##_pc(void* p, void* pc) { touch(p, bytes, align, Access::kind, pc); }
#define CCDL_EMU_ACCESSES(bytes)                                        \
  CCDL_EMU_ACCESS(read##bytes, bytes, bytes, Read)                      \
  CCDL_EMU_ACCESS(write##bytes, bytes, bytes, Write)                    \
  CCDL_EMU_ACCESS(unaligned_read##bytes, bytes, 1, Read)                \
  CCDL_EMU_ACCESS(unaligned_write##bytes, bytes, 1, Write)              \
  CCDL_EMU_ACCESS(volatile_read##bytes, bytes, bytes, AtomicRead)       \
  CCDL_EMU_ACCESS(volatile_write##bytes, bytes, bytes, AtomicWrite)     \
  CCDL_EMU_ACCESS(unaligned_volatile_read##bytes, bytes, 1, AtomicRead) \
  CCDL_EMU_ACCESS(unaligned_volatile_write##bytes, bytes, 1, AtomicWrite)
CCDL_EMU_ACCESSES(1)
CCDL_EMU_ACCESSES(2)
CCDL_EMU_ACCESSES(4)
CCDL_EMU_ACCESSES(8)
CCDL_EMU_ACCESSES(16)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void) {}
void __tsan_read_range(void* p, unsigned long bytes) {
  touch(p, bytes, 1, Access::Read, __builtin_return_address(0));
}
void __tsan_write_range(void* p, unsigned long bytes) {
  touch(p, bytes, 1, Access::Write, __builtin_return_address(0));
}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
}

namespace ccdl::emu {
namespace {
void atomic_touch(const void* p, size_t bytes, AtomicKind kind, int order, const void* pc) {
  touch(p, bytes, bytes, kind == AtomicKind::Load ? Access::AtomicRead : Access::AtomicWrite, pc);
  if (current && in_arena(p))
    order_atomic(current, p, kind, order == __ATOMIC_RELEASE || order >= __ATOMIC_ACQ_REL);
}
}  // namespace
}  // namespace ccdl::emu
using ccdl::emu::atomic_touch;
using ccdl::emu::AtomicKind;

// Atomics are real ones: launchers use them on host memory too.
#define CCDL_EMU_ATOMIC(bits, T)                                                                             \
  extern "C" T __tsan_atomic##bits##_load(const volatile T* p, int order) {                                  \
    atomic_touch(const_cast<const T*>(p), sizeof(T), AtomicKind::Load, order, __builtin_return_address(0));  \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                             \
  }                                                                                                          \
  extern "C" void __tsan_atomic##bits##_store(volatile T* p, T v, int order) {                               \
    atomic_touch(const_cast<const T*>(p), sizeof(T), AtomicKind::Store, order, __builtin_return_address(0)); \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                          \
  CCDL_EMU_ATOMIC_RMW(bits, T, exchange, __atomic_exchange_n)                                                \
  CCDL_EMU_ATOMIC_RMW(bits, T, fetch_add, __atomic_fetch_add)                                                \
  CCDL_EMU_ATOMIC_RMW(bits, T, fetch_sub, __atomic_fetch_sub)                                                \
  CCDL_EMU_ATOMIC_RMW(bits, T, fetch_and, __atomic_fetch_and)                                                \
  CCDL_EMU_ATOMIC_RMW(bits, T, fetch_or, __atomic_fetch_or)                                                  \
  CCDL_EMU_ATOMIC_RMW(bits, T, fetch_xor, __atomic_fetch_xor)                                                \
  CCDL_EMU_ATOMIC_RMW(bits, T, fetch_nand, __atomic_fetch_nand)                                              \
  extern "C" int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T v, int order,   \
                                                               int) {                                        \
    atomic_touch(const_cast<const T*>(p), sizeof(T), AtomicKind::Update, order,                              \
                 __builtin_return_address(0));                                                               \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }                                                                                                          \
  extern "C" int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* expected, T v, int order,     \
                                                             int) {                                          \
    atomic_touch(const_cast<const T*>(p), sizeof(T), AtomicKind::Update, order,                              \
                 __builtin_return_address(0));                                                               \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }                                                                                                          \
  extern "C" T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T expected, T v, int order, int) {  \
    atomic_touch(const_cast<const T*>(p), sizeof(T), AtomicKind::Update, order,                              \
                 __builtin_return_address(0));                                                               \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                 \
    return expected;                                                                                         \
  }
#define CCDL_EMU_ATOMIC_RMW(bits, T, name, builtin)                             \
  extern "C" T __tsan_atomic##bits##_##name(volatile T* p, T v, int order) {    \
    atomic_touch(const_cast<const T*>(p), sizeof(T), AtomicKind::Update, order, \
                 __builtin_return_address(0));                                  \
    return builtin(p, v, __ATOMIC_SEQ_CST);                                     \
  }

CCDL_EMU_ATOMIC(8, uint8_t)
CCDL_EMU_ATOMIC(16, uint16_t)
CCDL_EMU_ATOMIC(32, uint32_t)
CCDL_EMU_ATOMIC(64, uint64_t)

extern "C" void __tsan_atomic_thread_fence(int) {
  if (ccdl::emu::current)
    ccdl::emu::order_fence(ccdl::emu::current);
  else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
extern "C" void __tsan_atomic_signal_fence(int) {}

namespace ccdl::emu {
void fence() { order_fence(current); }
}  // namespace ccdl::emu
