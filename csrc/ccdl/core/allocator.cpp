// Size classes, thread-local lists, shared lists, limits and statistics.
// A cached block carries its list links in its own first bytes. Counters on the hot path are per thread with
// a single writer and are summed when asked for; a thread hands blocks and counters to the shared part when
// it ends.
#include <ccdl/core/allocator.h>
#include <ccdl/core/error.h>
#include <ccdl/core/pool.h>
#include <ccdl/core/system.h>
#include <ccdl/core/tls.h>

#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>

#if defined(CCDL_SANITIZE) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CCDL_BYPASS_CACHE 1
#else
#define CCDL_BYPASS_CACHE 0
#endif

namespace ccdl {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLocalMax = size_t{1} << 20;     // largest block kept by a thread
constexpr size_t kLocalBytes = size_t{16} << 20;  // bytes kept by a thread
constexpr size_t kFineFrom = size_t{64} << 20;
constexpr size_t kMaxBytes = size_t{1} << 62;
constexpr int kSmallClasses = 16;              // 64, 128 ... 1024
constexpr int kCoarseClasses = (26 - 10) * 4;  // 1 KB ... 64 MB
constexpr int kClasses = kSmallClasses + kCoarseClasses + (62 - 26) * 16;
constexpr int kLocalClasses = kSmallClasses + (20 - 10) * 4;
constexpr int64_t kMinCap = int64_t{256} << 20;
constexpr int64_t kFlushBytes = 1 << 20;

struct SizeClass {
  int index;
  size_t bytes;
};

inline SizeClass size_class(size_t bytes) {
  if (bytes <= 1024) {
    const int i = static_cast<int>((bytes - 1) / 64);
    return {i, static_cast<size_t>(i + 1) * 64};
  }
  const int top = 63 - __builtin_clzll(bytes - 1);  // bytes - 1 is in [2^top, 2^(top+1))
  const int bits = bytes <= kFineFrom ? 2 : 4;
  const size_t quantum = size_t{1} << (top - bits);
  const int step = static_cast<int>((bytes - 1 - (size_t{1} << top)) / quantum);
  const size_t rounded = (size_t{1} << top) + static_cast<size_t>(step + 1) * quantum;
  const int base =
      bytes <= kFineFrom ? kSmallClasses + (top - 10) * 4 : kSmallClasses + kCoarseClasses + (top - 26) * 16;
  return {base + step, rounded};
}

struct FreeBlock {
  FreeBlock* next;  // same class
  FreeBlock* prev;
  FreeBlock* newer;  // by time of release, shared lists only
  FreeBlock* older;
  size_t capacity;
};

// Written by its thread alone, read by memory_stats().
struct Counter {
  std::atomic<int64_t> value{0};
  void add(int64_t n) { value.store(value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
};

struct ThreadCache {
  FreeBlock* lists[kLocalClasses] = {};
  size_t cached = 0;
  int64_t unflushed = 0;  // allocated bytes not yet in the shared figure
  Counter delta;          // the same, for readers
  Counter allocations, frees;
  ThreadCache* next = nullptr;
  ThreadCache* prev = nullptr;
};

struct Shared {
  std::mutex mutex;
  FreeBlock* lists[kClasses] = {};
  FreeBlock* newest = nullptr;
  FreeBlock* oldest = nullptr;
  int64_t cached = 0;  // bytes in the shared lists
  ThreadCache* threads = nullptr;
  int64_t retired_allocations = 0, retired_frees = 0;
  std::atomic<int64_t> allocated{0}, peak_allocated{0}, reserved{0}, peak_reserved{0}, system_allocations{0};
  std::atomic<int64_t> limit{0};  // 0: not decided yet
};

void fork_prepare();
void fork_release();

// Never destroyed: static objects of others may free tensors late.
Shared& shared() {
  static Shared* s = [] {
    pthread_atfork(fork_prepare, fork_release, fork_release);
    return new Shared;
  }();
  return *s;
}
void fork_prepare() { shared().mutex.lock(); }
void fork_release() { shared().mutex.unlock(); }

std::atomic<int64_t> g_fault{0};
alignas(kAllocAlignment) char g_empty[kAllocAlignment];

void raise_to(std::atomic<int64_t>& peak, int64_t value) {
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < value && !peak.compare_exchange_weak(seen, value)) {
  }
}

int64_t default_limit() {
  const char* text = std::getenv("CCDL_MEMORY_LIMIT");
  if (text == nullptr || *text == '\0') return physical_memory_limit();
  char* end = nullptr;
  const long long n = std::strtoll(text, &end, 10);
  CCDL_CHECK(*end == '\0' && n >= 1, Value,
             "CCDL_MEMORY_LIMIT: expected a positive number of bytes but it is '", text, "'");
  return n;
}

std::string size_text(uint64_t bytes) {
  return bytes < (uint64_t{10} << 20) ? str(bytes, " bytes") : str(bytes >> 20, " MiB (", bytes, " bytes)");
}

void release_to_system(void* p, size_t capacity) {
  shared().reserved.fetch_sub(static_cast<int64_t>(capacity), std::memory_order_relaxed);
  if (capacity >= kHugePage) {
    munmap(p, capacity);
  } else {
    std::free(p);
  }
}

void* map_huge(size_t capacity) {
  const size_t span = capacity + kHugePage;
  char* raw =
      static_cast<char*>(mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (raw == MAP_FAILED) return nullptr;
  char* aligned =
      reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(raw) + kHugePage - 1) & ~(kHugePage - 1));
  if (aligned != raw) munmap(raw, static_cast<size_t>(aligned - raw));
  if (aligned + capacity != raw + span)
    munmap(aligned + capacity, static_cast<size_t>(raw + span - aligned) - capacity);
  madvise(aligned, capacity, MADV_HUGEPAGE);
  return aligned;
}

void shared_unlink(Shared& s, FreeBlock* b) {
  const int index = size_class(b->capacity).index;
  (b->prev ? b->prev->next : s.lists[index]) = b->next;
  if (b->next) b->next->prev = b->prev;
  (b->newer ? b->newer->older : s.newest) = b->older;
  (b->older ? b->older->newer : s.oldest) = b->newer;
  s.cached -= static_cast<int64_t>(b->capacity);
}

[[maybe_unused]] void* shared_take(int index) {
  Shared& s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  FreeBlock* b = s.lists[index];
  if (b != nullptr) shared_unlink(s, b);
  return b;
}

// Puts a block into the shared lists; whatever exceeds the cap leaves, oldest first.
void shared_put(void* p, size_t capacity) {
  Shared& s = shared();
  const int64_t cap = s.peak_allocated.load(std::memory_order_relaxed) / 2;
  FreeBlock* leaving = nullptr;
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    auto* b = static_cast<FreeBlock*>(p);
    const int index = size_class(capacity).index;
    *b = {s.lists[index], nullptr, nullptr, s.newest, capacity};
    if (b->next) b->next->prev = b;
    s.lists[index] = b;
    (s.newest ? s.newest->newer : s.oldest) = b;
    s.newest = b;
    s.cached += static_cast<int64_t>(capacity);
    while (s.cached > (cap > kMinCap ? cap : kMinCap) && s.oldest != nullptr) {
      FreeBlock* old = s.oldest;
      shared_unlink(s, old);
      old->next = leaving;
      leaving = old;
    }
  }
  while (leaving != nullptr) {
    FreeBlock* next = leaving->next;
    release_to_system(leaving, leaving->capacity);
    leaving = next;
  }
}

