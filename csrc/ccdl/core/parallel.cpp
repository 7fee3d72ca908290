// The thread pool. A job is a slot in a fixed table: one 64-bit word (generation, closed bit, next chunk)
// that caller and workers advance by compare-and-swap, so a late worker can never take a chunk of a job that
// is over, and the caller waits only for chunks in flight, never for a worker that has not begun. Workers
// spin for a while after a job, then sleep on a futex; a caller wakes one sleeper and each woken worker wakes
// the next. Threads start with the first job.
#include <ccdl/core/error.h>
#include <ccdl/core/parallel.h>
#include <ccdl/core/system.h>
#include <ccdl/core/tls.h>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

namespace ccdl {
namespace {

using Clock = std::chrono::steady_clock;
using ChunkFn = void (*)(void*, int64_t);

constexpr int kSlots = 32;  // jobs of different user threads in flight; further ones run serially
constexpr int kMaxThreads = 1024;
constexpr uint64_t kClosed = 1u << 31;
constexpr uint64_t kNextMask = kClosed - 1;
constexpr int64_t kMaxChunks = 1 << 30;  // per slot use; longer jobs are split
constexpr auto kWorkerSpin = std::chrono::microseconds(80);
constexpr auto kCallerSpin = std::chrono::microseconds(30);
constexpr auto kInterruptPeriod = std::chrono::milliseconds(50);

struct alignas(128) Slot {
  std::atomic<uint64_t> word{kClosed};  // generation << 32 | closed << 31 | next chunk
  std::atomic<uint32_t> done{0};        // chunks finished by workers; futex of the waiting caller
  std::atomic<uint32_t> waiting{0};
  std::atomic<bool> owned{false};
  std::atomic<bool> failed{false};
  std::atomic<int> cpu{-1};  // where the caller ran when it published the job
  // Changed only while the word is closed.
  std::atomic<ChunkFn> fn{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<uint64_t> chunks{0};
  std::exception_ptr error;
};

struct Pool {
  Slot slots[kSlots];
  alignas(128) std::atomic<uint32_t> epoch{0};  // bumped by every job; futex of the sleeping workers
  std::atomic<int> used_slots{0};               // slots ever used: what a worker looks at
  alignas(128) std::atomic<int> sleepers{0};    // sleeping and not yet claimed by a waker
  std::atomic<int> threads{0};                  // 0: not decided yet
  std::atomic<int> workers{0};                  // started
  std::mutex mutex;                             // starting and stopping workers
  pthread_t handles[kMaxThreads];
};

// Never destroyed: workers may outlive static destruction.
Pool& pool() {
  static Pool* p = new Pool;
  return *p;
}

std::atomic<bool (*)()> g_interrupt_check{nullptr};
CCDL_TLS bool t_in_region = false;
CCDL_TLS bool t_is_worker = false;
CCDL_TLS bool t_serial = false;
CCDL_TLS int64_t t_last_check_ns = 0;

void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int futex_wait(std::atomic<uint32_t>* word, uint32_t expected) {
  const long r = syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAIT_PRIVATE, expected, nullptr,
                         nullptr, 0);
  return r == 0 ? 0 : errno;
}

long futex_wake(std::atomic<uint32_t>* word, int count) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr,
                 0);
}

// Wakes one sleeper. `sleepers` falls when a waker claims it, so a caller that goes on launching jobs while
// the woken worker is still on its way makes no further system call.
void wake_one(Pool& p) {
  int n = p.sleepers.load();
  while (n > 0 && !p.sleepers.compare_exchange_weak(n, n - 1)) {
  }
  if (n > 0 && futex_wake(&p.epoch, 1) == 0)
    p.sleepers.fetch_add(1);  // it was not asleep yet and will see the epoch
}

// True when a long op on the calling thread must stop; asks at most every 50 ms.
bool interrupt_due() {
  auto* check = g_interrupt_check.load(std::memory_order_relaxed);
  if (check == nullptr) return false;
  const int64_t now = Clock::now().time_since_epoch().count();
  if (now - t_last_check_ns < std::chrono::nanoseconds(kInterruptPeriod).count()) return false;
  t_last_check_ns = now;
  return check();
}

