// Work sharing. Chunk borders depend on n and grain alone, so results never depend on the number of threads:
// the thread count only decides who runs a chunk. A call from inside a chunk runs serially.
#pragma once
#include <cstdint>

namespace ccdl {

// Runs fn(context, chunk) for every chunk in [0, chunks), in any order, on the pool and on the caller.
// The first exception thrown by a chunk is rethrown here after all running chunks ended.
void parallel_run(int64_t chunks, void (*fn)(void* context, int64_t chunk), void* context);

// fn(begin, end) over [0, n) in pieces of `grain` elements (the last one may be shorter). Choose grain so
// that one piece is 8-16 us of work or more; n <= grain runs inline without touching the pool.
template <class F>
inline void parallel_for(int64_t n, int64_t grain, const F& fn) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  if (n <= grain) {
    fn(int64_t{0}, n);
    return;
  }
  struct Context {
    const F* fn;
    int64_t n, grain;
  } context{&fn, n, grain};
  parallel_run((n + grain - 1) / grain,
               [](void* raw, int64_t chunk) {
                 const auto* c = static_cast<const Context*>(raw);
                 const int64_t begin = chunk * c->grain;
                 const int64_t end = begin + c->grain < c->n ? begin + c->grain : c->n;
                 (*c->fn)(begin, end);
               },
               &context);
}

int num_threads();
void set_num_threads(int n);  // throws Error(Value) unless n >= 1
bool in_parallel_region();
bool set_thread_serial(
    bool on);  // the calling thread runs its regions alone (data-loader workers); returns what was before

// Called at chunk borders, at most every 50 ms, on the thread that called parallel_run. Returns true when the
// running op must stop: parallel_run then drains and throws Error(Interrupt). Set once by the Python binding;
// may be null.
void set_interrupt_check(bool (*check)());
void check_interrupt();  // for long serial loops on the calling thread

}  // namespace ccdl
