// What tests ask the emulator beyond faults: which kernel ran, and how it used memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ccdl::emu {

// Name of the kernel that ran last, as its launch spelled it.
const char* last_kernel();

// Requests of a kernel at one place and how many passes over the banks of shared memory, or sectors of global
// memory, the worst of them took (environment: CCDL_EMULATOR_LINT=1 prints those above the least when the
// process ends, CCDL_EMULATOR_LINT=all prints all). set_lint starts anew.
struct LintEntry {
  std::string kernel, where;  // where: with inlined functions, innermost first
  bool shared = false, writes = false;
  int bytes = 0;             // per lane
  uint64_t requests = 0;     // of a warp
  int worst = 0, least = 0;  // passes or sectors of the worst request, and of an ideal one
  double mean = 0;
};
void set_lint(bool on);
std::vector<LintEntry> lint_entries();

}  // namespace ccdl::emu
