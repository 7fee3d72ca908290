// LAMB: norms of parameter and direction per block, joined per parameter, then the move, which computes the
// direction again: 11 accesses per element and no buffer. Adafactor: a block takes 32 rows of a matrix, a
// warp four of them, lanes along the columns; row averages are complete in the warp, column sums go to the
// workspace per block and are added in order; then the norm of the direction, then the move. Bound: bytes.
#include <kernels/optim_pieces.cuh>

#include <device/block.cuh>

#include <ccdl/kernels/optim_scaled.h>

namespace ccdl::cu {
namespace {

template <class A>
struct ScaledMath {
  using S = A;
  CCDL_DEVICE static A sel(bool m, A a, A b) { return m ? a : b; }
  CCDL_DEVICE static A fma(A a, A b, A c) { return ::fma(a, b, c); }
  CCDL_DEVICE static A sqrt(A a) { return ::sqrt(a); }
};

// ---- LAMB ----
struct LambEntry : Item {
  int64_t first_sum;  // of the item's blocks in the workspace
  int32_t index;      // among all items
};
using LambPlan = Plan<LambOptions, LambEntry, 36>;

CCDL_DEVICE double steps_of(const LambOptions& o, const Item& item) {
  return static_cast<double>(step_of(o, item)) - (o.skipped ? *o.skipped : 0);
}

template <class A>
CCDL_DEVICE LambNumbers<A> lamb_numbers(const LambNumbers<double>& c) {
  return {static_cast<A>(c.sign),    static_cast<A>(c.weight1),     static_cast<A>(c.beta2),
          static_cast<A>(c.weight2), static_cast<A>(c.correction1), static_cast<A>(c.correction2),
          static_cast<A>(c.eps),     static_cast<A>(c.decay)};
}

// The numbers of the block's item, computed by one thread.
template <class A>
CCDL_DEVICE LambNumbers<A> shared_numbers(const LambOptions& o, const Item& item) {
  CCDL_SHARED(LambNumbers<double>, exact, [1]);
  if (threadIdx.x == 0) exact[0] = optim_scaled::numbers_of(o, steps_of(o, item));
  __syncthreads();  // the numbers are there
  return lamb_numbers<A>(exact[0]);
}

template <class T>
struct LambSums {
  using A = Compute<T>;
  const Item& item;
  LambNumbers<A> c;
  double& p2;
  double& u2;

  template <int N>
  CCDL_DEVICE void run(int64_t i) const {
    const Vec<T, N> p = read<T, N>(item.param, i), g = read<T, N>(item.grad, i),
                    m = read<T, N>(item.state[0], i), v = read<T, N>(item.state[1], i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A x = convert<A>(p[k]);
      A mean = convert<A>(m[k]), square = convert<A>(v[k]);
      const double u = static_cast<double>(
          optim_scaled::lamb_direction<ScaledMath<A>, A>(x, convert<A>(g[k]), mean, square, c));
      p2 = ::fma(static_cast<double>(x), static_cast<double>(x), p2);
      u2 = ::fma(u, u, u2);
    }
  }
};

template <class T>
struct LambMove {
  using A = Compute<T>;
  const Item& item;
  LambNumbers<A> c;
  A minus;

