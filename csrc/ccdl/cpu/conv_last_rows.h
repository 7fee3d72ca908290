// Sweeps with channels innermost whose rows would be gathered in short runs, or feed few columns of a
// product: rows are copied with their borders, pixels read where they lie in them.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

template <class T>
bool last_fits_rows(const LastSweep<T>& s);
template <class T>
void last_sweep_rows(const LastSweep<T>& s);

}  // namespace ccdl::cpu
