// Generators guard seed and position by a mutex; that of the default one is held across fork, so a child
// finds it free.
#include <ccdl/core/error.h>
#include <ccdl/core/generator.h>

#include <pthread.h>
#include <sys/random.h>

#include <cerrno>

namespace ccdl {

void Generator::manual_seed(uint64_t seed) {
  std::lock_guard<std::mutex> lock(mutex_);
  seed_ = seed;
  offset_ = 0;
}

uint64_t Generator::seed() {
  uint64_t fresh = 0;
  while (getrandom(&fresh, sizeof fresh, 0) != static_cast<ssize_t>(sizeof fresh)) {
    CCDL_CHECK(errno == EINTR, Runtime, "seed: the operating system gave no random bytes");
  }
  fresh >>= 11;  // 53 bits: survives a trip through a double
  manual_seed(fresh);
  return fresh;
}

uint64_t Generator::initial_seed() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return seed_;
}

RandomState Generator::state() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return {seed_, offset_};
}

void Generator::set_state(RandomState state) {
  std::lock_guard<std::mutex> lock(mutex_);
  seed_ = state.seed;
  offset_ = state.offset;
}

namespace {
thread_local RandomCapture* t_capture = nullptr;
}

RandomCapture* set_random_capture(RandomCapture* capture) noexcept {
  return std::exchange(t_capture, capture);
}

RandomState Generator::reserve(int64_t words) {
  if (t_capture != nullptr) [[unlikely]]
    return t_capture->reserve(*this, words);
  return advance((static_cast<uint64_t>(words) + 3) / 4);
}

RandomState Generator::advance(uint64_t counters) {
  std::lock_guard<std::mutex> lock(mutex_);
  const RandomState s{seed_, offset_};
  offset_ += counters;
  return s;
}

std::array<uint8_t, kRandomStateBytes> pack_state(RandomState state) {
  std::array<uint8_t, kRandomStateBytes> bytes;
  for (int i = 0; i < 8; ++i) {
    bytes[i] = static_cast<uint8_t>(state.seed >> (8 * i));
    bytes[8 + i] = static_cast<uint8_t>(state.offset >> (8 * i));
  }
  return bytes;
}

RandomState unpack_state(const uint8_t* bytes) {
  RandomState s{0, 0};
  for (int i = 0; i < 8; ++i) {
    s.seed |= static_cast<uint64_t>(bytes[i]) << (8 * i);
    s.offset |= static_cast<uint64_t>(bytes[8 + i]) << (8 * i);
  }
  return s;
}

Generator& default_generator() {
  static Generator* g = [] {
    auto* made = new Generator;
    made->retain();
    pthread_atfork([] { default_generator().mutex().lock(); }, [] { default_generator().mutex().unlock(); },
                   [] { default_generator().mutex().unlock(); });
    return made;
  }();
  return *g;
}

namespace {
thread_local Ref<Generator> t_generator;
}

Generator& current_generator() { return t_generator ? *t_generator : default_generator(); }

Ref<Generator> set_thread_generator(Ref<Generator> generator) {
  t_generator.swap(generator);
  return generator;
}

}  // namespace ccdl
