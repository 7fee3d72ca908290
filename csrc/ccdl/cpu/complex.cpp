#include <ccdl/cpu/simd/complex.h>
#include <ccdl/cpu/walk.h>
#include <ccdl/kernels/complex.h>

namespace ccdl::cpu {

void complex_multiply(const View& a, const View& b, const View& y, bool conjugate) {
  View x = a, w = b, out = y;  // without the dimension of the parts
  x.ndim = w.ndim = out.ndim = y.ndim - 1;
  const View* views[] = {&x, &w, &out};
  const Walk walk = make_walk(views, 3);
  const int type = y.dtype == DType::Float64 ? 1 : 0;
  const int64_t item = item_size(y.dtype), step_a = walk.inner()[0], step_b = walk.inner()[1];
  parallel_for(walk.numel, kWalkGrain / 2, [&](int64_t begin, int64_t end) {
    walk_range(walk, begin, end, [&](const int64_t* off, int64_t n, int64_t) {
      simd_complex().multiply[type](static_cast<const char*>(a.data) + off[0] * item, step_a,
                                    static_cast<const char*>(b.data) + off[1] * item, step_b,
                                    static_cast<char*>(y.data) + off[2] * item, n, conjugate);
    });
  });
}

}  // namespace ccdl::cpu
