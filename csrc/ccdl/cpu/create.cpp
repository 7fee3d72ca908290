// Values from nothing: constants, ranges, the identity, triangle coordinates. Every element is computed from
// its own position, never from its neighbour, so chunks are independent and rounding does not pile up.
#pragma GCC optimize("vect-cost-model=dynamic")  // plain inner loops, meant to be vectorised
#include <ccdl/kernels/create.h>

#include <cmath>
#include <type_traits>
#include <utility>

#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {
namespace {

template <class T>
CCDL_INLINE T from_double(double v) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) {
    return T(static_cast<float>(v));
  } else if constexpr (std::is_same_v<T, bool>) {
    return v != 0.0;
  } else if constexpr (std::is_integral_v<T>) {
    return v > -9.3e18 && v < 9.2e18 ? static_cast<T>(static_cast<int64_t>(v)) : T(0);  // NaN and beyond: 0
  } else {
    return static_cast<T>(v);
  }
}

// y[i] = value(i) for a 1-d y.
template <class F>
void generate(const View& y, const F& value) {
  const int64_t sy = y.strides[0];
  by_dtype(y.dtype, [&](auto t) {
    using T = decltype(t);
    T* p = y.ptr<T>();
    parallel_for(y.sizes[0], kWalkGrain, [&](int64_t begin, int64_t end) {
      if (sy == 1)
        for (int64_t i = begin; i < end; ++i) p[i] = from_double<T>(value(i));
      else
        for (int64_t i = begin; i < end; ++i) p[i * sy] = from_double<T>(value(i));
    });
  });
}

// Point i of n between start and end, counted from the nearer end.
CCDL_INLINE double point(int64_t i, int64_t n, double start, double end, double step) {
  return i < n / 2 || n == 1 ? start + step * static_cast<double>(i)
                             : end - step * static_cast<double>(n - 1 - i);
}

}  // namespace

void fill(const View& y, const void* value) {
  View sorted = y;  // one value everywhere: the smallest stride goes innermost
  for (int d = 1; d < sorted.ndim; ++d)
    for (int k = d; k > 0 && sorted.strides[k - 1] < sorted.strides[k]; --k) {
      std::swap(sorted.strides[k - 1], sorted.strides[k]);
      std::swap(sorted.sizes[k - 1], sorted.sizes[k]);
    }
  const View* views[] = {&sorted};
  const Walk w = make_walk(views, 1);
  by_item_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    T v;
    __builtin_memcpy(&v, value, sizeof(T));
    walk_all(w, [&](const int64_t* off, int64_t n, int64_t) {
      T* p = y.ptr<T>() + off[0];
      if (v == 0 && w.inner()[0] == 1) {
        __builtin_memset(p, 0, static_cast<size_t>(n) * sizeof(T));
      } else if (w.inner()[0] == 1) {
        simd_elementwise_convert().fill[width_index(sizeof(T))](&v, p, n);
      } else {
        copy_row(&v, 0, p, w.inner()[0], n);
      }
    });
  });
}

void arange_float(const View& y, double start, double step) {
  if (y.strides[0] == 1 && (y.dtype == DType::Float32 || y.dtype == DType::Float64)) {
    constexpr int64_t kBlock = 64;
    double ahead[kBlock];  // whole numbers, so that adding them is exact
    for (int64_t k = 0; k < kBlock; ++k) ahead[k] = static_cast<double>(k);
    const auto run = [&](auto* p) {
      using T = std::remove_pointer_t<decltype(p)>;
      parallel_for(y.sizes[0], kWalkGrain, [&](int64_t begin, int64_t end) {
        int64_t i = begin;
        for (; i + kBlock <= end; i += kBlock) {
          const double at = static_cast<double>(i);
          T* out = p + i;
          for (int64_t k = 0; k < kBlock; ++k) out[k] = static_cast<T>(start + (at + ahead[k]) * step);
        }
        for (; i < end; ++i) p[i] = static_cast<T>(start + static_cast<double>(i) * step);
      });
    };
    return y.dtype == DType::Float64 ? run(y.ptr<double>()) : run(y.ptr<float>());
  }
  generate(y, [=](int64_t i) { return start + static_cast<double>(i) * step; });
}

void arange_int(const View& y, int64_t start, int64_t step) {
  const double first = static_cast<double>(start), each = static_cast<double>(step);
  if (is_floating(y.dtype) &&
      std::fabs(first) + std::fabs(each) * static_cast<double>(y.sizes[0]) < 0x1p53)  // exact in double
    return arange_float(y, first, each);
  const int64_t sy = y.strides[0];
  by_dtype(y.dtype, [&](auto t) {
    using T = decltype(t);
    T* p = y.ptr<T>();
    parallel_for(y.sizes[0], kWalkGrain, [&](int64_t begin, int64_t end) {
      if constexpr (std::is_same_v<T, int64_t>) {
        if (sy == 1) {
          uint64_t v =
              static_cast<uint64_t>(start) + static_cast<uint64_t>(step) * static_cast<uint64_t>(begin);
          for (int64_t i = begin; i < end; ++i, v += static_cast<uint64_t>(step))
            p[i] = static_cast<int64_t>(v);
          return;
        }
      }
      for (int64_t i = begin; i < end; ++i) {
        const uint64_t raw =
            static_cast<uint64_t>(start) + static_cast<uint64_t>(step) * static_cast<uint64_t>(i);
        const auto v = static_cast<int64_t>(raw);
        if constexpr (std::is_integral_v<T>)
          p[i * sy] = static_cast<T>(v);
        else
          p[i * sy] = from_double<T>(static_cast<double>(v));
      }
    });
  });
}

void linspace(const View& y, double start, double end) {
  const int64_t n = y.sizes[0];
  const double step = n > 1 ? (end - start) / static_cast<double>(n - 1) : 0.0;
  generate(y, [=](int64_t i) { return point(i, n, start, end, step); });
}

void logspace(const View& y, double start, double end, double base) {
  const int64_t n = y.sizes[0];
  const double step = n > 1 ? (end - start) / static_cast<double>(n - 1) : 0.0;
  generate(y, [=](int64_t i) { return std::pow(base, point(i, n, start, end, step)); });
}

void eye(const View& y) {
  const uint64_t zero = 0;
  fill(y, &zero);
  const int64_t n = y.sizes[0] < y.sizes[1] ? y.sizes[0] : y.sizes[1], step = y.strides[0] + y.strides[1];
  by_dtype(y.dtype, [&](auto t) {
    using T = decltype(t);
    for (int64_t i = 0; i < n; ++i) y.ptr<T>()[i * step] = from_double<T>(1.0);
  });
}

void triangle_indices(const View& y, int64_t rows, int64_t columns, int64_t offset, bool upper) {
  int64_t* r = y.ptr<int64_t>();
  int64_t* c = r + y.sizes[1];
  for (int64_t row = 0; row < rows; ++row) {
    int64_t edge = offset > columns - row ? columns : row + offset + (upper ? 0 : 1);
    edge = edge < 0 ? 0 : edge > columns ? columns : edge;
    for (int64_t column = upper ? edge : 0; column < (upper ? columns : edge); ++column) {
      *r++ = row;
      *c++ = column;
    }
  }
}

}  // namespace ccdl::cpu