void release_shared() {
  Shared& s = shared();
  FreeBlock* b;
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    b = s.newest;
    s.newest = s.oldest = nullptr;
    s.cached = 0;
    for (auto& list : s.lists) list = nullptr;
  }
  while (b != nullptr) {
    FreeBlock* older = b->older;
    release_to_system(b, b->capacity);
    b = older;
  }
}

void flush_counters(Shared& s, ThreadCache& t) {
  const int64_t now = s.allocated.fetch_add(t.unflushed, std::memory_order_relaxed) + t.unflushed;
  t.unflushed = 0;
  t.delta.value.store(0, std::memory_order_relaxed);
  raise_to(s.peak_allocated, now);
}

CCDL_TLS ThreadCache* t_cache = nullptr;
CCDL_TLS bool t_ended = false;

// Hands everything to the shared part when the thread ends; later frees of this thread go there directly.
struct ThreadCacheOwner {
  ThreadCache* cache = nullptr;
  ~ThreadCacheOwner() {
    if (cache == nullptr) return;
    t_cache = nullptr;
    t_ended = true;
    for (FreeBlock*& list : cache->lists) {
      while (list != nullptr) {
        FreeBlock* next = list->next;
        shared_put(list, list->capacity);
        list = next;
      }
    }
    Shared& s = shared();
    flush_counters(s, *cache);
    std::lock_guard<std::mutex> lock(s.mutex);
    s.retired_allocations += cache->allocations.value.load();
    s.retired_frees += cache->frees.value.load();
    (cache->prev ? cache->prev->next : s.threads) = cache->next;
    if (cache->next) cache->next->prev = cache->prev;
    delete cache;
  }
};

