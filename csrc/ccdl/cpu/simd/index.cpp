// Gathers with their bounds check: eight indices are checked together, then eight elements are loaded. Sums
// of table rows: a few vectors of columns at a time stay in registers while the rows go by.
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

bool outside(const int64_t* at, int64_t n, int64_t lift, int64_t last) {
  uint64_t signs = 0;  // the top bit of what is negative: at + lift below 0, last - at past the end
  for (int64_t i = 0; i < n; ++i)
    signs |= ((uint64_t)at[i] + (uint64_t)lift) | ((uint64_t)last - (uint64_t)at[i]);
  return signs >> 63;
}

template <class T>
CCDL_SI int64_t gather_row(const T* __restrict x, const int64_t* at, int64_t size, T* __restrict y,
                           int64_t n) {
  const uint64_t limit = (uint64_t)size;
  int64_t i = 0;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) >= 4) {
    const __m512i bound = _mm512_set1_epi64(size);
    for (; i + 16 <= n; i += 16) {
      const __m512i a = _mm512_loadu_si512(at + i), b = _mm512_loadu_si512(at + i + 8);
      if (_mm512_cmpge_epu64_mask(a, bound) | _mm512_cmpge_epu64_mask(b, bound)) break;
      if constexpr (sizeof(T) == 4) {
#pragma GCC unroll 16
        for (int k = 0; k < 16; ++k) y[i + k] = x[at[i + k]];  // quicker than the gather instruction
      } else {
        const __m512i none = _mm512_setzero_si512();
        _mm512_storeu_si512(y + i, _mm512_mask_i64gather_epi64(none, 0xff, a, x, 8));
        _mm512_storeu_si512(y + i + 8, _mm512_mask_i64gather_epi64(none, 0xff, b, x, 8));
      }
    }
  }
#endif
  for (; i + 8 <= n; i += 8) {
    uint64_t bad = 0;
    for (int k = 0; k < 8; ++k) bad |= (uint64_t)at[i + k] >= limit;
    if (bad) break;
    T t[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) t[k] = x[at[i + k]];
    __builtin_memcpy(y + i, t, sizeof(t));
  }
  for (; i < n; ++i) {
    if ((uint64_t)at[i] >= limit) return i;
    y[i] = x[at[i]];
  }
  return -1;
}
template <class T>
int64_t gather(const void* from, const int64_t* at, int64_t size, void* to, int64_t n) {
  return gather_row((const T*)from, at, size, (T*)to, n);
}
template <class T>
int64_t gather_rows(const void* from, int64_t x_step, const int64_t* at, int64_t at_step, int64_t size,
                    void* to, int64_t y_step, int64_t n, int64_t rows) {
  const T* x = (const T*)from;
  T* y = (T*)to;
  for (int64_t r = 0; r < rows; ++r, x += x_step, at += at_step, y += y_step)
    if (const int64_t bad = gather_row(x, at, size, y, n); bad >= 0) return r * n + bad;
  return -1;
}

#if !defined(__AVX512F__)
// N bytes from both ends of a row, which may overlap.
template <int N>
CCDL_SI void move_ends(char* y, const char* x, int64_t bytes) {
  char first[N], last[N];
  __builtin_memcpy(first, x, N);
  __builtin_memcpy(last, x + bytes - N, N);
  __builtin_memcpy(y, first, N);
  __builtin_memcpy(y + bytes - N, last, N);
}
#endif
// A row of kVectors whole vectors, or of `bytes` where it is 0: the last vector overlaps the one before.
template <int kVectors>
CCDL_SI void move_row(char* y, const char* x, int64_t bytes) {
  vf v;
  if constexpr (kVectors > 0) {
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; ++k) {
      __builtin_memcpy(&v, x + k * VB, VB);
      __builtin_memcpy(y + k * VB, &v, VB);
    }
  } else if (bytes > 4096) {
    __builtin_memcpy(y, x, (unsigned long)bytes);
  } else if (bytes >= VB) {
    vf last;
    __builtin_memcpy(&last, x + bytes - VB, VB);
    for (int64_t j = 0; j + VB <= bytes; j += VB) {
      __builtin_memcpy(&v, x + j, VB);
      __builtin_memcpy(y + j, &v, VB);
    }
    __builtin_memcpy(y + bytes - VB, &last, VB);
  } else {
#if defined(__AVX512F__)
    const __mmask64 live = ((__mmask64)1 << bytes) - 1;
    _mm512_mask_storeu_epi8(y, live, _mm512_maskz_loadu_epi8(live, x));
#else
    if (bytes >= 16)
      move_ends<16>(y, x, bytes);
    else if (bytes >= 8)
      move_ends<8>(y, x, bytes);
    else if (bytes >= 4)
      move_ends<4>(y, x, bytes);
    else if (bytes >= 2)
      move_ends<2>(y, x, bytes);
    else
      *y = *x;
#endif
  }
}

