// What nodes of the graph are made of: pooled memory, lists inside the node, accumulators that outlive their
// graphs, all with several threads at work.
#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include <ccdl/autograd/accumulate.h>
#include <ccdl/ccdl.h>

#include "test.h"

using namespace ccdl;

static Tensor leaf(const Dims& sizes) {
  Tensor t = ops::full(sizes, 2.0, DType::Float64);
  autograd::set_requires_grad(t, true);
  return t;
}
static double first(const Tensor& t) { return t.ptr<double>()[0]; }
static double total(const Tensor& t) { return ops::item(ops::sum(t)).to_double(); }

TEST(pooled_blocks_do_not_overlap) {
  std::vector<std::pair<void*, size_t>> held;
  for (int round = 0; round < 3; ++round) {
    std::set<char*> seen;
    for (size_t bytes : {1, 31, 32, 33, 200, 1000, 1023, 1024, 1025, 5000})
      for (int i = 0; i < 20; ++i) {
        char* p = static_cast<char*>(pool_allocate(bytes));
        CHECK(reinterpret_cast<uintptr_t>(p) % 16 == 0);
        CHECK(seen.insert(p).second);
        std::memset(p, static_cast<int>(bytes), bytes);
        held.emplace_back(p, bytes);
      }
    for (const auto& [p, bytes] : held) {
      const auto* c = static_cast<unsigned char*>(p);
      CHECK(c[0] == static_cast<unsigned char>(bytes) && c[bytes - 1] == static_cast<unsigned char>(bytes));
      pool_free(p, bytes);
    }
    held.clear();
    if (round == 1) pool_release();
  }
}

TEST(blocks_end_on_another_thread) {
  std::vector<void*> held(5000);
  std::thread([&] {
    for (void*& p : held) p = pool_allocate(300);
  }).join();
  for (void* p : held) pool_free(p, 300);  // more than a list keeps
  std::thread([&] {
    for (void*& p : held) p = pool_allocate(300);
    for (void* p : held) pool_free(p, 300);
  }).join();
}

TEST(short_lists_grow_out_of_their_owner) {
  static int alive = 0;
  struct Counted {
    std::string text;
    explicit Counted(std::string t) : text(std::move(t)) { ++alive; }
    Counted(const Counted& o) : text(o.text) { ++alive; }
    Counted(Counted&& o) noexcept : text(std::move(o.text)) { ++alive; }
    ~Counted() { --alive; }
  };
  {
    SmallVec<Counted, 2> list;
    for (int i = 0; i < 50; ++i) list.emplace_back("element number " + std::to_string(i));
    CHECK(list.size() == 50 && alive == 50);
    for (int i = 0; i < 50; ++i) CHECK(list[i].text == "element number " + std::to_string(i));
    list = {Counted("one"), Counted("two")};
    CHECK(list.size() == 2 && alive == 2 && list.back().text == "two");
    list.assign(7, Counted("same"));
    CHECK(list.size() == 7 && alive == 7 && list[6].text == "same");
  }
  CHECK(alive == 0);
}

TEST(a_leaf_has_one_accumulator) {
  const Tensor x = leaf({3});
  const Ref<autograd::Node> before = autograd::accumulator_of(x);
  CHECK(before == autograd::accumulator_of(x));
  const Tensor y = ops::mul(x, x);
  CHECK(y.impl() && autograd::grad_fn(y)->next()[0].node == before);
  CHECK(before->use_count() == 3);
}

TEST(a_graph_keeps_its_leaf) {
  Tensor x = leaf({3});
  TensorImpl* impl = x.impl();
  Tensor y = ops::mul(x, 3.0);
  const int64_t held = impl->use_count();
  x = Tensor();
  CHECK(impl->use_count() == held - 1);  // the accumulator has one
  const Ref<autograd::Node> fn = autograd::grad_fn(y);
  y = Tensor();
  const auto* last = static_cast<autograd::AccumulateGrad*>(fn->next()[0].node.get());
  CHECK(last->variable().impl() == impl);
}

