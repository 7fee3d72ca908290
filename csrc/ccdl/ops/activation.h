// Activation functions: floating tensors in, same shape and dtype out (relu, relu6, hardtanh and threshold
// take integers too). sigmoid and tanh stand with the other functions in elementwise.h.
#pragma once
#include <string>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor relu(const Tensor& x);
Tensor relu_(const Tensor& x);
Tensor relu6(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
Tensor prelu(const Tensor& x, const Tensor& weight);  // weight: one element, or one per channel (dimension 1)
Tensor elu(const Tensor& x, double alpha = 1);
Tensor selu(const Tensor& x);
Tensor celu(const Tensor& x, double alpha = 1);
Tensor silu(const Tensor& x);                    // x sigmoid(x)
Tensor swish(const Tensor& x, double beta = 1);  // x sigmoid(beta x)
Tensor mish(const Tensor& x);
Tensor gelu(const Tensor& x,
            const std::string& approximate = "none");  // none (erf), tanh, sigmoid (x sigmoid(1.702 x))
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
Tensor logsigmoid(const Tensor& x);
Tensor softsign(const Tensor& x);
Tensor softshrink(const Tensor& x, double lambd = 0.5);
Tensor hardshrink(const Tensor& x, double lambd = 0.5);
Tensor tanhshrink(const Tensor& x);
Tensor hardtanh(const Tensor& x, double min = -1, double max = 1);
Tensor hardsigmoid(const Tensor& x);
Tensor hardswish(const Tensor& x);
Tensor threshold(const Tensor& x, double threshold, double value);
Tensor glu(const Tensor& x, int64_t dim = -1);  // first half times sigmoid of the second

}  // namespace ccdl::ops