// An index of rows and what becomes of it: negative ones count from the end where lift is the number of rows.
struct RowIndex {
  const int64_t* p;
  int64_t stride;
  uint64_t size, lift;
  __attribute__((always_inline)) uint64_t operator[](int64_t i) const {
    const uint64_t raw = (uint64_t)p[i * stride];
    return raw + ((uint64_t)((int64_t)raw >> 63) & lift);
  }
};
// kPut: the other way, to the rows of a table.
template <int kVectors, bool kPut>
CCDL_SI int64_t move_rows_of(char* table, int64_t step, const RowIndex& at, char* y, int64_t y_step,
                             int64_t bytes, int64_t n, int64_t ahead) {
  constexpr int64_t kLines = 32;
  const int64_t asked = bytes < kLines * 64 ? bytes : kLines * 64;
  for (int64_t i = 0; i < n; ++i) {
    if (ahead && i + ahead < n) {
      const uintptr_t later = (uintptr_t)table + at[i + ahead] * (uint64_t)step;  // anywhere, if it is bad
      for (int64_t line = 0; line < asked; line += 64) __builtin_prefetch((const void*)(later + line));
      __builtin_prefetch((const void*)(later + asked - 1));
    }
    const uint64_t j = at[i];
    if (j >= at.size) return i;
    char *row = table + (int64_t)(j * (uint64_t)step), *other = y + i * y_step;
    move_row<kVectors>(kPut ? row : other, kPut ? other : row, bytes);
  }
  return -1;
}
template <bool kPut>
CCDL_SI int64_t move_rows(char* table, int64_t step, const RowIndex& at, char* y, int64_t y_step,
                          int64_t bytes, int64_t n, int64_t ahead) {
  switch (bytes) {
    case VB:
      return move_rows_of<1, kPut>(table, step, at, y, y_step, bytes, n, ahead);
    case 2 * VB:
      return move_rows_of<2, kPut>(table, step, at, y, y_step, bytes, n, ahead);
    case 4 * VB:
      return move_rows_of<4, kPut>(table, step, at, y, y_step, bytes, n, ahead);
    default:
      return move_rows_of<0, kPut>(table, step, at, y, y_step, bytes, n, ahead);
  }
}
int64_t get_rows(const void* table, int64_t step, const int64_t* index, int64_t index_stride, int64_t size,
                 bool wrap, void* y, int64_t y_step, int64_t bytes, int64_t n, int64_t ahead) {
  const RowIndex at = {index, index_stride, (uint64_t)size, wrap ? (uint64_t)size : 0};
  return move_rows<false>((char*)table, step, at, (char*)y, y_step, bytes, n, ahead);
}
int64_t put_rows(void* table, int64_t step, const int64_t* index, int64_t index_stride, int64_t size,
                 bool wrap, const void* x, int64_t x_step, int64_t bytes, int64_t n) {
  const RowIndex at = {index, index_stride, (uint64_t)size, wrap ? (uint64_t)size : 0};
  return move_rows<true>((char*)table, step, at, (char*)x, x_step, bytes, n, 0);
}

void join_rows(const void* const* from, const int64_t* bytes, int64_t n, void* to, int64_t begin,
               int64_t end) {
  char* y = (char*)to;
  for (int64_t r = begin; r < end; ++r)
    for (int64_t i = 0; i < n; ++i) {
      const char* x = (const char*)from[i] + r * bytes[i];
      if (bytes[i] == 4 * VB)
        move_row<4>(y, x, bytes[i]);
      else
        move_row<0>(y, x, bytes[i]);
      y += bytes[i];
    }
}

