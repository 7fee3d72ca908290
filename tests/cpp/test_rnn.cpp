// Recurrent kernels against a plain loop over sequences and steps in double whose gradients come from a tape:
// every mode and dtype, padded and packed rows, both directions, projections, initial states there or absent,
// strided outputs, and on the device every way of running a sequence (CCDL_RNN_PATH); results are the same
// bits every time.
#include <ccdl/core/device_api.h>
#include <ccdl/kernels/rnn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "test.h"

using namespace ccdl;

namespace {

bool g_on_device = false;
// The emulated device is slow: every third case, beginning with the one that the schedule's seed names,
// unless test names are given.
bool g_every_case = false;

// ---- the reference: scalars on a tape ----

struct Node {
  int parent[2];
  double slope[2];
};
std::vector<Node> g_tape;
struct Var {
  double v = 0;
  int id = -1;  // -1: a constant
};
Var node(double v, Var a, double da, Var b = {}, double db = 0) {
  g_tape.push_back({{a.id, b.id}, {da, db}});
  return {v, static_cast<int>(g_tape.size()) - 1};
}
Var leaf(double v) { return node(v, {}, 0); }
Var operator+(Var a, Var b) { return node(a.v + b.v, a, 1, b, 1); }
Var operator-(Var a, Var b) { return node(a.v - b.v, a, 1, b, -1); }
Var operator*(Var a, Var b) { return node(a.v * b.v, a, b.v, b, a.v); }
Var sigmoid(Var a) {
  const double s = 1 / (1 + std::exp(-a.v));
  return node(s, a, s * (1 - s));
}
Var tanh_of(Var a) {
  const double t = std::tanh(a.v);
  return node(t, a, 1 - t * t);
}
Var relu(Var a) { return node(a.v > 0 ? a.v : 0, a, a.v > 0 ? 1 : 0); }

// Gradients of all leaves given those of some nodes.
std::vector<double> back(std::vector<double> grad) {
  for (size_t i = g_tape.size(); i-- > 0;)
    for (int k = 0; k < 2; ++k)
      if (g_tape[i].parent[k] >= 0)
        grad[static_cast<size_t>(g_tape[i].parent[k])] += grad[i] * g_tape[i].slope[k];
  return grad;
}

// ---- cases ----

struct Case {
  RnnMode mode;
  bool reverse;
  std::vector<int64_t> sizes;
  int64_t hidden, state;
  bool initial, bias, gradients = true;
  int64_t rows() const {
    int64_t n = 0;
    for (int64_t b : sizes) n += b;
    return n;
  }
  int64_t batch() const { return sizes[0]; }
  bool projected() const { return state != hidden; }
  int64_t gates() const { return rnn_gates(mode); }
  bool cell() const { return rnn_has_cell(mode); }
};

template <class T>
struct Stat {
  using type = float;
};
template <>
struct Stat<double> {
  using type = double;
};
template <class T>
double wide(T v) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(v);
  else
    return static_cast<double>(static_cast<float>(v));
}
template <class T>
T narrow(double v) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<T>(v);
  else
    return T(static_cast<float>(v));
}

// Host memory, and its copy on the device while a call runs.
template <class T>
struct Memory {
  std::vector<T> host;
  void* device = nullptr;
  size_t capacity = 0;
  void* block = nullptr;
  Memory(int64_t n, std::mt19937& rng, double scale) : host(static_cast<size_t>(n)) {
    std::normal_distribution<double> normal;
    for (T& v : host) v = narrow<T>(scale * normal(rng));
  }
  explicit Memory(int64_t n) : host(static_cast<size_t>(n)) {
    if (n > 0) std::memset(static_cast<void*>(host.data()), 0xff, host.size() * sizeof(T));  // NaN
  }
  Memory(const Memory&) = delete;
  Memory(Memory&&) = delete;
  ~Memory() {
#ifdef CCDL_WITH_CUDA
    if (device) cu::deallocate(device, capacity, 0, block);
#endif
  }
  int64_t bytes() const { return static_cast<int64_t>(host.size() * sizeof(T)); }
  T* upload() {
    if (!g_on_device) return host.data();
#ifdef CCDL_WITH_CUDA
    if (!device) device = cu::allocate(bytes(), 0, &capacity, &block);
    if (bytes() > 0) cu::copy_host_to_device(device, host.data(), bytes(), 0);
#endif
    return static_cast<T*>(device);
  }
  void download() {
#ifdef CCDL_WITH_CUDA
    if (device && bytes() > 0) cu::copy_device_to_host(host.data(), device, bytes(), 0);
#endif
  }
};

