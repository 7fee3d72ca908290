// Fourier transforms of blocks of lines, a line per lane: lines are transposed on the way in and out, columns
// are loaded as they lie. Real numbers of even count go through the transform of half as many pairs.
#include <ccdl/cpu/simd/fft_passes.h>
#include <ccdl/cpu/simd/transpose.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// Rows of `columns` numbers become vectors: column c goes to vector (c stride) ^ flip.
template <class T>
void rows_in(const T* from, int64_t lane, int64_t columns, int64_t lanes, VecOf<T>* to, int64_t stride,
             int64_t flip) {
  constexpr int L = kLanes<T>;
  for (int64_t c = 0; c < columns; c += L) {
    VecOf<T> r[L];
    const int width = columns - c < L ? (int)(columns - c) : L;
    if (width == L && lanes == L) {
      _Pragma("GCC unroll 16") for (int i = 0; i < L; ++i) r[i] = ld(from + i * lane + c);
    } else {
      for (int i = 0; i < L; ++i) r[i] = i < lanes ? ldn(from + i * lane + c, width) : VecOf<T>{};
    }
    transpose_block<VecOf<T>, IndexOf<T>, L>(r);
    if (width == L)
      _Pragma("GCC unroll 16") for (int i = 0; i < L; ++i) to[((c + i) * stride) ^ flip] = r[i];
    else
      for (int i = 0; i < width; ++i) to[((c + i) * stride) ^ flip] = r[i];
  }
}
// The way back; numbers of even columns times even, of odd ones times odd.
template <class T>
void rows_out(const VecOf<T>* from, int64_t stride, int64_t flip, T* to, int64_t lane, int64_t columns,
              int64_t lanes, T even, T odd) {
  constexpr int L = kLanes<T>;
  const VecOf<T> by[2] = {set1(even), set1(odd)};
  for (int64_t c = 0; c < columns; c += L) {
    VecOf<T> r[L];
    const int width = columns - c < L ? (int)(columns - c) : L;
    if (width == L)
      _Pragma("GCC unroll 16") for (int i = 0; i < L; ++i) r[i] = from[((c + i) * stride) ^ flip] * by[i & 1];
    else
      for (int i = 0; i < L; ++i) r[i] = i < width ? from[((c + i) * stride) ^ flip] * by[i & 1] : VecOf<T>{};
    transpose_block<VecOf<T>, IndexOf<T>, L>(r);
    if (width == L && lanes == L)
      _Pragma("GCC unroll 16") for (int i = 0; i < L; ++i) st(to + i * lane + c, r[i]);
    else
      for (int i = 0; i < lanes; ++i) stn(to + i * lane + c, r[i], width);
  }
}

// `in` numbers of each lane to vectors: parts of pairs to 2 j and 2 j + 1, real ones to j stride.
template <class T>
void read_block(const FftBlock& block, bool pairs, int64_t stride, int64_t flip, VecOf<T>* to) {
  const T* from = static_cast<const T*>(block.from);
  const int64_t width = pairs ? 2 : 1, columns = block.in * width;
  if (block.from_at != nullptr) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t at = c / width * block.from_step + (pairs ? c & 1 : 0);
      T lanes[kLanes<T>] = {};
      for (int l = 0; l < block.lanes; ++l) lanes[l] = from[block.from_at[l] + at];
      to[(c * stride) ^ flip] = ld(lanes);
    }
  } else if (block.from_step == width) {
    rows_in(from, block.from_lane, columns, block.lanes, to, stride, flip);
  } else if (pairs) {
    for (int64_t j = 0; j < block.in; ++j)
      load_pairs<T>(from + j * block.from_step, (int)block.lanes, to[2 * j + flip], to[2 * j + 1 - flip]);
  } else {
    for (int64_t j = 0; j < block.in; ++j)
      to[j * stride] = block.lanes == kLanes<T> ? ld(from + j * block.from_step)
                                                : ldn(from + j * block.from_step, (int)block.lanes);
  }
}
template <class T>
void write_block(const FftBlock& block, bool pairs, int64_t stride, int64_t flip, const VecOf<T>* from,
                 T even, T odd) {
  T* to = static_cast<T*>(block.to);
  const int64_t width = pairs ? 2 : 1, columns = block.out * width;
  if (block.to_at != nullptr) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t at = c / width * block.to_step + (pairs ? c & 1 : 0);
      T lanes[kLanes<T>];
      st(lanes, from[(c * stride) ^ flip] * set1(c & 1 ? odd : even));
      for (int l = 0; l < block.lanes; ++l) to[block.to_at[l] + at] = lanes[l];
    }
  } else if (block.to_step == width) {
    rows_out<T>(from, stride, flip, to, block.to_lane, columns, block.lanes, even, odd);
  } else if (pairs) {
    for (int64_t j = 0; j < block.out; ++j)
      store_pairs<T>(to + j * block.to_step, (int)block.lanes, from[2 * j + flip] * even,
                     from[2 * j + 1 - flip] * odd);
  } else {
    for (int64_t j = 0; j < block.out; ++j) {
      const VecOf<T> v = from[j * stride] * even;
      if (block.lanes == kLanes<T>)
        st(to + j * block.to_step, v);
      else
        stn(to + j * block.to_step, v, (int)block.lanes);
    }
  }
}

