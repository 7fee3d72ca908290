// Holds what the emulator believes of sm_90 against a device: where bulk loads put each element, in every
// swizzle and over the edges of a tensor, and products of operands in every layout that descriptors name,
// both against plain loops. Compiles with nvcc for sm_90a and, against cuda/emulator, with g++. Links
// libccdl.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <runtime/driver.h>
#include <runtime/launch.h>

#include <device/ptx_tma.cuh>
#include <device/ptx_wgmma_shapes.cuh>

namespace ccdl::cu {
namespace {

constexpr CUtensorMapSwizzle kModes[] = {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_32B,
                                         CU_TENSOR_MAP_SWIZZLE_64B, CU_TENSOR_MAP_SWIZZLE_128B};
int span_of(CUtensorMapSwizzle mode) { return 16 << static_cast<int>(mode); }

template <class V>
struct Buffer {
  size_t n;
  Scratch memory;
  explicit Buffer(size_t count) : n(count), memory(static_cast<int64_t>(count * sizeof(V))) {}
  explicit Buffer(const std::vector<V>& from) : Buffer(from.size()) {
    CCDL_CUDA_CHECK(cudaMemcpy(p(), from.data(), n * sizeof(V), cudaMemcpyHostToDevice));
  }
  V* p() { return memory.ptr<V>(); }
  std::vector<V> read() {
    std::vector<V> out(n);
    read_back(out.data(), p(), static_cast<int64_t>(n * sizeof(V)));
    return out;
  }
};

std::vector<bfloat16> numbers(int n, int step, int modulus) {
  std::vector<bfloat16> v(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i)
    v[static_cast<size_t>(i)] = bfloat16(static_cast<float>((i * step + i / 7) % modulus - modulus / 2));
  return v;
}

bool encode(CUtensorMap* map, const bfloat16* data, int columns, int rows, int pitch, int box_columns,
            int box_rows, int row_step, CUtensorMapSwizzle mode) {
  static const auto make =
      reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(driver_entry_point("cuTensorMapEncodeTiled"));
  const cuuint64_t sizes[3] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows), 1};
  const cuuint64_t strides[2] = {static_cast<cuuint64_t>(pitch) * 2,
                                 static_cast<cuuint64_t>(pitch * rows) * 2};
  const cuuint32_t box[3] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows), 1};
  const cuuint32_t steps[3] = {1, static_cast<cuuint32_t>(row_step), 1};
  return make != nullptr &&
         make(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<bfloat16*>(data), sizes, strides, box,
              steps, CU_TENSOR_MAP_INTERLEAVE_NONE, mode, CU_TENSOR_MAP_L2_PROMOTION_NONE,
              CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// ---- boxes ----

constexpr int kLines = 24;

__global__ void dump_box(const __grid_constant__ CUtensorMap map, int x, int y, int bytes, uint16_t* out) {
  CCDL_SHARED(uint64_t, full, [1]);
  unsigned char* box = dyn_smem<unsigned char>();
  box += (1024 - shared_window(box) % 1024) % 1024;
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    mbarrier_init_fence();
    mbarrier_arrive_expect(full, bytes);
    tma_load(box, &map, full, x, y, 0);
  }
  __syncthreads();
  mbarrier_wait(full, 0);
  for (int i = static_cast<int>(threadIdx.x); i < bytes / 2; i += 32)
    out[i] = reinterpret_cast<const uint16_t*>(box)[i];
}