template <class T>
View matrix(T* data, int64_t rows, int64_t columns, int64_t stride = 0) {
  View v{};
  v.data = data;
  v.ndim = 2;
  v.dtype = sizeof(T) == 8               ? DType::Float64
            : std::is_same_v<T, float>   ? DType::Float32
            : std::is_same_v<T, float16> ? DType::Float16
                                         : DType::BFloat16;
  v.sizes[0] = rows, v.sizes[1] = columns;
  v.strides[0] = stride ? stride : columns, v.strides[1] = 1;
  return v;
}
View absent() { return View{}; }

constexpr int64_t kPadY = 3, kPadDy = 1;  // columns beside y and dy

// All arrays of one case, before and after a run.
template <class T>
struct Problem {
  using S = typename Stat<T>::type;
  const Case& c;
  std::mt19937 rng;
  int64_t n, b, h, r, g;
  Memory<T> a, w_hh, b_hh, peephole, w_hr, h0, c0, dy, dhn, dcn;
  Memory<T> gates, y, hn, cn, dgates, dgates_h, dproj, dh0, dc0;
  Memory<S> cells, extra, dpeephole;

  Problem(const Case& k, unsigned seed)
      : c(k),
        rng(seed),
        n(k.rows()),
        b(k.batch()),
        h(k.hidden),
        r(k.state),
        g(k.gates()),
        a(n * g * h, rng, 1),
        w_hh(g * h * r, rng, 1 / std::sqrt(double(r))),
        b_hh(g * h, rng, 0.5),
        peephole(3 * h, rng, 0.5),
        w_hr(r * h, rng, 1 / std::sqrt(double(h))),
        h0(b * r, rng, 0.5),
        c0(b * h, rng, 0.5),
        dy(n * (r + kPadDy), rng, 1),
        dhn(b * r, rng, 1),
        dcn(b * h, rng, 1),
        gates(0),
        y(n * (r + kPadY)),
        hn(b * r),
        cn(b * h),
        dgates(n * g * h),
        dgates_h(n * g * h),
        dproj(n * r),
        dh0(b * r),
        dc0(b * h),
        cells(n * h),
        extra(n * h),
        dpeephole(3 * h) {
    if (c.mode == RnnMode::Relu) {  // sums away from the kink, where rounding would decide
      for (auto* x : {&w_hh, &b_hh})
        for (T& v : x->host) v = narrow<T>(0.2 * wide(v));
      for (T& v : a.host) v = narrow<T>(wide(v) + (wide(v) < 0 ? -1 : 1));
    }
    gates.host = a.host;
  }

  void forward(RnnSteps steps) {
    RnnForward f{};
    f.gates = matrix(gates.upload(), n, g * h);
    f.w_hh = matrix(w_hh.upload(), g * h, r);
    f.b_hh = c.bias ? matrix(b_hh.upload(), 1, g * h) : absent();
    f.peephole = c.mode == RnnMode::LstmPeephole ? matrix(peephole.upload(), 3, h) : absent();
    f.w_hr = c.projected() ? matrix(w_hr.upload(), r, h) : absent();
    f.h0 = c.initial ? matrix(h0.upload(), b, r) : absent();
    f.c0 = c.initial && c.cell() ? matrix(c0.upload(), b, h) : absent();
    f.y = matrix(y.upload() + 1, n, r, r + kPadY);
    f.hn = matrix(hn.upload(), b, r);
    f.cn = c.cell() ? matrix(cn.upload(), b, h) : absent();
    f.cells = c.cell() && c.gradients ? matrix(cells.upload(), n, h) : absent();
    f.extra = c.mode == RnnMode::Gru && c.gradients ? matrix(extra.upload(), n, h) : absent();
    run(steps, f);
    gates.download(), y.download(), hn.download(), cn.download(), cells.download(), extra.download();
  }

