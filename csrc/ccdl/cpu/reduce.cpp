// Reductions. A plan collapses the dimensions into output dims and reduced dims, each by falling stride of x.
// Row mode: the innermost stride is reduced, each output runs along contiguous pieces. Column mode: the
// innermost stride is kept, rows are added into a block of accumulators. What the SIMD kernels cannot read in
// place (strided, half, small integers) is packed into blocks first. Long reductions are cut into chunks that
// meet in a fixed tree.
#include <ccdl/cpu/reduce_plan.h>
#include <ccdl/kernels/reduce.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include <ccdl/cpu/scratch.h>
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/walk.h>

namespace ccdl::cpu {

using namespace reduction;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Accumulators of 8 bytes, double or int64. `c` holds one parameter per output when `per_output`, else one
// for all.
struct ValuePolicy {
  RedKernel kernel;
  bool integer;  // int64 accumulators
  RedElem elem;
  const double* c;
  bool per_output;
  ReduceKernels::Row row_fn, byte_fn;
  ReduceKernels::Col col_fn, short_fn;
  void (*store)(const ValuePolicy&, const double* acc, int64_t o, int64_t n, const Plan&);
  // for store
  const View* y;
  ReduceOp op;
  double p, count;
  double* raw;

  static constexpr int kWords = 1;
  void init(double* acc, int64_t n) const {
    double id = 0;
    int64_t iid = 0;
    switch (kernel) {
      case RedKernel::Prod:
        id = 1, iid = 1;
        break;
      case RedKernel::Max:
        id = -kInf, iid = std::numeric_limits<int64_t>::min();
        break;
      case RedKernel::MaxAbs:
        id = -kInf;
        break;
      case RedKernel::Min:
        id = kInf, iid = std::numeric_limits<int64_t>::max();
        break;
      case RedKernel::MinAbs:
        id = kInf;
        break;
      case RedKernel::All:
        iid = 1;
        break;
      default:
        break;
    }
    if (integer)
      std::fill_n(reinterpret_cast<int64_t*>(acc), n, iid);
    else
      std::fill_n(acc, n, id);
  }
  const double* param(int64_t o) const { return per_output ? c + o : c; }
  void row(const void* x, int64_t n, int64_t, int64_t o, double* acc) const { row_fn(x, n, param(o), acc); }
  void col(const void* x, int64_t rows, int64_t rs, int64_t cols, int64_t, int64_t o, double* acc,
           int64_t j) const {
    col_fn(x, rows, rs, cols, param(o), acc + j);
  }
  void short_rows(const void* x, int64_t rows, int64_t rs, int64_t n, int64_t o, double* acc) const {
    short_fn(x, rows, rs, n, param(o), acc);
  }
  void join(double* a, const double* b, int64_t n) const {
    int64_t* ia = reinterpret_cast<int64_t*>(a);
    const int64_t* ib = reinterpret_cast<const int64_t*>(b);
    for (int64_t i = 0; i < n; ++i) switch (kernel) {
        case RedKernel::Prod:
          if (integer)
            ia[i] = static_cast<int64_t>(static_cast<uint64_t>(ia[i]) * static_cast<uint64_t>(ib[i]));
          else
            a[i] *= b[i];
          break;
        case RedKernel::Max:
        case RedKernel::MaxAbs:
          if (integer)
            ia[i] = std::max(ia[i], ib[i]);
          else
            a[i] = b[i] > a[i] || std::isnan(b[i]) ? b[i] : a[i];
          break;
        case RedKernel::Min:
        case RedKernel::MinAbs:
          if (integer)
            ia[i] = std::min(ia[i], ib[i]);
          else
            a[i] = b[i] < a[i] || std::isnan(b[i]) ? b[i] : a[i];
          break;
        case RedKernel::Any:
          ia[i] |= ib[i];
          break;
        case RedKernel::All:
          ia[i] &= ib[i];
          break;
        default:
          if (integer)
            ia[i] = static_cast<int64_t>(static_cast<uint64_t>(ia[i]) + static_cast<uint64_t>(ib[i]));
          else
            a[i] += b[i];
      }
  }
  bool finished(const double* acc) const {  // any / all already decided
    const int64_t v = *reinterpret_cast<const int64_t*>(acc);
    return (kernel == RedKernel::Any && v) || (kernel == RedKernel::All && !v);
  }
};

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

// Elements [begin, end) of the reduced space into one accumulator.
template <class P>
void reduce_row(const P& pol, const Plan& plan, const Source& src, const char* base, int64_t begin,
                int64_t end, int64_t o, double* acc) {
  const Dim& inner = plan.red[plan.nred - 1];
  const ReduceKernels& simd = simd_reduce();
  alignas(64) double buffer[kBlock];
  const bool bytes = pol.byte_fn && inner.xs == 1;
  const bool direct = inner.xs == 1 && !src.packed;
  for (int64_t pos = begin; pos < end;) {
    const int64_t i = pos % inner.size;
    const int64_t len = std::min(inner.size - i, end - pos);
    const char* x = base + (plan.x_offset_red(pos - i) + i * inner.xs) * src.bytes;
    if (bytes) {
      pol.byte_fn(x, len, nullptr, acc);
    } else if (direct && len <= kGrain) {
      if (pos + len < end) {  // the next piece lies elsewhere: its first lines are asked for now
        const char* next = base + plan.x_offset_red(pos + len) * src.bytes;
        for (int64_t l = 0; l < 16; ++l) __builtin_prefetch(next + 64 * l);
      }
      pol.row(x, len, pos, o, acc);
    } else {
      for (int64_t k = 0; k < len; k += kBlock) {
        const int64_t m = std::min(kBlock, len - k);
        const void* from = x + k * inner.xs * src.bytes;
        if (!direct) {
          simd.pack(src.dtype, from, inner.xs, m, buffer);
          from = buffer;
        }
        pol.row(from, m, pos + k, o, acc);
        if (pol.finished(acc)) return;
      }
    }
    if (pol.finished(acc)) return;
    pos += len;
  }
}

// Rows [begin, end) of the reduced space into cols accumulators; x points at the first column.
template <class P>
void reduce_cols(const P& pol, const Plan& plan, const Source& src, const char* base, int64_t begin,
                 int64_t end, int64_t o, int64_t cols, int64_t xs, double* acc) {
  const Dim& inner = plan.red[plan.nred - 1];
  const ReduceKernels& simd = simd_reduce();
  alignas(64) double buffer[kBlock];
  const bool direct = xs == 1 && !src.packed;
  const int64_t width = kBlock / 8;
  for (int64_t pos = begin; pos < end;) {
    const int64_t i = pos % inner.size;
    const int64_t len = std::min(inner.size - i, end - pos);
    const char* x = base + (plan.x_offset_red(pos - i) + i * inner.xs) * src.bytes;
    if (direct) {
      pol.col(x, len, inner.xs, cols, pos, o, acc, 0);
    } else {
      const int64_t item = src.packed ? (src.elem == kElemF32 ? 4 : 8) : src.bytes;
      for (int64_t r = 0; r < len; r += 8)
        for (int64_t j = 0; j < cols; j += width) {
          const int64_t nr = std::min<int64_t>(8, len - r), nc = std::min(width, cols - j);
          char* out = reinterpret_cast<char*>(buffer);
          for (int64_t k = 0; k < nr; ++k)
            simd.pack(src.dtype, x + ((r + k) * inner.xs + j * xs) * src.bytes, xs, nc,
                      out + k * width * item);
          pol.col(buffer, nr, width, nc, pos + r, o + j, acc, j);
        }
    }
    pos += len;
  }
}

// Outputs o .. o + n of short contiguous rows.
template <class P>
void reduce_short(const P& pol, const Plan& plan, const Source& src, int64_t o, int64_t n, double* acc) {
  const Dim& inner = plan.out[plan.nout - 1];
  for (int64_t i = 0; i < n;) {
    const int64_t rows = std::min(inner.size - (o + i) % inner.size, n - i);
    pol.short_rows(src.data + plan.x_offset_out(o + i) * src.bytes, rows, inner.xs, plan.reduced, o + i,
                   acc + i);
    i += rows;
  }
}

// Joins partial[chunk][outputs] pairwise into partial[0] and stores.
template <class P>
void combine(const P& pol, const Plan& plan, double* partial, int64_t chunks, int64_t stride) {
  parallel_for(plan.outputs, 512, [&](int64_t b, int64_t e) {
    for (int64_t step = 1; step < chunks; step *= 2)
      for (int64_t k = 0; k + step < chunks; k += 2 * step)
        pol.join(partial + k * stride + b, partial + (k + step) * stride + b, e - b);
    pol.store(pol, partial + b, b, e - b, plan);
  });
}

std::unique_ptr<double[]> make_partial(int64_t n) { return std::unique_ptr<double[]>(new double[n]); }

template <class P>
void run_rows(const P& pol, const Plan& plan, const Source& src) {
  const int64_t nr = plan.reduced, no = plan.outputs;
  if (nr <= kGrain || no >= kMaxTasks) {
    const int64_t per_task = std::clamp<int64_t>(kGrain / nr, 1, kBlock / 2);
    parallel_for(no, per_task, [&](int64_t b, int64_t e) {
      alignas(64) double acc[kBlock];
      P mine = pol;
      if constexpr (P::kWords == 2) mine.plane_ = kBlock / 2;
      for (; b < e; b += kBlock / 2) {
        const int64_t n = std::min(e - b, kBlock / 2);
        mine.init(acc, n);
        if (plan.short_rows && !src.packed)
          reduce_short(mine, plan, src, b, n, acc);
        else
          for (int64_t i = 0; i < n; ++i)
            reduce_row(mine, plan, src, src.data + plan.x_offset_out(b + i) * src.bytes, 0, nr, b + i,
                       acc + i);
        mine.store(mine, acc, b, n, plan);
      }
    });
    return;
  }
  const int64_t chunks = (nr + kGrain - 1) / kGrain;
  const auto partial = make_partial(chunks * no * P::kWords);
  P mine = pol;
  if constexpr (P::kWords == 2) mine.plane_ = chunks * no;
  parallel_for(chunks * no, 1, [&](int64_t b, int64_t e) {
    for (; b < e; ++b) {
      const int64_t o = b % no, begin = b / no * kGrain;
      mine.init(partial.get() + b, 1);
      reduce_row(mine, plan, src, src.data + plan.x_offset_out(o) * src.bytes, begin,
                 std::min(nr, begin + kGrain), o, partial.get() + b);
    }
  });
  combine(mine, plan, partial.get(), chunks, no);
}

template <class P>
void run_cols(const P& pol, const Plan& plan, const Source& src) {
  const Dim& inner = plan.out[plan.nout - 1];
  const int64_t width = std::min(inner.size, kBlock / P::kWords);
  const int64_t blocks = (inner.size + width - 1) / width;
  const int64_t units = plan.outputs / inner.size * blocks;
  const int64_t nr = plan.reduced, unit_work = nr * width;
  const auto run_unit = [&](const P& mine, int64_t unit, int64_t begin, int64_t end, double* acc) {
    const int64_t o = unit / blocks * inner.size + unit % blocks * width;
    const int64_t cols = std::min(width, inner.size - unit % blocks * width);
    mine.init(acc, cols);
    reduce_cols(mine, plan, src, src.data + plan.x_offset_out(o) * src.bytes, begin, end, o, cols, inner.xs,
                acc);
    return o;
  };
  const int64_t chunks = std::clamp<int64_t>(std::min((unit_work + kGrain - 1) / kGrain, kMaxTasks / units),
                                             1, std::max<int64_t>(nr / 16, 1));
  if (chunks == 1) {
    parallel_for(units, std::max<int64_t>(1, kGrain / unit_work), [&](int64_t b, int64_t e) {
      alignas(64) double acc[kBlock];
      P mine = pol;
      if constexpr (P::kWords == 2) mine.plane_ = kBlock / 2;
      for (; b < e; ++b) {
        const int64_t o = run_unit(mine, b, 0, nr, acc);
        mine.store(mine, acc, o, std::min(width, inner.size - b % blocks * width), plan);
      }
    });
    return;
  }
  const int64_t rows = ((nr + chunks - 1) / chunks + 7) / 8 * 8;
  const int64_t used = (nr + rows - 1) / rows;
  const auto partial = make_partial(used * plan.outputs * P::kWords);
  P mine = pol;
  if constexpr (P::kWords == 2) mine.plane_ = used * plan.outputs;
  parallel_for(units * used, 1, [&](int64_t b, int64_t e) {
    for (; b < e; ++b) {
      const int64_t unit = b % units, begin = b / units * rows;
      const int64_t o = unit / blocks * inner.size + unit % blocks * width;
      run_unit(mine, unit, begin, std::min(nr, begin + rows), partial.get() + b / units * plan.outputs + o);
    }
  });
  combine(mine, plan, partial.get(), used, plan.outputs);
}

// Dense narrow rows (bias gradients, channels-last statistics): `fold` rows are one wide row of accumulators,
// which are folded at the end of each task.
void run_folded(const ValuePolicy& pol, const Plan& plan, const Source& src) {
  const int64_t cols = plan.outputs, nr = plan.reduced, fold = plan.fold, wide = fold * cols;
  const int64_t rows = std::max<int64_t>(kGrain / cols / fold, 1) * fold;
  const int64_t chunks = (nr + rows - 1) / rows;
  const auto partial = make_partial(chunks * cols);
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
      std::copy_n(acc, cols, partial.get() + b * cols);
    }
  });
  combine(pol, plan, partial.get(), chunks, cols);
}

