// Planes copied with their borders of zeros, columns of one residue of the stride together: what a tap reads
// lies at a fixed distance.
#pragma once
#include <ccdl/cpu/conv_grid.h>

namespace ccdl::cpu {

constexpr int64_t kSlack = 128;  // behind a copy: the last vectors of the last tap

// Which element of which copy a tap reads in one dim: pixel + offset of copy `residue`.
struct BorderedDim {
  int64_t step, least, reach;  // reach: elements of a copy behind the last pixel
  std::vector<int64_t> residue, offset;
  BorderedDim(const std::vector<int64_t>& shift, int64_t by) : step(by), least(shift[0]), reach(0) {
    for (int64_t s : shift) least = std::min(least, s);
    for (int64_t s : shift) {
      residue.push_back((s - least) % step);
      offset.push_back((s - least) / step);
      reach = std::max(reach, offset.back());
    }
  }
  int64_t copies() const {  // residues that some tap reads
    int64_t n = 0;
    for (int64_t r : residue) n = std::max(n, r + 1);
    return n;
  }
};

// out[i] = src[first + i * step] for i < n, zero outside [0, size).
template <class T>
void copy_row(const T* src, int64_t size, int64_t first, int64_t step, int64_t n, T* out) {
  const int64_t lo = first >= 0 ? 0 : std::min(n, ceil_div(-first, step)),
                hi = size > first ? std::clamp<int64_t>((size - 1 - first) / step + 1, lo, n) : lo;
  std::fill(out, out + lo, T(0));
  if (step == 1 && hi - lo < 32) {  // shorter than the call of a function
    for (int64_t i = lo; i < hi; ++i) out[i] = src[first + i];
  } else if (step == 1) {
    std::memcpy(out + lo, src + first + lo, static_cast<size_t>(hi - lo) * sizeof(T));
  } else if (step == 2) {
    for (int64_t i = lo; i < hi; ++i) out[i] = src[first + i * 2];
  } else {
    for (int64_t i = lo; i < hi; ++i) out[i] = src[first + i * step];
  }
  std::fill(out + hi, out + n, T(0));
}

}  // namespace ccdl::cpu
