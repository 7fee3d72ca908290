// Streams, events, memory and captured training steps through the C++ interface. Without a CUDA device the
// one test is that asking for one is a clear error.
#include <ccdl/ccdl.h>
#include <ccdl/core/device_api.h>

#include "test.h"

using namespace ccdl;

static const Device kCuda{DeviceKind::Cuda, 0};
static bool present() { return cu::device_count() > 0; }

TEST(an_absent_device_is_a_clear_error) {
  CHECK(present() == cu::unavailable_reason().empty());
  if (present()) return;
  size_t capacity = 0;
  void* block = nullptr;
  CHECK_THROWS(cu::allocate(8, 0, &capacity, &block), Device, "cuda");
  CHECK_THROWS(cu::synchronize(0), Device, "cuda");
  CHECK_THROWS(empty(Dims{2}, DType::Float32, kCuda), Device, "cuda");
}

// Losses of some training steps, the later ones replayed from a captured one.
static std::vector<double> losses(bool graphed, bool use_adam) {
  default_generator().manual_seed(4);
  const Tensor x = ops::randn(Dims{5, 3}, DType::Float32, nullptr, kCuda);
  const Tensor w = ops::randn(Dims{2, 3}, DType::Float32, nullptr, kCuda);
  autograd::set_requires_grad(w, true);
  optim::Adam adam({w}, {.lr = 0.05, .weight_decay = 0.01});
  optim::SGD sgd({w}, {.lr = 0.05, .momentum = 0.9});
  const auto step = [&] {
    adam.zero_grad();
    const Tensor y = ops::matmul(x, ops::t(w));
    const Tensor loss = ops::mean(ops::mul(y, y));
    autograd::backward({loss});
    use_adam ? adam.step() : sgd.step();
    return ops::detach(loss);
  };
  std::vector<double> values;
  Tensor loss;
  const Ref<cu::Graph> graph = present() ? cu::Graph::make() : Ref<cu::Graph>();
  for (int i = 0; i < 7; ++i) {
    adam.options.lr = sgd.options.lr = i < 5 ? 0.05 : 0.01;
    if (graphed && i == 2) {
      graph->begin_capture(0);
      loss = step();
      graph->end_capture();
    }
    if (graphed && i >= 2)
      graph->replay();
    else
      loss = step();
    values.push_back(ops::item(loss).to_double());
  }
  return values;
}

TEST(captured_steps_are_bitwise_the_plain_ones) {
  if (!present()) return;
  CHECK(losses(true, false) == losses(false, false));
  CHECK(losses(true, true) == losses(false, true));
}

TEST(optimiser_state_must_exist_before_a_capture) {
  if (!present()) return;
  const Tensor w = ops::ones(Dims{3}, DType::Float32, kCuda);
  autograd::set_requires_grad(w, true);
  optim::Adam adam({w});
  autograd::set_grad(w, ops::ones(Dims{3}, DType::Float32, kCuda));
  const Ref<cu::Graph> graph = cu::Graph::make();
  graph->begin_capture(0);
  CHECK_THROWS(adam.step(), Runtime, "before the capture");
  graph->abandon_capture();
  CHECK(cu::capturing_graph() == nullptr);
  adam.step();
  cu::synchronize(0);
}

TEST(streams_and_events) {
  if (!present()) return;
  const cu::Stream side = cu::Stream::make(0, 0), before = cu::Stream::current(0);
  const Tensor x = ops::ones(Dims{1000}, DType::Float32, kCuda);
  const auto event = make_ref<cu::Event>(false);
  event->record(before);
  event->wait(side);
  side.make_current();
  const Tensor y = ops::add(x, x);
  event->record(side);
  before.make_current();
  event->wait(before);
  cu::record_stream(y.storage()->block(), before);
  CHECK(ops::item(ops::sum(y)).to_double() == 2000);
  CHECK(event->query());
}

TEST(memory_statistics_and_limit) {
  if (!present()) return;
  const int64_t before = cu::device_memory_stats(0).allocated;
  {
    const Tensor x = empty(Dims{1 << 20}, DType::Float32, kCuda);
    CHECK(cu::device_memory_stats(0).allocated - before == int64_t{4} << 20);
    cu::set_device_memory_limit(0, cu::device_memory_stats(0).reserved + 1);
    CHECK_THROWS(empty(Dims{1 << 28}, DType::Float32, kCuda), Memory, "limit");
    cu::set_device_memory_limit(0, 0);
  }
  CHECK(cu::device_memory_stats(0).allocated == before);
}

int main() { return test::run_all(); }
