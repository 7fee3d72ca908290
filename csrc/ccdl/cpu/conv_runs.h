// Convolution of planes on copies with channels innermost, where what the taps of a row read is one run of
// elements: products of dy, or of the weights, and such runs, read where they lie, without panels.
#pragma once
#include <ccdl/cpu/conv_parts.h>

namespace ccdl::cpu {

// Whether the runs fill vectors well; a rule of shapes alone.
template <class T>
bool conv_fits_runs(const ConvGrid<T>& grid, int64_t m);

// False: a sum is not finite, and zeros between the rows may have met what its tap does not read.
template <class T>
bool conv_backward_weight_runs(const ConvGrid<T>& grid, int64_t m, const T* dy, T* dw);

// dst[n, g, i, pixel] = sum over (channel, tap) of a[g, i, k] * source (+ bias, relu): few output channels,
// which fill vectors, times pixels.
template <class T>
bool conv_fits_run_sweep(const ConvGrid<T>& grid, int64_t m);
template <class T>
void conv_sweep_runs(const ConvGrid<T>& grid, int64_t m, const T* a, T* dst, const T* bias, bool relu);

// The same of lines, few output channels and long filters.
template <class T>
bool conv_fits_run_lines(const ConvGrid<T>& grid, int64_t m);
template <class T>
void conv_sweep_run_lines(const ConvGrid<T>& grid, int64_t m, const T* a, T* dst, const T* bias, bool relu);

}  // namespace ccdl::cpu
