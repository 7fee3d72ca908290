// A matrix product as the CPU drivers see it, and the one way its blocks are shared out.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/core/parallel.h>

#include <algorithm>

namespace ccdl::cpu {

constexpr int64_t kChunkWork = int64_t{1} << 20;  // multiply-adds worth a chunk of their own

template <class T>
struct Problem {
  int64_t batch, m, n, k;
  const T* a;
  int64_t a_batch, a_row, a_k;
  const T* b;
  int64_t b_batch, b_k, b_column;
  T* c;
  int64_t c_batch, c_row;
  double alpha, beta;
  const T* bias;
  int64_t bias_row, bias_column;
  bool relu;
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Runs fn(batch, i0, rows, j0, columns) over all blocks; tiny blocks of many batches share a chunk.
template <class F>
void for_blocks(int64_t batch, int64_t m, int64_t mb, int64_t n, int64_t nb, int64_t k, const F& fn) {
  const int64_t mt = ceil_div(m, mb), nt = ceil_div(n, nb);
  const double work = static_cast<double>(mb) * static_cast<double>(nb) * static_cast<double>(k);
  const int64_t grain = work >= kChunkWork ? 1 : static_cast<int64_t>(kChunkWork / std::max(work, 1024.0));
  parallel_for(batch * mt * nt, grain, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t i = c / nt % mt * mb, j = c % nt * nb;
      fn(c / (mt * nt), i, std::min(mb, m - i), j, std::min(nb, n - j));
    }
  });
}

// Half-precision products with up to four rows or columns on one side; false where it is another one.
template <class H>
bool multiply_half_few(const Problem<H>& p);
// Products of bfloat16 matrices in bfloat16 instructions; false where the processor has none.
bool multiply_bf16(const Problem<bfloat16>& p);

}  // namespace ccdl::cpu
