// Sweeps with channels innermost whose rows would be gathered in short runs, or feed few columns of a
// product, and groups of channels: rows are copied with their borders, pixels read where they lie in them.
#pragma once
#include <ccdl/cpu/conv_last_sweep.h>

namespace ccdl::cpu {

template <class T>
bool last_fits_rows(const LastSweep<T>& s);
// Sweeps of one source, groups, channels and columns: the phases of a stride, or one.
template <class T>
void last_sweep_rows(const std::vector<LastSweep<T>>& sweeps);

// The weight gradient of groups, as [group][m][tap][channel]: dst is the place of dy, whose pixels lie
// dst_stride[2] apart.
template <class T>
bool last_fits_products(const LastSweep<T>& s);
template <class T>
void last_products(const LastSweep<T>& s, const T* dy, T* dw);

// Groups of bfloat16 where the processor multiplies its pairs; s.bias is not read.
bool last_fits_rows_bf16(const LastSweep<bfloat16>& s);
void last_sweep_rows_bf16(const std::vector<LastSweep<bfloat16>>& sweeps, const float* bias);

}  // namespace ccdl::cpu