  void backward(RnnSteps steps, bool in_place) {
    RnnBackward d{};
    d.gates = matrix(gates.upload(), n, g * h);
    d.cells = c.cell() ? matrix(cells.upload(), n, h) : absent();
    d.extra = c.mode == RnnMode::Gru ? matrix(extra.upload(), n, h) : absent();
    d.y = matrix(y.upload() + 1, n, r, r + kPadY);
    d.h0 = c.initial ? matrix(h0.upload(), b, r) : absent();
    d.c0 = c.initial && c.cell() ? matrix(c0.upload(), b, h) : absent();
    d.w_hh = matrix(w_hh.upload(), g * h, r);
    d.peephole = c.mode == RnnMode::LstmPeephole ? matrix(peephole.upload(), 3, h) : absent();
    d.w_hr = c.projected() ? matrix(w_hr.upload(), r, h) : absent();
    d.dy = matrix(dy.upload(), n, r, r + kPadDy);
    d.dhn = c.initial ? matrix(dhn.upload(), b, r) : absent();
    d.dcn = c.initial && c.cell() ? matrix(dcn.upload(), b, h) : absent();
    d.dgates = in_place ? d.gates : matrix(dgates.upload(), n, g * h);
    d.dgates_h = c.mode == RnnMode::Gru ? matrix(dgates_h.upload(), n, g * h) : absent();
    d.dproj = c.projected() ? matrix(dproj.upload(), n, r) : absent();
    d.dh0 = c.initial ? matrix(dh0.upload(), b, r) : absent();
    d.dc0 = c.initial && c.cell() ? matrix(dc0.upload(), b, h) : absent();
    d.dpeephole = c.mode == RnnMode::LstmPeephole ? matrix(dpeephole.upload(), 3, h) : absent();
    run(steps, d);
    if (in_place) {
      gates.download();
      dgates.host = gates.host;
    } else {
      dgates.download();
    }
    dgates_h.download(), dproj.download(), dh0.download(), dc0.download(), dpeephole.download();
  }

  template <class Arguments>
  void run(const RnnSteps& steps, Arguments& v) {
    const DType t = v.gates.dtype;
    const auto call = [&](auto bytes, auto function) {
      Memory<float> workspace((bytes(steps, h, r, t) + 3) / 4);
      v.workspace = workspace.upload();
      function(steps, v);
    };
#ifdef CCDL_WITH_CUDA
    if (g_on_device) {
      if constexpr (std::is_same_v<Arguments, RnnForward>)
        call(cu::rnn_forward_workspace_bytes, cu::rnn_forward);
      else
        call(cu::rnn_backward_workspace_bytes, cu::rnn_backward);
      return;
    }
#endif
    if constexpr (std::is_same_v<Arguments, RnnForward>)
      call(cpu::rnn_forward_workspace_bytes, cpu::rnn_forward);
    else
      call(cpu::rnn_backward_workspace_bytes, cpu::rnn_backward);
  }
};

// What the reference says, in the layout of Problem.
struct Expected {
  std::vector<double> y, hn, cn, dgates, dgates_h, dproj, dh0, dc0, dpeephole;
};

