// Reductions to a value. A plan collapses the dimensions into output dims and reduced dims, each by falling
// stride of x. Row mode: the innermost stride is reduced, each output runs along contiguous pieces. Column
// mode: the innermost stride is kept, rows are added into a block of accumulators.
#include <ccdl/cpu/reduce_values.h>

#include <cmath>
#include <type_traits>

#include <ccdl/cpu/reduce_moments.h>
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/walk.h>
#include <ccdl/kernels/elementwise.h>

namespace ccdl::cpu {
namespace reduction {
namespace {

double finish(ReduceOp op, double v, double p, double count) {
  switch (op) {
    case ReduceOp::Mean:
      return v / count;
    case ReduceOp::Norm2:
      return std::sqrt(v);
    case ReduceOp::NormP:
      return std::pow(v, 1.0 / p);
    default:
      return v;
  }
}

// A run of the output: finished here, converted by the vector kernel.
void store_run(const ValuePolicy& pol, const double* acc, char* y, int64_t n) {
  const int64_t bytes = item_size(pol.y->dtype);
  const auto convert =
      simd_elementwise_convert().convert[static_cast<int>(DType::Float64)][static_cast<int>(pol.y->dtype)];
  if (pol.op != ReduceOp::Mean && pol.op != ReduceOp::Norm2 && pol.op != ReduceOp::NormP)
    return convert(acc, y, n);
  double block[256];
  const double reciprocal = 1 / pol.count;
  for (int64_t b = 0; b < n; b += 256) {
    const int64_t m = std::min<int64_t>(256, n - b);
    if (pol.op == ReduceOp::Mean && bytes <= 4)  // the reciprocal's error is far below the output's last bit
      for (int64_t i = 0; i < m; ++i) block[i] = acc[b + i] * reciprocal;
    else if (pol.op == ReduceOp::Mean)
      for (int64_t i = 0; i < m; ++i) block[i] = acc[b + i] / pol.count;
    else
      for (int64_t i = 0; i < m; ++i) block[i] = finish(pol.op, acc[b + i], pol.p, pol.count);
    convert(block, y + b * bytes, m);
  }
}

void store_values(const ValuePolicy& pol, const double* acc, int64_t o, int64_t n, const Plan& plan) {
  const int64_t* iacc = reinterpret_cast<const int64_t*>(acc);
  if (!pol.integer && n >= 16 && plan.dense_y) {
    const int64_t at = plan.y_offset_out(o) * item_size(pol.y->dtype);
    return store_run(pol, acc, static_cast<char*>(pol.y->data) + at, n);
  }
  by_dtype(pol.y->dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = pol.y->ptr<T>();
    if constexpr (std::is_same_v<T, int64_t>)
      if (pol.integer && plan.dense_y) {
        std::copy_n(iacc, n, y + plan.y_offset_out(o));
        return;
      }
    for_outputs(plan, o, n, [&](int64_t i, int64_t at) {
      if (!pol.integer)
        y[at] = narrow<T>(finish(pol.op, acc[i], pol.p, pol.count));
      else if constexpr (std::is_integral_v<T>)
        y[at] = static_cast<T>(iacc[i]);
      else
        y[at] = narrow<T>(static_cast<double>(iacc[i]));
    });
  });
}
}  // namespace

// Dense narrow rows (bias gradients, channels-last statistics): `fold` rows are one wide row of accumulators,
// which are folded at the end of each task.
int64_t folded_chunk_rows(const Plan& plan) {
  return std::max<int64_t>(kGrain / plan.outputs / plan.fold, 1) * plan.fold;
}
void run_folded_chunks(const ValuePolicy& pol, const Plan& plan, const Source& src, int64_t rows,
                       double* partial) {
  const int64_t cols = plan.outputs, nr = plan.reduced, fold = plan.fold, wide = fold * cols;
  const int64_t chunks = (nr + rows - 1) / rows;
  parallel_for(chunks, 1, [&](int64_t b, int64_t e) {
    alignas(64) double acc[kBlock], c[kBlock];
    ValuePolicy mine = pol;
    if (pol.per_output) {
      for (int64_t k = 0; k < wide; ++k) c[k] = pol.c[k % cols];
      mine.c = c;
    }
    Plan p;
    p.nred = 1;
    for (; b < e; ++b) {
      const int64_t begin = b * rows, n = std::min(rows, nr - begin), whole = n / fold;
      const char* x = src.data + begin * cols * src.bytes;
      mine.init(acc, wide);
      p.red[0] = {whole, wide, 0};
      if (whole) reduce_cols(mine, p, src, x, 0, whole, 0, wide, 1, acc);
      for (int64_t k = 1; k < fold; ++k) mine.join(acc, acc + k * cols, cols);
      p.red[0] = {n - whole * fold, cols, 0};
      if (n > whole * fold)
        reduce_cols(mine, p, src, x + whole * wide * src.bytes, 0, n - whole * fold, 0, cols, 1, acc);
      std::copy_n(acc, cols, partial + b * cols);
    }
  });
}

void run_values(const ValuePolicy& pol, const Plan& plan, const Source& src) {
  if (plan.fold == 1 || plan.outputs == 0 || plan.reduced == 0) return run(pol, plan, src);
  const int64_t rows = folded_chunk_rows(plan), chunks = (plan.reduced + rows - 1) / rows;
  const auto partial = make_partial(chunks * plan.outputs);
  run_folded_chunks(pol, plan, src, rows, partial.get());
  combine(pol, plan, partial.get(), chunks, plan.outputs);
}

Source source_for(const View& x, const Plan& plan, RedKernel kernel) {
  return source_of(x, plan, simd_reduce().row[static_cast<int>(kernel)]);
}

ValuePolicy value_policy(RedKernel kernel, ReduceOp op, const Source& src, const View& y, const Plan& plan) {
  ValuePolicy pol{};
  pol.kernel = kernel;
  pol.elem = src.elem;
  pol.integer = is_integral(src.dtype) || kernel >= RedKernel::Count;
  const ReduceKernels& simd = simd_reduce();
  pol.row_fn = simd.row[static_cast<int>(kernel)][src.elem];
  pol.col_fn = simd.col[static_cast<int>(kernel)][src.elem];
  pol.short_fn = simd.short_rows[static_cast<int>(kernel)][src.elem];
  if (src.dtype == DType::Bool || src.dtype == DType::UInt8) {
    if (kernel == RedKernel::Sum) pol.byte_fn = simd.byte_sum;
    if (kernel == RedKernel::Count) pol.byte_fn = simd.byte_count;
  }
  pol.y = &y;
  pol.op = op;
  pol.count = static_cast<double>(plan.reduced);
  pol.store = store_values;
  return pol;
}

namespace {

RedKernel kernel_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::Sum:
    case ReduceOp::Mean:
      return RedKernel::Sum;
    case ReduceOp::NanSum:
      return RedKernel::NanSum;
    case ReduceOp::Prod:
      return RedKernel::Prod;
    case ReduceOp::Max:
      return RedKernel::Max;
    case ReduceOp::Min:
      return RedKernel::Min;
    case ReduceOp::Any:
      return RedKernel::Any;
    case ReduceOp::All:
      return RedKernel::All;
    case ReduceOp::CountNonzero:
    case ReduceOp::Norm0:
      return RedKernel::Count;
    case ReduceOp::Norm1:
      return RedKernel::SumAbs;
    case ReduceOp::Norm2:
      return RedKernel::SumSq;
    case ReduceOp::NormInf:
      return RedKernel::MaxAbs;
    case ReduceOp::NormNegInf:
      return RedKernel::MinAbs;
    case ReduceOp::NormP:
      return RedKernel::SumPow;
    default:
      return RedKernel::SumExp;
  }
}

}  // namespace
}  // namespace reduction