[[noreturn]] void throw_interrupt() { fail(ErrorKind::Interrupt, "interrupted"); }

// Claims the next chunk of the job that `word` showed. False: the job is drained, closed or another one.
// The fields read between the two accesses of the word belong to its generation when the swap succeeds.
bool claim(Slot& s, uint64_t& word, int64_t* chunk, ChunkFn* fn, void** context) {
  for (;;) {
    const uint64_t next = word & kNextMask;
    if ((word & kClosed) != 0 || next >= s.chunks.load(std::memory_order_relaxed)) return false;
    *fn = s.fn.load(std::memory_order_relaxed);
    *context = s.context.load(std::memory_order_relaxed);
    if (s.word.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      *chunk = static_cast<int64_t>(next);
      ++word;
      return true;
    }
  }
}

void record_failure(Slot& s) {
  if (!s.failed.exchange(true)) s.error = std::current_exception();
  s.word.fetch_or(kClosed);
}

// A worker's share of one slot. Returns whether it ran anything.
bool help(Pool& p, Slot& s) {
  uint64_t word = s.word.load(std::memory_order_acquire);
  int64_t chunk;
  ChunkFn fn;
  void* context;
  bool ran = false;
  while (claim(s, word, &chunk, &fn, &context)) {
    if (!ran && p.sleepers.load(std::memory_order_relaxed) > 0 &&
        (word & kNextMask) < s.chunks.load(std::memory_order_relaxed)) {
      wake_one(p);
    }
    ran = true;
    try {
      fn(context, chunk);
    } catch (...) {
      record_failure(s);
    }
    s.done.fetch_add(1);  // the last touch of this job: its caller may go on from here
    if (s.waiting.load() != 0) futex_wake(&s.done, INT_MAX);
    word = s.word.load(std::memory_order_acquire);
  }
  return ran;
}

