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
#include <device/vec.cuh>

namespace ccdl::cu {

constexpr int kThreads = 256;     // of a block
constexpr int kQuads = 2;         // quads of a thread
constexpr int kWalkElements = 4;  // elements of a thread in walk_kernel

// ---- storage to compute type and back, by run-time type ----

CCDL_DEVICE uint64_t load_raw(const void* p, int item, int64_t offset) {
  switch (item) {
    case 1:
      return static_cast<const uint8_t*>(p)[offset];
    case 2:
      return static_cast<const uint16_t*>(p)[offset];
    case 4:
      return static_cast<const uint32_t*>(p)[offset];
    default:
      return static_cast<const uint64_t*>(p)[offset];
  }
}
CCDL_DEVICE void store_raw(void* p, int item, int64_t offset, uint64_t v) {
  switch (item) {
    case 1:
      static_cast<uint8_t*>(p)[offset] = static_cast<uint8_t>(v);
      break;
    case 2:
      static_cast<uint16_t*>(p)[offset] = static_cast<uint16_t>(v);
      break;
    case 4:
      static_cast<uint32_t*>(p)[offset] = static_cast<uint32_t>(v);
      break;
    default:
      static_cast<uint64_t*>(p)[offset] = v;
  }
}

template <class C, class H>
CCDL_DEVICE C from_half_bits(uint32_t bits) {
  H h;
  h.bits = static_cast<uint16_t>(bits);
  return convert<C>(h);
}

template <class C>
CCDL_DEVICE C from_raw(uint64_t raw, DType t) {
  switch (t) {
    case DType::Bool:
    case DType::UInt8:
      return convert<C>(static_cast<uint8_t>(raw));
    case DType::Int8:
      return convert<C>(static_cast<int8_t>(raw));
    case DType::Int16:
      return convert<C>(static_cast<int16_t>(raw));
    case DType::Int32:
      return convert<C>(static_cast<int32_t>(raw));
    case DType::Int64:
      return convert<C>(static_cast<int64_t>(raw));
    case DType::Float16:
      return from_half_bits<C, float16>(static_cast<uint32_t>(raw));
    case DType::BFloat16:
      return from_half_bits<C, bfloat16>(static_cast<uint32_t>(raw));
    case DType::Float32:
      return convert<C>(__uint_as_float(static_cast<uint32_t>(raw)));
    default:
      return convert<C>(__longlong_as_double(static_cast<long long>(raw)));
  }
}

template <class C>
CCDL_DEVICE C load_as(const void* p, DType t, int item, int64_t offset) {
  return from_raw<C>(load_raw(p, item, offset), t);
}

// A bool result goes to a bool output.
template <class R>
CCDL_DEVICE void store_as(void* p, DType t, int64_t offset, R v) {
  if constexpr (detail::kSame<R, bool>) {
    static_cast<bool*>(p)[offset] = v;
  } else {
#define CCDL_STORE(Type, T)                     \
  case DType::Type:                             \
    static_cast<T*>(p)[offset] = convert<T>(v); \
    break;
    switch (t) {
      CCDL_STORE(Bool, bool)
      CCDL_STORE(UInt8, uint8_t)
      CCDL_STORE(Int8, int8_t)
      CCDL_STORE(Int16, int16_t)
      CCDL_STORE(Int32, int32_t)
      CCDL_STORE(Int64, int64_t)
      CCDL_STORE(Float16, float16)
      CCDL_STORE(BFloat16, bfloat16)
      CCDL_STORE(Float32, float)
      default:
        static_cast<double*>(p)[offset] = convert<double>(v);
    }
#undef CCDL_STORE
  }
}

// ---- four neighbours at a time, items of 1, 2 or 4 bytes ----

struct alignas(16) RawQuad {
  uint32_t w[4];
};

// One element four times.
CCDL_DEVICE RawQuad spread_quad(uint32_t element, int item) {
  const uint32_t w = element * (item == 1 ? 0x01010101u : item == 2 ? 0x00010001u : 1u);
  return {{w, w, w, w}};
}
CCDL_DEVICE RawQuad load_quad(const void* p, int item, int64_t offset, bool constant) {
  if (constant) return spread_quad(static_cast<uint32_t>(load_raw(p, item, offset)), item);
  RawQuad r{};
  if (item == 4) {
    const Vec<uint32_t> v = load_vec(static_cast<const uint32_t*>(p) + offset);
#pragma unroll
    for (int i = 0; i < 4; ++i) r.w[i] = v[i];
  } else if (item == 2) {
    const Vec<uint32_t, 2> v =
        load_vec<uint32_t, 2>(reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(p) + offset));
    r.w[0] = v[0], r.w[1] = v[1];
  } else {
    r.w[0] = *reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(p) + offset);
  }
  return r;
}
CCDL_DEVICE void store_raw_quad(void* p, int item, int64_t offset, const RawQuad& r) {
  if (item == 4)
    store_vec(static_cast<uint32_t*>(p) + offset, Vec<uint32_t>{{r.w[0], r.w[1], r.w[2], r.w[3]}});
  else if (item == 2)
    store_vec(reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(p) + offset),
              Vec<uint32_t, 2>{{r.w[0], r.w[1]}});
  else
    *reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(p) + offset) = r.w[0];
}

