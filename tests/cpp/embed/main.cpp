// Trains a two-layer perceptron on XOR with ops, autograd and ccdl::optim, saves it as safetensors, loads it
// back and checks that the loaded model answers with the same bits.
#include <ccdl/ccdl.h>

#include <cstdio>
#include <cstring>

using ccdl::Tensor;
namespace ops = ccdl::ops;

static Tensor from(std::initializer_list<float> values, const ccdl::Dims& sizes) {
  Tensor t = ccdl::empty(sizes, ccdl::DType::Float32);
  std::memcpy(t.data(), values.begin(), values.size() * sizeof(float));
  return t;
}

struct Model {
  Tensor w1, b1, w2, b2;
  Tensor forward(const Tensor& x) const { return ops::linear(ops::tanh(ops::linear(x, w1, b1)), w2, b2); }
};

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "model.safetensors";
  try {
    const Tensor x = from({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
    const Tensor y = from({0, 1, 1, 0}, {4, 1});
    Model model{from({0.5f, -0.4f, -0.3f, 0.6f, 0.8f, 0.7f, -0.6f, -0.2f}, {4, 2}),
                from({0.1f, -0.1f, 0.2f, 0}, {4}), from({0.3f, -0.5f, 0.4f, 0.6f}, {1, 4}), from({0}, {1})};
    const ccdl::TensorList parameters{model.w1, model.b1, model.w2, model.b2};
    for (const Tensor& p : parameters) ccdl::autograd::set_requires_grad(p, true);

    ccdl::optim::Adam adam(parameters, {.lr = 0.05});
    float loss_value = 0;
    for (int step = 0; step < 400; ++step) {
      adam.zero_grad();
      const Tensor error = ops::sub(model.forward(x), y);
      const Tensor loss = ops::mean(ops::mul(error, error));
      ccdl::autograd::backward({loss});
      adam.step();
      loss_value = *loss.ptr<float>();
    }
    std::printf("loss after training: %g\n", loss_value);
    if (!(loss_value < 1e-3f)) return std::puts("did not learn XOR"), 1;

    ops::save_safetensors(path, {{"w1", model.w1}, {"b1", model.b1}, {"w2", model.w2}, {"b2", model.b2}});
    auto file = ops::load_safetensors(path);
    const Model loaded{file.at("w1"), file.at("b1"), file.at("w2"), file.at("b2")};
    ccdl::autograd::NoGradGuard no_grad;
    const Tensor a = model.forward(x), b = loaded.forward(x);
    if (std::memcmp(a.data(), b.data(), 4 * sizeof(float)) != 0)
      return std::puts("the loaded model differs"), 1;

    try {
      ops::matmul(x, from({1, 2, 3}, {3, 1}));
      return std::puts("a shape mismatch was not refused"), 1;
    } catch (const ccdl::Error& e) {
      std::printf("as it should: %s\n", e.what());
    }
    std::puts("ok");
    return 0;
  } catch (const std::exception& e) {
    std::printf("error: %s\n", e.what());
    return 1;
  }
}
