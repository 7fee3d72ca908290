// Exact fp64 convolution: 64x64 tiles of C.
#include <kernels/conv/conv_simt.cuh>

namespace ccdl::cu {
namespace {

using Tile = SimtConfig<double, 64, 64, 8, 32, 32>;

}  // namespace

void conv_sweep_simt(const ConvSweep<double, double>& p) {
  p.channels_fast ? launch_sweep<Tile, true>(p) : launch_sweep<Tile, false>(p);
}
void conv_weight_simt(const ConvWeight<double, double>& p) {
  p.channels_fast ? launch_weight<Tile, true>(p) : launch_weight<Tile, false>(p);
}

}  // namespace ccdl::cu