// s = a + conj c, g = (a - conj c) w of two numbers and a root.
template <class V>
struct Mirrored {
  V sr, si, gr, gi;
};
template <class V, class W>
CCDL_SI Mirrored<V> mirrored(V ar, V ai, V cr, V ci, W wr, W wi) {
  const V dr = ar - cr, di = ai + ci;
  return {ar + cr, ai - ci, dr * wr - di * wi, dr * wi + di * wr};
}
// z of the pairs (x[2 j], x[2 j + 1]) -> 2 x[0 .. h]: s - i g at k and its mirror image at h - k.
template <class V, class S>
CCDL_SI void joined(const Mirrored<V>& m, S even, S odd, V* at_k, V* at_j) {
  at_k[0] = (m.sr + m.gi) * even, at_k[1] = (m.si - m.gr) * odd;
  at_j[0] = (m.sr - m.gi) * even, at_j[1] = (-m.si - m.gr) * odd;
}
// x[0 .. h] -> z: s + i g and its mirror image.
template <class V>
CCDL_SI void parted(const Mirrored<V>& m, V* at_k, V* at_j) {
  at_k[0] = m.sr - m.gi, at_k[1] = m.si + m.gr;
  at_j[0] = m.sr + m.gi, at_j[1] = m.gr - m.si;
}
template <class T, class V>
CCDL_SI void join_ends(const V* z, V* y, int64_t h, T by) {
  const V r = z[0], i = z[1];
  y[0] = (r + i) * by, y[1] = V{};
  y[2 * h] = (r - i) * by, y[2 * h + 1] = V{};
}
template <class T, class V>
CCDL_SI void part_ends(const V* x, V* z, int64_t h, T ends) {
  const V a = x[0] * ends, b = x[2 * h] * ends;
  z[0] = a + b, z[1] = a - b;
}
// Both for k from `first` on; factors of real and imaginary parts, and of the imaginary parts of x.
template <class T, class V>
CCDL_SI void join_halves(const V* z, V* y, int64_t first, int64_t h, const T* w, T even, T odd) {
  for (int64_t k = first; 2 * k <= h; ++k) {
    const V *a = z + 2 * k, *c = z + 2 * (h - k);
    joined(mirrored(a[0], a[1], c[0], c[1], w[2 * k], w[2 * k + 1]), even, odd, y + 2 * k, y + 2 * (h - k));
  }
}
template <class T, class V>
CCDL_SI void part_halves(const V* x, V* z, int64_t first, int64_t h, const T* w, T sign) {
  for (int64_t k = first; 2 * k <= h; ++k) {
    const V *a = x + 2 * k, *c = x + 2 * (h - k);
    parted(mirrored(a[0], a[1] * sign, c[0], c[1] * sign, w[2 * k], w[2 * k + 1]), z + 2 * k,
           z + 2 * (h - k));
  }
}
// A vector of numbers, those from k on or those up to h - k in falling order.
template <class T, bool kFalling>
struct Run {
  VecOf<T> part[2];
  CCDL_SI VecOf<T> turned(VecOf<T> v) {
    IndexOf<T> at;
    for (int i = 0; i < kLanes<T>; ++i) at[i] = kFalling ? kLanes<T> - 1 - i : i;
    return __builtin_shuffle(v, at);
  }
  CCDL_SI int64_t place(int64_t k, int64_t h) { return 2 * (kFalling ? h - k - kLanes<T> + 1 : k); }
  CCDL_SI Run load(const T* x, int64_t k, int64_t h) {
    Run run;
    load_pairs<T>(x + place(k, h), kLanes<T>, run.part[0], run.part[1]);
    return {turned(run.part[0]), turned(run.part[1])};
  }
  void store(T* x, int64_t k, int64_t h) const {
    store_pairs<T>(x + place(k, h), kLanes<T>, turned(part[0]), turned(part[1]));
  }
};
// The vectors of k and h - k that do not meet; fn(a, c, w, where the results of a and c go). Returns the next
// k.
template <class T, class F>
CCDL_SI int64_t mirrored_runs(const T* from, T* to, int64_t h, const T* w, const F& fn) {
  constexpr int L = kLanes<T>;
  int64_t k = 1;
  for (; 2 * (k + L - 1) < h; k += L) {
    const auto a = Run<T, false>::load(from, k, h), roots = Run<T, false>::load(w, k, h);
    const auto c = Run<T, true>::load(from, k, h);
    Run<T, false> up;
    Run<T, true> down;
    fn(a.part, c.part, roots.part, up.part, down.part);
    up.store(to, k, h);
    down.store(to, k, h);
  }
  return k;
}
template <class T>
CCDL_SI void clear(VecOf<T>* x, int64_t from, int64_t to) {
  for (; from < to; ++from) x[from] = VecOf<T>{};
}