template <class P>
void run(const P& pol, const Plan& plan, const Source& src) {
  if (plan.outputs == 0) return;
  if (plan.reduced == 0) {
    double acc[256];
    for (int64_t b = 0; b < plan.outputs; b += 256) {
      const int64_t n = std::min<int64_t>(256, plan.outputs - b);
      pol.init(acc, n);
      pol.store(pol, acc, b, n, plan);
    }
    return;
  }
  if constexpr (P::kWords == 1)
    if (plan.fold > 1) return run_folded(pol, plan, src);
  plan.rows ? run_rows(pol, plan, src) : run_cols(pol, plan, src);
}

template <class T>
T narrow(double v) {
  if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>)
    return T(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

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

// Walks the outputs o .. o + n in plan order; f(position in the block, y offset).
template <class F>
void for_outputs(const Plan& plan, int64_t o, int64_t n, const F& f) {
  if (plan.nout == 0) return f(int64_t{0}, int64_t{0});
  const Dim& inner = plan.out[plan.nout - 1];
  for (int64_t i = 0; i < n;) {
    const int64_t k = (o + i) % inner.size, len = std::min(inner.size - k, n - i);
    const int64_t off = plan.y_offset_out(o + i);
    for (int64_t j = 0; j < len; ++j) f(i + j, off + j * inner.ys);
    i += len;
  }
}

void store_values(const ValuePolicy& pol, const double* acc, int64_t o, int64_t n, const Plan& plan) {
  const int64_t* iacc = reinterpret_cast<const int64_t*>(acc);
  if (!pol.integer && n >= 16 && plan.out[plan.nout - 1].ys == 1 && plan.nout == 1) {
    double block[256];  // a run of the output: finished here, converted by the vector kernel
    const auto convert =
        simd_elementwise_convert().convert[static_cast<int>(DType::Float64)][static_cast<int>(pol.y->dtype)];
    const bool plain = pol.op != ReduceOp::Mean && pol.op != ReduceOp::Norm2 && pol.op != ReduceOp::NormP;
    if (plain) return convert(acc, static_cast<char*>(pol.y->data) + o * item_size(pol.y->dtype), n);
    const bool narrow_type = item_size(pol.y->dtype) <= 4;
    const double reciprocal = 1 / pol.count;
    for (int64_t b = 0; b < n; b += 256) {
      const int64_t m = std::min<int64_t>(256, n - b);
      if (pol.op == ReduceOp::Mean &&
          narrow_type)  // the reciprocal's error is far below the output's last bit
        for (int64_t i = 0; i < m; ++i) block[i] = acc[b + i] * reciprocal;
      else if (pol.op == ReduceOp::Mean)
        for (int64_t i = 0; i < m; ++i) block[i] = acc[b + i] / pol.count;
      else
        for (int64_t i = 0; i < m; ++i) block[i] = finish(pol.op, acc[b + i], pol.p, pol.count);
      convert(block, static_cast<char*>(pol.y->data) + (o + b) * item_size(pol.y->dtype), m);
    }
    return;
  }
  by_dtype(pol.y->dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = pol.y->ptr<T>();
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
void store_raw(const ValuePolicy& pol, const double* acc, int64_t o, int64_t n, const Plan&) {
  for (int64_t i = 0; i < n; ++i) pol.raw[o + i] = pol.op == ReduceOp::Mean ? acc[i] / pol.count : acc[i];
}
void store_arg(const ArgPolicy& pol, const double* acc, int64_t o, int64_t n, const Plan& plan) {
  const int64_t* idx = pol.index(acc);
  int64_t* out = pol.indices->ptr<int64_t>();
  for_outputs(plan, o, n, [&](int64_t i, int64_t at) { out[at] = idx[i]; });
}

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

// max + log(sum(exp(x - max))), where an infinite max counts as 0 in the exponent.
void log_sum_exp(const View& x, const View& y, const Plan& plan) {
  const auto shift = make_partial(plan.outputs), sums = make_partial(plan.outputs);
  Source src = source_for(x, plan, RedKernel::Max);
  ValuePolicy pol = value_policy(RedKernel::Max, ReduceOp::Max, src, y, plan);
  pol.store = store_raw;
  pol.raw = shift.get();
  run(pol, plan, src);
  for (int64_t i = 0; i < plan.outputs; ++i)
    if (std::isinf(shift[i])) shift[i] = 0;
  src = source_for(x, plan, RedKernel::SumExp);
  pol = value_policy(RedKernel::SumExp, ReduceOp::Sum, src, y, plan);
  pol.c = shift.get();
  pol.per_output = true;
  pol.store = store_raw;
  pol.raw = sums.get();
  run(pol, plan, src);
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_outputs(plan, 0, plan.outputs,
                [&](int64_t i, int64_t at) { y.ptr<T>()[at] = narrow<T>(std::log(sums[i]) + shift[i]); });
  });
}

}  // namespace

