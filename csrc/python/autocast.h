// Mixed precision of calls that do not come through a row.
#pragma once
#include "signature.h"

#include <ccdl/ops/autocast.h>

namespace ccdl::python {

// The operands as the op `op` gets them under autocast; needs no GIL.
void autocast_operands(const char* op, ops::Operand* a, ops::Operand* b);

}  // namespace ccdl::python
