#include <ccdl/core/op_timer.h>

#include <chrono>
#include <mutex>
#include <utility>

namespace ccdl {

std::atomic<bool> op_timing{false};

namespace {
std::mutex g_mutex;
std::vector<OpTime>& times() {
  static auto* list = new std::vector<OpTime>;
  return *list;
}

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
}  // namespace

void set_op_timing(bool on) { op_timing.store(on, std::memory_order_relaxed); }

std::vector<OpTime> take_op_times() {
  std::lock_guard lock(g_mutex);
  return std::exchange(times(), {});
}

int64_t timing_thread() {
  static std::atomic<int64_t> count{0};
  thread_local const int64_t number = ++count;
  return number;
}

void OpTimer::begin(const char* name, bool backward) {
  name_ = name;
  backward_ = backward;
  start_ = now();
}

void OpTimer::finish() noexcept {
  const int64_t end = now();
  try {
    std::lock_guard lock(g_mutex);
    times().push_back({name_, start_, end, timing_thread(), backward_});
  } catch (...) {  // no memory: one time less
  }
}

}  // namespace ccdl