void reduce(ReduceOp op, const View& x, const View& y, double p) {
  const Plan plan = make_plan(x, y);
  if (op == ReduceOp::LogSumExp) return log_sum_exp(x, y, plan);
  const Source src = source_for(x, plan, kernel_of(op));
  ValuePolicy pol = value_policy(kernel_of(op), op, src, y, plan);
  pol.p = p;
  double cs[kBlock];
  if (op == ReduceOp::NormP) {  // columns read one parameter each
    std::fill_n(cs, kBlock, p);
    pol.c = cs;
  }
  run(pol, plan, src);
}

void variance(const View& x, const View& y, const View& mean, double correction, bool root) {
  const Plan plan = make_plan(x, y);
  const Source src = source_for(x, plan, RedKernel::SqDiff);
  const auto means = make_partial(plan.outputs), sums = make_partial(plan.outputs);
  ValuePolicy pol = value_policy(RedKernel::SumD, ReduceOp::Mean, src, y, plan);
  pol.store = store_raw;
  pol.raw = means.get();
  run(pol, plan, src);
  pol = value_policy(RedKernel::SqDiff, ReduceOp::Sum, src, y, plan);
  pol.c = means.get();
  pol.per_output = true;
  pol.store = store_raw;
  pol.raw = sums.get();
  run(pol, plan, src);
  const double free = std::max(0.0, static_cast<double>(plan.reduced) - correction);
  by_dtype(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_outputs(plan, 0, plan.outputs, [&](int64_t i, int64_t at) {
      const double v = sums[i] / free;
      y.ptr<T>()[at] = narrow<T>(root ? std::sqrt(v) : v);
    });
    if (!mean.data) return;
    const Plan to_mean = make_plan(x, mean);
    for_outputs(to_mean, 0, plan.outputs,
                [&](int64_t i, int64_t at) { mean.ptr<T>()[at] = narrow<T>(means[i]); });
  });
}

void arg_reduce(bool largest, const View& x, int dim, const View& values, const View& indices) {
  const Plan plan = make_plan(x, indices);
  const Source src = source_of(x, plan, nullptr);
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
  run(pol, plan, src);
  if (!values.data) return;
  // Values are looked up by index: exact for every dtype.
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
