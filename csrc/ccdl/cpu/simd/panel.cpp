// Short rows into panels and back, for items of 1, 2, 4 and 8 bytes.
#include <ccdl/cpu/simd/panel.h>
#include <ccdl/cpu/simd/panel_moves.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
void from_rows(const void* x, int64_t rows, int64_t rs, int64_t n, void* out, int64_t width) {
  panel_from_rows(static_cast<const T*>(x), rows, rs, n, static_cast<T*>(out), width);
}
template <class T>
void to_rows(const void* in, int64_t width, int64_t rows, int64_t n, void* y, int64_t rs) {
  panel_to_rows(static_cast<const T*>(in), width, rows, n, static_cast<T*>(y), rs);
}

}  // namespace

const PanelKernels panel = {
    {from_rows<uint8_t>, from_rows<uint16_t>, from_rows<uint32_t>, from_rows<uint64_t>},
    {to_rows<uint8_t>, to_rows<uint16_t>, to_rows<uint32_t>, to_rows<uint64_t>},
};

}  // namespace ccdl::cpu::CCDL_ISA
