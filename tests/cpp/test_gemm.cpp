// Products of small whole numbers, exact in every dtype: bitwise against 64-bit sums, over sizes around tile
// edges, layouts, alignments, broadcast and strided operands, epilogues and poisoned outputs; on the CPU and,
// where the library has one, on the CUDA device.
#include <ccdl/core/device_api.h>
#include <ccdl/core/dtype.h>
#include <ccdl/core/matmul_precision.h>
#include <ccdl/kernels/gemm.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "test.h"
#ifdef CCDL_TEST_HOPPER  // the emulated device is of capability 9.0 (emulator/CMakeLists.txt)
#include <emulator/inspect.h>
#include <emulator/launch.h>
#endif

using namespace ccdl;

namespace {

enum class Layout { KFast, RowFast, KFastOdd, RowFastOdd, KFastEven, Strided, BothZero };
constexpr Layout kLayouts[] = {Layout::KFast,     Layout::RowFast, Layout::KFastOdd, Layout::RowFastOdd,
                               Layout::KFastEven, Layout::Strided, Layout::BothZero};

struct Case {
  int64_t batch, m, n, k;
  Layout a = Layout::KFast, b = Layout::RowFast;
  double alpha = 1, beta = 0;
  int bias = 0;  // 1 per column, 2 per row
  bool relu = false, share_a = false, share_b = false;
};

bool g_on_device = false;

// Host memory, and its copy on the device while a call runs.
template <class T>
struct Memory {
  std::vector<T> host;
  void* device = nullptr;
  size_t capacity = 0;
  void* block = nullptr;
  explicit Memory(int64_t n) : host(static_cast<size_t>(n)) {}
  Memory(const Memory&) = delete;
  ~Memory() {
#ifdef CCDL_WITH_CUDA
    if (device) cu::deallocate(device, capacity, 0, block);
#endif
  }
  int64_t bytes() const { return static_cast<int64_t>(host.size() * sizeof(T)); }
  T* upload() {
    if (!g_on_device) return host.data();
#ifdef CCDL_WITH_CUDA
    device = cu::allocate(bytes(), 0, &capacity, &block);
    if (bytes() > 0) cu::copy_host_to_device(device, host.data(), bytes(), 0);
#endif
    return static_cast<T*>(device);
  }
  void download() {
#ifdef CCDL_WITH_CUDA
    if (g_on_device && bytes() > 0) cu::copy_device_to_host(host.data(), device, bytes(), 0);
#endif
  }
};

struct Strides {
  int64_t batch, row, k, offset, size;
};
Strides strides_of(Layout layout, int64_t batch, int64_t rows, int64_t k, bool share) {
  Strides s{};
  switch (layout) {
    case Layout::KFast:
      s.row = k, s.k = 1;
      break;
    case Layout::RowFast:
      s.row = 1, s.k = rows;
      break;
    case Layout::KFastOdd:
      s.row = k + 1 + k % 2, s.k = 1, s.offset = 1;
      break;
    case Layout::RowFastOdd:
      s.row = 1, s.k = rows + 1 + rows % 2, s.offset = 3;
      break;
    case Layout::KFastEven:
      s.row = k + 2 + k % 2, s.k = 1, s.offset = 2;
      break;
    case Layout::Strided:
      s.row = 3 * k + 1, s.k = 3, s.offset = 5;
      break;
    case Layout::BothZero:
      break;
  }
  const int64_t reach = std::max<int64_t>(rows - 1, 0) * s.row + std::max<int64_t>(k - 1, 0) * s.k + 1;
  s.batch = share ? 0 : (layout == Layout::KFast ? rows * k : reach + 1);
  s.size = s.offset + std::max<int64_t>(batch - 1, 0) * s.batch + reach;
  return s;
}

template <class T>
DType dtype_of();
#define CCDL_TEST_DTYPE(T, name) \
  template <>                    \
  DType dtype_of<T>() {          \
    return DType::name;          \
  }
CCDL_TEST_DTYPE(float, Float32)
CCDL_TEST_DTYPE(double, Float64)
CCDL_TEST_DTYPE(float16, Float16)
CCDL_TEST_DTYPE(bfloat16, BFloat16)
CCDL_TEST_DTYPE(uint8_t, UInt8)
CCDL_TEST_DTYPE(int8_t, Int8)
CCDL_TEST_DTYPE(int16_t, Int16)
CCDL_TEST_DTYPE(int32_t, Int32)
CCDL_TEST_DTYPE(int64_t, Int64)
#undef CCDL_TEST_DTYPE

template <class T>
constexpr bool kInteger = std::is_integral_v<T>;
template <class T>
T make(int64_t v) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<T>(v);
  else
    return T(static_cast<float>(v));
}
template <class T>
int64_t whole(T v) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<int64_t>(v);
  else
    return static_cast<int64_t>(static_cast<float>(v));
}