// The numbers of a spectrum behind its half.
template <class V>
CCDL_SI void mirror(V* y, int64_t n) {
  for (int64_t k = n / 2 + 1; k < n; ++k) y[2 * k] = y[2 * (n - k)], y[2 * k + 1] = -y[2 * (n - k) + 1];
}

template <class T>
void run_block(const FftSpec& spec, const FftLanes& lanes, const void* half_turns, const FftBlock& block,
               void* pa, void* pb) {
  typedef VecOf<T> V;
  V *a = static_cast<V*>(pa), *b = static_cast<V*>(pb);
  const int64_t n = spec.n, h = n / 2;
  const bool even = n % 2 == 0;
  const T ends = (T)(1 / spec.interior), factor = (T)(spec.factor * spec.interior);
  const T* w = static_cast<const T*>(half_turns);
  if (spec.kind == FftKind::whole) {
    read_block<T>(block, true, 1, spec.plus, a);
    clear<T>(a, 2 * block.in, 2 * n);
    V* y = run_lanes<T>(lanes, a, b);
    write_block<T>(block, true, 1, spec.plus, y, (T)spec.factor, (T)spec.factor);
  } else if (spec.kind == FftKind::to_half && even) {
    read_block<T>(block, false, 1, 0, a);
    clear<T>(a, block.in, n);
    V *z = run_lanes<T>(lanes, a, b), *y = z == a ? b : a;
    const T f = factor / 2;
    join_ends<T>(z, y, h, 2 * ends);
    join_halves<T>(z, y, 1, h, w, T(1), T(1));
    if (spec.mirrored) mirror(y, n);
    write_block<T>(block, true, 1, 0, y, f, spec.plus ? -f : f);
  } else if (spec.kind == FftKind::to_half) {
    clear<T>(a, 0, 2 * n);
    read_block<T>(block, false, 2, 0, a);
    V* y = run_lanes<T>(lanes, a, b);
    y[0] *= ends, y[1] = V{};
    write_block<T>(block, true, 1, 0, y, factor, spec.plus ? -factor : factor);
  } else if (even) {
    read_block<T>(block, true, 1, 0, b);
    clear<T>(b, 2 * block.in, n + 2);
    part_ends<T>(b, a, h, ends);
    part_halves<T>(b, a, 1, h, w, spec.plus ? T(-1) : T(1));
    V* y = run_lanes<T>(lanes, a, b);
    write_block<T>(block, false, 1, 0, y, factor, factor);
  } else {
    read_block<T>(block, true, 1, 0, a);
    clear<T>(a, 2 * block.in, 2 * n);
    const T sign = spec.plus ? T(-1) : T(1);
    a[0] *= ends, a[1] = V{};
    for (int64_t k = 1; k <= h; ++k) {
      a[2 * k + 1] *= sign;
      a[2 * (n - k)] = a[2 * k], a[2 * (n - k) + 1] = -a[2 * k + 1];
    }
    V* y = run_lanes<T>(lanes, a, b);
    write_block<T>(block, false, 2, 0, y, factor, factor);
  }
}

