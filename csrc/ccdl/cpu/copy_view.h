// Copies between views, and views that begin elsewhere.
#pragma once
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {

inline View moved(const View& v, int64_t offset) {
  View r = v;
  r.data = static_cast<char*>(v.data) + offset * item_size(v.dtype);
  return r;
}

inline void copy_view(const View& x, const View& y) {
  const View* views[] = {&x, &y};
  const Walk w = make_walk(views, 2);
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    copy_walk<T>(w, x.ptr<const T>(), y.ptr<T>());
  });
}

}  // namespace ccdl::cpu
