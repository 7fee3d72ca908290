// The pool: every chunk once, exceptions, nesting, several callers, fork.
#include <ccdl/core/parallel.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "test.h"

using namespace ccdl;

static int64_t sum_range(int64_t n, int64_t grain) {
  std::atomic<int64_t> total{0};
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    int64_t part = 0;
    for (int64_t i = begin; i < end; ++i) part += i;
    total += part;
  });
  return total;
}

TEST(every_chunk_runs_once) {
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    CHECK(num_threads() == threads);
    for (int64_t n : {0, 1, 2, 7, 100, 4096, 100001})
      for (int64_t grain : {1, 3, 64, 100000}) CHECK(sum_range(n, grain) == n * (n - 1) / 2);
  }
  CHECK_THROWS(set_num_threads(0), Value, "");
}

TEST(borders_do_not_depend_on_threads) {
  std::vector<int64_t> seen[2];
  for (int t : {1, 4}) {
    set_num_threads(t);
    std::vector<int64_t>& ends = seen[t == 4];
    ends.assign(100, 0);
    parallel_for(1000, 37, [&](int64_t begin, int64_t end) { ends[begin / 37] = end; });
  }
  CHECK(seen[0] == seen[1]);
}

TEST(exceptions_come_back_and_the_pool_survives) {
  set_num_threads(4);
  for (int round = 0; round < 50; ++round) {
    bool caught = false;
    try {
      parallel_for(1000, 1, [&](int64_t begin, int64_t) {
        if (begin == 500) fail(ErrorKind::Value, "from a chunk");
      });
    } catch (const Error& e) {
      caught = std::string(e.what()) == "from a chunk";
    }
    CHECK(caught);
    CHECK(sum_range(1000, 10) == 499500);
  }
}

TEST(nested_regions_are_serial) {
  set_num_threads(4);
  std::atomic<int64_t> total{0};
  CHECK(!in_parallel_region());
  parallel_for(16, 1, [&](int64_t, int64_t) {
    if (!in_parallel_region()) total += 1'000'000;
    total += sum_range(100, 10);
  });
  CHECK(total == 16 * 4950);
}

TEST(several_callers_share_the_pool) {
  set_num_threads(4);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i)
    callers.emplace_back([&] {
      for (int k = 0; k < 200; ++k)
        if (sum_range(5000, 50) != 5000 * 4999 / 2) ++wrong;
    });
  for (std::thread& t : callers) t.join();
  CHECK(wrong == 0);
}

TEST(works_after_fork_in_parent_and_child) {
  if (std::getenv("CCDL_TEST_EMULATED")) {  // qemu-user aborts itself when a forked child starts a thread
    std::puts("skip works_after_fork_in_parent_and_child: not under user-mode emulation");
    return;
  }
  if (std::getenv("CCDL_TESTS_EMULATED")) return;  // user-mode emulators start no thread in a forked child
  set_num_threads(4);
  CHECK(sum_range(100000, 100) == 4999950000);
  for (int round = 0; round < 10; ++round) {
    const pid_t child = fork();
    if (child == 0) _exit(sum_range(100000, 100) == 4999950000 ? 0 : 1);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(sum_range(100000, 100) == 4999950000);
  }
}

TEST_MAIN()
