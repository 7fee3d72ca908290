// Convolutions whose taps often lie outside the image (a dilation of many pixels, images of few): pixels that
// read through the same taps form regions, and only those taps are multiplied.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

// Share of the pairs of a pixel and a tap that read inside the image, seen forward.
double conv_inside_share(const View& x, const View& w, const View& y, const ConvGeometry& g);
// Whether leaving the others out saves enough to gather each tap's pixels: a rule of shapes alone.
bool conv_prefers_regions(const View& x, const View& w, const View& y, const ConvGeometry& g);

// One group, taps in any number of regions.
template <class T>
bool last_fits_regions(const LastSweep<T>& s);
template <class T>
void last_sweep_regions(const LastSweep<T>& s);
// The weight gradient as [m][tap][channel]: dst is the place of dy.
template <class T>
void last_regions_weight(const LastSweep<T>& s, const T* dy, T* dw);

}  // namespace ccdl::cpu
