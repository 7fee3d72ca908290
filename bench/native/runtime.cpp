// The pool and the allocator: cost of a region back to back and after idleness, of an allocation.
#include <ccdl/core/allocator.h>
#include <ccdl/core/parallel.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

using Clock = std::chrono::steady_clock;

static double microseconds(Clock::time_point from) {
  return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
}

static double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

static void add_up(int64_t n) {
  volatile double s = 0;
  for (int64_t i = 0; i < n; ++i) s = s + 1.0;
}

static void regions() {
  const int64_t n = 200000;
  const auto start = Clock::now();
  for (int64_t i = 0; i < n; ++i) ccdl::parallel_for(2, 1, [](int64_t, int64_t) {});
  std::printf("empty region, back to back        %8.3f us\n", microseconds(start) / n);
  for (const int64_t size : {20000, 100000, 400000}) {
    std::vector<double> pool, serial, hot;
    for (int round = 0; round < 31; ++round) {
      usleep(20000);
      auto from = Clock::now();
      ccdl::parallel_for(16, 1, [&](int64_t, int64_t) { add_up(size / 16); });
      pool.push_back(microseconds(from));
      from = Clock::now();
      ccdl::parallel_for(16, 1, [&](int64_t, int64_t) { add_up(size / 16); });
      hot.push_back(microseconds(from));
      usleep(20000);
      from = Clock::now();
      add_up(size);
      serial.push_back(microseconds(from));
    }
    std::printf("16 chunks, serial %7.1f us: pool after 20 ms of idleness %7.1f us, next one %7.1f us\n",
                median(serial), median(pool), median(hot));
  }
}

static void allocations() {
  for (const size_t bytes : {size_t{256}, size_t{64} << 10, size_t{8} << 20}) {
    const int64_t n = 2000000;
    size_t capacity = 0;
    const auto start = Clock::now();
    for (int64_t i = 0; i < n; ++i) {
      void* p = ccdl::cpu_allocate(bytes, &capacity);
      asm volatile("" : : "r"(p) : "memory");
      ccdl::cpu_free(p, capacity);
    }
    std::printf("allocate and free %8zu bytes    %8.2f ns\n", bytes, microseconds(start) * 1e3 / n);
  }
}

int main(int argc, char** argv) {
  if (argc > 1) ccdl::set_num_threads(std::atoi(argv[1]));
  std::printf("threads %d\n", ccdl::num_threads());
  regions();
  allocations();
}
