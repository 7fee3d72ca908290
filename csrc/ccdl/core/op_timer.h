// Wall-clock times of ops for a profiler. While nothing listens an OpTimer is one relaxed load.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace ccdl {

struct OpTime {
  std::string name;
  int64_t start = 0, end = 0;  // ns of the steady clock
  int64_t thread = 0;          // counted from 1 in the order of first use
  bool backward = false;
};

extern std::atomic<bool> op_timing;

void set_op_timing(bool on);
std::vector<OpTime> take_op_times();  // what ended since the last call
int64_t timing_thread();              // the caller's number

// Times its own life under a name that must outlive it.
class OpTimer {
 public:
  explicit OpTimer(const char* name, bool backward = false) {
    if (op_timing.load(std::memory_order_relaxed)) [[unlikely]]
      begin(name, backward);
  }
  ~OpTimer() {
    if (name_) [[unlikely]]
      finish();
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  void begin(const char* name, bool backward);
  void finish() noexcept;
  const char* name_ = nullptr;
  int64_t start_ = 0;
  bool backward_ = false;
};

}  // namespace ccdl
