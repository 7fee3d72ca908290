// The device side of the CUDA programming model for kernels compiled by a plain C++ compiler: built-in
// variables, barriers, warp collectives, atomics and bit intrinsics, each acting on the emulated thread that
// runs now. What PTX wrappers need beyond (cp.async, named barriers, warp_meet) is at the end.
#pragma once
#include <cuda_runtime.h>
#include <math.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

namespace ccdl::emu {

// ---- built-in variables: constant for one run of a kernel function ----
[[gnu::const]] uint3 thread_index();
[[gnu::const]] uint3 block_index();
[[gnu::const]] dim3 block_dimensions();
[[gnu::const]] dim3 grid_dimensions();

// ---- memory of the block ----
// The array declared under this key, made on first use; its bytes start uninitialised.
void* shared_bytes(const void* key, const char* name, size_t bytes, size_t align);
template <class T>
[[gnu::always_inline]] inline T& shared_array(const void* key, const char* name) {
  return *static_cast<T*>(shared_bytes(key, name, sizeof(T), alignof(T)));
}
void* dynamic_shared();

// ---- scheduling ----
// Lets the other threads run; for waiting loops.
void yield();
enum class BarrierOp : int { Sync, Count, And, Or };
int block_barrier(BarrierOp op, int predicate, const char* file, int line);
// threads: how many arrive (0 = the whole block), a multiple of 32. Ids 0 to 15; 0 is __syncthreads'.
void named_barrier(int id, int threads, const char* file = __builtin_FILE(), int line = __builtin_LINE());
void named_barrier_arrive(int id, int threads, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE());
void fence();

using MeetFn = void (*)(void* const* slots, void* context);
void meet(const char* op, unsigned mask, size_t payload_bytes, void* payload, MeetFn fn, void* context,
          bool orders_memory, const char* file, int line);

// All lanes of mask meet; the last one to arrive calls compute(slots): slots[lane] points at that lane's
// payload, null for lanes outside mask. Then every lane goes on. compute must touch payloads only: device
// memory is read before the meeting and written after it, by the lane that the instruction assigns.
template <class P, class F>
[[gnu::always_inline]] inline void warp_meet(const char* op, unsigned mask, P& payload, F compute,
                                             const char* file = __builtin_FILE(),
                                             int line = __builtin_LINE()) {
  meet(
      op, mask, sizeof(P), &payload,
      [](void* const* slots, void* context) {
        (*static_cast<F*>(context))(reinterpret_cast<P* const*>(slots));
      },
      &compute, false, file, line);
}

// ---- asynchronous copies: run in the wait that covers them; touching the destination before is a fault ----
// src_bytes are copied, the rest of bytes is zero-filled; bytes is 4, 8 or 16, both sides aligned to it.
void cp_async(void* shared_dst, const void* global_src, int bytes, int src_bytes);
inline void cp_async(void* shared_dst, const void* global_src, int bytes) {
  cp_async(shared_dst, global_src, bytes, bytes);
}
void cp_async_commit();
void cp_async_wait(int groups_left);
inline void cp_async_wait_all() { cp_async_wait(-1); }  // also copies of no group

// ---- explicit checks, for wrappers that move bytes by other means than plain loads and stores ----
// The access lies in shared memory of this block, inside one array, aligned.
void check_shared(const void* p, size_t bytes, size_t align);
void check_global(const void* p, size_t bytes, size_t align);
// Checked like a load or store of the current thread (bounds, alignment, initialised, races).
void load(void* dst, const void* device_src, size_t bytes, size_t align);
void store(void* device_dst, const void* src, size_t bytes, size_t align);
// Ends the launch with a fault of this kind.
[[noreturn]] void fail(const char* kind, const char* message);

// Converting between the 32-bit shared-window addresses of PTX and pointers.
uint32_t shared_address(const void* p);
void* shared_pointer(uint32_t address);

namespace detail {
// source: the lane whose value is returned.
uint64_t shuffle_bits(const char* op, unsigned mask, uint64_t value, int source, const char* file, int line);
unsigned ballot_bits(const char* op, unsigned mask, bool predicate, const char* file, int line);

template <class T>
[[gnu::always_inline]] inline T shuffle(const char* op, unsigned mask, T value, int source, const char* file,
                                        int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4- and 8-byte types");
  static_assert(std::is_arithmetic_v<T>, "shuffles move arithmetic types");
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return std::bit_cast<T>(
      static_cast<Bits>(shuffle_bits(op, mask, std::bit_cast<Bits>(value), source, file, line)));
}
inline int lane() {
  const uint3 t = thread_index();
  const dim3 b = block_dimensions();
  return static_cast<int>((t.x + b.x * (t.y + b.y * t.z)) & 31u);
}
template <class T>
struct Vote {
  T value;
  T result;
};
template <class T, class F>
inline T vote(const char* op, unsigned mask, T value, F fold, const char* file, int line) {
  Vote<T> payload{value, T(0)};
  warp_meet(
      op, mask, payload,
      [&](Vote<T>* const* slots) {
        const T result = fold(slots);
        for (int i = 0; i < 32; ++i)
          if (slots[i]) slots[i]->result = result;
      },
      file, line);
  return payload.result;
}
}  // namespace detail
}  // namespace ccdl::emu