TEST(hooks_of_an_accumulator_end_with_its_graph) {
  const Tensor x = leaf({3});
  int calls = 0;
  for (int graph = 0; graph < 3; ++graph) {
    const Tensor y = ops::sum(ops::mul(x, 1.0));
    if (graph == 0)
      autograd::accumulator_of(x)->hooks().post.add([&](TensorList&, const TensorList&) { ++calls; });
    autograd::backward({y});
  }
  CHECK(calls == 1);
  CHECK(first(autograd::grad(x)) == 3.0);
}

TEST(an_accumulator_follows_its_leaf) {
  const Tensor x = leaf({3});
  autograd::backward({ops::sum(x)});
  autograd::set_grad(x, {});
  ops::set_data(x, ops::full(Dims{2, 2}, 1.0, DType::Float32));
  autograd::backward({ops::sum(ops::mul(x, 2.0))});
  CHECK((autograd::grad(x).sizes() == Dims{2, 2}) && autograd::grad(x).dtype() == DType::Float32);
  autograd::set_grad(x, {});
  const Tensor y = ops::sum(x);  // recorded before the change
  ops::set_data(x, ops::full(Dims{2, 2}, 1.0, DType::Float64));
  autograd::backward({y});
  CHECK(autograd::grad(x).dtype() == DType::Float64 && total(autograd::grad(x)) == 4.0);
}

TEST(threads_share_a_leaf) {
  const Tensor x = leaf({5});
  constexpr int kThreads = 4, kRounds = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const Tensor y = ops::sum(ops::mul(x, 1.0));
        if (t % 2 == 0 || i % 2 == 0) autograd::backward({y});
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(total(autograd::grad(x)) == 5.0 * (2 * kRounds + 2 * (kRounds / 2)));
}

// One thread registers and runs hooks, the others only begin and end graphs of the same leaf.
TEST(hooks_end_while_other_graphs_begin) {
  const Tensor x = leaf({5});
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      while (!done) ops::mul(x, 1.0);
    });
  int calls = 0;
  for (int i = 0; i < 2000; ++i) {
    const Tensor y = ops::sum(ops::mul(x, 1.0));
    const int before = calls;
    autograd::accumulator_of(x)->hooks().pre.add([&](TensorList&) { ++calls; });
    autograd::backward({y});
    CHECK(calls > before);
  }
  done = true;
  for (std::thread& t : threads) t.join();
  CHECK(autograd::accumulator_of(x)->hooks_or_null() == nullptr);
}

TEST(graphs_end_on_another_thread) {
  for (int round = 0; round < 20; ++round) {
    Tensor y;
    std::thread([&] {
      Tensor x = leaf({4});
      y = x;
      for (int i = 0; i < 300; ++i) y = ops::mul(ops::add(y, x), 0.5);
    }).join();
    if (round % 2) {
      std::thread([moved = std::move(y)]() mutable { autograd::backward({ops::sum(moved)}); }).join();
    } else {
      CHECK(first(y) == 2.0);
      y = Tensor();
    }
  }
}

TEST(a_pass_inside_a_pass) {
  const Tensor x = leaf({2}), z = leaf({2});
  const Tensor y = ops::mul(x, 3.0);
  autograd::add_tensor_hook(y, [&](const Tensor& g) {
    const autograd::GradModeGuard on(true);
    autograd::backward({ops::sum(ops::mul(z, z))});
    return g;
  });
  autograd::backward({ops::sum(ops::add(ops::mul(y, y), y))});
  CHECK(first(autograd::grad(x)) == 3.0 * (2 * 6.0 + 1));
  CHECK(first(autograd::grad(z)) == 4.0);
}

TEST(many_inputs_and_outputs) {
  TensorList leaves;
  for (int i = 0; i < 200; ++i) leaves.push_back(leaf({2}));
  const TensorList parts = ops::split(ops::cat(leaves, 0), 2, 0);
  Tensor sum = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) sum = ops::add(sum, ops::mul(parts[i], static_cast<double>(i)));
  autograd::backward({ops::sum(sum)});
  for (size_t i = 0; i < leaves.size(); ++i)
    CHECK(first(autograd::grad(leaves[i])) == (i == 0 ? 1.0 : static_cast<double>(i)));
}

TEST_MAIN()
