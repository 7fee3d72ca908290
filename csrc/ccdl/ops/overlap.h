// Whether a tensor written by index shares memory with what is read meanwhile.
#pragma once
#include <initializer_list>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Raises when the memory of `written` and of one of `read` (undefined ones are skipped) meets. Only dense
// tensors are compared: between strided ones the question has no cheap answer.
void check_no_overlap(const char* op, const Tensor& written, std::initializer_list<const Tensor*> read);

}  // namespace ccdl::ops