  template <int N>
  CCDL_DEVICE void run(int64_t i) const {
    Vec<T, N> p = read<T, N>(item.param, i), m = read<T, N>(item.state[0], i),
              v = read<T, N>(item.state[1], i);
    const Vec<T, N> g = read<T, N>(item.grad, i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A x = convert<A>(p[k]);
      A mean = convert<A>(m[k]), square = convert<A>(v[k]);
      const A u = optim_scaled::lamb_direction<ScaledMath<A>, A>(x, convert<A>(g[k]), mean, square, c);
      m[k] = convert<T>(mean);
      v[k] = convert<T>(square);
      p[k] = convert<T>(::fma(u, minus, x));
    }
    write<T, N>(item.state[0], i, m);
    write<T, N>(item.state[1], i, v);
    write<T, N>(item.param, i, p);
  }
};

CCDL_DEVICE void store_sums(double p2, double u2, double* to) {
  p2 = block_sum(p2);
  u2 = block_sum(u2);
  if (threadIdx.x != 0) return;
  to[0] = p2;
  to[1] = u2;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    lamb_sums_kernel(const __grid_constant__ LambPlan plan, double* sums) {
  const LambEntry& item = item_of_block(plan);
  if (plan.options.found_inf && *plan.options.found_inf != 0) return;  // all threads of all blocks
  double p2 = 0, u2 = 0;
  for_piece<T>(item, LambSums<T>{item, shared_numbers<Compute<T>>(plan.options, item), p2, u2});
  store_sums(p2, u2, sums + 2 * (item.first_sum + static_cast<int32_t>(blockIdx.x) - item.first_block));
}

// Adds the pairs [0, count) in a fixed order; all threads get the totals.
CCDL_DEVICE void join_sums(const double* pairs, int64_t count, double& p2, double& u2) {
  p2 = u2 = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    p2 += pairs[2 * i];
    u2 += pairs[2 * i + 1];
  }
  p2 = block_sum(p2);
  u2 = block_sum(u2);
}

// One block per parameter.
template <class T>
__global__ void __launch_bounds__(kThreads)
    lamb_amounts_kernel(const __grid_constant__ LambPlan plan, const double* sums, double* amounts) {
  const LambEntry& item = plan.item[blockIdx.x];
  const LambOptions& o = plan.options;
  double p2, u2;
  join_sums(sums + 2 * item.first_sum, ceil_div<int64_t>(item.n, kPiece<T>), p2, u2);
  if (threadIdx.x == 0) amounts[item.index] = optim_scaled::lamb_amount(rate_of(o), o.max_ratio, p2, u2);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    lamb_move_kernel(const __grid_constant__ LambPlan plan, const double* amounts) {
  using A = Compute<T>;
  const LambEntry& item = item_of_block(plan);
  if (plan.options.found_inf && *plan.options.found_inf != 0) return;  // all threads of all blocks
  for_piece<T>(
      item, LambMove<T>{item, shared_numbers<A>(plan.options, item), static_cast<A>(-amounts[item.index])});
}

// Blocks of one item, whatever its type.
template <class Source>
int64_t most_pieces(const Source& item) {
  return ceil_div<int64_t>(item.n, kPiece<double>);
}

template <class T>
void lamb(const OptimItem* items, int64_t count, const LambOptions& o, double* amounts, double* sums,
          int64_t& used) {
  for (int64_t next = 0; next < count;) {
    LambPlan plan;
    plan.count = 0;
    plan.options = o;
    int64_t blocks = 0;
    for (; next < count && plan.count < LambPlan::kMaxItems; ++next) {
      if (items[next].dtype != DTypeOf<T>::value || items[next].n == 0) continue;
      const int64_t mine = ceil_div<int64_t>(items[next].n, kPiece<T>);
      if (blocks + mine > INT32_MAX) break;
      plan.item[plan.count++] = {entry_of(items[next], blocks), used, static_cast<int32_t>(next)};
      blocks += mine;
      used += mine;
    }
    if (blocks == 0) continue;
    const LaunchConfig pieces{dim3(static_cast<unsigned>(blocks)), kThreads};
    CCDL_LAUNCH(pieces, lamb_sums_kernel<T>, plan, sums);
    CCDL_LAUNCH((LaunchConfig{dim3(static_cast<unsigned>(plan.count)), kThreads}), lamb_amounts_kernel<T>,
                plan, sums, amounts);
    CCDL_LAUNCH(pieces, lamb_move_kernel<T>, plan, amounts);
  }
}

// ---- Adafactor ----
constexpr int kTileRows = 32, kWarps = kThreads / kWarp, kRowsOfWarp = kTileRows / kWarps;

struct FactorEntry {
  void* param;
  const void* grad;
  void *first, *second;  // states
  int64_t n, batch, rows, columns;
  double weight, rate, eps1;
  int64_t first_sum, first_column, first_mean;  // of the item in the workspace
  int32_t first_block, first_column_block, index;
};
using FactorPlan = Plan<AdafactorOptions, FactorEntry, 24>;
static_assert(sizeof(FactorPlan) <= 3584);

struct FactorSpace {
  double *sums, *columns, *means, *amounts;
};

CCDL_HD int64_t tiles_of_matrix(int64_t rows) { return ceil_div<int64_t>(rows, kTileRows); }
CCDL_HD int64_t blocks_of(int64_t n, int64_t batch, int64_t rows) {
  return rows == 0 ? ceil_div<int64_t>(n, int64_t{kThreads} * kTileRows) : batch * tiles_of_matrix(rows);
}
CCDL_DEVICE double weight_of(const AdafactorOptions& o, const FactorEntry& item) {
  return o.device_weight ? *o.device_weight : item.weight;
}
template <class A>
CCDL_DEVICE A approach(A average, double target, double weight) {
  return average + static_cast<A>(weight) * (static_cast<A>(target) - average);
}

// The block's tile: matrix, first row in it, rows; or the elements [first, first + rows) of a vector.
struct FactorTile {
  int64_t local, matrix, first, rows;
  CCDL_DEVICE explicit FactorTile(const FactorEntry& item) {
    local = static_cast<int32_t>(blockIdx.x) - item.first_block;
    if (item.rows == 0) {
      matrix = 0;
      first = local * kThreads * kTileRows;
      rows = least<int64_t>(int64_t{kThreads} * kTileRows, item.n - first);
      return;
    }
    const int64_t tiles = tiles_of_matrix(item.rows);
    matrix = local / tiles;
    first = local % tiles * kTileRows;
    rows = least<int64_t>(kTileRows, item.rows - first);
  }
};

// Squares of gradient and parameter: row averages, column sums of the tile; of a vector its averages and the
// direction's square.
template <class T>
__global__ void __launch_bounds__(kThreads)
    adafactor_squares_kernel(const __grid_constant__ FactorPlan plan, FactorSpace space) {
  using A = Compute<T>;
  CCDL_SHARED(double, columns, [kWarps][kWarp]);
  const FactorEntry& item = item_of_block(plan);
  const FactorTile tile(item);
  const double weight = weight_of(plan.options, item);
  const T* p = static_cast<const T*>(item.param);
  const T* g = static_cast<const T*>(item.grad);
  T* average = static_cast<T*>(item.first);
  double p2 = 0, u2 = 0;
  if (item.rows == 0) {
    for (int64_t i = tile.first + threadIdx.x; i < tile.first + tile.rows; i += kThreads) {
      const A x = convert<A>(p[i]), d = convert<A>(g[i]), before = convert<A>(average[i]);
      const A square = before + static_cast<A>(weight) * (d * d - before);
      average[i] = convert<T>(square);
      const double u = static_cast<double>(optim_scaled::adafactor_direction<ScaledMath<A>, A>(
          d, square, static_cast<A>(item.eps1 * item.eps1)));
      p2 = ::fma(static_cast<double>(x), static_cast<double>(x), p2);
      u2 = ::fma(u, u, u2);
    }
    store_sums(p2, u2, space.sums + 2 * (item.first_sum + tile.local));
    return;
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  double rows[kRowsOfWarp] = {};
  for (int64_t c0 = 0; c0 < item.columns; c0 += kWarp) {
    const int64_t c = c0 + lane;
    double column = 0;
#pragma unroll
    for (int r = 0; r < kRowsOfWarp; ++r) {
      const int64_t row = warp * kRowsOfWarp + r;
      if (row >= tile.rows || c >= item.columns) continue;
      const int64_t i = (tile.matrix * item.rows + tile.first + row) * item.columns + c;
      const double d = static_cast<double>(convert<A>(g[i])), x = static_cast<double>(convert<A>(p[i]));
      rows[r] = ::fma(d, d, rows[r]);
      column = ::fma(d, d, column);
      p2 = ::fma(x, x, p2);
    }
    columns[warp][lane] = column;
    __syncthreads();  // the warps' sums are there
    if (warp == 0 && c < item.columns) {
      double total = 0;
      for (int w = 0; w < kWarps; ++w) total += columns[w][lane];
      space.columns[item.first_column + tile.local * item.columns + c] = total;
    }
    __syncthreads();  // and may be overwritten
  }
#pragma unroll
  for (int r = 0; r < kRowsOfWarp; ++r) {
    const double total = warp_reduce(rows[r], SumOp());
    const int64_t row = warp * kRowsOfWarp + r;
    if (lane != 0 || row >= tile.rows) continue;
    T& kept = average[tile.matrix * item.rows + tile.first + row];
    kept = convert<T>(approach(convert<A>(kept), total / static_cast<double>(item.columns), weight));
  }
  store_sums(p2, 0, space.sums + 2 * (item.first_sum + tile.local));
}

CCDL_HD int64_t column_blocks(int64_t columns) { return 1 + ceil_div<int64_t>(columns, kThreads); }

// Per matrix one block for the mean of the row averages, the others for column averages.
template <class T>
__global__ void __launch_bounds__(kThreads)
    adafactor_columns_kernel(const __grid_constant__ FactorPlan plan, FactorSpace space) {
  using A = Compute<T>;
  int k = 0;
  while (k + 1 < plan.count && plan.item[k + 1].first_column_block <= static_cast<int32_t>(blockIdx.x)) ++k;
  const FactorEntry& item = plan.item[k];
  const int64_t per = column_blocks(item.columns);
  const int64_t local = static_cast<int32_t>(blockIdx.x) - item.first_column_block;
  const int64_t matrix = local / per, part = local % per;
  if (part == 0) {
    const T* rows = static_cast<const T*>(item.first) + matrix * item.rows;
    double sum = 0;
    for (int64_t r = threadIdx.x; r < item.rows; r += kThreads) sum += convert<double>(rows[r]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) space.means[item.first_mean + matrix] = sum / static_cast<double>(item.rows);
    return;
  }
  const int64_t c = (part - 1) * kThreads + threadIdx.x, tiles = tiles_of_matrix(item.rows);
  if (c >= item.columns) return;
  const double* from = space.columns + item.first_column + matrix * tiles * item.columns + c;
  double total = 0;
  for (int64_t t = 0; t < tiles; ++t) total += from[t * item.columns];
  T& kept = static_cast<T*>(item.second)[matrix * item.columns + c];
  kept = convert<T>(
      approach(convert<A>(kept), total / static_cast<double>(item.rows), weight_of(plan.options, item)));
}

// fn(element, direction) over the block's tile.
template <class T, class F>
CCDL_DEVICE void each_direction(const FactorEntry& item, const FactorTile& tile, const FactorSpace& space,
                                const F& fn) {
  using A = Compute<T>;
  using M = ScaledMath<A>;
  const T* g = static_cast<const T*>(item.grad);
  const T* first = static_cast<const T*>(item.first);
  const A floor = static_cast<A>(item.eps1 * item.eps1);
  if (item.rows == 0) {
    for (int64_t i = tile.first + threadIdx.x; i < tile.first + tile.rows; i += kThreads)
      fn(i, optim_scaled::adafactor_direction<M, A>(convert<A>(g[i]), convert<A>(first[i]), floor));
    return;
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const double mean = space.means[item.first_mean + tile.matrix];
  const double scale = 1 / (mean < item.eps1 ? item.eps1 : mean);
  const T* columns = static_cast<const T*>(item.second) + tile.matrix * item.columns;
  for (int64_t row = warp * kRowsOfWarp; row < least<int64_t>(tile.rows, (warp + 1) * kRowsOfWarp); ++row) {
    const int64_t at = tile.matrix * item.rows + tile.first + row;
    const A r = static_cast<A>(convert<double>(first[at]) * scale);
    for (int64_t c = lane; c < item.columns; c += kWarp) {
      const int64_t i = at * item.columns + c;
      fn(i, optim_scaled::adafactor_direction<M, A>(convert<A>(g[i]), r * convert<A>(columns[c]), floor));
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    adafactor_sums_kernel(const __grid_constant__ FactorPlan plan, FactorSpace space) {
  const FactorEntry& item = item_of_block(plan);
  if (item.rows == 0) return;  // has its sums
  const FactorTile tile(item);
  double u2 = 0;
  each_direction<T>(item, tile, space, [&](int64_t, Compute<T> u) {
    u2 = ::fma(static_cast<double>(u), static_cast<double>(u), u2);
  });
  u2 = block_sum(u2);
  if (threadIdx.x == 0) space.sums[2 * (item.first_sum + tile.local) + 1] = u2;
}

// One block per parameter.
__global__ void __launch_bounds__(kThreads)
    adafactor_amounts_kernel(const __grid_constant__ FactorPlan plan, FactorSpace space) {
  const FactorEntry& item = plan.item[blockIdx.x];
  const AdafactorOptions& o = plan.options;
  double p2, u2;
  join_sums(space.sums + 2 * item.first_sum, blocks_of(item.n, item.batch, item.rows), p2, u2);
  const double rate = o.device_rate ? *o.device_rate : item.rate;
  if (threadIdx.x == 0)
    space.amounts[item.index] =
        (o.maximize ? -1 : 1) * optim_scaled::adafactor_amount(o, rate, static_cast<double>(item.n), p2, u2);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    adafactor_move_kernel(const __grid_constant__ FactorPlan plan, FactorSpace space) {
  using A = Compute<T>;
  const FactorEntry& item = item_of_block(plan);
  const FactorTile tile(item);
  const A shrink = static_cast<A>(1 - rate_of(plan.options) * plan.options.weight_decay);
  const A minus = static_cast<A>(-space.amounts[item.index]);
  T* p = static_cast<T*>(item.param);
  each_direction<T>(item, tile, space,
                    [&](int64_t i, A u) { p[i] = convert<T>(::fma(u, minus, convert<A>(p[i]) * shrink)); });
}

// Numbers of the workspace that the items before one use.
struct FactorUse {
  int64_t sums = 0, columns = 0, means = 0;
  void add(const AdafactorItem& item) {
    const int64_t blocks = blocks_of(item.n, item.batch, item.rows);
    sums += blocks;
    if (item.rows == 0) return;
    columns += blocks * item.columns;
    means += item.batch;
  }
};

template <class T>
void adafactor(const AdafactorItem* items, int64_t count, const AdafactorOptions& o, const FactorSpace& space,
               FactorUse& use) {
  for (int64_t next = 0; next < count;) {
    FactorPlan plan;
    plan.count = 0;
    plan.options = o;
    int64_t blocks = 0, columns = 0;
    for (; next < count && plan.count < FactorPlan::kMaxItems; ++next) {
      const AdafactorItem& item = items[next];
      if (item.dtype != DTypeOf<T>::value || item.n == 0) continue;
      const int64_t mine = blocks_of(item.n, item.batch, item.rows);
      const int64_t more = item.rows == 0 ? 0 : item.batch * column_blocks(item.columns);
      if (blocks + mine > INT32_MAX || columns + more > INT32_MAX) break;
      plan.item[plan.count++] = {item.param,
                                 item.grad,
                                 item.state[0],
                                 item.state[1],
                                 item.n,
                                 item.batch,
                                 item.rows,
                                 item.columns,
                                 item.weight,
                                 item.rate,
                                 item.eps1,
                                 use.sums,
                                 use.columns,
                                 use.means,
                                 static_cast<int32_t>(blocks),
                                 static_cast<int32_t>(columns),
                                 static_cast<int32_t>(next)};
      use.add(item);
      blocks += mine;
      columns += more;
    }
    if (blocks == 0) continue;
    const auto grid = [](int64_t n) { return LaunchConfig{dim3(static_cast<unsigned>(n)), kThreads}; };
    CCDL_LAUNCH(grid(blocks), adafactor_squares_kernel<T>, plan, space);
    if (columns > 0) {
      // vectors own no blocks here; the search takes the last item that begins at or before a block
      CCDL_LAUNCH(grid(columns), adafactor_columns_kernel<T>, plan, space);
      CCDL_LAUNCH(grid(blocks), adafactor_sums_kernel<T>, plan, space);
    }
    CCDL_LAUNCH(grid(plan.count), adafactor_amounts_kernel, plan, space);
    CCDL_LAUNCH(grid(blocks), adafactor_move_kernel<T>, plan, space);
  }
}

}  // namespace

int64_t lamb_workspace_bytes(const OptimItem* items, int64_t count) {
  int64_t blocks = 0;
  for (int64_t i = 0; i < count; ++i) blocks += most_pieces(items[i]);
  return 8 * (count + 2 * blocks);
}

void lamb_step(const OptimItem* items, int64_t count, const LambOptions& o, void* workspace) {
  double* amounts = static_cast<double*>(workspace);
  double* sums = amounts + count;
  int64_t used = 0;
  lamb<float>(items, count, o, amounts, sums, used);
  lamb<float16>(items, count, o, amounts, sums, used);
  lamb<bfloat16>(items, count, o, amounts, sums, used);
  lamb<double>(items, count, o, amounts, sums, used);
}

int64_t adafactor_workspace_bytes(const AdafactorItem* items, int64_t count) {
  FactorUse use;
  for (int64_t i = 0; i < count; ++i) use.add(items[i]);
  return 8 * (count + 2 * use.sums + use.columns + use.means);
}

void adafactor_step(const AdafactorItem* items, int64_t count, const AdafactorOptions& o, void* workspace) {
  FactorUse all, use;
  for (int64_t i = 0; i < count; ++i) all.add(items[i]);
  FactorSpace space{};
  space.amounts = static_cast<double*>(workspace);
  space.sums = space.amounts + count;
  space.means = space.sums + 2 * all.sums;
  space.columns = space.means + all.means;
  adafactor<float>(items, count, o, space, use);
  adafactor<float16>(items, count, o, space, use);
  adafactor<bfloat16>(items, count, o, space, use);
  adafactor<double>(items, count, o, space, use);
}

}  // namespace ccdl::cu
