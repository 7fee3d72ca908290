// Tables of the Fourier transforms: passes and roots of unity of a length, kept for the next call (at most
// 64 MB and 128 lengths, the least recently used leave first). Roots come from exact residues, in long
// double, and are rounded once.
#pragma once
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/simd/fft.h>

#include <memory>
#include <vector>

namespace ccdl::cpu {

enum class FftTable : int { lanes, split, half_turns, line };

struct FftTables {
  virtual ~FftTables() = default;
  FftLanes lanes{};                                      // FftTable::lanes
  FftSplit split{};                                      // split; none where split.a is 1
  int64_t cost = 0;                                      // lanes: of a block, split: of a line; vectors moved
  const void* turns = nullptr;                           // half_turns: [n / 4 + 1] pairs exp(-2 pi i k / n)
  int64_t m = 0;                                         // line: of the circular convolution
  const void *chirp = nullptr, *spectrum = nullptr;      // line: as in FftLanes
  std::vector<std::shared_ptr<const FftTables>> others;  // what the pointers above lead to
  std::vector<std::unique_ptr<Buffer<char>>> memory;
  int64_t bytes = 0;
};

// type: 0 float, 1 double. Thread safe; what is returned stays alive while it is held.
std::shared_ptr<const FftTables> fft_tables(FftTable kind, int64_t n, int type);

// No prime factor of n is too large for a pass.
bool fft_smooth(int64_t n);
// The length of the circular convolution that does the work of n.
int64_t fft_convolved(int64_t n);

}  // namespace ccdl::cpu