// Types a quad may hold: float32, the half formats, bool and uint8.
CCDL_HD CCDL_INLINE bool fits_quad(DType t) {
  return t == DType::Float32 || is_half(t) || t == DType::Bool || t == DType::UInt8;
}

CCDL_DEVICE void unpack_quad(const RawQuad& r, DType t, float (&v)[4]) {
  switch (t) {
    case DType::Float32:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = __uint_as_float(r.w[i]);
      break;
    case DType::Float16:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = from_half_bits<float, float16>(r.w[i / 2] >> (16 * (i % 2)));
      break;
    case DType::BFloat16:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = from_half_bits<float, bfloat16>(r.w[i / 2] >> (16 * (i % 2)));
      break;
    default:
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = static_cast<float>((r.w[0] >> (8 * i)) & 255u);
  }
}

template <class H>
CCDL_DEVICE uint32_t pack_halves(float lo, float hi) {
  return convert<H>(lo).bits | static_cast<uint32_t>(convert<H>(hi).bits) << 16;
}

// To float32, a half format, or (a bool result) bool.
template <class R>
CCDL_DEVICE void store_quad(void* p, DType t, int64_t offset, const R (&v)[4]) {
  if constexpr (detail::kSame<R, bool>) {
    uint32_t w = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) w |= static_cast<uint32_t>(v[i]) << (8 * i);
    store_raw_quad(p, 1, offset, {{w, 0, 0, 0}});
  } else if (t == DType::Float32) {
    store_vec(static_cast<float*>(p) + offset, Vec<float>{{v[0], v[1], v[2], v[3]}});
  } else if (t == DType::Float16) {
    store_raw_quad(p, 2, offset,
                   {{pack_halves<float16>(v[0], v[1]), pack_halves<float16>(v[2], v[3]), 0, 0}});
  } else {
    store_raw_quad(p, 2, offset,
                   {{pack_halves<bfloat16>(v[0], v[1]), pack_halves<bfloat16>(v[2], v[3]), 0, 0}});
  }
}

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

