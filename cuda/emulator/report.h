// Faults: the one record of what went wrong, and how a report is put together.
#pragma once
#include <cuda_runtime.h>

#include <string>
#include <vector>

namespace ccdl::emu {

// A place in the sources: known file and line, or a code address that is looked up when a report is written.
struct Place {
  const char* file = nullptr;
  int line = 0;
  const void* pc = nullptr;
};

// Ends the running launch with a report; never returns to the fiber. Safe to call outside of kernels too,
// where it only records.
void fault(const char* kind, const std::string& message, const Place& place, const std::string& other = "");
[[noreturn]] void kernel_fault(const char* kind, const std::string& message, const Place& place,
                               const std::string& other = "");

// "file.cu:12 (function), inlined at other.cu:40"
std::string describe(const Place& place);
// Of many code addresses at once.
std::vector<std::string> describe_all(const std::vector<const void*>& pcs);

// The error of a fault nobody has seen yet; cudaSuccess when there is none.
cudaError_t pending_fault();
cudaError_t take_fault();

// Reports host dereferences of device memory and wild pointers in kernels; once per process.
void install_signal_handlers();
// The handler needs a stack of its own in the thread that runs kernels.
void prepare_signal_stack();

}  // namespace ccdl::emu