template <class T>
void add(T* __restrict y, const T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

CCDL_SI void stream(float* y, vf v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(y, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(y, (__m256)v);
#elif defined(__SSE2__)
  _mm_stream_ps(y, (__m128)v);
#else
  storeu(y, v);
#endif
}
CCDL_SI void stream(double* y, vd v) { stream((float*)y, (vf)v); }
CCDL_SI void stream(float16* y, vf v) { st(y, v); }
CCDL_SI void stream(bfloat16* y, vf v) { st(y, v); }

// Rows asked for ahead of use: about 4 KB of them.
constexpr int64_t rows_ahead(int64_t bytes) { return bytes <= 128 ? 16 : 8; }

// U vectors of columns, the last of them with `live` lanes where Tail.
template <class T, int U, bool Tail>
CCDL_SI void sum_columns(const T* x, int64_t stride, const int64_t* at, const typename Lanes<T>::S* w,
                         int64_t count, int64_t known, typename Lanes<T>::S divisor, T* y, int live,
                         bool streams) {
  using L = Lanes<T>;
  constexpr int64_t kAhead = rows_ahead(U * VB);
  typename L::V sum[U] = {};
  for (int64_t k = 0; k < count; ++k) {
    const T* row = x + at[k] * stride;
    if (k + kAhead < known) {
      const char* later = (const char*)(x + at[k + kAhead] * stride);
#pragma GCC unroll 8
      for (int line = 0; line < U * L::kN * (int)sizeof(T); line += 64) __builtin_prefetch(later + line);
    }
    typename L::V v[U];
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) v[u] = Tail ? ldn(row, live) : ld(row + u * L::kN);
    if (w) {
      const auto f = set1(w[k]);
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) sum[u] = fma(v[u], f, sum[u]);
    } else {
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) sum[u] += v[u];
    }
  }
  if (divisor != 1)
    for (int u = 0; u < U; ++u) sum[u] /= set1(divisor);
  if (Tail) {
    stn(y, sum[0], live);
  } else if (streams) {
    for (int u = 0; u < U; ++u) stream(y + u * L::kN, sum[u]);
  } else {
    for (int u = 0; u < U; ++u) st(y + u * L::kN, sum[u]);
  }
}

// bfloat16 in 2 U vectors of columns: the upper and the lower halves of words are the odd and the even ones,
// which come together again when they are stored.
template <int U>
CCDL_SI void sum_column_pairs(const bfloat16* x, int64_t stride, const int64_t* at, const float* w,
                              int64_t count, int64_t known, float divisor, bfloat16* y) {
  constexpr int64_t kAhead = rows_ahead(U * VB);
  vf even[U] = {}, odd[U] = {};
  for (int64_t k = 0; k < count; ++k) {
    const bfloat16* row = x + at[k] * stride;
    if (k + kAhead < known) {
      const char* later = (const char*)(x + at[k + kAhead] * stride);
#pragma GCC unroll 8
      for (int line = 0; line < U * VB; line += 64) __builtin_prefetch(later + line);
    }
    const vf f = set1(w ? w[k] : 1.0f);
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u) {
      vu v;
      __builtin_memcpy(&v, row + u * 2 * VL, VB);
      const vf low = (vf)(v << 16), high = (vf)(v & 0xffff0000u);
      even[u] = w ? fma(low, f, even[u]) : even[u] + low;
      odd[u] = w ? fma(high, f, odd[u]) : odd[u] + high;
    }
  }
  vi first, second;
  for (int i = 0; i < VL; ++i) {
    first[i] = i / 2 + i % 2 * VL;
    second[i] = first[i] + VL / 2;
  }
  for (int u = 0; u < U; ++u) {
    if (divisor != 1) even[u] /= set1(divisor), odd[u] /= set1(divisor);
    st(y + u * 2 * VL, __builtin_shuffle(even[u], odd[u], first));
    st(y + u * 2 * VL + VL, __builtin_shuffle(even[u], odd[u], second));
  }
}

template <class T>
void sum_rows(const void* from, int64_t stride, const int64_t* at, const void* scale, int64_t count,
              int64_t known, double divide, void* to, int64_t n, bool past_caches) {
  using S = typename Lanes<T>::S;
  constexpr int kN = Lanes<T>::kN, kU = 8;
  const T* x = (const T*)from;
  const S* w = (const S*)scale;
  T* y = (T*)to;
  const S divisor = (S)divide;
  const bool streams = past_caches && (uintptr_t)y % VB == 0;
  int64_t j = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if constexpr (__is_same(T, bfloat16)) {
    for (; j + 8 * kN <= n; j += 8 * kN)
      sum_column_pairs<4>(x + j, stride, at, w, count, known, divisor, y + j);
    if (j + 4 * kN <= n) {
      sum_column_pairs<2>(x + j, stride, at, w, count, known, divisor, y + j);
      j += 4 * kN;
    }
    for (; j + 2 * kN <= n; j += 2 * kN)
      sum_column_pairs<1>(x + j, stride, at, w, count, known, divisor, y + j);
  }
#endif
  for (; j + kU * kN <= n; j += kU * kN)
    sum_columns<T, kU, false>(x + j, stride, at, w, count, known, divisor, y + j, 0, streams);
  if (j + 4 * kN <= n) {
    sum_columns<T, 4, false>(x + j, stride, at, w, count, known, divisor, y + j, 0, streams);
    j += 4 * kN;
  }
  if (j + 2 * kN <= n) {
    sum_columns<T, 2, false>(x + j, stride, at, w, count, known, divisor, y + j, 0, streams);
    j += 2 * kN;
  }
  if (j + kN <= n) {
    sum_columns<T, 1, false>(x + j, stride, at, w, count, known, divisor, y + j, 0, streams);
    j += kN;
  }
  if (j < n) sum_columns<T, 1, true>(x + j, stride, at, w, count, known, divisor, y + j, (int)(n - j), false);
}

