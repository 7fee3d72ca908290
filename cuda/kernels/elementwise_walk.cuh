// The two kernels every elementwise op is an instantiation of, per op and compute type; storage types are
// run-time switches (uniform over the grid).
//   quads_kernel  every operand is dense, a constant row or a number along the fast dimension: four elements
//                 at a time, loads of all operands in flight before the first is converted. Bound: bytes
//                 moved.
//   walk_kernel   any strides, any types: four elements per thread, neighbours in neighbouring threads.
#pragma once
#include <utility>

#include <runtime/launch.h>
#include <device/index.cuh>
#include <kernels/elementwise_storage.cuh>

namespace ccdl::cu {

constexpr int kThreads = 256;     // of a block
constexpr int kQuads = 2;         // quads of a thread
constexpr int kWalkElements = 4;  // elements of a thread in walk_kernel

// ---- operands ----

// N inputs of an op computed in C. Operand 0 of the walk is the output.
template <class C, int N>
struct Operands {
  Walk<N + 1> walk;
  void* out;
  const void* in[N];
  C value[N];  // of an input that is a number on the host
  bool is_value[N];
  DType out_type, in_type[N];
  int32_t item[N];    // bytes of an input's element
  int64_t quads = 0;  // whole quads; the walk is over quads then
  int tail = 0;       // elements behind the last quad
};

// The walk of several views with dimensions in the order of the first one's strides, so that neighbouring
// threads write neighbouring memory whatever the memory format.
template <int N>
Walk<N> make_ordered_walk(const View* const (&views)[N]) {
  const View& out = *views[0];
  int order[kMaxDims], n = 0;
  bool sorted = true;
  for (int d = 0; d < out.ndim; ++d) {
    if (out.sizes[d] == 1) continue;
    int at = n++;
    for (; at > 0 && out.strides[order[at - 1]] < out.strides[d]; --at)
      order[at] = order[at - 1], sorted = false;
    order[at] = d;
  }
  if (sorted) return make_walk(views);
  View ordered[N];
  const View* pointers[N];
  for (int k = 0; k < N; ++k) {
    ordered[k] = *views[k];
    ordered[k].ndim = n;
    for (int i = 0; i < n; ++i) {
      ordered[k].sizes[i] = views[k]->sizes[order[i]];
      ordered[k].strides[i] = views[k]->strides[order[i]];
    }
    pointers[k] = &ordered[k];
  }
  return make_walk(pointers);
}

template <class C, int N>
Operands<C, N> make_operands(const View& out, const View* const (&in)[N]) {
  Operands<C, N> o;
  const View* views[N + 1] = {&out};
  for (int k = 0; k < N; ++k) views[k + 1] = in[k];
  o.walk = make_ordered_walk(views);
  o.out = out.data;
  o.out_type = out.dtype;
  for (int k = 0; k < N; ++k) {
    o.in[k] = in[k]->data;
    o.in_type[k] = in[k]->dtype;
    o.item[k] = static_cast<int32_t>(item_size(in[k]->dtype));
    o.is_value[k] = in[k]->on_host();
    o.value[k] = o.is_value[k] ? host_value<C>(*in[k]) : C(0);
  }
  return o;
}

// Whether four neighbours of operand k can be moved together.
template <int N>
bool quad_aligned(const Walk<N>& w, int k, const void* p, int64_t item) {
  if (w.strides[k][0] > 1 || item > 4) return false;
  if (w.strides[k][0] == 0) return k > 0;
  for (int d = 1; d < w.ndim; ++d)
    if (w.strides[k][d] % 4 != 0) return false;
  return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(4 * item) == 0;
}

// Turns the walk into one over quads where all operands allow it.
template <class C, int N>
bool make_quads(Operands<C, N>& o) {
  Walk<N + 1>& w = o.walk;
  if (w.ndim == 0 || (w.ndim > 1 && w.sizes[0] % 4 != 0) || w.numel < 4) return false;
  if (!quad_aligned(w, 0, o.out, item_size(o.out_type))) return false;
  for (int k = 0; k < N; ++k)
    if (!o.is_value[k] && !quad_aligned(w, k + 1, o.in[k], o.item[k])) return false;
  o.tail = static_cast<int>(w.numel % 4);
  w.sizes[0] /= 4;
  w.numel /= 4;
  o.quads = w.numel;
  if (w.small) w.divs[0] = FastDiv(static_cast<uint32_t>(w.sizes[0]));
  for (int k = 0; k <= N; ++k) w.strides[k][0] *= 4;
  return true;
}

// ---- kernels ----

// Base of a functor: copies of its formula in a kernel that computes kQuads quads per thread: 1 for long
// ones, 4, or 8 for a few instructions.
template <int kTimes>
struct Formula {
  static constexpr int kCopies = kTimes;
};

template <class F, class C>
CCDL_DEVICE auto apply(const F& f, const C (&v)[1]) {
  return f(v[0]);
}
template <class F, class C>
CCDL_DEVICE auto apply(const F& f, const C (&v)[2]) {
  return f(v[0], v[1]);
}
template <class F, class C>
CCDL_DEVICE auto apply(const F& f, const C (&v)[3]) {
  return f(v[0], v[1], v[2]);
}

// One element at offsets off.
template <class C, int N, class F>
CCDL_DEVICE void apply_at(const Operands<C, N>& o, const F& f, const int64_t (&off)[N + 1]) {
  C v[N];
#pragma unroll
  for (int k = 0; k < N; ++k)
    v[k] = o.is_value[k] ? o.value[k] : load_as<C>(o.in[k], o.in_type[k], o.item[k], off[k + 1]);
  store_as(o.out, o.out_type, off[0], apply(f, v));
}

// Results of the quads' elements. Where the formula is there fewer times than there are elements, they rotate
// through the first places.
template <int N, class F, class R>
CCDL_DEVICE void compute_quads(const F& f, float (&v)[kQuads * 4][N], R (&r)[kQuads * 4]) {
  constexpr int kAll = kQuads * 4, kCopies = F::kCopies;
#pragma unroll 1
  for (int step = 0; step < kAll / kCopies; ++step) {
    R now[kCopies];
#pragma unroll
    for (int i = 0; i < kCopies; ++i) now[i] = apply(f, v[i]);
#pragma unroll
    for (int i = 0; i + kCopies < kAll; ++i) {
      r[i] = r[i + kCopies];
#pragma unroll
      for (int k = 0; k < N; ++k) v[i][k] = v[i + kCopies][k];
    }
#pragma unroll
    for (int i = 0; i < kCopies; ++i) r[kAll - kCopies + i] = now[i];
  }
}

template <int N, class F>
__global__ void __launch_bounds__(kThreads, (F::kCopies == 8 ? 7 : 6) - N)
    quads_kernel(Operands<float, N> o, F f) {
  using R = decltype(apply(f, o.value));
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kQuads) + threadIdx.x;
  int64_t off[kQuads][N + 1];
  RawQuad raw[kQuads][N];
#pragma unroll
  for (int q = 0; q < kQuads; ++q)
    o.walk.offsets(first + q * kThreads < o.quads ? first + q * kThreads : 0, off[q]);
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (first + q * kThreads < o.quads && !o.is_value[k])
        raw[q][k] = load_quad(o.in[k], o.item[k], off[q][k + 1], o.walk.strides[k + 1][0] == 0);
      else
        raw[q][k] = RawQuad{};
  }
  float v[kQuads * 4][N];
  R r[kQuads * 4] = {};
