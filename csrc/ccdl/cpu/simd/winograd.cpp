// The transforms of F(2x2, 3x3) over channel vectors, and the transposition between planes and pixels. Every
// transform is a few additions per vector; the products between them are gemm.h's.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/transpose.h>
#include <ccdl/cpu/simd/winograd.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int kPoints = kWinogradPoints;

CCDL_SI void transpose(vf* r) { transpose_block<vf, vi, VL>(r); }

// VL channels x n pixels; `channels` and n are constants where the block is full.
CCDL_SI void gather_block(const WinogradPlanes& g, int64_t c, int64_t q, int channels, int n) {
  vf r[VL];
  const float* src = g.planes + c * g.channel + q;
  CCDL_UNROLL for (int j = 0; j < VL; ++j) r[j] = j < channels ? at(src + j * g.channel, n) : vf{};
  transpose(r);
  CCDL_UNROLL for (int j = 0; j < VL; ++j) if (j < n) st(g.pixels + g.place[q + j] + c, r[j]);
}

void gather(const WinogradPlanes& g) {
  for (int64_t c = 0; c < g.channels; c += VL) {
    const int channels = g.channels - c < VL ? (int)(g.channels - c) : VL;
    int64_t q = 0;
    if (channels == VL)
      for (; q + VL <= g.count; q += VL) gather_block(g, c, q, VL, VL);
    for (; q < g.count; q += VL) gather_block(g, c, q, channels, g.count - q < VL ? (int)(g.count - q) : VL);
  }
}

CCDL_SI void scatter_block(const WinogradPlanes& g, int64_t c, int64_t q, int channels, int n) {
  vf r[VL];
  CCDL_UNROLL for (int j = 0; j < VL; ++j) r[j] = j < n ? ld(g.pixels + g.place[q + j] + c) : vf{};
  transpose(r);
  float* dst = g.planes + c * g.channel + q;
  CCDL_UNROLL for (int j = 0; j < VL; ++j) if (j < channels) to(dst + j * g.channel, r[j], n);
}

void scatter(const WinogradPlanes& g) {
  for (int64_t c = 0; c < g.channels; c += VL) {
    const int channels = g.channels - c < VL ? (int)(g.channels - c) : VL;
    int64_t q = 0;
    if (channels == VL)
      for (; q + VL <= g.count; q += VL) scatter_block(g, c, q, VL, VL);
    for (; q < g.count; q += VL) scatter_block(g, c, q, channels, g.count - q < VL ? (int)(g.count - q) : VL);
  }
}

