// Attention and its gradients against plain double loops over the rounded inputs, with bounds from the sums
// of absolute terms: masks, causal offsets, key lengths, shared key heads, dropout, odd sizes, strides, fully
// masked rows, split keys; poisoned outputs, and the same bits every time; on the CPU and, where the library
// has one, on the CUDA device.
#include <ccdl/core/device_api.h>
#include <ccdl/core/dtype.h>
#include <ccdl/core/matmul_precision.h>
#include <ccdl/kernels/attention.h>

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

enum class Mask { None, Bool, BoolPerKey, Added, AddedInfinite };
enum class Layout { Dense, HeadsInside, Odd };

struct Case {
  int64_t B, H, G, L, S, D, E;
  int64_t offset = kNotCausal;
  Mask mask = Mask::None;
  bool lengths = false;
  double dropout = 0;
  Layout layout = Layout::Dense;
  double scale = 0;  // 0: 1 / sqrt(D)
};

bool g_on_device = false;
bool g_tf32 = false;  // float products of operands rounded to 11 bits

// Host memory, and its copy on the device while a call runs.
struct Memory {
  std::vector<unsigned char> host;
  void* device = nullptr;
  size_t capacity = 0;
  void* block = nullptr;
  explicit Memory(int64_t bytes) : host(static_cast<size_t>(bytes), 0xff) {}
  Memory(const Memory&) = delete;
  ~Memory() {
#ifdef CCDL_WITH_CUDA
    if (device) cu::deallocate(device, capacity, 0, block);
#endif
  }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(host.data());
  }
  void* upload() {
    if (!g_on_device) return host.data();
#ifdef CCDL_WITH_CUDA
    const auto bytes = static_cast<int64_t>(host.size());
    if (!device) device = cu::allocate(bytes, 0, &capacity, &block);
    if (bytes > 0) cu::copy_host_to_device(device, host.data(), bytes, 0);
#endif
    return device;
  }
  void download() {
#ifdef CCDL_WITH_CUDA
    if (g_on_device && !host.empty())
      cu::copy_device_to_host(host.data(), device, static_cast<int64_t>(host.size()), 0);
#endif
  }
};

template <class T>
double number(T v) {
  if constexpr (std::is_arithmetic_v<T>)
    return v;
  else
    return static_cast<float>(v);
}
template <class T>
T rounded(double v) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<T>(v);
  else
    return T(static_cast<float>(v));
}
template <class T>
struct Kind;
template <>
struct Kind<float> {
  using Stat = float;
  static constexpr DType kType = DType::Float32;
  static constexpr double kBound = 0x1p-17;  // of the sum of absolute terms
};
template <>
struct Kind<double> {
  using Stat = double;
  static constexpr DType kType = DType::Float64;
  static constexpr double kBound = 1e-13;
};
template <>
struct Kind<float16> {
  using Stat = float;
  static constexpr DType kType = DType::Float16;
  static constexpr double kBound = 0x1p-9;
};
template <>
struct Kind<bfloat16> {
  using Stat = float;
  static constexpr DType kType = DType::BFloat16;
  static constexpr double kBound = 0x1p-6;
};

// [B, H, L, D] in memory of its own; at() is host access.
template <class T>
struct Array {
  int64_t sizes[4], strides[4];
  int64_t begin;
  Memory memory;

  static int64_t reach(Layout layout, int64_t B, int64_t H, int64_t L, int64_t D) {
    return layout == Layout::Odd ? B * (H * (L * (D + 3) + 1) + 1) + 1 : B * H * L * D;
  }
  Array(Layout layout, int64_t B, int64_t H, int64_t L, int64_t D)
      : sizes{B, H, L, D},
        begin(layout == Layout::Odd ? 1 : 0),
        memory(reach(layout, B, H, L, D) * static_cast<int64_t>(sizeof(T))) {
    strides[3] = 1;
    if (layout == Layout::HeadsInside) {
      strides[1] = D, strides[2] = H * D, strides[0] = L * H * D;
    } else {
      const int64_t pad = layout == Layout::Odd ? 1 : 0;
      strides[2] = D + 3 * pad, strides[1] = L * strides[2] + pad, strides[0] = H * strides[1] + pad;
    }
  }
  T& at(int64_t b, int64_t h, int64_t i, int64_t d) {
    return memory.as<T>()[begin + b * strides[0] + h * strides[1] + i * strides[2] + d * strides[3]];
  }
  void fill(std::mt19937& rng) {
    std::normal_distribution<double> normal;
    for (int64_t b = 0; b < sizes[0]; ++b)
      for (int64_t h = 0; h < sizes[1]; ++h)
        for (int64_t i = 0; i < sizes[2]; ++i)
          for (int64_t d = 0; d < sizes[3]; ++d) at(b, h, i, d) = rounded<T>(normal(rng));
  }
  View view(DType dtype) {
    View v{};
    v.data = static_cast<T*>(memory.upload()) + begin;
    v.ndim = 4;
    v.dtype = dtype;
    v.device = g_on_device ? 0 : -1;
    std::copy(sizes, sizes + 4, v.sizes);
    std::copy(strides, strides + 4, v.strides);
    return v;
  }
};

