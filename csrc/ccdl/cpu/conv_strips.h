// Convolution of planes on bordered copies of a few rows: products of weights and pixels read where they lie,
// without panels. For sums so short, or so few rows, that filling panels would cost a good part of the
// product.
#pragma once
#include <ccdl/cpu/conv_parts.h>

namespace ccdl::cpu {

// Planes only, and whether the product of m rows is better off without panels.
template <class T>
bool conv_fits_strips(const ConvGrid<T>& grid, int64_t m);

// dst[n, g, i, pixel] = sum over (channel, tap) of a[g, i, k] * source (+ bias, relu)
template <class T>
void conv_sweep_strips(const ConvGrid<T>& grid, int64_t m, const T* a, T* dst, const T* bias, bool relu);

// The input gradient of few channels: all phases of the stride from one copy of dy, joined row by row.
bool conv_fits_strip_phases(const View& dy, const View& w, const View& dx, const ConvGeometry& g);
template <class T>
void conv_backward_input_strips(const View& dy, const View& w, const View& dx, const ConvGeometry& g);

// The weight gradient of few channels, rows and columns of step 1, where rows do not fill vectors by
// themselves.
template <class T>
bool conv_fits_strip_weight(const ConvGrid<T>& grid, int64_t m);
template <class T>
void conv_backward_weight_strips(const ConvGrid<T>& grid, int64_t m, const T* dy, T* dw);

}  // namespace ccdl::cpu