View view3(void* data, DType dtype, int64_t s0, int64_t s1, int64_t s2, int64_t t0, int64_t t1, int64_t t2) {
  View v{};
  v.data = data;
  v.ndim = 3;
  v.dtype = dtype;
  v.sizes[0] = s0, v.sizes[1] = s1, v.sizes[2] = s2;
  v.strides[0] = t0, v.strides[1] = t1, v.strides[2] = t2;
  return v;
}

void run_gemm(const View& a, const View& b, const View& c, double alpha, double beta, const GemmEpilogue& e) {
#ifdef CCDL_WITH_CUDA
  if (g_on_device) return cu::gemm(a, b, c, alpha, beta, e);
#endif
  cpu::gemm(a, b, c, alpha, beta, e);
}

template <class T>
void check_case(const Case& c, unsigned seed) {
  std::mt19937 rng(seed);
  const auto draw = [&] { return static_cast<int64_t>(rng() % 5) - (std::is_unsigned_v<T> ? 0 : 2); };
  const Strides sa = strides_of(c.a, c.batch, c.m, c.k, c.share_a),
                sb = strides_of(c.b, c.batch, c.n, c.k, c.share_b);
  Memory<T> a(sa.size), b(sb.size), bias(std::max(c.m, c.n) * 2);
  for (auto* x : {&a.host, &b.host, &bias.host})
    for (T& v : *x) v = make<T>(draw());
  const int64_t pitch = c.n + 3, c_batch = c.m * pitch + 1;
  Memory<T> y(c.batch * c_batch + 4);
  if (c.beta == 0)
    std::memset(y.host.data(), 0xff, y.host.size() * sizeof(T));  // NaN, or -1
  else
    for (T& v : y.host) v = make<T>(draw());
  const std::vector<T> before = y.host;
  GemmEpilogue e;
  e.activation = c.relu ? Activation::Relu : Activation::None;
  if (c.bias) e.bias = bias.upload();
  if (c.bias == 1) e.column_stride = 2;
  if (c.bias == 2) e.row_stride = 1;
  run_gemm(view3(a.upload() + sa.offset, dtype_of<T>(), c.batch, c.m, c.k, sa.batch, sa.row, sa.k),
           view3(b.upload() + sb.offset, dtype_of<T>(), c.batch, c.k, c.n, sb.batch, sb.k, sb.row),
           view3(y.upload(), dtype_of<T>(), c.batch, c.m, c.n, c_batch, pitch, 1), c.alpha, c.beta, e);
  y.download();
#ifdef CCDL_TEST_HOPPER
  if (g_on_device && std::strstr(emu::last_kernel(), "gemm_sm90_kernel") == nullptr)
    test::report(__FILE__, __LINE__,
                 str("[", c.batch, ", ", c.m, ", ", c.n, ", ", c.k, "] layouts ", static_cast<int>(c.a), " ",
                     static_cast<int>(c.b), " did not run on the Hopper kernel"));
#endif
  std::vector<T> want = before;
  for (int64_t s = 0; s < c.batch; ++s)
    for (int64_t i = 0; i < c.m; ++i)
      for (int64_t j = 0; j < c.n; ++j) {
        const T* x = a.host.data() + sa.offset + s * sa.batch + i * sa.row;
        const T* w = b.host.data() + sb.offset + s * sb.batch + j * sb.row;
        int64_t sum = 0;
        for (int64_t k = 0; k < c.k; ++k) sum += whole(x[k * sa.k]) * whole(w[k * sb.k]);
        T& out = want[static_cast<size_t>(s * c_batch + i * pitch + j)];
        sum *= static_cast<int64_t>(c.alpha);
        if (c.beta != 0) sum += static_cast<int64_t>(c.beta) * whole(out);
        if (c.bias) sum += whole(bias.host[static_cast<size_t>(c.bias == 1 ? 2 * j : i)]);
        out = make<T>(c.relu && sum < 0 ? 0 : sum);
      }
  if (std::memcmp(want.data(), y.host.data(), want.size() * sizeof(T)) != 0) {
    size_t at = 0;
    while (std::memcmp(&want[at], &y.host[at], sizeof(T)) == 0) ++at;
    const int64_t in_batch = static_cast<int64_t>(at) % c_batch;
    test::report(
        __FILE__, __LINE__,
        str("gemm ", dtype_name(dtype_of<T>()), " [", c.batch, ", ", c.m, ", ", c.n, ", ", c.k, "] layouts ",
            static_cast<int>(c.a), " ", static_cast<int>(c.b), " alpha ", c.alpha, " beta ", c.beta, " bias ",
            c.bias, ": batch ", static_cast<int64_t>(at) / c_batch, " element (", in_batch / pitch, ", ",
            in_batch % pitch, ") is ", whole(y.host[at]), ", expected ", whole(want[at])));
  }
}

