// Runs a plan: a policy (what is accumulated, two planes of accumulators for positions) over rows or columns.
// Long reductions are cut into chunks that meet in a fixed tree.
#pragma once
#include <algorithm>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/reduce_blocks.h>

namespace ccdl::cpu::reduction {

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
        else if (shares_pieces<P>(plan, src))
          reduce_pieces(mine, plan, src, b, n, acc);
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
      if (blocks == 1) {  // narrow units: several are kept and stored together
        const int64_t most = std::max<int64_t>(1, kBlock / 2 / width);
        while (b < e) {
          const int64_t n = std::min(most, e - b), o = b * width;
          mine.init(acc, n * width);
          for (int64_t k = 0; k < n; ++k)
            reduce_cols(mine, plan, src, src.data + plan.x_offset_out(o + k * width) * src.bytes, 0, nr,
                        o + k * width, width, inner.xs, acc + k * width);
          mine.store(mine, acc, o, n * width, plan);
          b += n;
        }
        return;
      }
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