using namespace reduction;

namespace {

// One element per output: no sum to take. False where the op needs one all the same.
bool reduce_single(ReduceOp op, const View& x, const View& y) {
  switch (op) {
    case ReduceOp::Sum:
    case ReduceOp::Mean:
    case ReduceOp::Prod:
    case ReduceOp::Max:
    case ReduceOp::Min:
    case ReduceOp::LogSumExp:
      copy_cast(x, y);
      return true;
    case ReduceOp::Any:
    case ReduceOp::All:
      if (y.dtype != DType::Bool) return false;  // 5 counts as 1
      copy_cast(x, y);
      return true;
    case ReduceOp::Norm1:
    case ReduceOp::Norm2:
    case ReduceOp::NormInf:
    case ReduceOp::NormNegInf:
    case ReduceOp::NormP:
      if (x.dtype != y.dtype || !is_floating(x.dtype)) return false;
      unary(UnaryOp::Abs, x, y, {});
      return true;
    default:
      return false;
  }
}

// Columns of few rows, or of a unit that the first cache holds, straight into y. False where that is not what
// is asked for.
bool reduce_direct(ReduceOp op, const View& x, const View& y, const Plan& plan) {
  if (plan.rows || plan.nred != 1 || plan.nout > 2 || !plan.dense_y || x.dtype != y.dtype || !plan.outputs)
    return false;
  const int which = op == ReduceOp::Sum || op == ReduceOp::Mean ? 0
                    : op == ReduceOp::Max                       ? 1
                    : op == ReduceOp::Min                       ? 2
                    : op == ReduceOp::Prod                      ? 3
                                                                : -1;
  const Source src = source_of(x, plan, simd_reduce().row[0]);
  if (which < 0 || src.packed || src.elem > kElemBF16) return false;
  const auto kernel = simd_reduce().direct[which][src.elem];
  const Dim &inner = plan.out[plan.nout - 1], &rows = plan.red[0];
  if (!kernel || inner.xs != 1 || rows.size > kDirectRows ||
      (rows.size > 16 && inner.size * rows.size * src.bytes > 32 * 1024))
    return false;
  const int64_t width = std::min(inner.size, kColumns), blocks = (inner.size + width - 1) / width;
  const int64_t units = plan.outputs / inner.size, us = plan.nout == 2 ? plan.out[0].xs : 0;
  const double scale = op != ReduceOp::Mean ? 1.0
                       : src.bytes == 8     ? static_cast<double>(rows.size)
                                            : 1.0 / static_cast<double>(rows.size);
  char* out = static_cast<char*>(y.data);
  parallel_for(units * blocks, std::max<int64_t>(1, kGrain / (rows.size * width)), [&](int64_t b, int64_t e) {
    if (blocks == 1)
      return kernel(src.data + b * us * src.bytes, e - b, us, rows.size, rows.xs, inner.size, scale,
                    out + b * inner.size * src.bytes);
    for (; b < e; ++b) {
      const int64_t u = b / blocks, j = b % blocks * width;
      kernel(src.data + (u * us + j) * src.bytes, 1, us, rows.size, rows.xs, std::min(width, inner.size - j),
             scale, out + (u * inner.size + j) * src.bytes);
    }
  });
  return true;
}

}  // namespace

void reduce(ReduceOp op, const View& x, const View& y, double p) {
  const Plan plan = make_plan(x, y);
  if (plan.reduced == 1 && plan.outputs > 1 && reduce_single(op, x, y)) return;
  if (op == ReduceOp::LogSumExp) return log_sum_exp(x, y);
  if (reduce_direct(op, x, y, plan)) return;
  const Source src = source_for(x, plan, kernel_of(op));
  ValuePolicy pol = value_policy(kernel_of(op), op, src, y, plan);
  pol.p = p;
  double cs[kBlock];
  if (op == ReduceOp::NormP) {  // columns read one parameter each
    std::fill_n(cs, kBlock, p);
    pol.c = cs;
  }
  run_values(pol, plan, src);
}

}  // namespace ccdl::cpu
