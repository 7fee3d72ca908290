// Nanoseconds per element of the random kernels on contiguous memory that stays in the second-level cache.
#include <ccdl/core/parallel.h>
#include <ccdl/kernels/random.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace ccdl;

constexpr int64_t kCount = 100000;

static View flat(void* data, DType dtype) {
  View v{};
  v.data = data;
  v.ndim = 1;
  v.sizes[0] = kCount;
  v.strides[0] = 1;
  v.dtype = dtype;
  return v;
}

template <class F>
static void row(const char* name, const F& call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (int round = 0; round < 41; ++round) {
    const auto start = Clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kCount);
  }
  std::nth_element(times.begin(), times.begin() + 20, times.end());
  std::printf("%-22s %7.3f ns\n", name, times[20]);
}

int main(int argc, char** argv) {
  if (argc > 1) set_num_threads(std::atoi(argv[1]));
  std::vector<double> a(kCount), b(kCount);
  const RandomState s{1, 0};
  const View f = flat(a.data(), DType::Float32), g = flat(b.data(), DType::Float32),
             d = flat(a.data(), DType::Float64);
  const View h = flat(a.data(), DType::Float16), i = flat(a.data(), DType::Int64);
  row("uniform float32", [&] { cpu::random_uniform(f, s, 0, 1); });
  row("uniform float64", [&] { cpu::random_uniform(d, s, 0, 1); });
  row("normal float32", [&] { cpu::random_normal(f, s, 0, 1); });
  row("normal float64", [&] { cpu::random_normal(d, s, 0, 1); });
  row("normal float16", [&] { cpu::random_normal(h, s, 0, 1); });
  row("bernoulli float32", [&] { cpu::random_bernoulli(f, s, 0.3); });
  row("exponential float32", [&] { cpu::random_exponential(f, s, 1); });
  row("integers int64", [&] { cpu::random_integers(i, s, 0, 1000); });
  row("permutation", [&] { cpu::random_permutation(i, s); });
  row("dropout float32", [&] { cpu::dropout_forward(f, g, s, 0.5, 1); });
}
