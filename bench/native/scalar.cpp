// What the kernels of every level are held against: the loops one would write, compiled by -O3 without
// further flags (levels.py). A product as three loops in the order that reads rows, and std::exp over an
// array.
//   scalar   prints {"gflops": ..., "gexp": ...}, the best of 5
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

__attribute__((noinline)) static void product(const float* a, const float* b, float* c, int n) {
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) c[i * n + j] = 0;
    for (int k = 0; k < n; ++k)
      for (int j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
  }
}

__attribute__((noinline)) static void exponentials(const float* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = std::exp(x[i]);
}

template <class F>
static double best(const F& call) {
  double least = 1e9;
  for (int round = 0; round < 6; ++round) {
    const double begin = now();
    call();
    const double taken = now() - begin;
    if (round > 0 && taken < least) least = taken;
  }
  return least;
}

int main() {
  const int n = 512, m = 1 << 20;
  std::vector<float> a(n * n), b(n * n), c(n * n), x(m), y(m);
  for (int i = 0; i < n * n; ++i)
    a[i] = 0.001f * static_cast<float>(i % 97), b[i] = 0.002f * static_cast<float>(i % 89);
  for (int i = 0; i < m; ++i) x[i] = 0.00001f * static_cast<float>(i) - 5.0f;
  const double t = best([&] { product(a.data(), b.data(), c.data(), n); });
  const double e = best([&] { exponentials(x.data(), y.data(), m); });
  volatile float keep = c[n + 1] + y[m / 2];
  (void)keep;
  std::printf("{\"gflops\": %.3f, \"gexp\": %.4f}\n", 2.0 * n * n * n / t / 1e9, m / e / 1e9);
}