struct Expected {
  std::vector<double> out, dq, dk, dv, lse;
  std::vector<double> out_bound, dq_bound, dk_bound, dv_bound;  // sums of absolute terms
};

template <class T>
struct Inputs {
  Case c;
  Array<T> q, k, v, dout, bias;
  Array<bool> allowed;
  std::vector<int64_t> lengths;
  double scale;

  Inputs(const Case& a, unsigned seed)
      : c(a),
        q(a.layout, a.B, a.H, a.L, a.D),
        k(a.layout, a.B, a.G, a.S, a.D),
        v(a.layout, a.B, a.G, a.S, a.E),
        dout(a.layout, a.B, a.H, a.L, a.E),
        bias(Layout::Dense, a.B, a.H, a.L, a.S),
        allowed(Layout::Dense, a.B, a.mask == Mask::BoolPerKey ? 1 : a.H,
                a.mask == Mask::BoolPerKey ? 1 : a.L, a.S),
        scale(a.scale == 0 ? 1 / std::sqrt(static_cast<double>(a.D)) : a.scale) {
    std::mt19937 rng(seed);
    q.fill(rng), k.fill(rng), v.fill(rng), dout.fill(rng), bias.fill(rng);
    if (c.mask == Mask::AddedInfinite)
      for (int64_t b = 0; b < c.B; ++b)
        for (int64_t h = 0; h < c.H; ++h)
          for (int64_t i = 0; i < c.L; ++i)
            for (int64_t j = 0; j < c.S; ++j)
              if (rng() % 3 == 0 || i == 1)
                bias.at(b, h, i, j) = rounded<T>(-std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < allowed.memory.host.size(); ++i) allowed.memory.host[i] = rng() % 4 != 0;
    if (c.mask == Mask::Bool && c.L > 2)
      for (int64_t j = 0; j < c.S; ++j) allowed.at(0, 0, 2, j) = false;  // a row that sees nothing
    for (int64_t b = 0; b < c.B; ++b) lengths.push_back(b == 1 ? 0 : static_cast<int64_t>(rng() % (c.S + 3)));
    for (int64_t b = 0; c.lengths && b < c.B; ++b)  // what lies behind a length is not read
      for (int64_t g = 0; g < c.G; ++g)
        for (int64_t j = lengths[static_cast<size_t>(b)]; j < c.S; ++j) {
          for (int64_t d = 0; d < c.D; ++d) k.at(b, g, j, d) = rounded<T>(std::nan(""));
          for (int64_t d = 0; d < c.E; ++d) v.at(b, g, j, d) = rounded<T>(std::nan(""));
        }
  }
  bool sees(int64_t b, int64_t h, int64_t i, int64_t j) {
    if (c.lengths && j >= lengths[static_cast<size_t>(b)]) return false;
    if (c.offset != kNotCausal && j > i + c.offset) return false;
    if (c.mask == Mask::Bool) return allowed.at(b, h, i, j);
    if (c.mask == Mask::BoolPerKey) return allowed.at(b, 0, 0, j);
    return true;
  }
  bool kept(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const auto element = static_cast<uint64_t>(((b * c.H + h) * c.L + i) * c.S + j);
    return rng::kept(rng::draw32(RandomState{123, 45}, element), rng::keep_threshold(c.dropout));
  }
};