bool box_is_right(CUtensorMapSwizzle mode, int x, int y, int row_step) {
  constexpr int kColumns = 100, kRows = 40, kPitch = 104;
  const int span = span_of(mode), width = span / 2;
  const std::vector<bfloat16> host = numbers(kRows * kPitch, 3, 200);
  Buffer<bfloat16> data(host);
  Buffer<uint16_t> out(static_cast<size_t>(kLines * width));
  CUtensorMap map;
  if (!encode(&map, data.p(), kColumns, kRows, kPitch, width, kLines * row_step, row_step, mode))
    return false;
  CCDL_LAUNCH((LaunchConfig{dim3(1), dim3(32), 1024 + kLines * 128}), dump_box, map, x, y, kLines * span,
              out.p());
  const std::vector<uint16_t> got = out.read();
  for (int line = 0; line < kLines; ++line)
    for (int c = 0; c < width; ++c) {
      const int row = y + line * row_step, column = x + c;
      const bool inside = row >= 0 && row < kRows && column >= 0 && column < kColumns;
      const uint16_t want = inside ? host[static_cast<size_t>(row * kPitch + column)].bits : uint16_t{0};
      // Which 16-byte chunk of the line it went to: exchanged by the number of the 128-byte line it lies in.
      const int chunks = span / 16, chunk = c / 8 ^ (line * span / 128 % chunks);
      if (got[static_cast<size_t>(line * width + chunk * 8 + c % 8)] != want) return false;
    }
  return true;
}

// ---- products ----

constexpr int kM = 64, kN = 256, kK = 64;

CCDL_DEVICE uint64_t descriptor(const void* tile, unsigned lead, unsigned stride, uint64_t mode) {
  constexpr uint64_t codes[] = {0, 3, 2, 1};
  return (wgmma_descriptor(tile, lead, stride) & ~(uint64_t{3} << 62)) | codes[mode] << 62;
}
// The 16 k of this step of a tile [rows][64] whose boxes are `span` bytes wide.
template <bool kRowFast>
CCDL_DEVICE uint64_t operand(const unsigned char* tile, int rows, int step, unsigned span, uint64_t mode) {
  if constexpr (kRowFast) {  // boxes of 64 lines of span / 2 rows
    const unsigned char* at = tile + step * 16 * static_cast<int>(span);
    return mode == 0 ? descriptor(at, 8 * 16, 64 * 16, 0) : descriptor(at, 64 * span, 8 * span, mode);
  } else {  // boxes of `rows` lines of span / 2 k
    const int byte = step * 32, box = byte / static_cast<int>(span), within = byte % static_cast<int>(span);
    return descriptor(tile + box * rows * static_cast<int>(span) + within, static_cast<unsigned>(rows) * 16,
                      8 * span, mode);
  }
}
template <bool kRowFast>
CCDL_DEVICE void load_operand(unsigned char* tile, const CUtensorMap* map, uint64_t* full, int rows,
                              int span) {
  const int width = span / 2, count = kRowFast ? rows / width : kK / width;
  for (int i = 0; i < count; ++i) {
    unsigned char* box = tile + i * (kRowFast ? kK : rows) * span;
    tma_load(box, map, full, i * width, 0, 0);
  }
}

template <bool kRowFastA, bool kRowFastB>
__global__ void multiply_layouts(const __grid_constant__ CUtensorMap map_a,
                                 const __grid_constant__ CUtensorMap map_b, int mode, float* y) {
  CCDL_SHARED(uint64_t, full, [1]);
  unsigned char* a = dyn_smem<unsigned char>();
  a += (1024 - shared_window(a) % 1024) % 1024;
  unsigned char* b = a + kM * kK * 2;
  const int span = 16 << mode;
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    mbarrier_init_fence();
    mbarrier_arrive_expect(full, (kM + kN) * kK * 2);
    load_operand<kRowFastA>(a, &map_a, full, kM, span);
    load_operand<kRowFastB>(b, &map_b, full, kN, span);
  }
  __syncthreads();
  float d[kN / 2];
  for (int i = 0; i < kN / 2; ++i) d[i] = 0;
  mbarrier_wait(full, 0);
  wgmma_fence();
  for (int step = 0; step < kK / 16; ++step)
    wgmma_m64n256k16<kRowFastA, kRowFastB>(
        d, operand<kRowFastA>(a, kM, step, static_cast<unsigned>(span), static_cast<uint64_t>(mode)),
        operand<kRowFastB>(b, kN, step, static_cast<unsigned>(span), static_cast<uint64_t>(mode)),
        bfloat16());
  wgmma_commit();
  wgmma_wait<0>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int i = 0; i < kN / 2; ++i)
    y[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * kN + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}

