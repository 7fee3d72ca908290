// 3x3 filters with a dilation, and filters of several depths, by minimal filtering (conv_winograd.h). The
// positions congruent modulo the dilation are images of their own; the slices that the depths of a filter
// read are channels beside each other. float32, one group, stride 1.
#pragma once
#include <ccdl/kernels/conv.h>

namespace ccdl::cpu {

// Whether all passes of such a convolution (or its weight gradient) take fewer products than the direct sum
// and than regions (conv_last_regions.h); a rule of shapes alone.
bool conv_fits_slices(const View& x, const View& w, const View& y, const ConvGeometry& g,
                      bool weight = false);
// False: some result is not finite and must be computed directly, as in conv_winograd.h.
bool conv_slices_forward(const View& x, const View& w, const float* bias, const View& y,
                         const ConvGeometry& g, bool relu);
bool conv_slices_backward_input(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
bool conv_slices_backward_weight(const View& x, const View& dy, const View& dw, const ConvGeometry& g);

}  // namespace ccdl::cpu
