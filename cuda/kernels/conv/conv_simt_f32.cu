// Exact fp32 convolution: 128x64 tiles of C, 64x64 where C is small, and narrow ones for few channels.
#include <kernels/conv/conv_simt.cuh>

namespace ccdl::cu {
namespace {

using Pixels = SimtConfig<float, 128, 64, 8, 32, 32>;    // pixels by channels
using Channels = SimtConfig<float, 64, 128, 8, 32, 64>;  // channels by pixels
using Small = SimtConfig<float, 64, 64, 8, 32, 32>;
using FewRows = SimtConfig<float, 16, 256, 8, 16, 64>;     // at most 16 channels by pixels
using FewColumns = SimtConfig<float, 128, 32, 8, 32, 32>;  // pixels by at most 32 channels
using FewWeights = SimtConfig<float, 16, 128, 8, 16, 32>;

constexpr int64_t kFill = 396;  // blocks worth having: three per multiprocessor of a large device

}  // namespace

void conv_sweep_simt(const ConvSweep<float, float>& p) {
  const bool large = sweep_pixels(p) / 128 * ceil_div(p.columns, 64) * p.groups * p.splits >= kFill;
  if (p.channels_fast) {
    if (p.columns <= 32) return launch_sweep<FewColumns, true>(p);
    return large ? launch_sweep<Pixels, true>(p) : launch_sweep<Small, true>(p);
  }
  if (p.columns <= 16) return launch_sweep<FewRows, false>(p);
  return large ? launch_sweep<Channels, false>(p) : launch_sweep<Small, false>(p);
}

void conv_weight_simt(const ConvWeight<float, float>& p) {
  const int columns = p.channels * p.dim[0].taps * p.dim[1].taps * p.dim[2].taps;
  const bool large = p.rows > 64 && columns > 32;
  if (p.channels_fast) {
    if (p.rows <= 16) return launch_weight<FewWeights, true>(p);
    return large ? launch_weight<Pixels, true>(p) : launch_weight<Small, true>(p);
  }
  if (p.rows <= 16) return launch_weight<FewWeights, false>(p);
  return large ? launch_weight<Pixels, false>(p) : launch_weight<Small, false>(p);
}

}  // namespace ccdl::cu
