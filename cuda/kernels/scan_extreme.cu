// Running maximum and minimum with the index of the last occurrence, by the kernels of scan.cuh; the pair
// (value, index) meets in scan order. Bound: bytes of x, y and the int64 indices.
#include <ccdl/kernels/scan.h>

#include <type_traits>

#include <kernels/scan.cuh>

namespace ccdl::cu {
namespace {

// flip: the minimum, as the maximum of mirrored numbers (-v, or ~v for integers).
template <class T>
struct ExtremeScan {
  using C =
      std::conditional_t<sizeof(Compute<T>) == 4, double, Compute<T>>;  // whole words: no padding to move
  struct Acc {
    C value;
    int64_t index;
  };
  static constexpr bool kQuads = false;
  const T* x;
  T* y;
  int64_t* indices;
  bool flip;

  CCDL_DEVICE C mirror(C v) const {
    if constexpr (C(0.5) == C(0))
      return flip ? ~v : v;
    else
      return flip ? -v : v;
  }
  CCDL_DEVICE Acc empty() const { return {C(0), -1}; }
  CCDL_DEVICE Acc join(const Acc& a, const Acc& b) const {  // a later equal element, or NaN, takes over
    if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
    const bool nan_b = b.value != b.value;
    return (a.value != a.value ? nan_b : nan_b || b.value >= a.value) ? b : a;
  }
  CCDL_DEVICE Acc load(const ScanShape& s, const ScanLine& line, int64_t i) const {
    return {mirror(convert<C>(x[scan_offset(s, line, 0, i)])), i};
  }
  CCDL_DEVICE void store(const ScanShape& s, const ScanLine& line, int64_t i, const Acc& v) const {
    y[scan_offset(s, line, 1, i)] = convert<T>(mirror(v.value));
    indices[scan_offset(s, line, 2, i)] = v.index;
  }
};

}  // namespace

void scan_extreme(bool largest, const View& x, const View& y, const View& indices, int dim) {
  const auto with = [&](auto tag) {
    using T = decltype(tag);
    run_scan({&x, &y, &indices, &x}, dim, false,
             ExtremeScan<T>{x.ptr<const T>(), y.ptr<T>(), indices.ptr<int64_t>(), !largest});
  };
  is_floating(x.dtype) ? by_float(x.dtype, with) : by_integer(x.dtype, with);
}

}  // namespace ccdl::cu