template <class T>
void split_first(const FftSplit& split, const void* pfrom, bool flip, void* pbetween, int64_t q, void* pa,
                 void* pb) {
  typedef VecOf<T> V;
  constexpr int L = kLanes<T>;
  V *a = static_cast<V*>(pa), *b = static_cast<V*>(pb);
  const T* from = static_cast<const T*>(pfrom) + 2 * q;
  T* to = static_cast<T*>(pbetween) + q;
  const int64_t lanes = split.b - q < L ? split.b - q : L;
  for (int64_t p = 0; p < split.a; ++p)
    load_pairs<T>(from + p * 2 * split.b, (int)lanes, a[2 * p + flip], a[2 * p + 1 - flip]);
  const V* y = run_lanes<T>(*split.first, a, b);
  const T* w = static_cast<const T*>(split.turns) + q * 2 * split.a;
  for (int64_t k = 0; k < split.a; ++k, w += 2 * L) {
    const V c = ld(w), d = ld(w + L), r = y[2 * k], i = y[2 * k + 1];
    st(to + 2 * k * split.padded, fma(r, c, -(i * d)));
    st(to + (2 * k + 1) * split.padded, fma(r, d, i * c));
  }
}
template <class T>
void split_second(const FftSplit& split, const void* pbetween, void* pto, bool flip, double factor, int64_t k,
                  void* pa, void* pb) {
  typedef VecOf<T> V;
  constexpr int L = kLanes<T>;
  V *a = static_cast<V*>(pa), *b = static_cast<V*>(pb);
  const T* from = static_cast<const T*>(pbetween) + 2 * k * split.padded;
  T* to = static_cast<T*>(pto) + 2 * k;
  const int64_t lanes = split.a - k < L ? split.a - k : L;
  rows_in<T>(from, 2 * split.padded, split.b, lanes, a, 2, 0);
  rows_in<T>(from + split.padded, 2 * split.padded, split.b, lanes, a, 2, 1);
  const V* y = run_lanes<T>(*split.second, a, b);
  const V f = set1((T)factor);
  for (int64_t j = 0; j < split.b; ++j)
    store_pairs<T>(to + j * 2 * split.a, (int)lanes, y[2 * j + flip] * f, y[2 * j + 1 - flip] * f);
}

template <class T>
void multiply(const void* px, const void* pw, void* py, int64_t count, bool flip_in, bool flip_out,
              double factor) {
  const T *x = static_cast<const T*>(px), *w = static_cast<const T*>(pw), f = (T)factor;
  T* y = static_cast<T*>(py);
  for (int64_t j = 0; j < 2 * count; j += 2) {
    const T r = x[j + flip_in] * f, i = x[j + 1 - flip_in] * f;
    const T yr = r * w[j] - i * w[j + 1], yi = r * w[j + 1] + i * w[j];
    y[j + flip_out] = yr, y[j + 1 - flip_out] = yi;
  }
}
template <class T>
void join_half(const void* pz, void* py, int64_t h, const void* turns, double factor, bool conjugate,
               double ends) {
  typedef VecOf<T> V;
  const T *z = static_cast<const T*>(pz), *w = static_cast<const T*>(turns);
  const T even = (T)(factor / 2), odd = conjugate ? -even : even;
  T* y = static_cast<T*>(py);
  join_ends<T>(z, y, h, (T)(ends * factor));
  const int64_t k = mirrored_runs(z, y, h, w, [&](const V* a, const V* c, const V* t, V* at_k, V* at_j) {
    joined(mirrored(a[0], a[1], c[0], c[1], t[0], t[1]), even, odd, at_k, at_j);
  });
  join_halves<T>(z, y, k, h, w, even, odd);
}
template <class T>
void part_half(const void* px, void* pz, int64_t h, const void* turns, bool conjugate, double ends) {
  typedef VecOf<T> V;
  const T *x = static_cast<const T*>(px), *w = static_cast<const T*>(turns), sign = conjugate ? T(-1) : T(1);
  T* z = static_cast<T*>(pz);
  part_ends<T>(x, z, h, (T)ends);
  const int64_t k = mirrored_runs(x, z, h, w, [&](const V* a, const V* c, const V* t, V* at_k, V* at_j) {
    parted(mirrored(a[0], a[1] * sign, c[0], c[1] * sign, t[0], t[1]), at_k, at_j);
  });
  part_halves<T>(x, z, k, h, w, sign);
}

}  // namespace

const FftKernels fft = {
    {VL, VD},
    {run_block<float>, run_block<double>},
    {split_first<float>, split_first<double>},
    {split_second<float>, split_second<double>},
    {multiply<float>, multiply<double>},
    {join_half<float>, join_half<double>},
    {part_half<float>, part_half<double>},
};

}  // namespace ccdl::cpu::CCDL_ISA