#define threadIdx (::ccdl::emu::thread_index())
#define blockIdx (::ccdl::emu::block_index())
#define blockDim (::ccdl::emu::block_dimensions())
#define gridDim (::ccdl::emu::grid_dimensions())
inline constexpr int warpSize = 32;

#define CCDL_EMU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// ---- barriers and fences ----
inline void __syncthreads(CCDL_EMU_SITE) {
  ccdl::emu::block_barrier(ccdl::emu::BarrierOp::Sync, 0, file, line);
}
inline int __syncthreads_count(int p, CCDL_EMU_SITE) {
  return ccdl::emu::block_barrier(ccdl::emu::BarrierOp::Count, p, file, line);
}
inline int __syncthreads_and(int p, CCDL_EMU_SITE) {
  return ccdl::emu::block_barrier(ccdl::emu::BarrierOp::And, p, file, line);
}
inline int __syncthreads_or(int p, CCDL_EMU_SITE) {
  return ccdl::emu::block_barrier(ccdl::emu::BarrierOp::Or, p, file, line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CCDL_EMU_SITE) {
  ccdl::emu::meet("__syncwarp", mask, 0, nullptr, nullptr, nullptr, true, file, line);
}
inline void __threadfence() { ccdl::emu::fence(); }
inline void __threadfence_block() { ccdl::emu::fence(); }
inline void __threadfence_system() { ccdl::emu::fence(); }
inline void __nanosleep(unsigned) { ccdl::emu::yield(); }

// ---- warp collectives ----
template <class T>
inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, CCDL_EMU_SITE) {
  const int lane = ccdl::emu::detail::lane();
  return ccdl::emu::detail::shuffle("__shfl_sync", mask, v, (lane & ~(width - 1)) | (source & (width - 1)),
                                    file, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, CCDL_EMU_SITE) {
  const int lane = ccdl::emu::detail::lane(), from = lane - static_cast<int>(delta);
  return ccdl::emu::detail::shuffle("__shfl_up_sync", mask, v, from < (lane & ~(width - 1)) ? lane : from,
                                    file, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, CCDL_EMU_SITE) {
  const int lane = ccdl::emu::detail::lane(), from = lane + static_cast<int>(delta);
  return ccdl::emu::detail::shuffle("__shfl_down_sync", mask, v, from > (lane | (width - 1)) ? lane : from,
                                    file, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int lane_mask, int width = 32, CCDL_EMU_SITE) {
  const int lane = ccdl::emu::detail::lane(), from = lane ^ lane_mask;
  return ccdl::emu::detail::shuffle("__shfl_xor_sync", mask, v, from > (lane | (width - 1)) ? lane : from,
                                    file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CCDL_EMU_SITE) {
  return ccdl::emu::detail::ballot_bits("__ballot_sync", mask, predicate != 0, file, line);
}
inline int __any_sync(unsigned mask, int predicate, CCDL_EMU_SITE) {
  return ccdl::emu::detail::ballot_bits("__any_sync", mask, predicate != 0, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CCDL_EMU_SITE) {
  return ccdl::emu::detail::ballot_bits("__all_sync", mask, predicate != 0, file, line) == mask;
}
template <class T>
inline unsigned __match_any_sync(unsigned mask, T v, CCDL_EMU_SITE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  struct Payload {
    T value;
    unsigned result;
  } payload{v, 0};
  ccdl::emu::warp_meet(
      "__match_any_sync", mask, payload,
      [](Payload* const* s) {
        for (int i = 0; i < 32; ++i)
          for (int j = 0; s[i] && j < 32; ++j)
            if (s[j] && std::memcmp(&s[i]->value, &s[j]->value, sizeof(T)) == 0) s[i]->result |= 1u << j;
      },
      file, line);
  return payload.result;
}
#define CCDL_EMU_REDUCE(name, T, expression)            \
  inline T name(unsigned mask, T v, CCDL_EMU_SITE) {    \
    using ccdl::emu::detail::Vote;                      \
    return ccdl::emu::detail::vote(                     \
        #name, mask, v,                                 \
        [](Vote<T>* const* s) {                         \
          bool first = true;                            \
          T a = 0;                                      \
          for (int i = 0; i < 32; ++i) {                \
            if (!s[i]) continue;                        \
            const T b = s[i]->value;                    \
            a = first ? b : static_cast<T>(expression); \
            first = false;                              \
          }                                             \
          return a;                                     \
        },                                              \
        file, line);                                    \
  }
CCDL_EMU_REDUCE(__reduce_add_sync, unsigned, a + b)
CCDL_EMU_REDUCE(__reduce_add_sync, int, static_cast<unsigned>(a) + static_cast<unsigned>(b))
CCDL_EMU_REDUCE(__reduce_min_sync, unsigned, b < a ? b : a)
CCDL_EMU_REDUCE(__reduce_min_sync, int, b < a ? b : a)
CCDL_EMU_REDUCE(__reduce_max_sync, unsigned, a < b ? b : a)
CCDL_EMU_REDUCE(__reduce_max_sync, int, a < b ? b : a)
CCDL_EMU_REDUCE(__reduce_and_sync, unsigned, a& b)
CCDL_EMU_REDUCE(__reduce_or_sync, unsigned, a | b)
CCDL_EMU_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
#undef CCDL_EMU_REDUCE

// ---- atomics: relaxed, device scope ----
#define CCDL_EMU_ATOMICS(T)                                                                  \
  inline T atomicAdd(T* p, T v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }       \
  inline T atomicSub(T* p, T v) { return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED); }       \
  inline T atomicAnd(T* p, T v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }       \
  inline T atomicOr(T* p, T v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }         \
  inline T atomicXor(T* p, T v) { return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED); }       \
  inline T atomicExch(T* p, T v) { return __atomic_exchange_n(p, v, __ATOMIC_RELAXED); }     \
  inline T atomicCAS(T* p, T expected, T v) {                                                \
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED); \
    return expected;                                                                         \
  }                                                                                          \
  inline T atomicMax(T* p, T v) {                                                            \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                            \
    while (!__atomic_compare_exchange_n(p, &old, old < v ? v : old, false, __ATOMIC_RELAXED, \
                                        __ATOMIC_RELAXED)) {                                 \
    }                                                                                        \
    return old;                                                                              \
  }                                                                                          \
  inline T atomicMin(T* p, T v) {                                                            \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                            \
    while (!__atomic_compare_exchange_n(p, &old, v < old ? v : old, false, __ATOMIC_RELAXED, \
                                        __ATOMIC_RELAXED)) {                                 \
    }                                                                                        \
    return old;                                                                              \
  }
CCDL_EMU_ATOMICS(int)
CCDL_EMU_ATOMICS(unsigned)
CCDL_EMU_ATOMICS(unsigned long long)
CCDL_EMU_ATOMICS(long long)
#undef CCDL_EMU_ATOMICS
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  unsigned old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, old >= limit ? 0 : old + 1, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  return old;
}

// ---- memory ----
template <class T>
inline T __ldg(const T* p) {
  return *p;
}
template <class T>
inline T __ldcg(const T* p) {
  return *p;
}
template <class T>
inline T __ldcs(const T* p) {
  return *p;
}
template <class T>
inline void __stcs(T* p, const T& v) {
  *p = v;
}
template <class T>
inline void __stcg(T* p, const T& v) {
  *p = v;
}
inline size_t __cvta_generic_to_shared(const void* p) { return ccdl::emu::shared_address(p); }

#undef CCDL_EMU_SITE

#include <emulator/intrinsics.h>
