// Reductions to a value: the policy, and running it.
#pragma once
#include <cmath>
#include <functional>
#include <limits>

#include <ccdl/cpu/reduce_run.h>
#include <ccdl/kernels/reduce.h>

namespace ccdl::cpu::reduction {

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
    const auto each = [&](const auto& f) {
      for (int64_t i = 0; i < n; ++i) a[i] = f(a[i], b[i]);
    };
    const auto whole = [&](const auto& f) {
      for (int64_t i = 0; i < n; ++i)
        ia[i] = static_cast<int64_t>(f(static_cast<uint64_t>(ia[i]), static_cast<uint64_t>(ib[i])));
    };
    const auto larger = [](double u, double v) { return v > u || std::isnan(v) ? v : u; };
    const auto smaller = [](double u, double v) { return v < u || std::isnan(v) ? v : u; };
    switch (kernel) {
      case RedKernel::Prod:
        return integer ? whole(std::multiplies<>()) : each(std::multiplies<>());
      case RedKernel::Max:
      case RedKernel::MaxAbs:
        if (!integer) return each(larger);
        for (int64_t i = 0; i < n; ++i) ia[i] = std::max(ia[i], ib[i]);
        return;
      case RedKernel::Min:
      case RedKernel::MinAbs:
        if (!integer) return each(smaller);
        for (int64_t i = 0; i < n; ++i) ia[i] = std::min(ia[i], ib[i]);
        return;
      case RedKernel::Any:
        return whole(std::bit_or<>());
      case RedKernel::All:
        return whole(std::bit_and<>());
      default:
        return integer ? whole(std::plus<>()) : each(std::plus<>());
    }
  }
  bool finished(const double* acc) const {  // any / all already decided
    const int64_t v = *reinterpret_cast<const int64_t*>(acc);
    return (kernel == RedKernel::Any && v) || (kernel == RedKernel::All && !v);
  }
};

// The policy of a kernel that stores op's result in y.
ValuePolicy value_policy(RedKernel kernel, ReduceOp op, const Source& src, const View& y, const Plan& plan);
Source source_for(const View& x, const Plan& plan, RedKernel kernel);
void run_values(const ValuePolicy& pol, const Plan& plan, const Source& src);
void run_to_raw(RedKernel kernel, ReduceOp op, const View& x, const View& y, const Plan& plan,
                const double* c,
                double* raw);  // sum, mean or extreme of every output in double; c: one parameter per output
// The chunks of a plan with fold > 1, and one row of accumulators for each.
int64_t folded_chunk_rows(const Plan& plan);
void run_folded_chunks(const ValuePolicy& pol, const Plan& plan, const Source& src, int64_t rows,
                       double* partial);

}  // namespace ccdl::cpu::reduction