// The scheduler likes to put a woken worker on its waker's core, and there the two take turns while another
// core idles for milliseconds. Excluding that core for a moment moves the worker at once; its mask is
// restored right away.
void leave_core_of_caller(Pool& p) {
  const int here = sched_getcpu();
  bool shared_core = false;
  const int slots = p.used_slots.load(std::memory_order_acquire);
  for (int i = 0; i < slots && !shared_core; ++i) {
    const Slot& s = p.slots[i];
    shared_core = (s.word.load(std::memory_order_relaxed) & kClosed) == 0 &&
                  s.cpu.load(std::memory_order_relaxed) == here;
  }
  cpu_set_t allowed;
  if (!shared_core || sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  cpu_set_t elsewhere = allowed;
  CPU_CLR(here, &elsewhere);
  if (sched_setaffinity(0, sizeof elsewhere, &elsewhere) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
}

void* worker_main(void* argument) {
  Pool& p = pool();
  const int index = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  t_in_region = true;
  t_is_worker = true;
  uint32_t seen = p.epoch.load() - 1;
  auto spin_end = Clock::now() + kWorkerSpin;
  for (int spins = 1;; ++spins) {
    const uint32_t epoch = p.epoch.load(std::memory_order_acquire);
    if (epoch != seen) {
      seen = epoch;
      if (index >= p.threads.load() - 1) return nullptr;
      bool ran = false;
      const int slots = p.used_slots.load(std::memory_order_acquire);
      for (int i = 0; i < slots; ++i) ran |= help(p, p.slots[i]);
      if (ran) spin_end = Clock::now() + kWorkerSpin;
      continue;
    }
    cpu_relax();
    if ((spins & 63) != 0 || Clock::now() < spin_end) continue;
    p.sleepers.fetch_add(1);
    if (futex_wait(&p.epoch, seen) != 0) {
      p.sleepers.fetch_sub(1);  // nobody claimed this sleeper
    } else {
      leave_core_of_caller(p);
    }
    spin_end = Clock::now() + kWorkerSpin;
  }
}

// Only the forking thread lives on in the child: the pool starts there as if unused. The mutex is held across
// fork.
void fork_prepare() { pool().mutex.lock(); }
void fork_parent() { pool().mutex.unlock(); }
void fork_child() {
  Pool& p = pool();
  for (Slot& s : p.slots) {
    s.word.store((s.word.load() & ~kNextMask) | kClosed);
    s.done.store(0);
    s.waiting.store(0);
    s.owned.store(false);
    s.failed.store(false);
  }
  p.sleepers.store(0);
  p.workers.store(0);
  p.mutex.unlock();
}

int default_threads() {
  if (const char* own = std::getenv("CCDL_NUM_THREADS"); own != nullptr && *own != '\0') {
    char* end = nullptr;
    const long n = std::strtol(own, &end, 10);
    CCDL_CHECK(*end == '\0' && n >= 1 && n <= kMaxThreads, Value,
               "CCDL_NUM_THREADS: expected an integer from 1 to ", kMaxThreads, " but it is '", own, "'");
    return static_cast<int>(n);
  }
  if (const char* omp = std::getenv("OMP_NUM_THREADS")) {  // may be a list; the first number counts
    const long n = std::strtol(omp, nullptr, 10);
    if (n >= 1) return static_cast<int>(n < kMaxThreads ? n : kMaxThreads);
  }
  const int n = usable_cpus();
  return n < kMaxThreads ? n : kMaxThreads;
}

// Starts the missing workers. Failing to start one is not an error: the caller runs what nobody else takes.
void start_workers(Pool& p, int wanted) {
  static std::once_flag registered;
  std::call_once(registered, [] { pthread_atfork(fork_prepare, fork_parent, fork_child); });
  std::lock_guard<std::mutex> lock(p.mutex);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);  // signals are for the user's threads
  for (int i = p.workers.load(); i < wanted && i < p.threads.load() - 1; ++i) {
    if (pthread_create(&p.handles[i], nullptr, worker_main,
                       reinterpret_cast<void*>(static_cast<intptr_t>(i))) != 0) {
      break;
    }
    p.workers.store(i + 1);
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

struct RegionMark {
  bool before = t_in_region;
  RegionMark() { t_in_region = true; }
  ~RegionMark() { t_in_region = before; }
};

void run_serial(int64_t chunks, ChunkFn fn, void* context) {
  const bool may_stop = !t_in_region;
  RegionMark mark;
  for (int64_t i = 0; i < chunks; ++i) {
    fn(context, i);
    if (may_stop && i + 1 < chunks && interrupt_due()) throw_interrupt();
  }
}

Slot* take_slot(Pool& p) {
  for (int i = 0; i < kSlots; ++i) {
    Slot& s = p.slots[i];
    if (s.owned.load(std::memory_order_relaxed) || s.owned.exchange(true, std::memory_order_acquire))
      continue;
    int used = p.used_slots.load();
    while (used < i + 1 && !p.used_slots.compare_exchange_weak(used, i + 1)) {
    }
    return &s;
  }
  return nullptr;
}

// Waits until workers finished the chunks they took: spins briefly, then sleeps so that a worker sharing this
// core runs.
void wait_for_workers(Slot& s, uint32_t taken) {
  if (s.done.load(std::memory_order_acquire) == taken) return;
  const auto end = Clock::now() + kCallerSpin;
  for (int spins = 1;; ++spins) {
    if (s.done.load(std::memory_order_acquire) == taken) return;
    cpu_relax();
    if ((spins & 31) == 0 && Clock::now() >= end) break;
  }
  s.waiting.store(1);
  for (;;) {
    const uint32_t done = s.done.load();
    if (done == taken) break;
    futex_wait(&s.done, done);
  }
  s.waiting.store(0);
}

void run_in_slot(Pool& p, Slot& s, int64_t chunks, ChunkFn fn, void* context) {
  s.cpu.store(sched_getcpu(), std::memory_order_relaxed);
  s.fn.store(fn, std::memory_order_relaxed);
  s.context.store(context, std::memory_order_relaxed);
  s.chunks.store(static_cast<uint64_t>(chunks), std::memory_order_relaxed);
  s.done.store(0, std::memory_order_relaxed);
  uint64_t word = ((s.word.load(std::memory_order_relaxed) >> 32) + 1) << 32;
  s.word.store(word, std::memory_order_release);
  p.epoch.fetch_add(1);
  if (p.sleepers.load() > 0) wake_one(p);

  uint32_t mine = 0;
  bool interrupted = false;
  {
    RegionMark mark;
    int64_t chunk;
    ChunkFn same_fn;
    void* same_context;
    word = s.word.load(std::memory_order_acquire);
    while (claim(s, word, &chunk, &same_fn, &same_context)) {
      ++mine;
      try {
        fn(context, chunk);
      } catch (...) {
        record_failure(s);
      }
      if (interrupt_due()) {
        interrupted = true;
        break;
      }
      word = s.word.load(std::memory_order_acquire);
    }
  }
  const uint64_t last = s.word.fetch_or(kClosed);
  const uint64_t claimed = last & kNextMask;
  wait_for_workers(s, static_cast<uint32_t>(claimed) - mine);
  std::exception_ptr error;
  if (s.failed.load()) {
    error = std::move(s.error);
    s.error = nullptr;
    s.failed.store(false);
  }
  s.owned.store(false, std::memory_order_release);
  if (interrupted) throw_interrupt();  // even over a complete result: the check has taken the signal
  if (error) std::rethrow_exception(error);
}

}  // namespace

int num_threads() {
  Pool& p = pool();
  int n = p.threads.load(std::memory_order_relaxed);
  if (n == 0) {
    const int wanted = default_threads();
    if (p.threads.compare_exchange_strong(n, wanted)) n = wanted;
  }
  return n;
}

void set_num_threads(int n) {
  CCDL_CHECK(n >= 1 && n <= kMaxThreads, Value, "set_num_threads: expected 1 to ", kMaxThreads, " but got ",
             n);
  CCDL_CHECK(!t_in_region, Runtime, "set_num_threads: called from inside a parallel region");
  Pool& p = pool();
  std::lock_guard<std::mutex> lock(p.mutex);
  p.threads.store(n);
  const int started = p.workers.load();
  if (started <= n - 1) return;
  p.epoch.fetch_add(1);
  while (p.sleepers.load() > 0) wake_one(p);
  for (int i = n - 1; i < started; ++i) pthread_join(p.handles[i], nullptr);
  p.workers.store(n - 1);
}

bool in_parallel_region() { return t_in_region; }

bool set_thread_serial(bool on) { return std::exchange(t_serial, on); }

void set_interrupt_check(bool (*check)()) { g_interrupt_check.store(check); }

void check_interrupt() {
  if (!t_is_worker && interrupt_due()) throw_interrupt();
}

void parallel_run(int64_t chunks, void (*fn)(void* context, int64_t chunk), void* context) {
  if (chunks <= 0) return;
  if (chunks == 1 || t_in_region || t_serial) return run_serial(chunks, fn, context);
  const int threads = num_threads();
  if (threads == 1) return run_serial(chunks, fn, context);
  Pool& p = pool();
  if (p.workers.load(std::memory_order_relaxed) < threads - 1) start_workers(p, threads - 1);
  Slot* s = take_slot(p);
  if (s == nullptr) return run_serial(chunks, fn, context);
  if (chunks <= kMaxChunks) return run_in_slot(p, *s, chunks, fn, context);
  s->owned.store(false);
  struct Part {
    ChunkFn fn;
    void* context;
    int64_t first;
  };
  for (int64_t first = 0; first < chunks; first += kMaxChunks) {
    Part part{fn, context, first};
    const int64_t n = chunks - first < kMaxChunks ? chunks - first : kMaxChunks;
    parallel_run(
        n,
        [](void* raw, int64_t chunk) {
          const auto* q = static_cast<const Part*>(raw);
          q->fn(q->context, q->first + chunk);
        },
        &part);
  }
}

}  // namespace ccdl
