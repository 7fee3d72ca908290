// Elementwise formulas: value and derivative of each op next to each other, written once for every backend.
// M is the mathematics of one element type: M::S the scalar, M::k(c) a constant of that type, M::sel(m, a, b)
// = m ? a : b, and the functions. T is M::S or a vector of it; comparisons of T yield what M::sel takes. p.a,
// p.b, p.c are the op's parameters. bwd returns dx from x, y = fwd(x) and dy; unary_needs() says which of x
// and y it reads.
#pragma once
#include <ccdl/kernels/elementwise.h>

namespace ccdl::functors {

template <class S>
struct Params {
  S a, b, c;
};

// clang-format off
#define CCDL_UNARY(Name, FWD, BWD)                                                                                     \
  struct Name {                                                                                                        \
    template <class M, class T>                                                                                        \
    static CCDL_HD CCDL_INLINE T fwd([[maybe_unused]] T x, [[maybe_unused]] const Params<typename M::S>& p) {         \
      FWD                                                                                                              \
    }                                                                                                                  \
    template <class M, class T>                                                                                        \
    static CCDL_HD CCDL_INLINE T bwd([[maybe_unused]] T x, [[maybe_unused]] T y, T dy,                                 \
                                     [[maybe_unused]] const Params<typename M::S>& p) {                               \
      BWD                                                                                                              \
    }                                                                                                                  \
  };
#define CCDL_ZERO_DERIVATIVE return dy - dy;
#define CCDL_PREDICATE(Name, TEST)                                                                                     \
  struct Name {                                                                                                        \
    template <class M, class T> static CCDL_HD CCDL_INLINE auto test(T x) { TEST }                                     \
  };
#define CCDL_BINARY(Name, FWD)                                                                                         \
  struct Name {                                                                                                        \
    template <class M, class T>                                                                                        \
    static CCDL_HD CCDL_INLINE T fwd(T a, T b, [[maybe_unused]] const Params<typename M::S>& p) {                     \
      FWD                                                                                                              \
    }                                                                                                                  \
  };
#define CCDL_COMPARE(Name, TEST)                                                                                       \
  struct Name {                                                                                                        \
    template <class M, class T>                                                                                        \
    static CCDL_HD CCDL_INLINE auto test(T a, T b, [[maybe_unused]] const Params<typename M::S>& p) {                 \
      TEST                                                                                                             \
    }                                                                                                                  \
  };
#define CCDL_TERNARY(Name, FWD)                                                                                        \
  struct Name {                                                                                                        \
    template <class M, class T>                                                                                        \
    static CCDL_HD CCDL_INLINE T fwd(T a, T b, T c, [[maybe_unused]] const Params<typename M::S>& p) {                \
      FWD                                                                                                              \
    }                                                                                                                  \
  };

// ---- arithmetic and elementary functions ----
CCDL_UNARY(Neg, return -x;, return -dy;)
CCDL_UNARY(Abs, return M::abs(x);, return M::sel(x > M::k(0), dy, M::sel(x < M::k(0), -dy, x * M::k(0)));)
CCDL_UNARY(Sign, return M::sel(x > M::k(0), M::k(1), M::sel(x < M::k(0), M::k(-1), x));, CCDL_ZERO_DERIVATIVE)
CCDL_UNARY(Square, return x * x;, return dy * (x + x);)
CCDL_UNARY(Sqrt, return M::sqrt(x);, return dy / (y + y);)
CCDL_UNARY(Rsqrt, return M::k(1) / M::sqrt(x);, return dy * M::k(-0.5) * (y * y * y);)
CCDL_UNARY(Reciprocal, return M::k(1) / x;, return -dy * (y * y);)
CCDL_UNARY(Exp, return M::exp(x);, return dy * y;)
CCDL_UNARY(Exp2, return M::exp2(x);, return dy * (y * M::k(0.69314718055994531));)
CCDL_UNARY(Expm1, return M::expm1(x);, return dy * (y + M::k(1));)
CCDL_UNARY(Log, return M::log(x);, return dy / x;)
CCDL_UNARY(Log2, return M::log2(x);, return dy / (x * M::k(0.69314718055994531));)
CCDL_UNARY(Log10, return M::log10(x);, return dy / (x * M::k(2.3025850929940457));)
CCDL_UNARY(Log1p, return M::log1p(x);, return dy / (x + M::k(1));)
CCDL_UNARY(Sin, return M::sin(x);, return dy * M::cos(x);)
CCDL_UNARY(Cos, return M::cos(x);, return -dy * M::sin(x);)
CCDL_UNARY(Tan, return M::tan(x);, return dy * (y * y + M::k(1));)
CCDL_UNARY(Asin, return M::asin(x);, return dy / M::sqrt((M::k(1) - x) * (M::k(1) + x));)
CCDL_UNARY(Acos, return M::acos(x);, return -dy / M::sqrt((M::k(1) - x) * (M::k(1) + x));)
CCDL_UNARY(Atan, return M::atan(x);, return dy / (x * x + M::k(1));)
CCDL_UNARY(Sinh, return M::sinh(x);, return dy * M::cosh(x);)
CCDL_UNARY(Cosh, return M::cosh(x);, return dy * M::sinh(x);)
CCDL_UNARY(Tanh, return M::tanh(x);, return dy * (M::k(1) - y * y);)
CCDL_UNARY(Asinh, return M::asinh(x);, return dy / M::sqrt(x * x + M::k(1));)
CCDL_UNARY(Acosh, return M::acosh(x);, return dy / M::sqrt((x - M::k(1)) * (x + M::k(1)));)
CCDL_UNARY(Atanh, return M::atanh(x);, return dy / ((M::k(1) - x) * (M::k(1) + x));)
CCDL_UNARY(Sigmoid, return M::sigmoid(x);, return dy * (y * (M::k(1) - y));)
CCDL_UNARY(LogSigmoid, return M::sel(x < M::k(0), x, M::k(0)) - M::log1p(M::exp(-M::abs(x)));,
           return dy * M::sigmoid(-x);)
CCDL_UNARY(Erf, return M::erf(x);, return dy * (M::exp(-x * x) * M::k(1.1283791670955126));)
CCDL_UNARY(Erfc, return M::erfc(x);, return -dy * (M::exp(-x * x) * M::k(1.1283791670955126));)
CCDL_UNARY(Erfinv, return M::erfinv(x);, return dy * (M::exp(y * y) * M::k(0.88622692545275801));)
CCDL_UNARY(Lgamma, return M::lgamma(x);, return dy * M::digamma(x);)
CCDL_UNARY(Digamma, return M::digamma(x);, return dy * M::trigamma(x);)
CCDL_UNARY(Trigamma, return M::trigamma(x);, CCDL_ZERO_DERIVATIVE)
CCDL_UNARY(Floor, return M::floor(x);, CCDL_ZERO_DERIVATIVE)
CCDL_UNARY(Ceil, return M::ceil(x);, CCDL_ZERO_DERIVATIVE)
CCDL_UNARY(Round, return M::round_even(x);, CCDL_ZERO_DERIVATIVE)
CCDL_UNARY(Trunc, return M::trunc(x);, CCDL_ZERO_DERIVATIVE)
CCDL_UNARY(Frac, return x - M::trunc(x);, return dy;)
CCDL_UNARY(Scale, return x * p.a;, return dy * p.a;)
CCDL_UNARY(PowScalar, return M::pow(x, T{} + p.a);,
           return dy * (M::pow(x, T{} + (p.a - M::k(1))) * p.a);)
CCDL_UNARY(Clamp, T t = M::sel(x < p.a, p.a, x); return M::sel(t > p.b, p.b, t);,
           return M::sel((x >= p.a) & (x <= p.b), dy, M::k(0));)
CCDL_UNARY(NanToNum,
           T t = M::sel(x != x, p.a, x); t = M::sel(t == M::inf(), p.b, t); return M::sel(t == -M::inf(), p.c, t);,
           return M::sel(M::abs(x) < M::inf(), dy, M::k(0));)
// sin(t) / t with t = pi x; the derivative of small t comes from its series
CCDL_UNARY(Sinc, T t = x * M::k(3.14159265358979323846); return M::sel(x == M::k(0), M::k(1), M::sin(t) / t);,
           T t = x * M::k(3.14159265358979323846); T z = t * t;
           T q = z * M::k(-2.505210838544172e-7) + M::k(2.2045855379188714e-5);
           q = (q * z + M::k(-1.1904761904761906e-3)) * z + M::k(3.3333333333333333e-2);
           T near = t * ((q * z + M::k(-0.33333333333333333)) * M::k(3.14159265358979323846));
           return dy * M::sel(M::abs(t) < M::k(0.5), near, (M::cos(t) - M::sin(t) / t) / x);)
CCDL_UNARY(Logit,  // eps < 0: no clamp, NaN outside [0, 1]
           T t = M::sel(x < p.a, p.a, x); t = M::sel((t > M::k(1) - p.a) & (T{} + p.a >= M::k(0)), M::k(1) - p.a, t);
           return M::log(t / (M::k(1) - t));,
           T d = M::sel((x < M::k(0)) | (x > M::k(1)), M::nan(), dy / (x * (M::k(1) - x)));
           return M::sel(((x >= p.a) & (x <= M::k(1) - p.a)) | (T{} + p.a < M::k(0)), d, M::k(0));)
CCDL_UNARY(BitwiseNot, return x;, CCDL_ZERO_DERIVATIVE)

// ---- activations ----
CCDL_UNARY(Relu, return M::sel(x <= M::k(0), M::k(0), x);, return M::sel(y <= M::k(0), M::k(0), dy);)
CCDL_UNARY(Relu6, T t = M::sel(x < M::k(0), M::k(0), x); return M::sel(t > M::k(6), M::k(6), t);,
           return M::sel((x <= M::k(0)) | (x >= M::k(6)), M::k(0), dy);)
CCDL_UNARY(LeakyRelu, return M::sel(x > M::k(0), x, x * p.a);, return M::sel(x > M::k(0), dy, dy * p.a);)
CCDL_UNARY(Elu, return M::sel(x > M::k(0), x, M::expm1(x) * p.a);,
           return M::sel(x <= M::k(0), dy * (M::exp(x) * p.a), dy);)
CCDL_UNARY(Selu, return M::sel(x > M::k(0), x, M::expm1(x) * M::k(1.6732632423543772848)) * M::k(1.0507009873554804934);,
           return dy * M::sel(x <= M::k(0), M::exp(x) * M::k(1.7580993408473768599), M::k(1.0507009873554804934));)
CCDL_UNARY(Celu, return M::sel(x > M::k(0), x, M::expm1(x / p.a) * p.a);,
           return M::sel(x <= M::k(0), dy * M::exp(x / p.a), dy);)
CCDL_UNARY(Silu, return M::silu(x);,
           T s = M::sigmoid(x); return dy * (s * (x * (M::k(1) - s) + M::k(1)));)
CCDL_UNARY(Swish, return x * M::sigmoid(x * p.a);,
           T s = M::sigmoid(x * p.a); return dy * (s * (x * p.a * (M::k(1) - s) + M::k(1)));)
// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2)
CCDL_UNARY(Mish,
           T e = M::exp(M::sel(x > M::k(20), M::k(20), x)); T n = e * (e + M::k(2));
           return M::sel(x > M::k(20), x, x * (n / (n + M::k(2))));,
           T e = M::exp(M::sel(x > M::k(20), M::k(20), x)); T n = e * (e + M::k(2)); T t = n / (n + M::k(2));
           return dy * (t + x * (M::k(1) - t * t) * (e / (e + M::k(1))));)
CCDL_UNARY(Gelu, return x * M::k(0.5) * (M::erf(x * M::k(0.70710678118654752440)) + M::k(1));,
           T cdf = (M::erf(x * M::k(0.70710678118654752440)) + M::k(1)) * M::k(0.5);
           return dy * (cdf + x * (M::exp(x * x * M::k(-0.5)) * M::k(0.39894228040143267794)));)
// 0.5 (1 + tanh(u)) = sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
CCDL_UNARY(GeluTanh,
           T u = x * (x * x * M::k(0.0713548162726) + M::k(1.5957691216057308)); return x * M::sigmoid(u);,
           T u = x * (x * x * M::k(0.0713548162726) + M::k(1.5957691216057308)); T s = M::sigmoid(u);
           return dy * (s + x * (s * (M::k(1) - s) * (x * x * M::k(0.2140644488178) + M::k(1.5957691216057308))));)
CCDL_UNARY(GeluSigmoid, return x * M::sigmoid(x * M::k(1.702));,
           T s = M::sigmoid(x * M::k(1.702)); return dy * (s * (x * M::k(1.702) * (M::k(1) - s) + M::k(1)));)
CCDL_UNARY(Softplus, T t = x * p.a; T s = M::sel(t > M::k(0), t, M::k(0)) + M::log1p(M::exp(-M::abs(t)));
           return M::sel(t > p.b, x, s / p.a);,
           T t = x * p.a; return M::sel(t > p.b, dy, dy * M::sigmoid(t));)
CCDL_UNARY(Softsign, return x / (M::abs(x) + M::k(1));, T t = M::abs(x) + M::k(1); return dy / (t * t);)
CCDL_UNARY(Hardtanh, T t = M::sel(x < p.a, p.a, x); return M::sel(t > p.b, p.b, t);,
           return M::sel((x <= p.a) | (x >= p.b), M::k(0), dy);)
CCDL_UNARY(Hardsigmoid,
           T t = x + M::k(3); t = M::sel(t < M::k(0), M::k(0), t); return M::sel(t > M::k(6), M::k(6), t) / M::k(6);,
           return M::sel((x > M::k(-3)) & (x < M::k(3)), dy / M::k(6), M::k(0));)
CCDL_UNARY(Hardswish,
           T t = x + M::k(3); t = M::sel(t < M::k(0), M::k(0), t); return x * M::sel(t > M::k(6), M::k(6), t) / M::k(6);,
           return M::sel(x <= M::k(-3), M::k(0), M::sel(x >= M::k(3), dy, dy * (x / M::k(3) + M::k(0.5))));)
CCDL_UNARY(Hardshrink, return M::sel((x >= -p.a) & (x <= p.a), M::k(0), x);,
           return M::sel((x >= -p.a) & (x <= p.a), M::k(0), dy);)
CCDL_UNARY(Softshrink, return M::sel(x > p.a, x - p.a, M::sel(x < -p.a, x + p.a, x * M::k(0)));,
           return M::sel((x >= -p.a) & (x <= p.a), M::k(0), dy);)
CCDL_UNARY(Tanhshrink, return x - M::tanh(x);, T t = M::tanh(x); return dy * (t * t);)
CCDL_UNARY(Threshold, return M::sel(x <= p.a, p.b, x);, return M::sel(x <= p.a, M::k(0), dy);)
CCDL_UNARY(Angle, return M::sel(x < M::k(0), M::k(3.14159265358979323846), M::sel(x != x, x, M::k(0)));,
           CCDL_ZERO_DERIVATIVE)

// ---- predicates ----
CCDL_PREDICATE(LogicalNot, return x == M::k(0);)
CCDL_PREDICATE(IsNan, return x != x;)
CCDL_PREDICATE(IsInf, return M::abs(x) == M::inf();)
CCDL_PREDICATE(IsFinite, return M::abs(x) < M::inf();)
CCDL_PREDICATE(IsPosInf, return x == M::inf();)
CCDL_PREDICATE(IsNegInf, return x == -M::inf();)
CCDL_PREDICATE(SignBit, return M::copysign(M::k(1), x) < M::k(0);)

// ---- two operands ----
CCDL_BINARY(Add, return M::fma(b, p.a, a);)
CCDL_BINARY(Sub, return M::fma(b, -p.a, a);)
CCDL_BINARY(Mul, return a * b;)
CCDL_BINARY(Div, return a / b;)
CCDL_BINARY(FloorDivide,  // as Python: (a - mod) / b rounded to the nearest integer, so that it agrees with Remainder
            T r = M::fmod(a, b); T d = (a - r) / b;
            d = M::sel((r != M::k(0)) & ((b < M::k(0)) != (r < M::k(0))), d - M::k(1), d);
            T f = M::floor(d); f = M::sel(d - f > M::k(0.5), f + M::k(1), f);
            f = M::sel(d == M::k(0), M::copysign(M::k(0), a / b), f);
            return M::sel(b == M::k(0), a / b, f);)
CCDL_BINARY(TruncDivide, return M::trunc(a / b);)
CCDL_BINARY(Remainder, T r = M::fmod(a, b);
            return M::sel((r != M::k(0)) & ((b < M::k(0)) != (r < M::k(0))), r + b, r);)
CCDL_BINARY(Fmod, return M::fmod(a, b);)
CCDL_BINARY(Pow, return M::pow(a, b);)
CCDL_BINARY(Maximum, return M::sel((a > b) | (a != a), a, b);)
CCDL_BINARY(Minimum, return M::sel((a < b) | (a != a), a, b);)
CCDL_BINARY(Fmax, return M::sel((a >= b) | (b != b), a, b);)
CCDL_BINARY(Fmin, return M::sel((a <= b) | (b != b), a, b);)
CCDL_BINARY(Atan2, return M::atan2(a, b);)
CCDL_BINARY(Hypot, return M::hypot(a, b);)
CCDL_BINARY(Copysign, return M::copysign(a, b);)
CCDL_BINARY(Logaddexp, T m = M::sel((a > b) | (a != a), a, b); T d = M::sel(a == b, M::k(0), a - b);
            return m + M::log1p(M::exp(-M::abs(d)));)
CCDL_BINARY(Logaddexp2, T m = M::sel((a > b) | (a != a), a, b); T d = M::sel(a == b, M::k(0), a - b);
            return m + M::log1p(M::exp2(-M::abs(d))) * M::k(1.4426950408889634074);)
CCDL_BINARY(Xlogy, return M::sel(b != b, b, M::sel(a == M::k(0), M::k(0), a * M::log(b)));)
CCDL_BINARY(Xlog1py, return M::sel(b != b, b, M::sel(a == M::k(0), M::k(0), a * M::log1p(b)));)
CCDL_BINARY(Heaviside, return M::sel(a == M::k(0), b, M::sel(a > M::k(0), M::k(1), M::k(0)));)
CCDL_BINARY(Nextafter, return M::nextafter(a, b);)
CCDL_BINARY(Prelu, return M::sel(a > M::k(0), a, a * b);)

CCDL_COMPARE(Eq, return a == b;)
CCDL_COMPARE(Ne, return a != b;)
CCDL_COMPARE(Lt, return a < b;)
CCDL_COMPARE(Le, return a <= b;)
CCDL_COMPARE(Gt, return a > b;)
CCDL_COMPARE(Ge, return a >= b;)
CCDL_COMPARE(LogicalAnd, return (a != M::k(0)) & (b != M::k(0));)
CCDL_COMPARE(LogicalOr, return (a != M::k(0)) | (b != M::k(0));)
CCDL_COMPARE(LogicalXor, return (a != M::k(0)) ^ (b != M::k(0));)
CCDL_COMPARE(IsClose, T d = M::abs(a - b);
             return (a == b) | ((d < M::inf()) & (d <= M::abs(b * p.a) + p.b)) |
                    ((a != a) & (b != b) & (T{} + p.c != M::k(0)));)

// ---- three operands ----
CCDL_TERNARY(Addcmul, return M::fma(b * p.a, c, a);)
CCDL_TERNARY(Addcdiv, return a + b * p.a / c;)
CCDL_TERNARY(Lerp, T d = b - a; return M::sel(M::abs(c) < M::k(0.5), M::fma(d, c, a), b - d * (M::k(1) - c));)
CCDL_TERNARY(ClampTensor, T t = M::sel((a < b) | (b != b), b, a); return M::sel((t > c) | (c != c), c, t);)

// clang-format on
#undef CCDL_UNARY
#undef CCDL_ZERO_DERIVATIVE
#undef CCDL_PREDICATE
#undef CCDL_BINARY
#undef CCDL_COMPARE
#undef CCDL_TERNARY

// nextafter(a, b) of the bits of a half format, sign extended, whose infinity has the bits given.
CCDL_HD CCDL_INLINE int32_t next_half(int32_t a, int32_t b, int32_t infinity) {
  const int32_t u = a & 0x7fff, v = b & 0x7fff;
  const int32_t from = a < 0 ? -u : u, to = b < 0 ? -v : v;  // in the order of the numbers
  const int32_t next = from + (from < to ? 1 : -1), size = next < 0 ? -next : next;
  const int32_t sign = (next < 0) | ((next == 0) & (a < 0)) ? 0x8000 : 0;
  const int32_t r = from == to ? b : size | sign;
  return (u > infinity) | (v > infinity) ? 0x7fff : r;
}

}  // namespace ccdl::functors