template <class T, int U, bool Tail>
CCDL_SI void max_columns(const T* x, int64_t stride, const int64_t* at, int64_t count, T* y, int64_t* row,
                         int live) {
  using L = Lanes<T>;
  using M = typename L::M;
  using I = decltype(L::kN * M{}[0]);  // int32_t or int64_t
  constexpr int kN = L::kN;
  typename L::V best[U] = {};
  M place[U] = {};
  for (int64_t k = 0; k < count; ++k) {
    const T* from = x + at[k] * stride;
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u) {
      const typename L::V v = Tail ? ldn(from, live) : ld(from + u * kN);
      if (k == 0) {
        best[u] = v;
      } else {
        const M better = (v > best[u]) | ((v != v) & (best[u] == best[u]));
        best[u] = select(better, v, best[u]);
        place[u] = better ? M{} + (I)k : place[u];
      }
    }
  }
  for (int u = 0; u < U; ++u) {
    if (Tail)
      stn(y, best[u], live);
    else
      st(y + u * kN, best[u]);
    if (row)
      for (int j = 0; j < (Tail ? live : kN); ++j) row[u * kN + j] = at[place[u][j]];
  }
}

template <class T>
void max_rows(const void* from, int64_t stride, const int64_t* at, int64_t count, void* to, int64_t* row,
              int64_t n) {
  constexpr int kN = Lanes<T>::kN, kU = 4;
  const T* x = (const T*)from;
  T* y = (T*)to;
  auto rest = [&](int64_t j) { return row ? row + j : nullptr; };
  int64_t j = 0;
  for (; j + kU * kN <= n; j += kU * kN)
    max_columns<T, kU, false>(x + j, stride, at, count, y + j, rest(j), 0);
  for (; j + kN <= n; j += kN) max_columns<T, 1, false>(x + j, stride, at, count, y + j, rest(j), 0);
  if (j < n) max_columns<T, 1, true>(x + j, stride, at, count, y + j, rest(j), (int)(n - j));
}

template <class T>
double dot_rows(const void* a, const void* b, int64_t n) {
  constexpr int kN = Lanes<T>::kN;
  const T *x = (const T*)a, *y = (const T*)b;
  typename Lanes<T>::V sum[4] = {};
  int64_t j = 0;
  for (; j + 4 * kN <= n; j += 4 * kN)
    for (int u = 0; u < 4; ++u) sum[u] = fma(ld(x + j + u * kN), ld(y + j + u * kN), sum[u]);
  for (; j + kN <= n; j += kN) sum[0] = fma(ld(x + j), ld(y + j), sum[0]);
  if (j < n) sum[1] = fma(ldn(x + j, (int)(n - j)), ldn(y + j, (int)(n - j)), sum[1]);
  return hsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

void clear(void* to, int64_t bytes) {
  char* p = (char*)to;
  int64_t head = (int64_t)(-(uintptr_t)p % VB);
  if (head > bytes) head = bytes;
  __builtin_memset(p, 0, (unsigned long)head);
  p += head;
  bytes -= head;
  for (; bytes >= 4 * VB; bytes -= 4 * VB, p += 4 * VB) {
    stream((float*)p, vf{});
    stream((float*)(p + VB), vf{});
    stream((float*)(p + 2 * VB), vf{});
    stream((float*)(p + 3 * VB), vf{});
  }
  __builtin_memset(p, 0, (unsigned long)bytes);
}

void finish_stores() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace

extern const IndexKernels index = {
    outside,
    {gather<uint8_t>, gather<uint16_t>, gather<uint32_t>, gather<uint64_t>},
    {gather_rows<uint8_t>, gather_rows<uint16_t>, gather_rows<uint32_t>, gather_rows<uint64_t>},
    get_rows,
    put_rows,
    join_rows,
    add<float>,
    add<double>,
    {sum_rows<float>, sum_rows<double>, sum_rows<float16>, sum_rows<bfloat16>},
    {max_rows<float>, max_rows<double>, max_rows<float16>, max_rows<bfloat16>},
    {dot_rows<float>, dot_rows<double>, dot_rows<float16>, dot_rows<bfloat16>},
    clear,
    finish_stores,
};

}  // namespace ccdl::cpu::CCDL_ISA