template <class T>
Expected expected(Inputs<T>& x) {
  const Case& c = x.c;
  Expected e;
  const auto size = [](int64_t n) { return static_cast<size_t>(n); };
  e.out.resize(size(c.B * c.H * c.L * c.E)), e.out_bound = e.out;
  e.dq.resize(size(c.B * c.H * c.L * c.D)), e.dq_bound = e.dq;
  e.dk.resize(size(c.B * c.G * c.S * c.D)), e.dk_bound = e.dk;
  e.dv.resize(size(c.B * c.G * c.S * c.E)), e.dv_bound = e.dv;
  e.lse.resize(size(c.B * c.H * c.L));
  const double infinity = std::numeric_limits<double>::infinity(), keep_scale = 1 / (1 - c.dropout);
  std::vector<double> s(size(c.S)), p(size(c.S)), dp(size(c.S)), dp_bound(size(c.S));
  for (int64_t b = 0; b < c.B; ++b)
    for (int64_t h = 0; h < c.H; ++h)
      for (int64_t i = 0; i < c.L; ++i) {
        const int64_t g = h / (c.H / c.G), line = (b * c.H + h) * c.L + i;
        double top = -infinity, sum = 0;
        for (int64_t j = 0; j < c.S; ++j) {
          double& v = s[size(j)];
          v = 0;
          for (int64_t d = 0; d < c.D; ++d) v += number(x.q.at(b, h, i, d)) * number(x.k.at(b, g, j, d));
          v *= x.scale;
          if (c.mask == Mask::Added || c.mask == Mask::AddedInfinite) v += number(x.bias.at(b, h, i, j));
          if (!x.sees(b, h, i, j)) v = -infinity;
          top = std::max(top, v);
        }
        for (double& v : s) sum += top == -infinity ? 0 : std::exp(v - top);
        e.lse[size(line)] = top + std::log(sum);
        if (top == -infinity) e.lse[size(line)] = -infinity;
        double delta = 0, delta_bound = 0;
        for (int64_t j = 0; j < c.S; ++j) {
          const double r = c.dropout > 0 ? (x.kept(b, h, i, j) ? keep_scale : 0) : 1;
          p[size(j)] = top == -infinity ? 0 : std::exp(s[size(j)] - top) / sum;
          dp[size(j)] = dp_bound[size(j)] = 0;
          if (!x.sees(b, h, i, j)) continue;
          for (int64_t n = 0; n < c.E; ++n) {
            const double v = number(x.v.at(b, g, j, n)), dy = number(x.dout.at(b, h, i, n)),
                         w = p[size(j)] * r;
            e.out[size(line * c.E + n)] += w * v;
            e.out_bound[size(line * c.E + n)] += w * std::abs(v);
            const size_t at = size(((b * c.G + g) * c.S + j) * c.E + n);
            e.dv[at] += w * dy;
            e.dv_bound[at] += w * std::abs(dy);
            dp[size(j)] += r * dy * v;
            dp_bound[size(j)] += r * std::abs(dy * v);
          }
          delta += p[size(j)] * dp[size(j)];
          delta_bound += p[size(j)] * dp_bound[size(j)];
        }
        for (int64_t j = 0; j < c.S; ++j) {
          if (!x.sees(b, h, i, j)) continue;
          const double ds = p[size(j)] * (dp[size(j)] - delta) * x.scale;
          const double bound = p[size(j)] * (dp_bound[size(j)] + delta_bound) * std::abs(x.scale);
          for (int64_t d = 0; d < c.D; ++d) {
            const double q = number(x.q.at(b, h, i, d)), k = number(x.k.at(b, g, j, d));
            const size_t at = size(((b * c.G + g) * c.S + j) * c.D + d);
            e.dq[size(line * c.D + d)] += ds * k;
            e.dq_bound[size(line * c.D + d)] += bound * std::abs(k);
            e.dk[at] += ds * q;
            e.dk_bound[at] += bound * std::abs(q);
          }
        }
      }
  return e;
}

std::string describe(const Case& c, DType dtype) {
  return str(dtype_name(dtype), " B ", c.B, " H ", c.H, " G ", c.G, " L ", c.L, " S ", c.S, " D ", c.D, " E ",
             c.E, " offset ", c.offset == kNotCausal ? 9999 : c.offset, " mask ", static_cast<int>(c.mask),
             " lengths ", static_cast<int>(c.lengths), " dropout ", c.dropout, " layout ",
             static_cast<int>(c.layout), " scale ", c.scale);
}

#ifdef CCDL_WITH_CUDA
#define CCDL_TEST_CALL(...) (g_on_device ? cu::__VA_ARGS__ : cpu::__VA_ARGS__)
#else
#define CCDL_TEST_CALL(...) cpu::__VA_ARGS__
#endif

