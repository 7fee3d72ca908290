// A stream of random numbers: seed and position. An op reserves the draws it needs and works from the
// returned state.
#pragma once
#include <array>
#include <mutex>

#include <ccdl/core/ref.h>
#include <ccdl/core/rng.h>

namespace ccdl {

class Generator : public RefCounted {
 public:
  static constexpr uint64_t kDefaultSeed = 67280421310721;
  explicit Generator(uint64_t seed = kDefaultSeed) : seed_(seed) {}

  void manual_seed(uint64_t seed);  // the position returns to 0
  uint64_t seed();                  // seeds from the system's entropy; returns the seed
  uint64_t initial_seed() const;
  RandomState state() const;
  void set_state(RandomState state);
  // State for an op that draws `words` 32-bit words; the position moves on by ceil(words / 4) counters.
  RandomState reserve(int64_t words);
  RandomState advance(uint64_t counters);  // the state before; moves on by this many counters
  std::mutex& mutex() { return mutex_; }

 private:
  mutable std::mutex mutex_;
  uint64_t seed_, offset_ = 0;
};

// While a thread captures a CUDA graph, draws that it reserves count from where the generator will stand at
// each replay: the graph answers in the generator's place.
class RandomCapture {
 public:
  virtual RandomState reserve(Generator& generator, int64_t words) = 0;

 protected:
  ~RandomCapture() = default;
};
RandomCapture* set_random_capture(RandomCapture* capture) noexcept;  // of this thread; returns the one before

// State as 16 bytes: seed, then offset, little endian.
constexpr int kRandomStateBytes = 16;
std::array<uint8_t, kRandomStateBytes> pack_state(RandomState state);
RandomState unpack_state(const uint8_t* bytes);

Generator& default_generator();
// What ops draw from when no generator is given: the calling thread's own one if set, else the default one.
Generator& current_generator();
Ref<Generator> set_thread_generator(
    Ref<Generator> generator);  // null: back to the default; returns the one before

}  // namespace ccdl
