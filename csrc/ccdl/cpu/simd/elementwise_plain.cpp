// Arithmetic, bit operations and comparisons directly in each integer width and in double: plain loops left
// to the compiler's vectoriser. Signed arithmetic is done unsigned, so it wraps.
#include <ccdl/cpu/simd/elementwise.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
struct Wrap {
  using U = T;
};
template <>
struct Wrap<int8_t> {
  using U = uint8_t;
};
template <>
struct Wrap<int16_t> {
  using U = uint16_t;
};
template <>
struct Wrap<int32_t> {
  using U = uint32_t;
};
template <>
struct Wrap<int64_t> {
  using U = uint64_t;
};

template <class T>
T factor(const ElementParams& p) {
  return (T)p.i[0];
}
template <>
double factor<double>(const ElementParams& p) {
  return p.f[0];
}

#define CCDL_LOOP(Name, Out, FORMULA)                            \
  template <class T>                                             \
  bool Name(void* const* ptr, int64_t n, const ElementParams&) { \
    using U [[maybe_unused]] = typename Wrap<T>::U;              \
    Out* y = (Out*)ptr[0];                                       \
    const T *pa = (const T*)ptr[1], *pb = (const T*)ptr[2];      \
    for (int64_t i = 0; i < n; ++i) {                            \
      const T a = pa[i], b = pb[i];                              \
      y[i] = (Out)(FORMULA);                                     \
    }                                                            \
    return false;                                                \
  }
CCDL_LOOP(add, T, (U)a + (U)b)
CCDL_LOOP(sub, T, (U)a - (U)b)
CCDL_LOOP(mul, T, sizeof(T) == 2 ? (U)(1u * (U)a * (U)b) : (U)((U)a * (U)b))
CCDL_LOOP(bit_and, T, a& b)
CCDL_LOOP(bit_or, T, a | b)
CCDL_LOOP(bit_xor, T, a ^ b)
CCDL_LOOP(maximum, T, a > b ? a : b)
CCDL_LOOP(minimum, T, a < b ? a : b)
CCDL_LOOP(quotient, T, a / b)
CCDL_LOOP(double_max, T, (a > b) | (a != a) ? a : b)
CCDL_LOOP(double_min, T, (a < b) | (a != a) ? a : b)
CCDL_LOOP(eq, uint8_t, a == b)
CCDL_LOOP(ne, uint8_t, a != b)
CCDL_LOOP(lt, uint8_t, a < b)
CCDL_LOOP(le, uint8_t, a <= b)
CCDL_LOOP(gt, uint8_t, a > b)
CCDL_LOOP(ge, uint8_t, a >= b)

// a + alpha b; alpha is 1 nearly always.
template <class T>
bool add_scaled(void* const* ptr, int64_t n, const ElementParams& p) {
  using U = typename Wrap<T>::U;
  const U alpha = (U)factor<T>(p);
  if (alpha == (U)1) return add<T>(ptr, n, p);
  T* y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) y[i] = (T)((U)a[i] + (U)((U)b[i] * alpha));
  return false;
}
template <class T>
bool sub_scaled(void* const* ptr, int64_t n, const ElementParams& p) {
  using U = typename Wrap<T>::U;
  const U alpha = (U)factor<T>(p);
  if (alpha == (U)1) return sub<T>(ptr, n, p);
  T* y = (T*)ptr[0];
  const T *a = (const T*)ptr[1], *b = (const T*)ptr[2];
  for (int64_t i = 0; i < n; ++i) y[i] = (T)((U)a[i] - (U)((U)b[i] * alpha));
  return false;
}

#define CCDL_INTEGER(T)                                                                           \
  {                                                                                               \
    add_scaled<T>, sub_scaled<T>, mul<T>, nullptr, maximum<T>, minimum<T>, bit_and<T>, bit_or<T>, \
        bit_xor<T>, eq<T>, ne<T>, lt<T>, le<T>, gt<T>, ge<T>                                      \
  }

}  // namespace

extern const ElementwisePlainKernels elementwise_plain = {{
    {nullptr, nullptr, bit_and<uint8_t>, nullptr, bit_or<uint8_t>, bit_and<uint8_t>, bit_and<uint8_t>,
     bit_or<uint8_t>, bit_xor<uint8_t>, eq<uint8_t>, ne<uint8_t>, lt<uint8_t>, le<uint8_t>, gt<uint8_t>,
     ge<uint8_t>},
    CCDL_INTEGER(uint8_t),
    CCDL_INTEGER(int8_t),
    CCDL_INTEGER(int16_t),
    CCDL_INTEGER(int32_t),
    CCDL_INTEGER(int64_t),
    {add_scaled<double>, sub_scaled<double>, mul<double>, quotient<double>, double_max<double>,
     double_min<double>, nullptr, nullptr, nullptr, eq<double>, ne<double>, lt<double>, le<double>,
     gt<double>, ge<double>},
}};

}  // namespace ccdl::cpu::CCDL_ISA