[[gnu::noinline]] ThreadCache* make_thread_cache() noexcept {
  if (t_ended || CCDL_BYPASS_CACHE) return nullptr;
  static thread_local ThreadCacheOwner owner;
  auto* t = new (std::nothrow) ThreadCache;
  if (t == nullptr) return nullptr;
  owner.cache = t;
  Shared& s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  t->next = s.threads;
  if (s.threads) s.threads->prev = t;
  s.threads = t;
  t_cache = t;
  return t;
}

inline ThreadCache* thread_cache() noexcept { return t_cache != nullptr ? t_cache : make_thread_cache(); }

inline void count(ThreadCache* t, int64_t bytes) {
  if (t == nullptr) {
    Shared& s = shared();
    raise_to(s.peak_allocated, s.allocated.fetch_add(bytes, std::memory_order_relaxed) + bytes);
    std::lock_guard<std::mutex> lock(s.mutex);
    (bytes > 0 ? s.retired_allocations : s.retired_frees) += 1;
    return;
  }
  (bytes > 0 ? t->allocations : t->frees).add(1);
  t->unflushed += bytes;
  t->delta.value.store(t->unflushed, std::memory_order_relaxed);
  if (t->unflushed >= kFlushBytes || t->unflushed <= -kFlushBytes) flush_counters(shared(), *t);
}

void empty_local(ThreadCache* t) {
  if (t == nullptr) return;
  for (FreeBlock*& list : t->lists) {
    while (list != nullptr) {
      FreeBlock* next = list->next;
      release_to_system(list, list->capacity);
      list = next;
    }
  }
  t->cached = 0;
}

[[noreturn]] void fail_memory(size_t bytes, const char* why) {
  const MemoryStats m = memory_stats();
  fail(ErrorKind::Memory,
       str("allocate: a request of ", size_text(bytes), " ", why, "; limit ", size_text(memory_limit()),
           ", in use ", size_text(m.allocated), ", reserved ", size_text(m.reserved)));
}

// A block no cache had. Caches are emptied before the limit, or the system, may refuse.
[[gnu::noinline]] void* system_allocate(size_t bytes, size_t capacity) {
  Shared& s = shared();
  const int64_t limit = memory_limit(), want = static_cast<int64_t>(capacity);
  if (want > limit) fail_memory(bytes, "exceeds the memory limit");
  if (s.reserved.fetch_add(want) + want > limit) {
    empty_cache();
    if (s.reserved.load() > limit) {
      s.reserved.fetch_sub(want);
      fail_memory(bytes, "does not fit beside what is in use");
    }
  }
  for (int attempt = 0; attempt < 2; ++attempt) {
    void* p = nullptr;
    if (capacity >= kHugePage && !CCDL_BYPASS_CACHE) {
      p = map_huge(capacity);
    } else if (posix_memalign(&p, kAllocAlignment, capacity) != 0) {
      p = nullptr;
    }
    if (p != nullptr) {
      raise_to(s.peak_reserved, s.reserved.load(std::memory_order_relaxed));
      s.system_allocations.fetch_add(1, std::memory_order_relaxed);
      return p;
    }
    empty_cache();
  }
  s.reserved.fetch_sub(want);
  fail_memory(bytes, "was refused by the operating system");
}

void take_fault(size_t bytes) {
  int64_t n = g_fault.load();
  while (n > 0 && !g_fault.compare_exchange_weak(n, n - 1)) {
  }
  if (n == 1) fail_memory(bytes, "was refused by the fault injection of a test");
}

}  // namespace

// Below this a reused block's own pages, filled, are cheaper than new ones.
constexpr size_t kZeroPagesFrom = size_t{256} << 20;

