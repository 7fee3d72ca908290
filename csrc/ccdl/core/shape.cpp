// Shape arithmetic, checked for overflow.
#include <ccdl/core/shape.h>

namespace ccdl {

void Dims::too_many() {
  fail(ErrorKind::Value, str("tensors have at most ", kMaxDims, " dimensions; more were asked for"));
}

int64_t checked_numel(const char* op, IntSpan sizes) {
  int64_t product = 1;
  bool zero = false;
  for (int64_t s : sizes) {
    CCDL_CHECK(s >= 0, Shape, op, ": sizes must not be negative, got ", Dims(sizes));
    if (s == 0) {
      zero = true;
    } else {
      CCDL_CHECK(!__builtin_mul_overflow(product, s, &product), Value, op,
                 ": the number of elements of sizes ", Dims(sizes), " overflows 64 bits");
    }
  }
  return zero ? 0 : product;
}

int64_t checked_bytes(const char* op, IntSpan sizes, DType dtype) {
  const int64_t n = checked_numel(op, sizes);
  int64_t bytes = 0;
  CCDL_CHECK(!__builtin_mul_overflow(n, item_size(dtype), &bytes), Value, op, ": the size in bytes of ",
             dtype_name(dtype), " ", Dims(sizes), " overflows 64 bits");
  return bytes;
}

Dims contiguous_strides(IntSpan sizes) {
  Dims st(sizes.size(), 1);
  int64_t step = 1;
  for (int i = static_cast<int>(sizes.size()) - 1; i >= 0; --i) {
    st[i] = step;
    step *= std::max<int64_t>(sizes[i], 1);
  }
  return st;
}

Dims channels_last_strides(IntSpan sizes) {
  Dims st(sizes.size(), 1);
  int64_t step = std::max<int64_t>(sizes[1], 1);
  for (int i = static_cast<int>(sizes.size()) - 1; i >= 2; --i) {
    st[i] = step;
    step *= std::max<int64_t>(sizes[i], 1);
  }
  st[1] = 1;
  st[0] = step;
  return st;
}

int64_t wrap_dim(const char* op, int64_t dim, int64_t ndim) {
  const int64_t n = ndim == 0 ? 1 : ndim;
  CCDL_CHECK(dim >= -n && dim < n, Index, op, ": Dimension out of range (expected to be in range of [", -n,
             ", ", n - 1, "], but got ", dim, ")");
  return dim < 0 ? dim + n : dim;
}

Dims wrap_dims(const char* op, IntSpan dims, int64_t ndim) {
  Dims out;
  for (int64_t d : dims) {
    const int64_t w = wrap_dim(op, d, ndim);
    CCDL_CHECK(std::find(out.begin(), out.end(), w) == out.end(), Runtime, op, ": dim ", w,
               " appears multiple times in the list of dims ", Dims(dims));
    out.push_back(w);
  }
  return out;
}

Dims broadcast_shapes(const char* op, IntSpan a, IntSpan b) {
  const size_t n = std::max(a.size(), b.size());
  Dims out(n, 1);
  for (size_t i = 0; i < n; ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    CCDL_CHECK(x == y || x == 1 || y == 1, Shape, op, ": shapes ", Dims(a), " and ", Dims(b),
               " cannot be broadcast together: The size of tensor a (", x,
               ") must match the size of tensor b (", y, ") at non-singleton dimension ", n - 1 - i);
    out[n - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

bool is_expandable_to(IntSpan from, IntSpan to) {
  if (from.size() > to.size()) return false;
  for (size_t i = 0; i < from.size(); ++i) {
    const int64_t f = from[from.size() - 1 - i], t = to[to.size() - 1 - i];
    if (f != t && f != 1) return false;
  }
  return true;
}

Dims expanded_strides(IntSpan sizes, IntSpan strides, IntSpan target) {
  const size_t lead = target.size() - sizes.size();
  Dims st(target.size(), 0);
  for (size_t i = lead; i < target.size(); ++i)
    st[i] = sizes[i - lead] == 1 && target[i] != 1 ? 0 : strides[i - lead];
  return st;
}

bool view_strides(IntSpan sizes, IntSpan strides, IntSpan target, Dims* out) {
  *out = Dims(target.size(), 1);
  if (numel_of(sizes) == 0) {
    if (Dims(sizes) == Dims(target))
      *out = Dims(strides);
    else
      *out = contiguous_strides(target);
    return true;
  }
  int v = static_cast<int>(target.size()) - 1;
  int64_t chunk = 1, view_n = 1;
  int64_t base = sizes.empty() ? 1 : strides.back();
  for (int d = static_cast<int>(sizes.size()) - 1; d >= 0; --d) {
    chunk *= sizes[d];
    // The end of a run of dimensions that lie in memory as one: the target dimensions must end there too.
    if (d == 0 || (sizes[d - 1] != 1 && strides[d - 1] != chunk * base)) {
      while (v >= 0 && (view_n < chunk || target[v] == 1)) {
        (*out)[v] = view_n * base;
        view_n *= target[v];
        --v;
      }
      if (view_n != chunk) return false;
      if (d > 0) {
        base = strides[d - 1];
        chunk = 1;
        view_n = 1;
      }
    }
  }
  for (; v >= 0; --v) {
    if (target[v] != 1) return false;
    (*out)[v] = 1;
  }
  return true;
}

Dims infer_size(const char* op, IntSpan shape, int64_t numel) {
  Dims out(shape);
  int hole = -1;
  int64_t known = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      CCDL_CHECK(hole < 0, Shape, op, ": only one dimension can be inferred, got shape ", out);
      hole = static_cast<int>(i);
    } else {
      CCDL_CHECK(shape[i] >= 0, Shape, op, ": invalid shape dimension ", shape[i], " in ", out);
      CCDL_CHECK(!__builtin_mul_overflow(known, shape[i], &known), Value, op, ": shape ", out,
                 " overflows 64 bits");
    }
  }
  if (hole >= 0) {
    CCDL_CHECK(known != 0, Shape, op, ": cannot reshape tensor of ", numel, " elements into shape ", out,
               " because the unspecified dimension size -1 can be any value and is ambiguous");
    CCDL_CHECK(numel % known == 0, Shape, op, ": shape '", out, "' is invalid for input of size ", numel);
    out[hole] = numel / known;
  } else {
    CCDL_CHECK(known == numel, Shape, op, ": shape '", out, "' is invalid for input of size ", numel);
  }
  return out;
}

bool strides_contiguous(IntSpan sizes, IntSpan strides) {
  int64_t expected = 1;
  for (int i = static_cast<int>(sizes.size()) - 1; i >= 0; --i) {
    if (sizes[i] == 0) return true;
    if (sizes[i] != 1 && strides[i] != expected) {
      for (int64_t s : sizes)
        if (s == 0) return true;
      return false;
    }
    expected *= sizes[i];
  }
  return true;
}

bool strides_channels_last(IntSpan sizes, IntSpan strides) {
  if (sizes.size() != 4 && sizes.size() != 5) return false;
  const Dims want = channels_last_strides(sizes);
  for (size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] != 1 && strides[i] != want[i]) return false;
  return true;
}

bool strides_dense(IntSpan sizes, IntSpan strides) {
  int order[kMaxDims], n = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return true;
    if (sizes[i] != 1) order[n++] = static_cast<int>(i);
  }
  for (int i = 1; i < n; ++i)
    for (int j = i; j > 0 && strides[order[j - 1]] > strides[order[j]]; --j)
      std::swap(order[j - 1], order[j]);
  int64_t expected = 1;
  for (int i = 0; i < n; ++i) {
    if (strides[order[i]] != expected) return false;
    expected *= sizes[order[i]];
  }
  return true;
}

}  // namespace ccdl
