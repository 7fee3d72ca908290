// Sweeps with channels innermost whose rows would be gathered in short runs, or feed few columns of a
// product, and groups of channels: rows are copied with their borders, pixels read where they lie in them.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

template <class T>
bool last_fits_rows(const LastSweep<T>& s);
template <class T>
void last_sweep_rows(const LastSweep<T>& s);

// The weight gradient of groups, as [group][m][tap][channel]: dst is the place of dy, whose pixels lie
// dst_stride[2] apart.
template <class T>
bool last_fits_products(const LastSweep<T>& s);
template <class T>
void last_products(const LastSweep<T>& s, const T* dy, T* dw);

}  // namespace ccdl::cpu
