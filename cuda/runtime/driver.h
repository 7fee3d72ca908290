// Driver functions, fetched at run time: nothing of ours links against the driver.
#pragma once

namespace ccdl::cu {

// The function of that name ("cuTensorMapEncodeTiled") as of CUDA 12.0, or null where the driver has none.
void* driver_entry_point(const char* name);

}  // namespace ccdl::cu
