// One planted fault: a launcher that runs a kernel broken or repaired, and what the report must say about it.
#pragma once
#include <cuda_runtime.h>

#include <vector>

struct FaultCase {
  const char* name;   // of the kernel, and of the marker "// fault: <name>" in the line that the report names
  const char* kinds;  // the fault kinds that count as found, separated by spaces
  int of_eight;       // found under this many of the seeds 0 to 7, at least
  bool global_races;  // needs race mode for global memory
  bool (*run)(bool repaired);  // false: results are wrong; launches are waited for by the caller
  const char* marker_file;     // where the marker stands
};
bool rnn_ring_is_exact();
const std::vector<FaultCase>& memory_cases();
const std::vector<FaultCase>& sync_cases();
const std::vector<FaultCase>& stream_cases();
const std::vector<FaultCase>& hopper_cases();