template <class T>
Expected reference(const Problem<T>& p) {
  const Case& c = p.c;
  g_tape.clear();
  const auto leaves = [](const auto& from) {
    std::vector<Var> v;
    for (const auto& x : from.host) v.push_back(leaf(wide(x)));
    return v;
  };
  const std::vector<Var> a = leaves(p.a), peephole = leaves(p.peephole), h0 = leaves(p.h0), c0 = leaves(p.c0);
  const int64_t H = p.h, R = p.r, G = p.g, T_ = static_cast<int64_t>(c.sizes.size());
  std::vector<int64_t> offset{0};
  for (int64_t s : c.sizes) offset.push_back(offset.back() + s);
  std::vector<Var> y(static_cast<size_t>(p.n * R)), hn(static_cast<size_t>(p.b * R)),
      cn(static_cast<size_t>(p.b * H)), u_h(static_cast<size_t>(p.n * G * H));
  const auto w = [&](int64_t row, int64_t k) { return wide(p.w_hh.host[static_cast<size_t>(row * R + k)]); };
  const auto bias = [&](int64_t row) {
    return Var{c.bias ? wide(p.b_hh.host[static_cast<size_t>(row)]) : 0.0, -1};
  };
  for (int64_t b = 0; b < p.b; ++b) {
    std::vector<Var> h(static_cast<size_t>(R)), cell(static_cast<size_t>(H));
    for (int64_t k = 0; c.initial && k < R; ++k) h[k] = h0[b * R + k];
    for (int64_t k = 0; c.initial && k < H; ++k) cell[k] = c0[b * H + k];
    for (int64_t i = 0; i < T_; ++i) {
      const int64_t t = c.reverse ? T_ - 1 - i : i;
      if (b >= c.sizes[static_cast<size_t>(t)]) continue;
      const int64_t row = offset[static_cast<size_t>(t)] + b;
      const auto in = [&](int64_t g, int64_t u) { return a[static_cast<size_t>(row * G * H + g * H + u)]; };
      const auto product = [&](int64_t g, int64_t u, const std::vector<Var>& x) {
        Var sum = bias(g * H + u);
        for (int64_t k = 0; k < R; ++k) sum = sum + Var{w(g * H + u, k), -1} * x[k];
        return u_h[static_cast<size_t>(row * G * H + g * H + u)] = sum;
      };
      std::vector<Var> out(static_cast<size_t>(H)), reset = h;
      if (c.mode == RnnMode::GruBefore)
        for (int64_t u = 0; u < H; ++u) reset[u] = sigmoid(in(0, u) + product(0, u, h)) * h[u];
      for (int64_t u = 0; u < H; ++u) {
        if (!c.cell() && G == 1) {
          const Var s = in(0, u) + product(0, u, h);
          out[u] = c.mode == RnnMode::Relu ? relu(s) : tanh_of(s);
        } else if (c.cell()) {
          Var s[4];
          for (int64_t g = 0; g < 4; ++g) s[g] = in(g, u) + product(g, u, h);
          if (c.mode == RnnMode::LstmPeephole) {
            s[0] = s[0] + peephole[u] * cell[u];
            s[1] = s[1] + peephole[H + u] * cell[u];
          }
          cell[u] = sigmoid(s[1]) * cell[u] + sigmoid(s[0]) * tanh_of(s[2]);
          if (c.mode == RnnMode::LstmPeephole) s[3] = s[3] + peephole[2 * H + u] * cell[u];
          out[u] = sigmoid(s[3]) * tanh_of(cell[u]);
        } else {
          const Var z = sigmoid(in(1, u) + product(1, u, h));
          const Var n = c.mode == RnnMode::Gru
                            ? tanh_of(in(2, u) + sigmoid(in(0, u) + product(0, u, h)) * product(2, u, h))
                            : tanh_of(in(2, u) + product(2, u, reset));
          out[u] = (Var{1, -1} - z) * n + z * h[u];
        }
      }
      for (int64_t k = 0; k < R; ++k) {
        Var sum = out[static_cast<size_t>(k % H)];
        if (c.projected()) {
          sum = Var{};
          for (int64_t u = 0; u < H; ++u)
            sum = sum + Var{wide(p.w_hr.host[static_cast<size_t>(k * H + u)]), -1} * out[u];
        }
        h[k] = y[static_cast<size_t>(row * R + k)] = sum;
      }
    }
    for (int64_t k = 0; k < R; ++k) hn[b * R + k] = h[k];
    for (int64_t k = 0; k < H; ++k) cn[b * H + k] = cell[k];
  }
  std::vector<double> grad(g_tape.size());
  const auto seed = [&](Var v, double d) {
    if (v.id >= 0) grad[static_cast<size_t>(v.id)] += d;
  };
  for (int64_t row = 0; row < p.n; ++row)
    for (int64_t k = 0; k < R; ++k)
      seed(y[row * R + k], wide(p.dy.host[static_cast<size_t>(row * (R + kPadDy) + k)]));
  for (int64_t i = 0; c.initial && i < p.b * R; ++i) seed(hn[i], wide(p.dhn.host[static_cast<size_t>(i)]));
  for (int64_t i = 0; c.initial && c.cell() && i < p.b * H; ++i)
    seed(cn[i], wide(p.dcn.host[static_cast<size_t>(i)]));
  grad = back(std::move(grad));
  const auto values = [](const std::vector<Var>& v) {
    std::vector<double> out;
    for (Var x : v) out.push_back(x.v);
    return out;
  };
  const auto grads = [&](const std::vector<Var>& v) {
    std::vector<double> out;
    for (Var x : v) out.push_back(x.id < 0 ? 0 : grad[static_cast<size_t>(x.id)]);
    return out;
  };
  return {values(y), values(hn), values(cn), grads(a),       grads(u_h),
          grads(y),  grads(h0),  grads(c0),  grads(peephole)};
}

