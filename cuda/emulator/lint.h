// Bank conflicts of shared memory and sectors of global memory, per kernel and place, on demand: the n-th
// time that the lanes of a warp run an instruction between two collectives counts as one request. Lanes that
// take different ways through a loop make it look worse than it is.
#pragma once
#include <emulator/machine.h>
#include <emulator/race.h>

namespace ccdl::emu {

extern bool lint_on;  // CCDL_EMULATOR_LINT=1, or set_lint
void lint_access(const void* p, size_t bytes, bool writes, const void* pc);
void lint_block_ends();

}  // namespace ccdl::emu