// Sizes around the edges of tiles, warps and vectors, each layout of A and B in turn.
template <class T>
std::vector<Case> exact_cases() {
  std::vector<Case> cases;
  const int64_t sizes[][3] = {{1, 1, 1},    {1, 1, 700},  {3, 2, 5},     {17, 33, 9},   {20, 20, 64},
                              {64, 64, 16}, {65, 63, 17}, {33, 129, 31}, {128, 30, 33}, {70, 66, 100}};
  int turn = 0;
  for (const auto& s : sizes)
    for (int x = 0; x < 4; ++x, ++turn)
      cases.push_back(
          {1 + turn % 2, s[0], s[1], s[2], kLayouts[(turn * 3 + x) % 7], kLayouts[(turn + x) % 7]});
  for (Layout a : kLayouts)
    for (Layout b : kLayouts) cases.push_back({1, 40, 24, 37, a, b});
  for (Layout b : kLayouts)
    for (int64_t m : {1, 3, 7, 16}) {  // few rows, few columns
      cases.push_back({1, m, 75, 130, Layout::KFast, b});
      cases.push_back({1, 75, m, 130, b, Layout::KFastOdd});
    }
  cases.push_back({1, 1, 1, 5000});
  cases.push_back({1, 20, 24, 1100});  // split k
  cases.push_back({2, 20, 17, 1100, Layout::RowFast, Layout::KFast});
  cases.push_back({1, 2, 40, 1100, Layout::KFast, Layout::RowFast});
  cases.push_back({3, 20, 24, 0});  // beta C
  cases.push_back({0, 20, 24, 5});
  cases.push_back({1, 0, 24, 5});
  cases.push_back({1, 20, 0, 5});
  for (int bias : {0, 1, 2})
    for (double beta : {0.0, 3.0}) {
      const bool fused = bias != 0 && !kInteger<T>;
      Case c{2, 21, 26, 40, Layout::KFast, Layout::KFast, 2, beta, fused ? bias : 0, !kInteger<T>};
      cases.push_back(c);
      c.batch = 1, c.k = 1100;  // through the partial sums
      cases.push_back(c);
      c.m = 2, c.k = 70;
      cases.push_back(c);
      std::swap(c.m, c.n);  // turned
      cases.push_back(c);
      c.m = 20, c.k = 0;
      cases.push_back(c);
    }
  Case shared{3, 18, 20, 33};
  shared.share_b = true;
  cases.push_back(shared);
  shared.share_a = true;
  shared.b = Layout::Strided;
  cases.push_back(shared);
  shared.share_b = false;
  cases.push_back(shared);
  shared.b = Layout::KFastOdd;
  cases.push_back(shared);
  return cases;
}

