// Positions of the largest and smallest elements.
#include <ccdl/cpu/reduce_values.h>

#include <type_traits>

#include <ccdl/cpu/walk.h>
#include <ccdl/kernels/elementwise.h>

namespace ccdl::cpu {

using namespace reduction;

namespace {

// Best value (8 bytes) and index, two planes of accumulators.
struct ArgPolicy {
  bool largest, integer;
  RedElem elem;
  ReduceKernels::ArgRow row_fn;
  ReduceKernels::ArgCol col_fn, short_fn;
  static constexpr ReduceKernels::Row byte_fn = nullptr;
  void (*store)(const ArgPolicy&, const double* acc, int64_t o, int64_t n, const Plan&);
  const View *values, *indices;
  int64_t plane_;  // distance of the index plane from the value plane

  static constexpr int kWords = 2;
  void init(double* acc, int64_t n) const {
    std::fill_n(acc, n, 0.0);
    std::fill_n(index(acc), n, int64_t{-1});
  }
  int64_t* index(double* acc) const { return reinterpret_cast<int64_t*>(acc + plane_); }
  const int64_t* index(const double* acc) const { return reinterpret_cast<const int64_t*>(acc + plane_); }
  void row(const void* x, int64_t n, int64_t base, int64_t, double* acc) const {
    row_fn(x, n, base, acc, index(acc));
  }
  void col(const void* x, int64_t rows, int64_t rs, int64_t cols, int64_t base, int64_t, double* acc,
           int64_t j) const {
    col_fn(x, rows, rs, cols, base, acc + j, index(acc) + j);
  }
  void short_rows(const void* x, int64_t rows, int64_t rs, int64_t n, int64_t, double* acc) const {
    short_fn(x, rows, rs, n, 0, acc, index(acc));
  }
  template <class T>
  bool beats(T b, T a) const {
    return (largest ? b > a : b < a) || (b != b && a == a);
  }
  void join(double* a, const double* b, int64_t n) const {  // b comes later: it must be strictly better
    int64_t* ia = index(a);
    const int64_t* ib = index(b);
    for (int64_t i = 0; i < n; ++i) {
      if (ib[i] < 0) continue;
      const bool better = ia[i] < 0 || (integer ? beats(reinterpret_cast<const int64_t*>(b)[i],
                                                        reinterpret_cast<const int64_t*>(a)[i])
                                                : beats(b[i], a[i]));
      if (better) a[i] = b[i], ia[i] = ib[i];
    }
  }
  bool finished(const double*) const { return false; }
};

void store_arg(const ArgPolicy& pol, const double* acc, int64_t o, int64_t n, const Plan& plan) {
  const int64_t* idx = pol.index(acc);
  int64_t* out = pol.indices->ptr<int64_t>();
  for_outputs(plan, o, n, [&](int64_t i, int64_t at) { out[at] = idx[i]; });
  if (!pol.values) return;
  by_dtype(pol.values->dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = pol.values->ptr<T>();
    const int64_t* iacc = reinterpret_cast<const int64_t*>(acc);
    for_outputs(plan, o, n, [&](int64_t i, int64_t at) {
      y[at] = pol.integer ? static_cast<T>(iacc[i]) : narrow<T>(acc[i]);
    });
  });
}

double wide(double v) { return v; }
double wide(float16 v) { return static_cast<float>(v); }
double wide(bfloat16 v) { return static_cast<float>(v); }

// Dense narrow rows: the extremes of every chunk by the kernels of values; the position is looked for only in
// the first chunk that holds the best.
void arg_folded(bool largest, const View& x, const View& indices, const Plan& plan) {
  const RedKernel kernel = largest ? RedKernel::Max : RedKernel::Min;
  const Source src = source_for(x, plan, kernel);
  const ValuePolicy pol = value_policy(kernel, largest ? ReduceOp::Max : ReduceOp::Min, src, indices, plan);
  const int64_t cols = plan.outputs, rows = folded_chunk_rows(plan),
                chunks = (plan.reduced + rows - 1) / rows;
  const auto partial = make_partial(chunks * cols);
  run_folded_chunks(pol, plan, src, rows, partial.get());
  ArgPolicy order{};
  order.largest = largest;
  const int64_t* whole = reinterpret_cast<const int64_t*>(partial.get());
  by_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(cols, std::max<int64_t>(1, kGrain / rows), [&](int64_t b, int64_t e) {
      for (int64_t j = b; j < e; ++j) {
        int64_t best = j;
        for (int64_t k = j + cols; k < chunks * cols; k += cols)
          if (pol.integer ? order.beats(whole[k], whole[best]) : order.beats(partial[k], partial[best]))
            best = k;
        int64_t at = best / cols * rows;
        const T* from = x.ptr<T>() + j;
        if constexpr (std::is_integral_v<T>) {
          while (static_cast<int64_t>(from[at * cols]) != whole[best]) ++at;
        } else {
          const double v = partial[best];
          const auto found = [&](double u) { return u == v || (v != v && u != u); };
          while (!found(wide(from[at * cols]))) ++at;
        }
        indices.ptr<int64_t>()[plan.y_offset_out(j)] = at;
      }
    });
  });
}

}  // namespace

