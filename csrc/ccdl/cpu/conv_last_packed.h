// Small groups with channels innermost, several to a vector: bordered copies of a vector's channels, in which
// every lane finds what its own group reads within its vector.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

template <class T>
bool last_fits_packed(const LastSweep<T>& s);
template <class T>
void last_sweep_packed(const LastSweep<T>& s);
// The weight gradient as [group][m][tap][channel]: dst is the place of dy.
template <class T>
void last_packed_weight(const LastSweep<T>& s, const T* dy, T* dw);

}  // namespace ccdl::cpu