template <class M>
void compare(const std::string& what, const std::vector<double>& want, const M& got, double tolerance,
             int64_t columns = 0, int64_t stride = 0, int64_t first = 0) {
  double scale = 1;
  for (double v : want) scale = std::max(scale, std::abs(v));
  for (size_t i = 0; i < want.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const double v =
        wide(got.host[columns ? static_cast<size_t>(at / columns * stride + at % columns + first) : i]);
    if (std::abs(v - want[i]) <= tolerance * scale) continue;
    test::report(__FILE__, __LINE__,
                 str(what, " [", at, " of ", want.size(), "] is ", v, ", expected ", want[i]));
    return;
  }
}

const char* const kModes[] = {"relu", "tanh", "lstm", "lstm peephole", "gru", "gru before"};

#ifdef CCDL_WITH_CUDA
int64_t launches() { return cu::launch_count(); }
#else
int64_t launches() { return 0; }
#endif

template <class T>
void check_case(const Case& c, unsigned seed, const char* path, double tolerance) {
  Problem<T> p(c, seed);
  const Expected want = reference(p);
  const RnnSteps steps{c.mode, c.reverse, c.sizes.data(), static_cast<int64_t>(c.sizes.size())};
  const std::string what =
      str("rnn ", kModes[static_cast<int>(c.mode)], " ", dtype_name(matrix<T>(nullptr, 0, 0).dtype), " H ",
          c.hidden, " R ", c.state, " B ", c.batch(), " T ", steps.steps, " rows ", p.n,
          c.reverse ? " reverse" : "", c.initial ? " h0" : "", " path ", path, " seed ", seed, ": ");
  const bool whole = std::strcmp(path, "step") != 0 && g_on_device;
  int64_t before = launches();
  p.forward(steps);
  // One launch for the sequence; those that bring packed rows along take 128 different sizes each.
  const int64_t allowed = 2 + c.batch() / 128;
  if (whole && launches() - before > allowed) test::report(__FILE__, __LINE__, what + "more than one launch");
  compare(what + "y", want.y, p.y, tolerance, p.r, p.r + kPadY, 1);
  compare(what + "hn", want.hn, p.hn, tolerance);
  if (c.cell()) compare(what + "cn", want.cn, p.cn, tolerance);
  for (int64_t row = 0; row < p.n; ++row)
    for (int64_t k = p.r; k < p.r + kPadY; ++k)  // the columns around y are nobody's
      if (const auto at = static_cast<size_t>(row * (p.r + kPadY) + (k + 1) % (p.r + kPadY));
          !std::isnan(wide(p.y.host[at])))
        return test::report(__FILE__, __LINE__, what + "y was written outside its columns");
  if (!c.gradients) return;
  before = launches();
  p.backward(steps, seed % 2 == 0 && c.mode != RnnMode::Gru);
  if (whole && launches() - before > allowed + (c.mode == RnnMode::LstmPeephole))
    test::report(__FILE__, __LINE__, what + "more than one launch backward");
  compare(what + "dgates", want.dgates, p.dgates, tolerance);
  if (c.mode == RnnMode::Gru) compare(what + "dgates_h", want.dgates_h, p.dgates_h, tolerance);
  if (c.projected()) compare(what + "dproj", want.dproj, p.dproj, tolerance);
  if (c.initial) compare(what + "dh0", want.dh0, p.dh0, tolerance);
  if (c.initial && c.cell()) compare(what + "dc0", want.dc0, p.dc0, tolerance);
  if (c.mode == RnnMode::LstmPeephole) compare(what + "dpeephole", want.dpeephole, p.dpeephole, tolerance);
  if (seed % 4 != 0) return;
  Problem<T> again(c, seed);
  again.forward(steps);
  again.backward(steps, seed % 2 == 0 && c.mode != RnnMode::Gru);
  const auto same = [](const auto& a, const auto& b) {
    return std::memcmp(a.host.data(), b.host.data(), static_cast<size_t>(a.bytes())) == 0;
  };
  if (!same(p.y, again.y) || !same(p.hn, again.hn) || !same(p.dgates, again.dgates) ||
      !same(p.dh0, again.dh0) || !same(p.dpeephole, again.dpeephole))
    test::report(__FILE__, __LINE__, what + "other bits in a second run");
}

