// The caching allocator: alignment, reuse, limits, faults, blocks freed by another thread.
#include <ccdl/core/allocator.h>

#include <cstring>
#include <thread>

#include "test.h"

using namespace ccdl;

TEST(alignment_and_capacity) {
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1000}, size_t{4097},
                       size_t{1} << 20, (size_t{3} << 20) + 1}) {
    size_t capacity = 0;
    void* p = cpu_allocate(bytes, &capacity);
    CHECK(p != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(p) % kAllocAlignment == 0);
    CHECK(capacity >= bytes);
    if (bytes) std::memset(p, 0xab, bytes);
    cpu_free(p, capacity);
  }
}

TEST(statistics_balance) {
  const MemoryStats before = memory_stats();
  size_t capacity[100];
  void* p[100];
  for (int i = 0; i < 100; ++i) p[i] = cpu_allocate(static_cast<size_t>(i) * 1001 + 1, &capacity[i]);
  CHECK(memory_stats().allocated > before.allocated);
  for (int i = 0; i < 100; ++i) cpu_free(p[i], capacity[i]);
  CHECK(memory_stats().allocated == before.allocated);
  empty_cache();
  CHECK(memory_stats().reserved <= before.reserved + (1 << 20));
}

TEST(requests_beyond_memory_are_refused_before_mapping) {
  size_t capacity = 0;
  CHECK_THROWS(cpu_allocate(size_t{1} << 60, &capacity), Memory, "");
  CHECK_THROWS(cpu_allocate(~size_t{0}, &capacity), Memory, "");
  set_memory_limit(64 << 20);
  CHECK_THROWS(cpu_allocate(128 << 20, &capacity), Memory, "");
  set_memory_limit(0);
  void* p = cpu_allocate(128 << 20, &capacity);
  cpu_free(p, capacity);
}

TEST(planted_fault_throws_once) {
  size_t capacity = 0;
  set_alloc_fault(2);
  void* p = cpu_allocate(100, &capacity);
  cpu_free(p, capacity);
  CHECK_THROWS(cpu_allocate(100, &capacity), Memory, "");
  p = cpu_allocate(100, &capacity);
  cpu_free(p, capacity);
  set_alloc_fault(0);
}

TEST(blocks_may_be_freed_by_another_thread) {
  for (int round = 0; round < 200; ++round) {
    size_t capacity = 0;
    void* p = cpu_allocate(256, &capacity);
    std::thread([=] { cpu_free(p, capacity); }).join();
  }
  CHECK(memory_stats().allocated >= 0);
}

TEST_MAIN()