// G w G' as a sum over taps: column t holds the 16 points' coefficients of tap t, powers of two and so exact.
struct Coefficients {
  float tap[9][kPoints];
};
constexpr Coefficients coefficients() {
  constexpr float g[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
  Coefficients c{};
  for (int t = 0; t < 9; ++t)
    for (int f = 0; f < kPoints; ++f) c.tap[t][f] = g[f / 4][t / 3] * g[f % 4][t % 3];
  return c;
}
constexpr Coefficients kCoefficients = coefficients();

void filter(const WinogradFilters& g) {
  constexpr int kParts = kPoints / VL;  // vectors of points
  const int64_t live = g.rows - g.row < VL ? g.rows - g.row : VL;
  const float* w = g.w + g.row * g.w_row;
  vf tap[9][kParts];
  CCDL_UNROLL for (int t = 0; t < 9; ++t) CCDL_UNROLL for (int p = 0; p < kParts; ++p) tap[t][p] =
      ld(kCoefficients.tap[g.turned ? 8 - t : t] + p * VL);
  for (int64_t k = 0; k < g.depth; ++k, w += g.w_depth) {
    vf r[kParts][VL];
    for (int j = 0; j < VL; ++j) {
      const float* x = w + j * g.w_row;
      CCDL_UNROLL for (int p = 0; p < kParts; ++p) {
        vf v = {};
        if (j < live) CCDL_UNROLL for (int t = 0; t < 9; ++t) v = fma(set1(x[t * g.w_tap]), tap[t][p], v);
        r[p][j] = v;
      }
    }
    CCDL_UNROLL for (int p = 0; p < kParts; ++p) {
      transpose(r[p]);
      CCDL_UNROLL for (int f = 0; f < VL; ++f) st(g.dst + (p * VL + f) * g.point + k * g.dst_depth, r[p][f]);
    }
  }
}

void input(const WinogradTiles& g) {
  for (int64_t t = 0; t < g.tiles; ++t)
    for (int64_t c = 0; c < g.width; c += VL) {
      const float* d = g.pixels + g.place[t] + c;
      float* out = g.points + t * g.width + c;
      vf e[4][4];
      CCDL_UNROLL for (int j = 0; j < 4; ++j) {
        const vf d0 = ld(d + j * g.width), d1 = ld(d + g.row + j * g.width),
                 d2 = ld(d + 2 * g.row + j * g.width), d3 = ld(d + 3 * g.row + j * g.width);
        e[0][j] = d0 - d2;
        e[1][j] = d1 + d2;
        e[2][j] = d2 - d1;
        e[3][j] = d1 - d3;
      }
      CCDL_UNROLL for (int i = 0; i < 4; ++i) {
        st(out + (4 * i) * g.point, e[i][0] - e[i][2]);
        st(out + (4 * i + 1) * g.point, e[i][1] + e[i][2]);
        st(out + (4 * i + 2) * g.point, e[i][2] - e[i][1]);
        st(out + (4 * i + 3) * g.point, e[i][1] - e[i][3]);
      }
    }
}

void gradient(const WinogradTiles& g) {
  for (int64_t t = 0; t < g.tiles; ++t)
    for (int64_t c = 0; c < g.width; c += VL) {
      const float* d = g.pixels + g.place[t] + c;
      float* out = g.points + t * g.width + c;
      const vf a = ld(d), b = ld(d + g.width), p = ld(d + g.row), q = ld(d + g.row + g.width);
      const vf left[4] = {a, a + p, a - p, -p}, right[4] = {b, b + q, b - q, -q};
      CCDL_UNROLL for (int i = 0; i < 4; ++i) {
        st(out + (4 * i) * g.point, left[i]);
        st(out + (4 * i + 1) * g.point, left[i] + right[i]);
        st(out + (4 * i + 2) * g.point, left[i] - right[i]);
        st(out + (4 * i + 3) * g.point, -right[i]);
      }
    }
}

// 0 for finite v, NaN otherwise; sums of these stay 0 or NaN.
CCDL_SI vf trace(vf v, vf sum) { return fma(v, vf{}, sum); }
CCDL_SI bool is_zero(vf v) {
  const float s = lane_sum(v);
  return s == 0.0f;
}

bool output(const WinogradTiles& g) {
  vf checked = {};
  for (int64_t t = 0; t < g.tiles; ++t)
    for (int64_t c = 0; c < g.width; c += VL) {
      const float* m = g.points + t * g.width + c;
      float* out = g.pixels + g.place[t] + c;
      vf s[2][4];
      CCDL_UNROLL for (int j = 0; j < 4; ++j) {
        const vf m0 = ld(m + j * g.point), m1 = ld(m + (4 + j) * g.point), m2 = ld(m + (8 + j) * g.point),
                 m3 = ld(m + (12 + j) * g.point);
        s[0][j] = m0 + m1 + m2;
        s[1][j] = m1 - m2 - m3;
      }
      const vf bias = g.bias != nullptr ? ld(g.bias + c) : vf{};
      CCDL_UNROLL for (int i = 0; i < 2; ++i) {
        vf y0 = s[i][0] + s[i][1] + s[i][2] + bias, y1 = s[i][1] - s[i][2] - s[i][3] + bias;
        checked = trace(y1, trace(y0, checked));
        if (g.relu) {
          y0 = y0 < vf{} ? vf{} : y0;
          y1 = y1 < vf{} ? vf{} : y1;
        }
        st(out + i * g.row, y0);
        st(out + i * g.row + g.width, y1);
      }
    }
  return is_zero(checked);
}

bool filter_gradient(const WinogradFilterGradient& g) {
  vf checked = {};
  for (int64_t k = 0; k < g.depth; k += VL) {
    const int n = g.depth - k < VL ? (int)(g.depth - k) : VL;
    vf e[3][4];  // G' s
    CCDL_UNROLL for (int j = 0; j < 4; ++j) {
      vf s[4];
      CCDL_UNROLL for (int i = 0; i < 4; ++i) {
        const float* at = g.sums + (4 * i + j) * g.point + k;  // padded to whole vectors
        s[i] = ld(at);
        for (int64_t p = 1; p < g.parts; ++p) s[i] += ld(at + p * g.part);
      }
      const vf sum = 0.5f * (s[1] + s[2]);
      e[0][j] = s[0] + sum;
      e[1][j] = 0.5f * (s[1] - s[2]);
      e[2][j] = s[3] + sum;
    }
    vf w[9];
    CCDL_UNROLL for (int i = 0; i < 3; ++i) {
      const vf sum = 0.5f * (e[i][1] + e[i][2]);
      w[3 * i] = e[i][0] + sum;
      w[3 * i + 1] = 0.5f * (e[i][1] - e[i][2]);
      w[3 * i + 2] = e[i][3] + sum;
    }
    float taps[9][VL];
    CCDL_UNROLL for (int t = 0; t < 9; ++t) {
      checked = trace(w[t], checked);
      st(taps[t], w[t]);
    }
    if (g.dw_depth == 1) {
      for (int t = 0; t < 9; ++t)
        for (int l = 0; l < n; ++l) g.dw[k + l + t * g.dw_tap] = taps[t][l];
      continue;
    }
    for (int l = 0; l < n; ++l)
      for (int t = 0; t < 9; ++t) g.dw[(k + l) * g.dw_depth + t] = taps[t][l];
  }
  return is_zero(checked);
}

}  // namespace

extern const WinogradKernels winograd;
const WinogradKernels winograd = {VL, gather, scatter, filter, input, gradient, output, filter_gradient};

}  // namespace ccdl::cpu::CCDL_ISA
