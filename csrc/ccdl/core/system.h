// What the machine and its control groups grant this process.
#pragma once
#include <cstdint>

namespace ccdl {

int usable_cpus();                // affinity mask and cgroup quota, at least 1
int64_t physical_memory_limit();  // bytes: physical memory or a lower cgroup limit

}  // namespace ccdl
