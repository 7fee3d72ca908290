// The machine's own limits, to hold kernels against: fused multiply-adds per second from registers, and bytes
// per second of a triad over arrays far beyond the caches, the better of plain and streaming stores. Compiled
// for the machine at hand (-O3 -march=native).
//   peak <threads>   prints {"gflops": ..., "gbytes": ...}
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
#if defined(__SSE__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float vf __attribute__((vector_size(kBytes)));
constexpr int kLanes = kBytes / 4, kChains = 16;

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double fma_run(long rounds) {
  vf acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = vf{} + static_cast<float>(i);
  vf a = vf{} + 0.999999f, b = vf{} + 1e-7f;
  asm volatile("" : "+v"(a), "+v"(b));
  const double begin = now();
  for (long r = 0; r < rounds; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i)
      acc[i] = acc[i] * a + b;  // contracted: this program is the hardware's probe
  const double seconds = now() - begin;
  vf sum = {};
  for (int i = 0; i < kChains; ++i) sum += acc[i];
  volatile float keep = sum[0];
  (void)keep;
  return 2.0 * kLanes * kChains * static_cast<double>(rounds) / seconds;
}

// z past the caches where the processor can: without it every store first reads its line.
static void triad(const float* x, const float* y, float* z, size_t n, bool stream) {
#if defined(__SSE__)
  if (stream) {
    for (size_t i = 0; i < n; i += kLanes) {
      const vf t = *(const vf*)(x + i) + 3.0f * *(const vf*)(y + i);
#if defined(__AVX512F__)
      _mm512_stream_ps(z + i, (__m512)t);
#elif defined(__AVX__)
      _mm256_stream_ps(z + i, (__m256)t);
#else
      _mm_stream_ps(z + i, (__m128)t);
#endif
    }
    return;
  }
#endif
  (void)stream;
  for (size_t i = 0; i < n; ++i) z[i] = x[i] + 3.0f * y[i];
}

template <class F>
static double on_threads(int threads, F f) {
  std::vector<double> part(threads);
  std::vector<std::thread> pool;
  std::atomic<int> ready{0};
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      ++ready;
      while (ready < threads) {
      }
      part[t] = f();
    });
  double total = 0;
  for (int t = 0; t < threads; ++t) {
    pool[t].join();
    total += part[t];
  }
  return total;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  double flops = 0, bytes = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double f = on_threads(threads, [] { return fma_run(20'000'000); });
    flops = f > flops ? f : flops;
  }
  const size_t n = size_t{24} << 20;
  for (int repeat = 0; repeat < 6; ++repeat) {
    const double b = on_threads(threads, [&] {
      const auto array = [&](float value) {
        float* p = static_cast<float*>(std::aligned_alloc(64, n * sizeof(float)));
        for (size_t i = 0; i < n; ++i) p[i] = value;
        return p;
      };
      float *x = array(1.0f), *y = array(2.0f), *z = array(0.0f);
      const double begin = now();
      for (int r = 0; r < 4; ++r) {
        triad(x, y, z, n, repeat % 2 != 0);
        asm volatile("" ::: "memory");  // every pass really happens
      }
      const double seconds = now() - begin;
      volatile float keep = z[n / 2];
      (void)keep;
      std::free(x), std::free(y), std::free(z);
      return 4.0 * 12 * static_cast<double>(n) / seconds;
    });
    bytes = b > bytes ? b : bytes;
  }
  std::printf("{\"gflops\": %.2f, \"gbytes\": %.2f}\n", flops / 1e9, bytes / 1e9);
}