template <class C, class F>
C host_number(F v) {
  if constexpr (sizeof(C) == 8 && C(0.5) == C(0)) {  // int64: as convert() does
    const double d = static_cast<double>(v);
    return d >= -9223372036854775808.0 && d < 9223372036854775808.0 ? static_cast<C>(v) : INT64_MIN;
  } else {
    return static_cast<C>(v);
  }
}
// The number of a view on the host.
template <class C>
C host_value(const View& v) {
  switch (v.dtype) {
    case DType::Bool:
    case DType::UInt8:
      return static_cast<C>(*v.ptr<uint8_t>());
    case DType::Int8:
      return static_cast<C>(*v.ptr<int8_t>());
    case DType::Int16:
      return static_cast<C>(*v.ptr<int16_t>());
    case DType::Int32:
      return static_cast<C>(*v.ptr<int32_t>());
    case DType::Int64:
      return static_cast<C>(*v.ptr<int64_t>());
    case DType::Float16:
      return host_number<C>(static_cast<float>(*v.ptr<float16>()));
    case DType::BFloat16:
      return host_number<C>(static_cast<float>(*v.ptr<bfloat16>()));
    case DType::Float32:
      return host_number<C>(*v.ptr<float>());
    default:
      return host_number<C>(*v.ptr<double>());
  }
}

template <class To, class From>
To bits_as(From v) {
  To bits;
  __builtin_memcpy(&bits, &v, sizeof bits);
  return bits;
}
// Its bits as an element of dtype t.
inline uint64_t host_bits(const View& v, DType t) {
  switch (t) {
    case DType::Float64:
      return bits_as<uint64_t>(host_value<double>(v));
    case DType::Float16:
      return float16(host_value<float>(v)).bits;
    case DType::BFloat16:
      return bfloat16(host_value<float>(v)).bits;
    case DType::Float32:
      return bits_as<uint32_t>(host_value<float>(v));
    case DType::Bool:
      return is_floating(v.dtype) ? host_value<double>(v) != 0 : host_value<int64_t>(v) != 0;
    case DType::Int64:
      return static_cast<uint64_t>(host_value<int64_t>(v));
    default: {  // narrower integers: floats as x86 converts them to int32, then wrapped
      if (!is_floating(v.dtype)) return static_cast<uint64_t>(host_value<int64_t>(v));
      const double d = host_value<double>(v);
      return static_cast<uint64_t>(
          static_cast<int64_t>(d > -2147483649.0 && d < 2147483648.0 ? static_cast<int32_t>(d) : INT32_MIN));
    }
  }
}

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
__global__ void __launch_bounds__(kThreads, 7 - N) quads_kernel(Operands<float, N> o, F f) {
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
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kWalkElements) + threadIdx.x;
  int64_t off[kWalkElements][N + 1];
  uint64_t raw[kWalkElements][N];
#pragma unroll
  for (int j = 0; j < kWalkElements; ++j)
    o.walk.offsets(first + j * kThreads < o.walk.numel ? first + j * kThreads : 0, off[j]);
#pragma unroll
  for (int j = 0; j < kWalkElements; ++j) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      raw[j][k] = first + j * kThreads < o.walk.numel && !o.is_value[k]
                      ? load_raw(o.in[k], o.item[k], off[j][k + 1])
                      : 0;
  }
#pragma unroll 1
  for (int j = 0; j < kWalkElements; ++j) {  // the elements rotate through the first place
    if (first + j * kThreads < o.walk.numel) {
      C v[N];
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = o.is_value[k] ? o.value[k] : from_raw<C>(raw[0][k], o.in_type[k]);
      store_as(o.out, o.out_type, off[0][0], apply(f, v));
    }
#pragma unroll
    for (int i = 0; i + 1 < kWalkElements; ++i) {
      off[i][0] = off[i + 1][0];
#pragma unroll
      for (int k = 0; k < N; ++k) raw[i][k] = raw[i + 1][k];
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
  if constexpr (detail::kSame<C, float>) {
    if (quads_hold<F>(o) && make_quads(o)) {
      CCDL_LAUNCH(blocks_of(o.quads, kThreads * kQuads), (quads_kernel<N, F>), o, f);
      return;
    }
  }
  CCDL_LAUNCH(blocks_of(o.walk.numel, kThreads * kWalkElements), (walk_kernel<C, N, F>), o, f);
}

}  // namespace ccdl::cu