template <bool kRowFastA, bool kRowFastB>
bool product_is_right(CUtensorMapSwizzle mode) {
  const std::vector<bfloat16> host_a = numbers(kM * kK, 5, 7), host_b = numbers(kN * kK, 3, 9);
  Buffer<bfloat16> a(host_a), b(host_b);
  Buffer<float> y(kM * kN);
  const int width = span_of(mode) / 2;
  const auto encode_operand = [&](CUtensorMap* map, Buffer<bfloat16>& x, bool row_fast, int rows) {
    return row_fast ? encode(map, x.p(), rows, kK, rows, width, kK, 1, mode)
                    : encode(map, x.p(), kK, rows, kK, width, rows, 1, mode);
  };
  CUtensorMap map_a, map_b;
  if (!encode_operand(&map_a, a, kRowFastA, kM) || !encode_operand(&map_b, b, kRowFastB, kN)) return false;
  CCDL_LAUNCH((LaunchConfig{dim3(1), dim3(128), 1024 + (kM + kN) * kK * 2}),
              (multiply_layouts<kRowFastA, kRowFastB>), map_a, map_b, static_cast<int>(mode), y.p());
  const std::vector<float> got = y.read();
  for (int i = 0; i < kM; ++i)
    for (int j = 0; j < kN; ++j) {
      float sum = 0;
      for (int k = 0; k < kK; ++k)
        sum += static_cast<float>(host_a[static_cast<size_t>(kRowFastA ? k * kM + i : i * kK + k)]) *
               static_cast<float>(host_b[static_cast<size_t>(kRowFastB ? k * kN + j : j * kK + k)]);
      if (got[static_cast<size_t>(i * kN + j)] != sum) return false;
    }
  return true;
}

// ---- shapes: A from registers or shared memory, 64 x N of c; the first product overwrites what d holds ----

template <class T, int N, bool kRegisters, bool kRowFastB>
CCDL_DEVICE void shape_steps(float (&d)[N / 2], const unsigned char* tile_a, const unsigned char* tile_b,
                             const T* a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  uint32_t fragment[kK / 16][4];
#pragma unroll
  for (int step = 0; step < kK / 16; ++step)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const T* at = a + (warp * 16 + lane / 4 + r % 2 * 8) * kK + step * 16 + lane % 4 * 2 + r / 2 * 8;
      fragment[step][r] = at[0].bits | static_cast<uint32_t>(at[1].bits) << 16;
    }
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < kK / 16; ++step) {
    const uint64_t b = operand<kRowFastB>(tile_b, N, step, 128, 3);
    if constexpr (kRegisters)
      wgmma_registers<kRowFastB>(d, fragment[step], b, step > 0, T());
    else
      wgmma_shared<0, kRowFastB>(d, operand<false>(tile_a, kM, step, 128, 3), b, step > 0, T());
  }
  wgmma_commit();
  wgmma_wait<0>();
}

template <class T, int N, bool kRegisters, bool kRowFastB>
__global__ void multiply_shapes(const __grid_constant__ CUtensorMap map_a,
                                const __grid_constant__ CUtensorMap map_b, const T* a, float* y) {
  CCDL_SHARED(uint64_t, full, [1]);
  unsigned char* tile_a = dyn_smem<unsigned char>();
  tile_a += (1024 - shared_window(tile_a) % 1024) % 1024;
  unsigned char* tile_b = tile_a + kM * kK * 2;
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    mbarrier_init_fence();
    mbarrier_arrive_expect(full, (kM + N) * kK * 2);
    load_operand<false>(tile_a, &map_a, full, kM, 128);
    load_operand<kRowFastB>(tile_b, &map_b, full, N, 128);
  }
  __syncthreads();
  float d[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; ++i) d[i] = 1e30f;
  mbarrier_wait(full, 0);
  shape_steps<T, N, kRegisters, kRowFastB>(d, tile_a, tile_b, a);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int i = 0; i < N / 2; ++i)
    y[(warp * 16 + lane / 4 + i / 2 % 2 * 8) * N + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}

