// Ctrl-C inside a region, threads that run alone, scratch buffers, instruction-set levels, machine limits.
#include <ccdl/core/parallel.h>
#include <ccdl/core/system.h>
#include <ccdl/cpu/isa.h>
#include <ccdl/cpu/scratch.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "test.h"

using namespace ccdl;
using Clock = std::chrono::steady_clock;

static std::atomic<bool> g_stop{false};
static std::atomic<int> g_asked{0};

static bool asked() {
  ++g_asked;
  return g_stop;
}

static void busy(double microseconds) {
  const auto end = Clock::now() + std::chrono::nanoseconds(static_cast<int64_t>(microseconds * 1e3));
  while (Clock::now() < end) {
  }
}

TEST(interrupt_drains_and_the_pool_goes_on) {
  set_interrupt_check(asked);
  for (int threads : {1, 2, 4}) {
    set_num_threads(threads);
    g_stop = false;
    g_asked = 0;
    auto start = Clock::now();
    parallel_for(3000, 1, [](int64_t, int64_t) { busy(100); });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    CHECK(g_asked <= 2 + seconds / 0.05);  // at most every 50 ms
    g_stop = true;
    std::atomic<int> running{0};
    start = Clock::now();
    CHECK_THROWS(parallel_for(1000000, 1,
                              [&](int64_t, int64_t) {
                                ++running;
                                busy(100);
                                --running;
                              }),
                 Interrupt, "");
    CHECK(running == 0);
    CHECK(std::chrono::duration<double>(Clock::now() - start).count() < 2);
    g_stop = false;
    std::atomic<int64_t> total{0};
    parallel_for(100, 1, [&](int64_t begin, int64_t) { total += begin; });
    CHECK(total == 4950);
  }
  set_interrupt_check(nullptr);
}

TEST(a_serial_thread_keeps_its_chunks) {
  set_num_threads(4);
  std::thread([] {
    set_thread_serial(true);
    const auto self = std::this_thread::get_id();
    std::atomic<int> elsewhere{0};
    parallel_for(1000, 1, [&](int64_t, int64_t) { elsewhere += std::this_thread::get_id() != self; });
    CHECK(elsewhere == 0);
  }).join();
}

TEST(thread_count_may_change_between_regions) {
  for (int round = 0; round < 200; ++round) {
    set_num_threads(1 + round % 5);
    std::atomic<int64_t> total{0};
    parallel_for(64, 1, [&](int64_t begin, int64_t) { total += begin; });
    CHECK(total == 2016);
  }
}

TEST(scratch_grows_and_stays_aligned) {
  for (int64_t n : {1, 100, 5000, 1 << 20, 10}) {
    float* p = cpu::scratch<float>(3, n);
    CHECK(reinterpret_cast<uintptr_t>(p) % 64 == 0);
    std::memset(p, 0, static_cast<size_t>(n) * sizeof(float));
  }
  CHECK(cpu::scratch<float>(3, 10) != cpu::scratch<float>(4, 10));
}

TEST(levels) {
  CHECK(cpu::isa_supported(cpu::Isa::generic));
  CHECK(cpu::isa_supported(cpu::isa_level()));
  CHECK(std::strcmp(cpu::isa_name(cpu::Isa::v3), "v3") == 0);
}

TEST(machine_limits) {
  CHECK(usable_cpus() >= 1);
  CHECK(physical_memory_limit() > (int64_t{1} << 20));
}

TEST_MAIN()
