// Random tensors and in-place fills. A null generator means the calling thread's current one. An op reserves
// its draws from the generator and is a pure function of (seed, offset) from there on. None of the fills is
// differentiable.
#pragma once
#include <optional>

#include <ccdl/core/generator.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor rand(IntSpan sizes, DType dtype, Generator* generator = nullptr, Device device = {});
Tensor randn(IntSpan sizes, DType dtype, Generator* generator = nullptr, Device device = {});
Tensor randint(int64_t low, int64_t high, IntSpan sizes, DType dtype, Generator* generator = nullptr,
               Device device = {});
Tensor randperm(int64_t n, DType dtype, Generator* generator = nullptr, Device device = {});
// Same sizes as x; strides as format says.
Tensor rand_like(const Tensor& x, DType dtype, MemoryFormat format = MemoryFormat::Preserve,
                 Generator* generator = nullptr);
Tensor randn_like(const Tensor& x, DType dtype, MemoryFormat format = MemoryFormat::Preserve,
                  Generator* generator = nullptr);
Tensor randint_like(const Tensor& x, int64_t low, int64_t high, DType dtype,
                    MemoryFormat format = MemoryFormat::Preserve, Generator* generator = nullptr);

// mean + std * z; at least one of the two is a tensor, they broadcast.
Tensor normal(const Operand& mean, const Operand& std, Generator* generator = nullptr);
Tensor normal(double mean, double std, IntSpan sizes, DType dtype, Generator* generator = nullptr,
              Device device = {});
Tensor bernoulli(const Tensor& p, Generator* generator = nullptr);            // one probability per element
Tensor bernoulli(const Tensor& x, double p, Generator* generator = nullptr);  // x gives shape and dtype
Tensor multinomial(const Tensor& weights, int64_t samples, bool replacement, Generator* generator = nullptr);

Tensor uniform_(const Tensor& x, double from, double to, Generator* generator = nullptr);
Tensor normal_(const Tensor& x, double mean, double std, Generator* generator = nullptr);
Tensor log_normal_(const Tensor& x, double mean, double std, Generator* generator = nullptr);
Tensor exponential_(const Tensor& x, double lambda, Generator* generator = nullptr);
Tensor geometric_(const Tensor& x, double p, Generator* generator = nullptr);
Tensor cauchy_(const Tensor& x, double median, double sigma, Generator* generator = nullptr);
Tensor bernoulli_(const Tensor& x, double p, Generator* generator = nullptr);
Tensor bernoulli_(const Tensor& x, const Tensor& p, Generator* generator = nullptr);
// Integers in [from, to); without `to` up to the largest the type holds exactly.
Tensor random_(const Tensor& x, int64_t from, std::optional<int64_t> to, Generator* generator = nullptr);

// Inverted dropout: x / (1 - p) where kept, 0 elsewhere; x itself when not training. Differentiable any
// number of times.
Tensor dropout(const Tensor& x, double p, bool train);
// The same with draws reserved before: x / (1 - p) where state keeps the element.
Tensor dropout_at(const Tensor& x, RandomState state, double p);
Tensor feature_dropout(const Tensor& x, double p, bool train);  // whole channels of [N, C, ...]
Tensor alpha_dropout(const Tensor& x, double p, bool train);    // keeps mean and variance under SELU
Tensor feature_alpha_dropout(const Tensor& x, double p, bool train);

}  // namespace ccdl::ops