// Enough blocks for the large tiles.
template <class T>
std::vector<Case> large_tile_cases() {
  std::vector<Case> cases;
  const Layout pairs[][2] = {{Layout::KFast, Layout::KFast},
                             {Layout::KFast, Layout::RowFast},
                             {Layout::RowFast, Layout::KFast},
                             {Layout::RowFast, Layout::RowFast},
                             {Layout::KFastOdd, Layout::KFastEven}};
  for (const auto& p : pairs) {
    Case c{96, 67, 72, 24, p[0], p[1]};
    c.share_a = c.share_b = true;
    cases.push_back(c);
  }
  cases.push_back({2, 840, 900, 9, Layout::KFast, Layout::RowFast, 2, 3, 1, true});
  return cases;
}

#ifdef CCDL_TEST_HOPPER
// What the Hopper kernel takes: 96 tiles of 128 x 128 or more; its own tiles are 128 x 256 x 64, four in
// flight.
template <class T>
std::vector<Case> hopper_cases(bool all) {
  constexpr Layout kK = Layout::KFast, kRow = Layout::RowFast;
  std::vector<Case> cases = {
      {96, 72, 80, 64, kK, kRow, 1, 0, 0, false, true, true},
      {96, 72, 80, 72, kRow, kK, 1, 0, 0, false, true},
      {48, 72, 136, 328, kK, kK, 2, 3, 1, true},
      {96, 80, 72, 8, kRow, kRow, 1, 0, 2, true},
      {96, 65, 67, 77, Layout::KFastOdd, Layout::RowFastOdd},
      {1, 1160, 1300, 28, kK, kRow, 1, 1, 2},
  };
  if (!all) return cases;
  const Layout layouts[] = {kK, kRow, Layout::KFastOdd, Layout::RowFastOdd, Layout::Strided};
  for (Layout a : layouts)
    for (Layout b : layouts) cases.push_back({96, 67, 75, 72, a, b});  // lines of 16 bytes, or repacked
  for (int64_t k : {8, 15, 16, 63, 64, 65, 127, 128, 129, 255, 256, 257, 320, 512, 600})
    cases.push_back({96, 72, 72, k, k % 2 ? kRow : kK, k % 3 ? kRow : kK, 1, 0, 0, false, true, true});
  for (int64_t m : {127, 128, 129, 255, 257})
    for (int64_t n : {128, 255, 256, 257, 513})
      cases.push_back({96 / ((m + 127) / 128), m, n, 40, n % 2 ? kRow : kK, m % 2 ? kRow : kK});
  for (int bias : {0, 1, 2})
    for (double beta : {0.0, 3.0})
      for (bool relu : {false, true}) cases.push_back({96, 70, 72, 80, kK, kRow, 2, beta, bias, relu});
  return cases;
}
#endif

// The emulated device is slow: every sixth case, beginning with the one that the schedule's seed names,
// unless test names are given.
bool g_every_case = false;

template <class T>
void check_all(const std::vector<Case>& cases) {
  size_t first = 0, step = 1;
#ifdef CCDL_WITH_CUDA
  if (g_on_device && cu::is_emulated() && !g_every_case) {
    const char* seed = std::getenv("CCDL_EMULATOR_SEED");
    step = 6;
    first = seed ? static_cast<size_t>(std::atoi(seed)) % step : 0;
  }
#endif
  for (size_t i = first; i < cases.size(); i += step) check_case<T>(cases[i], static_cast<unsigned>(i + 1));
}

