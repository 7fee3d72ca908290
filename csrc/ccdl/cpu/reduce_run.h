// Runs a plan: a policy (what is accumulated, two planes of accumulators for positions) over rows or columns.
// What the SIMD kernels cannot read in place (strided, half, small integers) is packed into blocks first.
// Long reductions are cut into chunks that meet in a fixed tree.
#pragma once
#include <algorithm>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/reduce_plan.h>

namespace ccdl::cpu::reduction {

// From the caching allocator: pages fresh from the system would cost as much as a small reduction.
struct Partial : Buffer<double> {
  using Buffer<double>::Buffer;
  double& operator[](int64_t i) const { return get()[i]; }
};
inline Partial make_partial(int64_t n) { return Partial(n); }

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

template <class T>
T narrow(double v) {
  if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>)
    return T(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

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

// Whether short rows of another type than the kernels read are packed together, with the gaps between them.
inline bool packs_short(const Plan& plan) {
  const int64_t step = plan.out[plan.nout - 1].xs;
  return step <= kBlock / 32 && step <= 4 * plan.reduced;
}

// Outputs o .. o + n of short contiguous rows.
template <class P>
void reduce_short(const P& pol, const Plan& plan, const Source& src, int64_t o, int64_t n, double* acc) {
  const Dim& inner = plan.out[plan.nout - 1];
  if (src.packed) {
    alignas(64) double buffer[kBlock];
    const int64_t at_once = std::max<int64_t>(kBlock / inner.xs / 32, 1) * 32;
    for (int64_t i = 0; i < n;) {
      const int64_t rows = std::min({inner.size - (o + i) % inner.size, n - i, at_once});
      simd_reduce().pack(src.dtype, src.data + plan.x_offset_out(o + i) * src.bytes, 1,
                         (rows - 1) * inner.xs + plan.reduced, buffer);
      pol.short_rows(buffer, rows, inner.xs, plan.reduced, o + i, acc + i);
      i += rows;
    }
    return;
  }
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

template <class P>
void run_rows(const P& pol, const Plan& plan, const Source& src) {
  const int64_t nr = plan.reduced, no = plan.outputs;
  if (no == 1 && nr <= kGrain) {
    double acc[P::kWords];
    P mine = pol;
    if constexpr (P::kWords == 2) mine.plane_ = 1;
    mine.init(acc, 1);
    reduce_row(mine, plan, src, src.data + plan.x_offset_out(0) * src.bytes, 0, nr, 0, acc);
    mine.store(mine, acc, 0, 1, plan);
    return;
  }
  if (nr <= kGrain || no >= kMaxTasks) {
    const int64_t per_task = std::clamp<int64_t>(kGrain / nr, 1, kBlock / 2);
    parallel_for(no, per_task, [&](int64_t b, int64_t e) {
      alignas(64) double acc[kBlock];
      P mine = pol;
      if constexpr (P::kWords == 2) mine.plane_ = kBlock / 2;
      for (; b < e; b += kBlock / 2) {
        const int64_t n = std::min(e - b, kBlock / 2);
        mine.init(acc, n);
        if (plan.short_rows && (!src.packed || packs_short(plan)))
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
  const int64_t width = std::min(inner.size, kColumns);
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
  plan.rows ? run_rows(pol, plan, src) : run_cols(pol, plan, src);
}

}  // namespace ccdl::cpu::reduction