template <class T, int N, bool kRegisters, bool kRowFastB>
bool shape_is_right() {
  std::vector<T> host_a, host_b;
  for (bfloat16 v : numbers(kM * kK, 5, 7)) host_a.push_back(T(static_cast<float>(v)));
  for (bfloat16 v : numbers(N * kK, 3, 9)) host_b.push_back(T(static_cast<float>(v)));
  Buffer<T> a(host_a), b(host_b);
  Buffer<float> y(kM * N);
  CUtensorMap map_a, map_b;
  const auto* data = reinterpret_cast<const bfloat16*>(b.p());  // TMA moves bits
  if (!encode(&map_a, reinterpret_cast<const bfloat16*>(a.p()), kK, kM, kK, 64, kM, 1, kModes[3]))
    return false;
  if (kRowFastB ? !encode(&map_b, data, N, kK, N, 64, kK, 1, kModes[3])
                : !encode(&map_b, data, kK, N, kK, 64, N, 1, kModes[3]))
    return false;
  CCDL_LAUNCH((LaunchConfig{dim3(1), dim3(128), 1024 + (kM + N) * kK * 2}),
              (multiply_shapes<T, N, kRegisters, kRowFastB>), map_a, map_b, a.p(), y.p());
  const std::vector<float> got = y.read();
  for (int i = 0; i < kM; ++i)
    for (int j = 0; j < N; ++j) {
      float sum = 0;
      for (int k = 0; k < kK; ++k)
        sum += static_cast<float>(host_a[static_cast<size_t>(i * kK + k)]) *
               static_cast<float>(host_b[static_cast<size_t>(kRowFastB ? k * N + j : j * kK + k)]);
      if (got[static_cast<size_t>(i * N + j)] != sum) return false;
    }
  return true;
}

int checks = 0, wrong = 0;
void note(bool good, const char* what, CUtensorMapSwizzle mode) {
  ++checks;
  wrong += !good;
  if (!good) std::printf("wrong: %s, lines of %d bytes\n", what, span_of(mode));
}

template <class T>
void check_shapes() {
  note(shape_is_right<T, 64, false, false>(), "m64n64k16", kModes[3]);
  note(shape_is_right<T, 64, false, true>(), "m64n64k16, B along rows", kModes[3]);
  note(shape_is_right<T, 128, false, false>(), "m64n128k16", kModes[3]);
  note(shape_is_right<T, 128, false, true>(), "m64n128k16, B along rows", kModes[3]);
  note(shape_is_right<T, 64, true, false>(), "m64n64k16, A in registers", kModes[3]);
  note(shape_is_right<T, 128, true, true>(), "m64n128k16, A in registers, B along rows", kModes[3]);
  note(shape_is_right<T, 256, true, false>(), "m64n256k16, A in registers", kModes[3]);
  note(shape_is_right<T, 256, true, true>(), "m64n256k16, A in registers, B along rows", kModes[3]);
}

int run() {
  if (device_traits().major != 9) {
    std::printf("hopper layouts: nothing to check, the device is not of capability 9.x\n");
    return 0;
  }
  for (CUtensorMapSwizzle mode : kModes) {
    for (int x : {0, 8, -8, 72, 96, 200})
      for (int y : {0, -5, 30, 100}) note(box_is_right(mode, x, y, 1 + (y == 30)), "a box", mode);
    note(product_is_right<false, false>(mode), "a product along k", mode);
    note(product_is_right<true, false>(mode), "a product with A along rows", mode);
    note(product_is_right<false, true>(mode), "a product with B along rows", mode);
    note(product_is_right<true, true>(mode), "a product along rows", mode);
  }
  check_shapes<bfloat16>();
  check_shapes<float16>();
  std::printf("hopper layouts: %d checks, %d wrong\n", checks, wrong);
  return wrong != 0;
}

}  // namespace
}  // namespace ccdl::cu

int main() {
#ifdef CCDL_CUDA_EMULATED
  setenv("CCDL_EMULATOR_CAPABILITY", "9.0", 1);
  ccdl::emu::set_capability(90);
#endif
  return ccdl::cu::run();
}