// Standard normal numbers: the largest |error| over k eps (sums of size sqrt(k) after k roundings that add up
// like a random walk), and the same bits every time.
double random_error(int64_t m, int64_t n, int64_t k) {
  std::mt19937 rng(7);
  std::normal_distribution<float> normal;
  Memory<float> a(m * k), b(k * n), y(m * n), again(m * n);
  for (auto* x : {&a.host, &b.host})
    for (float& v : *x) v = normal(rng);
  float *pa = a.upload(), *pb = b.upload();
  for (auto* out : {&y, &again}) {
    run_gemm(view3(pa, DType::Float32, 1, m, k, 0, k, 1), view3(pb, DType::Float32, 1, k, n, 0, n, 1),
             view3(out->upload(), DType::Float32, 1, m, n, 0, n, 1), 1, 0, {});
    out->download();
  }
  CHECK(y.host == again.host);
  double worst = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t x = 0; x < k; ++x)
        sum += double(a.host[static_cast<size_t>(i * k + x)]) * b.host[static_cast<size_t>(x * n + j)];
      worst = std::max(worst, std::abs(sum - y.host[static_cast<size_t>(i * n + j)]));
    }
  return worst / double(k) / std::numeric_limits<float>::epsilon();
}

template <class T>
void check_type() {
  check_all<T>(exact_cases<T>());
}

}  // namespace

#ifdef CCDL_TEST_HOPPER
template <class T>
void check_hopper(bool all) {
  if (!g_on_device) return;
  const std::vector<Case> cases = hopper_cases<T>(all);
  for (size_t i = 0; i < cases.size(); ++i)
    if (all || i % 2 == (std::is_same_v<T, float16>)) check_case<T>(cases[i], static_cast<unsigned>(i + 1));
}
TEST(hopper) {
  check_hopper<bfloat16>(false);
  check_hopper<float16>(false);
}
TEST(hopper_all) {  // minutes: only when asked for by name
  if (!g_every_case) return;
  check_hopper<bfloat16>(true);
  check_hopper<float16>(true);
}
#else
TEST(float32) { check_type<float>(); }
TEST(float64) { check_type<double>(); }
TEST(float16) { check_type<float16>(); }
TEST(bfloat16) { check_type<bfloat16>(); }
TEST(integers) {
  check_type<int64_t>();
  check_type<int32_t>();
  check_type<int16_t>();
  check_type<int8_t>();
  check_type<uint8_t>();
}
TEST(large_tiles) {
  check_all<float>(large_tile_cases<float>());
  check_all<float16>(large_tile_cases<float16>());
  check_all<bfloat16>(large_tile_cases<bfloat16>());
  check_all<double>(large_tile_cases<double>());
}
TEST(random_float32) {
  CHECK(random_error(70, 65, 300) < 2);
  CHECK(random_error(40, 40, 1200) < 2);
  CHECK(random_error(3, 50, 900) < 2);
}

#ifdef CCDL_WITH_CUDA
TEST(tf32) {
  if (!g_on_device) return;
  const double exact = random_error(70, 65, 300);
  set_matmul_precision(MatmulPrecision::Tf32x3);
  check_type<float>();
  check_all<float>(large_tile_cases<float>());
  const double three = random_error(70, 65, 300);
  CHECK(three <= 2 * exact);
  set_matmul_precision(MatmulPrecision::Tf32);
  check_type<float>();
  check_all<float>(large_tile_cases<float>());
  const double one = random_error(70, 65, 300);
  CHECK(one > 100 * three && one < 2000);
  set_matmul_precision(MatmulPrecision::Ieee);
  std::printf("error / (k eps): fp32 %.3f, 3xtf32 %.3f, tf32 %.1f\n", exact, three, one);
}
#endif
#endif  // CCDL_TEST_HOPPER

int main(int argc, char** argv) {
  // Names of tests to run; all without.
#ifdef CCDL_TEST_HOPPER
  setenv("CCDL_EMULATOR_CAPABILITY", "9.0", 1);
  setenv("CCDL_SM90", "1", 1);
  emu::set_capability(90);
#endif
  auto& all = test::cases();
  g_every_case = argc > 1;
  if (argc > 1)
    std::erase_if(all, [&](const test::Case& c) {
      return std::none_of(argv + 1, argv + argc,
                          [&](const char* name) { return std::string(name) == c.name; });
    });
  int status = test::run_all();
#ifdef CCDL_WITH_CUDA
  if (cu::device_count() > 0) {
    g_on_device = true;
    std::printf("on the device\n");
    status |= test::run_all();
  }
#endif
  return status;
}
