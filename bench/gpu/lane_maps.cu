// Prints which element lands in which lane and register: ldmatrix of numbered 8x8 matrices, and mma.sync of
// coded small integers, whose sums are exact in any order. lane_maps.py holds the output against
// lane_maps.txt; the same file compiles with nvcc and, against cuda/emulator, with g++. Links libccdl.
#include <cstdio>
#include <vector>

#include <runtime/launch.h>
#include <device/ptx_mma.cuh>

namespace ccdl::cu {
namespace {

constexpr int kCodes = 3;

// A number in [-16, 16) for each position of a fragment.
CCDL_HD int coded(int lane, int reg, int half, int code) {
  const unsigned mixed =
      static_cast<unsigned>(lane * 131 + reg * 31 + half * 17 + code * 57 + 7) * 2654435761u;
  return static_cast<int>(mixed >> 27) - 16;
}

template <int kCount, bool kTrans>
__global__ void ldmatrix_kernel(uint32_t* out) {
  CCDL_SHARED(uint16_t, tile, [4 * 64]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 4 * 64; i += kWarp) tile[i] = static_cast<uint16_t>(i);
  __syncthreads();  // the numbers are there
  uint32_t r[kCount];
  ldmatrix<kCount, kTrans>(r, tile + lane % (8 * kCount) * 8);
  for (int m = 0; m < kCount; ++m) out[lane * kCount + m] = r[m];
}

template <class T>
CCDL_DEVICE uint32_t packed(int lane, int reg, int code) {
  const T lo = convert<T>(static_cast<float>(coded(lane, reg, 0, code)));
  const T hi = convert<T>(static_cast<float>(coded(lane, reg, 1, code)));
  return lo.bits | static_cast<uint32_t>(hi.bits) << 16;
}

template <class T>
__global__ void mma_kernel(float* out, int code) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = packed<T>(lane, i, code);
  for (int i = 0; i < 2; ++i) b[i] = packed<T>(lane, 4 + i, code);
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = static_cast<float>(coded(lane, 6 + i, 0, code));
  mma(d, a, b, T());
  for (int i = 0; i < 4; ++i) out[lane * 4 + i] = d[i];
}

__global__ void mma_tf32_kernel(float* out, int code) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = to_tf32(static_cast<float>(coded(lane, i, 0, code)));
  for (int i = 0; i < 2; ++i) b[i] = to_tf32(static_cast<float>(coded(lane, 4 + i, 0, code)));
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = static_cast<float>(coded(lane, 6 + i, 0, code));
  mma(d, a, b, Tf32());
  for (int i = 0; i < 4; ++i) out[lane * 4 + i] = d[i];
}

__global__ void mma_f64_kernel(double* out, int code) {
  const int lane = static_cast<int>(threadIdx.x);
  double d[2] = {static_cast<double>(coded(lane, 6, 0, code)), static_cast<double>(coded(lane, 7, 0, code))};
  mma(d, static_cast<double>(coded(lane, 0, 0, code)), static_cast<double>(coded(lane, 4, 0, code)));
  for (int i = 0; i < 2; ++i) out[lane * 2 + i] = d[i];
}

template <class V, class F>
void dump(const char* name, int per_lane, const char* format, const F& launch) {
  std::vector<V> host(static_cast<size_t>(kWarp * per_lane));
  Scratch memory(static_cast<int64_t>(host.size() * sizeof(V)));
  launch(memory.ptr<V>());
  read_back(host.data(), memory.ptr<V>(), static_cast<int64_t>(host.size() * sizeof(V)));
  for (int lane = 0; lane < kWarp; ++lane) {
    std::printf("%s lane %d:", name, lane);
    for (int i = 0; i < per_lane; ++i) {
      const V v = host[static_cast<size_t>(lane * per_lane + i)];
      if constexpr (sizeof(V) == 4 && V(0.5) == V(0))
        std::printf(format, static_cast<unsigned>(v & 0xffff), static_cast<unsigned>(v >> 16));
      else
        std::printf(format, static_cast<double>(v));
    }
    std::printf("\n");
  }
}

const LaunchConfig kOneWarp{{1}, {kWarp}};

template <int kCount, bool kTrans>
void dump_ldmatrix() {
  char name[32];
  std::snprintf(name, sizeof(name), "ldmatrix x%d%s", kCount, kTrans ? " trans" : "");
  dump<uint32_t>(name, kCount, " %u,%u",
                 [](uint32_t* p) { CCDL_LAUNCH(kOneWarp, (ldmatrix_kernel<kCount, kTrans>), p); });
}

template <class V>
void dump_mma(const char* type, int per_lane, void (*kernel)(V*, int)) {
  for (int code = 0; code < kCodes; ++code) {
    char name[32];
    std::snprintf(name, sizeof(name), "mma %s code %d", type, code);
    dump<V>(name, per_lane, " %.0f", [=](V* p) { CCDL_LAUNCH(kOneWarp, kernel, p, code); });
  }
}

}  // namespace
}  // namespace ccdl::cu

int main() {
  using namespace ccdl::cu;
  dump_ldmatrix<1, false>();
  dump_ldmatrix<2, false>();
  dump_ldmatrix<4, false>();
  dump_ldmatrix<1, true>();
  dump_ldmatrix<2, true>();
  dump_ldmatrix<4, true>();
  dump_mma<float>("bf16", 4, mma_kernel<ccdl::bfloat16>);
  dump_mma<float>("fp16", 4, mma_kernel<ccdl::float16>);
  dump_mma<float>("tf32", 4, mma_tf32_kernel);
  dump_mma<double>("fp64", 2, mma_f64_kernel);
}