// Every mode, direction and packing; sizes and the presence of states take turns.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const std::vector<int64_t> padded[] = {{3, 3, 3}, {18, 18}, {1, 1, 1, 1, 1}, {5, 5}, {9}};
  const std::vector<int64_t> packed[] = {{4, 3, 3, 1}, {18, 17, 2}, {9, 9, 8, 1, 1}, {2, 1}};
  const int64_t hidden[] = {5, 20, 8, 17, 33};
  int turn = 0;
  for (int mode = 0; mode < 6; ++mode)
    for (const bool reverse : {false, true})
      for (const bool ragged : {false, true})
        for (int x = 0; x < 2; ++x, ++turn) {
          const int64_t h = hidden[turn % 5];
          Case c{static_cast<RnnMode>(mode),
                 reverse,
                 ragged ? packed[turn % 4] : padded[turn / 2 % 5],
                 h,
                 h,
                 turn % 4 != 1,
                 turn % 3 != 2,
                 turn % 7 != 6};
          cases.push_back(c);
          if (c.cell() && x == 0) {
            c.state = h / 2 + 1;
            cases.push_back(c);
          }
        }
  return cases;
}

// More different batch sizes than one launch of the kernel that writes the offsets takes.
Case many_sizes(bool reverse) {
  Case c{RnnMode::Tanh, reverse, {}, 2, 2, true, true};
  for (int64_t b = 140; b > 0; --b) c.sizes.push_back(b);
  return c;
}

bool persistent(const Case& c) { return !c.projected() && c.mode != RnnMode::GruBefore; }

template <class T>
void check_all(double tolerance) {
  if (!g_on_device && sizeof(T) < 4) return;  // the CPU's kernels see no halves
  std::vector<const char*> paths{"step"};
  if (g_on_device && sizeof(T) < 8) paths = {"step", "block", "grid"};
  size_t first = 0, step = 1;
#ifdef CCDL_WITH_CUDA
  if (g_on_device && cu::is_emulated() && !g_every_case) {
    const char* value = std::getenv("CCDL_EMULATOR_SEED");
    step = 3;
    first = value ? static_cast<size_t>(std::atoi(value)) % step : 0;
  }
#endif
  const std::vector<Case> cases = all_cases();
  unsigned seed = 0;
  for (size_t i = first; i < cases.size(); i += step)
    for (const char* path : paths) {
      const Case& c = cases[i];
      if (path != paths[0] && !persistent(c)) continue;
      setenv("CCDL_RNN_PATH", path, 1);
      check_case<T>(c, ++seed, path, tolerance);
    }
  unsetenv("CCDL_RNN_PATH");
}

}  // namespace

TEST(many_sizes) {
  if (!g_on_device) return;
  for (const bool reverse : {false, true})
    for (const char* path : {"block", "grid"}) {
      setenv("CCDL_RNN_PATH", path, 1);
      check_case<float>(many_sizes(reverse), 1, path, 3e-6);
    }
  unsetenv("CCDL_RNN_PATH");
}
TEST(float32) { check_all<float>(3e-6); }
TEST(float64) { check_all<double>(1e-14); }
TEST(float16) { check_all<float16>(6e-3); }
TEST(bfloat16) { check_all<bfloat16>(5e-2); }

int main(int argc, char** argv) {
  auto& all = test::cases();  // names of tests to run; all without
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
