// Philox against the vectors published with it, the vector kernels against one element at a time, strides,
// generators.
#include <ccdl/core/generator.h>
#include <ccdl/core/parallel.h>
#include <ccdl/kernels/random.h>

#include <algorithm>
#include <numeric>

#include "test.h"

using namespace ccdl;

static const RandomState kState{0x123456789abcdef1, 0xfffffff0};

static View flat(void* data, DType dtype, int64_t n) {
  View v{};
  v.data = data;
  v.ndim = 1;
  v.sizes[0] = n;
  v.strides[0] = 1;
  v.dtype = dtype;
  return v;
}

TEST(philox_known_answers) {
  struct Known {
    rng::Words counter;
    uint32_t key[2];
    rng::Words want;
  };
  const Known known[] = {
      {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {{{~0u, ~0u, ~0u, ~0u}}, {~0u, ~0u}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {0xa4093822, 0x299f31d0},
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const Known& k : known) {
    const rng::Words got = rng::philox4x32(k.counter, k.key[0], k.key[1]);
    CHECK(std::equal(got.w, got.w + 4, k.want.w));
  }
}

TEST(uniform_equals_one_at_a_time) {
  for (int64_t n : {0, 1, 2, 3, 4, 5, 63, 2047, 2048, 2049, 100003}) {
    std::vector<float> f(static_cast<size_t>(n));
    std::vector<double> d(static_cast<size_t>(n));
    cpu::random_uniform(flat(f.data(), DType::Float32, n), kState, 0, 1);
    cpu::random_uniform(flat(d.data(), DType::Float64, n), kState, 0, 1);
    int wrong = 0;
    for (int64_t i = 0; i < n; ++i) {
      wrong += f[i] != rng::uniform_float(rng::draw32(kState, i));
      wrong += d[i] != rng::uniform_double(rng::draw64(kState, i));
    }
    CHECK(wrong == 0);
  }
}

TEST(normal_equals_one_at_a_time) {
  for (int64_t n : {1, 2, 3, 31, 32, 33, 2049, 50001}) {
    std::vector<float> f(static_cast<size_t>(n));
    std::vector<double> d(static_cast<size_t>(n));
    cpu::random_normal(flat(f.data(), DType::Float32, n), kState, 0, 1);
    cpu::random_normal(flat(d.data(), DType::Float64, n), kState, 0, 1);
    int wrong = 0;
    for (int64_t i = 0; i + 1 < n; i += 2) {
      const auto a =
          rng::normal_pair_float<rng::FloatLane>(static_cast<int32_t>(rng::draw32(kState, i) >> 1),
                                                 static_cast<int32_t>(rng::draw32(kState, i + 1) >> 8));
      const auto b =
          rng::normal_pair_double<rng::DoubleLane>(static_cast<int64_t>(rng::draw64(kState, i) >> 11),
                                                   static_cast<int64_t>(rng::draw64(kState, i + 1) >> 11));
      wrong += f[i] != a.cos_part || f[i + 1] != a.sin_part || d[i] != b.cos_part || d[i + 1] != b.sin_part;
    }
    CHECK(wrong == 0);
  }
}

TEST(transforms_are_accurate) {
  double worst_log = 0, worst_log_double = 0, worst_turn = 0, worst_turn_double = 0;
  for (uint64_t i = 0; i < 200000; ++i) {
    const uint64_t w = rng::draw64(kState, i);
    const double u = rng::positive_double(w), exact = std::log(u);
    const float uf = static_cast<float>(u);
    if (u < 1)
      worst_log_double =
          std::max(worst_log_double, std::abs(rng::log_double<rng::DoubleLane>(u) / exact - 1));
    if (uf < 1) {
      worst_log = std::max(
          worst_log, std::abs(rng::log_float<rng::FloatLane>(uf) / std::log(static_cast<double>(uf)) - 1));
    }
    const auto a = rng::sincos_float<rng::FloatLane>(static_cast<int32_t>(w >> 40));
    const double angle = 6.283185307179586 * static_cast<double>(w >> 40) * 0x1p-24;
    worst_turn = std::max(
        {worst_turn, std::abs(a.sin_part - std::sin(angle)), std::abs(a.cos_part - std::cos(angle))});
    const auto b = rng::sincos_double<rng::DoubleLane>(static_cast<int64_t>(w >> 11));
    const long double wide = 6.283185307179586476925286766559L * static_cast<long double>(w >> 11) * 0x1p-53L;
    worst_turn_double =
        std::max({worst_turn_double, std::abs(b.sin_part - static_cast<double>(std::sin(wide))),
                  std::abs(b.cos_part - static_cast<double>(std::cos(wide)))});
  }
  CHECK(worst_log < 3e-7);
  CHECK(worst_log_double < 1e-15);
  CHECK(worst_turn < 2e-7);
  CHECK(worst_turn_double < 4e-16);
}

TEST(strides_and_threads_do_not_change_the_numbers) {
  const int64_t rows = 300, columns = 501;
  std::vector<double> by_column(rows * columns), by_row(rows * columns), again(rows * columns);
  View y = flat(by_column.data(), DType::Float64, rows);
  y.ndim = 2;
  y.sizes[1] = columns;
  y.strides[1] = rows;
  set_num_threads(2);
  cpu::random_normal(y, kState, 0, 1);
  cpu::random_normal(flat(by_row.data(), DType::Float64, rows * columns), kState, 0, 1);
  set_num_threads(1);
  cpu::random_normal(flat(again.data(), DType::Float64, rows * columns), kState, 0, 1);
  CHECK(by_row == again);
  int wrong = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) wrong += by_column[i + j * rows] != by_row[i * columns + j];
  CHECK(wrong == 0);
}

TEST(dropout_follows_its_draws) {
  const int64_t n = 10007;
  std::vector<float> x(n), y(n), back(n);
  std::iota(x.begin(), x.end(), 1.0f);
  for (int64_t group : {1, 3, 50, 10007}) {
    cpu::dropout_forward(flat(x.data(), DType::Float32, n), flat(y.data(), DType::Float32, n), kState, 0.3,
                         group);
    cpu::dropout_backward(flat(x.data(), DType::Float32, n), flat(back.data(), DType::Float32, n), kState,
                          0.3, group);
    int wrong = 0;
    for (int64_t i = 0; i < n; ++i) {
      const bool keep = static_cast<double>(
                            rng::uniform_float(rng::draw32(kState, static_cast<uint64_t>(i / group)))) >= 0.3;
      wrong += y[i] != x[i] * (keep ? static_cast<float>(1 / 0.7) : 0.0f) || back[i] != y[i];
    }
    CHECK(wrong == 0);
  }
}

TEST(integers_equal_one_at_a_time) {
  const int64_t n = 4099;
  std::vector<int64_t> v(n);
  std::vector<int8_t> small(n);
  for (uint64_t range : {uint64_t{1}, uint64_t{2}, uint64_t{1000}, uint64_t{0xffffffff}, uint64_t{1} << 32,
                         ~uint64_t{0}, uint64_t{0}}) {
    cpu::random_integers(flat(v.data(), DType::Int64, n), kState, -3, range);
    cpu::random_integers(flat(small.data(), DType::Int8, n), kState, -3, range);
    int wrong = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto want = static_cast<int64_t>(rng::bounded(rng::draw64(kState, i), range) - 3);
      wrong += v[i] != want || small[i] != static_cast<int8_t>(want);
    }
    CHECK(wrong == 0);
  }
}

TEST(permutations) {
  for (int64_t n : {0, 1, 2, 256, 257, 513, 100000}) {
    std::vector<int64_t> p(static_cast<size_t>(n)), want(static_cast<size_t>(n));
    cpu::random_permutation(flat(p.data(), DType::Int64, n), kState);
    std::iota(want.begin(), want.end(), 0);
    std::stable_sort(want.begin(), want.end(),
                     [](int64_t a, int64_t b) { return rng::draw64(kState, a) < rng::draw64(kState, b); });
    CHECK(p == want);
  }
}

TEST(generators) {
  Generator g(5);
  const RandomState first = g.reserve(9);
  CHECK(first.seed == 5 && first.offset == 0 && g.state().offset == 3);
  const auto bytes = pack_state(g.state());
  const RandomState back = unpack_state(bytes.data());
  CHECK(back.seed == 5 && back.offset == 3);
  g.manual_seed(6);
  CHECK(g.state().offset == 0 && g.initial_seed() == 6);
  CHECK(&current_generator() == &default_generator());
  auto own = make_ref<Generator>(uint64_t{7});
  CHECK(!set_thread_generator(own));
  CHECK(&current_generator() == own.get());
  CHECK(set_thread_generator({}) == own);
}

TEST_MAIN()
