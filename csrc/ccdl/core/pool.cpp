// Free lists of small blocks, per thread.
#include <ccdl/core/pool.h>
#include <ccdl/core/tls.h>

#include <new>

#if defined(CCDL_SANITIZE) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CCDL_BYPASS_POOL 1
#else
#define CCDL_BYPASS_POOL 0
#endif

namespace ccdl {
namespace {

constexpr size_t kStep = 32;
constexpr size_t kLargest = 1024;
constexpr size_t kClasses = kLargest / kStep;
constexpr size_t kKeptBytes = size_t{64} << 10;  // per class

struct FreeBlock {
  FreeBlock* next;
};

struct FreeList {
  FreeBlock* first = nullptr;
  size_t room = 0;  // how many more blocks it takes
};

struct Lists {
  FreeList of[kClasses];
};

// Of a thread that has none: nothing to take, no room. Never written.
Lists g_none;
CCDL_TLS Lists* t_lists = &g_none;
CCDL_TLS bool t_ended = false;

void empty(Lists& lists) noexcept {
  for (FreeList& list : lists.of) {
    while (FreeBlock* b = list.first) {
      list.first = b->next;
      ++list.room;
      ::operator delete(b);
    }
  }
}

// Gives everything back when the thread ends; what the thread frees later goes to the system.
// The lists are not thread-local themselves: static storage of that kind is scarce (core/tls.h).
struct Owner {
  Lists* lists;
  Owner() : lists(new (std::nothrow) Lists) {
    if (!lists) return;
    for (size_t i = 0; i < kClasses; ++i) lists->of[i].room = kKeptBytes / ((i + 1) * kStep);
    t_lists = lists;
  }
  ~Owner() {
    t_lists = &g_none;
    t_ended = true;
    if (lists) empty(*lists);
    delete lists;
  }
};

void make_lists() noexcept {
  if (t_ended || CCDL_BYPASS_POOL) return;
  static thread_local Owner owner;
  (void)owner;
}

inline size_t class_of(size_t bytes) { return (bytes - 1) / kStep; }  // of 0: past the last

[[gnu::noinline]] void* system_allocate(size_t bytes) {
  const size_t i = class_of(bytes);
  if (t_lists == &g_none) make_lists();
  return ::operator new(i < kClasses ? (i + 1) * kStep : bytes);
}

[[gnu::noinline]] void system_free(void* p, size_t bytes) noexcept {
  ::operator delete(p);
  if (t_lists == &g_none && bytes <= kLargest) make_lists();
}

}  // namespace

void* pool_allocate(size_t bytes) {
  const size_t i = class_of(bytes);
  if (i >= kClasses) [[unlikely]]
    return system_allocate(bytes);
  FreeList& list = t_lists->of[i];
  FreeBlock* b = list.first;
  if (b == nullptr) [[unlikely]]
    return system_allocate(bytes);
  list.first = b->next;
  ++list.room;
  return b;
}

void pool_free(void* p, size_t bytes) noexcept {
  if (p == nullptr) return;
  const size_t i = class_of(bytes);
  if (i >= kClasses) [[unlikely]]
    return system_free(p, bytes);
  FreeList& list = t_lists->of[i];
  if (list.room == 0) [[unlikely]]
    return system_free(p, bytes);
  auto* b = static_cast<FreeBlock*>(p);
  b->next = list.first;
  list.first = b;
  --list.room;
}

void pool_release() noexcept { empty(*t_lists); }

}  // namespace ccdl