#pragma unroll
  for (int k = 0; k < N; ++k) {
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      float four[4] = {o.value[k], o.value[k], o.value[k], o.value[k]};
      if (!o.is_value[k]) unpack_quad(raw[q][k], o.in_type[k], four);
#pragma unroll
      for (int i = 0; i < 4; ++i) v[4 * q + i][k] = four[i];
    }
  }
  compute_quads<N>(f, v, r);
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
    const R four[4] = {r[4 * q], r[4 * q + 1], r[4 * q + 2], r[4 * q + 3]};
    if (first + q * kThreads < o.quads) store_quad(o.out, o.out_type, off[q][0], four);
  }
  if (blockIdx.x == 0 && static_cast<int>(threadIdx.x) < o.tail) {  // one dimension: strides are 0 or 4
    int64_t at[N + 1];
    for (int k = 0; k <= N; ++k) at[k] = (4 * o.quads + threadIdx.x) * (o.walk.strides[k][0] / 4);
    apply_at(o, f, at);
  }
}

template <class C, int N, class F>
__global__ void __launch_bounds__(kThreads) walk_kernel(Operands<C, N> o, F f) {
  constexpr int kAhead = F::kCopies <= 1 ? 1 : kWalkElements;  // elements loaded before the first is computed
  int64_t at = static_cast<int64_t>(blockIdx.x) * (kThreads * kWalkElements) + threadIdx.x;
#pragma unroll 1
  for (int round = 0; round < kWalkElements / kAhead; ++round) {
    int64_t out[kAhead];
    uint64_t raw[kAhead][N];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      int64_t off[N + 1];
      o.walk.offsets(at + j * kThreads < o.walk.numel ? at + j * kThreads : 0, off);
      out[j] = off[0];
#pragma unroll
      for (int k = 0; k < N; ++k)
        raw[j][k] =
            at + j * kThreads < o.walk.numel && !o.is_value[k] ? load_raw(o.in[k], o.item[k], off[k + 1]) : 0;
    }
#pragma unroll 1
    for (int j = 0; j < kAhead; ++j, at += kThreads) {  // the elements rotate through the first place
      if (at < o.walk.numel) {
        C v[N];
#pragma unroll
        for (int k = 0; k < N; ++k) v[k] = o.is_value[k] ? o.value[k] : from_raw<C>(raw[0][k], o.in_type[k]);
        store_as(o.out, o.out_type, out[0], apply(f, v));
      }
#pragma unroll
      for (int i = 0; i + 1 < kAhead; ++i) {
        out[i] = out[i + 1];
#pragma unroll
        for (int k = 0; k < N; ++k) raw[i][k] = raw[i + 1][k];
      }
    }
  }
}

inline LaunchConfig blocks_of(int64_t work, int64_t per_block) {
  LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(ceil_div(work, per_block)));
  config.block = dim3(kThreads);
  return config;
}

template <class F, int N>
bool quads_hold(const Operands<float, N>& o) {
  if (!detail::kSame<decltype(apply(std::declval<const F&>(), o.value)), bool> &&
      (!is_floating(o.out_type) || !fits_quad(o.out_type)))
    return false;
  for (int k = 0; k < N; ++k)
    if (!o.is_value[k] && !fits_quad(o.in_type[k])) return false;
  return true;
}

// out = f(in...), C the compute type.
template <class C, int N, class F>
void run_elementwise(const View& out, const View* const (&in)[N], const F& f) {
  Operands<C, N> o = make_operands<C, N>(out, in);
  if (o.walk.numel == 0) return;
  if constexpr (detail::kSame<C, float> && F::kCopies > 0) {
    if (quads_hold<F>(o) && make_quads(o)) {
      CCDL_LAUNCH(blocks_of(o.quads, kThreads * kQuads), (quads_kernel<N, F>), o, f);
      return;
    }
  }
  CCDL_LAUNCH(blocks_of(o.walk.numel, kThreads * kWalkElements), (walk_kernel<C, N, F>), o, f);
}

}  // namespace ccdl::cu
