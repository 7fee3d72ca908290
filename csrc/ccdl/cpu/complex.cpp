#include <ccdl/cpu/simd/complex.h>
#include <ccdl/cpu/walk.h>
#include <ccdl/kernels/complex.h>

namespace ccdl::cpu {

namespace {

// fn(a, step of a, b, step of b, y, count) over rows of views of one shape, steps in elements.
template <class F>
void over_rows(const View& a, const View& b, const View& y, const F& fn) {
  const View* views[] = {&a, &b, &y};
  const Walk walk = make_walk(views, 3);
  const int64_t item = item_size(y.dtype), step_a = walk.inner()[0], step_b = walk.inner()[1];
  parallel_for(walk.numel, kWalkGrain / 2, [&](int64_t begin, int64_t end) {
    walk_range(walk, begin, end, [&](const int64_t* off, int64_t n, int64_t) {
      fn(static_cast<const char*>(a.data) + off[0] * item, step_a,
         static_cast<const char*>(b.data) + off[1] * item, step_b, static_cast<char*>(y.data) + off[2] * item,
         n);
    });
  });
}
View of_numbers(const View& pairs) {  // without the dimension of the parts
  View v = pairs;
  --v.ndim;
  return v;
}
int type_of(const View& y) { return y.dtype == DType::Float64 ? 1 : 0; }

}  // namespace

void complex_multiply(const View& a, const View& b, const View& y, bool conjugate) {
  const auto multiply = simd_complex().multiply[type_of(y)];
  over_rows(of_numbers(a), of_numbers(b), of_numbers(y),
            [&](const void* pa, int64_t step_a, const void* pb, int64_t step_b, void* py, int64_t n) {
              multiply(pa, step_a, pb, step_b, py, n, conjugate);
            });
}

void complex_scale(const View& a, const View& r, const View& y) {
  over_rows(of_numbers(a), r, of_numbers(y), simd_complex().scale[type_of(y)]);
}

}  // namespace ccdl::cpu