void arg_reduce(bool largest, const View& x, int dim, const View& values, const View& indices) {
  const Plan plan = make_plan(x, indices);
  if (plan.reduced == 1 && plan.outputs > 1) {  // nothing to choose from
    if (indices.is_contiguous())
      std::fill_n(indices.ptr<int64_t>(), plan.outputs, int64_t{0});
    else
      for_outputs(plan, 0, plan.outputs, [&](int64_t, int64_t at) { indices.ptr<int64_t>()[at] = 0; });
    if (values.data) copy_cast(x, values);
    return;
  }
  const Source src = source_of(x, plan, nullptr);
  if (plan.fold > 1) {
    arg_folded(largest, x, indices, plan);
  } else {
    const ReduceKernels& simd = simd_reduce();
    ArgPolicy pol{};
    pol.largest = largest;
    pol.elem = src.elem;
    pol.integer = src.elem == kElemI64;
    pol.row_fn = simd.arg_row[largest][src.elem];
    pol.col_fn = simd.arg_col[largest][src.elem];
    pol.short_fn = simd.arg_short_rows[largest][src.elem];
    pol.store = store_arg;
    pol.indices = &indices;
    bool same = values.data != nullptr;
    for (int d = 0; d < x.ndim && same; ++d)
      same = indices.sizes[d] == 1 || values.strides[d] == indices.strides[d];
    pol.values = same ? &values : nullptr;
    run(pol, plan, src);
    if (same) return;
  }
  if (!values.data) return;
  // Values are looked up by index.
  const int64_t bytes = src.bytes;
  Dim dims[kMaxDims];
  int n = 0;
  int64_t total = 1;
  for (int d = 0; d < x.ndim; ++d)
    if (d != dim) dims[n++] = {x.sizes[d], x.strides[d], d}, total *= x.sizes[d];
  parallel_for(total, 4096, [&](int64_t b, int64_t e) {
    for (; b < e; ++b) {
      int64_t rest = b, xo = 0, vo = 0, io = 0;
      for (int k = n - 1; k >= 0; --k) {
        const int64_t i = rest % dims[k].size;
        rest /= dims[k].size;
        xo += i * dims[k].xs;
        vo += i * values.strides[dims[k].ys];
        io += i * indices.strides[dims[k].ys];
      }
      const char* from = src.data + (xo + indices.ptr<int64_t>()[io] * x.strides[dim]) * bytes;
      __builtin_memcpy(static_cast<char*>(values.data) + vo * bytes, from, bytes);
    }
  });
}

}  // namespace ccdl::cpu