bool cpu_zero_pages(void* p, size_t bytes) noexcept {
  if (CCDL_BYPASS_CACHE || bytes < kZeroPagesFrom || bytes >= kMaxBytes) return false;
  return madvise(p, size_class(bytes).bytes, MADV_DONTNEED) == 0;
}

void* cpu_allocate(size_t bytes, size_t* capacity) {
  if (bytes == 0) {
    *capacity = 0;
    return g_empty;
  }
  if (g_fault.load(std::memory_order_relaxed) != 0) [[unlikely]]
    take_fault(bytes);
  if (bytes >= kMaxBytes) [[unlikely]]
    fail_memory(bytes, "exceeds the memory limit");
#if CCDL_BYPASS_CACHE
  void* p = system_allocate(bytes, bytes);
  *capacity = bytes;
  count(nullptr, static_cast<int64_t>(bytes));
  return p;
#else
  const SizeClass c = size_class(bytes);
  ThreadCache* t = thread_cache();
  void* p = nullptr;
  if (c.bytes <= kLocalMax && t != nullptr && t->lists[c.index] != nullptr) {
    FreeBlock* b = t->lists[c.index];
    t->lists[c.index] = b->next;
    t->cached -= c.bytes;
    p = b;
  } else {
    p = shared_take(c.index);
    if (p == nullptr) p = system_allocate(bytes, c.bytes);
  }
  *capacity = c.bytes;
  count(t, static_cast<int64_t>(c.bytes));
  return p;
#endif
}

void cpu_free(void* p, size_t capacity) noexcept {
  if (capacity == 0) return;
#if CCDL_BYPASS_CACHE
  count(nullptr, -static_cast<int64_t>(capacity));
  shared().reserved.fetch_sub(static_cast<int64_t>(capacity));
  std::free(p);
#else
  ThreadCache* t = thread_cache();
  count(t, -static_cast<int64_t>(capacity));
  if (capacity <= kLocalMax && t != nullptr && t->cached + capacity <= kLocalBytes) {
    auto* b = static_cast<FreeBlock*>(p);
    const int index = size_class(capacity).index;
    b->next = t->lists[index];
    b->capacity = capacity;
    t->lists[index] = b;
    t->cached += capacity;
    return;
  }
  shared_put(p, capacity);
#endif
}

void empty_cache() noexcept {
  pool_release();
  empty_local(t_cache);
  release_shared();
}

MemoryStats memory_stats() noexcept {
  Shared& s = shared();
  MemoryStats m{};
  std::lock_guard<std::mutex> lock(s.mutex);
  m.allocated = s.allocated.load();
  m.allocations = s.retired_allocations;
  m.frees = s.retired_frees;
  for (const ThreadCache* t = s.threads; t != nullptr; t = t->next) {
    m.allocated += t->delta.value.load(std::memory_order_relaxed);
    m.allocations += t->allocations.value.load(std::memory_order_relaxed);
    m.frees += t->frees.value.load(std::memory_order_relaxed);
  }
  raise_to(s.peak_allocated, m.allocated);
  m.peak_allocated = s.peak_allocated.load();
  m.reserved = s.reserved.load();
  m.peak_reserved = s.peak_reserved.load();
  m.system_allocations = s.system_allocations.load();
  m.limit = s.limit.load();
  return m;
}

void reset_peak_memory_stats() noexcept {
  Shared& s = shared();
  s.peak_allocated.store(0);
  s.peak_reserved.store(s.reserved.load());
  memory_stats();  // raises the peak to what is in use now
}

int64_t memory_limit() {
  Shared& s = shared();
  int64_t limit = s.limit.load(std::memory_order_relaxed);
  if (limit == 0) {
    const int64_t wanted = default_limit();
    if (s.limit.compare_exchange_strong(limit, wanted)) limit = wanted;
  }
  return limit;
}

void set_memory_limit(int64_t bytes) {
  CCDL_CHECK(bytes >= 0, Value, "set_memory_limit: expected a number of bytes >= 0 but got ", bytes);
  shared().limit.store(bytes == 0 ? default_limit() : bytes);
}

void set_alloc_fault(int64_t nth) noexcept { g_fault.store(nth > 0 ? nth : 0); }

}  // namespace ccdl
