// Products of bfloat16 matrices where the processor multiplies bfloat16 pairs. Chunks of rows and columns
// follow from the shape; a chunk packs B's columns as pairs per K block, sums in float and rounds once.
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/gemm_problem.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/gemm_bf16.h>

namespace ccdl::cpu {
namespace {

using P = Problem<bfloat16>;

constexpr int64_t kPanelBytes = 480 << 10;  // packed B of a chunk, half of a 1 MB second-level cache
constexpr int64_t kStrip = 64;              // rows whose float sums are kept and rounded together

// C rows [i0, i0 + rows) x columns [j0, j0 + columns) = post(acc), converted row by row. row: 2 columns.
void round_rows(const P& p, const GemmBf16Kernels& kernels, const float* acc, int64_t batch, int64_t i0,
                int64_t rows, int64_t j0, int64_t columns, float* row) {
  const auto& gemm = simd_gemm();
  float* before = row + columns;
  if (p.beta == 0 && p.alpha == 1 && p.bias != nullptr && p.bias_row == 0 && p.bias_column == 1) {
    gemm.to_float[1](p.bias + j0, row, columns);
    for (int64_t i = 0; i < rows; ++i)
      kernels.add_bias(acc + i * columns, row, p.relu, p.c + batch * p.c_batch + (i0 + i) * p.c_row + j0,
                       columns);
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    bfloat16* c = p.c + batch * p.c_batch + (i0 + i) * p.c_row + j0;
    const float* a = acc + i * columns;
    if (p.beta == 0 && p.alpha == 1 && p.bias == nullptr && !p.relu) {
      gemm.from_float[1](a, c, columns);
      continue;
    }
    if (p.beta != 0) gemm.to_float[1](c, before, columns);
    const float alpha = static_cast<float>(p.alpha), beta = static_cast<float>(p.beta);
    for (int64_t j = 0; j < columns; ++j) row[j] = alpha * a[j];
    if (p.beta != 0)
      for (int64_t j = 0; j < columns; ++j) row[j] += beta * before[j];
    if (p.bias != nullptr)
      for (int64_t j = 0; j < columns; ++j)
        row[j] += static_cast<float>(p.bias[(i0 + i) * p.bias_row + (j0 + j) * p.bias_column]);
    if (p.relu)
      for (int64_t j = 0; j < columns; ++j) row[j] = row[j] < 0 ? 0.0f : row[j];
    gemm.from_float[1](row, c, columns);
  }
}

struct Blocking {
  int64_t mb, nb, kc;
};

Blocking choose(const P& p, int64_t nr, int64_t mr) {
  Blocking s;
  s.kc = p.k <= 4096 ? p.k : round_up(ceil_div(p.k, ceil_div(p.k, 2048)), 2);
  const int64_t columns = kPanelBytes / 2 / std::max<int64_t>(s.kc, 2) / nr * nr;
  s.nb = std::min(std::max(columns, nr), round_up(p.n, nr));
  if (p.n > s.nb) s.nb = round_up(ceil_div(p.n, ceil_div(p.n, s.nb)), nr);
  s.mb = std::min<int64_t>(p.m, 512);
  // Halve blocks until there are enough chunks, columns first: packing is repeated for every row block.
  const auto chunks = [&] { return p.batch * ceil_div(p.m, s.mb) * ceil_div(p.n, s.nb); };
  while (chunks() < 16 && s.mb * s.nb * p.k > 8 * kChunkWork) {
    if (s.nb >= 4 * nr && s.nb * 4 > s.mb)
      s.nb = round_up(s.nb / 2, nr);
    else if (s.mb >= 8 * mr)
      s.mb = round_up(s.mb / 2, mr);
    else if (s.nb >= 2 * nr)
      s.nb = round_up(s.nb / 2, nr);
    else
      break;
  }
  return s;
}

void multiply_panels(const P& p, const GemmBf16Kernels& kernels) {
  const int64_t nr = kernels.nr;
  const Blocking s = choose(p, nr, kernels.mr);
  const bool pack_a = p.a_k != 1;
  const bool whole = s.kc >= p.k;  // a strip of sums is finished at once; else those of all rows are kept
  for_blocks(p.batch, p.m, s.mb, p.n, s.nb, p.k,
             [&](int64_t batch, int64_t i0, int64_t rows, int64_t j0, int64_t columns) {
               const int64_t pairs = ceil_div(s.kc, 2);
               Buffer<uint32_t> panels(pairs * round_up(columns, nr)), tiles(pack_a ? kStrip * pairs : 0);
               Buffer<float> acc((whole ? kStrip : rows) * columns), row(2 * columns);
               for (int64_t k0 = 0; k0 < p.k; k0 += s.kc) {
                 const int64_t depth = std::min(s.kc, p.k - k0);
                 kernels.pack_b(panels, p.b + batch * p.b_batch + k0 * p.b_k + j0 * p.b_column, p.b_k,
                                p.b_column, depth, columns);
                 for (int64_t i = 0; i < rows; i += kStrip) {
                   GemmBf16Block g;
                   g.m = std::min(kStrip, rows - i);
                   g.a = p.a + batch * p.a_batch + (i0 + i) * p.a_row + k0 * p.a_k;
                   g.a_row = p.a_row;
                   g.a_packed = pack_a;
                   if (pack_a) {
                     kernels.pack_a(tiles, g.a, p.a_row, p.a_k, g.m, depth);
                     g.a = reinterpret_cast<const bfloat16*>(tiles.get());
                   }
                   g.b = panels;
                   g.c = acc + (whole ? 0 : i * columns);
                   g.c_row = columns;
                   g.n = columns;
                   g.k = depth;
                   g.accumulate = k0 > 0;
                   kernels.block(g);
                   if (whole) round_rows(p, kernels, acc, batch, i0 + i, g.m, j0, columns, row);
                 }
               }
               if (!whole) round_rows(p, kernels, acc, batch, i0, rows, j0, columns, row);
             });
}

// Few rows of A against columns of B that run along k: dot products, B is read once.
void multiply_dots(const P& p, const GemmBf16Kernels& kernels) {
  const int64_t nb = std::min(p.n, round_up(std::max<int64_t>(1, (int64_t{1} << 18) / p.k), 4));
  for_blocks(p.batch, p.m, p.m, p.n, nb, p.k,
             [&](int64_t batch, int64_t, int64_t, int64_t j0, int64_t columns) {
               Buffer<float> acc(p.m * columns), row(2 * columns);
               kernels.dots(p.a + batch * p.a_batch, p.a_row, p.b + batch * p.b_batch + j0 * p.b_column,
                            p.b_column, acc, columns, p.m, columns, p.k);
               round_rows(p, kernels, acc, batch, 0, p.m, j0, columns, row);
             });
}

}  // namespace

bool multiply_bf16(const P& p) {
  const GemmBf16Kernels* kernels = simd_gemm_bf16();
  if (kernels == nullptr || p.k == 0) return false;
  if (p.m <= 4 && p.a_k == 1 && p.b_k == 1 && p.k >= 32)
    multiply_dots(p, *kernels);
  else
    multiply_panels(p, *kernels);
  return true;
}

}  // namespace ccdl::cpu
