// Random numbers from (seed, offset) alone: element i in logical order always gets the same draw, whatever
// the strides, the thread count, the instruction set or the device. A "word" draw uses word i of the stream,
// a "double word" draw words 2i and 2i + 1; callers advance the offset by ceil(words / 4).
#pragma once
#include <ccdl/core/rng.h>
#include <ccdl/core/view.h>

#define CCDL_RANDOM_CONTRACT                                                                                \
  /* y = from + u * (to - from), u in [0, 1) with as many bits as the type holds; floating; any strides. */ \
  void random_uniform(const View& y, RandomState state, double from, double to);                            \
  /* y = mean + std * z, Box-Muller over element pairs; floating types; any strides. */                     \
  void random_normal(const View& y, RandomState state, double mean, double std);                            \
  /* y = -log(u) / lambda, u in (0, 1]; floating types; any strides. Double word. */                        \
  void random_exponential(const View& y, RandomState state, double lambda);                                 \
  /* Number of trials to the first success, >= 1; any type but bool; any strides. Double word. */           \
  void random_geometric(const View& y, RandomState state, double p);                                        \
  /* y = median + sigma * tan(pi * (u - 1/2)); floating types; any strides. Double word. */                 \
  void random_cauchy(const View& y, RandomState state, double median, double sigma);                        \
  /* y = low + floor(u * range); range 0 stands for 2^64; every type; any strides. Double word. */          \
  void random_integers(const View& y, RandomState state, int64_t low, uint64_t range);                      \
  /* y = 1 with probability p, else 0; every type; any strides. Word. */                                    \
  void random_bernoulli(const View& y, RandomState state, double p);                                        \
  /* The same with one probability per element: p floating, of y's sizes, any strides. */                   \
  void random_bernoulli_each(const View& p, const View& y, RandomState state);                              \
  /* Whether every element is in [0, 1]: floating types, any strides. */                                    \
  bool probabilities_valid(const View& p);                                                                  \
  /* y = a permutation of 0 ... n-1: stable order of 64-bit keys (double word). int64 [n], n < 2^32. */     \
  void random_permutation(const View& y, RandomState state);                                                \
  /* y = x / (1 - p) where the draw is >= p, x * 0 elsewhere. Element i uses word i / group: group > 1 */   \
  /* drops whole channels. Floating, x and y of one type and size, any strides, x may be y. Word. */        \
  void dropout_forward(const View& x, const View& y, RandomState state, double p, int64_t group);           \
  /* dx = dy / (1 - p) where the forward kept the element: the same draws. */                               \
  void dropout_backward(const View& dy, const View& dx, RandomState state, double p, int64_t group);        \
  /* Bits set for what a multinomial row may not have: 1 negative, inf or NaN, 2 a row sum of 0, */         \
  /* 4 fewer non-zero entries than n. p floating [rows, k], any strides. */                                 \
  int multinomial_check(const View& p, int64_t n);                                                          \
  /* y int64 [rows, n] contiguous: categories drawn by weight p [rows, k], floating, any strides. */        \
  /* With replacement by search in the running sum (double word draw r * n + j), without by the n */        \
  /* smallest of Exponential(1) / p (draw r * k + c), in that order. */                                     \
  void multinomial(const View& p, const View& y, RandomState state, bool replacement);

namespace ccdl::cpu {
CCDL_RANDOM_CONTRACT
}
namespace ccdl::cu {
CCDL_RANDOM_CONTRACT
}
#undef CCDL_RANDOM_CONTRACT

namespace ccdl {
// 32-bit words an element takes in uniform and normal draws.
CCDL_HD CCDL_INLINE constexpr int random_words(DType t) { return t == DType::Float64 ? 2 : 1; }
}  // namespace ccdl
