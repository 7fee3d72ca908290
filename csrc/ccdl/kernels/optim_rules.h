// Element rules of the optimisers that share one step kernel: what one element does with its gradient d and
// up to three states s, written once for every backend. M is the mathematics of one element type, T its
// scalar or a vector of it; c holds the numbers of this step, computed in double by numbers(). The step is in
// place over a list of items as in kernels/optim.h; half formats compute in float and round once per array.
//   d = maximize ? -g : g; d += weight_decay p unless decoupled; x = decoupled ? (1 - lr weight_decay) p : p;
//   apply(x, d, s); p = x
#pragma once
#include <ccdl/kernels/optim.h>
#include <ccdl/kernels/special_functions.h>

namespace ccdl {

// What number[] and an item's scalar[] hold, by rule; lr, weight_decay, maximize and decoupled are common.
// clang-format off
#define CCDL_OPTIM_RULES(X)                                                                              \
  X(Adagrad)        /* number: lr_decay, eps; state: sum */                                              \
  X(Adadelta)       /* number: rho, eps; state: square_avg, acc_delta */                                 \
  X(RmsProp)        /* number: alpha, eps, momentum, centered, eps inside the root;                      \
                       state: square_avg, momentum_buffer or null, grad_avg or null */                   \
  X(Adamax)         /* number: beta1, beta2, eps; state: exp_avg, exp_inf */                             \
  X(NAdam)          /* number: beta1, beta2, eps, momentum_decay; scalar: product of mu up to this step; \
                       state: exp_avg, exp_avg_sq */                                                     \
  X(RAdam)          /* number: beta1, beta2, eps; state: exp_avg, exp_avg_sq */                          \
  X(Asgd)           /* number: lambd; scalar: eta, mu; state: ax */                                      \
  X(Rprop)          /* number: eta minus, eta plus, least and largest step; state: prev, step_size */    \
  X(Lion)           /* number: beta1, beta2; state: exp_avg */                                           \
  X(AmsCorrected)   /* number: beta1, beta2, eps; state: exp_avg, exp_avg_sq, largest corrected */       \
  X(Lerp)           /* scalar: weight; p += weight (d - p) */
// clang-format on

enum class OptimRule : uint8_t {
#define CCDL_X(Name) Name,
  CCDL_OPTIM_RULES(CCDL_X)
#undef CCDL_X
      kCount
};

struct RuleItem : OptimItem {
  double scalar[2];  // numbers of this parameter's state
};

// The device_ pointers, found_inf and skipped as in AdamOptions; device_scalar[i], where not null, stands for
// scalar[i] of every item.
struct RuleOptions {
  double lr, weight_decay, number[5];
  bool decoupled, maximize;
  const double* device_lr = nullptr;
  const int64_t* device_step = nullptr;
  const double* device_scalar[2] = {nullptr, nullptr};
  const float *found_inf = nullptr, *skipped = nullptr;
};

template <class S>
struct RuleNumbers {
  S sign, decay, shrink, k[7];
};

namespace optim_rules {

#define CCDL_NUMBERS                                                                                         \
  static CCDL_HD CCDL_INLINE void numbers([[maybe_unused]] const RuleOptions& o, [[maybe_unused]] double lr, \
                                          [[maybe_unused]] double t, [[maybe_unused]] const double* scalar,  \
                                          RuleNumbers<double>& c)
#define CCDL_APPLY                                                        \
  template <class M, class T>                                             \
  static CCDL_HD CCDL_INLINE void apply(T& x, T d, [[maybe_unused]] T* s, \
                                        const RuleNumbers<typename M::S>& c)

// m += (1 - beta1) (d - m); v = beta2 v + (1 - beta2) d^2 with c.k[0..2] = 1 - beta1, beta2, 1 - beta2
template <class M, class T>
CCDL_HD CCDL_INLINE void moments(T d, T* s, const RuleNumbers<typename M::S>& c) {
  s[0] = M::fma(d - s[0], c.k[0], s[0]);
  s[1] = M::fma(d * d, c.k[2], s[1] * c.k[1]);
}
CCDL_HD CCDL_INLINE void moment_numbers(const RuleOptions& o, RuleNumbers<double>& c) {
  c.k[0] = 1 - o.number[0];
  c.k[1] = o.number[1];
  c.k[2] = 1 - o.number[1];
}

// sum += d^2; x -= lr / (1 + (t - 1) lr_decay) d / (sqrt(sum) + eps)
struct Adagrad {
  CCDL_NUMBERS {
    c.k[0] = lr / (1 + (t - 1) * o.number[0]);
    c.k[1] = o.number[1];
  }
  CCDL_APPLY {
    s[0] = M::fma(d, d, s[0]);
    x = x - d / (M::sqrt(s[0]) + c.k[1]) * c.k[0];
  }
};

// v = rho v + (1 - rho) d^2; e = sqrt(a + eps) / sqrt(v + eps) d; a = rho a + (1 - rho) e^2; x -= lr e
struct Adadelta {
  CCDL_NUMBERS {
    c.k[0] = o.number[0];
    c.k[1] = 1 - o.number[0];
    c.k[2] = o.number[1];
    c.k[3] = lr;
  }
  CCDL_APPLY {
    s[0] = M::fma(d * d, c.k[1], s[0] * c.k[0]);
    const T e = M::sqrt(s[1] + c.k[2]) / M::sqrt(s[0] + c.k[2]) * d;
    s[1] = M::fma(e * e, c.k[1], s[1] * c.k[0]);
    x = x - e * c.k[3];
  }
};

// v = alpha v + (1 - alpha) d^2; centered: a += (1 - alpha) (d - a), v' = v - a^2;
// u = d / (sqrt(v') + eps), or d / sqrt(v' + eps); b = momentum b + u; x -= lr (momentum ? b : u)
struct RmsProp {
  CCDL_NUMBERS {
    c.k[0] = o.number[0];
    c.k[1] = 1 - o.number[0];
    c.k[2] = o.number[4] != 0 ? o.number[1] : 0;
    c.k[3] = o.number[4] != 0 ? 0 : o.number[1];
    c.k[4] = o.number[2];
    c.k[5] = lr;
    c.k[6] = o.number[3];
  }
  CCDL_APPLY {
    s[0] = M::fma(d * d, c.k[1], s[0] * c.k[0]);
    T v = s[0];
    if (c.k[6] != 0) {
      s[2] = M::fma(d - s[2], c.k[1], s[2]);
      v = v - s[2] * s[2];
    }
    T u = d / (M::sqrt(v + c.k[2]) + c.k[3]);
    if (c.k[4] != 0) s[1] = u = M::fma(s[1], c.k[4], u);
    x = x - u * c.k[5];
  }
};

// m += (1 - beta1) (d - m); u = max(beta2 u, |d| + eps); x -= lr / (1 - beta1^t) m / u
struct Adamax {
  CCDL_NUMBERS {
    c.k[0] = 1 - o.number[0];
    c.k[1] = o.number[1];
    c.k[2] = o.number[2];
    c.k[3] = lr / (1 - CCDL_MATH(pow)(o.number[0], t));
  }
  CCDL_APPLY {
    s[0] = M::fma(d - s[0], c.k[0], s[0]);
    const T old = s[1] * c.k[1], now = M::abs(d) + c.k[2];
    s[1] = M::sel((old > now) | (old != old), old, now);  // NaN on either side stays
    x = x - s[0] / s[1] * c.k[3];
  }
};

// mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2); P_t = mu_1 ... mu_t; moments as Adam's;
// x -= lr ((1 - mu_t) / (1 - P_t) d + mu_{t+1} / (1 - P_t mu_{t+1}) m) / (sqrt(v / (1 - beta2^t)) + eps)
struct NAdam {
  static CCDL_HD CCDL_INLINE double mu(const RuleOptions& o, double t) {
    return o.number[0] * (1 - 0.5 * CCDL_MATH(pow)(0.96, t * o.number[3]));
  }
  CCDL_NUMBERS {
    moment_numbers(o, c);
    const double next = mu(o, t + 1);
    c.k[3] = 1 - CCDL_MATH(pow)(o.number[1], t);
    c.k[4] = o.number[2];
    c.k[5] = lr * (1 - mu(o, t)) / (1 - scalar[0]);
    c.k[6] = lr * next / (1 - scalar[0] * next);
  }
  CCDL_APPLY {
    moments<M>(d, s, c);
    const T root = M::sqrt(s[1] / c.k[3]) + c.k[4];
    x = x - d / root * c.k[5];
    x = x - s[0] / root * c.k[6];
  }
};

// rho = 2 / (1 - beta2) - 1; rho_t = rho - 2 t beta2^t / (1 - beta2^t); m' = m / (1 - beta1^t);
// x -= lr m' r sqrt(1 - beta2^t) / (sqrt(v) + eps) where rho_t > 5, with
// r^2 = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t); else x -= lr m'
struct RAdam {
  CCDL_NUMBERS {
    moment_numbers(o, c);
    const double power = CCDL_MATH(pow)(o.number[1], t);
    const double rho = 2 / (1 - o.number[1]) - 1, rho_t = rho - 2 * t * power / (1 - power);
    c.k[3] = lr / (1 - CCDL_MATH(pow)(o.number[0], t));
    c.k[4] = o.number[2];
    c.k[5] = rho_t > 5 ? 1 : 0;
    if (rho_t > 5)
      c.k[3] *=
          CCDL_MATH(sqrt)((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t) * (1 - power));
  }
  CCDL_APPLY {
    moments<M>(d, s, c);
    T u = s[0];
    if (c.k[5] != 0) u = u / (M::sqrt(s[1]) + c.k[4]);
    x = x - u * c.k[3];
  }
};

// x = (1 - lambd eta) p - eta d; ax += mu (x - ax), ax = x while mu is 1
struct Asgd {
  CCDL_NUMBERS {
    c.shrink = 1 - o.number[0] * scalar[0];
    c.k[0] = scalar[0];
    c.k[1] = scalar[1];
  }
  CCDL_APPLY {
    x = x - d * c.k[0];
    s[0] = c.k[1] == 1 ? x : s[0] + (x - s[0]) * c.k[1];
  }
};

// q = prev d; step = clamp(step (q > 0 ? eta+ : q < 0 ? eta- : 1)); d = q < 0 ? 0 : d; x -= sign(d) step;
// prev = d
struct Rprop {
  CCDL_NUMBERS {
    for (int i = 0; i < 4; ++i) c.k[i] = o.number[i];
  }
  CCDL_APPLY {
    const T q = d * s[0], zero = T{};
    T step = s[1] * M::sel(q > zero, zero + c.k[1], M::sel(q < zero, zero + c.k[0], zero + M::k(1)));
    step = M::sel(step < zero + c.k[2], zero + c.k[2], step);
    s[1] = M::sel(step > zero + c.k[3], zero + c.k[3], step);
    s[0] = M::sel(q < zero, zero, d);
    x = x - M::sel(s[0] > zero, s[1], M::sel(s[0] < zero, -s[1], zero));
  }
};

// u = beta1 m + (1 - beta1) d; x -= lr sign(u); m = beta2 m + (1 - beta2) d
struct Lion {
  CCDL_NUMBERS {
    c.k[0] = o.number[0];
    c.k[1] = 1 - o.number[0];
    c.k[2] = o.number[1];
    c.k[3] = 1 - o.number[1];
    c.k[4] = lr;
  }
  CCDL_APPLY {
    const T u = M::fma(d, c.k[1], s[0] * c.k[0]), zero = T{}, amount = zero + c.k[4];
    x = x - M::sel(u > zero, amount, M::sel(u < zero, -amount, u));
    s[0] = M::fma(d, c.k[3], s[0] * c.k[2]);
  }
};

// v' = max(v', v / (1 - beta2^t)); x -= lr / (1 - beta1^t) m / (sqrt(v') + eps)
struct AmsCorrected {
  CCDL_NUMBERS {
    moment_numbers(o, c);
    c.k[3] = lr / (1 - CCDL_MATH(pow)(o.number[0], t));
    c.k[4] = 1 - CCDL_MATH(pow)(o.number[1], t);
    c.k[5] = o.number[2];
  }
  CCDL_APPLY {
    moments<M>(d, s, c);
    const T v = s[1] / c.k[4];
    s[2] = M::sel(s[2] > v, s[2], v);  // NaN in v stays
    x = x - s[0] / (M::sqrt(s[2]) + c.k[5]) * c.k[3];
  }
};

struct Lerp {
  CCDL_NUMBERS { c.k[0] = scalar[0]; }
  CCDL_APPLY { x = M::fma(d - x, c.k[0], x); }
};

#undef CCDL_NUMBERS
#undef CCDL_APPLY

template <class Rule>
CCDL_HD CCDL_INLINE RuleNumbers<double> numbers_of(const RuleOptions& o, double lr, double t,
                                                   const double* scalar) {
  RuleNumbers<double> c = {o.maximize ? -1.0 : 1.0,
                           o.decoupled ? 0.0 : o.weight_decay,
                           o.decoupled ? 1.0 - lr * o.weight_decay : 1.0,
                           {0, 0, 0, 0, 0, 0, 0}};
  Rule::numbers(o, lr, t, scalar, c);
  return c;
}

// p, g -> p with its states
template <class Rule, class M, class T>
CCDL_HD CCDL_INLINE T advance(T p, T g, T* s, const RuleNumbers<typename M::S>& c) {
  T x = p * c.shrink, d = g * c.sign;
  if (c.decay != 0) d = M::fma(p, c.decay, d);
  Rule::template apply<M, T>(x, d, s, c);
  return x;
}

}  // namespace optim_rules
}  // namespace ccdl

#define CCDL_OPTIM_RULES_CONTRACT \
  void rule_step(OptimRule rule, const RuleItem* items, int64_t count, const RuleOptions& options);
namespace ccdl::cpu {
CCDL_OPTIM_RULES_CONTRACT
}
namespace ccdl::cu {
CCDL_OPTIM_RULES_CONTRACT
}
#undef CCDL_OPTIM_RULES_CONTRACT
