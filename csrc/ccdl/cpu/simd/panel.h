// Short rows side by side: element i of row r goes to i * width + r of a panel and back, by log2 of the
// item's bytes. rs: items from one row to the next; a row has n of them; width is at least `rows`.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int64_t kPanelRows = 64;   // rows that go together
constexpr int64_t kPanelWidth = 32;  // the longest row that is worth it

struct PanelKernels {
  void (*from_rows[4])(const void* x, int64_t rows, int64_t rs, int64_t n, void* panel, int64_t width);
  void (*to_rows[4])(const void* panel, int64_t width, int64_t rows, int64_t n, void* y, int64_t rs);
};
CCDL_SIMD_FAMILY(PanelKernels, panel)

constexpr int panel_item(int64_t bytes) { return bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0; }

}  // namespace ccdl::cpu