template <class T>
void compare(const char* what, const std::string& where, Array<T>& got, const std::vector<double>& want,
             const std::vector<double>& bound) {
  size_t at = 0, wrong = 0;
  for (int64_t b = 0; b < got.sizes[0]; ++b)
    for (int64_t h = 0; h < got.sizes[1]; ++h)
      for (int64_t i = 0; i < got.sizes[2]; ++i)
        for (int64_t d = 0; d < got.sizes[3]; ++d, ++at) {
          const double v = number(got.at(b, h, i, d));
          const double rounding = g_tf32 ? Kind<float16>::kBound : Kind<T>::kBound;
          if (std::abs(v - want[at]) <= rounding * bound[at] + 1e-7 * (sizeof(T) < 8)) continue;
          if (wrong++ == 0)
            test::report(__FILE__, __LINE__,
                         str(what, " of ", where, ": (", b, ", ", h, ", ", i, ", ", d, ") is ", v,
                             ", expected ", want[at], ", sum of absolute terms ", bound[at]));
        }
  if (wrong > 1) test::report(__FILE__, __LINE__, str(what, ": ", wrong, " of ", at, " wrong"));
}

// In the program of the Hopper kernels: that the kernel that ran last is one of them.
void expect_hopper([[maybe_unused]] const char* kernel) {
#ifdef CCDL_TEST_HOPPER
  if (!g_on_device) return;
  cu::synchronize(0);
  CHECK(std::strstr(emu::last_kernel(), kernel) != nullptr);
#endif
}

template <class T>
void check_case(const Case& c, unsigned seed) {
  using Stat = typename Kind<T>::Stat;
  const DType dtype = Kind<T>::kType;
  Inputs<T> x(c, seed);
  const Expected want = expected(x);
  const std::string where = describe(c, dtype);
  AttentionParams a{};
  a.scale = x.scale;
  a.causal_offset = c.offset;
  a.dropout = c.dropout;
  a.random = RandomState{123, 45};
  if (c.mask == Mask::Added || c.mask == Mask::AddedInfinite) a.mask = x.bias.view(dtype);
  if (c.mask == Mask::Bool || c.mask == Mask::BoolPerKey) a.mask = x.allowed.view(DType::Bool);
  if (c.mask == Mask::BoolPerKey) {
    a.mask.sizes[1] = c.H, a.mask.sizes[2] = c.L;
    a.mask.strides[1] = a.mask.strides[2] = 0;
  }
  Memory lengths(8 * c.B);
  if (c.lengths) {
    std::memcpy(lengths.host.data(), x.lengths.data(), lengths.host.size());
    View v{};
    v.data = lengths.upload();
    v.ndim = 1, v.dtype = DType::Int64, v.sizes[0] = c.B, v.strides[0] = 1;
    v.device = g_on_device ? 0 : -1;
    a.key_lengths = v;
  }
  std::vector<unsigned char> first[5];
  for (int run = 0; run < 2; ++run) {
    Array<T> out(c.layout, c.B, c.H, c.L, c.E), dq(c.layout, c.B, c.H, c.L, c.D),
        dk(c.layout, c.B, c.G, c.S, c.D), dv(c.layout, c.B, c.G, c.S, c.E);
    Array<Stat> lse(Layout::Dense, c.B, c.H, c.L, 1);
    const View q = x.q.view(dtype), k = x.k.view(dtype), v = x.v.view(dtype), dout = x.dout.view(dtype),
               y = out.view(dtype);
    View l = lse.view(sizeof(Stat) == 8 ? DType::Float64 : DType::Float32);
    l.ndim = 3;
    Memory forward_space(CCDL_TEST_CALL(attention_forward_workspace_bytes(q, k, v, a)));
    CCDL_TEST_CALL(attention_forward(q, k, v, y, l, a, forward_space.upload()));
    expect_hopper("attention_forward_sm90_kernel");
    Memory space(CCDL_TEST_CALL(attention_backward_workspace_bytes(q, k, v, a)));
    CCDL_TEST_CALL(attention_backward(q, k, v, y, l, dout, dq.view(dtype), dk.view(dtype), dv.view(dtype), a,
                                      space.upload()));
    if (std::max(c.D, c.E) <= 128) expect_hopper("attention_backward_sm90_kernel");
    Memory* results[5] = {&out.memory, &lse.memory, &dq.memory, &dk.memory, &dv.memory};
    for (Memory* m : results) m->download();
    if (run == 1) {
      for (int i = 0; i < 5; ++i)
        if (results[i]->host != first[i])
          test::report(__FILE__, __LINE__, str("result ", i, " of ", where, ": other bits the second time"));
      continue;
    }
    for (int i = 0; i < 5; ++i) first[i] = results[i]->host;
    compare("out", where, out, want.out, want.out_bound);
    compare("dq", where, dq, want.dq, want.dq_bound);
    compare("dk", where, dk, want.dk, want.dk_bound);
    compare("dv", where, dv, want.dv, want.dv_bound);
    for (size_t i = 0; i < want.lse.size(); ++i) {
      const double got = number(lse.memory.template as<Stat>()[i]);
      const double slack = sizeof(T) == 8 ? 1e-12 : g_tf32 ? 5e-3 : 1e-5 * std::abs(want.lse[i]) + 2e-5;
      if (!(got == want.lse[i] || std::abs(got - want.lse[i]) <= slack)) {
        test::report(__FILE__, __LINE__,
                     str("lse of ", where, ": ", i, " is ", got, ", expected ", want.lse[i]));
        break;
      }
    }
  }
}

