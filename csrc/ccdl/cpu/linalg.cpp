// Dense factorisations: one matrix per task, each by one thread; batches are shared out.
#include <ccdl/kernels/linalg.h>

#include <algorithm>

#include <ccdl/core/parallel.h>
#include <ccdl/kernels/linalg_spectral.h>

namespace ccdl::cpu {
namespace {

struct Alone {
  mutable int64_t syncs = 0;
  int64_t rank() const { return 0; }
  int64_t size() const { return 1; }
  int64_t row() const { return 0; }
  static constexpr int64_t rows() { return 1; }
  int64_t column() const { return 0; }
  static constexpr int64_t columns() { return 1; }
  void sync() const {
    if (++syncs % 16 == 0) check_interrupt();  // a large matrix takes seconds
  }
  double total(double v) const { return v; }
};

template <class Task>
void run(const Task& task, int64_t batch) {
  parallel_for(batch, std::max<int64_t>(1, 20000 / std::max<int64_t>(task.work(), 1)),
               [&](int64_t b, int64_t e) {
                 for (int64_t i = b; i < e; ++i) task(Alone{}, i);
               });
}

}  // namespace

#define CCDL_LINALG_RUN(task, batch) run(task, batch)
#include <ccdl/kernels/linalg_launch.h>

}  // namespace ccdl::cpu
