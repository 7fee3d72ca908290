// Scans within vectors: log2(lanes) shifts and joins make the prefixes of one vector, the carry joins all of
// them, and only that last join waits for the vector before. Floats and the half formats run in double, whose
// range takes any product of eight floats; doubles themselves are joined one after another, four at a time in
// flight.
#include <ccdl/cpu/simd/scan.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef float vh __attribute__((vector_size(VB / 2)));
typedef uint64_t vw __attribute__((vector_size(VB)));  // integers wrap

struct Add {
  static constexpr double kId = 0;
  template <class V>
  CCDL_SI V join(V a, V b) {
    return a + b;
  }
};
struct Mul {
  static constexpr double kId = 1;
  template <class V>
  CCDL_SI V join(V a, V b) {
    return a * b;
  }
};

template <class Op, int s, class V>
CCDL_SI V shifted_join(V v) {
  vl pick;
  for (int l = 0; l < VD; ++l) pick[l] = l < s ? VD : l - s;  // VD: the identity
  V id{};
  id = id + (decltype(v[0] + v[0]))Op::kId;
  return Op::join(__builtin_shuffle(v, id, pick), v);
}
template <class Op, class V>
CCDL_SI V prefixes(V v) {
  v = shifted_join<Op, 1>(v);
#if CCDL_VB >= 32
  v = shifted_join<Op, 2>(v);
#endif
#if CCDL_VB >= 64
  v = shifted_join<Op, 4>(v);
#endif
  return v;
}
template <class V>
CCDL_SI V last_of(V v) {
  vl pick = {};
  pick = pick + (VD - 1);
  return __builtin_shuffle(v, pick);
}

CCDL_SI vd load(const float* p) {
  vh v;
  __builtin_memcpy(&v, p, VB / 2);
  return __builtin_convertvector(v, vd);
}
CCDL_SI vd load(const double* p) { return loadu(p); }
CCDL_SI void store(double* p, vd v) { storeu(p, v); }
CCDL_SI void store(float* p, vd v) {
  const vh h = __builtin_convertvector(v, vh);
  __builtin_memcpy(p, &h, VB / 2);
}
CCDL_SI vw load(const uint64_t* p) {
  vw v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI void store(uint64_t* p, vw v) { __builtin_memcpy(p, &v, VB); }

template <class Op, class T, class V, class A>
void run(const void* xv, void* yv, int64_t n, void* carryv) {
  const T* x = (const T*)xv;
  T* y = (T*)yv;
  A total = *(A*)carryv;
  V carry{};
  carry = carry + total;
  int64_t i = 0;
  if (y) {
    for (; i + VD <= n; i += VD) {
      const V p = prefixes<Op>(load(x + i));
      store(y + i, Op::join(carry, p));
      carry = Op::join(carry, last_of(p));
    }
  } else {
    for (; i + VD <= n; i += VD) carry = Op::join(carry, last_of(prefixes<Op>(load(x + i))));
  }
  total = carry[0];
  for (; i < n; ++i) {
    V a{}, b{};
    a[0] = total, b[0] = (A)x[i];
    total = Op::join(a, b)[0];
    if (y) y[i] = (T)total;
  }
  *(A*)carryv = total;
}

template <class Op, class H>
void run_half(const void* xv, void* yv, int64_t n, void* carry) {
  constexpr int kPiece = 512;
  const H* x = (const H*)xv;
  H* y = (H*)yv;
  float t[kPiece];
  for (int64_t b = 0; b < n; b += kPiece) {
    const int m = n - b < kPiece ? (int)(n - b) : kPiece;
    int i = 0;
    for (; i + VL <= m; i += VL) storeu(t + i, load_half(x + b + i));
    for (; i < m; ++i) t[i] = (float)x[b + i];
    run<Op, float, vd, double>(t, y ? t : nullptr, m, carry);
    if (!y) continue;
    for (i = 0; i + VL <= m; i += VL) store_half(y + b + i, loadu(t + i));
    for (; i < m; ++i) y[b + i] = H(t[i]);
  }
}

template <class Op, class T, class V>
void columns(void* xv, int64_t n, int64_t step, int64_t width) {
  for (int64_t j = 0; j < width; j += VD) {
    T* x = (T*)xv + j;
    V total = load(x);
    for (int64_t i = 1; i < n; ++i) {
      x += step;
      total = Op::join(total, load(x));
      store(x, total);
    }
  }
}

#define CCDL_SCAN_COLUMNS(Op)                                                                 \
  {                                                                                           \
    nullptr, nullptr, nullptr, nullptr, nullptr, columns<Op, uint64_t, vw>, nullptr, nullptr, \
        columns<Op, float, vd>, columns<Op, double, vd>                                       \
  }
#define CCDL_SCANS(Op, Doubles)                                                                          \
  {                                                                                                      \
    nullptr, nullptr, nullptr, nullptr, nullptr, run<Op, uint64_t, vw, uint64_t>, run_half<Op, float16>, \
        run_half<Op, bfloat16>, run<Op, float, vd, double>, Doubles                                      \
  }

}  // namespace

extern const ScanKernels scan = {CCDL_SCANS(Add, (run<Add, double, vd, double>)), CCDL_SCANS(Mul, nullptr),
                                 CCDL_SCAN_COLUMNS(Add), CCDL_SCAN_COLUMNS(Mul)};

}  // namespace ccdl::cpu::CCDL_ISA