std::vector<Case> small_cases() {
  std::vector<Case> cases;
  const int64_t all = kNotCausal;
  for (const int64_t n : {1, 15, 33, 64, 65, 97, 130})
    cases.push_back({1, 1, 1, n, n, 8 + n % 3, 8, n % 2 ? 0 : all});
  cases.push_back({2, 2, 1, 3, 70, 16, 24});
  cases.push_back({2, 4, 2, 40, 30, 64, 64, 0});
  cases.push_back({1, 2, 2, 40, 70, 32, 32, 30});
  cases.push_back({1, 2, 1, 70, 40, 24, 17, -5});
  cases.push_back({1, 1, 1, 20, 20, 33, 5, -20});
  cases.push_back({1, 1, 1, 9, 0, 8, 8});
  cases.push_back({1, 1, 1, 0, 9, 8, 8});
  for (const Mask mask : {Mask::Bool, Mask::BoolPerKey, Mask::Added, Mask::AddedInfinite})
    cases.push_back({2, 2, 1, 21, 37, 20, 20, mask == Mask::Added ? 3 : all, mask});
  cases.push_back({3, 2, 2, 18, 66, 16, 16, all, Mask::None, true});
  cases.push_back({3, 2, 1, 18, 66, 16, 16, 20, Mask::Bool, true});
  cases.push_back({1, 2, 1, 19, 27, 16, 16, all, Mask::None, false, 0.25});
  cases.push_back({2, 2, 1, 34, 36, 40, 24, 2, Mask::Added, true, 0.5});
  for (const Layout layout : {Layout::HeadsInside, Layout::Odd}) {
    cases.push_back({2, 3, 1, 35, 41, 24, 32, 6, Mask::None, false, 0, layout});
    cases.push_back({1, 4, 2, 7, 41, 13, 6, all, Mask::Bool, false, 0.1, layout});
  }
  cases.push_back({1, 1, 1, 17, 19, 16, 16, 2, Mask::None, false, 0, Layout::Dense, -0.7});
  return cases;
}
std::vector<Case> wide_cases() {  // every width of the tensor-core tiles, and beyond
  std::vector<Case> cases;
  for (const int64_t d : {32, 64, 72, 96, 128, 144, 192, 200, 256, 264})
    cases.push_back({1, 2, 1, 37, 70, d, d == 264 ? 130 : d, 33});
  for (const int64_t d : {64, 128, 256})
    cases.push_back({1, 1, 1, 20, 70, d - 8, d, 33, Mask::Bool, false, 0.2});
  cases.push_back({1, 1, 1, 10, 20, 8, 300});
  return cases;
}
std::vector<Case> long_cases() {  // several blocks of rows; few queries over many keys
  return {{1, 1, 1, 150, 150, 64, 64, 0},
          {1, 4, 2, 1, 1100, 64, 64},
          {2, 4, 1, 3, 530, 32, 24, 500, Mask::None, true},
          {1, 2, 1, 5, 700, 128, 128, kNotCausal, Mask::Added, false, 0.1},
          {1, 1, 1, 2, 600, 264, 40}};
}

