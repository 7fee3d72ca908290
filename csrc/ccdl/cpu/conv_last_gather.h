// Rows of the product that a LastSweep is, gathered from its source.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

// The elements [k0, k1) of the rows of pixels [begin, begin + count), counted over the batch.
template <class T>
class Gather {
 public:
  explicit Gather(const LastSweep<T>& s)
      : s_(s),
        run_(s.rows_follow() && !s.apart() ? s.taps[2].size() : 1),
        runs_(s.taps[2].size() / run_),
        length_(run_ * s.channels) {
    for (int64_t d : s.taps[0].shift)
      for (int64_t h : s.taps[1].shift)
        for (int64_t r = 0; r < runs_; ++r)
          line_.push_back(
              ((d * s.src_size[1] + h) * s.src_size[2] + s.taps[2].shift[static_cast<size_t>(r * run_)]) *
              s.src_pixel);
  }

  void rows(int64_t begin, int64_t count, int64_t k0, int64_t k1, T* out) const {
    const int64_t image = s_.image(), depth = k1 - k0;
    int64_t n = begin / image, at[3];
    const int64_t rest = begin % image;
    at[0] = rest / (s_.pixels[1] * s_.pixels[2]);
    at[1] = rest / s_.pixels[2] % s_.pixels[1];
    at[2] = rest % s_.pixels[2];
    for (int64_t q = 0; q < count; ++q, out += depth) {
      row(n, at, k0, k1, out);
      if (++at[2] < s_.pixels[2]) continue;
      at[2] = 0;
      if (++at[1] < s_.pixels[1]) continue;
      at[1] = 0;
      if (++at[0] < s_.pixels[0]) continue;
      at[0] = 0;
      ++n;
    }
  }

 private:
  void row(int64_t n, const int64_t* at, int64_t k0, int64_t k1, T* out) const {
    const T* image = s_.src + n * s_.src_batch();
    if (k0 == 0 && k1 == s_.k() && inside(at)) {
      const T* from = image + ((at[0] * s_.step[0] * s_.src_size[1] + at[1] * s_.step[1]) * s_.src_size[2] +
                               at[2] * s_.step[2]) *
                                  s_.src_pixel;
      for (int64_t offset : line_) {
        copy_run(out, from + offset, length_);
        out += length_;
      }
      return;
    }
    int64_t line = k0 / length_, lw = line % runs_, lh = line / runs_ % s_.taps[1].size(),
            ld = line / (runs_ * s_.taps[1].size());
    for (int64_t from = line * length_; from < k1; from += length_) {
      const int64_t d = at[0] * s_.step[0] + s_.taps[0].shift[static_cast<size_t>(ld)],
                    h = at[1] * s_.step[1] + s_.taps[1].shift[static_cast<size_t>(lh)],
                    w = at[2] * s_.step[2] + s_.taps[2].shift[static_cast<size_t>(lw * run_)];
      const int64_t e0 = std::max<int64_t>(k0 - from, 0), e1 = std::min(k1 - from, length_);
      piece(image, d, h, w, e0, e1, out);
      out += e1 - e0;
      if (++lw < runs_) continue;
      lw = 0;
      if (++lh < s_.taps[1].size()) continue;
      lh = 0;
      ++ld;
    }
  }
  bool inside(const int64_t* at) const {  // all taps
    bool yes = true;
    for (int d = 0; d < 3; ++d)
      yes = yes && at[d] * s_.step[d] + s_.taps[d].shift.front() >= 0 &&
            at[d] * s_.step[d] + s_.taps[d].shift.back() < s_.src_size[d];
    return yes;
  }
  // Elements [e0, e1) of the run that begins at pixel (d, h, w); zeros outside the plane.
  void piece(const T* image, int64_t d, int64_t h, int64_t w, int64_t e0, int64_t e1, T* out) const {
    const int64_t c = s_.channels;
    int64_t lo = e1, hi = e1;
    if (d >= 0 && d < s_.src_size[0] && h >= 0 && h < s_.src_size[1]) {
      lo = std::clamp(-w * c, e0, e1);
      hi = std::clamp((s_.src_size[2] - w) * c, lo, e1);
    }
    if (lo > e0) std::fill(out, out + (lo - e0), T(0));
    if (hi > lo)
      copy_run(out + (lo - e0), image + ((d * s_.src_size[1] + h) * s_.src_size[2] + w) * s_.src_pixel + lo,
               hi - lo);
    if (hi < e1) std::fill(out + (hi - e0), out + (e1 - e0), T(0));
  }
  const LastSweep<T>& s_;
  int64_t run_, runs_, length_;
  std::vector<int64_t> line_;  // of a run's begin from the pixel it belongs to
};

}  // namespace ccdl::cpu