#ifdef CCDL_TEST_HOPPER
// What the Hopper kernels take: tiles of 128 queries, 128 or 64 keys and 64 columns, two of keys in flight.
std::vector<Case> hopper_cases(bool every) {
  constexpr int64_t all = kNotCausal;
  const auto plain = [](int64_t B, int64_t H, int64_t G, int64_t L, int64_t S, int64_t D, int64_t E,
                        int64_t offset, bool lengths = false, Layout layout = Layout::Dense) {
    return Case{B, H, G, L, S, D, E, offset, Mask::None, lengths, 0, layout};
  };
  std::vector<Case> cases = {
      plain(1, 2, 1, 140, 140, 64, 64, 0),                               // causal, shared keys
      plain(1, 1, 1, 70, 400, 64, 40, all),                              // rings go round
      plain(3, 2, 2, 18, 150, 72, 128, all, true),                       // key lengths, one of them 0
      plain(1, 6, 2, 130, 66, 16, 24, -40, false, Layout::HeadsInside),  // rows that see nothing
      plain(1, 1, 1, 66, 130, 200, 256, 70, false, Layout::Odd),
      plain(2, 2, 2, 5, 260, 128, 128, 255),
  };
  if (!every) return cases;
  for (const Case& c : small_cases())
    if (c.mask == Mask::None && c.dropout == 0 && c.scale >= 0 && c.S > 0 && c.L > 0 &&
        (c.H == c.G || c.H / c.G * c.L > 64))
      cases.push_back(c);
  for (int64_t d : {8, 32, 64, 72, 128, 136, 192, 256})
    for (int64_t offset : {all, int64_t{20}}) cases.push_back(plain(1, 2, 1, 90, 140, d, d, offset));
  for (int64_t n : {63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 257, 385})
    for (int64_t offset : {all, int64_t{0}, int64_t{-60}}) {
      cases.push_back(plain(1, 1, 1, n, 130, 64, 64, offset));
      cases.push_back(plain(1, 2, 1, 70, n, 128, 64, offset, n % 2 == 0));
    }
  cases.push_back(plain(3, 8, 2, 300, 500, 64, 64, 200));  // more work than multiprocessors
  cases.push_back(plain(3, 2, 1, 300, 508, 128, 128, all, true, Layout::Odd));
  return cases;
}
#endif

// The emulated device is slow: a share of the cases, beginning with the one that the schedule's seed names,
// unless test names are given.
bool g_every_case = false;

template <class T>
void check_all(const std::vector<Case>& cases, size_t share) {
  size_t first = 0, step = 1;
#ifdef CCDL_WITH_CUDA
  if (g_on_device && cu::is_emulated() && !g_every_case) {
    const char* seed = std::getenv("CCDL_EMULATOR_SEED");
    step = share;
    first = seed ? static_cast<size_t>(std::atoi(seed)) % step : 0;
  }
#endif
  for (size_t i = first; i < cases.size(); i += step)
    if (g_on_device || cases[i].S > 0)  // the ops hand no empty sums to the CPU kernel
      check_case<T>(cases[i], static_cast<unsigned>(i + 1));
}

template <class T>
void check_type() {
  check_all<T>(small_cases(), 6);
  check_all<T>(wide_cases(), 5);
  check_all<T>(long_cases(), 5);
}

}  // namespace

#ifdef CCDL_TEST_HOPPER
void check_hopper(bool every) {
  if (!g_on_device) return;
  const std::vector<Case> cases = hopper_cases(every);
  for (size_t i = 0; i < cases.size(); ++i) {
    if (every || i % 2 == 0) check_case<bfloat16>(cases[i], static_cast<unsigned>(i + 1));
    if (every || i % 2 == 1) check_case<float16>(cases[i], static_cast<unsigned>(i + 1));
  }
}
TEST(hopper) { check_hopper(false); }
TEST(hopper_all) {  // minutes: only when asked for by name
  if (g_every_case) check_hopper(true);
}
#else
TEST(float32) { check_type<float>(); }
TEST(float64) { check_type<double>(); }
TEST(float16) { check_type<float16>(); }
TEST(bfloat16) { check_type<bfloat16>(); }
TEST(tf32) {
  if (!g_on_device) return;
  set_matmul_precision(MatmulPrecision::Tf32);
  g_tf32 = true;
  check_type<float>();
  g_tf32 = false;
  set_matmul_precision(MatmulPrecision::Ieee);
}
#endif  // CCDL_TEST_HOPPER

int main(int argc, char** argv) {
  // Names of tests to run; all without.
#ifdef CCDL_TEST_HOPPER
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
